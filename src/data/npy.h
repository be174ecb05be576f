/* One NumPy array (numpy.lib.format), from a zip archive's member or a file of its own. For the
 * data room only. */
#ifndef NNSTUDIO_DATA_NPY_H
#define NNSTUDIO_DATA_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NPY_RANK_MAX 4
#define NPY_NAME_MAX 120

struct npy_array {
    char name[NPY_NAME_MAX]; /* for messages; set by the caller */
    char kind;               /* 'u', 'i', 'f', 'b' */
    size_t size;             /* of a number, in bytes */
    size_t shape[NPY_RANK_MAX], rank;
    size_t count;    /* numbers in all */
    uint8_t *values; /* little-endian, owned */
};

/* Where the bytes come from. `read` gives as many as it has, 0 at the end, below 0 when it
 * cannot. */
struct npy_stream {
    long long (*read)(void *context, void *out, size_t size);
    void *context;
    uint64_t size; /* of the whole, as the source says */
};

/* The array's numbers; memory is had only when the header and the source's size agree. Arrays of
 * Python objects are never opened. On failure nothing is to be freed. */
int npy_read(const char *path, const struct npy_stream *stream, struct npy_array *array,
             struct error *error);
double npy_number(const struct npy_array *array, size_t i);
/* All numbers are whole and from 0 to 255. */
bool npy_is_bytes(const struct npy_array *array);
/* malloc'd; NULL when there are too many, or memory is out. */
float *npy_floats(const struct npy_array *array);
/* ERROR_INPUT with `PATH: the array "NAME" WHY`. */
int npy_unusable(const char *path, const struct npy_array *array, const char *why,
                 struct error *error);

#endif
