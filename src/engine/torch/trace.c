/* One real step, or one picture on its way, its tensors shown: the stages of loop.c with a look in
 * between. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/torch/loop.h"
#include "engine/trace_name.h"

/* Who wants to see, and what has gone wrong on the way. */
struct torch_viewer {
    struct torch_model *model;
    engine_trace_fn *emit;
    void *context;
    double *values; /* scratch of `capacity` values */
    size_t capacity;
    bool stopped;
};

static void show(struct torch_viewer *viewer, const char *name, torch_tensor tensor,
                 const struct shape *shape)
{
    struct torch_session *torch = viewer->model->torch;
    size_t sizes[SHAPE_MAX_RANK];
    CHECK(shape_values(shape) <= viewer->capacity);
    torch_read_f64(torch, tensor, viewer->values, shape);
    if (torch->failed || viewer->stopped) return;
    for (uint32_t d = 0; d < shape->rank; d++) sizes[d] = shape->sizes[d];
    viewer->stopped = viewer->emit(viewer->context, name, sizes, shape->rank, viewer->values) != 0;
}

static void show_layer(struct torch_viewer *viewer, const struct torch_layer *module, size_t count)
{
    const struct shape shape = torch_batch_shape(count, &module->layer->output);
    char name[TRACE_NAME_SIZE];
    if (trace_shows_before(module->layer))
        show(viewer, trace_name(name, TRACE_BEFORE, module->index + 1, NULL), module->before,
             &shape);
    show(viewer, trace_name(name, TRACE_AFTER, module->index + 1, NULL), module->after, &shape);
}

static int start(struct torch_viewer *viewer, size_t count, struct error *error)
{
    viewer->capacity = network_largest_tensor(&viewer->model->network, count);
    viewer->values = malloc(viewer->capacity * sizeof *viewer->values);
    return viewer->values ? 0 : error_set_memory(error, "a trace");
}

static int finish(struct torch_viewer *viewer, struct error *error)
{
    free(viewer->values);
    if (torch_check(viewer->model->torch, error)) return -1;
    if (!viewer->stopped) return 0;
    return error_set(error, ERROR_FAILED, "the trace was ended by its receiver");
}

static void show_activations(struct torch_viewer *viewer, torch_tensor x, torch_tensor logits,
                             size_t count)
{
    struct torch_model *model = viewer->model;
    const uint32_t last = model->network.layer_count - 1;
    const struct shape input = torch_batch_shape(count, &model->input),
                       classes = torch_batch_shape(count, &model->network.layers[last].output);
    char name[TRACE_NAME_SIZE];
    show(viewer, trace_name(name, TRACE_INPUT, 0, NULL), x, &input);
    for (uint32_t i = 0; i < last; i++) show_layer(viewer, &model->layers[i], count);
    show(viewer, trace_name(name, TRACE_LOGITS, 0, NULL), logits, &classes);
    show(viewer, trace_name(name, TRACE_PROBABILITIES, 0, NULL),
         torch_softmax(model->torch, logits), &classes);
}

/* The gradients of every layer's parameters, or the new values of these and of the buffers. */
static void show_parameters(struct torch_viewer *viewer, enum trace_what what)
{
    struct torch_model *model = viewer->model;
    char name[TRACE_NAME_SIZE], tensor[64];
    for (uint32_t i = 0; i < model->network.layer_count; i++) {
        const struct layer *layer = &model->network.layers[i];
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        for (uint32_t k = 0, count = layer_tensors(layer, specs); k < count; k++) {
            if (model->torch->failed) return;
            torch_tensor parameter = model->layers[i].tensors[specs[k].role];
            if (what == TRACE_GRADIENT && !tensor_role_is_trained(specs[k].role)) continue;
            snprintf(tensor, sizeof tensor, "%s.%s", layer->name, tensor_role_name(specs[k].role));
            show(viewer, trace_name(name, what, 0, tensor),
                 what == TRACE_GRADIENT ? torch_grad(model->torch, parameter) : parameter,
                 &specs[k].shape);
        }
    }
}

int torch_trace(struct torch_model *model, const uint32_t *order, size_t count,
                engine_trace_fn *emit, void *context, struct error *error)
{
    struct torch_viewer viewer = {.model = model, .emit = emit, .context = context};
    if (start(&viewer, count, error)) return -1;

    torch_tensor x, y;
    torch_load_batch(model, order, count, &x, &y);
    torch_zero_grad(model);
    struct torch_pass pass = torch_training_pass(model, count);
    torch_tensor logits = torch_forward(model, x, &pass);
    torch_tensor loss = torch_loss(model, logits, y, false);
    torch_backward(model->torch, loss);

    double penalty = torch_penalize(model), mean = torch_item(model->torch, loss) + penalty;
    show_activations(&viewer, x, logits, count);
    char name[TRACE_NAME_SIZE];
    if (!viewer.stopped && !model->torch->failed)
        viewer.stopped = emit(context, trace_name(name, TRACE_LOSS, 0, NULL), (size_t[]){1}, 1,
                              &mean) != 0;
    show_parameters(&viewer, TRACE_GRADIENT);

    torch_optimizer_step(model);
    show_parameters(&viewer, TRACE_NEW);
    return finish(&viewer, error);
}

/* logits[0, target], as a scalar that autograd can begin from. */
static torch_tensor pick_logit(struct torch_model *model, torch_tensor logits, uint32_t target,
                               torch_tensor *one_hot)
{
    uint32_t classes = network_classes(&model->network);
    const struct shape row = {2, {1, classes}};
    double *values = calloc(classes, sizeof *values);
    if (!values) return NULL;
    values[target] = 1;
    *one_hot = torch_constant_from(model->torch, &row, values);
    free(values);
    return torch_linear(model->torch, logits, *one_hot, NULL);
}

/* The picture is a leaf here, as parameters are elsewhere: backward() leaves it its gradient. */
int torch_follow(struct torch_model *model, struct torch_batch *picture, uint32_t target,
                 engine_trace_fn *emit, void *context, struct error *error)
{
    struct torch_session *torch = model->torch;
    struct torch_viewer viewer = {.model = model, .emit = emit, .context = context};
    const struct shape input = torch_batch_shape(1, &model->input),
                       classes = {2, {1, network_classes(&model->network)}};
    const struct torch_pass pass = {.training = false, .count = 1};
    torch_tensor x = NULL, one_hot = NULL;
    char name[TRACE_NAME_SIZE];
    if (start(&viewer, 1, error)) return -1;
    x = torch_parameter(torch, &input, TORCH_BY_ROWS);
    torch_copy(torch, x, torch_view(torch, picture->pixels, &input));
    torch_tensor logits = torch_forward(model, x, &pass);
    show(&viewer, trace_name(name, TRACE_INPUT, 0, NULL), x, &input);
    for (uint32_t i = 0; i + 1 < model->network.layer_count; i++) {
        const struct shape shape = torch_batch_shape(1, &model->network.layers[i].output);
        show(&viewer, trace_name(name, TRACE_AFTER, i + 1, NULL), model->layers[i].after, &shape);
    }
    show(&viewer, trace_name(name, TRACE_LOGITS, 0, NULL), logits, &classes);
    torch_tensor logit = target == ENGINE_NO_CLASS ? NULL
                                                   : pick_logit(model, logits, target, &one_hot);
    if (logit) {
        torch_backward(torch, logit);
        show(&viewer, trace_name(name, TRACE_SALIENCY, 0, NULL), torch_grad(torch, x), &input);
        torch_zero_grad(model); /* the parameters were given gradients, too */
    }
    bool lacking = target != ENGINE_NO_CLASS && !logit && !torch->failed;
    int result = finish(&viewer, error);
    torch_release(torch, one_hot);
    torch_release(torch, x);
    return result || !lacking ? result : error_set_memory(error, "a class");
}
