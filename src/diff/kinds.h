/* How one tensor differs from its counterpart. For this room only. */
#ifndef NNSTUDIO_DIFF_KINDS_H
#define NNSTUDIO_DIFF_KINDS_H

#include <jansson.h>

#include "net/network.h"
#include "net/parameters.h"

/* In the order in which they are tried: the first that explains every value is the one. */
enum diff_kind {
    DIFF_EQUAL,
    DIFF_RESHAPED,
    DIFF_NOT_FINITE,
    DIFF_FLOAT16_B, /* B holds A's values, rounded to float16 */
    DIFF_FLOAT16_A,
    DIFF_BFLOAT16_B,
    DIFF_BFLOAT16_A,
    DIFF_ROUNDING,
    DIFF_ZERO,
    DIFF_TRANSPOSED,
    DIFF_KERNEL_TRANSPOSED,
    DIFF_KERNEL_FLIPPED,
    DIFF_FLATTEN_ORDER,
    DIFF_ROWS,
    DIFF_COLUMNS,
    DIFF_SCALED,
    DIFF_SHIFTED,
    DIFF_FEW,
    DIFF_CHANGED,
    DIFF_SWAPPED, /* found among several tensors, not of one pair */
    DIFF_KIND_COUNT
};
const char *diff_kind_name(enum diff_kind kind);  /* "flatten_order": in JSON */
const char *diff_kind_words(enum diff_kind kind); /* behind the tensors' names and ": " */
/* Whether the values mean the same: equal, or equal but for rounding in the tensor's dtype. */
bool diff_kind_is_same(enum diff_kind kind);

struct diff_pair {
    const struct network *networks[2];
    const struct parameters *parameters[2];
    const struct tensor *tensors[2]; /* the same role of two layers of the same type */
};

struct diff_tensor {
    enum diff_kind kind;
    /* of tensors of one shape: */
    double max_abs, mean_abs;
    double scale;     /* the largest magnitude in either */
    size_t at;        /* where max_abs is */
    size_t differing; /* values that are not equal in the coarser dtype */
    double factor;    /* DIFF_SCALED: B = factor · A; DIFF_SHIFTED: B = A + factor */
};
void diff_compare_tensors(const struct diff_pair *pair, struct diff_tensor *out);
/* Whether tensor `b` has the values of `a` but for rounding, shapes included. */
bool diff_tensors_match(const struct parameters *of_a, const struct tensor *a,
                        const struct parameters *of_b, const struct tensor *b);

/* Where value `index` of a tensor stands, [row, column]; new reference. */
json_t *diff_place(uint32_t rank, const size_t *shape, size_t index);

#endif
