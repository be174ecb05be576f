/* Lines and items of a plan's grids: what the plan_*.c that compute share. Included by them only,
 * once for each dtype and kind of processor (see kernels.c for the macros). */
#ifndef NNSTUDIO_ENGINE_NATIVE_PLAN_LINES_H
#define NNSTUDIO_ENGINE_NATIVE_PLAN_LINES_H

#include "engine/native/plan.h"

#include <math.h>
#include <string.h>

#include "engine/native/vector.h"

#define PLACES (NATIVE_LINE / sizeof(real))        /* samples per block */
#define ACROSS (NATIVE_LINE / NATIVE_VECTOR_BYTES) /* vectors per line */

/* Names that other files of the same dtype and processor know. */
#define NATIVE_JOIN(name, suffix)   native_plan_##name##_##suffix
#define NATIVE_JOINED(name, suffix) NATIVE_JOIN(name, suffix)
#define NATIVE_NAME(name)           NATIVE_JOINED(name, NATIVE_SUFFIX)

/* Maps [from, to) of a block through the activation, in place; what went in is kept where it is
 * asked for. */
void NATIVE_NAME(activate_maps)(const struct plan_op *op, size_t block, uint32_t from, uint32_t to);
/* Multiplies the derivative by the output by the activation's own. */
void NATIVE_NAME(activate_backward)(const struct plan_op *op, size_t block, uint32_t from,
                                    uint32_t to);
/* A layer type's arithmetic; where it stands says the file. */
extern const struct plan_kind NATIVE_NAME(dense), NATIVE_NAME(maxpool), NATIVE_NAME(avgpool),
    NATIVE_NAME(globalavgpool), NATIVE_NAME(batchnorm), NATIVE_NAME(layernorm);
void NATIVE_NAME(measure)(const struct plan_op *op, const struct plan_batch *batch,
                          enum plan_measure what, size_t from, size_t to);

INLINE real *line_at(const struct grid *grid, void *numbers, size_t block, size_t line)
{
    return (real *)numbers + (block * grid->lines + line) * PLACES;
}

INLINE size_t map_line(const struct grid *grid, uint32_t channel, uint32_t row, uint32_t column)
{
    return ((size_t)channel * grid->height + row) * grid->width + column + grid->origin;
}

/* Ones where a sample is, zeros behind the last. */
INLINE void fill_mask(const struct plan_batch *batch, size_t block, vec mask[ACROSS])
{
    real ones[PLACES] __attribute__((aligned(NATIVE_LINE)));
    for (size_t p = 0; p < PLACES; p++) ones[p] = block * PLACES + p < batch->rows ? 1 : 0;
    for (size_t v = 0; v < ACROSS; v++) mask[v] = load(ones + v * LANES);
}

/* Item i of a grid whose blocks are cut into `parts`: some channels of a block. */
struct part {
    size_t block;
    uint32_t from, to;
};

INLINE size_t parts_of(uint32_t channels, const struct plan_batch *batch, size_t share)
{
    size_t parts = batch->blocks >= share ? 1 : (share + batch->blocks - 1) / batch->blocks;
    return channels && parts > channels ? channels : parts;
}

INLINE struct part part_of(uint32_t channels, const struct plan_batch *batch, size_t share,
                           size_t item)
{
    size_t parts = parts_of(channels, batch, share), part = item % parts;
    return (struct part){item / parts, (uint32_t)(channels * part / parts),
                         (uint32_t)(channels * (part + 1) / parts)};
}

INLINE size_t out_items(const struct plan_op *op, const struct plan_batch *batch, size_t share)
{
    return batch->blocks * parts_of(op->out->channels, batch, share);
}

INLINE size_t in_items(const struct plan_op *op, const struct plan_batch *batch, size_t share)
{
    return batch->blocks * parts_of(op->in->channels, batch, share);
}

INLINE size_t channel_items(const struct plan_op *op, const struct plan_batch *batch, size_t share)
{
    (void)batch;
    (void)share;
    return op->in->channels;
}

INLINE size_t block_items(const struct plan_op *op, const struct plan_batch *batch, size_t share)
{
    (void)op;
    (void)share;
    return batch->blocks;
}

/* The derivative by the input is complete for these maps: on through the activation below. */
INLINE void finish_delta(const struct plan_op *op, size_t block, uint32_t from, uint32_t to)
{
    if (op->below) NATIVE_NAME(activate_backward)(op->below, block, from, to);
}

INLINE void clear_delta(const struct grid *grid, size_t block, uint32_t from, uint32_t to)
{
    size_t map = (size_t)grid->height * grid->width;
    memset(line_at(grid, grid->delta, block, from * map), 0,
           (to - from) * map * PLACES * sizeof(real));
}

/* Runs BODY for every stretch of values of the part's maps: `x` of the input, `y` of the output,
 * `count` numbers, both in whole lines; `map`, `line` say where. */
#define EACH_ROW(op, part, a_numbers, b_numbers)                                                  \
    for (uint32_t map = (part).from; map < (part).to; map++)                                      \
        for (uint32_t row = 0; row < (op)->in->rows; row++)                                       \
            for (real *x =                                                                        \
                     line_at((op)->in, a_numbers, (part).block, map_line((op)->in, map, row, 0)), \
                      *y = line_at((op)->out, b_numbers, (part).block,                            \
                                   map_line((op)->out, map, row, 0));                             \
                 x; x = NULL)

#endif
