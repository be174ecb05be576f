/* The studio's own engine: engine.h on top of model.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine_impl.h"
#include "data/preprocess.h"
#include "engine/native/model.h"
#include "engine/native/plan.h"
#include "engine/trace_name.h"

#define FORWARD_ROWS   512 /* samples at a time in forward() */
#define PLAN_ROWS      64  /* the same for a plan, which keeps every layer's output */
#define USEFUL_THREADS 4   /* more bring little at the size of a small network */

/* Two ways to train: dense layers on pixels, whose first layer skips what is blank (model.h), and a
 * plan for every other network (plan.h). One of the two is NULL. */
struct native {
    struct engine base;
    struct engine_config config;
    struct team *team;
    struct native_model *model;
    struct plan *plan;
    const void *values; /* of the 256 pixels */
    const struct split *split;
    struct samples lists;
};

static struct native *native_of(struct engine *engine)
{
    return (struct native *)engine;
}

static void native_probe(struct engine_probe *out)
{
    *out = (struct engine_probe){.found = true, .device_count = 1};
    snprintf(out->version, sizeof out->version, "%s", NNSTUDIO_VERSION);
    snprintf(out->detail, sizeof out->detail, "%s", native_kernels_choose(DTYPE_FLOAT32)->name);
    snprintf(out->devices[0], sizeof out->devices[0], "cpu");
}

static bool is_dense_on_pixels(const struct network *network)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].type != LAYER_DENSE || network->layers[i].without_bias ||
            network->layers[i].activation > ACTIVATION_SIGMOID)
            return false;
    return true;
}

static void native_close(struct engine *engine)
{
    struct native *native = native_of(engine);
    samples_free(&native->lists);
    native_model_destroy(native->model);
    plan_destroy(native->plan);
    team_destroy(native->team);
    free(native);
}

static int native_open(const struct engine_config *config, struct engine **out, struct error *error)
{
    if (config->device && strcmp(config->device, "cpu") != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the native engine has no device \"%.40s\": use cpu", config->device);
    if (config->batch_size < 1)
        return error_set(error, ERROR_USAGE, "the batch size is 0: give 1 or more");
    if (config->threads < 1 || config->threads > TEAM_MAX_THREADS)
        return error_set(error, ERROR_USAGE, "%u threads are not usable: give 1 to %d",
                         config->threads, TEAM_MAX_THREADS);
    if (is_dense_on_pixels(&config->network) &&
        config->network.layers[0].inputs > SAMPLES_MAX_INPUTS)
        return error_set(
            error, ERROR_INPUT,
            "a picture of %u pixels is too large for the native engine: use at most %d (512 x 512)",
            config->network.layers[0].inputs, SAMPLES_MAX_INPUTS);
    if (optimizer_check(&config->optimizer, error)) return -1;
    struct native *native = calloc(1, sizeof *native);
    if (!native) return error_set_memory(error, "the engine");
    native->base.ops = &engine_native;
    native->config = *config;
    native->values = config->dtype == DTYPE_FLOAT32 ? (const void *)preprocess_table_f32()
                                                    : preprocess_table_f64();
    if (team_create(config->threads, &native->team, error) ||
        (is_dense_on_pixels(&config->network)
             ? native_model_create(config, native->team, &native->model, error)
             : plan_create(config, native->team, &native->plan, error))) {
        native_close(&native->base);
        return -1;
    }
    *out = &native->base;
    return 0;
}

static int native_attach(struct engine *engine, const struct split *split, struct error *error)
{
    struct native *native = native_of(engine);
    size_t inputs = network_inputs(&native->config.network),
           classes = network_classes(&native->config.network);
    for (size_t s = 0; s < split->count; s++)
        if (split->labels[s] >= classes)
            return error_set(error, ERROR_INPUT,
                             "sample %zu has label %u but the network has %zu classes: make the "
                             "last layer wider",
                             s, split->labels[s], classes);
    samples_free(&native->lists);
    size_t rows = split->count < native->config.batch_size ? split->count
                                                           : native->config.batch_size;
    native->split = split;
    if (native->plan) return plan_reserve(native->plan, rows, error);
    if (native_model_reserve(native->model, rows, error)) return -1;
    return samples_create(&native->lists, split->pixels, split->count, inputs, native->team, error);
}

static int check_shape(const struct native *native, const struct parameters *parameters,
                       struct error *error)
{
    if (parameters->dtype != native->config.dtype ||
        parameters->value_count != network_value_count(&native->config.network))
        return error_set(error, ERROR_INPUT,
                         "the parameters are not of this network and %s: convert them first",
                         dtype_name(native->config.dtype));
    return 0;
}

static void import_set(struct native *native, const struct parameters *source, uint32_t set)
{
    if (native->plan)
        plan_import(native->plan, source, set);
    else
        native_model_import(native->model, source, set);
}

static void export_set(const struct native *native, struct parameters *destination, uint32_t set)
{
    if (native->plan)
        plan_export(native->plan, destination, set);
    else
        native_model_export(native->model, destination, set);
}

static int native_set_parameters(struct engine *engine, const struct parameters *parameters,
                                 struct error *error)
{
    struct native *native = native_of(engine);
    if (check_shape(native, parameters, error)) return -1;
    import_set(native, parameters, 0);
    return 0;
}

static int native_get_parameters(struct engine *engine, struct parameters *parameters,
                                 struct error *error)
{
    struct native *native = native_of(engine);
    if (check_shape(native, parameters, error)) return -1;
    export_set(native, parameters, 0);
    return 0;
}

static int check_state(const struct native *native, const struct optimizer_state *state,
                       struct error *error)
{
    if (state->slot_count != optimizer_slot_count(&native->config.optimizer))
        return error_set(error, ERROR_INPUT,
                         "the optimizer state is of another optimizer: it has %u slots, not %u",
                         state->slot_count, optimizer_slot_count(&native->config.optimizer));
    for (uint32_t i = 0; i < state->slot_count; i++)
        if (check_shape(native, state->slots[i], error)) return -1;
    return 0;
}

static int native_set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                                      struct error *error)
{
    struct native *native = native_of(engine);
    if (check_state(native, state, error)) return -1;
    for (uint32_t i = 0; i < state->slot_count; i++) import_set(native, state->slots[i], 1 + i);
    *(native->plan ? &native->plan->steps : &native->model->steps) = state->steps;
    return 0;
}

static int native_get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                                      struct error *error)
{
    struct native *native = native_of(engine);
    if (check_state(native, state, error)) return -1;
    for (uint32_t i = 0; i < state->slot_count; i++) export_set(native, state->slots[i], 1 + i);
    state->steps = native->plan ? native->plan->steps : native->model->steps;
    return 0;
}

static struct native_data training_data(const struct native *native)
{
    return (struct native_data){native->split->labels, &native->lists};
}

static int check_order(const struct native *native, const uint32_t *order, size_t count,
                       struct error *error)
{
    if (!native->split)
        return error_set(error, ERROR_USAGE, "no samples are attached: attach a data set first");
    for (size_t i = 0; i < count; i++) CHECK(order[i] < native->split->count);
    return 0;
}

static int native_train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                        uint32_t *correct, struct error *error)
{
    struct native *native = native_of(engine);
    if (check_order(native, order, count, error)) return -1;
    if (native->plan) {
        size_t batch = native->config.batch_size, rest = count % batch;
        if (plan_check_batch(native->plan, count < batch ? count : batch, error) ||
            (rest && plan_check_batch(native->plan, rest, error)))
            return -1;
        plan_train(native->plan, native->split, native->values, order, count, losses, correct);
        return 0;
    }
    struct native_data data = training_data(native);
    native_model_train(native->model, &data, order, count, losses, correct);
    return 0;
}

/* `rows` rows of a padded matrix as doubles without the padding. */
static void widen(const struct native_model *model, const void *values, size_t stride, size_t rows,
                  size_t columns, double *out)
{
    for (size_t m = 0; m < rows; m++)
        for (size_t c = 0; c < columns; c++)
            out[m * columns + c] = model->kernels->size == sizeof(float)
                                       ? (double)((const float *)values)[m * stride + c]
                                       : ((const double *)values)[m * stride + c];
}

static int forward_plan(struct native *native, const uint8_t *pixels, size_t count, double *logits,
                        struct error *error)
{
    struct plan *plan = native->plan;
    const struct grid *last = &plan->grids[plan->op_count];
    size_t inputs = network_inputs(&plan->network), classes = network_classes(&plan->network);
    size_t most = count < PLAN_ROWS ? count : PLAN_ROWS;
    if (plan_reserve(plan, most, error)) return -1;
    for (size_t done = 0; done < count; done += most) {
        size_t rows = count - done < most ? count - done : most;
        plan_forward(plan, pixels + done * inputs, native->values, rows);
        plan_read(plan, last, last->values, rows, logits + done * classes);
    }
    return 0;
}

static int native_forward(struct engine *engine, const uint8_t *pixels, size_t count,
                          double *logits, struct error *error)
{
    struct native *native = native_of(engine);
    struct native_model *model = native->model;
    if (native->plan) return forward_plan(native, pixels, count, logits, error);
    size_t inputs = network_inputs(&native->config.network),
           classes = network_classes(&native->config.network);
    const struct native_layer *last = &model->layers[model->layer_count - 1];
    size_t most = count < FORWARD_ROWS ? count : FORWARD_ROWS;
    if (native_model_reserve(model, most, error)) return -1;
    for (size_t done = 0; done < count; done += most) {
        size_t rows = count - done < most ? count - done : most;
        struct samples lists = {0};
        struct native_data data = {NULL, &lists};
        if (samples_create(&lists, pixels + done * inputs, rows, inputs, native->team, error))
            return -1;
        native_model_forward(model, &data, rows);
        widen(model, last->output, last->output_width, rows, classes, logits + done * classes);
        samples_free(&lists);
    }
    return 0;
}

/* ---- trace ---- */

struct trace {
    const struct native *native;
    engine_trace_fn *emit;
    void *context;
    double *values; /* room for the largest tensor */
    size_t rows;
};

static int emit_rows(struct trace *trace, enum trace_what what, uint32_t number, const void *values,
                     size_t stride, size_t columns)
{
    char name[TRACE_NAME_SIZE];
    widen(trace->native->model, values, stride, trace->rows, columns, trace->values);
    return trace->emit(trace->context, trace_name(name, what, number, NULL),
                       (size_t[]){trace->rows, columns}, 2, trace->values);
}

static int emit_forward(struct trace *trace, const uint32_t *order, double loss)
{
    const struct native *native = trace->native;
    struct native_model *model = native->model;
    size_t inputs = network_inputs(&native->config.network);
    char name[TRACE_NAME_SIZE];
    for (size_t m = 0; m < trace->rows; m++)
        for (size_t i = 0; i < inputs; i++) {
            uint8_t pixel = native->split->pixels[order[m] * inputs + i];
            widen(model, model->table, 0, 1, 256, trace->values + trace->rows * inputs);
            trace->values[m * inputs + i] = trace->values[trace->rows * inputs + pixel];
        }
    if (trace->emit(trace->context, trace_name(name, TRACE_INPUT, 0, NULL),
                    (size_t[]){trace->rows, inputs}, 2, trace->values))
        return -1;
    for (uint32_t n = 0; n + 1 < model->layer_count; n++) {
        const struct native_layer *layer = &model->layers[n];
        if (emit_rows(trace, TRACE_BEFORE, n + 1, layer->before, layer->output_width,
                      layer->outputs))
            return -1;
        if (emit_rows(trace, TRACE_AFTER, n + 1, layer->output, layer->output_width,
                      layer->outputs))
            return -1;
    }
    const struct native_layer *last = &model->layers[model->layer_count - 1];
    if (emit_rows(trace, TRACE_LOGITS, 0, last->output, last->output_width, last->outputs))
        return -1;
    struct native_matrix logits = {last->output, last->output_width};
    model->kernels->softmax(&logits, native->split->labels, order, trace->rows, last->outputs, 0,
                            last->delta, last->output_width, model->losses, model->correct);
    if (emit_rows(trace, TRACE_PROBABILITIES, 0, last->delta, last->output_width, last->outputs))
        return -1;
    return trace->emit(trace->context, trace_name(name, TRACE_LOSS, 0, NULL), (size_t[]){1}, 1,
                       &loss);
}

/* The gradients of every layer's parameters, or their new values. */
static int emit_parameters(struct trace *trace, enum trace_what what)
{
    const struct native *native = trace->native;
    const struct native_model *model = native->model;
    struct parameters *parameters;
    struct error error;
    int result = -1;
    if (parameters_create(&native->config.network, native->config.dtype, &parameters, &error))
        return -1;
    for (uint32_t n = 0; n < model->layer_count; n++) {
        const struct native_layer *layer = &model->layers[n];
        bool gradients = what == TRACE_GRADIENT;
        native_model_export_layer(model, n, gradients ? layer->weight_gradient : layer->weight[0],
                                  gradients ? layer->bias_gradient : layer->bias[0],
                                  parameters->tensors[2 * n].values,
                                  parameters->tensors[2 * n + 1].values);
    }
    for (size_t i = 0; i < parameters->tensor_count; i++) {
        const struct tensor *tensor = &parameters->tensors[i];
        char name[TRACE_NAME_SIZE];
        widen(model, tensor->values, 0, 1, tensor->count, trace->values);
        if (trace->emit(trace->context, trace_name(name, what, 0, tensor->name), tensor->shape,
                        tensor->rank, trace->values))
            goto out;
    }
    result = 0;
out:
    parameters_destroy(parameters);
    return result;
}

static int native_trace(struct engine *engine, const uint32_t *order, size_t count,
                        engine_trace_fn *emit, void *context, struct error *error)
{
    struct native *native = native_of(engine);
    struct native_model *model = native->model;
    int result = -1;
    double loss;
    if (check_order(native, order, count, error)) return -1;
    if (count < 1 || count > native->config.batch_size)
        return error_set(error, ERROR_USAGE, "a traced step takes 1 to %u samples",
                         native->config.batch_size);
    if (native->plan)
        return plan_check_batch(native->plan, count, error)
                   ? -1
                   : plan_trace(native->plan, native->split, native->values, order, count, emit,
                                context, error);
    /* and the table of a pixel's values behind the pictures */
    size_t most = network_largest_tensor(&native->config.network, count) + 256;
    struct trace trace = {native, emit, context, malloc(most * sizeof(double)), count};
    if (!trace.values) return error_set_memory(error, "the traced step");
    if (native_model_reserve(model, count, error) || native_model_trace_begin(model, error))
        goto out;
    struct native_data data = training_data(native);
    native_model_train(model, &data, order, count, &loss, NULL);
    if (emit_forward(&trace, order, loss) || emit_parameters(&trace, TRACE_GRADIENT) ||
        emit_parameters(&trace, TRACE_NEW)) {
        error_set(error, ERROR_FAILED, "the traced step could not be passed on");
        goto out;
    }
    result = 0;
out:
    native_model_trace_end(model);
    free(trace.values);
    return result;
}

static int native_set_learning_rate(struct engine *engine, double learning_rate,
                                    struct error *error)
{
    struct native *native = native_of(engine);
    struct optimizer optimizer = native->config.optimizer;
    optimizer.learning_rate = learning_rate;
    if (optimizer_check(&optimizer, error)) return -1;
    native->config.optimizer = native->model->optimizer = optimizer;
    return 0;
}

/* The threads that are given are used only as far as that is faster, step by step. */
static uint32_t native_default_threads(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 1) return 1;
    return cores < USEFUL_THREADS ? (uint32_t)cores : USEFUL_THREADS;
}

const struct engine_ops engine_native = {
    .id = "native",
    .title = "Native",
    .model_format = "safetensors",
    .paradigm = "plain C, no framework",
    .look = {.light = {"#7c5cff", "#5b3fd6", "#6546e8", "#ffffff"},
             .dark = {"#8f73ff", "#ab97ff", "#9a82ff", "#0e0730"},
             .dashes = {2, 8},
             .line_width = 3,
             .mark = "diamond"},
    .default_threads = native_default_threads,
    .probe = native_probe,
    .open = native_open,
    .attach = native_attach,
    .set_parameters = native_set_parameters,
    .get_parameters = native_get_parameters,
    .set_optimizer_state = native_set_optimizer_state,
    .get_optimizer_state = native_get_optimizer_state,
    .train = native_train,
    .forward = native_forward,
    .trace = native_trace,
    .set_learning_rate = native_set_learning_rate,
    .close = native_close,
};
