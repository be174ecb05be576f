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

static void add_tensor(struct parameters *parameters, const struct layer *layer, uint32_t index,
                       const struct tensor_spec *spec)
{
    struct tensor *tensor = &parameters->tensors[parameters->tensor_count++];
    snprintf(tensor->name, sizeof tensor->name, "%s.%s", layer->name, tensor_role_name(spec->role));
    tensor->layer = index;
    tensor->role = spec->role;
    tensor->rank = spec->shape.rank;
    for (uint32_t d = 0; d < tensor->rank; d++) tensor->shape[d] = spec->shape.sizes[d];
    tensor->count = shape_values(&spec->shape);
    parameters->value_count += tensor->count;
}

/* All but the values. */
static void lay_out(struct parameters *parameters, const struct network *network, enum dtype dtype)
{
    *parameters = (struct parameters){.dtype = dtype};
    for (uint32_t i = 0; i < network->layer_count; i++) {
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        for (uint32_t k = 0, count = layer_tensors(&network->layers[i], specs); k < count; k++)
            add_tensor(parameters, &network->layers[i], i, &specs[k]);
    }
}

int parameters_create(const struct network *network, enum dtype dtype, struct parameters **out,
                      struct error *error)
{
    struct parameters *parameters = calloc(1, sizeof *parameters);
    if (!parameters) return error_set_memory(error, "the parameters");
    lay_out(parameters, network, dtype);
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

const struct tensor *parameters_get(const struct parameters *parameters, uint32_t layer,
                                    enum tensor_role role)
{
    for (size_t t = 0; t < parameters->tensor_count; t++)
        if (parameters->tensors[t].layer == layer && parameters->tensors[t].role == role)
            return &parameters->tensors[t];
    return NULL;
}

struct tensor *parameters_find(struct parameters *parameters, uint32_t layer, enum tensor_role role)
{
    return (struct tensor *)(uintptr_t)parameters_get(parameters, layer, role);
}

size_t network_largest_tensor(const struct network *network, size_t samples)
{
    size_t most = samples * network_inputs(network);
    for (uint32_t i = 0; i < network->layer_count; i++) {
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        size_t output = samples * network->layers[i].outputs;
        if (output > most) most = output;
        for (uint32_t k = 0, count = layer_tensors(&network->layers[i], specs); k < count; k++)
            if (shape_values(&specs[k].shape) > most) most = shape_values(&specs[k].shape);
    }
    return most;
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

static const char *shape_text(const struct tensor *tensor, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < tensor->rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%zu", i ? ", " : "", tensor->shape[i]);
    return out;
}

bool shapes_equal(uint32_t rank, const size_t *shape, uint32_t other_rank, const size_t *other)
{
    return rank == other_rank && memcmp(shape, other, rank * sizeof *shape) == 0;
}

bool tensors_shaped_alike(const struct tensor *a, const struct tensor *b)
{
    return shapes_equal(a->rank, a->shape, b->rank, b->shape);
}

int parameters_check(const struct parameters *parameters, const struct network *network,
                     enum dtype dtype, struct error *error)
{
    struct parameters wanted;
    char is[96], must[96];
    if (parameters->dtype != dtype)
        return error_set(error, ERROR_INPUT, "the parameters are %s, not %s: convert them first",
                         dtype_name(parameters->dtype), dtype_name(dtype));
    lay_out(&wanted, network, dtype);
    if (parameters->tensor_count != wanted.tensor_count)
        return error_set(error, ERROR_INPUT,
                         "there are %zu tensors of parameters but the network has %zu: use the "
                         "parameters of this network",
                         parameters->tensor_count, wanted.tensor_count);
    for (size_t i = 0; i < wanted.tensor_count; i++) {
        const struct tensor *have = &parameters->tensors[i], *need = &wanted.tensors[i];
        if (strcmp(have->name, need->name) != 0 || !tensors_shaped_alike(have, need))
            return error_set(error, ERROR_INPUT,
                             "the parameter %s [%s] is not the network's %s [%s]: use the "
                             "parameters of this network",
                             have->name, shape_text(have, is, sizeof is), need->name,
                             shape_text(need, must, sizeof must));
    }
    return 0;
}

void parameters_copy(struct parameters *destination, const struct parameters *source)
{
    CHECK(destination->dtype == source->dtype && destination->value_count == source->value_count);
    memcpy(destination->values, source->values, source->value_count * dtype_size(source->dtype));
}

void parameters_add(struct parameters *sum, const struct parameters *other)
{
    CHECK(sum->dtype == other->dtype && sum->value_count == other->value_count);
    for (size_t t = 0; t < sum->tensor_count; t++)
        for (size_t i = 0; i < sum->tensors[t].count; i++)
            tensor_set(sum, &sum->tensors[t], i,
                       tensor_get(sum, &sum->tensors[t], i) +
                           tensor_get(other, &other->tensors[t], i));
}

void parameters_multiply(struct parameters *parameters, double factor)
{
    for (size_t t = 0; t < parameters->tensor_count; t++)
        for (size_t i = 0; i < parameters->tensors[t].count; i++)
            tensor_set(parameters, &parameters->tensors[t], i,
                       tensor_get(parameters, &parameters->tensors[t], i) * factor);
}

double parameters_penalty(const struct parameters *parameters, const struct network *network)
{
    double penalty = 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        const struct tensor *weight = parameters_get(parameters, i, ROLE_WEIGHT);
        double sizes = 0, squares = 0;
        if (!layer_is_penalized(layer)) continue;
        for (size_t k = 0; k < weight->count; k++) {
            double value = tensor_get(parameters, weight, k);
            sizes += fabs(value);
            squares += value * value;
        }
        penalty += layer->l1 * sizes + layer->l2 * squares;
    }
    return penalty;
}

void parameters_add_penalty(const struct parameters *parameters, const struct network *network,
                            double factor, struct parameters *gradients)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        const struct tensor *weight = parameters_get(parameters, i, ROLE_WEIGHT);
        struct tensor *gradient = parameters_find(gradients, i, ROLE_WEIGHT);
        if (!layer_is_penalized(layer)) continue;
        for (size_t k = 0; k < weight->count; k++) {
            double w = tensor_get(parameters, weight, k);
            double slope = layer->l1 * ((w > 0) - (w < 0)) + 2 * layer->l2 * w;
            tensor_set(gradients, gradient, k, tensor_get(gradients, gradient, k) + factor * slope);
        }
    }
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

static void draw_uniform(struct parameters *parameters, struct tensor *tensor, struct rng *rng,
                         double bound)
{
    for (size_t i = 0; i < tensor->count; i++)
        tensor_set(parameters, tensor, i, (float)rng_range(rng, -bound, bound));
}

/* The half width of a drawn tensor's distribution; 0: all `initial`. */
static double bound_of(const struct tensor_spec *spec, enum init_scheme scheme)
{
    if (!spec->fan_in) return 0;
    if (scheme == INIT_TORCH) return 1.0 / sqrt((double)spec->fan_in);
    if (spec->role == ROLE_BIAS) return 0;
    return sqrt(6.0 / ((double)spec->fan_in + (double)spec->fan_out));
}

void parameters_draw(struct parameters *parameters, const struct network *network,
                     enum init_scheme scheme, uint64_t seed)
{
    uint64_t drawn = 0; /* layers that draw: what else stands between them changes no stream */
    for (uint32_t i = 0; i < network->layer_count; i++) {
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        uint32_t count = layer_tensors(&network->layers[i], specs);
        struct rng rng;
        rng_seed(&rng, seed, RNG_WEIGHTS, drawn);
        if (count && specs[0].fan_in) drawn++;
        for (uint32_t k = 0; k < count; k++) {
            struct tensor *tensor = parameters_find(parameters, i, specs[k].role);
            double bound = bound_of(&specs[k], scheme);
            if (bound > 0)
                draw_uniform(parameters, tensor, &rng, bound);
            else
                for (size_t v = 0; v < tensor->count; v++)
                    tensor_set(parameters, tensor, v, specs[k].initial);
        }
    }
}
