/* The studio's own engine: engine.h on top of the two ways to train (way.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "data/preprocess.h"
#include "engine/native/way.h"

#define USEFUL_THREADS 4 /* more bring little at the size of a small network */

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

/* Whether its kernels alone can train it: every layer has a bias, and no loss but the samples'. */
static bool is_dense_on_pixels(const struct network *network)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].without_bias || layer_is_penalized(&network->layers[i]))
            return false;
    return network_is_classic(network);
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
    self->way->close(self);
    team_destroy(self->team);
    free(self);
}

static int open_engine(const struct engine_config *config, const struct engine_probe *found,
                       struct engine **out, struct error *error)
{
    struct native_engine *self = calloc(1, sizeof *self);
    (void)found;
    if (!self) return error_set_memory(error, "the engine");
    /* The way for pixels has them as lists of codes, so values go through a plan; and so do
     * pictures too large for the lists. */
    size_t most = MOST_TUPLES * native_kernels_choose(config->dtype)->tuple;
    self->way = is_dense_on_pixels(&config->network) && !config->infers &&
                        network_inputs(&config->network) <= most
                    ? &native_way_dense
                    : &native_way_plan;
    native_table_fill(config, &self->values);
    if (team_create(config->threads, &self->team, error) || self->way->open(self, config, error)) {
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
    if (self->way->reserve(self, rows, error)) return -1;
    return self->way->attach(self, split, error);
}

static int set_parameters(struct engine *engine, const struct parameters *parameters,
                          struct error *error)
{
    struct native_engine *self = self_of(engine);
    (void)error;
    self->way->import(self, parameters, 0);
    return 0;
}

static int get_parameters(struct engine *engine, struct parameters *parameters, struct error *error)
{
    struct native_engine *self = self_of(engine);
    (void)error;
    self->way->export(self, parameters, 0);
    return 0;
}

static int set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                               struct error *error)
{
    struct native_engine *self = self_of(engine);
    (void)error;
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        self->way->import(self, state->slots[slot], 1 + slot);
    *self->way->steps(self) = state->steps;
    memcpy(self->way->numbers(self), state->numbers, sizeof state->numbers);
    return 0;
}

static int get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                               struct error *error)
{
    struct native_engine *self = self_of(engine);
    (void)error;
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        self->way->export(self, state->slots[slot], 1 + slot);
    state->steps = *self->way->steps(self);
    memcpy(state->numbers, self->way->numbers(self), sizeof state->numbers);
    return 0;
}

static int set_learning_rate(struct engine *engine, double learning_rate, struct error *error)
{
    struct native_engine *self = self_of(engine);
    (void)error;
    self->way->optimizer(self)->learning_rate = learning_rate;
    return 0;
}

/* ---- training and inference ---- */

static int train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error)
{
    struct native_engine *self = self_of(engine);
    size_t batch = engine->config.batch_size, rows = count < batch ? count : batch;
    /* An order that repeats samples may be longer than the set that attach() made room for. */
    if (self->way->reserve(self, rows, error)) return -1;
    self->way->train(self, order, count, losses, correct);
    return 0;
}

static int gradients(struct engine *engine, const struct engine_part *part, const uint32_t *order,
                     size_t count, struct parameters *sums, double *loss, uint32_t *correct,
                     struct error *error)
{
    struct native_engine *self = self_of(engine);
    if (self->way->reserve(self, count, error)) return -1;
    return self->way->gradients(self, part, order, count, sums, loss, correct, error);
}

static int apply(struct engine *engine, const struct parameters *sums, double divisor,
                 struct error *error)
{
    struct native_engine *self = self_of(engine);
    return self->way->apply(self, sums, divisor, error);
}

static int forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error)
{
    struct native_engine *self = self_of(engine);
    size_t inputs = network_inputs(&engine->config.network),
           classes = network_classes(&engine->config.network);
    size_t most = count < self->way->forward_rows ? count : self->way->forward_rows;
    if (self->way->reserve(self, most, error)) return -1;
    for (size_t done = 0; done < count; done += most) {
        size_t rows = count - done < most ? count - done : most;
        if (self->way->forward(self, pixels + done * inputs, rows, logits + done * classes, error))
            return -1;
    }
    return 0;
}

/* engine_infer() comes only to an engine that was opened for it, which has a plan. */
static int infer(struct engine *engine, const double *inputs, size_t count, double *logits,
                 struct error *error)
{
    struct plan *plan = self_of(engine)->plan;
    const struct grid *last = &plan->grids[plan->op_count];
    size_t each = network_inputs(&plan->network), classes = network_classes(&plan->network);
    size_t most = count < native_way_plan.forward_rows ? count : native_way_plan.forward_rows;
    if (plan_reserve(plan, most, error)) return -1;
    for (size_t done = 0; done < count; done += most) {
        size_t rows = count - done < most ? count - done : most;
        plan_infer(plan, inputs + done * each, rows);
        plan_read(plan, last, last->values, rows, logits + done * classes);
    }
    return 0;
}

static int trace_step(struct engine *engine, const uint32_t *order, size_t count,
                      engine_trace_fn *emit, void *context, struct error *error)
{
    struct native_engine *self = self_of(engine);
    return self->way->trace(self, order, count, emit, context, error);
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
    int result = -1;
    config.batch_size = 1;
    config.loss = (struct loss_rules){0};
    config.optimizer = (struct optimizer){.type = OPTIMIZER_SGD}; /* without state */
    if (parameters_create(&config.network, config.dtype, &parameters, error) ||
        plan_create(&config, self->team, &plan, error))
        goto out;
    plan->back_to_picture = true;
    self->way->export(self, parameters, 0);
    plan_import(plan, parameters, 0);
    result = plan_follow(plan, pixels, &self->values, target, emit, context, error);
out:
    plan_destroy(plan);
    parameters_destroy(parameters);
    return result;
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
