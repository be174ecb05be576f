/* TensorFlow behind the studio's interface: the graph of training.c is built once, here it is fed
 * and run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_impl.h"
#include "engine/locate.h"
#include "engine/tensorflow/session.h"
#include "engine/tensorflow/training.h"
#include "engine/trace_name.h"

struct tensorflow_engine {
    struct engine base;
    const struct tf_api *tf;
    struct training training;
    struct session session;
    struct run run; /* reused by every call */
    uint64_t steps; /* taken so far */
};

static struct tensorflow_engine *self_of(struct engine *engine)
{
    return (struct tensorflow_engine *)engine;
}

/* Older wheels have no libtensorflow_cc. An unknown version is given a try. */
static bool is_too_old(const char *version)
{
    int major, minor;
    return sscanf(version, "%d.%d", &major, &minor) == 2 &&
           (major < 2 || (major == 2 && minor < 10));
}

static void probe(struct engine_probe *out)
{
    *out = (struct engine_probe){0};
    if (engine_locate("tensorflow/libtensorflow_cc.so.2", "NNSTUDIO_TENSORFLOW_LIB", out->path,
                      sizeof out->path)) {
        snprintf(out->missing, sizeof out->missing,
                 "TensorFlow is not installed: run `nnstudio engines install tensorflow`, `pip "
                 "install tensorflow-cpu`, "
                 "or set NNSTUDIO_TENSORFLOW_LIB to libtensorflow_cc.so.2");
        return;
    }
    engine_package_version(out->path, "tensorflow", out->version, sizeof out->version);
    if (is_too_old(out->version)) {
        snprintf(out->missing, sizeof out->missing,
                 "TensorFlow %s is too old: version 2.10 or newer is needed (pip install --upgrade "
                 "tensorflow-cpu)",
                 out->version);
        return;
    }
    out->found = true;
    snprintf(out->detail, sizeof out->detail, "C API, the training loop inside the graph");
    snprintf(out->devices[out->device_count++], sizeof out->devices[0], "cpu");
}

/* Copies a matrix the other way round: from [rows, columns] to [columns, rows]. */
static void transpose(const void *from, void *to, size_t rows, size_t columns, size_t value_size)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            memcpy((char *)to + (c * rows + r) * value_size,
                   (const char *)from + (r * columns + c) * value_size, value_size);
}

/* The studio keeps weights as [outputs, inputs], TensorFlow as [inputs, outputs]. */
static TF_Tensor *tensor_from_parameter(const struct tensorflow_engine *self,
                                        const struct tensor *tensor)
{
    const size_t value_size = dtype_size(self->base.config.dtype);
    const int rank = (int)tensor->rank;
    int64_t dims[2] = {(int64_t)tensor->shape[rank - 1], (int64_t)tensor->shape[0]};
    TF_Tensor *value = tensor_create(self->tf, self->training.real, dims, rank);
    if (!value) return NULL;
    void *data = self->tf->TensorData(value);
    if (rank == 2) {
        transpose(tensor->values, data, tensor->shape[0], tensor->shape[1], value_size);
    } else {
        memcpy(data, tensor->values, tensor->count * value_size);
    }
    return value;
}

static void parameter_from_tensor(const struct tensorflow_engine *self, const TF_Tensor *value,
                                  struct tensor *tensor)
{
    const size_t value_size = dtype_size(self->base.config.dtype);
    const void *data = self->tf->TensorData(value);
    CHECK(self->tf->TensorByteSize(value) == tensor->count * value_size);
    if (tensor->rank == 2) {
        transpose(data, tensor->values, tensor->shape[1], tensor->shape[0], value_size);
    } else {
        memcpy(tensor->values, data, tensor->count * value_size);
    }
}

/* `group` 0: the network's parameters; 1 and 2: the optimizer's slots. */
static int set_group(struct tensorflow_engine *self, size_t group,
                     const struct parameters *parameters, struct error *error)
{
    const struct training *t = &self->training;
    run_init(&self->run, &self->session);
    for (size_t p = 0; p < t->parameter_count; p++) {
        run_feed(&self->run, t->values[group][p].fed,
                 tensor_from_parameter(self, &parameters->tensors[p]));
        run_target(&self->run, t->values[group][p].assign);
    }
    int result = run_go(&self->run, "giving TensorFlow the parameters", error);
    run_free(&self->run);
    return result;
}

static int get_group(struct tensorflow_engine *self, size_t group, struct parameters *parameters,
                     struct error *error)
{
    const struct training *t = &self->training;
    run_init(&self->run, &self->session);
    for (size_t p = 0; p < t->parameter_count; p++) run_fetch(&self->run, t->values[group][p].read);
    int result = run_go(&self->run, "reading TensorFlow's parameters", error);
    for (size_t p = 0; result == 0 && p < t->parameter_count; p++)
        parameter_from_tensor(self, self->run.fetched[p], &parameters->tensors[p]);
    run_free(&self->run);
    return result;
}

static int set_parameters(struct engine *engine, const struct parameters *parameters,
                          struct error *error)
{
    return set_group(self_of(engine), 0, parameters, error);
}

static int get_parameters(struct engine *engine, struct parameters *parameters, struct error *error)
{
    return get_group(self_of(engine), 0, parameters, error);
}

static int set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                               struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    for (uint32_t s = 0; s < state->slot_count; s++)
        if (set_group(self, 1 + s, state->slots[s], error)) return -1;
    self->steps = state->steps;
    return 0;
}

static int get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                               struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    for (uint32_t s = 0; s < state->slot_count; s++)
        if (get_group(self, 1 + s, state->slots[s], error)) return -1;
    state->steps = self->steps;
    return 0;
}

/* Variables have no value until they are assigned one. */
static int set_zero(struct tensorflow_engine *self, struct error *error)
{
    struct parameters *zero;
    if (parameters_create(&self->base.config.network, self->base.config.dtype, &zero, error))
        return -1;
    int result = 0;
    for (size_t group = 0; result == 0 && group < self->training.group_count; group++)
        result = set_group(self, group, zero, error);
    parameters_destroy(zero);
    return result;
}

static void close_engine(struct engine *engine)
{
    struct tensorflow_engine *self = self_of(engine);
    session_close(&self->session);
    training_free(&self->training);
    free(self);
}

static int open_engine(const struct engine_config *config, const struct engine_probe *found,
                       struct engine **out, struct error *error)
{
    const struct tf_api *tf;
    if (network_check(&config->network, error) || tf_api_load(found->path, &tf, error)) return -1;
    struct tensorflow_engine *self = calloc(1, sizeof *self);
    if (!self) return error_set_memory(error, "the TensorFlow engine");
    self->base.config = *config; /* the training keeps a pointer to it */
    self->tf = tf;
    if (training_build(&self->training, tf, &self->base.config, error)) {
        free(self);
        return -1;
    }
    if (session_open(&self->session, &self->training.graph, config->threads, error) ||
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
    const struct training *t = &self->training;
    const int64_t dims[] = {(int64_t)split->count, network_inputs(&self->base.config.network)};
    TF_Tensor *labels = tensor_create(self->tf, TF_INT32, dims, 1);
    if (labels) {
        int32_t *wide = self->tf->TensorData(labels);
        for (size_t i = 0; i < split->count; i++) wide[i] = split->labels[i];
    }
    run_init(&self->run, &self->session);
    run_feed(&self->run, t->images.fed, tensor_borrow(self->tf, TF_UINT8, dims, 2, split->pixels));
    run_feed(&self->run, t->labels.fed, labels);
    run_target(&self->run, t->images.assign);
    run_target(&self->run, t->labels.assign);
    int result = run_go(&self->run, "giving TensorFlow the samples", error);
    run_free(&self->run);
    return result;
}

/* An order as TensorFlow takes it, without a copy if it lies well. */
static TF_Tensor *tensor_from_order(const struct tensorflow_engine *self, const uint32_t *order,
                                    size_t count)
{
    return tensor_borrow(self->tf, TF_INT32, &(int64_t){(int64_t)count}, 1, order);
}

static double read_real(const struct tensorflow_engine *self, const void *values, size_t index)
{
    return self->training.real == TF_DOUBLE ? ((const double *)values)[index]
                                            : (double)((const float *)values)[index];
}

static int train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct training *t = &self->training;
    const size_t steps = (count + self->base.config.batch_size - 1) / self->base.config.batch_size;
    run_init(&self->run, &self->session);
    run_feed(&self->run, t->order, tensor_from_order(self, order, count));
    run_feed_int(&self->run, t->steps, (int32_t)steps);
    run_feed_double(&self->run, t->steps_before, (double)self->steps);
    run_feed_double(&self->run, t->learning_rate, self->base.config.optimizer.learning_rate);
    run_fetch(&self->run, t->losses);
    run_fetch(&self->run, t->correct);
    int result = run_go(&self->run, "training with TensorFlow", error);
    if (result == 0) {
        const void *loss_values = self->tf->TensorData(self->run.fetched[0]);
        for (size_t i = 0; i < steps; i++) losses[i] = read_real(self, loss_values, i);
        if (correct)
            memcpy(correct, self->tf->TensorData(self->run.fetched[1]), steps * sizeof *correct);
        self->steps += steps;
    }
    run_free(&self->run);
    return result;
}

static int forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct training *t = &self->training;
    const int64_t dims[] = {(int64_t)count, network_inputs(&self->base.config.network)};
    run_init(&self->run, &self->session);
    run_feed(&self->run, t->pixels, tensor_borrow(self->tf, TF_UINT8, dims, 2, pixels));
    run_fetch(&self->run, t->logits);
    int result = run_go(&self->run, "computing with TensorFlow", error);
    if (result == 0) {
        const void *values = self->tf->TensorData(self->run.fetched[0]);
        const size_t value_count = count * network_classes(&self->base.config.network);
        for (size_t i = 0; i < value_count; i++) logits[i] = read_real(self, values, i);
    }
    run_free(&self->run);
    return result;
}

/* In place. */
static void multiply(const struct tensorflow_engine *self, void *values, size_t count,
                     double factor)
{
    for (size_t i = 0; i < count; i++) {
        if (self->training.real == TF_DOUBLE)
            ((double *)values)[i] *= factor;
        else
            ((float *)values)[i] = (float)(((float *)values)[i] * factor);
    }
}

/* The traced step's gradients without its update: of the mean, so they are multiplied. */
static int gradients(struct engine *engine, const uint32_t *order, size_t count,
                     struct parameters *sums, double *loss, uint32_t *correct, struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct training *t = &self->training;
    run_init(&self->run, &self->session);
    run_feed(&self->run, t->order, tensor_from_order(self, order, count));
    for (size_t p = 0; p < t->parameter_count; p++) run_fetch(&self->run, t->step.gradients[p]);
    int loss_at = run_fetch(&self->run, t->step.loss),
        correct_at = run_fetch(&self->run, t->step.correct);
    int result = run_go(&self->run, "computing gradients with TensorFlow", error);
    if (result == 0) {
        for (size_t p = 0; p < t->parameter_count; p++)
            parameter_from_tensor(self, self->run.fetched[p], &sums->tensors[p]);
        multiply(self, sums->values, sums->value_count, (double)count);
        *loss = (double)count *
                read_real(self, self->tf->TensorData(self->run.fetched[loss_at]), 0);
        if (correct)
            memcpy(correct, self->tf->TensorData(self->run.fetched[correct_at]), sizeof *correct);
    }
    run_free(&self->run);
    return result;
}

/* The traced step's update, fed with gradients in place of those it would compute. */
static int apply(struct engine *engine, const struct parameters *sums, size_t count,
                 struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct training *t = &self->training;
    run_init(&self->run, &self->session);
    for (size_t p = 0; p < t->parameter_count; p++) {
        TF_Tensor *gradient = tensor_from_parameter(self, &sums->tensors[p]);
        if (gradient)
            multiply(self, self->tf->TensorData(gradient), sums->tensors[p].count,
                     1 / (double)count);
        run_feed(&self->run, t->step.gradients[p], gradient);
        run_target(&self->run, t->step.updates[p]);
    }
    run_feed_double(&self->run, t->steps_before, (double)self->steps);
    run_feed_double(&self->run, t->learning_rate, self->base.config.optimizer.learning_rate);
    int result = run_go(&self->run, "applying gradients with TensorFlow", error);
    if (result == 0) self->steps++;
    run_free(&self->run);
    return result;
}

/* A tensor of a traced step: its name, where the run puts it, its shape as the studio has it (a weight is
 * turned to theirs). */
struct shown {
    char name[TRACE_NAME_SIZE];
    int fetch;
    uint32_t rank;
    size_t shape[2];
    bool is_weight;
};

static void show(struct shown *shown, struct run *run, TF_Output what, uint32_t rank, size_t rows,
                 size_t columns)
{
    shown->fetch = run_fetch(run, what);
    shown->rank = rank;
    shown->shape[0] = rows;
    shown->shape[1] = columns;
}

/* Lists the tensors and asks for them; returns how many. */
static size_t list_traced(struct tensorflow_engine *self, size_t batch, struct shown *shown)
{
    const struct training *t = &self->training;
    const struct network *network = &self->base.config.network;
    const uint32_t last = network->layer_count - 1;
    size_t n = 0;
    trace_name(shown[n].name, TRACE_INPUT, 0, NULL);
    show(&shown[n++], &self->run, t->step.input, 2, batch, network_inputs(network));
    for (uint32_t i = 0; i < last; i++) {
        trace_name(shown[n].name, TRACE_BEFORE, i + 1, NULL);
        show(&shown[n++], &self->run, t->step.z[i], 2, batch, network->layers[i].outputs);
        trace_name(shown[n].name, TRACE_AFTER, i + 1, NULL);
        show(&shown[n++], &self->run, t->step.a[i], 2, batch, network->layers[i].outputs);
    }
    trace_name(shown[n].name, TRACE_LOGITS, 0, NULL);
    show(&shown[n++], &self->run, t->step.z[last], 2, batch, network_classes(network));
    trace_name(shown[n].name, TRACE_PROBABILITIES, 0, NULL);
    show(&shown[n++], &self->run, t->probabilities, 2, batch, network_classes(network));
    trace_name(shown[n].name, TRACE_LOSS, 0, NULL);
    show(&shown[n++], &self->run, t->step.loss, 1, 1, 0);
    return n;
}

/* The parameters' gradients or, from the variables, their new values. */
static size_t list_parameters(struct tensorflow_engine *self, enum trace_what what,
                              const TF_Output *outputs, struct shown *shown)
{
    for (size_t p = 0; p < self->training.parameter_count; p++) {
        const struct layer *layer = &self->base.config.network.layers[p / 2];
        const bool is_weight = p % 2 == 0;
        char tensor[48];
        snprintf(tensor, sizeof tensor, "fc%zu.%s", p / 2 + 1, is_weight ? "weight" : "bias");
        trace_name(shown[p].name, what, 0, tensor);
        show(&shown[p], &self->run, outputs[p], is_weight ? 2 : 1, layer->outputs,
             is_weight ? layer->inputs : 0);
        shown[p].is_weight = is_weight;
    }
    return self->training.parameter_count;
}

static int emit_one(const struct tensorflow_engine *self, const struct shown *shown,
                    engine_trace_fn *emit, void *context, struct error *error)
{
    const void *values = self->tf->TensorData(self->run.fetched[shown->fetch]);
    const size_t rows = shown->shape[0], columns = shown->rank == 2 ? shown->shape[1] : 1;
    double *wide = calloc(rows * columns, sizeof *wide);
    if (!wide) return error_set_memory(error, "the trace");
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            wide[r * columns + c] = read_real(self, values,
                                              shown->is_weight ? c * rows + r : r * columns + c);
    int result = emit(context, shown->name, shown->shape, shown->rank, wide);
    free(wide);
    return result ? error_set(error, ERROR_FAILED, "the trace was ended at %s", shown->name) : 0;
}

static int emit_run(struct tensorflow_engine *self, const struct shown *shown, size_t count,
                    unsigned steps, engine_trace_fn *emit, void *context, struct error *error)
{
    int result = run_go(&self->run, "tracing a step of TensorFlow", error);
    if (result == 0) self->steps += steps;
    for (size_t i = 0; result == 0 && i < count; i++)
        result = emit_one(self, &shown[i], emit, context, error);
    run_free(&self->run);
    return result;
}

static int trace_step(struct engine *engine, const uint32_t *order, size_t count,
                      engine_trace_fn *emit, void *context, struct error *error)
{
    struct tensorflow_engine *self = self_of(engine);
    const struct training *t = &self->training;
    struct shown shown[RUN_MAX] = {0};
    run_init(&self->run, &self->session);
    run_feed(&self->run, t->order, tensor_from_order(self, order, count));
    run_feed_double(&self->run, t->steps_before, (double)self->steps);
    run_feed_double(&self->run, t->learning_rate, self->base.config.optimizer.learning_rate);
    size_t n = list_traced(self, count, shown);
    n += list_parameters(self, TRACE_GRADIENT, t->step.gradients, shown + n);
    for (size_t p = 0; p < t->parameter_count; p++) run_target(&self->run, t->step.updates[p]);
    if (emit_run(self, shown, n, 1, emit, context, error)) return -1;

    memset(shown, 0, sizeof shown);
    TF_Output after[MAX_PARAMETERS];
    for (size_t p = 0; p < t->parameter_count; p++) after[p] = t->values[0][p].read;
    n = list_parameters(self, TRACE_NEW, after, shown);
    return emit_run(self, shown, n, 0, emit, context, error);
}

/* It is fed at every run, from the config. */
static int set_learning_rate(struct engine *engine, double learning_rate, struct error *error)
{
    (void)engine, (void)learning_rate, (void)error;
    return 0;
}

/* At batch 32 a second thread costs more than it brings. */
static uint32_t default_threads(void)
{
    return 1;
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
    .package = {"tensorflow-cpu==2.21.0",
                "TensorFlow 2.21.0 for the CPU: about 270 MB to fetch, 1.3 GB on disk"},
    .default_threads = default_threads,
    .probe = probe,
    .open = open_engine,
    .attach = attach,
    .set_parameters = set_parameters,
    .get_parameters = get_parameters,
    .set_optimizer_state = set_optimizer_state,
    .get_optimizer_state = get_optimizer_state,
    .train = train,
    .forward = forward,
    .trace = trace_step,
    .gradients = gradients,
    .apply = apply,
    .set_learning_rate = set_learning_rate,
    .close = close_engine,
};
