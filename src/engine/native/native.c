/* The studio's own engine: engine.h on top of model.h. */
#include <stdio.h>
#include <stdlib.h>
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
struct native_engine {
    struct engine base;
    struct team *team;
    struct native_model *model;
    struct plan *plan;
    union native_table values; /* of the 256 codes */
    struct samples lists;      /* of the attached split; none with a plan */
};

static struct native_engine *self_of(struct engine *engine)
{
    return (struct native_engine *)engine;
}

static void probe(struct engine_probe *out)
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

static bool has_layer(enum layer_type type)
{
    return type < LAYER_TYPE_COUNT;
}

static bool has_activation(enum activation activation)
{
    return activation < ACTIVATION_COUNT;
}

static void close_engine(struct engine *engine)
{
    struct native_engine *self = self_of(engine);
    samples_free(&self->lists);
    native_model_destroy(self->model);
    plan_destroy(self->plan);
    team_destroy(self->team);
    free(self);
}

static int open_engine(const struct engine_config *config, const struct engine_probe *found,
                       struct engine **out, struct error *error)
{
    /* The path for pixels has them as lists of codes, so values go through a plan. */
    bool dense = is_dense_on_pixels(&config->network) && !config->infers;
    uint32_t inputs = network_inputs(&config->network);
    (void)found;
    if (dense && inputs > SAMPLES_MAX_INPUTS)
        return error_set(
            error, ERROR_INPUT,
            "a picture of %u pixels is too large for the native engine: use at most %d (512 x 512)",
            inputs, SAMPLES_MAX_INPUTS);
    struct native_engine *self = calloc(1, sizeof *self);
    if (!self) return error_set_memory(error, "the engine");
    native_table_fill(config, &self->values);
    if (team_create(config->threads, &self->team, error) ||
        (dense ? native_model_create(config, self->team, &self->model, error)
               : plan_create(config, self->team, &self->plan, error))) {
        close_engine(&self->base);
        return -1;
    }
    *out = &self->base;
    return 0;
}

/* ---- samples and values in and out ---- */

static int attach(struct engine *engine, const struct split *split, struct error *error)
{
    struct native_engine *self = self_of(engine);
    size_t batch = engine->config.batch_size, rows = split->count < batch ? split->count : batch;
    samples_free(&self->lists);
    if (self->plan) return plan_reserve(self->plan, rows, error);
    if (native_model_reserve(self->model, rows, error)) return -1;
    return samples_create(&self->lists, split->pixels, split->count,
                          network_inputs(&engine->config.network), self->model->dense, self->team,
                          error);
}

static void import_set(struct native_engine *self, const struct parameters *source, uint32_t set)
{
    if (self->plan)
        plan_import(self->plan, source, set);
    else
        native_model_import(self->model, source, set);
}

static void export_set(const struct native_engine *self, struct parameters *destination,
                       uint32_t set)
{
    if (self->plan)
        plan_export(self->plan, destination, set);
    else
        native_model_export(self->model, destination, set);
}

static int set_parameters(struct engine *engine, const struct parameters *parameters,
                          struct error *error)
{
    (void)error;
    import_set(self_of(engine), parameters, 0);
    return 0;
}

static int get_parameters(struct engine *engine, struct parameters *parameters, struct error *error)
{
    (void)error;
    export_set(self_of(engine), parameters, 0);
    return 0;
}

static uint64_t *steps_of(struct native_engine *self)
{
    return self->plan ? &self->plan->steps : &self->model->steps;
}

static int set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                               struct error *error)
{
    struct native_engine *self = self_of(engine);
    (void)error;
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        import_set(self, state->slots[slot], 1 + slot);
    *steps_of(self) = state->steps;
    return 0;
}

static int get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                               struct error *error)
{
    struct native_engine *self = self_of(engine);
    (void)error;
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        export_set(self, state->slots[slot], 1 + slot);
    state->steps = *steps_of(self);
    return 0;
}

static int set_learning_rate(struct engine *engine, double learning_rate, struct error *error)
{
    struct native_engine *self = self_of(engine);
    (void)error;
    (self->plan ? &self->plan->optimizer : &self->model->optimizer)->learning_rate = learning_rate;
    return 0;
}

/* ---- training and inference ---- */

static struct native_data training_data(const struct native_engine *self)
{
    return (struct native_data){self->base.split->labels, &self->lists};
}

static int train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error)
{
    struct native_engine *self = self_of(engine);
    size_t batch = engine->config.batch_size, rows = count < batch ? count : batch;
    /* An order that repeats samples may be longer than the set that attach() made room for. */
    if (self->plan) {
        if (plan_reserve(self->plan, rows, error)) return -1;
        plan_train(self->plan, engine->split, &self->values, order, count, losses, correct);
        return 0;
    }
    struct native_data data = training_data(self);
    if (native_model_reserve(self->model, rows, error)) return -1;
    native_model_train(self->model, &data, order, count, losses, correct);
    return 0;
}

static int gradients(struct engine *engine, const uint32_t *order, size_t count,
                     struct parameters *sums, double *loss, uint32_t *correct, struct error *error)
{
    struct native_engine *self = self_of(engine);
    if (self->plan) {
        if (plan_reserve(self->plan, count, error)) return -1;
        plan_gradients(self->plan, engine->split, &self->values, order, count, sums, loss, correct);
        return 0;
    }
    struct native_data data = training_data(self);
    if (native_model_reserve(self->model, count, error) ||
        native_model_sums_begin(self->model, error))
        return -1;
    native_model_gradients(self->model, &data, order, count, loss, correct);
    native_model_export_sums(self->model, sums);
    return 0;
}

static int apply(struct engine *engine, const struct parameters *sums, size_t count,
                 struct error *error)
{
    struct native_engine *self = self_of(engine);
    struct native_model *model = self->model;
    if (self->plan) {
        plan_apply(self->plan, sums, count);
        return 0;
    }
    if (native_model_sums_begin(model, error)) return -1;
    native_model_import_sums(model, sums, count);
    native_model_apply(model);
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

static int forward_plan(struct native_engine *self, const uint8_t *pixels, size_t count,
                        double *logits, struct error *error)
{
    struct plan *plan = self->plan;
    const struct grid *last = &plan->grids[plan->op_count];
    size_t inputs = network_inputs(&plan->network), classes = network_classes(&plan->network);
    size_t most = count < PLAN_ROWS ? count : PLAN_ROWS;
    if (plan_reserve(plan, most, error)) return -1;
    for (size_t done = 0; done < count; done += most) {
        size_t rows = count - done < most ? count - done : most;
        plan_forward(plan, pixels + done * inputs, &self->values, rows);
        plan_read(plan, last, last->values, rows, logits + done * classes);
    }
    return 0;
}

static int forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error)
{
    struct native_engine *self = self_of(engine);
    struct native_model *model = self->model;
    if (self->plan) return forward_plan(self, pixels, count, logits, error);
    size_t inputs = network_inputs(&self->base.config.network),
           classes = network_classes(&self->base.config.network);
    const struct native_layer *last = &model->layers[model->layer_count - 1];
    size_t most = count < FORWARD_ROWS ? count : FORWARD_ROWS;
    if (native_model_reserve(model, most, error)) return -1;
    for (size_t done = 0; done < count; done += most) {
        size_t rows = count - done < most ? count - done : most;
        struct samples lists = {0};
        struct native_data data = {NULL, &lists};
        if (samples_create(&lists, pixels + done * inputs, rows, inputs, model->dense, self->team,
                           error))
            return -1;
        native_model_forward(model, &data, rows);
        widen(model, last->output, last->output_width, rows, classes, logits + done * classes);
        samples_free(&lists);
    }
    return 0;
}

static int infer(struct engine *engine, const double *inputs, size_t count, double *logits,
                 struct error *error)
{
    struct plan *plan = self_of(engine)->plan;
    const struct grid *last = &plan->grids[plan->op_count];
    size_t each = network_inputs(&plan->network), classes = network_classes(&plan->network);
    size_t most = count < PLAN_ROWS ? count : PLAN_ROWS;
    if (plan_reserve(plan, most, error)) return -1;
    for (size_t done = 0; done < count; done += most) {
        size_t rows = count - done < most ? count - done : most;
        plan_infer(plan, inputs + done * each, rows);
        plan_read(plan, last, last->values, rows, logits + done * classes);
    }
    return 0;
}

/* ---- trace ---- */

struct trace {
    const struct native_engine *self;
    engine_trace_fn *emit;
    void *context;
    double *values; /* room for the largest tensor */
    size_t rows;
};

static int emit_rows(struct trace *trace, enum trace_what what, uint32_t number, const void *values,
                     size_t stride, size_t columns)
{
    char name[TRACE_NAME_SIZE];
    widen(trace->self->model, values, stride, trace->rows, columns, trace->values);
    return trace->emit(trace->context, trace_name(name, what, number, NULL),
                       (size_t[]){trace->rows, columns}, 2, trace->values);
}

static int emit_forward(struct trace *trace, const uint32_t *order, double loss)
{
    const struct native_engine *self = trace->self;
    struct native_model *model = self->model;
    size_t inputs = network_inputs(&self->base.config.network);
    char name[TRACE_NAME_SIZE];
    for (size_t m = 0; m < trace->rows; m++)
        for (size_t i = 0; i < inputs; i++) {
            uint8_t pixel = self->base.split->pixels[order[m] * inputs + i];
            widen(model, &model->table, 0, 1, 256, trace->values + trace->rows * inputs);
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
    model->kernels->softmax(&logits, self->base.split->labels, order, trace->rows, last->outputs, 0,
                            last->delta, last->output_width, model->losses, model->correct);
    if (emit_rows(trace, TRACE_PROBABILITIES, 0, last->delta, last->output_width, last->outputs))
        return -1;
    return trace->emit(trace->context, trace_name(name, TRACE_LOSS, 0, NULL), (size_t[]){1}, 1,
                       &loss);
}

/* The gradients of every layer's parameters, or their new values. */
static int emit_parameters(struct trace *trace, enum trace_what what)
{
    const struct native_engine *self = trace->self;
    const struct native_model *model = self->model;
    struct parameters *parameters;
    struct error error;
    int result = -1;
    if (parameters_create(&self->base.config.network, self->base.config.dtype, &parameters, &error))
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

static int trace_step(struct engine *engine, const uint32_t *order, size_t count,
                      engine_trace_fn *emit, void *context, struct error *error)
{
    struct native_engine *self = self_of(engine);
    struct native_model *model = self->model;
    int result = -1;
    double loss;
    if (self->plan)
        return plan_trace(self->plan, self->base.split, &self->values, order, count, emit, context,
                          error);
    /* and the table of a pixel's values behind the pictures */
    size_t most = network_largest_tensor(&self->base.config.network, count) + 256;
    struct trace trace = {self, emit, context, malloc(most * sizeof(double)), count};
    if (!trace.values) return error_set_memory(error, "the traced step");
    if (native_model_reserve(model, count, error) || native_model_trace_begin(model, error))
        goto out;
    struct native_data data = training_data(self);
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

/* A plan of its own, whatever the network trains with: it keeps every layer's output and goes back
 * to the picture. */
static int follow(struct engine *engine, const uint8_t *pixels, uint32_t target,
                  engine_trace_fn *emit, void *context, struct error *error)
{
    struct native_engine *self = self_of(engine);
    struct engine_config config = engine->config;
    struct parameters *parameters = NULL;
    struct plan *plan = NULL;
    int status = -1;
    config.batch_size = 1;
    config.optimizer = (struct optimizer){.type = OPTIMIZER_SGD}; /* without state */
    if (parameters_create(&config.network, config.dtype, &parameters, error) ||
        plan_create(&config, self->team, &plan, error))
        goto out;
    plan->back_to_picture = true;
    export_set(self, parameters, 0);
    plan_import(plan, parameters, 0);
    status = plan_follow(plan, pixels, &self->values, target, emit, context, error);
out:
    plan_destroy(plan);
    parameters_destroy(parameters);
    return status;
}

/* The threads that are given are used only as far as that is faster, step by step. */
static uint32_t default_threads(void)
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
    .default_threads = default_threads,
    .probe = probe,
    .has_layer = has_layer,
    .has_activation = has_activation,
    .open = open_engine,
    .attach = attach,
    .set_parameters = set_parameters,
    .get_parameters = get_parameters,
    .set_optimizer_state = set_optimizer_state,
    .get_optimizer_state = get_optimizer_state,
    .train = train,
    .forward = forward,
    .infer = infer,
    .trace = trace_step,
    .follow = follow,
    .gradients = gradients,
    .apply = apply,
    .set_learning_rate = set_learning_rate,
    .close = close_engine,
};
