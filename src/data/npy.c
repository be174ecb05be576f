#include "data/npy.h"

#include <stdlib.h>
#include <string.h>

#include "data/dataset_impl.h"

#define HEADER_MAX 4096

int npy_unusable(const char *path, const struct npy_array *array, const char *why,
                 struct error *error)
{
    return error_set(error, ERROR_INPUT, "%s: the array \"%s\" %s", path, array->name, why);
}

/* The dictionary that a header is, written by NumPy as {'descr': '|u1', 'fortran_order': False,
 * 'shape': (60000, 28, 28), }. */
static int parse_header(const char *path, const char *header, struct npy_array *array,
                        struct error *error)
{
    const char *descr = strstr(header, "'descr':"), *order = strstr(header, "'fortran_order':"),
               *shape = strstr(header, "'shape':");
    if (!descr || !order || !shape)
        return npy_unusable(path, array, "has no readable header: save the file again", error);
    descr += strcspn(descr + 8, "'") + 8;
    if (*descr == '\'') descr++;
    if (descr[0] == '>' || (descr[0] != '|' && descr[0] != '<' && descr[0] != '='))
        return npy_unusable(path, array, "is big-endian or structured: save it with a plain dtype",
                            error);
    array->kind = descr[1];
    array->size = strtoul(descr + 2, NULL, 10);
    if (array->kind == 'O')
        return npy_unusable(path, array,
                            "holds Python objects, which can run programs when opened: save plain "
                            "numbers",
                            error);
    if (!array->kind || !strchr("uifb", array->kind) ||
        (array->size != 1 && array->size != 2 && array->size != 4 && array->size != 8) ||
        (array->kind == 'f' && array->size < 4))
        return npy_unusable(path, array,
                            "is of another type than 8- to 64-bit integers, float32 or float64: "
                            "convert it",
                            error);
    if (strncmp(order + strlen("'fortran_order':") + 1, "False", 5) != 0)
        return npy_unusable(path, array, "is in Fortran order: save numpy.ascontiguousarray(array)",
                            error);
    array->count = 1;
    for (const char *at = shape + strcspn(shape, "(") + 1; *at && *at != ')';) {
        char *end;
        unsigned long long side = strtoull(at, &end, 10);
        if (end == at) break;
        if (array->rank == NPY_RANK_MAX || side > DATASET_MAX_BYTES ||
            (side && array->count > DATASET_MAX_BYTES / side))
            return npy_unusable(path, array, "is too large or has more than 4 dimensions", error);
        array->shape[array->rank++] = side;
        array->count *= side;
        at = end + strspn(end, ", ");
    }
    if (!array->rank || !array->count) return npy_unusable(path, array, "is empty", error);
    return 0;
}

static int read_exactly(const struct npy_stream *stream, void *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        long long got = stream->read(stream->context, (char *)out + done, size - done);
        if (got <= 0) return -1;
        done += (size_t)got;
    }
    return 0;
}

/* The text of the header, and how long it is with all before it. */
static int read_header(const char *path, const struct npy_stream *stream,
                       const struct npy_array *array, char header[HEADER_MAX + 1], size_t *end,
                       struct error *error)
{
    uint8_t head[12];
    if (read_exactly(stream, head, 10) || memcmp(head, "\x93NUMPY", 6) != 0 ||
        (head[6] > 1 && read_exactly(stream, head + 10, 2)))
        return npy_unusable(path, array, "is not a NumPy array: save it with numpy.save or savez",
                            error);
    size_t length = head[8] | (size_t)head[9] << 8;
    *end = 10;
    if (head[6] > 1) {
        length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
        *end = 12;
    }
    if (length > HEADER_MAX || read_exactly(stream, header, length))
        return npy_unusable(path, array, "has no readable header: save the file again", error);
    header[length] = '\0';
    *end += length;
    return 0;
}

int npy_read(const char *path, const struct npy_stream *stream, struct npy_array *array,
             struct error *error)
{
    char header[HEADER_MAX + 1];
    uint8_t extra;
    size_t start;
    if (read_header(path, stream, array, header, &start, error) ||
        parse_header(path, header, array, error))
        return -1;
    /* Before any memory is had: is the source's own size what the header promises? */
    if (array->count > DATASET_MAX_BYTES / array->size * 4 ||
        stream->size != start + array->count * array->size)
        return npy_unusable(path, array,
                            "is of another size than its header says: save the file again", error);
    array->values = malloc(array->count * array->size);
    if (!array->values) return error_set_memory(error, "an array");
    if (!read_exactly(stream, array->values, array->count * array->size) &&
        stream->read(stream->context, &extra, 1) == 0)
        return 0;
    free(array->values);
    array->values = NULL;
    return npy_unusable(path, array, "is damaged: copy or save the file again", error);
}

double npy_number(const struct npy_array *array, size_t i)
{
    const uint8_t *at = array->values + i * array->size;
    uint64_t bits = 0;
    CHECK(array->size >= 1 && array->size <= 8);
    for (size_t b = 0; b < array->size; b++) bits |= (uint64_t)at[b] << (8 * b);
    if (array->kind == 'f' && array->size == 4) {
        float value;
        uint32_t half = (uint32_t)bits;
        memcpy(&value, &half, sizeof value);
        return (double)value;
    }
    if (array->kind == 'f') {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    if (array->kind != 'i') return (double)bits;
    unsigned unused = 64 - 8 * (unsigned)array->size;
    return (double)((int64_t)(bits << unused) >> unused);
}

bool npy_is_bytes(const struct npy_array *array)
{
    if (array->size == 1 && array->kind != 'i') return true;
    for (size_t i = 0; i < array->count; i++) {
        double value = npy_number(array, i);
        if (!(value >= 0 && value <= 255) || value != (double)(uint8_t)value) return false;
    }
    return true;
}

float *npy_floats(const struct npy_array *array)
{
    if (array->count > DATASET_MAX_BYTES / sizeof(float)) return NULL;
    float *numbers = malloc(array->count * sizeof *numbers);
    for (size_t i = 0; numbers && i < array->count; i++) numbers[i] = (float)npy_number(array, i);
    return numbers;
}
