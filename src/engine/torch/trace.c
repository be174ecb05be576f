/* One real step, its tensors shown: the stages of loop.c with a look in between. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/torch/loop.h"

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
    char name[32];
    show(viewer, "input", x, count, network_inputs(network));
    for (uint32_t i = 0; i + 1 < network->layer_count; i++) {
        snprintf(name, sizeof name, "z%u", i + 1);
        show(viewer, name, model->z[i], count, network->layers[i].outputs);
        snprintf(name, sizeof name, "a%u", i + 1);
        show(viewer, name, model->a[i], count, network->layers[i].outputs);
    }
    show(viewer, "logits", logits, count, network_classes(network));
    show(viewer, "probabilities", torch_softmax(model->torch, logits), count,
         network_classes(network));
}

/* Every layer's weight and bias, or their gradients. */
static void show_parameters(struct viewer *viewer, const char *kind, bool gradients)
{
    struct torch_model *model = viewer->model;
    char name[48];
    for (uint32_t i = 0; i < model->network.layer_count; i++) {
        const struct layer *layer = &model->network.layers[i];
        for (uint32_t k = 0; k < 2; k++) {
            if (model->torch->failed) return;
            torch_tensor parameter = model->parameters[2 * i + k];
            snprintf(name, sizeof name, "%s/fc%u.%s", kind, i + 1, k ? "bias" : "weight");
            show(viewer, name, gradients ? torch_grad(model->torch, parameter) : parameter,
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
    if (!viewer.stopped && !model->torch->failed)
        viewer.stopped = emit(context, "loss", (size_t[]){1}, 1, &mean) != 0;
    show_parameters(&viewer, "grad", true);

    torch_optimizer_step(model);
    show_parameters(&viewer, "new", false);
    free(viewer.values);
    if (torch_check(model->torch, error)) return -1;
    return viewer.stopped ? error_set(error, ERROR_FAILED, "the trace was ended by its receiver")
                          : 0;
}
