/* One real step, its tensors shown: the stages of loop.c with a look in between. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/torch/loop.h"
#include "engine/trace_name.h"

/* Who wants to see, and what has gone wrong on the way. */
struct viewer {
    struct torch_model *model;
    engine_trace_fn *emit;
    void *context;
    double *values; /* scratch of `capacity` values */
    size_t capacity;
    bool stopped;
};

static void show(struct viewer *viewer, const char *name, torch_tensor tensor, size_t rows,
                 size_t columns)
{
    struct torch_session *torch = viewer->model->torch;
    size_t shape[] = {rows, columns};
    CHECK(rows * (columns ? columns : 1) <= viewer->capacity);
    torch_read_f64(torch, tensor, viewer->values, rows, columns);
    if (torch->failed || viewer->stopped) return;
    viewer->stopped = viewer->emit(viewer->context, name, shape, columns ? 2 : 1, viewer->values) !=
                      0;
}

static void show_activations(struct viewer *viewer, torch_tensor x, torch_tensor logits,
                             size_t count)
{
    const struct torch_model *model = viewer->model;
    const struct network *network = &model->network;
    char name[TRACE_NAME_SIZE];
    show(viewer, trace_name(name, TRACE_INPUT, 0, NULL), x, count, network_inputs(network));
    for (uint32_t i = 0; i + 1 < network->layer_count; i++) {
        show(viewer, trace_name(name, TRACE_BEFORE, i + 1, NULL), model->z[i], count,
             network->layers[i].outputs);
        show(viewer, trace_name(name, TRACE_AFTER, i + 1, NULL), model->a[i], count,
             network->layers[i].outputs);
    }
    show(viewer, trace_name(name, TRACE_LOGITS, 0, NULL), logits, count, network_classes(network));
    show(viewer, trace_name(name, TRACE_PROBABILITIES, 0, NULL),
         torch_softmax(model->torch, logits), count, network_classes(network));
}

/* Every layer's weight and bias, or their gradients. */
static void show_parameters(struct viewer *viewer, enum trace_what what)
{
    struct torch_model *model = viewer->model;
    char name[TRACE_NAME_SIZE], tensor[48];
    for (uint32_t i = 0; i < model->network.layer_count; i++) {
        const struct layer *layer = &model->network.layers[i];
        for (uint32_t k = 0; k < 2; k++) {
            if (model->torch->failed) return;
            torch_tensor parameter = model->parameters[2 * i + k];
            snprintf(tensor, sizeof tensor, "fc%u.%s", i + 1, k ? "bias" : "weight");
            show(viewer, trace_name(name, what, 0, tensor),
                 what == TRACE_GRADIENT ? torch_grad(model->torch, parameter) : parameter,
                 layer->outputs, k ? 0 : layer->inputs);
        }
    }
}

int torch_trace(struct torch_model *model, const uint32_t *order, size_t count,
                engine_trace_fn *emit, void *context, struct error *error)
{
    struct viewer viewer = {.model = model, .emit = emit, .context = context};
    viewer.capacity = network_largest_tensor(&model->network, count);
    viewer.values = malloc(viewer.capacity * sizeof *viewer.values);
    if (!viewer.values) return error_set_memory(error, "a trace");

    torch_tensor x, y;
    torch_load_batch(model, order, count, &x, &y);
    torch_zero_grad(model);
    torch_tensor logits = torch_forward(model, x);
    torch_tensor loss = torch_cross_entropy(model->torch, logits, y);
    torch_backward(model->torch, loss);

    double mean = torch_item(model->torch, loss);
    show_activations(&viewer, x, logits, count);
    char name[TRACE_NAME_SIZE];
    if (!viewer.stopped && !model->torch->failed)
        viewer.stopped = emit(context, trace_name(name, TRACE_LOSS, 0, NULL), (size_t[]){1}, 1,
                              &mean) != 0;
    show_parameters(&viewer, TRACE_GRADIENT);

    torch_optimizer_step(model);
    show_parameters(&viewer, TRACE_NEW);
    free(viewer.values);
    if (torch_check(model->torch, error)) return -1;
    return viewer.stopped ? error_set(error, ERROR_FAILED, "the trace was ended by its receiver")
                          : 0;
}
