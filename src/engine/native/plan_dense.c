/* Dense layers and convolutions. One idea serves both: an output line is a bias plus a sum of
 * weights times input lines, and which lines those are stands in op->taps. A tile of output lines
 * is kept in registers while the taps pass. */
#include "engine/native/plan_lines.h"

/* Tiles that fill the registers: FILTERS lines of ACROSS vectors, and TILES, what is tried for the
 * lines that are left, widest first; in a gradient ROWS × TAPS
 * sums. */
#if NATIVE_VECTOR_BYTES == 64
#define FILTERS  16
#define TILES(T) T(16) T(8) T(6) T(3) T(1)
#define ROWS     4
#define TAPS     6
#elif NATIVE_VECTOR_BYTES == 32
#define FILTERS  6
#define TILES(T) T(6) T(3) T(1)
#define ROWS     3
#define TAPS     4
#else
#define FILTERS  3
#define TILES(T) T(3) T(1)
#define ROWS     2
#define TAPS     4
#endif

/* Where output place (row, column)'s window begins, in lines of a block, for a group's first
 * channel. */
INLINE size_t window_line(const struct plan_op *op, uint32_t group, uint32_t row, uint32_t column)
{
    const struct layer *layer = op->layer;
    const struct grid *in = op->in;
    if (layer->type == LAYER_DENSE) return 0;
    size_t channel = (size_t)group * (in->channels / layer->groups) * in->height * in->width;
    /* the margin is the padding of this layer, at least */
    size_t first = in->origin - (size_t)layer->padding[PAD_TOP] * in->width -
                   layer->padding[PAD_LEFT];
    return channel + first + (size_t)row * layer->stride[0] * in->width +
           (size_t)column * layer->stride[1];
}

INLINE void forward_tile(size_t filters, const real *weight, const real *bias, const real *window,
                         const uint32_t *taps, size_t tap_count, real *out, size_t out_step)
{
    vec sums[FILTERS][ACROSS];
    UNROLL
    for (size_t f = 0; f < filters; f++) UNROLL
    for (size_t v = 0; v < ACROSS; v++) sums[f][v] = splat(bias ? bias[f] : 0);
    for (size_t k = 0; k < tap_count; k++) {
        const real *line = window + (size_t)taps[k] * PLACES;
        vec x[ACROSS];
        UNROLL
        for (size_t v = 0; v < ACROSS; v++) x[v] = load(line + v * LANES);
        UNROLL
        for (size_t f = 0; f < filters; f++) {
            vec w = splat(weight[f * tap_count + k]);
            UNROLL
            for (size_t v = 0; v < ACROSS; v++) sums[f][v] += w * x[v];
        }
    }
    UNROLL
    for (size_t f = 0; f < filters; f++) UNROLL
    for (size_t v = 0; v < ACROSS; v++) store(out + f * out_step + v * LANES, sums[f][v]);
}

/* Filters [from, to), all of one group, at one place. */
INLINE void forward_place(const struct plan_op *op, size_t block, uint32_t from, uint32_t to,
                          uint32_t group, uint32_t row, uint32_t column)
{
    const struct grid *in = op->in, *out = op->out;
    const real *window = line_at(in, in->values, block, window_line(op, group, row, column));
    const real *weights = op->tensors[ROLE_WEIGHT].values, *biases = op->tensors[ROLE_BIAS].values;
    size_t k = op->tap_count, step = (size_t)out->height * out->width * PLACES;
    for (uint32_t f = from; f < to;) {
        const real *weight = weights + f * k, *bias = biases ? biases + f : NULL;
        real *place = line_at(out, out->values, block, map_line(out, f, row, column));
#define TILE(n)                                                          \
    if (to - f >= (n)) {                                                 \
        forward_tile(n, weight, bias, window, op->taps, k, place, step); \
        f += (n);                                                        \
        continue;                                                        \
    }
        TILES(TILE)
#undef TILE
    }
}

static void conv_forward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                         size_t first, size_t last)
{
    const struct grid *out = op->out;
    uint32_t groups = op->layer->groups, per_group = out->channels / groups;
    CHECK(per_group);
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(out->channels, batch, share, item);
        for (uint32_t group = part.from / per_group; group * per_group < part.to; group++) {
            uint32_t begin = group * per_group, end = begin + per_group;
            uint32_t from = begin < part.from ? part.from : begin;
            uint32_t to = end > part.to ? part.to : end;
            for (uint32_t r = 0; r < out->rows; r++)
                for (uint32_t c = 0; c < out->columns; c++)
                    forward_place(op, part.block, from, to, group, r, c);
        }
        NATIVE_NAME(activate_maps)(op, part.block, part.from, part.to);
    }
}

/* Adds what one output place gives back to taps [tap, tap + taps) of its window. */
INLINE void backward_tile(size_t taps, const real *weight, size_t weight_step, size_t filters,
                          const real *delta, size_t delta_step, real *window,
                          const uint32_t *tap_lines)
{
    vec sums[FILTERS][ACROSS];
    UNROLL
    for (size_t t = 0; t < taps; t++) UNROLL
    for (size_t v = 0; v < ACROSS; v++)
        sums[t][v] = load(window + (size_t)tap_lines[t] * PLACES + v * LANES);
    for (size_t f = 0; f < filters; f++) {
        vec d[ACROSS];
        UNROLL
        for (size_t v = 0; v < ACROSS; v++) d[v] = load(delta + f * delta_step + v * LANES);
        UNROLL
        for (size_t t = 0; t < taps; t++) {
            vec w = splat(weight[f * weight_step + t]);
            UNROLL
            for (size_t v = 0; v < ACROSS; v++) sums[t][v] += w * d[v];
        }
    }
    UNROLL
    for (size_t t = 0; t < taps; t++) UNROLL
    for (size_t v = 0; v < ACROSS; v++)
        store(window + (size_t)tap_lines[t] * PLACES + v * LANES, sums[t][v]);
}

/* Taps [from, to) of a group's window at one output place. */
INLINE void backward_place(const struct plan_op *op, size_t block, size_t from, size_t to,
                           uint32_t group, uint32_t row, uint32_t column)
{
    const struct grid *in = op->in, *out = op->out;
    uint32_t filters = out->channels / op->layer->groups, first = group * filters;
    size_t k = op->tap_count, step = (size_t)out->height * out->width * PLACES;
    real *window = line_at(in, in->delta, block, window_line(op, group, row, column));
    const real *delta = line_at(out, out->delta, block, map_line(out, first, row, column));
    const real *weights = (const real *)op->tensors[ROLE_WEIGHT].values + first * k;
    for (size_t t = from; t < to;) {
#define TILE(n)                                                                       \
    if (to - t >= (n)) {                                                              \
        backward_tile(n, weights + t, k, filters, delta, step, window, op->taps + t); \
        t += (n);                                                                     \
        continue;                                                                     \
    }
        TILES(TILE)
#undef TILE
    }
}

static void conv_backward(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                          size_t first, size_t last)
{
    const struct grid *in = op->in, *out = op->out;
    bool dense = op->layer->type == LAYER_DENSE;
    uint32_t groups = op->layer->groups, per_group = in->channels / groups;
    size_t per_channel = op->tap_count / per_group;
    for (size_t item = first; item < last; item++) {
        struct part part = part_of(in->channels, batch, share, item);
        clear_delta(in, part.block, part.from, part.to);
        for (uint32_t group = part.from / per_group; group * per_group < part.to; group++) {
            uint32_t begin = group * per_group, end = begin + per_group;
            uint32_t from = (begin < part.from ? part.from : begin) - begin;
            uint32_t to = (end > part.to ? part.to : end) - begin;
            for (uint32_t r = 0; r < (dense ? 1 : out->rows); r++)
                for (uint32_t c = 0; c < (dense ? 1 : out->columns); c++)
                    backward_place(op, part.block, from * per_channel, to * per_channel, group, r,
                                   c);
        }
        finish_delta(op, part.block, part.from, part.to);
    }
}

/* gradient[f][k] = Σ over blocks, places and samples of delta[f] · x[k], for a tile of both. */
INLINE void gradient_tile(size_t rows, size_t taps, const struct plan_op *op,
                          const struct plan_batch *batch, uint32_t group, uint32_t filter,
                          size_t tap)
{
    const struct grid *in = op->in, *out = op->out;
    size_t step = (size_t)out->height * out->width * PLACES;
    vec sums[ROWS][TAPS];
    UNROLL
    for (size_t f = 0; f < rows; f++) UNROLL
    for (size_t t = 0; t < taps; t++) sums[f][t] = (vec){0};
    for (size_t block = 0; block < batch->blocks; block++)
        for (uint32_t r = 0; r < out->rows; r++) {
            const real *delta = line_at(out, out->delta, block, map_line(out, filter, r, 0));
            const real *window = line_at(in, in->values, block, window_line(op, group, r, 0));
            size_t across = op->layer->type == LAYER_DENSE ? 0 : op->layer->stride[1] * PLACES;
            for (uint32_t c = 0; c < out->columns; c++, delta += PLACES, window += across) UNROLL
            for (size_t v = 0; v < ACROSS; v++) {
                vec x[TAPS];
                UNROLL
                for (size_t t = 0; t < taps; t++)
                    x[t] = load(window + (size_t)op->taps[tap + t] * PLACES + v * LANES);
                UNROLL
                for (size_t f = 0; f < rows; f++) {
                    vec d = load(delta + f * step + v * LANES);
                    UNROLL
                    for (size_t t = 0; t < taps; t++) sums[f][t] += d * x[t];
                }
            }
        }
    real *gradient = (real *)op->tensors[ROLE_WEIGHT].gradient + filter * op->tap_count + tap;
    UNROLL
    for (size_t f = 0; f < rows; f++) UNROLL
    for (size_t t = 0; t < taps; t++) {
        narrow sum = fold(sums[f][t]);
        real total = 0;
        for (size_t i = 0; i < 16 / sizeof(real); i++) total += sum[i];
        gradient[f * op->tap_count + t] = total;
    }
}

INLINE void gradient_row(size_t rows, const struct plan_op *op, const struct plan_batch *batch,
                         uint32_t group, uint32_t filter)
{
    size_t tap = 0;
    for (; tap + TAPS <= op->tap_count; tap += TAPS)
        gradient_tile(rows, TAPS, op, batch, group, filter, tap);
    for (; tap < op->tap_count; tap++) gradient_tile(rows, 1, op, batch, group, filter, tap);
}

static real sum_of_map(const struct plan_batch *batch, const struct grid *grid, uint32_t channel)
{
    vec total = {0};
    for (size_t block = 0; block < batch->blocks; block++)
        for (uint32_t r = 0; r < grid->rows; r++) {
            const real *delta = line_at(grid, grid->delta, block, map_line(grid, channel, r, 0));
            for (size_t i = 0; i < (size_t)grid->columns * PLACES; i += LANES)
                total += load(delta + i);
        }
    real sum = 0;
    for (size_t i = 0; i < LANES; i++) sum += total[i];
    return sum;
}

static size_t filter_items(const struct plan_op *op)
{
    return op->out->channels;
}

static void conv_gradient(const struct plan_op *op, const struct plan_batch *batch, size_t first,
                          size_t last)
{
    uint32_t per_group = op->out->channels / op->layer->groups;
    real *bias = op->tensors[ROLE_BIAS].gradient;
    for (size_t f = first; f < last;) {
        uint32_t group = (uint32_t)f / per_group;
        size_t end = (size_t)(group + 1) * per_group, left = (end < last ? end : last) - f;
        if (left >= ROWS) {
            gradient_row(ROWS, op, batch, group, (uint32_t)f);
            f += ROWS;
        } else {
            gradient_row(1, op, batch, group, (uint32_t)f);
            f++;
        }
    }
    for (size_t f = first; bias && f < last; f++) bias[f] = sum_of_map(batch, op->out, (uint32_t)f);
}

const struct plan_kind NATIVE_NAME(dense) = {out_items,     conv_forward, in_items,
                                             conv_backward, filter_items, conv_gradient};
