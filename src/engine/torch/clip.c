/* Gradients kept in bounds before the optimizer's step, as torch.nn.utils.clip_grad_norm_ and
 * clip_grad_value_ do, or as Keras's optimizers. */
#include "engine/torch/loop.h"

static torch_tensor squares(struct torch_session *torch, torch_tensor gradient)
{
    return torch_sum(torch, torch_apply_both(torch, "aten::mul", "Tensor", gradient, gradient));
}

/* bound / (norm + epsilon), at most 1, of a sum of squares. */
static torch_tensor factor(struct torch_session *torch, const struct optimizer *optimizer,
                           double bound, torch_tensor sum)
{
    torch_tensor norm = torch_apply(torch, "aten::sqrt", sum), most = torch_scalar(torch, bound);
    double epsilon = optimizer_clip_epsilon(optimizer);
    const struct shape one = {1, {1}};
    if (epsilon > 0) {
        torch_tensor unit = torch_constant_from(torch, &one, &(const double){1});
        torch_add_product(torch, norm, torch_scalar(torch, epsilon), torch_scalar(torch, 1), unit);
        torch_release(torch, unit);
    }
    torch_tensor divisor = torch_apply_both(torch, "aten::maximum", "", norm, most);
    return torch_apply_both(torch, "aten::div", "Tensor", most, divisor);
}

static torch_tensor clamp(struct torch_session *torch, torch_tensor gradient, double bound)
{
    torch_tensor low = torch_apply_both(torch, "aten::maximum", "", gradient,
                                        torch_scalar(torch, -bound));
    return torch_apply_both(torch, "aten::minimum", "", low, torch_scalar(torch, bound));
}

/* The gradients' norm together, as a sum of squares. */
static torch_tensor all_squares(struct torch_model *model)
{
    struct torch_session *torch = model->torch;
    const struct shape one = {1, {1}};
    torch_tensor unit = torch_constant_from(torch, &one, &(const double){1}),
                 sum = torch_scalar(torch, 0);
    for (size_t p = 0; p < model->parameter_count; p++)
        torch_add_product(torch, sum, squares(torch, torch_grad(torch, model->parameters[p])),
                          torch_scalar(torch, 1), unit);
    torch_release(torch, unit);
    return sum;
}

void torch_clip_gradients(struct torch_model *model)
{
    struct torch_session *torch = model->torch;
    const struct optimizer *optimizer = &model->optimizer;
    bool recording = torch->grad_enabled;
    double bound;
    enum optimizer_clip kind = optimizer_clip(optimizer, &bound);
    if (kind == OPTIMIZER_CLIP_NONE) return;
    torch_enable_grad(torch, false);
    torch_tensor by = kind == OPTIMIZER_CLIP_ALL
                          ? factor(torch, optimizer, bound, all_squares(model))
                          : NULL;
    for (size_t p = 0; p < model->parameter_count; p++) {
        size_t mark = torch->temporary_count;
        torch_tensor gradient = torch_grad(torch, model->parameters[p]);
        torch_tensor own = kind == OPTIMIZER_CLIP_EACH
                               ? factor(torch, optimizer, bound, squares(torch, gradient))
                               : by;
        torch_copy(torch, gradient,
                   own ? torch_apply_both(torch, "aten::mul", "Tensor", gradient, own)
                       : clamp(torch, gradient, bound));
        torch_release_temporaries_since(torch, mark);
    }
    torch_enable_grad(torch, recording);
}
