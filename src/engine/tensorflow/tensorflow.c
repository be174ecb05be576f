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
    const struct engine_ops *ops;
    struct engine_config config;
    const struct tf_api *tf;
    struct training training;
    struct session session;
    struct run run;      /* reused by every call */
    uint64_t steps;      /* taken so far */
    size_t sample_count; /* attached */
};

static struct tensorflow_engine *self(struct engine *engine)
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
static TF_Tensor *tensor_from_parameter(const struct tensorflow_engine *e,
                                        const struct tensor *tensor)
{
    const size_t value_size = dtype_size(e->config.dtype);
    const int rank = (int)tensor->rank;
    int64_t dims[2] = {(int64_t)tensor->shape[rank - 1], (int64_t)tensor->shape[0]};
    TF_Tensor *value = tensor_create(e->tf, e->training.real, dims, rank);
    if (!value) return NULL;
    void *data = e->tf->TensorData(value);
    if (rank == 2) {
        transpose(tensor->values, data, tensor->shape[0], tensor->shape[1], value_size);
    } else {
        memcpy(data, tensor->values, tensor->count * value_size);
    }
    return value;
}

static void parameter_from_tensor(const struct tensorflow_engine *e, const TF_Tensor *value,
                                  struct tensor *tensor)
{
    const size_t value_size = dtype_size(e->config.dtype);
    const void *data = e->tf->TensorData(value);
    CHECK(e->tf->TensorByteSize(value) == tensor->count * value_size);
    if (tensor->rank == 2) {
        transpose(data, tensor->values, tensor->shape[1], tensor->shape[0], value_size);
    } else {
        memcpy(tensor->values, data, tensor->count * value_size);
    }
}

/* `group` 0: the network's parameters; 1 and 2: the optimizer's slots. */
static int set_group(struct tensorflow_engine *e, size_t group, const struct parameters *parameters,
                     struct error *error)
{
    const struct training *t = &e->training;
    CHECK(parameters->dtype == e->config.dtype && parameters->tensor_count == t->parameter_count);
    run_init(&e->run, &e->session);
    for (size_t p = 0; p < t->parameter_count; p++) {
        run_feed(&e->run, t->values[group][p].fed,
                 tensor_from_parameter(e, &parameters->tensors[p]));
        run_target(&e->run, t->values[group][p].assign);
    }
    int result = run_go(&e->run, "giving TensorFlow the parameters", error);
    run_free(&e->run);
    return result;
}

static int get_group(struct tensorflow_engine *e, size_t group, struct parameters *parameters,
                     struct error *error)
{
    const struct training *t = &e->training;
    CHECK(parameters->dtype == e->config.dtype && parameters->tensor_count == t->parameter_count);
    run_init(&e->run, &e->session);
    for (size_t p = 0; p < t->parameter_count; p++) run_fetch(&e->run, t->values[group][p].read);
    int result = run_go(&e->run, "reading TensorFlow's parameters", error);
    for (size_t p = 0; result == 0 && p < t->parameter_count; p++)
        parameter_from_tensor(e, e->run.fetched[p], &parameters->tensors[p]);
    run_free(&e->run);
    return result;
}

static int set_parameters(struct engine *engine, const struct parameters *parameters,
                          struct error *error)
{
    return set_group(self(engine), 0, parameters, error);
}

static int get_parameters(struct engine *engine, struct parameters *parameters, struct error *error)
{
    return get_group(self(engine), 0, parameters, error);
}

static int set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                               struct error *error)
{
    struct tensorflow_engine *e = self(engine);
    CHECK(1 + state->slot_count == e->training.group_count);
    for (uint32_t s = 0; s < state->slot_count; s++)
        if (set_group(e, 1 + s, state->slots[s], error)) return -1;
    e->steps = state->steps;
    return 0;
}

static int get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                               struct error *error)
{
    struct tensorflow_engine *e = self(engine);
    CHECK(1 + state->slot_count == e->training.group_count);
    for (uint32_t s = 0; s < state->slot_count; s++)
        if (get_group(e, 1 + s, state->slots[s], error)) return -1;
    state->steps = e->steps;
    return 0;
}

/* Variables have no value until they are assigned one. */
static int set_zero(struct tensorflow_engine *e, struct error *error)
{
    struct parameters *zero;
    if (parameters_create(&e->config.network, e->config.dtype, &zero, error)) return -1;
    int result = 0;
    for (size_t group = 0; result == 0 && group < e->training.group_count; group++)
        result = set_group(e, group, zero, error);
    parameters_destroy(zero);
    return result;
}

static void close_engine(struct engine *engine)
{
    struct tensorflow_engine *e = self(engine);
    session_close(&e->session);
    training_free(&e->training);
    free(e);
}

static int open_engine(const struct engine_config *config, struct engine **out, struct error *error)
{
    struct engine_probe found;
    const struct tf_api *tf;
    if (config->device && strcmp(config->device, "cpu") != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "TensorFlow offers no device \"%.40s\" here: use cpu", config->device);
    probe(&found);
    if (!found.found) return error_set(error, ERROR_UNAVAILABLE, "%s", found.missing);
    if (tf_api_load(found.path, &tf, error)) return -1;
    struct tensorflow_engine *e = calloc(1, sizeof *e);
    if (!e) return error_set_memory(error, "the TensorFlow engine");
    e->ops = &engine_tensorflow;
    e->config = *config;
    e->config.device = "cpu";
    e->tf = tf;
    if (training_build(&e->training, tf, &e->config, error)) {
        free(e);
        return -1;
    }
    if (session_open(&e->session, &e->training.graph, config->threads, error) ||
        set_zero(e, error)) {
        close_engine((struct engine *)e);
        return -1;
    }
    *out = (struct engine *)e;
    return 0;
}

/* The pictures stay bytes, in the data set's own memory if that is aligned. */
static int attach(struct engine *engine, const struct split *split, struct error *error)
{
    struct tensorflow_engine *e = self(engine);
    const struct training *t = &e->training;
    const int64_t dims[] = {(int64_t)split->count, network_inputs(&e->config.network)};
    TF_Tensor *labels = tensor_create(e->tf, TF_INT32, dims, 1);
    if (labels) {
        int32_t *wide = e->tf->TensorData(labels);
        for (size_t i = 0; i < split->count; i++) wide[i] = split->labels[i];
    }
    run_init(&e->run, &e->session);
    run_feed(&e->run, t->images.fed, tensor_borrow(e->tf, TF_UINT8, dims, 2, split->pixels));
    run_feed(&e->run, t->labels.fed, labels);
    run_target(&e->run, t->images.assign);
    run_target(&e->run, t->labels.assign);
    int result = run_go(&e->run, "giving TensorFlow the samples", error);
    run_free(&e->run);
    if (result == 0) e->sample_count = split->count;
    return result;
}

/* An order as TensorFlow takes it, without a copy if it lies well. */
static TF_Tensor *tensor_from_order(const struct tensorflow_engine *e, const uint32_t *order,
                                    size_t count)
{
    CHECK(count <= INT32_MAX);
    for (size_t i = 0; i < count; i++) CHECK(order[i] < e->sample_count);
    return tensor_borrow(e->tf, TF_INT32, &(int64_t){(int64_t)count}, 1, order);
}

static double read_real(const struct tensorflow_engine *e, const void *values, size_t index)
{
    return e->training.real == TF_DOUBLE ? ((const double *)values)[index]
                                         : (double)((const float *)values)[index];
}

static int train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error)
{
    struct tensorflow_engine *e = self(engine);
    const struct training *t = &e->training;
    if (count == 0) return 0;
    const size_t steps = (count + e->config.batch_size - 1) / e->config.batch_size;
    run_init(&e->run, &e->session);
    run_feed(&e->run, t->order, tensor_from_order(e, order, count));
    run_feed_int(&e->run, t->steps, (int32_t)steps);
    run_feed_double(&e->run, t->steps_before, (double)e->steps);
    run_feed_double(&e->run, t->learning_rate, e->config.optimizer.learning_rate);
    run_fetch(&e->run, t->losses);
    run_fetch(&e->run, t->correct);
    int result = run_go(&e->run, "training with TensorFlow", error);
    if (result == 0) {
        const void *loss_values = e->tf->TensorData(e->run.fetched[0]);
        for (size_t i = 0; i < steps; i++) losses[i] = read_real(e, loss_values, i);
        if (correct) memcpy(correct, e->tf->TensorData(e->run.fetched[1]), steps * sizeof *correct);
        e->steps += steps;
    }
    run_free(&e->run);
    return result;
}

static int forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error)
{
    struct tensorflow_engine *e = self(engine);
    const struct training *t = &e->training;
    const int64_t dims[] = {(int64_t)count, network_inputs(&e->config.network)};
    run_init(&e->run, &e->session);
    run_feed(&e->run, t->pixels, tensor_borrow(e->tf, TF_UINT8, dims, 2, pixels));
    run_fetch(&e->run, t->logits);
    int result = run_go(&e->run, "computing with TensorFlow", error);
    if (result == 0) {
        const void *values = e->tf->TensorData(e->run.fetched[0]);
        const size_t value_count = count * network_classes(&e->config.network);
        for (size_t i = 0; i < value_count; i++) logits[i] = read_real(e, values, i);
    }
    run_free(&e->run);
    return result;
}

/* A tensor of a traced step: its name, where the run puts it, its shape for people (a weight is
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
static size_t list_traced(struct tensorflow_engine *e, size_t batch, struct shown *shown)
{
    const struct training *t = &e->training;
    const struct network *network = &e->config.network;
    const uint32_t last = network->layer_count - 1;
    size_t n = 0;
    trace_name(shown[n].name, TRACE_INPUT, 0, NULL);
    show(&shown[n++], &e->run, t->step.input, 2, batch, network_inputs(network));
    for (uint32_t i = 0; i < last; i++) {
        trace_name(shown[n].name, TRACE_BEFORE, i + 1, NULL);
        show(&shown[n++], &e->run, t->step.z[i], 2, batch, network->layers[i].outputs);
        trace_name(shown[n].name, TRACE_AFTER, i + 1, NULL);
        show(&shown[n++], &e->run, t->step.a[i], 2, batch, network->layers[i].outputs);
    }
    trace_name(shown[n].name, TRACE_LOGITS, 0, NULL);
    show(&shown[n++], &e->run, t->step.z[last], 2, batch, network_classes(network));
    trace_name(shown[n].name, TRACE_PROBABILITIES, 0, NULL);
    show(&shown[n++], &e->run, t->probabilities, 2, batch, network_classes(network));
    trace_name(shown[n].name, TRACE_LOSS, 0, NULL);
    show(&shown[n++], &e->run, t->step.loss, 1, 1, 0);
    return n;
}

/* The parameters' gradients or, from the variables, their new values. */
static size_t list_parameters(struct tensorflow_engine *e, enum trace_what what,
                              const TF_Output *outputs, struct shown *shown)
{
    for (size_t p = 0; p < e->training.parameter_count; p++) {
        const struct layer *layer = &e->config.network.layers[p / 2];
        const bool is_weight = p % 2 == 0;
        char tensor[48];
        snprintf(tensor, sizeof tensor, "fc%zu.%s", p / 2 + 1, is_weight ? "weight" : "bias");
        trace_name(shown[p].name, what, 0, tensor);
        show(&shown[p], &e->run, outputs[p], is_weight ? 2 : 1, layer->outputs,
             is_weight ? layer->inputs : 0);
        shown[p].is_weight = is_weight;
    }
    return e->training.parameter_count;
}

static int emit_one(const struct tensorflow_engine *e, const struct shown *shown,
                    engine_trace_fn *emit, void *context, struct error *error)
{
    const void *values = e->tf->TensorData(e->run.fetched[shown->fetch]);
    const size_t rows = shown->shape[0], columns = shown->rank == 2 ? shown->shape[1] : 1;
    double *wide = calloc(rows * columns, sizeof *wide);
    if (!wide) return error_set_memory(error, "the trace");
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            wide[r * columns + c] = read_real(e, values,
                                              shown->is_weight ? c * rows + r : r * columns + c);
    int result = emit(context, shown->name, shown->shape, shown->rank, wide);
    free(wide);
    return result ? error_set(error, ERROR_FAILED, "the trace was ended at %s", shown->name) : 0;
}

static int emit_run(struct tensorflow_engine *e, const struct shown *shown, size_t count,
                    unsigned steps, engine_trace_fn *emit, void *context, struct error *error)
{
    int result = run_go(&e->run, "tracing a step of TensorFlow", error);
    if (result == 0) e->steps += steps;
    for (size_t i = 0; result == 0 && i < count; i++)
        result = emit_one(e, &shown[i], emit, context, error);
    run_free(&e->run);
    return result;
}

static int trace(struct engine *engine, const uint32_t *order, size_t count, engine_trace_fn *emit,
                 void *context, struct error *error)
{
    struct tensorflow_engine *e = self(engine);
    const struct training *t = &e->training;
    struct shown shown[RUN_MAX] = {0};
    if (count == 0) return error_set(error, ERROR_INPUT, "a trace needs at least one sample");
    run_init(&e->run, &e->session);
    run_feed(&e->run, t->order, tensor_from_order(e, order, count));
    run_feed_double(&e->run, t->steps_before, (double)e->steps);
    run_feed_double(&e->run, t->learning_rate, e->config.optimizer.learning_rate);
    size_t n = list_traced(e, count, shown);
    n += list_parameters(e, TRACE_GRADIENT, t->step.gradients, shown + n);
    for (size_t p = 0; p < t->parameter_count; p++) run_target(&e->run, t->step.updates[p]);
    if (emit_run(e, shown, n, 1, emit, context, error)) return -1;

    memset(shown, 0, sizeof shown);
    TF_Output after[MAX_PARAMETERS];
    for (size_t p = 0; p < t->parameter_count; p++) after[p] = t->values[0][p].read;
    n = list_parameters(e, TRACE_NEW, after, shown);
    return emit_run(e, shown, n, 0, emit, context, error);
}

static int set_learning_rate(struct engine *engine, double learning_rate, struct error *error)
{
    (void)error;
    self(engine)->config.optimizer.learning_rate = learning_rate;
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
    .trace = trace,
    .set_learning_rate = set_learning_rate,
    .close = close_engine,
};
