/* Optimizers that ATen has no fused kernel for: their formula (net/formula.h), operator by
 * operator, on every parameter. */
#include "engine/torch/loop.h"

/* What every step of the formula needs: its numbers as scalar tensors, 1, and lists of 1 and -1. */
struct operands {
    torch_tensor numbers[FORMULA_MAX_NUMBERS];
    torch_tensor one, minus_one;
    torch_tensor plus, minus; /* [1] */
};

/* a + b, or a - b. The stable ABI passes no Scalars, which aten::add has one of: a copy of one
 * operand takes the other on with a factor that is a tensor. */
static torch_tensor add(struct torch_session *torch, const struct operands *o, torch_tensor a,
                        bool a_is_number, torch_tensor b, bool subtract)
{
    if (!a_is_number) {
        torch_tensor sum = torch_apply_both(torch, "aten::mul", "Tensor", a, o->one);
        torch_add_product(torch, sum, b, o->one, subtract ? o->minus : o->plus);
        return sum;
    }
    torch_tensor sum = torch_apply_both(torch, "aten::mul", "Tensor", b,
                                        subtract ? o->minus_one : o->one);
    torch_add_product(torch, sum, a, o->one, o->plus);
    return sum;
}

static torch_tensor compute(struct torch_session *torch, const struct operands *o,
                            const struct formula_step *step, const torch_tensor *tensors)
{
    torch_tensor a = step->a.tensor ? tensors[step->a.index] : o->numbers[step->a.index];
    torch_tensor b = step->b.tensor ? tensors[step->b.index] : o->numbers[step->b.index];
    switch (step->op) {
    case FORMULA_ADD:
        return add(torch, o, a, !step->a.tensor, b, false);
    case FORMULA_SUBTRACT:
        return add(torch, o, a, !step->a.tensor, b, true);
    case FORMULA_MULTIPLY:
        return torch_apply_both(torch, "aten::mul", "Tensor", a, b);
    case FORMULA_DIVIDE:
        return torch_apply_both(torch, "aten::div", "Tensor", a, b);
    case FORMULA_MAXIMUM:
        return torch_apply_both(torch, "aten::maximum", "", a, b);
    case FORMULA_SQUARE_ROOT:
        return torch_apply(torch, "aten::sqrt", a);
    case FORMULA_ABSOLUTE:
        return torch_apply(torch, "aten::abs", a);
    case FORMULA_POWER:
        break; /* of numbers alone */
    }
    return NULL;
}

static void update(struct torch_model *model, const struct operands *operands, size_t p)
{
    struct torch_session *torch = model->torch;
    const struct formula *formula = &model->formula;
    torch_tensor tensors[FORMULA_MAX_TENSORS] = {model->parameters[p],
                                                 torch_grad(torch, model->parameters[p])};
    size_t mark = torch->temporary_count;
    for (uint32_t i = 2; i < formula->tensor_inputs; i++) tensors[i] = model->slots[i - 2][p];
    for (uint32_t i = 0; i < formula->tensor_step_count; i++) {
        const struct formula_step *step = &formula->tensor_steps[i];
        tensors[step->result] = compute(torch, operands, step, tensors);
    }
    for (uint32_t i = 0; i < formula->tensor_inputs; i++)
        if (i != 1 && formula->new_tensors[i] != i) /* the gradient has no new value to keep */
            torch_copy(torch, tensors[i], tensors[formula->new_tensors[i]]);
    torch_release_temporaries_since(torch, mark);
}

void torch_update_by_formula(struct torch_model *model, const double *numbers)
{
    struct torch_session *torch = model->torch;
    const double plus = 1, minus = -1;
    const struct shape list = {1, {1}};
    bool recording = torch->grad_enabled;
    struct operands operands = {
        .one = torch_scalar(torch, plus),
        .minus_one = torch_scalar(torch, minus),
        .plus = torch_constant_from(torch, &list, &plus),
        .minus = torch_constant_from(torch, &list, &minus),
    };
    torch_enable_grad(torch, false); /* parameters are changed in place */
    for (uint32_t i = 0; i < model->formula.used_count; i++)
        operands.numbers[i] = torch_scalar(torch, numbers[i]);
    for (size_t p = 0; p < model->parameter_count; p++) update(model, &operands, p);
    torch_enable_grad(torch, recording);
    torch_release(torch, operands.plus);
    torch_release(torch, operands.minus);
}
