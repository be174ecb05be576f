/* Pooling: windows that keep the largest value or the mean of a map. */
#include "engine/native/plan_lines.h"

/* The part of a window that lies on the map. */
struct window {
    uint32_t top, bottom, left, right;
};

INLINE struct window window_of(const struct plan_op *op, uint32_t row, uint32_t column)
{
    const struct layer *l = op->layer;
    int64_t top = (int64_t)row * l->stride[0] - l->padding[PAD_TOP];
    int64_t left = (int64_t)column * l->stride[1] - l->padding[PAD_LEFT];
    int64_t bottom = top + l->kernel[0], right = left + l->kernel[1];
    return (struct window){(uint32_t)(top < 0 ? 0 : top),
                           (uint32_t)(bottom > op->in->rows ? op->in->rows : bottom),
                           (uint32_t)(left < 0 ? 0 : left),
                           (uint32_t)(right > op->in->columns ? op->in->columns : right)};
}

/* The window's largest value in vector `v` of a line; a NaN stays, as in PyTorch. */
INLINE vec largest_of(const struct grid *in, size_t block, uint32_t c, struct window w, size_t v)
{
    vec best = splat(-(real)INFINITY);
    for (uint32_t y = w.top; y < w.bottom; y++)
        for (uint32_t x = w.left; x < w.right; x++) {
            vec z = load(line_at(in, in->values, block, map_line(in, c, y, x)) + v * LANES);
            best = select_where((z > best) | (z != z), z, best);
        }
    return best;
}

#define EACH_POOLED(op, part)                          \
    for (uint32_t c = (part).from; c < (part).to; c++) \
        for (uint32_t r = 0; r < (op)->out->rows; r++) \
            for (uint32_t s = 0; s < (op)->out->columns; s++)

static void maxpool_forward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                            size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(out->channels, batch, share, item);
        EACH_POOLED(op, part)
        {
            struct window w = window_of(op, r, s);
            real *place = line_at(out, out->values, part.block, map_line(out, c, r, s));
            for (size_t v = 0; v < ACROSS; v++)
                store(place + v * LANES, largest_of(in, part.block, c, w, v));
        }
        NATIVE_NAME(activate_maps)(op, part.block, part.from, part.to);
    }
}

/* The first of equal maxima gets it all, as in both frameworks. */
static void maxpool_backward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                             size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(in->channels, batch, share, item);
        clear_delta(in, part.block, part.from, part.to);
        EACH_POOLED(op, part)
        {
            struct window w = window_of(op, r, s);
            size_t at = map_line(out, c, r, s);
            const real *delta = line_at(out, out->delta, part.block, at);
            for (size_t v = 0; v < ACROSS; v++) {
                vec best = largest_of(in, part.block, c, w, v), d = load(delta + v * LANES);
                ivec open = ~(ivec){0};
                for (uint32_t y = w.top; y < w.bottom; y++)
                    for (uint32_t x = w.left; x < w.right; x++) {
                        size_t place = map_line(in, c, y, x);
                        vec z = load(line_at(in, in->values, part.block, place) + v * LANES);
                        real *back = line_at(in, in->delta, part.block, place) + v * LANES;
                        ivec here = ((z == best) | (z != z)) & open;
                        store(back, load(back) + (vec)((ivec)d & here));
                        open &= ~here;
                    }
            }
        }
        finish_delta(op, part.block, part.from, part.to);
    }
}

static void avgpool_forward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                            size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(out->channels, batch, share, item);
        EACH_POOLED(op, part)
        {
            struct window w = window_of(op, r, s);
            real *place = line_at(out, out->values, part.block, map_line(out, c, r, s));
            vec count = splat((real)((w.bottom - w.top) * (w.right - w.left)));
            for (size_t v = 0; v < ACROSS; v++) {
                vec sum = {0};
                for (uint32_t y = w.top; y < w.bottom; y++)
                    for (uint32_t x = w.left; x < w.right; x++)
                        sum += load(line_at(in, in->values, part.block, map_line(in, c, y, x)) +
                                    v * LANES);
                store(place + v * LANES, sum / count);
            }
        }
        NATIVE_NAME(activate_maps)(op, part.block, part.from, part.to);
    }
}

static void avgpool_backward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                             size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(in->channels, batch, share, item);
        clear_delta(in, part.block, part.from, part.to);
        EACH_POOLED(op, part)
        {
            struct window w = window_of(op, r, s);
            const real *delta = line_at(out, out->delta, part.block, map_line(out, c, r, s));
            vec count = splat((real)((w.bottom - w.top) * (w.right - w.left)));
            for (size_t v = 0; v < ACROSS; v++) {
                vec d = load(delta + v * LANES) / count;
                for (uint32_t y = w.top; y < w.bottom; y++)
                    for (uint32_t x = w.left; x < w.right; x++) {
                        real *back = line_at(in, in->delta, part.block, map_line(in, c, y, x));
                        store(back + v * LANES, load(back + v * LANES) + d);
                    }
            }
        }
        finish_delta(op, part.block, part.from, part.to);
    }
}

static void global_forward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                           size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    vec count = splat((real)((size_t)in->rows * in->columns));
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(out->channels, batch, share, item);
        for (uint32_t c = part.from; c < part.to; c++) {
            vec sums[ACROSS] = {0};
            for (uint32_t r = 0; r < in->rows; r++) {
                const real *line = line_at(in, in->values, part.block, map_line(in, c, r, 0));
                for (uint32_t s = 0; s < in->columns; s++, line += PLACES)
                    for (size_t v = 0; v < ACROSS; v++) sums[v] += load(line + v * LANES);
            }
            real *place = line_at(out, out->values, part.block, map_line(out, c, 0, 0));
            for (size_t v = 0; v < ACROSS; v++) store(place + v * LANES, sums[v] / count);
        }
        NATIVE_NAME(activate_maps)(op, part.block, part.from, part.to);
    }
}

static void global_backward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                            size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    vec count = splat((real)((size_t)in->rows * in->columns));
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(in->channels, batch, share, item);
        for (uint32_t c = part.from; c < part.to; c++) {
            const real *delta = line_at(out, out->delta, part.block, map_line(out, c, 0, 0));
            for (uint32_t r = 0; r < in->rows; r++) {
                real *line = line_at(in, in->delta, part.block, map_line(in, c, r, 0));
                for (uint32_t s = 0; s < in->columns; s++, line += PLACES)
                    for (size_t v = 0; v < ACROSS; v++)
                        store(line + v * LANES, load(delta + v * LANES) / count);
            }
        }
        finish_delta(op, part.block, part.from, part.to);
    }
}

const struct plan_kind NATIVE_NAME(maxpool) = {
    out_items, maxpool_forward, in_items, maxpool_backward, NULL, NULL};
const struct plan_kind NATIVE_NAME(avgpool) = {
    out_items, avgpool_forward, in_items, avgpool_backward, NULL, NULL};
const struct plan_kind NATIVE_NAME(globalavgpool) = {out_items,       global_forward, in_items,
                                                     global_backward, NULL,           NULL};
