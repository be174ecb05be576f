/* The arithmetic of the native engine: one table of functions per dtype and kind of processor.
 *
 * kernels.c is compiled once for each. All matrices are row-major; every row starts on a 64-byte
 * boundary and its width is padded with zeros to whole 64-byte lines, so that no kernel has a tail.
 * `void *` stands for float * or double *; strides and widths count numbers. A worker owns some
 * columns of a matrix: what it computes for one column never depends on which other columns it has,
 * so results do not depend on the number of threads. */
#ifndef NNSTUDIO_ENGINE_NATIVE_KERNELS_H
#define NNSTUDIO_ENGINE_NATIVE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/network.h"
#include "net/optimizer.h"

#define NATIVE_LINE    64 /* bytes; all kinds of vectors divide it */
#define NATIVE_COLUMNS 4  /* of multiply_transposed, at a time */

/* What the optimizer does in one step (net/optimizer.h), in numbers. */
struct native_update {
    enum optimizer_type type;
    double learning_rate, momentum, weight_decay;
    double beta1, beta2, epsilon;
    double step_size, root_scale; /* Adam (optimizer_adam()) */
};

/* The numbers of step `step`, counted from 1, with the learning rate `rate`. */
struct native_update native_update_of(const struct optimizer *optimizer, double rate,
                                      uint64_t step);

/* Some columns of a parameter matrix, its optimizer slots and, in a traced step, its gradient: all
 * of one layout. */
struct native_target {
    void *values;
    void *slots[OPTIMIZER_MAX_SLOTS]; /* NULL where the optimizer has none */
    void *gradient;                   /* NULL unless asked for */
    size_t stride;
    size_t columns; /* whole lines; in the first layer at most a panel */
};

struct native_matrix {
    const void *values;
    size_t stride;
};

struct samples;

/* A block of samples, sorted by tuple (samples.h). */
struct native_sparse {
    const uint32_t *counts;
    const uint64_t *entries;
    size_t tuples, rows;
    const void *table; /* [256]: a pixel's value */
    /* the same samples unsorted: order[0 … rows), or first, first + 1 … where it is NULL */
    const struct samples *lists;
    const uint32_t *order;
    size_t first;
};

/* Some rows of logits: row m is the sample order[m]. */
struct native_softmax {
    struct native_matrix logits;
    const uint8_t *labels; /* of all samples */
    const uint32_t *order;
    size_t rows, classes;
    double scale; /* 0: delta takes the probabilities, unscaled */
    void *delta;
    size_t delta_stride;
    double *losses; /* one entry per row, like `correct` */
    uint8_t *correct;
};

struct native_kernels {
    const char *name; /* "AVX-512" */
    size_t size;      /* bytes per number */
    size_t panel;     /* columns of a whole panel */
    size_t tuple;     /* pixels per tuple: what the first layer's lists are made of */

    /* z[s, c] = bias[c] + Σ_i x[s, i] · weight[i, c] for the block's rows, over a panel; table[p]
     * is a pixel's value. */
    void (*sparse_forward)(const struct native_sparse *block, const struct native_target *weight,
                           const void *bias, void *z, size_t z_stride);
    /* gradient[i, c] = Σ_s x[s, i] · delta[s, c] over a panel, handed to the optimizer tuple
     * by tuple. A batch of several blocks adds up in `kept` (as many numbers as the panel has)
     * until the last. */
    void (*sparse_backward)(const struct native_sparse *block, const struct native_matrix *delta,
                            void *kept, bool first, bool last, const struct native_target *weight,
                            const struct native_update *update);
    /* out[m, c] = Σ_k a[m, k] · b[k, c] for c < columns (whole lines). */
    void (*multiply)(const struct native_matrix *a, const struct native_matrix *b, size_t rows,
                     size_t inner, size_t columns, void *out, size_t out_stride);
    /* out[m, n] = bias[n] + Σ_k a[m, k] · b[n, k] for n < columns; inner is whole lines, columns
     * whole NATIVE_COLUMNS. */
    void (*multiply_transposed)(const struct native_matrix *a, const struct native_matrix *b,
                                const void *bias, size_t rows, size_t inner, size_t columns,
                                void *out, size_t out_stride);
    /* gradient[k, c] = Σ_m a[m, k] · b[m, c] for k < rows, handed to the optimizer; c over the
     * target's columns. */
    void (*multiply_update)(const struct native_matrix *a, const struct native_matrix *b,
                            size_t rows, size_t inner, const struct native_target *target,
                            const struct native_update *update);
    /* gradient[c] = Σ_m delta[m, c], handed to the optimizer. */
    void (*bias_update)(const struct native_matrix *delta, size_t rows,
                        const struct native_target *target, const struct native_update *update);

    /* A step of an optimizer without a kernel of its own, on `count` values (whole lines):
     * tensors[0] are the parameters, [1] the gradient, then the slots; `numbers` those that the
     * formula takes. */
    void (*formula)(const struct formula *formula, const double *numbers, void *const tensors[],
                    size_t count);

    /* values[m, c] = activation(values[m, c]) for c < columns, zero for the padding up to the last
     * line. */
    void (*activate)(enum activation activation, void *values, size_t stride, size_t rows,
                     size_t columns);
    /* delta[m, c] *= the activation's derivative where it gave output[m, c]; columns in whole
     * lines. */
    void (*activate_backward)(enum activation activation, const struct native_matrix *output,
                              size_t rows, size_t columns, void *delta, size_t stride);
    /* For each row: delta = (probability − target) · scale, or the probabilities; the sample's
     * loss, and whether the largest logit is the label's. */
    void (*softmax)(const struct native_softmax *softmax);
};

/* The best table for this processor, or the one NNSTUDIO_NATIVE_CPU names (portable, avx2, avx512)
 * where it can run. */
const struct native_kernels *native_kernels_choose(enum dtype dtype);

#endif
