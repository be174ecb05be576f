/* Azure Blob Storage: put a file, whole or in blocks, and get it back; signed by SAS, account key
 * or bearer token (REST API, version 2021-08-06). For this folder and its tests only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_BLOB_H
#define NNSTUDIO_REGISTRY_AZURE_BLOB_H

#include "base/hash.h"
#include "registry/azure/token.h"

#define BLOB_VERSION "2021-08-06"
#define BLOB_BLOCK   ((size_t)4 << 20)
#define BLOB_WHOLE   ((size_t)64 << 20) /* larger files go in blocks */

enum blob_signing { BLOB_SAS, BLOB_KEY, BLOB_BEARER };

struct blob_account {
    struct web *web; /* borrowed */
    char url[512];   /* "https://ACCOUNT.blob.core.windows.net/CONTAINER" */
    char account[128];
    enum blob_signing signing;
    char secret[4096]; /* SAS without '?', or the base64 key; wiped with blob_account_clear() */
    struct az_credential *credential; /* borrowed; for bearer */
    char refusal[96];                 /* the service's code of the last refusal, or "" */
};
void blob_account_clear(struct blob_account *account);

struct blob_info {
    bool exists;
    bool completed; /* its metadata says upload_status=completed */
    int64_t size;
    char md5[64]; /* base64, or "" */
};
/* HEAD. A blob that is not there is success with exists false. */
int blob_head(struct blob_account *account, const char *path, struct blob_info *out,
              struct error *error);

struct blob_upload {
    const char *path;
    const void *data;
    size_t size;
    bool overwrite; /* another content that is there is replaced */
    void (*progress)(void *context, uint64_t done, uint64_t total); /* may be NULL */
    void *context;
};
/* A blob of the same size and MD5 that is there already is success. Large ones go in blocks; blocks
 * that are there already (from an interrupted upload) are not sent again. */
int blob_put(struct blob_account *account, const struct blob_upload *upload, struct error *error);
/* Sets metadata upload_status=completed, name, version: the mark that the upload is whole. */
int blob_mark(struct blob_account *account, const char *path, const char *name, const char *version,
              struct error *error);
/* Calls `row(context, path, size)` for each blob whose path begins with `prefix`, in their order,
 * of at most 20 pages of 5000. */
int blob_list(struct blob_account *account, const char *prefix,
              int (*row)(void *context, const char *path, int64_t size, struct error *error),
              void *context, struct error *error);
/* Downloads into `file`. */
int blob_get(struct blob_account *account, const char *path, FILE *file, struct error *error);

/* What Microsoft's v2 client names the folder of an upload by: the SHA-256 of a fixed text and the
 * file's bytes. */
int az_upload_hash_begin(struct hash **out, struct error *error); /* of several parts */
int az_upload_hash(const void *data, size_t size, char out[HASH_HEX_SIZE], struct error *error);

/* The SharedKey signature of a request (base64 into `out`); `headers` are its lines, `path` is
 * encoded, `query` raw. For tests. */
int blob_sign(const char *key, const char *account, const char *method, const char *url,
              size_t body_size, const struct web_headers *headers, char out[64],
              struct error *error);

#endif
