/* The network, its loss and its optimizers once more, written to be read: plain C in double, one
 * sample, one unit, one weight at a time, with no regard to speed. What the engines compute is held
 * against it, and its own gradient against finite differences. */
#ifndef NNSTUDIO_TESTS_REFERENCE_H
#define NNSTUDIO_TESTS_REFERENCE_H

#include "data/dataset.h"
#include "net/network.h"
#include "net/optimizer.h"
#include "net/parameters.h"

struct reference {
    struct network network;
    struct optimizer optimizer;
    struct parameters *parameters; /* float64 */
    struct parameters *gradients;  /* of the last batch's loss, without weight decay */
    struct optimizer_state *state;

    /* The last batch; all owned. */
    size_t count;
    double *input;                 /* [count, inputs], 0 … 1 */
    double *z[NETWORK_MAX_LAYERS]; /* [count, outputs]: before the activation … */
    double *a[NETWORK_MAX_LAYERS]; /* … and after; the last layer's are the logits */
    double *probabilities;         /* [count, classes] */
    double loss;                   /* the mean */
    uint32_t correct;
};

/* `initial` in any dtype; copied. Aborts when memory is out, as everything here does. */
void reference_open(struct reference *reference, const struct network *network,
                    const struct optimizer *optimizer, const struct parameters *initial);
void reference_close(struct reference *reference);

/* Fills everything about the batch but the gradients; `order` NULL: 0, 1, 2 …, and `labels` NULL
 * leaves loss and correct alone. */
void reference_forward(struct reference *reference, const uint8_t *pixels, const uint8_t *labels,
                       const uint32_t *order, size_t count);
/* reference_forward, and the gradients of the mean loss. */
void reference_gradient(struct reference *reference, const struct split *split,
                        const uint32_t *order, size_t count);
/* One step of the optimizer with those gradients (net/optimizer.h). */
void reference_update(struct reference *reference);
/* Both: a training step. */
void reference_step(struct reference *reference, const struct split *split, const uint32_t *order,
                    size_t count);
const double *reference_logits(const struct reference *reference);

#endif
