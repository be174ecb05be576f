/* Files of an asset that Azure ML gives a place for (startPendingUpload): a container of their own,
 * with a SAS. For this folder only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_PENDING_H
#define NNSTUDIO_REGISTRY_AZURE_PENDING_H

#include "registry/azure/connection.h"

struct az_part {
    const char *path; /* in the asset's folder */
    const void *data;
    size_t size;
};
struct az_pending {
    const char *path, *root; /* of the version, below the workspace or from ARM's root */
    const char *name, *version;
    const char *folder; /* that the parts lie in; NULL: in the container itself */
    const struct az_part *parts;
    size_t count;
    void (*progress)(void *context, uint64_t done, uint64_t total); /* may be NULL */
    void *context;
};
/* *uri (malloc'd) is the address of what was uploaded: of the folder, or of the one file. */
int az_pending_upload(struct az_connection *connection, const struct az_pending *pending,
                      char **uri, struct error *error);

/* What Azure finds a code folder by (hash_version 202208). */
#define AZ_CODE_HASH_VERSION "202208"
int az_code_hash(const struct az_part *parts, size_t count, char out[HASH_HEX_SIZE],
                 struct error *error);

#endif
