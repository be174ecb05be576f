#include "net/parameters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

const char *dtype_name(enum dtype dtype)
{
    return dtype == DTYPE_FLOAT64 ? "float64" : "float32";
}

int dtype_parse(const char *name, enum dtype *out, struct error *error)
{
    if (strcmp(name, "float32") == 0) {
        *out = DTYPE_FLOAT32;
    } else if (strcmp(name, "float64") == 0) {
        *out = DTYPE_FLOAT64;
    } else {
        return error_set(error, ERROR_INPUT, "unknown dtype \"%.40s\": use float32 or float64",
                         name);
    }
    return 0;
}

size_t dtype_size(enum dtype dtype)
{
    return dtype == DTYPE_FLOAT64 ? sizeof(double) : sizeof(float);
}

static void add_tensor(struct parameters *parameters, size_t rows, size_t columns, const char *kind,
                       uint32_t layer)
{
    struct tensor *tensor = &parameters->tensors[parameters->tensor_count++];
    snprintf(tensor->name, sizeof tensor->name, "fc%u.%s", layer + 1, kind);
    tensor->rank = columns ? 2 : 1;
    tensor->shape[0] = rows;
    tensor->shape[1] = columns;
    tensor->count = columns ? rows * columns : rows;
    parameters->value_count += tensor->count;
}

int parameters_create(const struct network *network, enum dtype dtype, struct parameters **out,
                      struct error *error)
{
    struct parameters *parameters = calloc(1, sizeof *parameters);
    if (!parameters) return error_set_memory(error, "the parameters");
    parameters->dtype = dtype;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        add_tensor(parameters, network->layers[i].outputs, network->layers[i].inputs, "weight", i);
        add_tensor(parameters, network->layers[i].outputs, 0, "bias", i);
    }
    size_t bytes = (parameters->value_count * dtype_size(dtype) + 63) & ~(size_t)63;
    parameters->values = aligned_alloc(64, bytes);
    if (!parameters->values) {
        free(parameters);
        return error_set_memory(error, "the parameters");
    }
    memset(parameters->values, 0, bytes);
    char *place = parameters->values;
    for (size_t i = 0; i < parameters->tensor_count; i++) {
        parameters->tensors[i].values = place;
        place += parameters->tensors[i].count * dtype_size(dtype);
    }
    *out = parameters;
    return 0;
}

void parameters_destroy(struct parameters *parameters)
{
    if (!parameters) return;
    free(parameters->values);
    free(parameters);
}

double tensor_get(const struct parameters *parameters, const struct tensor *tensor, size_t index)
{
    return parameters->dtype == DTYPE_FLOAT64 ? ((const double *)tensor->values)[index]
                                              : (double)((const float *)tensor->values)[index];
}

void tensor_set(struct parameters *parameters, struct tensor *tensor, size_t index, double value)
{
    if (parameters->dtype == DTYPE_FLOAT64) {
        ((double *)tensor->values)[index] = value;
    } else {
        ((float *)tensor->values)[index] = (float)value;
    }
}

int parameters_convert(const struct parameters *source, const struct network *network,
                       enum dtype dtype, struct parameters **out, struct error *error)
{
    if (parameters_create(network, dtype, out, error)) return -1;
    CHECK((*out)->value_count == source->value_count &&
          (*out)->tensor_count == source->tensor_count);
    for (size_t t = 0; t < source->tensor_count; t++)
        for (size_t i = 0; i < source->tensors[t].count; i++)
            tensor_set(*out, &(*out)->tensors[t], i, tensor_get(source, &source->tensors[t], i));
    return 0;
}

void parameters_copy(struct parameters *destination, const struct parameters *source)
{
    CHECK(destination->dtype == source->dtype && destination->value_count == source->value_count);
    memcpy(destination->values, source->values, source->value_count * dtype_size(source->dtype));
}

bool parameters_finite(const struct parameters *parameters)
{
    for (size_t t = 0; t < parameters->tensor_count; t++)
        for (size_t i = 0; i < parameters->tensors[t].count; i++)
            if (!isfinite(tensor_get(parameters, &parameters->tensors[t], i))) return false;
    return true;
}

const char *init_scheme_name(enum init_scheme scheme)
{
    return scheme == INIT_KERAS ? "keras" : "torch";
}

int init_scheme_parse(const char *name, enum init_scheme *out, struct error *error)
{
    if (strcmp(name, "torch") == 0) {
        *out = INIT_TORCH;
    } else if (strcmp(name, "keras") == 0) {
        *out = INIT_KERAS;
    } else {
        return error_set(error, ERROR_INPUT,
                         "unknown initial distribution \"%.40s\": use torch or keras", name);
    }
    return 0;
}

static void draw_uniform(struct parameters *parameters, struct tensor *tensor, struct rng *rng,
                         double bound)
{
    for (size_t i = 0; i < tensor->count; i++)
        tensor_set(parameters, tensor, i, (float)rng_range(rng, -bound, bound));
}

void parameters_draw(struct parameters *parameters, const struct network *network,
                     enum init_scheme scheme, uint64_t seed)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        struct tensor *weight = &parameters->tensors[2 * i],
                      *bias = &parameters->tensors[2 * i + 1];
        struct rng rng;
        rng_seed(&rng, seed, RNG_WEIGHTS, i);
        if (scheme == INIT_TORCH) {
            double bound = 1.0 / sqrt((double)layer->inputs);
            draw_uniform(parameters, weight, &rng, bound);
            draw_uniform(parameters, bias, &rng, bound);
        } else {
            draw_uniform(parameters, weight, &rng,
                         sqrt(6.0 / ((double)layer->inputs + layer->outputs)));
            draw_uniform(parameters, bias, &rng, 0.0);
        }
    }
}
