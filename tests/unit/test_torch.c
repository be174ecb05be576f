/* engine/torch against a plain C reference in double: losses, gradients, optimizers, state,
 * errors. What needs PyTorch
 * itself is skipped where it is not installed. */
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
#include "base/file.h"
#include "base/rng.h"
#include "engine/engine.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

enum {
    ROWS = 6,
    COLUMNS = 7,
    INPUTS = ROWS * COLUMNS,
    CLASSES = 5,
    SAMPLES = 70,
    BATCH = 16,
    MAX_WIDTH = 64
};
#define STEPS ((SAMPLES + BATCH - 1) / BATCH) /* the last batch has 6 samples */

static uint8_t pixels[SAMPLES * INPUTS], labels[SAMPLES];
static uint32_t order[SAMPLES];
static struct split split = {.count = SAMPLES, .pixels = pixels, .labels = labels};

static void draw_samples(void)
{
    struct rng rng;
    rng_seed(&rng, 7, RNG_TEST, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = rng_below(&rng, 3) ? 0 : (uint8_t)rng_below(&rng, 256);
    for (size_t i = 0; i < SAMPLES; i++) labels[i] = (uint8_t)rng_below(&rng, CLASSES);
    rng_permutation(&rng, order, SAMPLES);
}

/* ---- the reference --------------------------------------------------------------------------- */

struct reference {
    struct network network;
    struct optimizer optimizer;
    struct parameters *weights, *gradients, *slots[2];
    uint64_t steps;
    double loss;
    uint32_t correct;
};

static double *values_of(struct parameters *parameters, uint32_t layer, bool bias)
{
    return parameters->tensors[2 * layer + bias].values;
}

static double activate(enum activation activation, double z)
{
    switch (activation) {
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

/* d activation / d z, from the activation's value. */
static double slope(enum activation activation, double a)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return a > 0;
    case ACTIVATION_TANH:
        return 1 - a * a;
    case ACTIVATION_SIGMOID:
        return a * (1 - a);
    default:
        return 1;
    }
}

static void reference_logits(struct reference *r, const uint8_t *picture,
                             double a[NETWORK_MAX_LAYERS + 1][MAX_WIDTH])
{
    for (size_t i = 0; i < INPUTS; i++) a[0][i] = picture[i] / 255.0;
    for (uint32_t l = 0; l < r->network.layer_count; l++) {
        const struct layer *layer = &r->network.layers[l];
        const double *w = values_of(r->weights, l, false), *b = values_of(r->weights, l, true);
        for (uint32_t o = 0; o < layer->outputs; o++) {
            double z = b[o];
            for (uint32_t i = 0; i < layer->inputs; i++) z += w[o * layer->inputs + i] * a[l][i];
            a[l + 1][o] = activate(layer->activation, z);
        }
    }
}

/* Adds one sample's part of the batch's mean loss and gradient. */
static void reference_sample(struct reference *r, uint32_t sample, double share)
{
    double a[NETWORK_MAX_LAYERS + 1][MAX_WIDTH], delta[MAX_WIDTH], below[MAX_WIDTH];
    uint32_t last = r->network.layer_count;
    reference_logits(r, pixels + sample * INPUTS, a);
    double *logits = a[last], most = logits[0], sum = 0;
    uint32_t best = 0;
    for (uint32_t k = 1; k < CLASSES; k++)
        if (logits[k] > logits[best]) best = k;
    most = logits[best];
    for (uint32_t k = 0; k < CLASSES; k++) sum += exp(logits[k] - most);
    r->loss += share * (log(sum) + most - logits[labels[sample]]);
    r->correct += best == labels[sample];
    for (uint32_t k = 0; k < CLASSES; k++)
        delta[k] = share * (exp(logits[k] - most) / sum - (k == labels[sample]));
    for (uint32_t l = last; l-- > 0;) {
        const struct layer *layer = &r->network.layers[l];
        const double *w = values_of(r->weights, l, false);
        double *gw = values_of(r->gradients, l, false), *gb = values_of(r->gradients, l, true);
        memset(below, 0, sizeof below);
        for (uint32_t o = 0; o < layer->outputs; o++) {
            gb[o] += delta[o];
            for (uint32_t i = 0; i < layer->inputs; i++) {
                gw[o * layer->inputs + i] += delta[o] * a[l][i];
                below[i] += delta[o] * w[o * layer->inputs + i];
            }
        }
        if (l == 0) break;
        for (uint32_t i = 0; i < layer->inputs; i++)
            delta[i] = below[i] * slope(r->network.layers[l - 1].activation, a[l][i]);
    }
}

static void reference_gradient(struct reference *r, const uint32_t *batch, size_t count)
{
    r->loss = 0;
    r->correct = 0;
    memset(r->gradients->values, 0, r->gradients->value_count * sizeof(double));
    for (size_t i = 0; i < count; i++) reference_sample(r, batch[i], 1.0 / (double)count);
}

static void reference_update(struct reference *r)
{
    const struct optimizer *o = &r->optimizer;
    double *w = r->weights->values, *g = r->gradients->values;
    double *first = r->slots[0]->values, *second = r->slots[1]->values;
    double t = (double)++r->steps;
    for (size_t i = 0; i < r->weights->value_count; i++) {
        double d = g[i] + o->weight_decay * w[i];
        if (o->type == OPTIMIZER_SGD) {
            first[i] = o->momentum * first[i] + d;
            w[i] -= o->learning_rate * first[i];
        } else {
            first[i] = o->beta1 * first[i] + (1 - o->beta1) * d;
            second[i] = o->beta2 * second[i] + (1 - o->beta2) * d * d;
            w[i] -= o->learning_rate / (1 - pow(o->beta1, t)) * first[i] /
                    (sqrt(second[i]) / sqrt(1 - pow(o->beta2, t)) + o->epsilon);
        }
    }
}

static void reference_step(struct reference *r, const uint32_t *batch, size_t count)
{
    reference_gradient(r, batch, count);
    reference_update(r);
}

/* ---- one trial: an engine and a reference that begin with the same numbers ------------------- */

struct trial {
    struct engine_config config;
    struct engine *engine;
    const struct engine_ops *ops;
    struct reference reference;
    struct parameters *weights; /* the engine's, when read */
    struct error error;
};

static void succeed(struct trial *t, int result)
{
    if (result) fail_msg("%s", t->error.message);
}

static struct engine_config make_config(enum activation activation, uint32_t depth,
                                        const char *optimizer)
{
    struct engine_config config = {.dtype = DTYPE_FLOAT64, .batch_size = BATCH, .threads = 1};
    struct error error;
    const uint32_t hidden[] = {12, 9, 11};
    assert_int_equal(
        network_build(&config.network, ROWS, COLUMNS, hidden, depth, activation, CLASSES, &error),
        0);
    assert_int_equal(optimizer_init(&config.optimizer, optimizer, &error), 0);
    config.optimizer.learning_rate = strcmp(optimizer, "sgd") == 0 ? 0.1 : 0.003;
    return config;
}

static void trial_open(struct trial *t, struct engine_config config)
{
    *t = (struct trial){.config = config, .ops = engine_find("torch")};
    struct reference *r = &t->reference;
    r->network = config.network;
    r->optimizer = config.optimizer;
    struct parameters **blocks[] = {&r->weights, &r->gradients, &r->slots[0], &r->slots[1]};
    for (size_t i = 0; i < 4; i++)
        succeed(t, parameters_create(&config.network, DTYPE_FLOAT64, blocks[i], &t->error));
    parameters_draw(r->weights, &config.network, INIT_TORCH, 42);
    succeed(t,
            parameters_convert(r->weights, &config.network, config.dtype, &t->weights, &t->error));
    succeed(t, t->ops->open(&config, &t->engine, &t->error));
    succeed(t, t->ops->attach(t->engine, &split, &t->error));
    succeed(t, t->ops->set_parameters(t->engine, t->weights, &t->error));
}

static void trial_close(struct trial *t)
{
    t->ops->close(t->engine);
    struct parameters *blocks[] = {t->reference.weights, t->reference.gradients,
                                   t->reference.slots[0], t->reference.slots[1], t->weights};
    for (size_t i = 0; i < 5; i++) parameters_destroy(blocks[i]);
}

static void assert_close(double a, double b, double tolerance, const char *what)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%s: %.17g and %.17g differ by %.3g", what, a, b, fabs(a - b));
}

static void assert_weights_close(struct trial *t, double tolerance)
{
    succeed(t, t->ops->get_parameters(t->engine, t->weights, &t->error));
    for (size_t k = 0; k < t->weights->tensor_count; k++)
        for (size_t i = 0; i < t->weights->tensors[k].count; i++)
            assert_close(tensor_get(t->weights, &t->weights->tensors[k], i),
                         tensor_get(t->reference.weights, &t->reference.weights->tensors[k], i),
                         tolerance, t->weights->tensors[k].name);
}

/* Velocities, or means and squares: each where the studio keeps it, however PyTorch's tensors lie.
 */
static void assert_state_close(struct trial *t, double tolerance)
{
    struct optimizer_state *state;
    succeed(t, optimizer_state_create(&t->config.optimizer, &t->config.network, t->config.dtype,
                                      &state, &t->error));
    succeed(t, t->ops->get_optimizer_state(t->engine, state, &t->error));
    assert_int_equal(state->steps, t->reference.steps);
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        for (size_t k = 0; k < state->slots[slot]->tensor_count; k++)
            for (size_t i = 0; i < state->slots[slot]->tensors[k].count; i++)
                assert_close(
                    tensor_get(state->slots[slot], &state->slots[slot]->tensors[k], i),
                    tensor_get(t->reference.slots[slot], &t->reference.slots[slot]->tensors[k], i),
                    tolerance, "the optimizer's state");
    optimizer_state_destroy(state);
}

/* Two epochs of both; losses, hits, weights and the optimizer's state must agree. */
static void compare_training(struct engine_config config, double tolerance)
{
    struct trial t;
    trial_open(&t, config);
    for (int epoch = 0; epoch < 2; epoch++) {
        double losses[STEPS];
        uint32_t correct[STEPS];
        succeed(&t, t.ops->train(t.engine, order, SAMPLES, losses, correct, &t.error));
        for (size_t step = 0; step < STEPS; step++) {
            size_t begin = step * BATCH, size = SAMPLES - begin < BATCH ? SAMPLES - begin : BATCH;
            reference_step(&t.reference, order + begin, size);
            assert_close(losses[step], t.reference.loss, tolerance, "loss");
            if (config.dtype == DTYPE_FLOAT64) assert_int_equal(correct[step], t.reference.correct);
        }
    }
    assert_weights_close(&t, tolerance);
    assert_state_close(&t, tolerance);
    trial_close(&t);
}

/* Points the engine at another library, until restore(): the person's own choice must come back. */
static char *chosen;

static void point_at(const char *path)
{
    const char *now = getenv("NNSTUDIO_TORCH_LIB");
    chosen = now ? strdup(now) : NULL;
    setenv("NNSTUDIO_TORCH_LIB", path, 1);
}

static void restore(void)
{
    if (chosen)
        setenv("NNSTUDIO_TORCH_LIB", chosen, 1);
    else
        unsetenv("NNSTUDIO_TORCH_LIB");
    free(chosen);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void need_torch(void)
{
    struct engine_probe probe;
    engine_find("torch")->probe(&probe);
    if (probe.found) return;
    print_message("skipped: %s\n", probe.missing);
    skip();
}

static void a_missing_library_is_told_in_one_line(void **state)
{
    (void)state;
    struct engine_probe probe;
    point_at("/nonexistent");
    engine_find("torch")->probe(&probe);
    assert_false(probe.found);
    assert_non_null(strstr(probe.missing, "NNSTUDIO_TORCH_LIB"));
    struct engine_config config = make_config(ACTIVATION_RELU, 1, "sgd");
    struct engine *engine;
    struct error error;
    assert_int_equal(engine_find("torch")->open(&config, &engine, &error), -1);
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    restore();
}

static void a_library_that_is_no_pytorch_is_refused(void **state)
{
    (void)state;
    struct engine_config config = make_config(ACTIVATION_RELU, 1, "sgd");
    struct engine *engine;
    struct error error;
    point_at("/proc/self/exe");
    assert_int_equal(engine_find("torch")->open(&config, &engine, &error), -1);
    assert_non_null(strstr(error.message, "PyTorch"));
    assert_null(strchr(error.message, '\n'));
    restore();
}

static void a_library_without_the_stable_abi_is_refused(void **state)
{
    (void)state;
    struct engine_config config = make_config(ACTIVATION_RELU, 1, "sgd");
    struct engine *engine;
    struct error error;
    Dl_info other; /* some shared library that is there */
    assert_true(dladdr((void *)(uintptr_t)_cmocka_run_group_tests, &other) != 0);
    point_at(other.dli_fname);
    assert_int_equal(engine_find("torch")->open(&config, &engine, &error), -1);
    assert_non_null(strstr(error.message, "lacks aoti_torch_abi_version: versions 2.10 to"));
    restore();
}

/* A site-packages of empty files is enough for probe(), which loads nothing. */
static void probe_tells_version_and_build(void **state)
{
    (void)state;
    static const char *const files[] = {"torch/lib/libtorch_cpu.so",
                                        "torch-2.9.1+cu128.dist-info/METADATA"};
    char root[] = "/tmp/nnstudio-torch-XXXXXX", path[256];
    struct error error;
    struct engine_probe probe;
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        *strrchr(path, '/') = '\0';
        assert_int_equal(file_make_directories(path, &error), 0);
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        assert_int_equal(file_write(path, "", 0, &error), 0);
    }
    point_at(root);
    engine_find("torch")->probe(&probe);
    assert_false(probe.found);
    assert_string_equal(probe.version, "2.9.1");
    assert_non_null(strstr(probe.missing, "2.9.1 is too old: version 2.10"));

    char newer[256];
    snprintf(path, sizeof path, "%s/torch-2.9.1+cu128.dist-info", root);
    snprintf(newer, sizeof newer, "%s/torch-2.12.0.dist-info", root);
    assert_int_equal(rename(path, newer), 0);
    snprintf(path, sizeof path, "%s/torch/lib/libtorch_cuda.so", root);
    assert_int_equal(file_write(path, "", 0, &error), 0);
    engine_find("torch")->probe(&probe);
    assert_true(probe.found);
    assert_string_equal(probe.version, "2.12.0");
    assert_string_equal(probe.detail, "stable ABI, CUDA build");
    assert_string_equal(probe.devices[0], "cpu");
    restore();
    assert_int_equal(file_remove_tree(root, &error), 0);
}

static void a_device_that_is_not_offered_is_refused(void **state)
{
    (void)state;
    need_torch();
    struct engine_config config = make_config(ACTIVATION_RELU, 1, "sgd");
    struct engine *engine;
    struct error error;
    config.device = "cuda:77";
    assert_int_equal(engine_find("torch")->open(&config, &engine, &error), -1);
    assert_non_null(strstr(error.message, "\"cuda:77\""));
}

static void sgd_matches_the_reference(void **state)
{
    (void)state;
    need_torch();
    for (enum activation activation = ACTIVATION_RELU; activation <= ACTIVATION_SIGMOID;
         activation++) {
        struct engine_config config = make_config(activation, 2, "sgd");
        compare_training(config, 1e-12);
        config.optimizer.weight_decay = 0.01;
        compare_training(config, 1e-12);
        config.optimizer.momentum = 0.9;
        compare_training(config, 1e-12);
    }
}

static void adam_matches_the_reference(void **state)
{
    (void)state;
    need_torch();
    struct engine_config config = make_config(ACTIVATION_TANH, 1, "adam");
    compare_training(config, 1e-12);
    config.optimizer.weight_decay = 0.02;
    config.optimizer.beta1 = 0.8;
    config.optimizer.beta2 = 0.99;
    config.optimizer.epsilon = 1e-3;
    compare_training(config, 1e-12);
}

static void any_depth_trains(void **state)
{
    (void)state;
    need_torch();
    for (uint32_t depth = 0; depth <= 3; depth++)
        compare_training(make_config(ACTIVATION_RELU, depth, "sgd"), 1e-12);
}

/* Matrices of one row or one column, of which strides alone do not say how they lie. */
static void the_narrowest_networks_train(void **state)
{
    (void)state;
    need_torch();
    static const char *const optimizers[] = {"sgd", "adam"};
    for (size_t i = 0; i < 4; i++) {
        struct engine_config config = make_config(ACTIVATION_TANH, 1, optimizers[i % 2]);
        const uint32_t hidden[] = {1, 7};
        struct error error;
        assert_int_equal(network_build(&config.network, ROWS, COLUMNS, hidden, i < 2 ? 1 : 2,
                                       ACTIVATION_TANH, CLASSES, &error),
                         0);
        config.optimizer.momentum = i % 2 == 0 ? 0.9 : 0;
        compare_training(config, 1e-12);
    }
}

/* Pictures of one pixel: the first weight is a column. The reference has no such pictures; the
 * native engine does. */
static void pictures_of_one_pixel_train(void **state)
{
    (void)state;
    need_torch();
    static const char *const names[] = {"torch", "native"};
    double losses[2][STEPS];
    for (size_t i = 0; i < 2; i++) {
        struct engine_config config = make_config(ACTIVATION_TANH, 1, "sgd");
        const uint32_t hidden[] = {9};
        const struct engine_ops *ops = engine_find(names[i]);
        struct engine *engine;
        struct parameters *start;
        struct error error;
        config.optimizer.momentum = 0.9;
        assert_int_equal(
            network_build(&config.network, 1, 1, hidden, 1, ACTIVATION_TANH, CLASSES, &error), 0);
        assert_int_equal(parameters_create(&config.network, DTYPE_FLOAT64, &start, &error), 0);
        parameters_draw(start, &config.network, INIT_TORCH, 5);
        assert_int_equal(ops->open(&config, &engine, &error), 0);
        assert_int_equal(ops->attach(engine, &split, &error), 0);
        assert_int_equal(ops->set_parameters(engine, start, &error), 0);
        assert_int_equal(ops->train(engine, order, SAMPLES, losses[i], NULL, &error), 0);
        ops->close(engine);
        parameters_destroy(start);
    }
    for (size_t step = 0; step < STEPS; step++)
        assert_close(losses[0][step], losses[1][step], 1e-12, "loss");
}

static void float32_is_near_the_reference(void **state)
{
    (void)state;
    need_torch();
    struct engine_config config = make_config(ACTIVATION_TANH, 2, "sgd");
    config.dtype = DTYPE_FLOAT32;
    compare_training(config, 1e-5);
    config.optimizer.momentum = 0.9;
    compare_training(config, 1e-5);
    config = make_config(ACTIVATION_SIGMOID, 1, "adam");
    config.dtype = DTYPE_FLOAT32;
    compare_training(config, 1e-5);
}

static void the_same_run_gives_the_same_bits(void **state)
{
    (void)state;
    need_torch();
    double losses[2][STEPS];
    for (int run = 0; run < 2; run++) {
        struct engine_config config = make_config(ACTIVATION_RELU, 1, "adam");
        struct trial t;
        config.dtype = DTYPE_FLOAT32;
        trial_open(&t, config);
        succeed(&t, t.ops->train(t.engine, order, SAMPLES, losses[run], NULL, &t.error));
        trial_close(&t);
    }
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
}

static void a_new_learning_rate_holds_from_the_next_step(void **state)
{
    (void)state;
    need_torch();
    struct trial t;
    double loss;
    trial_open(&t, make_config(ACTIVATION_RELU, 1, "sgd"));
    succeed(&t, t.ops->train(t.engine, order, BATCH, &loss, NULL, &t.error));
    reference_step(&t.reference, order, BATCH);
    assert_int_equal(t.ops->set_learning_rate(t.engine, NAN, &t.error), -1);
    succeed(&t, t.ops->set_learning_rate(t.engine, 0.025, &t.error));
    t.reference.optimizer.learning_rate = 0.025;
    succeed(&t, t.ops->train(t.engine, order, BATCH, &loss, NULL, &t.error));
    reference_step(&t.reference, order, BATCH);
    assert_weights_close(&t, 1e-13);
    trial_close(&t);
}

static void a_run_goes_on_from_its_saved_state(void **state)
{
    (void)state;
    need_torch();
    static const char *const optimizers[] = {"sgd", "adam"};
    for (size_t i = 0; i < 2; i++) {
        struct engine_config config = make_config(ACTIVATION_RELU, 1, optimizers[i]);
        config.optimizer.momentum = i == 0 ? 0.9 : 0;
        struct trial whole, first, second;
        struct optimizer_state *saved;
        double losses[2][STEPS], ignored[STEPS];
        trial_open(&whole, config);
        succeed(&whole,
                whole.ops->train(whole.engine, order, SAMPLES, ignored, NULL, &whole.error));
        succeed(&whole,
                whole.ops->train(whole.engine, order, SAMPLES, losses[0], NULL, &whole.error));

        trial_open(&first, config);
        succeed(&first, optimizer_state_create(&config.optimizer, &config.network, config.dtype,
                                               &saved, &first.error));
        succeed(&first,
                first.ops->train(first.engine, order, SAMPLES, ignored, NULL, &first.error));
        succeed(&first, first.ops->get_parameters(first.engine, first.weights, &first.error));
        succeed(&first, first.ops->get_optimizer_state(first.engine, saved, &first.error));
        assert_int_equal(saved->steps, STEPS);

        trial_open(&second, config);
        succeed(&second, second.ops->set_parameters(second.engine, first.weights, &second.error));
        succeed(&second, second.ops->set_optimizer_state(second.engine, saved, &second.error));
        succeed(&second,
                second.ops->train(second.engine, order, SAMPLES, losses[1], NULL, &second.error));
        assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
        trial_close(&whole);
        trial_close(&first);
        trial_close(&second);
        optimizer_state_destroy(saved);
    }
}

static void forward_matches_the_reference_over_many_pictures(void **state)
{
    (void)state;
    need_torch();
    enum { MANY = 300 }; /* more than the engine takes at a time */
    static uint8_t pictures[MANY * INPUTS];
    static double logits[MANY * CLASSES];
    for (size_t i = 0; i < MANY; i++)
        memcpy(pictures + i * INPUTS, pixels + i % SAMPLES * INPUTS, INPUTS);
    struct trial t;
    trial_open(&t, make_config(ACTIVATION_TANH, 2, "sgd"));
    succeed(&t, t.ops->forward(t.engine, pictures, MANY, logits, &t.error));
    for (size_t i = 0; i < MANY; i++) {
        double a[NETWORK_MAX_LAYERS + 1][MAX_WIDTH];
        reference_logits(&t.reference, pictures + i * INPUTS, a);
        for (size_t k = 0; k < CLASSES; k++)
            assert_close(logits[i * CLASSES + k], a[3][k], 1e-13, "logit");
    }
    trial_close(&t);
}

struct seen {
    size_t count;
    char names[32][48];
    size_t shapes[32][2];
    double *values[32];
};

static int collect(void *context, const char *name, const size_t *shape, uint32_t rank,
                   const double *values)
{
    struct seen *seen = context;
    size_t size = rank == 2 ? shape[0] * shape[1] : shape[0];
    snprintf(seen->names[seen->count], sizeof seen->names[0], "%s", name);
    seen->shapes[seen->count][0] = shape[0];
    seen->shapes[seen->count][1] = rank == 2 ? shape[1] : 0;
    seen->values[seen->count] = malloc(size * sizeof *values);
    assert_non_null(seen->values[seen->count]);
    memcpy(seen->values[seen->count++], values, size * sizeof *values);
    return 0;
}

static void a_traced_step_shows_real_values(void **state)
{
    (void)state;
    need_torch();
    static const char *const names[] = {"input",
                                        "z1",
                                        "a1",
                                        "logits",
                                        "probabilities",
                                        "loss",
                                        "grad/fc1.weight",
                                        "grad/fc1.bias",
                                        "grad/fc2.weight",
                                        "grad/fc2.bias",
                                        "new/fc1.weight",
                                        "new/fc1.bias",
                                        "new/fc2.weight",
                                        "new/fc2.bias"};
    enum { LOSS = 5, FIRST_GRADIENT = 6, FIRST_NEW = 10, ALL = 14 };
    struct engine_config config = make_config(ACTIVATION_RELU, 1, "sgd");
    config.optimizer.weight_decay = 0.1; /* must not show in the gradients */
    struct trial t;
    struct seen seen = {0};
    trial_open(&t, config);
    succeed(&t, t.ops->trace(t.engine, order, 5, collect, &seen, &t.error));
    assert_int_equal(seen.count, ALL);
    for (size_t i = 0; i < ALL; i++) assert_string_equal(seen.names[i], names[i]);
    assert_int_equal(seen.shapes[1][0], 5);
    assert_int_equal(seen.shapes[1][1], 12);
    for (size_t i = 0; i < 5 * 12; i++)
        assert_close(seen.values[2][i], fmax(seen.values[1][i], 0), 0, "a1");

    reference_gradient(&t.reference, order, 5);
    assert_close(seen.values[LOSS][0], t.reference.loss, 1e-13, "loss");
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < t.weights->tensors[k].count; i++)
            assert_close(seen.values[FIRST_GRADIENT + k][i],
                         ((double *)t.reference.gradients->tensors[k].values)[i], 1e-13,
                         names[FIRST_GRADIENT + k]);
    reference_update(&t.reference);
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < t.weights->tensors[k].count; i++)
            assert_close(seen.values[FIRST_NEW + k][i],
                         ((double *)t.reference.weights->tensors[k].values)[i], 1e-13,
                         names[FIRST_NEW + k]);
    assert_weights_close(&t, 1e-13);
    for (size_t i = 0; i < ALL; i++) free(seen.values[i]);
    trial_close(&t);
}

static int refuse(void *context, const char *name, const size_t *shape, uint32_t rank,
                  const double *values)
{
    (void)name, (void)shape, (void)rank, (void)values;
    ++*(int *)context;
    return -1;
}

static void a_trace_ends_when_its_receiver_says_so(void **state)
{
    (void)state;
    need_torch();
    struct trial t;
    int calls = 0;
    trial_open(&t, make_config(ACTIVATION_RELU, 1, "sgd"));
    assert_int_equal(t.ops->trace(t.engine, order, 5, refuse, &calls, &t.error), -1);
    assert_int_equal(calls, 1);
    trial_close(&t);
}

static void what_pytorch_says_becomes_one_line(void **state)
{
    (void)state;
    need_torch();
    struct trial t;
    double loss;
    trial_open(&t, make_config(ACTIVATION_RELU, 1, "sgd"));
    uint8_t kept = labels[order[3]];
    labels[order[3]] = CLASSES + 1; /* no such class */
    assert_int_equal(t.ops->train(t.engine, order, BATCH, &loss, NULL, &t.error), -1);
    labels[order[3]] = kept;
    assert_non_null(strstr(t.error.message, "PyTorch failed in aten::cross_entropy_loss"));
    assert_null(strchr(t.error.message, '\n'));
    /* Nothing was changed by the step that failed, and the engine goes on. */
    succeed(&t, t.ops->train(t.engine, order, BATCH, &loss, NULL, &t.error));
    reference_step(&t.reference, order, BATCH);
    assert_close(loss, t.reference.loss, 1e-13, "loss");
    assert_weights_close(&t, 1e-13);
    trial_close(&t);
}

static double loss_of(struct trial *t)
{
    reference_gradient(&t->reference, order, 5);
    return t->reference.loss;
}

/* The reference itself is held against finite differences, so that engine and reference cannot
 * share a mistake. */
static void the_reference_gradient_is_the_slope_of_its_loss(void **state)
{
    (void)state;
    struct trial t = {.config = make_config(ACTIVATION_TANH, 2, "sgd")};
    struct parameters **blocks[] = {&t.reference.weights, &t.reference.gradients};
    t.reference.network = t.config.network;
    for (size_t i = 0; i < 2; i++)
        succeed(&t, parameters_create(&t.config.network, DTYPE_FLOAT64, blocks[i], &t.error));
    parameters_draw(t.reference.weights, &t.config.network, INIT_TORCH, 3);
    double *w = t.reference.weights->values, *g = t.reference.gradients->values;
    for (size_t i = 0; i < t.reference.weights->value_count; i += 7) {
        const double h = 1e-5, kept = w[i];
        w[i] = kept + h;
        double above = loss_of(&t);
        w[i] = kept - h;
        double below = loss_of(&t);
        w[i] = kept;
        loss_of(&t);
        assert_close(g[i], (above - below) / (2 * h), 1e-9, "slope");
    }
    parameters_destroy(t.reference.weights);
    parameters_destroy(t.reference.gradients);
}

static void memory_does_not_grow_with_steps(void **state)
{
    (void)state;
    need_torch();
#ifdef SANITIZED
    print_message(
        "skipped: the sanitizer itself keeps freed memory, and looks for leaks in its own way\n");
    skip();
#endif
    struct trial t;
    double losses[STEPS];
    uint64_t before = 0;
    trial_open(&t, make_config(ACTIVATION_RELU, 2, "adam"));
    for (int round = 0; round < 600; round++) {
        if (round == 100) before = clock_rss();
        succeed(&t, t.ops->train(t.engine, order, SAMPLES, losses, NULL, &t.error));
    }
    /* 2,500 steps: one lost tensor a step, handle and object, would be over half a megabyte. */
    assert_true(clock_rss() < before + (uint64_t)256 * 1024);
    trial_close(&t);
}

int main(void)
{
    draw_samples();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_told_in_one_line),
        cmocka_unit_test(a_library_that_is_no_pytorch_is_refused),
        cmocka_unit_test(a_library_without_the_stable_abi_is_refused),
        cmocka_unit_test(probe_tells_version_and_build),
        cmocka_unit_test(the_reference_gradient_is_the_slope_of_its_loss),
        cmocka_unit_test(a_device_that_is_not_offered_is_refused),
        cmocka_unit_test(sgd_matches_the_reference),
        cmocka_unit_test(adam_matches_the_reference),
        cmocka_unit_test(any_depth_trains),
        cmocka_unit_test(the_narrowest_networks_train),
        cmocka_unit_test(pictures_of_one_pixel_train),
        cmocka_unit_test(float32_is_near_the_reference),
        cmocka_unit_test(the_same_run_gives_the_same_bits),
        cmocka_unit_test(a_new_learning_rate_holds_from_the_next_step),
        cmocka_unit_test(a_run_goes_on_from_its_saved_state),
        cmocka_unit_test(forward_matches_the_reference_over_many_pictures),
        cmocka_unit_test(a_traced_step_shows_real_values),
        cmocka_unit_test(a_trace_ends_when_its_receiver_says_so),
        cmocka_unit_test(what_pytorch_says_becomes_one_line),
        cmocka_unit_test(memory_does_not_grow_with_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
