/* A record out of a zip archive of which nothing is believed. Private to this room. */
#ifndef NNSTUDIO_MODELFILE_ZIP_RECORD_H
#define NNSTUDIO_MODELFILE_ZIP_RECORD_H

#include <stdint.h>
#include <zip.h>

#include "base/error.h"

/* The whole record `index` (negative: it is missing), malloc'd and NUL-terminated past `size`. Its
 * claimed size must be * plausible for an archive of `file_size` bytes, and at most `limit`, before
 * memory is had for it; the checksum is * checked. `name` is for messages. */
int zip_record_read(zip_t *zip, zip_int64_t index, const char *name, uint64_t file_size,
                    size_t limit, char **out, size_t *size, struct error *error);

#endif
