#include "modelfile/state_dict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "model files are little-endian and read in place");

static const size_t stored_sizes[] = {
    [STORED_FLOAT16] = 2,
    [STORED_BFLOAT16] = 2,
    [STORED_FLOAT32] = 4,
    [STORED_FLOAT64] = 8,
};

size_t stored_type_size(enum stored_type type)
{
    return stored_sizes[type];
}

enum dtype stored_type_dtype(enum stored_type type)
{
    return type == STORED_FLOAT64 ? DTYPE_FLOAT64 : DTYPE_FLOAT32;
}

void state_dict_clear(struct state_dict *state)
{
    for (size_t i = 0; i < state->count; i++) {
        free(state->tensors[i].name);
        free(state->tensors[i].values);
    }
    free(state->tensors);
    *state = (struct state_dict){0};
}

int shape_count(uint32_t rank, const size_t *shape, size_t limit, size_t *count)
{
    size_t total = 1;
    for (uint32_t i = 0; i < rank; i++)
        if (__builtin_mul_overflow(total, shape[i], &total) || total > limit) return -1;
    *count = total;
    return 0;
}

json_t *shape_to_json(uint32_t rank, const size_t *shape)
{
    json_t *value = json_array();
    for (uint32_t d = 0; d < rank; d++)
        json_array_append_new(value, json_integer((json_int_t)shape[d]));
    return value;
}

const char *shape_text(uint32_t rank, const size_t *shape, char out[64])
{
    FILE *stream = fmemopen(out, 64, "w");
    out[0] = '\0';
    if (!stream) return out;
    fputc('[', stream);
    for (uint32_t i = 0; i < rank; i++) fprintf(stream, i ? ", %zu" : "%zu", shape[i]);
    fputc(']', stream);
    fclose(stream);
    out[63] = '\0';
    return out;
}

static int check_name(const char *name, struct error *error)
{
    size_t length = strlen(name);
    if (!length || length > STATE_DICT_MAX_NAME)
        return error_set(error, ERROR_INPUT, "a tensor's name has %zu bytes: use 1 to %d", length,
                         STATE_DICT_MAX_NAME);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return error_set(error, ERROR_INPUT,
                             "a tensor's name holds control characters: rename it");
    return 0;
}

static int grow(struct state_dict *state, struct error *error)
{
    if (state->count == STATE_DICT_MAX_TENSORS)
        return error_set(error, ERROR_INPUT,
                         "more than %d tensors: this is not a model for the studio",
                         STATE_DICT_MAX_TENSORS);
    if (state->count < state->capacity) return 0;
    size_t capacity = state->capacity ? 2 * state->capacity : 16;
    struct named_tensor *tensors = realloc(state->tensors, capacity * sizeof *tensors);
    if (!tensors) return error_set_memory(error, "the list of tensors");
    state->tensors = tensors;
    state->capacity = capacity;
    return 0;
}

int state_dict_add(struct state_dict *state, const char *name, enum dtype dtype, uint32_t rank,
                   const size_t *shape, struct named_tensor **out, struct error *error)
{
    if (check_name(name, error) || grow(state, error)) return -1;
    if (state_dict_find(state, name))
        return error_set(error, ERROR_INPUT, "the tensor %s is there twice", name);
    if (rank > STATE_DICT_MAX_RANK)
        return error_set(error, ERROR_INPUT, "the tensor %s has %u dimensions: the most is %d",
                         name, rank, STATE_DICT_MAX_RANK);
    struct named_tensor tensor = {.dtype = dtype, .rank = rank};
    if (shape_count(rank, shape, STATE_DICT_MAX_VALUES - state->value_count, &tensor.count))
        return error_set(error, ERROR_INPUT,
                         "the tensor %s is too large: the most is %zu values in all", name,
                         STATE_DICT_MAX_VALUES);
    if (rank) memcpy(tensor.shape, shape, rank * sizeof *shape);
    tensor.name = strdup(name);
    tensor.values = calloc(tensor.count ? tensor.count : 1, dtype_size(dtype));
    if (!tensor.name || !tensor.values) {
        free(tensor.name);
        free(tensor.values);
        return error_set_memory(error, "a tensor");
    }
    state->value_count += tensor.count;
    state->tensors[state->count] = tensor;
    *out = &state->tensors[state->count++];
    return 0;
}

int state_dict_keep(struct state_dict *state, const char *name, uint32_t rank, const size_t *shape,
                    const double *values, struct error *error)
{
    struct named_tensor *tensor;
    if (state_dict_add(state, name, DTYPE_FLOAT64, rank, shape, &tensor, error)) return -1;
    memcpy(tensor->values, values, tensor->count * sizeof *values);
    return 0;
}

const struct named_tensor *state_dict_find(const struct state_dict *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->tensors[i].name, name) == 0) return &state->tensors[i];
    return NULL;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16 to binary32, exact; subnormals by way of a multiplication with 2^-24. */
static float float_from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31,
             fraction = half & 0x3ff;
    if (exponent == 0) {
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    if (exponent == 31) return float_from_bits(sign | 0x7f800000 | fraction << 13);
    return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

void named_tensor_fill(struct named_tensor *tensor, size_t offset, enum stored_type type,
                       const void *source, size_t stride, size_t count)
{
    CHECK(tensor->dtype == stored_type_dtype(type) && offset <= tensor->count &&
          count <= tensor->count - offset);
    size_t size = stored_type_size(type);
    const char *from = source;
    if (type == STORED_FLOAT32 || type == STORED_FLOAT64) {
        char *to = (char *)tensor->values + offset * size;
        if (stride == 1) {
            if (count) memcpy(to, from, count * size);
            return;
        }
        for (size_t i = 0; i < count; i++) memcpy(to + i * size, from + i * stride * size, size);
        return;
    }
    float *to = (float *)tensor->values + offset;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, from + i * stride * size, sizeof bits);
        to[i] = type == STORED_FLOAT16 ? float_from_half(bits)
                                       : float_from_bits((uint32_t)bits << 16);
    }
}
