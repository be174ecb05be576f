/* Batch and layer normalization. */
#include "engine/native/plan_lines.h"

/* Adds up what `map` holds in all blocks: Σ term, by lanes, in double. */
#define SUM_MAP(total, op, batch, map, body)                                                    \
    do {                                                                                        \
        for (size_t block = 0; block < (batch)->blocks; block++) {                              \
            vec mask[ACROSS], part_[ACROSS] = {0};                                              \
            fill_mask(batch, block, mask);                                                      \
            for (uint32_t row = 0; row < (op)->in->rows; row++) {                               \
                const real *x = line_at((op)->in, (op)->in->values, block,                      \
                                        map_line((op)->in, map, row, 0));                       \
                const real *d = line_at((op)->out, (op)->out->delta, block,                     \
                                        map_line((op)->out, map, row, 0));                      \
                for (uint32_t column = 0; column < (op)->in->columns;                           \
                     column++, x += PLACES, d += PLACES)                                        \
                    for (size_t v = 0; v < ACROSS; v++) {                                       \
                        vec value = load(x + v * LANES), delta = load(d + v * LANES);           \
                        (void)value, (void)delta;                                               \
                        part_[v] += mask[v] * (body);                                           \
                    }                                                                           \
            }                                                                                   \
            for (size_t p = 0; p < PLACES; p++) (total) += (double)part_[p / LANES][p % LANES]; \
        }                                                                                       \
    } while (0)

static double batch_values(const struct plan_op *op, const struct plan_batch *batch)
{
    return (double)batch->whole * op->in->rows * op->in->columns;
}

/* 1 / deviation, and of a whole batch the running statistics, from the sum of squared distances. */
static void settle_statistics(const struct plan_op *op, const struct plan_batch *batch,
                              uint32_t map)
{
    real *mean = op->tensors[ROLE_RUNNING_MEAN].values,
         *variance = op->tensors[ROLE_RUNNING_VARIANCE].values;
    double weight = op->layer->momentum, n = batch_values(op, batch), squares = op->sums[map];
    op->scale[map] = 1 / sqrt(squares / n + op->layer->epsilon);
    op->squares[map] = squares;
    if (batch->apart) return;
    /* PyTorch's meaning: the running variance is the unbiased one */
    mean[map] = (real)((1 - weight) * (double)mean[map] + weight * op->mean[map]);
    variance[map] = (real)((1 - weight) * (double)variance[map] + weight * squares / (n - 1));
}

static void measure_sums(const struct plan_op *op, const struct plan_batch *batch, uint32_t map)
{
    double sum = 0;
    SUM_MAP(sum, op, batch, map, value);
    op->sums[map] = sum;
}

static void measure_squares(const struct plan_op *op, const struct plan_batch *batch, uint32_t map)
{
    double squares = 0;
    op->mean[map] = op->sums[map] / batch_values(op, batch);
    vec middle = splat((real)op->mean[map]);
    SUM_MAP(squares, op, batch, map, (value - middle) * (value - middle));
    op->sums[map] = squares;
}

static void measure_derivatives(const struct plan_op *op, const struct plan_batch *batch,
                                uint32_t map)
{
    real *weight_gradient = op->tensors[ROLE_WEIGHT].gradient,
         *bias_gradient = op->tensors[ROLE_BIAS].gradient;
    vec mean = splat((real)op->mean[map]), scale = splat((real)op->scale[map]);
    double sum = 0, product = 0;
    SUM_MAP(sum, op, batch, map, delta);
    SUM_MAP(product, op, batch, map, delta * ((value - mean) * scale));
    weight_gradient[map] = (real)product;
    bias_gradient[map] = (real)sum;
    op->sums[map] = sum;
    op->sums[op->in->channels + map] = product;
}

static void batchnorm_statistics(const struct plan_op *op, const struct plan_batch *batch,
                                 uint32_t map)
{
    const real *mean = op->tensors[ROLE_RUNNING_MEAN].values,
               *variance = op->tensors[ROLE_RUNNING_VARIANCE].values;
    if (!batch->training) {
        op->mean[map] = (double)mean[map];
        op->scale[map] = 1 / sqrt((double)variance[map] + op->layer->epsilon);
        return;
    }
    if (!batch->apart) {
        measure_sums(op, batch, map);
        measure_squares(op, batch, map);
    }
    settle_statistics(op, batch, map);
}

void NATIVE_NAME(measure)(const struct plan_op *op, const struct plan_batch *batch,
                          enum plan_measure what, size_t from, size_t to)
{
    static void (*const kinds[])(const struct plan_op *op, const struct plan_batch *batch,
                                 uint32_t map) = {
        [MEASURE_SUMS] = measure_sums,
        [MEASURE_SQUARES] = measure_squares,
        [MEASURE_DERIVATIVES] = measure_derivatives,
    };
    for (size_t map = from; map < to; map++) kinds[what](op, batch, (uint32_t)map);
}

static void batchnorm_forward(const struct plan_op *op, const struct plan_batch *batch,
                              size_t share, size_t first, size_t last)
{
    const real *weight = op->tensors[ROLE_WEIGHT].values, *bias = op->tensors[ROLE_BIAS].values;
    size_t count = (size_t)op->in->columns * PLACES;
    (void)share;
    for (size_t item = first; item < last; item++) {
        uint32_t c = (uint32_t)item;
        batchnorm_statistics(op, batch, c);
        vec mean = splat((real)op->mean[c]), scale = splat((real)op->scale[c]);
        vec w = splat(weight[c]), b = splat(bias[c]);
        for (size_t block = 0; block < batch->blocks; block++) {
            struct part part = {block, c, c + 1};
            EACH_ROW(op, part, op->in->values, op->out->values)
            for (size_t i = 0; i < count; i += LANES)
                store(y + i, (load(x + i) - mean) * scale * w + b);
            NATIVE_NAME(activate_maps)(op, block, c, c + 1);
        }
    }
}

/* dx = w · scale · (d − Σd / n − x̂ · Σ(d · x̂) / n); by running statistics, which do not depend on
 * x, dx = w · scale · d */
static void batchnorm_backward(const struct plan_op *op, const struct plan_batch *batch,
                               size_t share, size_t first, size_t last)
{
    const real *weight = op->tensors[ROLE_WEIGHT].values;
    size_t count = (size_t)op->in->columns * PLACES;
    double n = batch_values(op, batch);
    (void)share;
    for (size_t item = first; item < last; item++) {
        uint32_t c = (uint32_t)item;
        vec mean = splat((real)op->mean[c]), scale = splat((real)op->scale[c]);
        if (batch->training && !batch->apart) measure_derivatives(op, batch, c);
        double sum = batch->training ? op->sums[c] : 0,
               product = batch->training ? op->sums[op->in->channels + c] : 0;
        if (!batch->input_wanted) continue;
        vec a = splat((real)(sum / n)), b = splat((real)(product / n)),
            w = splat(weight[c]) * scale;
        for (size_t block = 0; block < batch->blocks; block++) {
            struct part part = {block, c, c + 1};
            vec mask[ACROSS];
            fill_mask(batch, block, mask);
            EACH_ROW(op, part, op->in->delta, op->out->delta)
            {
                const real *values = line_at(op->in, op->in->values, block,
                                             map_line(op->in, c, row, 0));
                for (size_t i = 0; i < count; i += LANES) {
                    vec normal = (load(values + i) - mean) * scale;
                    store(x + i, mask[i / LANES % ACROSS] * w * (load(y + i) - a - normal * b));
                }
            }
            finish_delta(op, block, c, c + 1);
        }
    }
}

/* Mean and 1/deviation of every place of a block, over all its values: into op->mean and
 * op->scale. */
static void layernorm_statistics(const struct plan_op *op, size_t block, vec mean[ACROSS],
                                 vec scale[ACROSS])
{
    const struct grid *in = op->in;
    vec n = splat((real)((size_t)in->channels * in->rows * in->columns));
    vec sums[ACROSS] = {0}, squares[ACROSS] = {0};
#define EACH_LINE                                                                       \
    for (uint32_t c = 0; c < in->channels; c++)                                         \
        for (uint32_t r = 0; r < in->rows; r++)                                         \
            for (const real *x = line_at(in, in->values, block, map_line(in, c, r, 0)), \
                            *end_ = x + (size_t)in->columns * PLACES;                   \
                 x < end_; x += PLACES)
    EACH_LINE for (size_t v = 0; v < ACROSS; v++) sums[v] += load(x + v * LANES);
    for (size_t v = 0; v < ACROSS; v++) mean[v] = sums[v] / n;
    EACH_LINE for (size_t v = 0; v < ACROSS; v++)
    {
        vec away = load(x + v * LANES) - mean[v];
        squares[v] += away * away;
    }
#undef EACH_LINE
    for (size_t v = 0; v < ACROSS; v++)
        scale[v] = splat(1) / square_root(squares[v] / n + splat((real)op->layer->epsilon));
    for (size_t p = 0; p < PLACES; p++) {
        op->mean[block * PLACES + p] = (double)mean[p / LANES][p % LANES];
        op->scale[block * PLACES + p] = (double)scale[p / LANES][p % LANES];
    }
}

INLINE void layernorm_recall(const struct plan_op *op, size_t block, vec mean[ACROSS],
                             vec scale[ACROSS])
{
    for (size_t p = 0; p < PLACES; p++) {
        mean[p / LANES][p % LANES] = (real)op->mean[block * PLACES + p];
        scale[p / LANES][p % LANES] = (real)op->scale[block * PLACES + p];
    }
}

/* A value's index among a layer's weights: channels, rows, columns. */
INLINE size_t value_index(const struct grid *grid, uint32_t channel, uint32_t row)
{
    return ((size_t)channel * grid->rows + row) * grid->columns;
}

static void layernorm_forward(const struct plan_op *op, const struct plan_batch *batch,
                              size_t share, size_t first, size_t last)
{
    const real *weight = op->tensors[ROLE_WEIGHT].values, *bias = op->tensors[ROLE_BIAS].values;
    (void)share;
    (void)batch;
    for (size_t block = first; block < last; block++) {
        vec mean[ACROSS], scale[ACROSS];
        struct part part = {block, 0, op->out->channels};
        layernorm_statistics(op, block, mean, scale);
        EACH_ROW(op, part, op->in->values, op->out->values)
        {
            size_t index = value_index(op->in, map, row);
            for (uint32_t c = 0; c < op->in->columns; c++, index++)
                for (size_t v = 0; v < ACROSS; v++) {
                    size_t i = c * PLACES + v * LANES;
                    store(y + i, (load(x + i) - mean[v]) * scale[v] * splat(weight[index]) +
                                     splat(bias[index]));
                }
        }
        NATIVE_NAME(activate_maps)(op, block, 0, op->out->channels);
    }
}

static void layernorm_backward(const struct plan_op *op, const struct plan_batch *batch,
                               size_t share, size_t first, size_t last)
{
    const struct grid *in = op->in;
    const real *weight = op->tensors[ROLE_WEIGHT].values;
    vec n = splat((real)((size_t)in->channels * in->rows * in->columns));
    (void)share;
    (void)batch;
    for (size_t block = first; block < last; block++) {
        vec mean[ACROSS], scale[ACROSS], sum[ACROSS] = {0}, product[ACROSS] = {0};
        struct part part = {block, 0, in->channels};
        layernorm_recall(op, block, mean, scale);
        EACH_ROW(op, part, in->values, op->out->delta)
        {
            size_t index = value_index(in, map, row);
            for (uint32_t c = 0; c < in->columns; c++, index++)
                for (size_t v = 0; v < ACROSS; v++) {
                    size_t i = c * PLACES + v * LANES;
                    vec g = load(y + i) * splat(weight[index]);
                    sum[v] += g;
                    product[v] += g * (load(x + i) - mean[v]) * scale[v];
                }
        }
        EACH_ROW(op, part, in->delta, op->out->delta)
        {
            size_t index = value_index(in, map, row);
            const real *values = line_at(in, in->values, block, map_line(in, map, row, 0));
            for (uint32_t c = 0; c < in->columns; c++, index++)
                for (size_t v = 0; v < ACROSS; v++) {
                    size_t i = c * PLACES + v * LANES;
                    vec g = load(y + i) * splat(weight[index]);
                    vec normal = (load(values + i) - mean[v]) * scale[v];
                    store(x + i, scale[v] * (g - sum[v] / n - normal * product[v] / n));
                }
        }
        finish_delta(op, block, 0, in->channels);
    }
}

static size_t map_items(const struct plan_op *op)
{
    return op->in->channels;
}

static void layernorm_gradient(const struct plan_op *op, const struct plan_batch *batch,
                               size_t first, size_t last)
{
    const struct grid *in = op->in;
    real *weight = op->tensors[ROLE_WEIGHT].gradient, *bias = op->tensors[ROLE_BIAS].gradient;
    for (size_t map = first; map < last; map++)
        for (uint32_t row = 0; row < in->rows; row++)
            for (uint32_t column = 0; column < in->columns; column++) {
                size_t index = value_index(in, (uint32_t)map, row) + column;
                vec sum = {0}, product = {0};
                for (size_t block = 0; block < batch->blocks; block++) {
                    vec mean[ACROSS], scale[ACROSS];
                    layernorm_recall(op, block, mean, scale);
                    const real *x = line_at(in, in->values, block,
                                            map_line(in, (uint32_t)map, row, column));
                    const real *d = line_at(op->out, op->out->delta, block,
                                            map_line(op->out, (uint32_t)map, row, column));
                    for (size_t v = 0; v < ACROSS; v++) {
                        sum += load(d + v * LANES);
                        product += load(d + v * LANES) * (load(x + v * LANES) - mean[v]) * scale[v];
                    }
                }
                real total = 0, shift = 0;
                for (size_t i = 0; i < LANES; i++) {
                    total += product[i];
                    shift += sum[i];
                }
                weight[index] = total;
                bias[index] = shift;
            }
}

const struct plan_kind NATIVE_NAME(batchnorm) = {
    channel_items, batchnorm_forward, channel_items, batchnorm_backward, NULL, NULL};
const struct plan_kind NATIVE_NAME(layernorm) = {
    block_items, layernorm_forward, block_items, layernorm_backward, map_items, layernorm_gradient};
