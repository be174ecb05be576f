/* What every type of layer, and every activation, is in a TensorFlow graph: a row of layers.c's
 * tables. Maps are [count, rows, columns, channels] here, and lists of values behind them count as
 * Keras's Flatten does. */
#ifndef NNSTUDIO_ENGINE_TENSORFLOW_LAYERS_H
#define NNSTUDIO_ENGINE_TENSORFLOW_LAYERS_H

#include "engine/tensorflow/training.h"

/* One forward pass that is being written down. */
struct tf_pass {
    const struct tf_training *t;
    struct graph *g;
    const struct tf_variables *v;
    struct tf_step *step; /* takes what it computes: parameters as read, z, a, updates of buffers */
    bool training;        /* dropout drops, batch normalization uses the batch's own statistics */
    TF_Output n;          /* when it trains: double [], the step's number from 1 */
};

/* Writes the network down for pictures [count, inputs] in the data's order; returns the logits. */
TF_Output tf_apply_network(struct tf_pass *p, TF_Output pictures);

#endif
