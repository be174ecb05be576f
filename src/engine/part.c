#include "engine/part.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int engine_part_add(const struct engine_part *part, double *values, size_t count,
                    struct error *error)
{
    return part->add ? part->add(part->context, values, count, error) : 0;
}

static size_t inner_of(const struct layer *layer)
{
    return shape_values(&layer->input) / layer->input.sizes[0];
}

double engine_part_values(const struct engine_part *part, const struct layer *layer)
{
    return (double)part->whole * (double)inner_of(layer);
}

double engine_part_scale(const struct engine_part *part, const struct layer *layer, double squares)
{
    return 1 / sqrt(squares / engine_part_values(part, layer) + layer->epsilon);
}

static struct tensor *statistic(struct parameters *sums, uint32_t layer, enum tensor_role role)
{
    const struct tensor *found = parameters_get(sums, layer, role);
    CHECK(found);
    return &sums->tensors[found - sums->tensors];
}

void engine_part_statistics(const struct engine_part *part, const struct network *network,
                            uint32_t index, const double *mean, const double *squares,
                            struct parameters *sums)
{
    const struct layer *layer = &network->layers[index];
    double n = engine_part_values(part, layer);
    struct tensor *means = statistic(sums, index, ROLE_RUNNING_MEAN),
                  *variances = statistic(sums, index, ROLE_RUNNING_VARIANCE);
    for (size_t c = 0; c < means->count; c++) {
        tensor_set(sums, means, c, mean[c]);
        /* PyTorch's meaning: the running variance is the unbiased one */
        tensor_set(sums, variances, c, squares[c] / (n - 1));
    }
}

double engine_part_moved(const struct layer *layer, double running, double batch)
{
    return (1 - layer->momentum) * running + layer->momentum * batch;
}

static int skip_layer(const struct engine_part *part, const struct network *network, uint32_t index,
                      struct parameters *sums, struct error *error)
{
    size_t channels = network->layers[index].input.sizes[0];
    double *mean = calloc(2 * channels, sizeof *mean), *squares = mean + channels;
    int status = -1;
    if (!mean) return error_set_memory(error, "the sums of batch normalization");
    if (engine_part_add(part, mean, channels, error)) goto out;
    for (size_t c = 0; c < channels; c++)
        mean[c] /= engine_part_values(part, &network->layers[index]);
    if (engine_part_add(part, squares, channels, error)) goto out;
    engine_part_statistics(part, network, index, mean, squares, sums);
    status = 0;
out:
    free(mean);
    return status;
}

static int skip_back(const struct engine_part *part, const struct layer *layer, struct error *error)
{
    size_t count = 2 * (size_t)layer->input.sizes[0];
    double *zeros = calloc(count, sizeof *zeros);
    if (!zeros) return error_set_memory(error, "the sums of batch normalization");
    int status = engine_part_add(part, zeros, count, error);
    free(zeros);
    return status;
}

int engine_part_skip(const struct engine_part *part, const struct network *network,
                     struct parameters *sums, struct error *error)
{
    memset(sums->values, 0, sums->value_count * dtype_size(sums->dtype));
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].type == LAYER_BATCHNORM && skip_layer(part, network, i, sums, error))
            return -1;
    for (uint32_t i = network->layer_count; i-- > 0;)
        if (network->layers[i].type == LAYER_BATCHNORM &&
            skip_back(part, &network->layers[i], error))
            return -1;
    return 0;
}

/* ---- batch normalization in plain C ---- */

int part_norm_create(struct part_norm *norm, const struct layer *layer, size_t count,
                     bool channels_last, struct error *error)
{
    size_t channels = layer->input.sizes[0], inner = inner_of(layer);
    *norm = (struct part_norm){.layer = layer,
                               .count = count,
                               .channels = channels,
                               .inner = inner,
                               .channels_last = channels_last};
    norm->normal = calloc(count * channels * inner, sizeof *norm->normal);
    norm->mean = calloc(6 * channels, sizeof *norm->mean);
    if (norm->normal && norm->mean) {
        norm->squares = norm->mean + channels;
        norm->scale = norm->mean + 2 * channels;
        norm->weight = norm->mean + 3 * channels;
        norm->sums = norm->mean + 4 * channels;
        return 0;
    }
    part_norm_destroy(norm);
    return error_set_memory(error, "batch normalization");
}

void part_norm_destroy(struct part_norm *norm)
{
    free(norm->normal);
    free(norm->mean);
    free(norm->order);
    *norm = (struct part_norm){0};
}

/* Where a sample's values of a channel begin, and how far apart they are. */
static size_t place(const struct part_norm *norm, size_t sample, size_t channel, size_t *step)
{
    if (norm->order) channel = norm->order[channel];
    *step = norm->channels_last ? norm->channels : 1;
    return norm->channels_last ? sample * norm->inner * norm->channels + channel
                               : (sample * norm->channels + channel) * norm->inner;
}

#define EACH_VALUE(norm, channel, at)                                                             \
    for (size_t sample_ = 0, step_ = 0; sample_ < (norm)->count; sample_++)                       \
        for (size_t at = place(norm, sample_, channel, &step_), left_ = (norm)->inner; left_ > 0; \
             left_--, at += step_)

int part_norm_forward(struct part_norm *norm, const struct engine_part *part, const double *weight,
                      const double *bias, double *values, struct error *error)
{
    const size_t channels = norm->channels;
    for (size_t c = 0; c < channels; c++) {
        norm->mean[c] = norm->squares[c] = 0;
        EACH_VALUE(norm, c, i) norm->mean[c] += values[i];
    }
    if (engine_part_add(part, norm->mean, channels, error)) return -1;
    for (size_t c = 0; c < channels; c++) {
        norm->mean[c] /= engine_part_values(part, norm->layer);
        EACH_VALUE(norm, c, i)
        norm->squares[c] += (values[i] - norm->mean[c]) * (values[i] - norm->mean[c]);
    }
    if (engine_part_add(part, norm->squares, channels, error)) return -1;
    memcpy(norm->weight, weight, channels * sizeof *weight);
    for (size_t c = 0; c < channels; c++) {
        norm->scale[c] = engine_part_scale(part, norm->layer, norm->squares[c]);
        EACH_VALUE(norm, c, i)
        {
            norm->normal[i] = (values[i] - norm->mean[c]) * norm->scale[c];
            values[i] = norm->normal[i] * weight[c] + bias[c];
        }
    }
    return 0;
}

/* dx = w · scale · (d − Σd / n − x̂ · Σ(d · x̂) / n) */
int part_norm_backward(struct part_norm *norm, const struct engine_part *part, double *values,
                       struct error *error)
{
    const size_t channels = norm->channels;
    const double n = engine_part_values(part, norm->layer);
    double *all = calloc(2 * channels, sizeof *all);
    int status = -1;
    if (!all) return error_set_memory(error, "the sums of batch normalization");
    for (size_t c = 0; c < channels; c++) EACH_VALUE(norm, c, i)
        {
            all[c] += values[i];
            all[channels + c] += values[i] * norm->normal[i];
        }
    memcpy(norm->sums, all, 2 * channels * sizeof *all);
    if (engine_part_add(part, all, 2 * channels, error)) goto out;
    for (size_t c = 0; c < channels; c++) EACH_VALUE(norm, c, i)
    values[i] = norm->weight[c] * norm->scale[c] *
                (values[i] - all[c] / n - norm->normal[i] * all[channels + c] / n);
    status = 0;
out:
    free(all);
    return status;
}
