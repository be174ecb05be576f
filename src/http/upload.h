/* Files that come from the page: received piece by piece into a folder of the home's scratch,
 * looked at, and then kept or thrown away. Nothing that is in them is ever run.
 *
 * The list belongs to the loop's thread. What is looked at is `busy`, and stays until that ends. */
#ifndef NNSTUDIO_HTTP_UPLOAD_H
#define NNSTUDIO_HTTP_UPLOAD_H

#include <stdatomic.h>

#include "http/studio.h"

#define UPLOAD_FILES_MAX    16
#define UPLOAD_NAME_MAX     200                 /* bytes of a file's name */
#define UPLOAD_BYTES_MAX    ((uint64_t)2 << 30) /* of all files of one upload */
#define UPLOAD_PIECE_MAX    ((size_t)1 << 20)   /* of one request */
#define UPLOADS_MAX         8                   /* at a time */
#define UPLOAD_IDLE_SECONDS 900                 /* then it is thrown away */

enum upload_kind { UPLOAD_DATA, UPLOAD_MODEL };

struct upload {
    char id[24];
    char *folder;      /* owned: HOME/scratch/upload-PID-N */
    char *files;       /* owned: the folder in it that holds the files */
    char proposed[64]; /* the name it is kept under unless another is given */
    enum upload_kind kind;
    int count;
    struct upload_file {
        char name[UPLOAD_NAME_MAX + 1];
        uint64_t bytes, received;
    } file[UPLOAD_FILES_MAX];
    double used;      /* clock_monotonic() of the last request */
    bool busy;        /* a thread looks at it */
    atomic_bool stop; /* it has been thrown away meanwhile */
    struct upload *next;
};

struct uploads;
int uploads_create(struct studio *studio, struct uploads **out, struct error *error);
/* Throws all away. Call it when no thread looks at one anymore. NULL is fine. */
void uploads_destroy(struct uploads *uploads);
/* Throws away what was not used for UPLOAD_IDLE_SECONDS; call it now and then. */
void uploads_tick(struct uploads *uploads);

/* `files` is the "files" of a NewUpload. Names, kinds, sizes and room on the disk are checked
 * before anything is received. */
int upload_begin(struct uploads *uploads, const json_t *files, struct upload **out,
                 struct error *error);
/* The next piece of a file. ERROR_CONFLICT when `offset` is not where the last one ended. */
int upload_take(struct upload *upload, const char *index, uint64_t offset, const void *bytes,
                size_t size, struct error *error);
/* NULL and ERROR_NOT_FOUND. What is found counts as used. */
struct upload *upload_find(struct uploads *uploads, const char *id, struct error *error);
bool upload_complete(const struct upload *upload);
/* At once, or when the thread that looks at it has ended (upload_free_again()). */
void upload_discard(struct uploads *uploads, struct upload *upload);
void upload_free_again(struct uploads *uploads, struct upload *upload);
/* An Upload (schemas/uploads.json). New reference. */
json_t *upload_json(const struct upload *upload);

/* --- for threads --- */

/* By its name: a file of many samples. */
bool upload_is_data(const char *name);

/* Unpacks a zip archive of data into `folder`, which is made: plain files and folders only, no path
 * that leads out, at most UPLOAD_BYTES_MAX. *skipped counts hidden files. `stop` ends it early. */
int upload_unpack(const char *archive, const char *folder, atomic_bool *stop, size_t *skipped,
                  struct error *error);

/* What its user said of what the files do not decide; "" and 0: nothing. */
struct upload_answers {
    char label_column[64], activation[400], order[400], key[200];
    double scale;
};
/* An UploadLook: what is in the files. What is wrong with them is in the answer, no failure. */
int upload_look(struct upload *upload, const struct upload_answers *answers, json_t **out,
                struct error *error);
/* Into HOME/data or HOME/models under that name, which must be free. A KeptUpload. */
int upload_keep(struct upload *upload, const char *home, const char *name,
                const struct upload_answers *answers, json_t **out, struct error *error);

#endif
