/* The network as PyTorch tensors, and the training loop over them.
 *
 * Where a function has no result, its failure waits in the session for torch_check(). The tensors
 * of a step are temporaries of the session. */
#ifndef NNSTUDIO_ENGINE_TORCH_LOOP_H
#define NNSTUDIO_ENGINE_TORCH_LOOP_H

#include "engine/engine.h"
#include "engine/torch/batch.h"
#include "engine/torch/layers.h"

struct torch_model {
    struct torch_session *torch;
    struct network network;
    struct optimizer optimizer;
    size_t batch_size;

    struct shape input; /* of one sample, as the first layer takes it */
    struct torch_layer layers[NETWORK_MAX_LAYERS];
    /* What the optimizer works on: the layers' parameters one after another, and its state of each;
     * borrowed from the layers. */
    size_t parameter_count;
    torch_tensor parameters[TORCH_MAX_PARAMETERS];
    torch_tensor slots[OPTIMIZER_MAX_SLOTS][TORCH_MAX_PARAMETERS];
    struct formula formula;                /* the optimizer's, where no fused kernel has it */
    uint64_t steps;                        /* optimizer steps taken */
    double numbers[OPTIMIZER_MAX_NUMBERS]; /* the optimizer's, beside the slots */
    uint64_t seed;                         /* of dropout's masks */
    double smoothing;                      /* of the loss's targets, as PyTorch means it */
    torch_tensor class_weight;             /* likewise, by class; owned; NULL: none */
    struct loss_table *targets; /* of a loss as Keras means it; owned; NULL: as PyTorch does */

    const struct split *split;    /* borrowed */
    struct preprocess preprocess; /* of the codes in `split` */
    struct torch_batch batch;
    void *rows;   /* [batch_size, classes], where there are `targets`; owned */
    void *logits; /* [batch_size, classes] of the last step, read back; owned */
};

/* model.c. The model of a network and optimizer, all parameters and the optimizer's state zero. The
 * session is borrowed. */
int torch_model_open(struct torch_model *model, struct torch_session *torch,
                     const struct engine_config *config, struct error *error);
void torch_model_close(struct torch_model *model); /* a zeroed one is fine */
/* How many of the batch's samples the logits classify correctly. */
uint32_t torch_count_correct(struct torch_model *model, torch_tensor logits);
/* Between the studio's values and PyTorch's tensors, on whatever device. `slot` is one of the
 * optimizer's, or one of these; buffers have neither state nor gradient, which reads as zeros. */
#define TORCH_VALUES    (-1)
#define TORCH_GRADIENTS (-2) /* every parameter's .grad, which must be there */
int torch_tensors_write(struct torch_model *model, int slot, const struct parameters *source,
                        struct error *error);
int torch_tensors_read(struct torch_model *model, int slot, struct parameters *destination,
                       struct error *error);

/* loop.c */
/* The stages of a step. */
void torch_load_batch(struct torch_model *model, const uint32_t *order, size_t count,
                      torch_tensor *x, torch_tensor *y);
/* The batch's loss, its mean or its sum. */
torch_tensor torch_loss(struct torch_model *model, torch_tensor logits, torch_tensor y, bool sum);
void torch_zero_grad(struct torch_model *model);
torch_tensor torch_forward(struct torch_model *model, torch_tensor x,
                           const struct torch_pass *pass); /* logits */
/* The pass of a step that trains, over `count` samples. */
struct torch_pass torch_training_pass(const struct torch_model *model, size_t count);
void torch_optimizer_step(struct torch_model *model);

/* As engine.h's train; `rates`, of every step, may be NULL. */
int torch_train(struct torch_model *model, const uint32_t *order, size_t count, const double *rates,
                double *losses, uint32_t *correct, struct error *error);

/* penalty.c: what the layers' l1 and l2 add to the loss; their gradient is added to .grad, which
 * backward() has filled. */
double torch_penalize(struct torch_model *model);

/* clip.c: every parameter's .grad kept in bounds, in place, as the optimizer says. */
void torch_clip_gradients(struct torch_model *model);

/* formula.c: every parameter and its state by model->formula with these numbers. */
void torch_update_by_formula(struct torch_model *model, const double *numbers);

/* parts.c: as engine.h's gradients and apply. */
int torch_gradients(struct torch_model *model, const struct engine_part *part,
                    const uint32_t *order, size_t count, struct parameters *sums, double *loss,
                    uint32_t *correct, struct error *error);
int torch_apply_gradients(struct torch_model *model, const struct parameters *sums, double divisor,
                          struct error *error);

/* trace.c: as engine.h's follow and trace. */
int torch_follow(struct torch_model *model, struct torch_batch *picture, uint32_t target,
                 engine_trace_fn *emit, void *context, struct error *error);
int torch_trace(struct torch_model *model, const uint32_t *order, size_t count,
                engine_trace_fn *emit, void *context, struct error *error);

#endif
