/* An experiment as data: for this room only. Both sides begin with the same values, take the same
 * batches in the same order, and compute in float64. */
#ifndef NNSTUDIO_ATLAS_EXPERIMENT_H
#define NNSTUDIO_ATLAS_EXPERIMENT_H

#include "net/optimizer.h"

/* Where no layers are named. */
#define ATLAS_USUAL_LAYERS "dense 5 tanh, dense 3"

enum atlas_quantity {
    ATLAS_WEIGHT,
    ATLAS_LOSS,
    ATLAS_RATE,
    ATLAS_LOGIT,
    ATLAS_WEIGHTED, /* the mean loss of the samples so far, weighted by class */
    ATLAS_QUANTITY_COUNT
};

/* What is done to a side beside training it. */
enum atlas_change {
    ATLAS_AS_IT_IS,
    ATLAS_BIASED_VARIANCE, /* after one step: the running variance that n, not n - 1, divides */
    ATLAS_CHANNELS_LAST,   /* the dense weight behind a flatten is taken for one of H, W, C */
    ATLAS_COUNTED_PADDING, /* a depthwise convolution becomes an average that counts padding */
    ATLAS_PENALTY,         /* the reported loss has the penalty wd/2 · Σw² in it */
    ATLAS_CHANGE_COUNT
};

struct atlas_side {
    const char *layers;    /* as net/compact.h has them; NULL: those of the other side */
    const char *optimizer; /* "adam lr=0.01 epsilon=1e-07"; the meaning is the side's, unless it
                              says meaning=… */
    const char *schedule;  /* NULL: constant */
    enum init_scheme init;
    enum atlas_change change;
};

struct atlas_experiment {
    const char *about;               /* what is done, one sentence */
    uint32_t rows, columns, classes; /* 0: 2, 2, 3 */
    uint32_t samples, batch;         /* 0: 24, 8 */
    uint32_t epochs;                 /* 0: nothing is trained, only evaluated */
    double scale;                    /* inputs lie between -scale and scale; 0: 1 */
    double class_weights[3];         /* of ATLAS_WEIGHTED; the first 0: there are none */
    enum atlas_quantity shows;
    struct atlas_side sides[MEANING_COUNT];
};

/* The side's optimizer. The texts are the program's own: a mistake in one is a CHECK. */
void atlas_side_optimizer(const struct atlas_experiment *experiment, enum meaning meaning,
                          struct optimizer *out);

#endif
