/* A state dict: named tensors as some file held them, copied out of it, before they are a model.
 *
 * float16 and bfloat16 become float32 on the way in (exactly); float32 and float64 are kept to the
 * bit. */
#ifndef NNSTUDIO_MODELFILE_STATE_DICT_H
#define NNSTUDIO_MODELFILE_STATE_DICT_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "net/parameters.h"

#define STATE_DICT_MAX_RANK    8
#define STATE_DICT_MAX_TENSORS 4096
#define STATE_DICT_MAX_NAME    512
/* The most values a state dict may hold: a checkpoint's weights and two optimizer slots. */
#define STATE_DICT_MAX_VALUES (3 * NETWORK_MAX_PARAMETERS)

/* How a file stores the numbers. Little-endian everywhere. */
enum stored_type { STORED_FLOAT16, STORED_BFLOAT16, STORED_FLOAT32, STORED_FLOAT64 };
size_t stored_type_size(enum stored_type type);      /* bytes per value */
enum dtype stored_type_dtype(enum stored_type type); /* what the values become here */

struct named_tensor {
    char *name; /* owned; printable, so it may stand in a message */
    enum dtype dtype;
    uint32_t rank;
    size_t shape[STATE_DICT_MAX_RANK];
    size_t count; /* product of shape */
    void *values; /* owned; float or double by dtype, row-major; never NULL */
};

/* In the order of the file. Zero it to begin with; state_dict_clear() frees what it holds. */
struct state_dict {
    size_t count, capacity;
    size_t value_count; /* of all tensors */
    struct named_tensor *tensors;
};

void state_dict_clear(struct state_dict *state);
/* Adds a tensor of zeros and returns it in *out (valid until the next call). Refuses a name that is
 * empty, too long, not printable or there already, and sizes over the caps. */
int state_dict_add(struct state_dict *state, const char *name, enum dtype dtype, uint32_t rank,
                   const size_t *shape, struct named_tensor **out, struct error *error);
/* The same with a copy of `values`, row-major: what an engine emits is kept like this. */
int state_dict_keep(struct state_dict *state, const char *name, uint32_t rank, const size_t *shape,
                    const double *values, struct error *error);
const struct named_tensor *state_dict_find(const struct state_dict *state, const char *name);

/* Copies `count` stored values, one every `stride` values from `source` (unaligned is fine), to
 * places `offset`, offset+1, … of the tensor, whose dtype must be stored_type_dtype(type). */
void named_tensor_fill(struct named_tensor *tensor, size_t offset, enum stored_type type,
                       const void *source, size_t stride, size_t count);
/* "[128, 784]" into `out`, for messages. */
const char *shape_text(uint32_t rank, const size_t *shape, char out[64]);
/* The same as a list of numbers, [128,784]; new reference. */
json_t *shape_to_json(uint32_t rank, const size_t *shape);
/* The product of `shape` into *count; -1 when it overflows or is over `limit`. */
int shape_count(uint32_t rank, const size_t *shape, size_t limit, size_t *count);

#endif
