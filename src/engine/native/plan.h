/* Networks that are not just dense layers on pixels: a plan, compiled once from the description,
 * that training only runs.
 *
 * A plan is a list of operations, one per layer, over grids: what flows between layers, for a
 * batch, with the samples innermost. A batch is cut into blocks of as many samples as fit a cache
 * line (16 floats, 8 doubles); a *line* is one value of all samples of a block. So every operation
 * works on whole vectors whatever the number of channels, and weights are single numbers that are
 * spread over a vector.
 *
 *   grid: [block][channel][row][column] lines, with a margin of zeros where a convolution pads
 *
 * Places of a batch that no sample fills hold zeros as input and get a derivative of zero.
 *
 * Work is divided into items (a block and some channels, or some filters over all blocks) whose
 * numbers do not depend on who computes them: the same bits for any number of workers. Between
 * phases the workers meet at a barrier. */
#ifndef NNSTUDIO_ENGINE_NATIVE_PLAN_H
#define NNSTUDIO_ENGINE_NATIVE_PLAN_H

#include "engine/engine.h"
#include "engine/native/kernels.h"
#include "engine/native/pace.h"
#include "engine/native/team.h"

struct grid {
    uint32_t channels, rows, columns;
    uint32_t height, width; /* with the margin */
    size_t origin;          /* lines from a map's beginning to its first value */
    size_t lines;           /* per block: channels * height * width */
    void *values;           /* [blocks * lines] */
    /* the loss's derivative by the values, in the same places; NULL for the picture, unless the
     * plan goes back to it */
    void *delta;
    void *before; /* before the activation, in the same places; NULL unless it is needed */
};

/* A tensor of a layer: where its numbers lie in the plan's flat blocks. */
struct plan_tensor {
    void *values, *gradient; /* gradient NULL for buffers */
    size_t count;
};

struct plan_op {
    const struct layer *layer;
    uint32_t number; /* of the layer, from 0 */
    const struct grid *in;
    struct grid *out;      /* flatten: the same places as `in` */
    struct plan_op *below; /* the operation whose output `in` is; NULL for the first */
    uint32_t *taps;     /* conv2d, dense: lines from a window's beginning to each value it covers */
    uint32_t tap_count; /* per group */
    struct plan_tensor tensors[ROLE_COUNT];
    double *mean, *scale; /* normalizations: per channel, or per place of a batch */
    /* batch normalization: what it adds up over the batch, [2, channels], and of it the squared
     * distances from the mean, [channels] */
    double *sums, *squares;
    uint8_t *kept; /* dropout: [blocks * lines * places], 1 where a value stays */
};

struct plan {
    const struct plan_kernels *kernels;
    const struct native_kernels *dense; /* the optimizer's arithmetic */
    struct team *team;
    struct pace pace;
    struct network network;
    struct optimizer optimizer;
    bool fused; /* `dense` has a kernel for the optimizer; else its formula is evaluated */
    struct formula formula;
    uint64_t seed;
    uint64_t steps;
    double numbers[OPTIMIZER_MAX_NUMBERS]; /* the optimizer's */
    size_t batch_size;
    uint32_t op_count;
    struct plan_op ops[NETWORK_MAX_LAYERS];
    struct grid grids[NETWORK_MAX_LAYERS + 1]; /* [0]: the picture */
    size_t blocks;                             /* what the grids have room for */
    size_t value_count, trained_count;         /* whole lines; the trained tensors come first */
    void *sets[1 + OPTIMIZER_MAX_SLOTS];       /* values, then the optimizer's slots */
    void *gradient;                            /* [trained_count] */
    void *clipped;           /* the same in bounds; NULL: the optimizer takes it as it is */
    bool penalized;          /* some layer has an l1 or l2 */
    struct loss_table *loss; /* owned; NULL: plain cross-entropy */
    double *losses;
    uint8_t *correct;
    bool traced;          /* `before` is kept everywhere */
    bool back_to_picture; /* the picture has a derivative; set before the first plan_reserve() */
};

/* What an operation sees of a batch. */
struct plan_batch {
    size_t rows, blocks;
    size_t whole; /* samples of the batch that these are a part of; else `rows` */
    bool training;
    bool apart;        /* a part: batch normalization's sums are measured and added up beforehand */
    bool input_wanted; /* backward: the derivative by the input is needed */
};

/* The arithmetic of one layer type, for items [from, to). How many items there are follows from the
 * operation, the batch and `share`: into how many parts a block may be cut so that all workers have
 * something to do. */
struct plan_kind {
    size_t (*items)(const struct plan_op *op, const struct plan_batch *batch, size_t share);
    void (*forward)(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                    size_t from, size_t to);
    /* The derivative by the input; its items are those of the operation's input. */
    size_t (*backward_items)(const struct plan_op *op, const struct plan_batch *batch,
                             size_t share);
    void (*backward)(const struct plan_op *op, const struct plan_batch *batch, size_t share,
                     size_t from, size_t to);
    /* (optional) The gradients of the layer's tensors; items are its filters or channels. */
    size_t (*gradient_items)(const struct plan_op *op);
    void (*gradient)(const struct plan_op *op, const struct plan_batch *batch, size_t from,
                     size_t to);
};

/* What batch normalization adds up over a batch. */
enum plan_measure { MEASURE_SUMS, MEASURE_SQUARES, MEASURE_DERIVATIVES };

/* One table per dtype and kind of processor (plan_kernels.c, choose.c). */
struct plan_kernels {
    size_t size;   /* bytes per value */
    size_t places; /* samples per block */
    const struct plan_kind *kinds[LAYER_TYPE_COUNT];
    /* op->sums of the channels [from, to); each kind needs the one before it, of all parts. */
    void (*measure)(const struct plan_op *op, const struct plan_batch *batch,
                    enum plan_measure what, size_t from, size_t to);
    /* Block `block` of the picture from samples order[0 … rows); `value` is the table of a pixel's
     * values. */
    void (*load)(const struct grid *grid, const uint8_t *pixels, size_t inputs,
                 const uint32_t *order, size_t rows, size_t block, const void *value);
    /* The same of values, inputs[rows, each], already preprocessed. */
    void (*load_values)(const struct grid *grid, const double *inputs, size_t each, size_t rows,
                        size_t block);
    /* Losses, correct answers and, in last->delta, (probability − target) / divisor of one block;
     * with divisor 0 the probabilities instead; with labels NULL those alone. */
    void (*loss)(const struct grid *last, const uint8_t *labels, const uint32_t *order, size_t rows,
                 size_t block, double divisor, double *losses, uint8_t *correct);
};

const struct plan_kernels *native_plan_kernels_choose(enum dtype dtype);

int plan_create(const struct engine_config *config, struct team *team, struct plan **out,
                struct error *error);
void plan_destroy(struct plan *plan); /* NULL is fine */
/* Room for `rows` samples at a time. */
int plan_reserve(struct plan *plan, size_t rows, struct error *error);

/* Whether what goes into every activation is kept, for a step that is looked at. */
int plan_keep_before(struct plan *plan, bool kept, struct error *error);

/* Between the studio's layout and this one; `set` 0 the values, else 1 + slot. */
void plan_import(struct plan *plan, const struct parameters *source, uint32_t set);
void plan_export(const struct plan *plan, struct parameters *destination, uint32_t set);
void plan_export_gradient(const struct plan *plan, struct parameters *destination);

/* The samples order[0 … count) of a split; `value` are a pixel's values. */
struct plan_samples {
    const struct split *split;
    const void *value;
    const uint32_t *order;
    size_t count;
};

/* As engine.h's train; `rates`, of every step, may be NULL. */
void plan_train(struct plan *plan, const struct plan_samples *samples, const double *rates,
                double *losses, uint32_t *correct);
/* As engine.h's gradients and apply; `rate` may be NULL, there are at most as many samples as are
 * reserved. */
int plan_gradients(struct plan *plan, const struct engine_part *part,
                   const struct plan_samples *samples, struct parameters *sums, double *loss,
                   uint32_t *correct, struct error *error);
void plan_apply(struct plan *plan, const struct parameters *sums, double divisor,
                const double *rate);
/* As engine.h's trace. */
int plan_trace(struct plan *plan, const struct plan_samples *samples, engine_trace_fn *emit,
               void *context, struct error *error);
/* As engine.h's follow, of a plan with `back_to_picture`. */
int plan_follow(struct plan *plan, const uint8_t *pixels, const void *value, uint32_t target,
                engine_trace_fn *emit, void *context, struct error *error);
/* From the derivative of anything by the last layer's outputs, in its grid's `delta`, back to the
 * picture's; after plan_forward() of so many rows, and as it computed. */
void plan_backward(struct plan *plan, size_t rows);
/* Logits of `rows` pictures, at most what is reserved. */
void plan_forward(struct plan *plan, const uint8_t *pixels, const void *value, size_t rows);
/* The same of values that are already preprocessed, inputs[rows, network_inputs()]. */
void plan_infer(struct plan *plan, const double *inputs, size_t rows);
/* A grid's values as doubles, [rows, channels, rows, columns] without margin. */
void plan_read(const struct plan *plan, const struct grid *grid, const void *values, size_t rows,
               double *out);

#endif
