/* The layers' l1 and l2, of which PyTorch has none: their share of the loss, and its gradient added
 * to what backward() left, as if l1 * w.abs().sum() + l2 * w.square().sum() were in the loss. */
#include "engine/torch/loop.h"

/* gradient += factor · values */
static void add_times(struct torch_session *torch, torch_tensor gradient, torch_tensor values,
                      double factor)
{
    const struct shape one = {1, {1}};
    torch_tensor number = torch_constant_from(torch, &one, &factor);
    torch_add_product(torch, gradient, values, torch_scalar(torch, 1), number);
    torch_release(torch, number);
}

static double penalize_layer(struct torch_session *torch, const struct torch_layer *module)
{
    const struct layer *layer = module->layer;
    torch_tensor weight = module->tensors[ROLE_WEIGHT], gradient = torch_grad(torch, weight);
    double penalty = 0;
    if (layer->l1 > 0) {
        penalty += layer->l1 *
                   torch_item(torch, torch_sum(torch, torch_apply(torch, "aten::abs", weight)));
        add_times(torch, gradient, torch_apply(torch, "aten::sign", weight), layer->l1);
    }
    if (layer->l2 > 0) {
        torch_tensor square = torch_apply_both(torch, "aten::mul", "Tensor", weight, weight);
        penalty += layer->l2 * torch_item(torch, torch_sum(torch, square));
        add_times(torch, gradient, weight, 2 * layer->l2);
    }
    return penalty;
}

double torch_penalize(struct torch_model *model)
{
    struct torch_session *torch = model->torch;
    bool recording = torch->grad_enabled;
    double penalty = 0;
    torch_enable_grad(torch, false);
    for (uint32_t i = 0; i < model->network.layer_count; i++) {
        size_t mark = torch->temporary_count;
        if (!layer_is_penalized(&model->network.layers[i])) continue;
        penalty += penalize_layer(torch, &model->layers[i]);
        torch_release_temporaries_since(torch, mark);
    }
    torch_enable_grad(torch, recording);
    return penalty;
}
