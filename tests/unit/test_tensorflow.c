/* engine/tensorflow/: TensorFlow's graph against a plain C reference in double precision. Skipped
 * where TensorFlow is
 * not installed. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"
#include "data/preprocess.h"
#include "engine/engine.h"

#if defined(__has_feature)
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum {
    ROWS = 4,
    COLUMNS = 5,
    INPUTS = ROWS * COLUMNS,
    CLASSES = 5,
    SAMPLES = 23,
    BATCH = 8,
    STEPS = 3,
    MAX_WIDTH = 32
};

static uint8_t pixels[SAMPLES * INPUTS], labels[SAMPLES];
static const struct split samples = {.count = SAMPLES, .pixels = pixels, .labels = labels};

static void draw_samples(void)
{
    struct rng rng;
    rng_seed(&rng, 11, RNG_TEST, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = rng_below(&rng, 3) ? (uint8_t)rng_below(&rng, 256) : 0;
    for (size_t i = 0; i < sizeof labels; i++) labels[i] = (uint8_t)rng_below(&rng, CLASSES);
}

/* --- The reference: one loop a formula, as net/network.h and net/optimizer.h state them. --- */

struct reference {
    struct engine_config config;
    struct parameters *parameters, *gradients;
    struct optimizer_state *state;
};

static double *values(struct parameters *parameters, size_t tensor)
{
    return parameters->tensors[tensor].values;
}

static double activate(enum activation activation, double z)
{
    if (activation == ACTIVATION_RELU) return z > 0 ? z : 0;
    if (activation == ACTIVATION_TANH) return tanh(z);
    return activation == ACTIVATION_SIGMOID ? 1 / (1 + exp(-z)) : z;
}

/* The derivative, from the activation's own value. */
static double slope(enum activation activation, double a)
{
    if (activation == ACTIVATION_RELU) return a > 0;
    if (activation == ACTIVATION_TANH) return 1 - a * a;
    return activation == ACTIVATION_SIGMOID ? a * (1 - a) : 1;
}

/* a[0] is the input, a[i] what layer i gives. */
static void reference_forward(struct reference *r, const uint8_t *picture, double a[][MAX_WIDTH])
{
    for (size_t i = 0; i < INPUTS; i++) a[0][i] = picture[i] / 255.0;
    for (uint32_t l = 0; l < r->config.network.layer_count; l++) {
        const struct layer *layer = &r->config.network.layers[l];
        for (size_t o = 0; o < layer->outputs; o++) {
            double z = values(r->parameters, 2 * l + 1)[o];
            for (size_t i = 0; i < layer->inputs; i++)
                z += values(r->parameters, 2 * l)[o * layer->inputs + i] * a[l][i];
            a[l + 1][o] = activate(layer->activation, z);
        }
    }
}

/* Turns logits into probabilities; returns the cross-entropy. */
static double softmax(double *logits, size_t label)
{
    double most = logits[0], sum = 0;
    for (size_t c = 1; c < CLASSES; c++) most = fmax(most, logits[c]);
    double loss = most - logits[label];
    for (size_t c = 0; c < CLASSES; c++) sum += logits[c] = exp(logits[c] - most);
    for (size_t c = 0; c < CLASSES; c++) logits[c] /= sum;
    return loss + log(sum);
}

static double reference_sample(struct reference *r, uint32_t sample, size_t batch,
                               uint32_t *correct)
{
    const struct network *network = &r->config.network;
    double a[NETWORK_MAX_LAYERS + 1][MAX_WIDTH], d[MAX_WIDTH], below[MAX_WIDTH];
    reference_forward(r, pixels + sample * INPUTS, a);
    double *logits = a[network->layer_count];
    size_t best = 0;
    for (size_t c = 1; c < CLASSES; c++)
        if (logits[c] > logits[best]) best = c;
    *correct += best == labels[sample];
    double loss = softmax(logits, labels[sample]);
    for (size_t c = 0; c < CLASSES; c++) d[c] = (logits[c] - (c == labels[sample])) / (double)batch;
    for (uint32_t l = network->layer_count; l-- > 0;) {
        const struct layer *layer = &network->layers[l];
        for (size_t i = 0; i < layer->inputs; i++) below[i] = 0;
        for (size_t o = 0; o < layer->outputs; o++) {
            values(r->gradients, 2 * l + 1)[o] += d[o];
            for (size_t i = 0; i < layer->inputs; i++) {
                values(r->gradients, 2 * l)[o * layer->inputs + i] += d[o] * a[l][i];
                below[i] += d[o] * values(r->parameters, 2 * l)[o * layer->inputs + i];
            }
        }
        for (size_t i = 0; l > 0 && i < layer->inputs; i++)
            d[i] = below[i] * slope(network->layers[l - 1].activation, a[l][i]);
    }
    return loss;
}

static void reference_update(struct reference *r)
{
    const struct optimizer *o = &r->config.optimizer;
    double *w = r->parameters->values, *gradients = r->gradients->values;
    double n = (double)++r->state->steps;
    for (size_t i = 0; i < r->parameters->value_count; i++) {
        double g = gradients[i] + o->weight_decay * w[i];
        if (o->type == OPTIMIZER_ADAM) {
            double *m = r->state->slots[0]->values, *v = r->state->slots[1]->values;
            m[i] = o->beta1 * m[i] + (1 - o->beta1) * g;
            v[i] = o->beta2 * v[i] + (1 - o->beta2) * g * g;
            w[i] -= o->learning_rate / (1 - pow(o->beta1, n)) * m[i] /
                    (sqrt(v[i]) / sqrt(1 - pow(o->beta2, n)) + o->epsilon);
        } else if (o->momentum > 0) {
            double *v = r->state->slots[0]->values;
            v[i] = o->momentum * v[i] + g;
            w[i] -= o->learning_rate * v[i];
        } else {
            w[i] -= o->learning_rate * g;
        }
    }
}

static double reference_step(struct reference *r, const uint32_t *order, size_t count,
                             uint32_t *correct)
{
    double loss = 0;
    *correct = 0;
    memset(r->gradients->values, 0, r->gradients->value_count * sizeof(double));
    for (size_t i = 0; i < count; i++) loss += reference_sample(r, order[i], count, correct);
    reference_update(r);
    return loss / (double)count;
}

static void reference_free(struct reference *r)
{
    parameters_destroy(r->parameters);
    parameters_destroy(r->gradients);
    optimizer_state_destroy(r->state);
}

/* --- Both side by side. --- */

static const struct engine_ops *ops;

/* A network 20 → hidden → 5 with drawn parameters, in the reference and in TensorFlow. */
static struct engine *start(struct reference *r, enum activation activation, uint32_t hidden_count,
                            enum dtype dtype, const struct optimizer *optimizer)
{
    struct error error;
    struct engine *engine;
    *r = (struct reference){
        .config = {.dtype = dtype, .optimizer = *optimizer, .batch_size = BATCH, .threads = 1}};
    const struct network *network = &r->config.network;
    assert_int_equal(network_build(&r->config.network, ROWS, COLUMNS, (uint32_t[]){9, 7, 6},
                                   hidden_count, activation, CLASSES, &error),
                     0);
    assert_int_equal(parameters_create(network, DTYPE_FLOAT64, &r->parameters, &error), 0);
    assert_int_equal(parameters_create(network, DTYPE_FLOAT64, &r->gradients, &error), 0);
    assert_int_equal(optimizer_state_create(optimizer, network, DTYPE_FLOAT64, &r->state, &error),
                     0);
    parameters_draw(r->parameters, network, INIT_TORCH, 5);
    if (ops->open(&r->config, &engine, &error)) fail_msg("%s", error.message);
    struct parameters *own;
    assert_int_equal(parameters_convert(r->parameters, network, dtype, &own, &error), 0);
    assert_int_equal(ops->set_parameters(engine, own, &error), 0);
    parameters_destroy(own);
    assert_int_equal(ops->attach(engine, &samples, &error), 0);
    return engine;
}

static void assert_near(double got, double expected, double tolerance, const char *what)
{
    if (!(fabs(got - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%s is %.17g, expected %.17g (off by %.3g)", what, got, expected, got - expected);
}

static void assert_parameters_near(struct parameters *got, struct parameters *expected,
                                   double tolerance, const char *what)
{
    assert_int_equal(got->value_count, expected->value_count);
    for (size_t t = 0; t < got->tensor_count; t++)
        for (size_t i = 0; i < got->tensors[t].count; i++)
            assert_near(tensor_get(got, &got->tensors[t], i),
                        tensor_get(expected, &expected->tensors[t], i), tolerance, what);
}

static void assert_same_state(struct engine *engine, struct reference *r, double tolerance)
{
    struct error error;
    struct parameters *own;
    struct optimizer_state *state;
    assert_int_equal(parameters_create(&r->config.network, r->config.dtype, &own, &error), 0);
    assert_int_equal(optimizer_state_create(&r->config.optimizer, &r->config.network,
                                            r->config.dtype, &state, &error),
                     0);
    assert_int_equal(ops->get_parameters(engine, own, &error), 0);
    assert_int_equal(ops->get_optimizer_state(engine, state, &error), 0);
    assert_parameters_near(own, r->parameters, tolerance, "a parameter");
    assert_int_equal(state->steps, r->state->steps);
    for (uint32_t s = 0; s < state->slot_count; s++)
        assert_parameters_near(state->slots[s], r->state->slots[s], tolerance,
                               "the optimizer's state");
    parameters_destroy(own);
    optimizer_state_destroy(state);
}

/* `epochs` passes over the samples, three steps each, the last of them short. */
static void assert_same_training(struct engine *engine, struct reference *r, int epochs,
                                 double tolerance)
{
    struct error error;
    struct rng rng;
    uint32_t order[SAMPLES], correct[STEPS], expected_correct;
    double losses[STEPS];
    rng_seed(&rng, 8, RNG_ORDER, 0);
    for (int epoch = 0; epoch < epochs; epoch++) {
        rng_permutation(&rng, order, SAMPLES);
        if (ops->train(engine, order, SAMPLES, losses, epoch % 2 ? NULL : correct, &error))
            fail_msg("%s", error.message);
        for (size_t s = 0; s < STEPS; s++) {
            size_t count = s + 1 < STEPS ? BATCH : SAMPLES - (STEPS - 1) * BATCH;
            assert_near(losses[s], reference_step(r, order + s * BATCH, count, &expected_correct),
                        tolerance, "a loss");
            if (epoch % 2 == 0) assert_int_equal(correct[s], expected_correct);
        }
    }
    assert_same_state(engine, r, tolerance);
}

static const struct optimizer optimizers[] = {
    {.type = OPTIMIZER_SGD, .learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    {.type = OPTIMIZER_SGD,
     .learning_rate = 0.1,
     .momentum = 0.9,
     .beta1 = 0.9,
     .beta2 = 0.999,
     .epsilon = 1e-8},
    {.type = OPTIMIZER_SGD,
     .learning_rate = 0.1,
     .momentum = 0.5,
     .weight_decay = 0.01,
     .beta1 = 0.9,
     .beta2 = 0.999,
     .epsilon = 1e-8},
    {.type = OPTIMIZER_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    /* An epsilon that matters, so that its place in the formula does. */
    {.type = OPTIMIZER_ADAM,
     .learning_rate = 0.01,
     .weight_decay = 0.05,
     .beta1 = 0.8,
     .beta2 = 0.95,
     .epsilon = 1e-3},
};
enum { OPTIMIZERS = sizeof optimizers / sizeof *optimizers };

#define NEEDS_TENSORFLOW() \
    (void)state;           \
    if (!ops) skip()

static void training_equals_the_reference_to_1e12(void **state)
{
    NEEDS_TENSORFLOW();
    for (int o = 0; o < OPTIMIZERS; o++) {
        enum activation activation = (enum activation)(ACTIVATION_RELU + o % 3);
        struct reference r;
        struct engine *engine = start(&r, activation, 2, DTYPE_FLOAT64, &optimizers[o]);
        assert_same_training(engine, &r, 4, 1e-12);
        ops->close(engine);
        reference_free(&r);
    }
}

static void any_depth_and_activation_trains(void **state)
{
    NEEDS_TENSORFLOW();
    for (uint32_t hidden = 0; hidden <= 3; hidden++) {
        enum activation activation = (enum activation)(ACTIVATION_RELU + (hidden + 2) % 3);
        struct reference r;
        struct engine *engine = start(&r, activation, hidden, DTYPE_FLOAT64, &optimizers[0]);
        assert_same_training(engine, &r, 2, 1e-12);
        ops->close(engine);
        reference_free(&r);
    }
}

static void float32_is_near_the_reference(void **state)
{
    NEEDS_TENSORFLOW();
    for (int o = 0; o < OPTIMIZERS; o += 3) {
        struct reference r;
        struct engine *engine = start(&r, ACTIVATION_TANH, 1, DTYPE_FLOAT32, &optimizers[o]);
        assert_same_training(engine, &r, 2, 2e-5);
        ops->close(engine);
        reference_free(&r);
    }
}

static void a_new_learning_rate_holds_from_the_next_step(void **state)
{
    NEEDS_TENSORFLOW();
    struct error error;
    for (int o = 0; o < OPTIMIZERS; o += 3) {
        struct reference r;
        struct engine *engine = start(&r, ACTIVATION_RELU, 1, DTYPE_FLOAT64, &optimizers[o]);
        assert_same_training(engine, &r, 1, 1e-12);
        r.config.optimizer.learning_rate /= 7;
        assert_int_equal(ops->set_learning_rate(engine, r.config.optimizer.learning_rate, &error),
                         0);
        assert_same_training(engine, &r, 1, 1e-12);
        ops->close(engine);
        reference_free(&r);
    }
}

static void a_resumed_run_equals_an_uninterrupted_one(void **state)
{
    NEEDS_TENSORFLOW();
    struct error error;
    for (int o = 1; o < OPTIMIZERS; o += 2) {
        struct reference r, other;
        struct engine *engine = start(&r, ACTIVATION_SIGMOID, 2, DTYPE_FLOAT64, &optimizers[o]);
        assert_same_training(engine, &r, 2, 1e-12);
        ops->close(engine);
        engine = start(&other, ACTIVATION_SIGMOID, 2, DTYPE_FLOAT64, &optimizers[o]);
        assert_int_equal(ops->set_parameters(engine, r.parameters, &error), 0);
        assert_int_equal(ops->set_optimizer_state(engine, r.state, &error), 0);
        assert_same_training(engine, &r, 2, 1e-12);
        ops->close(engine);
        reference_free(&r);
        reference_free(&other);
    }
}

static void forward_gives_the_logits(void **state)
{
    NEEDS_TENSORFLOW();
    struct error error;
    struct reference r;
    struct engine *engine = start(&r, ACTIVATION_RELU, 2, DTYPE_FLOAT64, &optimizers[0]);
    double logits[SAMPLES * CLASSES], a[NETWORK_MAX_LAYERS + 1][MAX_WIDTH];
    assert_int_equal(ops->forward(engine, pixels, SAMPLES, logits, &error), 0);
    for (size_t i = 0; i < SAMPLES; i++) {
        reference_forward(&r, pixels + i * INPUTS, a);
        for (size_t c = 0; c < CLASSES; c++)
            assert_near(logits[i * CLASSES + c], a[3][c], 1e-13, "a logit");
    }
    ops->close(engine);
    reference_free(&r);
}

/* All equal logits: the first class is the answer. */
static void a_fresh_engine_has_zero_parameters(void **state)
{
    NEEDS_TENSORFLOW();
    struct error error;
    struct reference r;
    struct engine *engine = start(&r, ACTIVATION_RELU, 1, DTYPE_FLOAT32, &optimizers[0]), *fresh;
    ops->close(engine);
    assert_int_equal(ops->open(&r.config, &fresh, &error), 0);
    assert_int_equal(ops->attach(fresh, &samples, &error), 0);
    uint32_t order[BATCH], correct, expected = 0;
    double loss;
    for (uint32_t i = 0; i < BATCH; i++) order[i] = i, expected += labels[i] == 0;
    assert_int_equal(ops->train(fresh, order, BATCH, &loss, &correct, &error), 0);
    assert_near(loss, log(CLASSES), 1e-6, "the loss of no knowledge");
    assert_int_equal(correct, expected);
    ops->close(fresh);
    reference_free(&r);
}

/* --- Traces --- */

enum { TRACED_MAX = 40 };
struct traced {
    size_t count;
    char names[TRACED_MAX][48];
    size_t sizes[TRACED_MAX];
    double *values[TRACED_MAX];
};

static int collect(void *context, const char *name, const size_t *shape, uint32_t rank,
                   const double *tensor)
{
    struct traced *traced = context;
    size_t size = 1;
    for (uint32_t i = 0; i < rank; i++) size *= shape[i];
    assert_true(traced->count < TRACED_MAX);
    snprintf(traced->names[traced->count], sizeof traced->names[0], "%s", name);
    traced->sizes[traced->count] = size;
    traced->values[traced->count] = calloc(size, sizeof *tensor);
    memcpy(traced->values[traced->count++], tensor, size * sizeof *tensor);
    return 0;
}

static const double *find(const struct traced *traced, const char *name, size_t size)
{
    for (size_t i = 0; i < traced->count; i++) {
        if (strcmp(traced->names[i], name) != 0) continue;
        assert_int_equal(traced->sizes[i], size);
        return traced->values[i];
    }
    fail_msg("the trace has no %s", name);
    return NULL;
}

static void traced_free(struct traced *traced)
{
    for (size_t i = 0; i < traced->count; i++) free(traced->values[i]);
}

static void a_trace_shows_the_real_step_in_order(void **state)
{
    NEEDS_TENSORFLOW();
    static const char *const names[] = {"input",
                                        "z1",
                                        "a1",
                                        "z2",
                                        "a2",
                                        "logits",
                                        "probabilities",
                                        "loss",
                                        "grad/fc1.weight",
                                        "grad/fc1.bias",
                                        "grad/fc2.weight",
                                        "grad/fc2.bias",
                                        "grad/fc3.weight",
                                        "grad/fc3.bias",
                                        "new/fc1.weight",
                                        "new/fc1.bias",
                                        "new/fc2.weight",
                                        "new/fc2.bias",
                                        "new/fc3.weight",
                                        "new/fc3.bias"};
    const uint32_t order[] = {4, 2, 17};
    struct error error;
    struct reference r;
    struct traced traced = {0};
    uint32_t correct;
    struct engine *engine = start(&r, ACTIVATION_TANH, 2, DTYPE_FLOAT64, &optimizers[4]);
    assert_int_equal(ops->trace(engine, order, 3, collect, &traced, &error), 0);
    assert_int_equal(traced.count, sizeof names / sizeof *names);
    for (size_t i = 0; i < traced.count; i++) assert_string_equal(traced.names[i], names[i]);

    double a[NETWORK_MAX_LAYERS + 1][MAX_WIDTH];
    reference_forward(&r, pixels + 2 * INPUTS, a); /* the second sample of the batch */
    for (size_t i = 0; i < INPUTS; i++)
        assert_true(find(&traced, "input", 3 * INPUTS)[INPUTS + i] == a[0][i]);
    for (size_t i = 0; i < 9; i++)
        assert_near(find(&traced, "z1", 27)[9 + i], atanh(a[1][i]), 1e-12, "z1");
    for (size_t i = 0; i < 7; i++)
        assert_near(find(&traced, "a2", 21)[7 + i], a[2][i], 1e-12, "a2");
    for (size_t i = 0; i < CLASSES; i++)
        assert_near(find(&traced, "logits", 15)[CLASSES + i], a[3][i], 1e-12, "logits");
    softmax(a[3], 0);
    for (size_t i = 0; i < CLASSES; i++)
        assert_near(find(&traced, "probabilities", 15)[CLASSES + i], a[3][i], 1e-12,
                    "probabilities");
    assert_near(*find(&traced, "loss", 1), reference_step(&r, order, 3, &correct), 1e-12, "loss");
    for (size_t t = 0; t < r.gradients->tensor_count; t++) {
        char name[64];
        const struct tensor *tensor = &r.gradients->tensors[t];
        snprintf(name, sizeof name, "grad/%s", tensor->name);
        for (size_t i = 0; i < tensor->count; i++)
            assert_near(find(&traced, name, tensor->count)[i], values(r.gradients, t)[i], 1e-12,
                        name);
        snprintf(name, sizeof name, "new/%s", tensor->name);
        for (size_t i = 0; i < tensor->count; i++)
            assert_near(find(&traced, name, tensor->count)[i], values(r.parameters, t)[i], 1e-12,
                        name);
    }
    assert_same_state(engine, &r, 1e-12);
    traced_free(&traced);
    ops->close(engine);
    reference_free(&r);
}

/* The mean loss over `order`, from the engine's own logits, with one value of one tensor set. */
static double loss_with(struct engine *engine, struct reference *r, size_t tensor, size_t index,
                        double value)
{
    struct error error;
    double logits[CLASSES], loss = 0, kept = values(r->parameters, tensor)[index];
    values(r->parameters, tensor)[index] = value;
    assert_int_equal(ops->set_parameters(engine, r->parameters, &error), 0);
    values(r->parameters, tensor)[index] = kept;
    for (size_t i = 0; i < BATCH; i++) {
        assert_int_equal(ops->forward(engine, pixels + i * INPUTS, 1, logits, &error), 0);
        loss += softmax(logits, labels[i]);
    }
    return loss / BATCH;
}

static void gradients_equal_finite_differences(void **state)
{
    NEEDS_TENSORFLOW();
    uint32_t order[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) order[i] = i;
    for (int activation = ACTIVATION_RELU; activation <= ACTIVATION_SIGMOID; activation++) {
        struct error error;
        struct reference r;
        struct traced traced = {0};
        struct engine *engine = start(&r, (enum activation)activation, 1, DTYPE_FLOAT64,
                                      &optimizers[0]);
        assert_int_equal(ops->trace(engine, order, BATCH, collect, &traced, &error), 0);
        for (size_t t = 0; t < r.parameters->tensor_count; t++) {
            char name[64];
            const struct tensor *tensor = &r.parameters->tensors[t];
            snprintf(name, sizeof name, "grad/%s", tensor->name);
            const double *gradient = find(&traced, name, tensor->count), h = 1e-6;
            for (size_t i = 0; i < tensor->count; i += 1 + tensor->count / 7) {
                double w = values(r.parameters, t)[i];
                double difference = loss_with(engine, &r, t, i, w + h) -
                                    loss_with(engine, &r, t, i, w - h);
                assert_near(gradient[i], difference / (2 * h), 1e-7, name);
            }
        }
        traced_free(&traced);
        ops->close(engine);
        reference_free(&r);
    }
}

/* --- What can go wrong --- */

static void what_tensorflow_refuses_is_one_clear_line(void **state)
{
    NEEDS_TENSORFLOW();
    struct error error;
    struct reference r;
    struct engine *engine = start(&r, ACTIVATION_RELU, 1, DTYPE_FLOAT32, &optimizers[0]);
    uint8_t strange[SAMPLES];
    memset(strange, CLASSES, sizeof strange);
    const struct split wrong = {.count = SAMPLES, .pixels = pixels, .labels = strange};
    double loss;
    assert_int_equal(ops->attach(engine, &wrong, &error), 0);
    assert_int_equal(ops->train(engine, (const uint32_t[]){3, 4}, 2, &loss, NULL, &error), -1);
    assert_non_null(strstr(error.message, "training with TensorFlow: Received a label value of 5"));
    assert_null(strchr(error.message, '\n'));
    /* It goes on with good samples. */
    assert_int_equal(ops->attach(engine, &samples, &error), 0);
    assert_int_equal(ops->train(engine, (const uint32_t[]){3, 4}, 2, &loss, NULL, &error), 0);
    ops->close(engine);
    reference_free(&r);
}

static void what_cannot_be_opened_is_one_clear_line(void **state)
{
    NEEDS_TENSORFLOW();
    struct error error;
    struct reference r;
    struct engine *engine = start(&r, ACTIVATION_RELU, 1, DTYPE_FLOAT32, &optimizers[0]), *none;
    ops->close(engine);
    r.config.device = "cuda:5";
    assert_int_equal(ops->open(&r.config, &none, &error), -1);
    assert_string_equal(error.message, "TensorFlow offers no device \"cuda:5\" here: use cpu");

    /* Some library that is not TensorFlow, and a file that is no library. */
    Dl_info other;
    assert_true(dladdr((void *)(uintptr_t)cos, &other) != 0);
    assert_int_equal(setenv("NNSTUDIO_TENSORFLOW_LIB", other.dli_fname, 1), 0);
    r.config.device = NULL;
    assert_int_equal(ops->open(&r.config, &none, &error), -1);
    assert_non_null(
        strstr(error.message, "has no function TF_Version: install TensorFlow 2.10 or newer"));
    assert_int_equal(setenv("NNSTUDIO_TENSORFLOW_LIB", __FILE__, 1), 0);
    assert_int_equal(ops->open(&r.config, &none, &error), -1);
    assert_null(strchr(error.message, '\n'));
    assert_int_equal(unsetenv("NNSTUDIO_TENSORFLOW_LIB"), 0);
    reference_free(&r);
}

static void memory_does_not_grow_with_calls(void **state)
{
    NEEDS_TENSORFLOW();
    /* the sanitizer keeps freed memory for a while, and finds leaks itself */
    if (SANITIZED) skip();
    struct error error;
    struct reference r;
    struct engine *engine = start(&r, ACTIVATION_RELU, 1, DTYPE_FLOAT32, &optimizers[3]);
    uint32_t order[SAMPLES];
    double losses[STEPS], logits[SAMPLES * CLASSES];
    struct parameters *own;
    assert_int_equal(parameters_create(&r.config.network, DTYPE_FLOAT32, &own, &error), 0);
    for (uint32_t i = 0; i < SAMPLES; i++) order[i] = i;
    uint64_t before = 0;
    for (int i = 0; i < 1200; i++) {
        if (i == 200) before = clock_rss();
        assert_int_equal(ops->train(engine, order, SAMPLES, losses, NULL, &error), 0);
        assert_int_equal(ops->forward(engine, pixels, SAMPLES, logits, &error), 0);
        assert_int_equal(ops->get_parameters(engine, own, &error), 0);
    }
    assert_true(clock_rss() < before + (2 << 20));
    parameters_destroy(own);
    ops->close(engine);
    reference_free(&r);
}

int main(void)
{
    struct engine_probe probe;
    ops = engine_find("tensorflow");
    assert_non_null(ops);
    ops->probe(&probe);
    draw_samples();
    if (!probe.found) {
        print_message("skipped: %s\n", probe.missing);
        ops = NULL;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_equals_the_reference_to_1e12),
        cmocka_unit_test(any_depth_and_activation_trains),
        cmocka_unit_test(float32_is_near_the_reference),
        cmocka_unit_test(a_new_learning_rate_holds_from_the_next_step),
        cmocka_unit_test(a_resumed_run_equals_an_uninterrupted_one),
        cmocka_unit_test(forward_gives_the_logits),
        cmocka_unit_test(a_fresh_engine_has_zero_parameters),
        cmocka_unit_test(a_trace_shows_the_real_step_in_order),
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(what_tensorflow_refuses_is_one_clear_line),
        cmocka_unit_test(memory_does_not_grow_with_calls),
        /* the last: it changes the environment */
        cmocka_unit_test(what_cannot_be_opened_is_one_clear_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
