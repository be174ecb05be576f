/* New zip archives through libzip, written into a file that we open ourselves. (libzip's own way
 * draws a random name for a temporary file from OpenSSL, whose set-up crashes when memory is out.)
 * The file at `path` is written in place: it is the caller's business that nobody takes it for a
 * whole archive before zip_new_finish() says so. */
#ifndef NNSTUDIO_BASE_ZIP_NEW_H
#define NNSTUDIO_BASE_ZIP_NEW_H

#include <zip.h>

#include "base/error.h"

/* Ended by zip_new_finish() or libzip's zip_discard(). */
int zip_new(const char *path, zip_t **out, struct error *error);
/* An entry with a file's content, which is read when the archive is finished. */
int zip_new_add_file(zip_t *archive, const char *name, const char *path, struct error *error);
/* The same of bytes, which the caller keeps until then. */
int zip_new_add_bytes(zip_t *archive, const char *name, const void *bytes, size_t size,
                      struct error *error);
/* Writes all entries and frees the archive, whatever comes of it; a file that could not be finished
 * is removed. `path` is for the message. */
int zip_new_finish(zip_t *archive, const char *path, struct error *error);

#endif
