#include "trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libtorch loses 32 bytes with every text that an operator is given through its stable interface
 * (2.13: to_ivalue(), the copy that ToImpl<std::string> makes): gelu has one. Not ours to free. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:to_ivalue\n";
}

static int build_dense(const struct trial_case *c, enum activation activation, struct network *out,
                       struct error *error)
{
    return network_build(out, c->rows, c->columns, c->hidden, c->depth, activation, c->classes,
                         error);
}

/* clang-format off */
const struct trial_case trial_cases[] = {
    /* label                     build        picture classes hidden     depth samples batch share core */
    {"one hidden layer",         build_dense,  6,  7,   5, {12},           1,  70,   16, 0.3,  true},
    {"no hidden layer",          build_dense,  6,  6,   4, {0},            0,  30,    8, 0.3,  true},
    {"three hidden layers",      build_dense,  6,  5,  30, {17, 70, 9},    3,  41,   10, 0.8,  true},
    {"a batch of one",           build_dense,  1, 11,   2, {5},            1,   9,    1, 0.5,  true},
    {"odd sizes, dense pixels",  build_dense,  5,  3,   3, {7},            1,  23,    4, 0.95, false},
    {"one unit wide",            build_dense,  6,  7,   5, {1, 7},         2,  23,    8, 0.3,  false},
    {"pictures of one pixel",    build_dense,  1,  1,   5, {9},            1,  23,    8, 0.9,  false},
    {"blank pictures",           build_dense,  4,  4,   3, {8},            1,  12,    5, 0.0,  false},
    {"many classes",             build_dense,  4,  4, 200, {300},          1,  30,   30, 0.2,  false},
    {"one batch of everything",  build_dense,  6,  6,  10, {20},           1, 150, 1000, 0.3,  false},
    {"the usual network",        build_dense, 28, 28,  10, {128},          1,  70,   32, 0.19, false},
};
/* clang-format on */
const size_t trial_case_count = sizeof trial_cases / sizeof trial_cases[0];

#define SGD  .type = OPTIMIZER_SGD, .learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.999
#define ADAM .type = OPTIMIZER_ADAM, .learning_rate = 0.01

const struct trial_optimizer trial_optimizers[] = {
    {"sgd", {SGD, .epsilon = 1e-8}},
    {"sgd with weight decay", {SGD, .epsilon = 1e-8, .weight_decay = 0.01}},
    {"sgd with momentum", {SGD, .epsilon = 1e-8, .momentum = 0.9}},
    {"sgd with both", {SGD, .epsilon = 1e-8, .momentum = 0.5, .weight_decay = 0.01}},
    {"adam", {ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}},
    /* An epsilon that matters, so that its place in the formula does. */
    {"adam of other numbers",
     {ADAM, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.05}},
    /* By their formula: three slots, a number beside the slots, a slot that begins at 0.1. */
    {"centered rmsprop with momentum",
     {.type = OPTIMIZER_RMSPROP,
      .learning_rate = 0.01,
      .momentum = 0.5,
      .rho = 0.9,
      .epsilon = 1e-3,
      .centered = true}},
    {"nadam",
     {.type = OPTIMIZER_NADAM,
      .learning_rate = 0.01,
      .beta1 = 0.8,
      .beta2 = 0.95,
      .epsilon = 1e-3,
      .weight_decay = 0.05}},
    {"Keras's adagrad",
     {.type = OPTIMIZER_ADAGRAD, .meaning = MEANING_KERAS, .learning_rate = 0.1, .epsilon = 1e-3}},
};
const size_t trial_optimizer_count = sizeof trial_optimizers / sizeof trial_optimizers[0];

const struct trial_case *trial_find(const char *label)
{
    for (size_t i = 0; i < trial_case_count; i++)
        if (strcmp(trial_cases[i].label, label) == 0) return &trial_cases[i];
    fail_msg("there is no case \"%s\"", label);
    return NULL;
}

const struct optimizer *trial_find_optimizer(const char *label)
{
    for (size_t i = 0; i < trial_optimizer_count; i++)
        if (strcmp(trial_optimizers[i].label, label) == 0) return &trial_optimizers[i].optimizer;
    fail_msg("there is no optimizer \"%s\"", label);
    return NULL;
}

enum activation trial_activation(const struct trial_case *c, enum activation last)
{
    struct network network;
    struct error error;
    if (!c->depth) return last == ACTIVATION_NONE ? ACTIVATION_RELU : ACTIVATION_COUNT;
    for (last++; last < ACTIVATION_COUNT; last++)
        if (c->build(c, last, &network, &error) == 0 && network_check(&network, &error) == 0) break;
    return last;
}

/* ---- begin and end ---- */

static void draw_samples(struct trial *t)
{
    const struct trial_case *c = t->c;
    size_t inputs = (size_t)c->rows * c->columns;
    struct rng rng;
    t->split.count = c->samples;
    t->split.pixels = calloc(c->samples, inputs);
    t->split.labels = calloc(c->samples, 1);
    t->order = calloc(c->samples, sizeof *t->order);
    assert_true(t->split.pixels && t->split.labels && t->order);
    rng_seed(&rng, 5, RNG_TEST, 0);
    for (size_t i = inputs; i < c->samples * inputs; i++) /* the first picture is blank */
        if (rng_uniform(&rng) < c->share) t->split.pixels[i] = (uint8_t)(1 + rng_below(&rng, 255));
    for (size_t i = 0; i < c->samples; i++)
        t->split.labels[i] = (uint8_t)rng_below(&rng, c->classes);
    rng_permutation(&rng, t->order, c->samples);
}

void trial_begin(struct trial *trial, const struct trial_case *c, enum activation activation,
                 const struct optimizer *optimizer)
{
    *trial = (struct trial){.c = c, .steps = (c->samples + c->batch - 1) / c->batch};
    trial->config = (struct engine_config){
        .optimizer = *optimizer, .batch_size = c->batch, .threads = 1, .dtype = DTYPE_FLOAT64};
    struct network *network = &trial->config.network;
    trial_succeed(trial, c->build(c, activation, network, &trial->error));
    draw_samples(trial);
    trial_succeed(trial, parameters_create(network, DTYPE_FLOAT64, &trial->initial, &trial->error));
    parameters_draw(trial->initial, network, INIT_TORCH, 11);
    reference_open(&trial->reference, network, optimizer, trial->initial);
}

void trial_end(struct trial *trial)
{
    reference_close(&trial->reference);
    parameters_destroy(trial->initial);
    free(trial->split.pixels);
    free(trial->split.labels);
    free(trial->order);
}

void trial_restart_reference(struct trial *trial)
{
    reference_close(&trial->reference);
    reference_open(&trial->reference, &trial->config.network, &trial->config.optimizer,
                   trial->initial);
}

size_t trial_step(const struct trial *trial, size_t step, size_t *count)
{
    size_t batch = trial->config.batch_size, begin = step * batch,
           left = trial->split.count - begin;
    *count = left < batch ? left : batch;
    return begin;
}

/* ---- engines ---- */

struct engine *trial_open(struct trial *trial, const struct engine_ops *ops, enum dtype dtype)
{
    struct engine *engine;
    struct parameters *start;
    trial->config.dtype = dtype;
    trial_succeed(trial, engine_open(ops, &trial->config, &engine, &trial->error));
    trial_succeed(trial, engine_attach(engine, &trial->split, &trial->error));
    trial_succeed(trial, parameters_convert(trial->initial, &trial->config.network, dtype, &start,
                                            &trial->error));
    trial_succeed(trial, engine_set_parameters(engine, start, &trial->error));
    parameters_destroy(start);
    return engine;
}

struct parameters *trial_parameters(struct trial *trial, struct engine *engine)
{
    struct parameters *out;
    trial_succeed(trial, parameters_create(&engine->config.network, engine->config.dtype, &out,
                                           &trial->error));
    trial_succeed(trial, engine_get_parameters(engine, out, &trial->error));
    return out;
}

struct optimizer_state *trial_state(struct trial *trial, struct engine *engine)
{
    struct optimizer_state *out;
    const struct engine_config *config = &engine->config;
    trial_succeed(trial, optimizer_state_create(&config->optimizer, &config->network, config->dtype,
                                                &out, &trial->error));
    trial_succeed(trial, engine_get_optimizer_state(engine, out, &trial->error));
    return out;
}

/* ---- comparing ---- */

/* "one hidden layer, tanh, adam, float64": who failed. */
static const char *name_of(const struct trial *trial)
{
    static char name[160];
    const struct optimizer *o = &trial->config.optimizer;
    snprintf(name, sizeof name, "%s, %s, %s (momentum %g, weight decay %g), %s", trial->c->label,
             activation_name(trial->config.network.layers[0].activation),
             optimizer_type_name(o->type), o->momentum, o->weight_decay,
             dtype_name(trial->config.dtype));
    return name;
}

void trial_succeed(const struct trial *trial, int result)
{
    if (result) fail_msg("%s: %s", name_of(trial), trial->error.message);
}

void trial_near(const struct trial *trial, double got, double expected, double tolerance,
                const char *what)
{
    if (!(fabs(got - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%s: %s is %.17g, not %.17g (off by %.3g)", name_of(trial), what, got, expected,
                 got - expected);
}

void trial_near_parameters(const struct trial *trial, const struct parameters *got,
                           const struct parameters *expected, double tolerance)
{
    assert_int_equal(got->tensor_count, expected->tensor_count);
    for (size_t t = 0; t < got->tensor_count; t++) {
        assert_int_equal(got->tensors[t].count, expected->tensors[t].count);
        for (size_t i = 0; i < got->tensors[t].count; i++)
            trial_near(trial, tensor_get(got, &got->tensors[t], i),
                       tensor_get(expected, &expected->tensors[t], i), tolerance,
                       got->tensors[t].name);
    }
}

void trial_near_reference(struct trial *trial, struct engine *engine, double tolerance)
{
    const struct reference *r = &trial->reference;
    struct parameters *parameters = trial_parameters(trial, engine);
    struct optimizer_state *state = trial_state(trial, engine);
    trial_near_parameters(trial, parameters, r->parameters, tolerance);
    assert_int_equal(state->steps, r->state->steps);
    assert_int_equal(state->slot_count, r->state->slot_count);
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        trial_near_parameters(trial, state->slots[slot], r->state->slots[slot], tolerance);
    parameters_destroy(parameters);
    optimizer_state_destroy(state);
}

void trial_same_bits(const struct trial *trial, const struct parameters *a,
                     const struct parameters *b)
{
    assert_int_equal(a->value_count, b->value_count);
    if (memcmp(a->values, b->values, a->value_count * dtype_size(a->dtype)) != 0)
        fail_msg("%s: the bits differ", name_of(trial));
}

size_t trial_probes(struct rng *rng, size_t count, size_t out[TRIAL_PROBES])
{
    size_t chosen = count < TRIAL_PROBES ? count : TRIAL_PROBES;
    for (size_t i = 0; i < chosen; i++) out[i] = count <= TRIAL_PROBES ? i : rng_below(rng, count);
    return chosen;
}

/* ---- traces ---- */

int trial_see(void *context, const char *name, const size_t *shape, uint32_t rank,
              const double *values)
{
    struct trial_seen *seen = context;
    assert_true(seen->count < TRIAL_MAX_SEEN && rank >= 1 && rank <= 4);
    size_t size = 1, at = seen->count++;
    snprintf(seen->tensors[at].name, sizeof seen->tensors[at].name, "%s", name);
    seen->tensors[at].rank = rank;
    for (uint32_t i = 0; i < rank; i++) size *= seen->tensors[at].shape[i] = shape[i];
    seen->tensors[at].size = size;
    seen->tensors[at].values = malloc(size * sizeof *values);
    assert_non_null(seen->tensors[at].values);
    memcpy(seen->tensors[at].values, values, size * sizeof *values);
    return 0;
}

void trial_forget(struct trial_seen *seen)
{
    for (size_t i = 0; i < seen->count; i++) free(seen->tensors[i].values);
    *seen = (struct trial_seen){0};
}

const double *trial_seen_values(const struct trial *trial, const struct trial_seen *seen,
                                const char *name, size_t size)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (strcmp(seen->tensors[i].name, name) != 0) continue;
        assert_int_equal(seen->tensors[i].size, size);
        return seen->tensors[i].values;
    }
    fail_msg("%s: the trace has no %s", name_of(trial), name);
    return NULL;
}
