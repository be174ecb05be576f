/* What tensorflow.c and parts.c share. */
#ifndef NNSTUDIO_ENGINE_TENSORFLOW_TENSORFLOW_H
#define NNSTUDIO_ENGINE_TENSORFLOW_TENSORFLOW_H

#include "engine/engine.h"
#include "engine/tensorflow/session.h"
#include "engine/tensorflow/training.h"

struct tensorflow_engine {
    struct engine base;
    const struct tf_api *tf;
    struct tf_training training;
    struct tf_cuts *cuts; /* parts.c's; NULL until they are needed */
    struct tf_session session;
    struct tf_run run;                     /* reused by every call */
    uint64_t steps;                        /* taken so far */
    double numbers[OPTIMIZER_MAX_NUMBERS]; /* the optimizer's, beside its slots */
};

/* The studio's values in Keras's shape and order, and back. */
TF_Tensor *tensorflow_tensor(const struct tensorflow_engine *self, size_t p,
                             const struct tensor *tensor);
void tensorflow_parameter(const struct tensorflow_engine *self, size_t p, const TF_Tensor *value,
                          struct tensor *tensor);
/* An order as TensorFlow takes it, without a copy if it lies well. */
TF_Tensor *tensorflow_order(const struct tensorflow_engine *self, const uint32_t *order,
                            size_t count);
double tensorflow_real(const struct tensorflow_engine *self, const void *values, size_t index);
/* Feeds what the optimizer takes at the next `steps` steps, and the steps before them; `state` is
 * where its own numbers then are, to be kept by tensorflow_took_steps() if the run succeeds. */
void tensorflow_feed_numbers(struct tensorflow_engine *self, size_t steps,
                             double state[OPTIMIZER_MAX_NUMBERS]);
void tensorflow_took_steps(struct tensorflow_engine *self, size_t steps,
                           const double state[OPTIMIZER_MAX_NUMBERS]);
/* Everything that a step does to one of the network's tensors and its slots. */
void tensorflow_target_updates(struct tensorflow_engine *self, size_t p);

/* parts.c: as engine.h's gradients and apply. */
int tensorflow_gradients(struct engine *engine, const struct engine_part *part,
                         const uint32_t *order, size_t count, struct parameters *sums, double *loss,
                         uint32_t *correct, struct error *error);
int tensorflow_apply(struct engine *engine, const struct parameters *sums, double divisor,
                     struct error *error);
void tensorflow_cuts_free(struct tf_cuts *cuts); /* NULL is fine */

#endif
