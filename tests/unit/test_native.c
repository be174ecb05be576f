/* engine/native: every kind of processor, number type and optimizer against a network written out
 * plainly here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/engine_impl.h"

static const char *const kinds[] = {"portable", "avx2", "avx512"};

/* ---- the reference: one sample, one unit, one weight at a time, in float64 ---- */

struct reference {
    struct network network;
    struct optimizer optimizer;
    struct parameters *values, *gradient;
    struct optimizer_state *state;
};

static double *tensor_of(struct parameters *p, size_t layer, size_t part)
{
    return p->tensors[2 * layer + part].values;
}

static double activation(enum activation type, double z)
{
    switch (type) {
    case ACTIVATION_RELU:
        return z > 0 ? z : 0;
    case ACTIVATION_TANH:
        return tanh(z);
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-z));
    default:
        return z;
    }
}

static double slope(enum activation type, double a)
{
    switch (type) {
    case ACTIVATION_RELU:
        return a > 0 ? 1 : 0;
    case ACTIVATION_TANH:
        return 1 - a * a;
    case ACTIVATION_SIGMOID:
        return a * (1 - a);
    default:
        return 1;
    }
}

/* Fills outputs[0] with the input and outputs[n] with layer n's; returns the sample's loss. */
static double reference_forward(struct reference *r, const uint8_t *pixels, size_t label,
                                double **outputs)
{
    const struct network *net = &r->network;
    for (size_t i = 0; i < network_inputs(net); i++) outputs[0][i] = pixels[i] / 255.0;
    for (size_t n = 0; n < net->layer_count; n++) {
        const struct layer *layer = &net->layers[n];
        for (size_t j = 0; j < layer->outputs; j++) {
            double z = tensor_of(r->values, n, 1)[j];
            for (size_t i = 0; i < layer->inputs; i++)
                z += tensor_of(r->values, n, 0)[j * layer->inputs + i] * outputs[n][i];
            outputs[n + 1][j] = activation(layer->activation, z);
        }
    }
    const double *logits = outputs[net->layer_count];
    double top = logits[0], total = 0;
    for (size_t c = 1; c < network_classes(net); c++) top = fmax(top, logits[c]);
    for (size_t c = 0; c < network_classes(net); c++) total += exp(logits[c] - top);
    return log(total) + top - logits[label];
}

static void reference_backward(struct reference *r, size_t label, double scale, double **outputs)
{
    const struct network *net = &r->network;
    size_t classes = network_classes(net);
    double delta[4096], below[4096], total = 0;
    for (size_t c = 0; c < classes; c++) total += exp(outputs[net->layer_count][c]);
    for (size_t c = 0; c < classes; c++)
        delta[c] = (exp(outputs[net->layer_count][c]) / total - (c == label)) * scale;
    for (size_t n = net->layer_count; n-- > 0;) {
        const struct layer *layer = &net->layers[n];
        memset(below, 0, sizeof below);
        for (size_t j = 0; j < layer->outputs; j++) {
            tensor_of(r->gradient, n, 1)[j] += delta[j];
            for (size_t i = 0; i < layer->inputs; i++) {
                tensor_of(r->gradient, n, 0)[j * layer->inputs + i] += delta[j] * outputs[n][i];
                below[i] += delta[j] * tensor_of(r->values, n, 0)[j * layer->inputs + i];
            }
        }
        if (n == 0) break;
        for (size_t i = 0; i < layer->inputs; i++)
            delta[i] = below[i] * slope(net->layers[n - 1].activation, outputs[n][i]);
    }
}

static void reference_update(struct reference *r)
{
    const struct optimizer *o = &r->optimizer;
    double *w = r->values->values, *g = r->gradient->values, t = (double)++r->state->steps;
    for (size_t i = 0; i < r->values->value_count; i++) {
        double d = g[i] + o->weight_decay * w[i];
        if (o->type == OPTIMIZER_ADAM) {
            double *m = (double *)r->state->slots[0]->values + i,
                   *v = (double *)r->state->slots[1]->values + i;
            *m = o->beta1 * *m + (1 - o->beta1) * d;
            *v = o->beta2 * *v + (1 - o->beta2) * d * d;
            w[i] -= o->learning_rate / (1 - pow(o->beta1, t)) * *m /
                    (sqrt(*v) / sqrt(1 - pow(o->beta2, t)) + o->epsilon);
        } else {
            if (o->momentum > 0) {
                double *v = (double *)r->state->slots[0]->values + i;
                d = *v = o->momentum * *v + d;
            }
            w[i] -= o->learning_rate * d;
        }
    }
}

/* One step over order[0 … count); returns the mean loss. */
static double reference_step(struct reference *r, const struct split *split, const uint32_t *order,
                             size_t count)
{
    const struct network *net = &r->network;
    double *outputs[NETWORK_MAX_LAYERS + 1], loss = 0;
    for (size_t n = 0; n <= net->layer_count; n++) {
        outputs[n] = calloc(n ? net->layers[n - 1].outputs : network_inputs(net), sizeof **outputs);
        assert_non_null(outputs[n]);
    }
    memset(r->gradient->values, 0, r->gradient->value_count * sizeof(double));
    for (size_t s = 0; s < count; s++) {
        loss += reference_forward(r, split->pixels + order[s] * network_inputs(net),
                                  split->labels[order[s]], outputs);
        reference_backward(r, split->labels[order[s]], 1.0 / (double)count, outputs);
    }
    reference_update(r);
    for (size_t n = 0; n <= net->layer_count; n++) free(outputs[n]);
    return loss / (double)count;
}

/* ---- cases ---- */

struct setting {
    const char *label;
    uint32_t rows, columns, hidden[3], depth, classes;
    enum activation activation;
    uint32_t samples, batch;
    double share; /* of pixels that are not zero */
};

static const struct setting settings[] = {
    {"the usual shape", 28, 28, {128}, 1, 10, ACTIVATION_RELU, 200, 32, 0.19},
    {"dense pixels", 9, 7, {40}, 1, 10, ACTIVATION_RELU, 100, 16, 0.95},
    {"odd sizes", 5, 3, {7}, 1, 3, ACTIVATION_RELU, 23, 4, 0.4},
    {"no hidden layer", 6, 6, {0}, 0, 4, ACTIVATION_RELU, 30, 8, 0.3},
    {"no hidden layer, dense", 6, 6, {0}, 0, 4, ACTIVATION_RELU, 30, 8, 0.9},
    {"a row of pixels, batch of one", 1, 11, {5}, 1, 2, ACTIVATION_TANH, 9, 1, 0.5},
    {"deep tanh", 6, 5, {33, 18}, 2, 5, ACTIVATION_TANH, 50, 13, 0.3},
    {"deep sigmoid, dense", 6, 5, {17, 70, 9}, 3, 30, ACTIVATION_SIGMOID, 41, 10, 0.8},
    {"wide, many classes", 4, 4, {300}, 1, 200, ACTIVATION_RELU, 30, 30, 0.2},
    {"one batch of everything, over a block", 6, 6, {20}, 1, 10, ACTIVATION_RELU, 150, 1000, 0.3},
    {"blank pictures", 4, 4, {8}, 1, 3, ACTIVATION_SIGMOID, 12, 5, 0.0},
};
#define SETTING_COUNT (sizeof settings / sizeof settings[0])

#define SGD .type = OPTIMIZER_SGD, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8

static const struct optimizer optimizers[] = {
    {SGD, .learning_rate = 0.1},
    {SGD, .learning_rate = 0.1, .weight_decay = 0.01},
    {SGD, .learning_rate = 0.05, .momentum = 0.9, .weight_decay = 0.001},
    {.type = OPTIMIZER_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    {.type = OPTIMIZER_ADAM,
     .learning_rate = 0.01,
     .beta1 = 0.8,
     .beta2 = 0.99,
     .epsilon = 1e-6,
     .weight_decay = 0.01},
};
#define OPTIMIZER_COUNT (sizeof optimizers / sizeof optimizers[0])

struct fixture {
    struct network network;
    struct split split;
    uint32_t *order;
    struct parameters *initial; /* float64 */
};

static void fixture_open(struct fixture *f, const struct setting *s)
{
    struct error error;
    struct rng rng;
    assert_int_equal(network_build(&f->network, s->rows, s->columns, s->hidden, s->depth,
                                   s->activation, s->classes, &error),
                     0);
    size_t inputs = network_inputs(&f->network);
    f->split.count = s->samples;
    f->split.pixels = calloc(s->samples, inputs);
    f->split.labels = calloc(s->samples, 1);
    f->order = calloc(s->samples, sizeof *f->order);
    assert_true(f->split.pixels && f->split.labels && f->order);
    rng_seed(&rng, 5, RNG_TEST, 0);
    for (size_t i = 0; i < s->samples * inputs; i++)
        if (rng_uniform(&rng) < s->share) f->split.pixels[i] = (uint8_t)(1 + rng_below(&rng, 255));
    memset(f->split.pixels, 0, inputs); /* one picture is blank */
    for (size_t i = 0; i < s->samples; i++)
        f->split.labels[i] = (uint8_t)rng_below(&rng, s->classes);
    rng_permutation(&rng, f->order, s->samples);
    assert_int_equal(parameters_create(&f->network, DTYPE_FLOAT64, &f->initial, &error), 0);
    parameters_draw(f->initial, &f->network, INIT_TORCH, 11);
}

static void fixture_close(struct fixture *f)
{
    free(f->split.pixels);
    free(f->split.labels);
    free(f->order);
    parameters_destroy(f->initial);
}

static struct engine *engine_for(const struct fixture *f, const struct optimizer *optimizer,
                                 enum dtype dtype, uint32_t batch, uint32_t threads)
{
    struct error error = {0};
    struct engine *engine;
    struct parameters *start;
    struct engine_config config = {.network = f->network,
                                   .dtype = dtype,
                                   .optimizer = *optimizer,
                                   .batch_size = batch,
                                   .threads = threads};
    if (engine_native.open(&config, &engine, &error)) fail_msg("%s", error.message);
    assert_int_equal(engine->ops->attach(engine, &f->split, &error), 0);
    assert_int_equal(parameters_convert(f->initial, &f->network, dtype, &start, &error), 0);
    assert_int_equal(engine->ops->set_parameters(engine, start, &error), 0);
    parameters_destroy(start);
    return engine;
}

static struct parameters *parameters_of(struct engine *engine, const struct fixture *f,
                                        enum dtype dtype)
{
    struct error error;
    struct parameters *out;
    assert_int_equal(parameters_create(&f->network, dtype, &out, &error), 0);
    assert_int_equal(engine->ops->get_parameters(engine, out, &error), 0);
    return out;
}

static void same_bits(const struct parameters *a, const struct parameters *b)
{
    assert_int_equal(a->value_count, b->value_count);
    assert_memory_equal(a->values, b->values, a->value_count * dtype_size(a->dtype));
}

/* ---- tests ---- */

#define EPOCHS 2

static void compare_with_reference(const struct setting *s, const struct optimizer *optimizer,
                                   enum dtype dtype, const char *kind)
{
    struct error error = {0};
    struct fixture f;
    fixture_open(&f, s);
    struct reference r = {.network = f.network, .optimizer = *optimizer};
    assert_int_equal(parameters_convert(f.initial, &f.network, DTYPE_FLOAT64, &r.values, &error),
                     0);
    assert_int_equal(parameters_create(&f.network, DTYPE_FLOAT64, &r.gradient, &error), 0);
    assert_int_equal(optimizer_state_create(optimizer, &f.network, DTYPE_FLOAT64, &r.state, &error),
                     0);
    setenv("NNSTUDIO_NATIVE_CPU", kind, 1);
    struct engine *engine = engine_for(&f, optimizer, dtype, s->batch, 2);
    double bound = dtype == DTYPE_FLOAT64 ? 1e-12 : 2e-4;
    size_t steps = (s->samples + s->batch - 1) / s->batch;
    double *losses = calloc(steps, sizeof *losses);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        assert_int_equal(engine->ops->train(engine, f.order, s->samples, losses, NULL, &error), 0);
        for (size_t step = 0, done = 0; step < steps; step++, done += s->batch) {
            size_t count = s->samples - done < s->batch ? s->samples - done : s->batch;
            double expected = reference_step(&r, &f.split, f.order + done, count);
            if (!(fabs(losses[step] - expected) <= bound))
                fail_msg("%s, %s, %s, %s: loss of step %zu is %.15g, not %.15g", s->label, kind,
                         dtype_name(dtype), optimizer_type_name(optimizer->type), step,
                         losses[step], expected);
        }
    }
    free(losses);
    struct parameters *result = parameters_of(engine, &f, dtype);
    /* Adam divides by the root of what may be rounding alone, so float32 weights may part by a
     * step's size. */
    if (dtype == DTYPE_FLOAT64 || optimizer->type == OPTIMIZER_SGD)
        for (size_t i = 0; i < result->value_count; i++) {
            double value = dtype == DTYPE_FLOAT64 ? ((double *)result->values)[i]
                                                  : (double)((float *)result->values)[i];
            if (!(fabs(value - ((double *)r.values->values)[i]) <= bound * 10))
                fail_msg("%s, %s, %s: parameter %zu is %.15g, not %.15g", s->label, kind,
                         dtype_name(dtype), i, value, ((double *)r.values->values)[i]);
        }
    parameters_destroy(result);
    engine->ops->close(engine);
    parameters_destroy(r.values);
    parameters_destroy(r.gradient);
    optimizer_state_destroy(r.state);
    fixture_close(&f);
}

static void training_agrees_with_the_reference(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < SETTING_COUNT; i++)
            for (size_t o = 0; o < OPTIMIZER_COUNT; o++)
                for (int dtype = DTYPE_FLOAT32; dtype <= DTYPE_FLOAT64; dtype++)
                    compare_with_reference(&settings[i], &optimizers[o], (enum dtype)dtype,
                                           kinds[k]);
    unsetenv("NNSTUDIO_NATIVE_CPU");
}

static void results_do_not_depend_on_the_threads(void **state)
{
    (void)state;
    struct error error;
    for (size_t i = 0; i < SETTING_COUNT; i++)
        for (int dtype = DTYPE_FLOAT32; dtype <= DTYPE_FLOAT64; dtype++) {
            struct fixture f;
            fixture_open(&f, &settings[i]);
            struct parameters *first = NULL;
            double losses[2][64];
            for (uint32_t threads = 1; threads <= 5; threads += 2) {
                struct engine *engine = engine_for(&f, &optimizers[2], (enum dtype)dtype,
                                                   settings[i].batch, threads);
                size_t which = first != NULL;
                memset(losses[which], 0, sizeof losses[which]);
                /* Often enough that the engine also tries with half of its workers. */
                for (int epoch = 0; epoch < 12; epoch++)
                    assert_int_equal(engine->ops->train(engine, f.order, settings[i].samples,
                                                        losses[which], NULL, &error),
                                     0);
                struct parameters *result = parameters_of(engine, &f, (enum dtype)dtype);
                engine->ops->close(engine);
                if (!first) {
                    first = result;
                    continue;
                }
                assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
                same_bits(first, result);
                parameters_destroy(result);
            }
            parameters_destroy(first);
            fixture_close(&f);
        }
}

/* Half the steps, everything out and into a new engine, the other half: the bits of one run. */
static void a_resumed_run_gives_the_same_bits(void **state)
{
    (void)state;
    struct error error;
    const struct setting *s = &settings[6];
    for (size_t o = 0; o < OPTIMIZER_COUNT; o++)
        for (int d = DTYPE_FLOAT32; d <= DTYPE_FLOAT64; d++) {
            enum dtype dtype = (enum dtype)d;
            struct fixture f;
            fixture_open(&f, s);
            double whole[16] = {0}, halves[16] = {0};
            size_t half = 2 * s->batch;
            struct engine *engine = engine_for(&f, &optimizers[o], dtype, s->batch, 2);
            assert_int_equal(engine->ops->train(engine, f.order, s->samples, whole, NULL, &error),
                             0);
            struct parameters *expected = parameters_of(engine, &f, dtype);
            engine->ops->close(engine);

            engine = engine_for(&f, &optimizers[o], dtype, s->batch, 2);
            assert_int_equal(engine->ops->train(engine, f.order, half, halves, NULL, &error), 0);
            struct parameters *middle = parameters_of(engine, &f, dtype);
            struct optimizer_state *slots;
            assert_int_equal(
                optimizer_state_create(&optimizers[o], &f.network, dtype, &slots, &error), 0);
            assert_int_equal(engine->ops->get_optimizer_state(engine, slots, &error), 0);
            assert_int_equal(slots->steps, 2);
            engine->ops->close(engine);

            engine = engine_for(&f, &optimizers[o], dtype, s->batch, 1);
            assert_int_equal(engine->ops->set_parameters(engine, middle, &error), 0);
            assert_int_equal(engine->ops->set_optimizer_state(engine, slots, &error), 0);
            assert_int_equal(engine->ops->train(engine, f.order + half, s->samples - half,
                                                halves + 2, NULL, &error),
                             0);
            struct parameters *result = parameters_of(engine, &f, dtype);
            assert_memory_equal(whole, halves, sizeof whole);
            same_bits(expected, result);
            engine->ops->close(engine);
            parameters_destroy(expected);
            parameters_destroy(middle);
            parameters_destroy(result);
            optimizer_state_destroy(slots);
            fixture_close(&f);
        }
}

/* ---- trace ---- */

struct collected {
    const struct network *network;
    char names[128][64];
    double *values[128];
    size_t sizes[128];
    size_t count;
};

static int collect(void *context, const char *name, const size_t *shape, uint32_t rank,
                   const double *values)
{
    struct collected *c = context;
    size_t size = 1;
    for (uint32_t i = 0; i < rank; i++) size *= shape[i];
    snprintf(c->names[c->count], sizeof c->names[0], "%s", name);
    c->values[c->count] = malloc(size * sizeof(double));
    memcpy(c->values[c->count], values, size * sizeof(double));
    c->sizes[c->count++] = size;
    return 0;
}

static const double *collected_get(const struct collected *c, const char *name, size_t *size)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->names[i], name) == 0) {
            *size = c->sizes[i];
            return c->values[i];
        }
    fail_msg("the trace has no %s", name);
    return NULL;
}

static double mean_loss(struct engine *engine, const struct fixture *f, const uint32_t *order,
                        size_t count)
{
    struct error error;
    size_t inputs = network_inputs(&f->network), classes = network_classes(&f->network);
    uint8_t *pixels = calloc(count, inputs);
    double *logits = calloc(count * classes, sizeof *logits), total = 0;
    for (size_t s = 0; s < count; s++)
        memcpy(pixels + s * inputs, f->split.pixels + order[s] * inputs, inputs);
    assert_int_equal(engine->ops->forward(engine, pixels, count, logits, &error), 0);
    for (size_t s = 0; s < count; s++) {
        double sum = 0;
        for (size_t c = 0; c < classes; c++) sum += exp(logits[s * classes + c]);
        total += log(sum) - logits[s * classes + f->split.labels[order[s]]];
    }
    free(pixels);
    free(logits);
    return total / (double)count;
}

/* The slope of the loss along every parameter, by central differences of forward(), is the trace's
 * gradient. */
static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    struct error error;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *s = &settings[i];
        struct fixture f;
        fixture_open(&f, s);
        size_t count = s->batch < s->samples ? s->batch : s->samples;
        struct engine *engine = engine_for(&f, &optimizers[1], DTYPE_FLOAT64, s->batch, 2);
        struct collected c = {.network = &f.network};
        assert_int_equal(engine->ops->trace(engine, f.order, count, collect, &c, &error), 0);
        struct parameters *values;
        assert_int_equal(parameters_convert(f.initial, &f.network, DTYPE_FLOAT64, &values, &error),
                         0);
        struct rng rng;
        rng_seed(&rng, 1, RNG_TEST, i);
        for (size_t t = 0; t < values->tensor_count; t++) {
            char name[64];
            size_t size = 0;
            snprintf(name, sizeof name, "grad/%s", values->tensors[t].name);
            const double *gradient = collected_get(&c, name, &size);
            assert_int_equal(size, values->tensors[t].count);
            double *w = values->tensors[t].values;
            for (int probe = 0; probe < 12; probe++) {
                size_t at = rng_below(&rng, size);
                double kept = w[at], h = 1e-5;
                w[at] = kept + h;
                engine->ops->set_parameters(engine, values, &error);
                double above = mean_loss(engine, &f, f.order, count);
                w[at] = kept - h;
                engine->ops->set_parameters(engine, values, &error);
                double slope_here = (above - mean_loss(engine, &f, f.order, count)) / (2 * h);
                w[at] = kept;
                if (!(fabs(slope_here - gradient[at]) < 1e-7 + 1e-5 * fabs(slope_here)))
                    fail_msg("%s: d(loss)/d(%s[%zu]) is %.10g, not %.10g", s->label,
                             values->tensors[t].name, at, gradient[at], slope_here);
            }
        }
        for (size_t k = 0; k < c.count; k++) free(c.values[k]);
        parameters_destroy(values);
        engine->ops->close(engine);
        fixture_close(&f);
    }
}

static void a_traced_step_is_a_step(void **state)
{
    (void)state;
    struct error error;
    for (size_t i = 0; i < SETTING_COUNT; i++)
        for (size_t o = 0; o < OPTIMIZER_COUNT; o++) {
            const struct setting *s = &settings[i];
            struct fixture f;
            fixture_open(&f, s);
            size_t count = s->batch < s->samples ? s->batch : s->samples, size = 0;
            double loss[2];
            struct engine *plain = engine_for(&f, &optimizers[o], DTYPE_FLOAT32, s->batch, 2);
            struct engine *traced = engine_for(&f, &optimizers[o], DTYPE_FLOAT32, s->batch, 2);
            struct collected c = {.network = &f.network};
            assert_int_equal(plain->ops->train(plain, f.order, count, &loss[0], NULL, &error), 0);
            assert_int_equal(traced->ops->trace(traced, f.order, count, collect, &c, &error), 0);
            assert_int_equal(plain->ops->train(plain, f.order, count, &loss[0], NULL, &error), 0);
            assert_int_equal(traced->ops->train(traced, f.order, count, &loss[1], NULL, &error), 0);
            assert_true(loss[0] == loss[1]);
            struct parameters *a = parameters_of(plain, &f, DTYPE_FLOAT32),
                              *b = parameters_of(traced, &f, DTYPE_FLOAT32);
            same_bits(a, b);
            assert_int_equal(c.count, 1 + 2 * s->depth + 3 + 4 * f.network.layer_count);
            assert_string_equal(c.names[0], "input");
            const double *probabilities = collected_get(&c, "probabilities", &size);
            assert_int_equal(size, count * s->classes);
            for (size_t m = 0; m < count; m++) {
                double total = 0;
                for (size_t k = 0; k < s->classes; k++) total += probabilities[m * s->classes + k];
                assert_true(fabs(total - 1) < 1e-5);
            }
            for (size_t k = 0; k < c.count; k++) free(c.values[k]);
            parameters_destroy(a);
            parameters_destroy(b);
            plain->ops->close(plain);
            traced->ops->close(traced);
            fixture_close(&f);
        }
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    struct error error;
    struct fixture f;
    struct engine *engine;
    fixture_open(&f, &settings[2]);
    struct engine_config config = {
        .network = f.network, .optimizer = optimizers[0], .batch_size = 0, .threads = 1};
    assert_int_equal(engine_native.open(&config, &engine, &error), -1);
    config.batch_size = 4;
    config.threads = 0;
    assert_int_equal(engine_native.open(&config, &engine, &error), -1);
    config.threads = 1;
    config.device = "cuda:0";
    assert_int_equal(engine_native.open(&config, &engine, &error), -1);
    assert_string_equal(error.message, "the native engine has no device \"cuda:0\": use cpu");
    config.device = NULL;
    assert_int_equal(engine_native.open(&config, &engine, &error), 0);
    double loss;
    assert_int_equal(engine->ops->train(engine, f.order, 1, &loss, NULL, &error), -1);
    f.split.labels[5] = 3;
    assert_int_equal(engine->ops->attach(engine, &f.split, &error), -1);
    assert_int_equal(engine->ops->set_learning_rate(engine, -1, &error), -1);
    struct parameters *wrong;
    assert_int_equal(parameters_create(&f.network, DTYPE_FLOAT64, &wrong, &error), 0);
    assert_int_equal(engine->ops->set_parameters(engine, wrong, &error), -1);
    parameters_destroy(wrong);
    engine->ops->close(engine);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_agrees_with_the_reference),
        cmocka_unit_test(results_do_not_depend_on_the_threads),
        cmocka_unit_test(a_resumed_run_gives_the_same_bits),
        cmocka_unit_test(gradients_agree_with_finite_differences),
        cmocka_unit_test(a_traced_step_is_a_step),
        cmocka_unit_test(bad_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
