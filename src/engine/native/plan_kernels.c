/* A plan's beginning and end, what works value by value, and the table of all layer types. */
#include "engine/native/plan_lines.h"

static void copy_forward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                         size_t first, size_t last)
{
    size_t count = (size_t)op->in->columns * PLACES;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(op->out->channels, batch, share, item);
        EACH_ROW(op, part, op->in->values, op->out->values) memcpy(y, x, count * sizeof *x);
        NATIVE_NAME(activate_maps)(op, part.block, part.from, part.to);
    }
}

static void copy_backward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                          size_t first, size_t last)
{
    size_t count = (size_t)op->in->columns * PLACES;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(op->in->channels, batch, share, item);
        EACH_ROW(op, part, op->in->delta, op->out->delta) memcpy(x, y, count * sizeof *x);
        finish_delta(op, part.block, part.from, part.to);
    }
}

/* Flatten lays nothing anew: its lines are its input's, in the same order. Without an activation it
 * even shares their memory (plan.c), and there is nothing to do. */
static void flatten_forward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                            size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    if (in->values == out->values) return;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(out->channels, batch, share, item);
        memcpy(line_at(out, out->values, part.block, part.from),
               line_at(in, in->values, part.block, part.from),
               (part.to - part.from) * PLACES * sizeof(real));
        NATIVE_NAME(activate_maps)(op, part.block, part.from, part.to);
    }
}

static void flatten_backward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                             size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    size_t map = (size_t)in->rows * in->columns;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(in->channels, batch, share, item);
        if (in->delta != out->delta)
            memcpy(line_at(in, in->delta, part.block, part.from * map),
                   line_at(out, out->delta, part.block, part.from * map),
                   (part.to - part.from) * map * PLACES * sizeof(real));
        finish_delta(op, part.block, part.from, part.to);
    }
}

static void dropout_forward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                            size_t first, size_t last)
{
    if (!batch->training) {
        copy_forward(op, batch, share, first, last);
        return;
    }
    size_t count = (size_t)op->in->columns * PLACES;
    real grow = (real)(1 / (1 - op->layer->rate));
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(op->out->channels, batch, share, item);
        EACH_ROW(op, part, op->in->values, op->out->values)
        {
            const uint8_t *kept = op->kept + (y - (real *)op->out->values);
            for (size_t i = 0; i < count; i++) y[i] = kept[i] ? x[i] * grow : 0;
        }
        NATIVE_NAME(activate_maps)(op, part.block, part.from, part.to);
    }
}

static void dropout_backward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                             size_t first, size_t last)
{
    if (!batch->training) {
        copy_backward(op, batch, share, first, last);
        return;
    }
    size_t count = (size_t)op->in->columns * PLACES;
    real grow = (real)(1 / (1 - op->layer->rate));
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(op->in->channels, batch, share, item);
        EACH_ROW(op, part, op->in->delta, op->out->delta)
        {
            const uint8_t *kept = op->kept + (y - (real *)op->out->delta);
            for (size_t i = 0; i < count; i++) x[i] = kept[i] ? y[i] * grow : 0;
        }
        finish_delta(op, part.block, part.from, part.to);
    }
}

/* rescale: x · scale + offset; normalize: (x − mean) / std. */
static void input_forward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                          size_t first, size_t last)
{
    const struct layer *l = op->layer;
    size_t count = (size_t)op->in->columns * PLACES;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(op->out->channels, batch, share, item);
        EACH_ROW(op, part, op->in->values, op->out->values)
        {
            bool rescale = l->type == LAYER_RESCALE;
            vec a = splat((real)(rescale ? l->scale : l->mean[map]));
            vec b = splat((real)(rescale ? l->offset : l->std[map]));
            for (size_t i = 0; i < count; i += LANES)
                store(y + i, rescale ? load(x + i) * a + b : (load(x + i) - a) / b);
        }
        NATIVE_NAME(activate_maps)(op, part.block, part.from, part.to);
    }
}

static void input_backward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                           size_t first, size_t last)
{
    const struct layer *l = op->layer;
    size_t count = (size_t)op->in->columns * PLACES;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(op->in->channels, batch, share, item);
        EACH_ROW(op, part, op->in->delta, op->out->delta)
        {
            bool rescale = l->type == LAYER_RESCALE;
            vec factor = splat((real)(rescale ? l->scale : l->std[map]));
            for (size_t i = 0; i < count; i += LANES)
                store(x + i, rescale ? load(y + i) * factor : load(y + i) / factor);
        }
        finish_delta(op, part.block, part.from, part.to);
    }
}

/* --- the ends --- */

static void load_pictures(const struct grid *grid, const uint8_t *pixels, size_t inputs,
                          const uint32_t *order, size_t rows, size_t block, const void *value)
{
    static const uint8_t nothing[1];
    const real *table = value;
    const uint8_t *pictures[PLACES];
    size_t steps[PLACES]; /* 0 where no sample is: the same blank pixel again and again */
    for (size_t p = 0; p < PLACES; p++) {
        size_t sample = block * PLACES + p;
        bool there = sample < rows;
        pictures[p] = there ? pixels + (order ? order[sample] : sample) * inputs : nothing;
        steps[p] = there;
    }
    size_t pixel = 0;
    for (uint32_t c = 0; c < grid->channels; c++)
        for (uint32_t r = 0; r < grid->rows; r++) {
            real *line = line_at(grid, grid->values, block, map_line(grid, c, r, 0));
            for (uint32_t s = 0; s < grid->columns; s++, pixel++, line += PLACES)
                for (size_t p = 0; p < PLACES; p++) line[p] = table[pictures[p][pixel * steps[p]]];
        }
}

static void load_values(const struct grid *grid, const double *inputs, size_t each, size_t rows,
                        size_t block)
{
    size_t here = rows - block * PLACES < PLACES ? rows - block * PLACES : PLACES, value = 0;
    const double *first = inputs + block * PLACES * each;
    for (uint32_t c = 0; c < grid->channels; c++)
        for (uint32_t r = 0; r < grid->rows; r++) {
            real *line = line_at(grid, grid->values, block, map_line(grid, c, r, 0));
            for (uint32_t s = 0; s < grid->columns; s++, value++, line += PLACES)
                for (size_t p = 0; p < PLACES; p++)
                    line[p] = p < here ? (real)first[p * each + value] : 0;
        }
}

static void block_loss(const struct grid *last, const uint8_t *labels, const uint32_t *order,
                       size_t rows, size_t block, double divisor, double *losses, uint8_t *correct)
{
    const real *logits = line_at(last, last->values, block, 0);
    real *delta = line_at(last, last->delta, block, 0);
    size_t classes = last->channels;
    for (size_t p = 0; p < PLACES; p++) {
        size_t sample = block * PLACES + p, best = 0;
        if (sample >= rows) {
            for (size_t c = 0; c < classes; c++) delta[c * PLACES + p] = 0;
            continue;
        }
        for (size_t c = 1; c < classes; c++)
            if (logits[c * PLACES + p] > logits[best * PLACES + p]) best = c;
        double most = (double)logits[best * PLACES + p], sum = 0;
        for (size_t c = 0; c < classes; c++) sum += exp((double)logits[c * PLACES + p] - most);
        size_t label = labels ? labels[order[sample]] : classes;
        for (size_t c = 0; c < classes; c++) {
            double share = exp((double)logits[c * PLACES + p] - most) / sum;
            delta[c * PLACES + p] = (real)(divisor > 0 ? (share - (c == label)) / divisor : share);
        }
        if (!labels) continue;
        losses[sample] = log(sum) + most - (double)logits[label * PLACES + p];
        correct[sample] = best == label;
    }
}

#define KIND(forward, backward) \
    (&(const struct plan_kind){out_items, forward, in_items, backward, NULL, NULL})

/* clang-format off */
const struct plan_kernels NATIVE_NAME(table) = {
    .size = sizeof(real),
    .places = PLACES,
    .load = load_pictures,
    .load_values = load_values,
    .loss = block_loss,
    .measure = NATIVE_NAME(measure),
    .kinds = {
        [LAYER_DENSE]         = &NATIVE_NAME(dense),
        [LAYER_CONV2D]        = &NATIVE_NAME(dense),
        [LAYER_MAXPOOL2D]     = &NATIVE_NAME(maxpool),
        [LAYER_AVGPOOL2D]     = &NATIVE_NAME(avgpool),
        [LAYER_GLOBALAVGPOOL] = &NATIVE_NAME(globalavgpool),
        [LAYER_FLATTEN]       = KIND(flatten_forward, flatten_backward),
        [LAYER_BATCHNORM]     = &NATIVE_NAME(batchnorm),
        [LAYER_LAYERNORM]     = &NATIVE_NAME(layernorm),
        [LAYER_DROPOUT]       = KIND(dropout_forward, dropout_backward),
        [LAYER_ACTIVATION]    = KIND(copy_forward, copy_backward),
        [LAYER_RESCALE]       = KIND(input_forward, input_backward),
        [LAYER_NORMALIZE]     = KIND(input_forward, input_backward),
    },
};
/* clang-format on */
