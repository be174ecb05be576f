/* A part of a batch: the stages of loop.c with the sum of the losses in place of their mean, and
 * the optimizer's step with gradients that come from outside. */
#include "engine/torch/loop.h"

int torch_gradients(struct torch_model *model, const uint32_t *order, size_t count,
                    struct parameters *sums, double *loss, uint32_t *correct, struct error *error)
{
    struct torch_session *torch = model->torch;
    struct torch_pass pass = torch_training_pass(model, count);
    torch_tensor x, y;

    torch_load_batch(model, order, count, &x, &y);
    torch_zero_grad(model);
    torch_tensor logits = torch_forward(model, x, &pass);
    torch_tensor sum = torch_loss(model, logits, y, true);
    torch_backward(torch, sum);

    *loss = torch_item(torch, sum);
    if (correct) *correct = torch_count_correct(model, logits);
    torch_release_temporaries(torch);
    if (torch_check(torch, error)) return -1;
    return torch_tensors_read(model, TORCH_GRADIENTS, sums, error);
}

int torch_apply_gradients(struct torch_model *model, const struct parameters *sums, size_t count,
                          struct error *error)
{
    struct torch_session *torch = model->torch;
    torch_tensor gradients[TORCH_MAX_PARAMETERS] = {NULL};
    int result = -1;
    for (size_t i = 0; i < model->parameter_count; i++) {
        gradients[i] = torch_zeros_like(torch, model->parameters[i]);
        torch_set_grad(torch, model->parameters[i], gradients[i]);
    }
    if (torch_check(torch, error) || torch_tensors_write(model, TORCH_GRADIENTS, sums, error))
        goto out;
    for (size_t i = 0; i < model->parameter_count; i++) {
        torch_divide(torch, gradients[i], (double)count);
        torch_release_temporaries(torch);
    }
    torch_optimizer_step(model);
    torch_release_temporaries(torch);
    result = torch_check(torch, error);
out:
    for (size_t i = 0; i < model->parameter_count; i++) torch_release(torch, gradients[i]);
    return result;
}
