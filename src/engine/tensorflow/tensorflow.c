/* TensorFlow behind the studio's interface: the graph of training.c is built once, here it is fed
 * and run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exports.h"
#include "engine/locate.h"
#include "engine/tensorflow/tensorflow.h"
#include "engine/trace_name.h"

/* "tensorflow" is the CPU build where there is no "tensorflow-cpu". */
#ifdef __x86_64__
#define TENSORFLOW_PACKAGE "tensorflow-cpu"
#else
#define TENSORFLOW_PACKAGE "tensorflow"
#endif

static struct tensorflow_engine *self_of(struct engine *engine)
{
    return (struct tensorflow_engine *)engine;
}

static void probe(struct engine_probe *out)
{
    *out = (struct engine_probe){0};
    if (engine_locate("tensorflow/libtensorflow_cc.so.2", "NNSTUDIO_TENSORFLOW_LIB", out->path,
                      sizeof out->path)) {
        snprintf(out->missing, sizeof out->missing,
                 "TensorFlow is not installed: run `nnstudio engines install tensorflow`, `pip "
                 "install " TENSORFLOW_PACKAGE "`, "
                 "or set NNSTUDIO_TENSORFLOW_LIB to libtensorflow_cc.so.2");
        return;
    }
    engine_package_version(out->path, "tensorflow", out->version, sizeof out->version);
    if (engine_version_is_older(out->version, TENSORFLOW_OLDEST_MAJOR, TENSORFLOW_OLDEST_MINOR)) {
        snprintf(out->missing, sizeof out->missing,
                 "TensorFlow %s is too old: version %d.%d or newer is needed (pip install "
                 "--upgrade " TENSORFLOW_PACKAGE ")",
                 out->version, TENSORFLOW_OLDEST_MAJOR, TENSORFLOW_OLDEST_MINOR);
        return;
    }
    struct error error;
    if (exports_check(out->path, "TF_NewGraph", &error)) {
        snprintf(
            out->missing, sizeof out->missing,
            "%.300s: set NNSTUDIO_TENSORFLOW_LIB to libtensorflow_cc.so.2, or install TensorFlow "
            "again",
            error.message);
        return;
    }
    out->found = true;
    snprintf(out->detail, sizeof out->detail, "C API, the training loop inside the graph");
    snprintf(out->devices[out->device_count++], sizeof out->devices[0], "cpu");
}

TF_Tensor *tensorflow_tensor(const struct tensorflow_engine *self, size_t p,
                             const struct tensor *tensor)
{
    const struct layout *layout = &self->training.layouts[p];
    int64_t dims[SHAPE_MAX_RANK];
    for (uint32_t d = 0; d < layout->keras.rank; d++) dims[d] = layout->keras.sizes[d];
    TF_Tensor *value = tf_tensor_create(self->tf, self->training.real, dims,
                                        (int)layout->keras.rank);
    if (value)
        layout_to_keras(layout, tensor->values, self->tf->TensorData(value),
                        dtype_size(self->base.config.dtype));
    return value;
}

void tensorflow_parameter(const struct tensorflow_engine *self, size_t p, const TF_Tensor *value,
                          struct tensor *tensor)
{
    const size_t value_size = dtype_size(self->base.config.dtype);
    CHECK(self->tf->TensorByteSize(value) == tensor->count * value_size);
    layout_from_keras(&self->training.layouts[p], self->tf->TensorData(value), tensor->values,
                      value_size);
}

/* `set` 0: the network's parameters; the others: the optimizer's slots. */
static int write_set(struct tensorflow_engine *self, size_t set,
                     const struct parameters *parameters, struct error *error)
{
    const struct tf_training *t = &self->training;
    tf_run_init(&self->run, &self->session);
    for (size_t p = 0; p < t->parameter_count; p++) {
        if (!tf_training_has_variable(t, set, p)) continue;
        tf_run_feed(&self->run, t->values[set][p].fed,
                    tensorflow_tensor(self, p, &parameters->tensors[p]));
        tf_run_target(&self->run, t->values[set][p].assign);
    }
    int result = tf_run_go(&self->run, "giving TensorFlow the parameters", error);
    tf_run_free(&self->run);
    return result;
}

static int read_set(struct tensorflow_engine *self, size_t set, struct parameters *parameters,
                    struct error *error)
{
    const struct tf_training *t = &self->training;
    tf_run_init(&self->run, &self->session);
    for (size_t p = 0; p < t->parameter_count; p++)
        if (tf_training_has_variable(t, set, p)) tf_run_fetch(&self->run, t->values[set][p].read);
    int result = tf_run_go(&self->run, "reading TensorFlow's parameters", error);
    for (size_t p = 0, n = 0; result == 0 && p < t->parameter_count; p++) {
        struct tensor *tensor = &parameters->tensors[p];
        if (tf_training_has_variable(t, set, p))
            tensorflow_parameter(self, p, self->run.fetched[n++], tensor);
        else
            memset(tensor->values, 0, tensor->count * dtype_size(self->base.config.dtype));
    }
    tf_run_free(&self->run);
    return result;
}

static int set_parameters(struct engine *engine, const struct parameters *parameters,
                          struct error *error)
{
    return write_set(self_of(engine), 0, parameters, error);
}

static int get_parameters(struct engine *engine, struct parameters *parameters, struct error *error)
{
    return read_set(self_of(engine), 0, parameters, error);
}

static int set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                               struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    for (uint32_t s = 0; s < state->slot_count; s++)
        if (write_set(self, 1 + s, state->slots[s], error)) return -1;
    self->steps = state->steps;
    memcpy(self->numbers, state->numbers, sizeof self->numbers);
    return 0;
}

static int get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                               struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    for (uint32_t s = 0; s < state->slot_count; s++)
        if (read_set(self, 1 + s, state->slots[s], error)) return -1;
    state->steps = self->steps;
    memcpy(state->numbers, self->numbers, sizeof state->numbers);
    return 0;
}

/* Variables have no value until they are assigned one. */
static int set_zero(struct tensorflow_engine *self, struct error *error)
{
    struct parameters *zero;
    if (parameters_create(&self->base.config.network, self->base.config.dtype, &zero, error))
        return -1;
    int result = 0;
    for (size_t set = 0; result == 0 && set < self->training.set_count; set++)
        result = write_set(self, set, zero, error);
    parameters_destroy(zero);
    return result;
}

static void close_engine(struct engine *engine)
{
    struct tensorflow_engine *self = self_of(engine);
    tf_session_close(&self->session);
    tf_training_free(&self->training);
    tensorflow_cuts_free(self->cuts);
    free(self);
}

static int open_engine(const struct engine_config *config, const struct engine_probe *found,
                       struct engine **out, struct error *error)
{
    const struct tf_api *tf;
    if (tf_api_load(found->path, &tf, error)) return -1;
    struct tensorflow_engine *self = calloc(1, sizeof *self);
    if (!self) return error_set_memory(error, "the engine");
    self->base.config = *config; /* the training keeps a pointer to it */
    self->tf = tf;
    if (tf_training_build(&self->training, tf, &self->base.config, error)) {
        free(self);
        return -1;
    }
    if (tf_session_open(&self->session, &self->training.graph, config->threads, error) ||
        set_zero(self, error)) {
        close_engine(&self->base);
        return -1;
    }
    *out = &self->base;
    return 0;
}

/* The pictures stay bytes, in the data set's own memory if that is aligned. */
static int attach(struct engine *engine, const struct split *split, struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct tf_training *t = &self->training;
    const int64_t dims[] = {(int64_t)split->count, network_inputs(&self->base.config.network)};
    TF_Tensor *labels = tf_tensor_create(self->tf, TF_INT32, dims, 1);
    if (labels) {
        int32_t *wide = self->tf->TensorData(labels);
        for (size_t i = 0; i < split->count; i++) wide[i] = split->labels[i];
    }
    tf_run_init(&self->run, &self->session);
    tf_run_feed(&self->run, t->images.fed,
                tf_tensor_borrow(self->tf, TF_UINT8, dims, 2, split->pixels));
    tf_run_feed(&self->run, t->labels.fed, labels);
    tf_run_target(&self->run, t->images.assign);
    tf_run_target(&self->run, t->labels.assign);
    int result = tf_run_go(&self->run, "giving TensorFlow the samples", error);
    tf_run_free(&self->run);
    return result;
}

TF_Tensor *tensorflow_order(const struct tensorflow_engine *self, const uint32_t *order,
                            size_t count)
{
    return tf_tensor_borrow(self->tf, TF_INT32, &(int64_t){(int64_t)count}, 1, order);
}

double tensorflow_real(const struct tensorflow_engine *self, const void *values, size_t index)
{
    return self->training.real == TF_DOUBLE ? ((const double *)values)[index]
                                            : (double)((const float *)values)[index];
}

void tensorflow_feed_numbers(struct tensorflow_engine *self, size_t steps,
                             double state[OPTIMIZER_MAX_NUMBERS])
{
    const struct tf_training *t = &self->training;
    const double usual = self->base.config.optimizer.learning_rate, *rates = self->base.rates;
    const int64_t dims[] = {(int64_t)steps, t->number_count};
    TF_Tensor *table = tf_tensor_create(self->tf, TF_DOUBLE, dims, 2);
    memcpy(state, self->numbers, sizeof self->numbers);
    for (size_t i = 0; table && i < steps; i++) {
        double numbers[FORMULA_MAX_NUMBERS];
        tf_training_numbers(t, rates ? rates[i] : usual, self->steps + i + 1, state, numbers);
        memcpy((double *)self->tf->TensorData(table) + i * t->number_count, numbers,
               t->number_count * sizeof *numbers);
    }
    tf_run_feed(&self->run, t->numbers, table);
    tf_run_feed_double(&self->run, t->steps_before, (double)self->steps);
}

void tensorflow_took_steps(struct tensorflow_engine *self, size_t steps,
                           const double state[OPTIMIZER_MAX_NUMBERS])
{
    self->steps += steps;
    memcpy(self->numbers, state, sizeof self->numbers);
}

static int train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct tf_training *t = &self->training;
    const size_t steps = (count + self->base.config.batch_size - 1) / self->base.config.batch_size;
    double state[OPTIMIZER_MAX_NUMBERS];
    tf_run_init(&self->run, &self->session);
    tf_run_feed(&self->run, t->order, tensorflow_order(self, order, count));
    tf_run_feed_int(&self->run, t->steps, (int32_t)steps);
    tensorflow_feed_numbers(self, steps, state);
    tf_run_fetch(&self->run, t->losses);
    tf_run_fetch(&self->run, t->correct);
    int result = tf_run_go(&self->run, "training with TensorFlow", error);
    if (result == 0) {
        const void *loss_values = self->tf->TensorData(self->run.fetched[0]);
        for (size_t i = 0; i < steps; i++) losses[i] = tensorflow_real(self, loss_values, i);
        if (correct)
            memcpy(correct, self->tf->TensorData(self->run.fetched[1]), steps * sizeof *correct);
        tensorflow_took_steps(self, steps, state);
    }
    tf_run_free(&self->run);
    return result;
}

static int forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct tf_training *t = &self->training;
    const int64_t dims[] = {(int64_t)count, network_inputs(&self->base.config.network)};
    tf_run_init(&self->run, &self->session);
    tf_run_feed(&self->run, t->pixels, tf_tensor_borrow(self->tf, TF_UINT8, dims, 2, pixels));
    tf_run_fetch(&self->run, t->logits);
    int result = tf_run_go(&self->run, "computing with TensorFlow", error);
    if (result == 0) {
        const void *values = self->tf->TensorData(self->run.fetched[0]);
        const size_t value_count = count * network_classes(&self->base.config.network);
        for (size_t i = 0; i < value_count; i++) logits[i] = tensorflow_real(self, values, i);
    }
    tf_run_free(&self->run);
    return result;
}

void tensorflow_target_updates(struct tensorflow_engine *self, size_t p)
{
    for (size_t set = 0; set < self->training.set_count; set++)
        if (self->training.step.updates[set][p])
            tf_run_target(&self->run, self->training.step.updates[set][p]);
}

/* A tensor of a traced step: its name, where the run puts it, its shape in the studio's order, and
 * how `repeat` samples (of a parameter: 1) of it are kept here. */
struct shown_tensor {
    char name[TRACE_NAME_SIZE];
    int fetch;
    uint32_t rank;
    size_t shape[SHAPE_MAX_RANK];
    size_t repeat;
    struct layout layout;
};

/* One that has a value per sample of the batch; its name is set. */
static void show_values(struct shown_tensor *shown, struct tf_run *run, TF_Output what,
                        size_t batch, const struct shape *sample, const struct layout *layout)
{
    shown->fetch = tf_run_fetch(run, what);
    shown->rank = 1 + sample->rank;
    shown->shape[0] = shown->repeat = batch;
    for (uint32_t d = 0; d < sample->rank; d++) shown->shape[1 + d] = sample->sizes[d];
    shown->layout = *layout;
}

/* The input and every layer's output but the last's, in two stretches: what following a picture and
 * a trace have in common. */
static size_t list_input(struct tensorflow_engine *self, const struct tf_step *step, size_t batch,
                         struct shown_tensor *shown)
{
    const struct layer *first = &self->base.config.network.layers[0];
    const struct shape flat = shape_units(first->inputs);
    const struct layout pictures = layout_plain(first->inputs); /* as the data set has them */
    trace_name(shown->name, TRACE_INPUT, 0, NULL);
    show_values(shown, &self->run, step->input, batch,
                first->type == LAYER_DENSE ? &flat : &first->input, &pictures);
    return 1;
}

static size_t list_output(struct tensorflow_engine *self, const struct tf_step *step,
                          uint32_t index, size_t batch, struct shown_tensor *shown)
{
    const struct network *network = &self->base.config.network;
    const struct layout layout = layout_of_output(network, index);
    trace_name(shown->name, TRACE_AFTER, index + 1, NULL);
    show_values(shown, &self->run, step->a[index], batch, &network->layers[index].output, &layout);
    return 1;
}

/* Lists the tensors and asks for them; returns how many. */
static size_t list_traced(struct tensorflow_engine *self, size_t batch, struct shown_tensor *shown)
{
    const struct tf_training *t = &self->training;
    const struct network *network = &self->base.config.network;
    const uint32_t last = network->layer_count - 1;
    const struct shape one = {0}, *classes = &network->layers[last].output;
    const struct layout logits = layout_plain(shape_values(classes)), loss = layout_plain(1);
    size_t n = list_input(self, &t->step, batch, shown);
    for (uint32_t i = 0; i < last; i++) {
        const struct layer *layer = &network->layers[i];
        const struct layout layout = layout_of_output(network, i);
        if (trace_shows_before(layer)) {
            trace_name(shown[n].name, TRACE_BEFORE, i + 1, NULL);
            show_values(&shown[n++], &self->run, t->step.z[i], batch, &layer->output, &layout);
        }
        n += list_output(self, &t->step, i, batch, &shown[n]);
    }
    trace_name(shown[n].name, TRACE_LOGITS, 0, NULL);
    show_values(&shown[n++], &self->run, t->step.z[last], batch, classes, &logits);
    trace_name(shown[n].name, TRACE_PROBABILITIES, 0, NULL);
    show_values(&shown[n++], &self->run, t->probabilities, batch, classes, &logits);
    trace_name(shown[n].name, TRACE_LOSS, 0, NULL);
    show_values(&shown[n++], &self->run, t->step.loss, 1, &one, &loss);
    return n;
}

static void show_parameter(struct tensorflow_engine *self, size_t p, enum trace_what what,
                           TF_Output output, struct shown_tensor *shown)
{
    const struct tensor *tensor = &self->training.tensors[p];
    trace_name(shown->name, what, 0, tensor->name);
    shown->fetch = tf_run_fetch(&self->run, output);
    shown->rank = tensor->rank;
    memcpy(shown->shape, tensor->shape, sizeof shown->shape);
    shown->repeat = 1;
    shown->layout = self->training.layouts[p];
}

/* The parameters' gradients, or the new values of these and of the buffers. */
static size_t list_parameters(struct tensorflow_engine *self, enum trace_what what,
                              struct shown_tensor *shown)
{
    const struct tf_training *t = &self->training;
    size_t n = 0;
    for (size_t p = 0; p < t->parameter_count; p++) {
        if (what == TRACE_GRADIENT && !tensor_role_is_trained(t->tensors[p].role)) continue;
        show_parameter(self, p, what,
                       what == TRACE_GRADIENT ? t->step.gradients[p] : t->values[0][p].read,
                       &shown[n++]);
    }
    return n;
}

static int emit_one(const struct tensorflow_engine *self, const struct shown_tensor *shown,
                    engine_trace_fn *emit, void *context, struct error *error)
{
    const char *values = self->tf->TensorData(self->run.fetched[shown->fetch]);
    const size_t value_size = dtype_size(self->base.config.dtype);
    size_t count = 1;
    for (uint32_t d = 0; d < shown->rank; d++) count *= shown->shape[d];
    const size_t part = count / shown->repeat * value_size;
    char *ordered = malloc(count * value_size);
    double *wide = calloc(count, sizeof *wide);
    int result = -1;
    if (!ordered || !wide) {
        error_set_memory(error, "the trace");
        goto out;
    }
    for (size_t r = 0; r < shown->repeat; r++)
        layout_from_keras(&shown->layout, values + r * part, ordered + r * part, value_size);
    for (size_t i = 0; i < count; i++) wide[i] = tensorflow_real(self, ordered, i);
    result = emit(context, shown->name, shown->shape, shown->rank, wide);
    if (result) error_set(error, ERROR_FAILED, "the trace was ended at %s", shown->name);
out:
    free(ordered);
    free(wide);
    return result ? -1 : 0;
}

/* `state`, of a run that takes a step: the optimizer's numbers after it; else NULL. */
static int emit_run(struct tensorflow_engine *self, const struct shown_tensor *shown, size_t count,
                    const double *state, engine_trace_fn *emit, void *context, struct error *error)
{
    int result = tf_run_go(&self->run, "tracing a step of TensorFlow", error);
    if (result == 0 && state) tensorflow_took_steps(self, 1, state);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = emit_one(self, &shown[i], emit, context, error);
    tf_run_free(&self->run);
    return result;
}

static int trace_step(struct engine *engine, const uint32_t *order, size_t count,
                      engine_trace_fn *emit, void *context, struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct tf_training *t = &self->training;
    double state[OPTIMIZER_MAX_NUMBERS];
    struct shown_tensor *shown = calloc(TF_RUN_MAX, sizeof *shown);
    if (!shown) return error_set_memory(error, "the trace");
    tf_run_init(&self->run, &self->session);
    tf_run_feed(&self->run, t->order, tensorflow_order(self, order, count));
    tensorflow_feed_numbers(self, 1, state);
    size_t n = list_traced(self, count, shown);
    n += list_parameters(self, TRACE_GRADIENT, shown + n);
    for (size_t p = 0; p < t->parameter_count; p++) tensorflow_target_updates(self, p);
    int result = emit_run(self, shown, n, state, emit, context, error);
    if (result == 0) {
        n = list_parameters(self, TRACE_NEW, shown);
        result = emit_run(self, shown, n, NULL, emit, context, error);
    }
    free(shown);
    return result;
}

static int follow(struct engine *engine, const uint8_t *pixels, uint32_t target,
                  engine_trace_fn *emit, void *context, struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct tf_training *t = &self->training;
    const struct network *network = &self->base.config.network;
    const uint32_t last = network->layer_count - 1;
    const struct layout logits = layout_plain(network_classes(network));
    const int64_t dims[] = {1, network_inputs(network)};
    struct shown_tensor *shown = calloc(TF_RUN_MAX, sizeof *shown);
    if (!shown) return error_set_memory(error, "the trace");
    tf_run_init(&self->run, &self->session);
    tf_run_feed(&self->run, t->pixels, tf_tensor_borrow(self->tf, TF_UINT8, dims, 2, pixels));
    size_t n = list_input(self, &t->asked, 1, shown);
    for (uint32_t i = 0; i < last; i++) n += list_output(self, &t->asked, i, 1, &shown[n]);
    trace_name(shown[n].name, TRACE_LOGITS, 0, NULL);
    show_values(&shown[n++], &self->run, t->logits, 1, &network->layers[last].output, &logits);
    if (target != ENGINE_NO_CLASS) {
        const int32_t chosen = (int32_t)target;
        tf_run_feed(&self->run, t->target, tf_tensor_borrow(self->tf, TF_INT32, dims, 1, &chosen));
        shown[n] = shown[0]; /* in the input's shape */
        trace_name(shown[n].name, TRACE_SALIENCY, 0, NULL);
        shown[n++].fetch = tf_run_fetch(&self->run, t->saliency);
    }
    int result = emit_run(self, shown, n, NULL, emit, context, error);
    free(shown);
    return result;
}

/* It is fed at every run, from the config. */
static int set_learning_rate(struct engine *engine, double learning_rate, struct error *error)
{
    (void)engine, (void)learning_rate, (void)error;
    return 0;
}

const struct engine_ops engine_tensorflow = {
    .id = "tensorflow",
    .title = "TensorFlow",
    .model_format = "h5",
    .paradigm = "declarative, define-then-run",
    .look = {.light = {"#ff6f00", "#a34500", "#ff6f00", "#1d0d00"},
             .dark = {"#ff7d1a", "#ff9d52", "#ff7d1a", "#1d0d00"},
             .dashes = {12, 12},
             .line_width = 3,
             .mark = "square"},
    .package = {TENSORFLOW_PACKAGE "==2.21.0", "TensorFlow 2.21.0, the build for CPUs"},
    .probe = probe,
    .has_layer = tf_has_layer,
    .has_activation = tf_has_activation,
    .open = open_engine,
    .attach = attach,
    .set_parameters = set_parameters,
    .get_parameters = get_parameters,
    .set_optimizer_state = set_optimizer_state,
    .get_optimizer_state = get_optimizer_state,
    .train = train,
    .forward = forward,
    .trace = trace_step,
    .follow = follow,
    .gradients = tensorflow_gradients,
    .apply = tensorflow_apply,
    .set_learning_rate = set_learning_rate,
    .close = close_engine,
};
