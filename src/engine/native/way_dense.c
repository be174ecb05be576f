/* Dense layers on pixels, on top of model.h. */
#include <stdlib.h>

#include "engine/native/way.h"
#include "engine/trace_name.h"

static int open_model(struct native_engine *self, const struct engine_config *config,
                      struct error *error)
{
    return native_model_create(config, self->team, &self->model, error);
}

static void close_model(struct native_engine *self)
{
    samples_free(&self->lists);
    native_model_destroy(self->model);
}

static int reserve(struct native_engine *self, size_t rows, struct error *error)
{
    return native_model_reserve(self->model, rows, error);
}

static int list(struct native_engine *self, const uint8_t *pixels, size_t count,
                struct samples *lists, struct error *error)
{
    const struct pictures pictures = {
        .pixels = pixels,
        .count = count,
        .inputs = network_inputs(&self->base.config.network),
        .width = self->model->kernels->tuple,
        .dense = self->model->dense,
    };
    return samples_create(lists, &pictures, self->team, error);
}

static int attach(struct native_engine *self, const struct split *split, struct error *error)
{
    samples_free(&self->lists);
    return list(self, split->pixels, split->count, &self->lists, error);
}

static void import_set(struct native_engine *self, const struct parameters *source, uint32_t set)
{
    native_model_import(self->model, source, set);
}

static void export_set(const struct native_engine *self, struct parameters *destination,
                       uint32_t set)
{
    native_model_export(self->model, destination, set);
}

static struct optimizer *optimizer_of(struct native_engine *self)
{
    return &self->model->optimizer;
}

static uint64_t *steps_of(struct native_engine *self)
{
    return &self->model->steps;
}

static double *numbers_of(struct native_engine *self)
{
    return self->model->numbers;
}

static struct native_data training_data(const struct native_engine *self)
{
    return (struct native_data){self->base.split->labels, &self->lists};
}

static void train(struct native_engine *self, const uint32_t *order, size_t count, double *losses,
                  uint32_t *correct)
{
    struct native_data data = training_data(self);
    native_model_train(self->model, &data, order, count, self->base.rates, losses, correct);
}

/* Dense layers compute every sample by itself. */
static int gradients(struct native_engine *self, const struct engine_part *part,
                     const uint32_t *order, size_t count, struct parameters *sums, double *loss,
                     uint32_t *correct, struct error *error)
{
    (void)part;
    struct native_data data = training_data(self);
    if (native_model_sums_begin(self->model, error)) return -1;
    native_model_gradients(self->model, &data, order, count, loss, correct);
    native_model_export_sums(self->model, sums);
    return 0;
}

static int apply(struct native_engine *self, const struct parameters *sums, double divisor,
                 struct error *error)
{
    if (native_model_sums_begin(self->model, error)) return -1;
    native_model_import_sums(self->model, sums, divisor);
    native_model_apply(self->model, self->base.rates);
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

static int forward(struct native_engine *self, const uint8_t *pixels, size_t rows, double *logits,
                   struct error *error)
{
    struct native_model *model = self->model;
    const struct native_layer *last = &model->layers[model->layer_count - 1];
    struct samples lists = {0};
    struct native_data data = {NULL, &lists};
    if (list(self, pixels, rows, &lists, error)) return -1;
    native_model_forward(model, &data, rows);
    widen(model, last->output, last->output_width, rows, last->outputs, logits);
    samples_free(&lists);
    return 0;
}

/* ---- trace ---- */

struct dense_viewer {
    const struct native_engine *self;
    engine_trace_fn *emit;
    void *context;
    double *values; /* room for the largest tensor */
    size_t rows;
};

static int emit_rows(struct dense_viewer *trace, enum trace_what what, uint32_t number,
                     const void *values, size_t stride, size_t columns)
{
    char name[TRACE_NAME_SIZE];
    widen(trace->self->model, values, stride, trace->rows, columns, trace->values);
    return trace->emit(trace->context, trace_name(name, what, number, NULL),
                       (size_t[]){trace->rows, columns}, 2, trace->values);
}

static int emit_forward(struct dense_viewer *trace, const uint32_t *order, double loss)
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
    model->kernels->softmax(&(struct native_softmax){
        .logits = {last->output, last->output_width},
        .labels = self->base.split->labels,
        .order = order,
        .rows = trace->rows,
        .classes = last->outputs,
        .delta = last->delta,
        .delta_stride = last->output_width,
        .losses = model->losses,
        .correct = model->correct,
    });
    if (emit_rows(trace, TRACE_PROBABILITIES, 0, last->delta, last->output_width, last->outputs))
        return -1;
    return trace->emit(trace->context, trace_name(name, TRACE_LOSS, 0, NULL), (size_t[]){1}, 1,
                       &loss);
}

/* The gradients of every layer's parameters, or their new values. */
static int emit_parameters(struct dense_viewer *trace, enum trace_what what)
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
                                  parameters_find(parameters, n, ROLE_WEIGHT)->values,
                                  parameters_find(parameters, n, ROLE_BIAS)->values);
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

static int trace_step(struct native_engine *self, const uint32_t *order, size_t count,
                      engine_trace_fn *emit, void *context, struct error *error)
{
    struct native_model *model = self->model;
    int result = -1;
    double loss;
    /* and the table of a pixel's values behind the pictures */
    size_t most = network_largest_tensor(&self->base.config.network, count) + 256;
    struct dense_viewer trace = {self, emit, context, malloc(most * sizeof(double)), count};
    if (!trace.values) return error_set_memory(error, "the traced step");
    if (native_model_reserve(model, count, error) || native_model_trace_begin(model, error))
        goto out;
    struct native_data data = training_data(self);
    native_model_train(model, &data, order, count, NULL, &loss, NULL);
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

const struct native_way native_way_dense = {
    .open = open_model,
    .close = close_model,
    .reserve = reserve,
    .attach = attach,
    .import = import_set,
    .export = export_set,
    .optimizer = optimizer_of,
    .steps = steps_of,
    .numbers = numbers_of,
    .train = train,
    .gradients = gradients,
    .apply = apply,
    .forward_rows = 512,
    .forward = forward,
    .trace = trace_step,
};
