/* One real step of a plan, or one picture on its way through it, its tensors shown. */
#include <stdlib.h>
#include <string.h>

#include "engine/native/plan.h"
#include "engine/trace_name.h"

struct viewer {
    struct plan *plan;
    engine_trace_fn *emit;
    void *context;
    double *values; /* room for the largest tensor */
    size_t rows;
};

/* A grid as [samples, values], or [samples, channels, rows, columns] where it holds maps. */
static int show_grid(const struct viewer *viewer, enum trace_what what, uint32_t number,
                     const struct grid *grid, const void *values, bool maps)
{
    char name[TRACE_NAME_SIZE];
    size_t list[] = {viewer->rows, (size_t)grid->channels * grid->rows * grid->columns};
    size_t pictures[] = {viewer->rows, grid->channels, grid->rows, grid->columns};
    plan_read(viewer->plan, grid, values, viewer->rows, viewer->values);
    return viewer->emit(viewer->context, trace_name(name, what, number, NULL),
                        maps ? pictures : list, maps ? 4 : 2, viewer->values);
}

static int show_layer(const struct viewer *viewer, const struct plan_op *op)
{
    const struct grid *out = op->out;
    bool maps = op->layer->output.rank == 3;
    if (trace_shows_before(op->layer) &&
        show_grid(viewer, TRACE_BEFORE, op->number + 1, out, out->before, maps))
        return -1;
    return show_grid(viewer, TRACE_AFTER, op->number + 1, out, out->values, maps);
}

static int show_forward(const struct viewer *viewer, double loss)
{
    struct plan *plan = viewer->plan;
    const struct grid *last = &plan->grids[plan->op_count];
    char name[TRACE_NAME_SIZE];
    size_t places = plan->kernels->places;
    if (show_grid(viewer, TRACE_INPUT, 0, &plan->grids[0], plan->grids[0].values,
                  plan->network.layers[0].type != LAYER_DENSE))
        return -1;
    for (uint32_t i = 0; i + 1 < plan->op_count; i++)
        if (show_layer(viewer, &plan->ops[i])) return -1;
    if (show_grid(viewer, TRACE_LOGITS, 0, last, last->values, false)) return -1;
    for (size_t block = 0; block * places < viewer->rows; block++)
        plan->kernels->loss(last, NULL, NULL, viewer->rows, block, 0, NULL, NULL);
    if (show_grid(viewer, TRACE_PROBABILITIES, 0, last, last->delta, false)) return -1;
    return viewer->emit(viewer->context, trace_name(name, TRACE_LOSS, 0, NULL), (size_t[]){1}, 1,
                        &loss);
}

/* The gradients of every layer's parameters, or their new values. */
static int show_parameters(const struct viewer *viewer, enum trace_what what,
                           const struct parameters *parameters)
{
    char name[TRACE_NAME_SIZE];
    for (size_t t = 0; t < parameters->tensor_count; t++) {
        const struct tensor *tensor = &parameters->tensors[t];
        if (what == TRACE_GRADIENT && !tensor_role_is_trained(tensor->role)) continue;
        for (size_t i = 0; i < tensor->count; i++)
            viewer->values[i] = tensor_get(parameters, tensor, i);
        if (viewer->emit(viewer->context, trace_name(name, what, 0, tensor->name), tensor->shape,
                         tensor->rank, viewer->values))
            return -1;
    }
    return 0;
}

int plan_trace(struct plan *plan, const struct plan_samples *samples, engine_trace_fn *emit,
               void *context, struct error *error)
{
    size_t count = samples->count;
    struct parameters *parameters = NULL;
    struct viewer viewer = {plan, emit, context, NULL, count};
    enum dtype dtype = plan->kernels->size == sizeof(double) ? DTYPE_FLOAT64 : DTYPE_FLOAT32;
    int result = -1;
    double loss;
    viewer.values = malloc(network_largest_tensor(&plan->network, count) * sizeof(double));
    if (!viewer.values) return error_set_memory(error, "the traced step");
    if (parameters_create(&plan->network, dtype, &parameters, error) ||
        plan_keep_before(plan, true, error) || plan_reserve(plan, count, error))
        goto out;
    plan_train(plan, samples, NULL, &loss, NULL);
    result = show_forward(&viewer, loss);
    plan_export_gradient(plan, parameters);
    if (!result) result = show_parameters(&viewer, TRACE_GRADIENT, parameters);
    plan_export(plan, parameters, 0);
    if (!result) result = show_parameters(&viewer, TRACE_NEW, parameters);
    if (result) error_set(error, ERROR_FAILED, "the trace was ended by its receiver");
out:
    if (plan_keep_before(plan, false, error)) result = -1;
    parameters_destroy(parameters);
    free(viewer.values);
    return result;
}

/* What comes back for the picture when one logit's derivative by itself is 1. */
static int show_saliency(const struct viewer *viewer, uint32_t target, bool maps)
{
    struct plan *plan = viewer->plan;
    const struct grid *last = &plan->grids[plan->op_count];
    size_t at = target * plan->kernels->places;
    memset(last->delta, 0,
           plan->blocks * last->lines * plan->kernels->places * plan->kernels->size);
    if (plan->kernels->size == sizeof(float))
        ((float *)last->delta)[at] = 1;
    else
        ((double *)last->delta)[at] = 1;
    plan_backward(plan, viewer->rows);
    return show_grid(viewer, TRACE_SALIENCY, 0, &plan->grids[0], plan->grids[0].delta, maps);
}

int plan_follow(struct plan *plan, const uint8_t *pixels, const void *value, uint32_t target,
                engine_trace_fn *emit, void *context, struct error *error)
{
    struct viewer viewer = {plan, emit, context, NULL, 1};
    const struct grid *last = &plan->grids[plan->op_count];
    bool maps = plan->network.layers[0].type != LAYER_DENSE;
    if (plan_reserve(plan, 1, error)) return -1;
    viewer.values = malloc(network_largest_tensor(&plan->network, 1) * sizeof(double));
    if (!viewer.values) return error_set_memory(error, "the picture's way");
    plan_forward(plan, pixels, value, 1);
    int result = show_grid(&viewer, TRACE_INPUT, 0, &plan->grids[0], plan->grids[0].values, maps);
    for (uint32_t i = 0; !result && i + 1 < plan->op_count; i++) {
        const struct grid *out = plan->ops[i].out;
        result = show_grid(&viewer, TRACE_AFTER, i + 1, out, out->values,
                           plan->ops[i].layer->output.rank == 3);
    }
    if (!result) result = show_grid(&viewer, TRACE_LOGITS, 0, last, last->values, false);
    if (!result && target != ENGINE_NO_CLASS) result = show_saliency(&viewer, target, maps);
    if (result) error_set(error, ERROR_FAILED, "the trace was ended by its receiver");
    free(viewer.values);
    return result;
}
