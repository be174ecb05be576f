/* The native engine's plans: every layer's gradient by finite differences, the same bits for any
 * number of threads, and the dense path's numbers where both can compute them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/engine.h"
#include "engine/trace_name.h"

#define SIDE    9
#define SAMPLES 37
#define BATCH   21 /* blocks of 8 or 16, the last one short */
#define CLASSES 4

static uint8_t pixels[SAMPLES * SIDE * SIDE], labels[SAMPLES];
static uint32_t order[SAMPLES];
static struct split split;

static int make_samples(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 5, RNG_DIGITS, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = rng_range(&rng, 0, 1) < 0.4 ? 0 : (uint8_t)rng_range(&rng, 1, 255.9);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        labels[i] = (uint8_t)rng_range(&rng, 0, CLASSES - 0.01);
        order[i] = (i * 7) % SAMPLES;
    }
    split = (struct split){.count = SAMPLES, .pixels = pixels, .labels = labels};
    return 0;
}

/* clang-format off */
static const char *const networks[] = {
    "[{\"type\":\"conv2d\",\"filters\":5,\"kernel\":3,\"activation\":\"relu\"},{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":4}]",
    "[{\"type\":\"conv2d\",\"filters\":7,\"kernel\":[3,2],\"padding\":\"same\",\"activation\":\"tanh\"},{\"type\":\"maxpool2d\",\"size\":2},{\"type\":\"conv2d\",\"filters\":6,\"kernel\":3,\"padding\":[1,0,2,1],\"stride\":[2,1],\"bias\":false},{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":4}]",
    "[{\"type\":\"conv2d\",\"filters\":6,\"kernel\":3,\"dilation\":2},{\"type\":\"conv2d\",\"filters\":12,\"kernel\":2,\"groups\":6,\"activation\":\"sigmoid\"},{\"type\":\"conv2d\",\"filters\":4,\"kernel\":1,\"groups\":2},{\"type\":\"globalavgpool\"}]",
    "[{\"type\":\"conv2d\",\"filters\":4,\"kernel\":3},{\"type\":\"batchnorm\",\"activation\":\"relu\"},{\"type\":\"avgpool2d\",\"size\":3,\"stride\":2,\"padding\":[1,1,1,1]},{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":8},{\"type\":\"batchnorm\",\"activation\":\"tanh\"},{\"type\":\"dense\",\"units\":4}]",
    "[{\"type\":\"conv2d\",\"filters\":4,\"kernel\":3},{\"type\":\"layernorm\",\"activation\":\"gelu\"},{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":9},{\"type\":\"layernorm\"},{\"type\":\"activation\",\"activation\":\"silu\"},{\"type\":\"dense\",\"units\":4}]",
    "[{\"type\":\"rescale\",\"scale\":2,\"offset\":-0.5},{\"type\":\"conv2d\",\"filters\":3,\"kernel\":4,\"stride\":2,\"activation\":\"elu\"},{\"type\":\"dropout\",\"rate\":0.3},{\"type\":\"flatten\",\"activation\":\"softplus\"},{\"type\":\"dense\",\"units\":4}]",
    "[{\"type\":\"normalize\",\"mean\":0.13,\"std\":0.3},{\"type\":\"dense\",\"units\":9,\"activation\":\"leaky_relu\",\"slope\":0.2},{\"type\":\"dropout\",\"rate\":0.5},{\"type\":\"dense\",\"units\":7,\"activation\":\"selu\"},{\"type\":\"dense\",\"units\":6,\"activation\":\"gelu_tanh\"},{\"type\":\"dense\",\"units\":4}]",
    "[{\"type\":\"maxpool2d\",\"size\":3,\"stride\":2,\"padding\":[1,1,1,1]},{\"type\":\"conv2d\",\"filters\":17,\"kernel\":3,\"padding\":\"same\",\"activation\":\"relu\"},{\"type\":\"batchnorm\"},{\"type\":\"globalavgpool\",\"activation\":\"relu\"},{\"type\":\"dense\",\"units\":4,\"bias\":false}]",
};
/* clang-format on */
#define NETWORKS (sizeof networks / sizeof *networks)

static struct engine_config config_of(const char *layers, enum dtype dtype, uint32_t threads)
{
    struct engine_config config = {
        .dtype = dtype, .batch_size = BATCH, .threads = threads, .seed = 99};
    struct error error;
    json_t *list = json_loads(layers, 0, NULL);
    assert_non_null(list);
    config.network = (struct network){
        .rows = SIDE, .columns = SIDE, .layer_count = (uint32_t)json_array_size(list)};
    for (uint32_t i = 0; i < config.network.layer_count; i++)
        if (layer_from_json(json_array_get(list, i), &config.network.layers[i], &error))
            fail_msg("%s", error.message);
    if (network_finish(&config.network, &error)) fail_msg("%s", error.message);
    json_decref(list);
    assert_int_equal(optimizer_init(&config.optimizer, "sgd", &error), 0);
    config.optimizer.learning_rate = 0.05;
    config.optimizer.momentum = 0.9;
    return config;
}

struct trial {
    struct engine_config config;
    const struct engine_ops *ops;
    struct engine *engine;
    struct parameters *parameters, *gradient;
    double loss;
    struct error error;
};

static void need(struct trial *t, int status)
{
    if (status) fail_msg("%s", t->error.message);
}

static void trial_open(struct trial *t, struct engine_config config)
{
    *t = (struct trial){.config = config, .ops = engine_find("native")};
    need(t, engine_open(t->ops, &config, &t->engine, &t->error));
    need(t, engine_attach(t->engine, &split, &t->error));
    need(t, parameters_create(&config.network, config.dtype, &t->parameters, &t->error));
    need(t, parameters_create(&config.network, config.dtype, &t->gradient, &t->error));
    parameters_draw(t->parameters, &config.network, INIT_TORCH, 3);
    need(t, engine_set_parameters(t->engine, t->parameters, &t->error));
}

static void trial_close(struct trial *t)
{
    engine_close(t->engine);
    parameters_destroy(t->parameters);
    parameters_destroy(t->gradient);
}

static int keep(void *context, const char *name, const size_t *shape, uint32_t rank,
                const double *values)
{
    struct trial *t = context;
    struct trace_name parsed;
    (void)shape;
    (void)rank;
    assert_true(trace_name_parse(name, &parsed));
    if (parsed.what == TRACE_LOSS) t->loss = values[0];
    if (parsed.what != TRACE_GRADIENT) return 0;
    for (size_t i = 0; i < t->gradient->tensor_count; i++) {
        struct tensor *tensor = &t->gradient->tensors[i];
        if (strcmp(tensor->name, parsed.tensor) != 0) continue;
        for (size_t v = 0; v < tensor->count; v++) tensor_set(t->gradient, tensor, v, values[v]);
    }
    return 0;
}

/* The loss at these parameters, before a step that is then forgotten. */
static double loss_at(struct trial *t)
{
    struct optimizer_state *fresh;
    need(t, optimizer_state_create(&t->config.optimizer, &t->config.network, t->config.dtype,
                                   &fresh, &t->error));
    need(t, engine_set_optimizer_state(t->engine, fresh, &t->error));
    optimizer_state_destroy(fresh);
    need(t, engine_set_parameters(t->engine, t->parameters, &t->error));
    need(t, engine_trace(t->engine, order, BATCH, keep, t, &t->error));
    return t->loss;
}

static void gradients_are_those_of_finite_differences(void **state)
{
    (void)state;
    const double h = 1e-6;
    for (size_t n = 0; n < NETWORKS; n++) {
        struct trial t;
        trial_open(&t, config_of(networks[n], DTYPE_FLOAT64, 2));
        loss_at(&t);
        struct parameters *gradient;
        need(&t,
             parameters_convert(t.gradient, &t.config.network, DTYPE_FLOAT64, &gradient, &t.error));
        for (size_t i = 0; i < t.parameters->tensor_count; i++) {
            struct tensor *tensor = &t.parameters->tensors[i];
            if (!tensor_role_is_trained(tensor->role)) continue;
            size_t step = tensor->count / 9 + 1;
            for (size_t v = i % 3 % tensor->count; v < tensor->count; v += step) {
                double old = tensor_get(t.parameters, tensor, v);
                tensor_set(t.parameters, tensor, v, old + h);
                double above = loss_at(&t);
                tensor_set(t.parameters, tensor, v, old - h);
                double below = loss_at(&t);
                tensor_set(t.parameters, tensor, v, old);
                double slope = (above - below) / (2 * h),
                       given = tensor_get(gradient, &gradient->tensors[i], v);
                if (!(fabs(slope - given) < 1e-7))
                    fail_msg("network %zu, %s[%zu]: %.9g, by differences %.9g", n, tensor->name, v,
                             given, slope);
            }
        }
        parameters_destroy(gradient);
        trial_close(&t);
    }
}

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    for (size_t n = 0; n < NETWORKS; n++)
        for (int dtype = DTYPE_FLOAT32; dtype <= DTYPE_FLOAT64; dtype++) {
            double first[4], losses[4], logits[SAMPLES * CLASSES], again[SAMPLES * CLASSES];
            struct parameters *one = NULL;
            for (uint32_t threads = 1; threads <= 5; threads++) {
                struct trial t;
                uint32_t correct[4];
                trial_open(&t, config_of(networks[n], (enum dtype)dtype, threads));
                for (int epoch = 0; epoch < 2; epoch++)
                    need(&t, engine_train(t.engine, order, SAMPLES, losses + 2 * epoch,
                                          correct + 2 * epoch, &t.error));
                need(&t, engine_get_parameters(t.engine, t.parameters, &t.error));
                need(&t, engine_forward(t.engine, pixels, SAMPLES, again, &t.error));
                if (threads == 1) {
                    need(&t, parameters_convert(t.parameters, &t.config.network, (enum dtype)dtype,
                                                &one, &t.error));
                    memcpy(first, losses, sizeof first);
                    memcpy(logits, again, sizeof logits);
                }
                assert_memory_equal(losses, first, sizeof first);
                assert_memory_equal(again, logits, sizeof logits);
                assert_memory_equal(one->values, t.parameters->values,
                                    one->value_count * dtype_size((enum dtype)dtype));
                assert_true(isfinite(losses[3]));
                trial_close(&t);
            }
            parameters_destroy(one);
        }
}

static void a_plan_agrees_with_the_dense_path(void **state)
{
    (void)state;
    const char *both[] = {
        "[{\"type\":\"dense\",\"units\":12,\"activation\":\"relu\"},{\"type\":\"dense\",\"units\":"
        "4}]",
        "[{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":12,\"activation\":\"relu\"},"
        "{\"type\":\"dense\",\"units\":4}]"};
    double losses[2][2 * 5];
    for (size_t n = 0; n < 2; n++) {
        struct trial t;
        uint32_t correct[2];
        trial_open(&t, config_of(both[n], DTYPE_FLOAT64, 1));
        for (int epoch = 0; epoch < 5; epoch++)
            need(&t,
                 engine_train(t.engine, order, SAMPLES, losses[n] + 2 * epoch, correct, &t.error));
        trial_close(&t);
    }
    for (size_t i = 0; i < 10; i++) assert_true(fabs(losses[0][i] - losses[1][i]) < 1e-12);
}

static void a_batch_of_one_cannot_be_normalized(void **state)
{
    (void)state;
    struct trial t;
    double losses[SAMPLES];
    trial_open(&t, config_of("[{\"type\":\"dense\",\"units\":5},{\"type\":\"batchnorm\"},"
                             "{\"type\":\"dense\",\"units\":4}]",
                             DTYPE_FLOAT64, 1));
    assert_int_equal(engine_train(t.engine, order, BATCH + 1, losses, NULL, &t.error), -1);
    assert_string_equal(t.error.message,
                        "layer 2, batchnorm, needs more than one sample per batch: use a batch "
                        "size that leaves no batch of one");
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_finite_differences),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(a_plan_agrees_with_the_dense_path),
        cmocka_unit_test(a_batch_of_one_cannot_be_normalized),
    };
    return cmocka_run_group_tests(tests, make_samples, NULL);
}
