/* IDX files, plain or gzip-compressed (told apart by their first bytes, not their name). Format:
 * http://yann.lecun.com/exdb/mnist — big-endian 32-bit integers (images: 2051, count, rows,
 * columns; labels: 2049, count), then one byte a pixel, row by row, or one byte a label. */
#ifndef NNSTUDIO_DATA_IDX_H
#define NNSTUDIO_DATA_IDX_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct idx_images {
    uint32_t count; /* as the header says, whatever was read */
    uint32_t rows, columns;
    size_t read;     /* images in `pixels` */
    uint8_t *pixels; /* [read, rows * columns], malloc'd, the caller frees */
};

struct idx_labels {
    uint32_t count;
    uint8_t *labels; /* [count], malloc'd, the caller frees */
};

/* Reads the first `limit` images (0: all). A size that the header lies about, damage, an early end
 * and bytes after the end are errors; what lies beyond `limit` is not looked at. */
int idx_read_images(const char *path, uint32_t limit, struct idx_images *out, struct error *error);
int idx_read_labels(const char *path, struct idx_labels *out, struct error *error);

#endif
