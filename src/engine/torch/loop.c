/* PyTorch's way to train: tensors, a forward pass that autograd records, and a loop written by
 * hand. */
#include "engine/torch/loop.h"

#include <string.h>

/* [stage: data] */
/* What a DataLoader yields: the batch's pictures x in 0 … 1, [count, channels, rows, columns] or,
 * for a network of dense layers, [count, inputs], and its labels y [count]. */
void torch_load_batch(struct torch_model *model, const uint32_t *order, size_t count,
                      torch_tensor *x, torch_tensor *y)
{
    struct torch_session *torch = model->torch;
    struct torch_batch *batch = &model->batch;

    torch_batch_gather(batch, model->split, order, count); /* [batches] */
    struct shape shape = torch_batch_shape(count, &model->input);
    *x = torch_to_device(torch, torch_view(torch, batch->pixels, &shape), &shape); /* [scale] */
    *y = torch_to_device_int64(torch, torch_view_int64(torch, batch->labels, count),
                               count); /* [labels] */
}
/* [end] */

/* [stage: network] */
/* nn.Sequential(Linear, ReLU, …, Linear): x to logits [count, classes]. */
torch_tensor torch_forward(struct torch_model *model, torch_tensor x, const struct torch_pass *pass)
{
    for (uint32_t i = 0; i < model->network.layer_count; i++)
        x = torch_layer_forward(model->torch, &model->layers[i], x, pass); /* [forward] */
    return x;
}
/* [end] */

/* [stage: loss and optimizer] */
/* The rows that Keras's smoothing and class weights make of the batch's labels. */
static torch_tensor targets(struct torch_model *model)
{
    const struct loss_table *table = model->targets;
    const size_t classes = table->classes, count = model->batch.count;
    const struct shape shape = {2, {(uint32_t)count, (uint32_t)classes}};
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < classes; c++) {
            double share = table->target[(size_t)model->batch.labels[i] * classes + c];
            if (model->torch->float64)
                ((double *)model->rows)[i * classes + c] = share;
            else
                ((float *)model->rows)[i * classes + c] = (float)share;
        }
    return torch_to_device(model->torch, torch_view(model->torch, model->rows, &shape), &shape);
}

/* F.cross_entropy(logits, y) */
torch_tensor torch_loss(struct torch_model *model, torch_tensor logits, torch_tensor y, bool sum)
{
    if (model->targets) y = targets(model);
    return torch_cross_entropy(model->torch, logits, y, model->class_weight, model->smoothing,
                               sum); /* [loss] */
}

/* The gradients become None, so that backward() puts new ones in their place instead of adding to
 * the old. */
void torch_zero_grad(struct torch_model *model) /* [zero_grad] */
{
    for (size_t i = 0; i < model->parameter_count; i++)
        torch_clear_grad(model->torch, model->parameters[i]); /* [zero_grad] */
}

/* An optimizer that ATen has no kernel for: its formula's numbers, and then its operations. */
static void update_by_formula(struct torch_model *model, uint64_t step)
{
    double numbers[FORMULA_MAX_NUMBERS], state[OPTIMIZER_MAX_NUMBERS];
    memcpy(state, model->numbers, sizeof state);
    optimizer_numbers(&model->optimizer, &model->formula, model->optimizer.learning_rate, step,
                      state, numbers);
    torch_update_by_formula(model, numbers);
    if (!model->torch->failed) memcpy(model->numbers, state, sizeof state);
}

/* torch.optim: all parameters in one fused kernel, where there is one. */
void torch_optimizer_step(struct torch_model *model) /* [optimizer] */
{
    const struct optimizer *optimizer = &model->optimizer;
    uint64_t step = model->steps + 1;
    torch_clip_gradients(model);
    if (optimizer->type == OPTIMIZER_ADAM || optimizer->type == OPTIMIZER_ADAMW) {
        torch_adam(model->torch, optimizer, model->parameter_count, model->parameters, model->slots,
                   step); /* [optimizer] */
    } else if (optimizer->type == OPTIMIZER_SGD &&
               (optimizer->meaning == MEANING_PYTORCH || optimizer_fused(optimizer))) {
        torch_sgd(model->torch, optimizer, model->parameter_count, model->parameters,
                  model->slots); /* [optimizer] */
    } else {
        update_by_formula(model, step); /* [optimizer] */
    }
    if (!model->torch->failed) model->steps = step;
}
/* [end] */

struct torch_pass torch_training_pass(const struct torch_model *model, size_t count)
{
    return (struct torch_pass){
        .training = true, .count = count, .seed = model->seed, .step = model->steps};
}

/* [stage: one step] */
/* *penalty: what the layers' l1 and l2 add to the loss. */
static torch_tensor step(struct torch_model *model, torch_tensor x, torch_tensor y,
                         torch_tensor *logits, double *penalty) /* [step] */
{
    struct torch_pass pass = torch_training_pass(model, model->batch.count);
    torch_zero_grad(model);                                   /* [zero_grad] */
    *logits = torch_forward(model, x, &pass);                 /* [forward_pass] */
    torch_tensor loss = torch_loss(model, *logits, y, false); /* [loss_value] */
    torch_backward(model->torch, loss);                       /* [backward] */
    *penalty = torch_penalize(model);                         /* [backward] */
    torch_optimizer_step(model);                              /* [update] */
    return loss;
}
/* [end] */

/* [stage: loop] */
int torch_train(struct torch_model *model, const uint32_t *order, size_t count, const double *rates,
                double *losses, uint32_t *correct, struct error *error)
{
    for (size_t begin = 0; begin < count; begin += model->batch_size) { /* [batches] */
        size_t size = count - begin < model->batch_size ? count - begin
                                                        : model->batch_size; /* [batches] */
        torch_tensor x, y, logits;
        double penalty;

        if (rates) model->optimizer.learning_rate = *rates++;
        torch_load_batch(model, order + begin, size, &x, &y);     /* [batches] */
        torch_tensor loss = step(model, x, y, &logits, &penalty); /* [step] */

        *losses++ = torch_item(model->torch, loss) + penalty;         /* [report] */
        if (correct) *correct++ = torch_count_correct(model, logits); /* [correct] */
        torch_release_temporaries(model->torch);
        if (torch_check(model->torch, error)) return -1;
    }
    return 0;
}
/* [end] */
