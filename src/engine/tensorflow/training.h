/* A network's training as TensorFlow sees it: a graph that is written down once and then only run.
 * training.c is what the Code Diff shows as this engine's code. */
#ifndef NNSTUDIO_ENGINE_TENSORFLOW_TRAINING_H
#define NNSTUDIO_ENGINE_TENSORFLOW_TRAINING_H

#include "engine/engine.h"
#include "engine/tensorflow/graph.h"
#include "net/layout.h"

#define TF_MAX_PARAMETERS PARAMETERS_MAX_TENSORS
#define TF_MAX_SETS       (1 + OPTIMIZER_MAX_SLOTS)

/* Handles of TensorFlow's variables: what outlives a run. */
struct tf_variables {
    TF_Output images;  /* uint8 [samples, inputs] */
    TF_Output labels;  /* int32 [samples] */
    TF_Output losses;  /* real [steps of the run] */
    TF_Output correct; /* int32 [steps of the run] */
    /* Set 0: every tensor of the network in the studio's order, in Keras's shapes (net/layout.h).
     * The others: the optimizer's slots, of the trained ones. */
    TF_Output values[TF_MAX_SETS][TF_MAX_PARAMETERS];
};

/* A variable as seen from outside the graph. */
struct tf_access {
    TF_Output fed;        /* feed this … */
    TF_Operation *assign; /* … and run this to set it */
    TF_Output read;       /* fetch this to get it */
};

/* Every tensor of one step, for whoever wants to look. z[i] and a[i]: layer i before and after its
 * activation. */
struct tf_step {
    TF_Output input, labels, z[NETWORK_MAX_LAYERS], a[NETWORK_MAX_LAYERS];
    TF_Output first;                     /* int32 [], the number of the first sample in its batch;
                                            no operation: 0 */
    TF_Output below[NETWORK_MAX_LAYERS]; /* what goes into a batch normalization */
    TF_Output parameters[TF_MAX_PARAMETERS]; /* every tensor as read, before the step's update */
    TF_Output loss, correct;
    TF_Output slope;                         /* the loss's derivative by the logits */
    TF_Output statistics[TF_MAX_PARAMETERS]; /* what a running statistic moves towards */
    TF_Output gradients[TF_MAX_PARAMETERS];  /* of the trained ones */
    TF_Output plain_loss;                    /* without the layers' l1 and l2: a part has none */
    TF_Output plain_gradients[TF_MAX_PARAMETERS];
    /* by set; NULL for a variable that the step does not change, or not by itself */
    TF_Operation *updates[TF_MAX_SETS][TF_MAX_PARAMETERS];
};

struct tf_training {
    const struct engine_config *config; /* borrowed */
    TF_DataType real;
    size_t parameter_count, set_count;        /* of the variables' values */
    struct tensor tensors[TF_MAX_PARAMETERS]; /* what they are; without values */
    struct layout layouts[TF_MAX_PARAMETERS];
    int places[NETWORK_MAX_LAYERS][ROLE_COUNT]; /* of a layer's tensor among them; -1: none */
    struct loss_table *loss;                    /* owned; NULL: plain cross-entropy */
    struct formula formula; /* the optimizer's, where TensorFlow has no kernel for it */
    uint32_t number_count;
    struct graph graph;
    struct tf_variables variables;
    struct tf_access images, labels, values[TF_MAX_SETS][TF_MAX_PARAMETERS];

    TF_Output order;        /* fed: int32 [samples of the run] */
    TF_Output steps;        /* fed: int32 [], how many steps */
    TF_Output steps_before; /* fed: double [], how many were taken in earlier runs */
    /* fed: double [steps, number_count]: what the optimizer's formula takes at each step */
    TF_Output numbers;
    TF_Output losses, correct; /* fetched from a training run */

    struct tf_step step; /* one step over `order` as the batch, for traces */
    TF_Output probabilities;

    TF_Output pixels;     /* fed: uint8 [samples, inputs] */
    TF_Output logits;     /* fetched */
    struct tf_step asked; /* what leads from the pixels to the logits */
    TF_Output target;     /* fed: int32 [1], a class */
    TF_Output saliency;   /* fetched: its logit's derivative by asked.input, of one picture */
};

/* Writes the whole graph down. `config` must outlive the training. */
int tf_training_build(struct tf_training *training, const struct tf_api *tf,
                      const struct engine_config *config, struct error *error);
void tf_training_free(struct tf_training *training);
/* layers.c: what can be written down. */
bool tf_has_layer(enum layer_type type);
bool tf_has_activation(enum activation activation);
/* The numbers of step `step` (from 1) with the learning rate `rate`: out[number_count]. Moves the
 * optimizer's own on. */
void tf_training_numbers(const struct tf_training *training, double rate, uint64_t step,
                         double state[OPTIMIZER_MAX_NUMBERS], double out[FORMULA_MAX_NUMBERS]);
/* True when set `set` has a variable for tensor `p`: buffers have no optimizer state. */
bool tf_training_has_variable(const struct tf_training *training, size_t set, size_t p);

#endif
