/* The leader's engine, and those who follow it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ranks/ranks_impl.h"

/* An engine over another; its ops are the inner one's but for what concerns all ranks. */
struct leading {
    struct engine base;
    struct engine_ops ops;
    struct ranks *ranks;
    struct engine *inner;
    struct bucket *bucket;
};

static struct leading *leading_of(struct engine *engine)
{
    return (struct leading *)engine;
}

/* ---- values for all ---- */

static int exchange_parameters(struct ranks *ranks, struct engine *inner, struct parameters *values,
                               struct error *error)
{
    if (ranks->leads && engine_get_parameters(inner, values, error)) return -1;
    if (ranks_broadcast(ranks, values->values, values->value_count * dtype_size(values->dtype),
                        error))
        return -1;
    return ranks->leads ? 0 : engine_set_parameters(inner, values, error);
}

int ranks_share_parameters(struct ranks *ranks, struct engine *inner, struct error *error)
{
    struct parameters *values;
    if (parameters_create(&inner->config.network, inner->config.dtype, &values, error)) return -1;
    int status = exchange_parameters(ranks, inner, values, error);
    parameters_destroy(values);
    return status;
}

static int exchange_state(struct ranks *ranks, struct engine *inner, struct optimizer_state *state,
                          struct error *error)
{
    if (ranks->leads && engine_get_optimizer_state(inner, state, error)) return -1;
    if (ranks_broadcast(ranks, &state->steps, sizeof state->steps, error) ||
        ranks_broadcast(ranks, state->numbers, sizeof state->numbers, error))
        return -1;
    for (uint32_t i = 0; i < state->slot_count; i++) {
        struct parameters *slot = state->slots[i];
        if (ranks_broadcast(ranks, slot->values, slot->value_count * dtype_size(slot->dtype),
                            error))
            return -1;
    }
    return ranks->leads ? 0 : engine_set_optimizer_state(inner, state, error);
}

int ranks_share_state(struct ranks *ranks, struct engine *inner, struct error *error)
{
    struct optimizer_state *state;
    if (optimizer_state_create(&inner->config.optimizer, &inner->config.network,
                               inner->config.dtype, &state, error))
        return -1;
    int status = exchange_state(ranks, inner, state, error);
    optimizer_state_destroy(state);
    return status;
}

int ranks_compare(struct ranks *ranks, struct engine *inner, struct error *error)
{
    struct parameters *values;
    char hex[HASH_HEX_SIZE] = "";
    int status = parameters_create(&inner->config.network, inner->config.dtype, &values, error);
    if (!status) status = engine_get_parameters(inner, values, error);
    if (!status) hash_bytes(values->values, values->value_count * dtype_size(values->dtype), hex);
    parameters_destroy(values);
    return ranks_agree(ranks, status, "SHA-256 of the parameters", hex, error);
}

/* ---- the leader ---- */

static int lead_train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                      uint32_t *correct, struct error *error)
{
    struct leading *self = leading_of(engine);
    size_t batch = engine->config.batch_size, steps = (count + batch - 1) / batch;
    const double *rates = engine->rates;
    struct order what = {.kind = ORDER_TRAIN, .count = count, .rates = rates ? steps : 0};
    /* broadcast() fills them elsewhere and leaves them alone here */
    void *samples = (void *)(uintptr_t)order, *values = (void *)(uintptr_t)rates;
    if (ranks_order(self->ranks, &what, error) ||
        ranks_broadcast(self->ranks, samples, count * sizeof *order, error) ||
        (rates && ranks_broadcast(self->ranks, values, steps * sizeof *rates, error)))
        return -1;
    return bucket_train(self->bucket, order, count, rates, losses, correct, error);
}

static int lead_set_rate(struct engine *engine, double rate, struct error *error)
{
    struct leading *self = leading_of(engine);
    struct order what = {.kind = ORDER_RATE, .value = rate};
    if (engine_set_learning_rate(self->inner, rate, error)) return -1;
    return ranks_order(self->ranks, &what, error);
}

static int lead_set_parameters(struct engine *engine, const struct parameters *parameters,
                               struct error *error)
{
    struct leading *self = leading_of(engine);
    struct order what = {.kind = ORDER_PARAMETERS};
    if (engine_set_parameters(self->inner, parameters, error) ||
        ranks_order(self->ranks, &what, error))
        return -1;
    return ranks_share_parameters(self->ranks, self->inner, error);
}

static int lead_get_parameters(struct engine *engine, struct parameters *parameters,
                               struct error *error)
{
    return engine_get_parameters(leading_of(engine)->inner, parameters, error);
}

static int lead_set_state(struct engine *engine, const struct optimizer_state *state,
                          struct error *error)
{
    struct leading *self = leading_of(engine);
    struct order what = {.kind = ORDER_STATE};
    if (engine_set_optimizer_state(self->inner, state, error) ||
        ranks_order(self->ranks, &what, error))
        return -1;
    return ranks_share_state(self->ranks, self->inner, error);
}

static int lead_get_state(struct engine *engine, struct optimizer_state *state, struct error *error)
{
    return engine_get_optimizer_state(leading_of(engine)->inner, state, error);
}

static int lead_forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                        struct error *error)
{
    return engine_forward(leading_of(engine)->inner, pixels, count, logits, error);
}

static int lead_infer(struct engine *engine, const double *inputs, size_t count, double *logits,
                      struct error *error)
{
    return engine_infer(leading_of(engine)->inner, inputs, count, logits, error);
}

static int lead_follow(struct engine *engine, const uint8_t *pixels, uint32_t target,
                       engine_trace_fn *emit, void *context, struct error *error)
{
    return engine_follow(leading_of(engine)->inner, pixels, target, emit, context, error);
}

/* A traced step is one machine's. */
static int lead_trace(struct engine *engine, const uint32_t *order, size_t count,
                      engine_trace_fn *emit, void *context, struct error *error)
{
    (void)engine, (void)order, (void)count, (void)emit, (void)context;
    return error_set(error, ERROR_UNAVAILABLE,
                     "a step of several ranks cannot be traced: trace it on one");
}

static int lead_attach(struct engine *engine, const struct split *split, struct error *error)
{
    (void)engine, (void)split;
    return error_set(error, ERROR_UNAVAILABLE,
                     "the samples of several ranks are attached before they join");
}

static void lead_close(struct engine *engine)
{
    struct leading *self = leading_of(engine);
    bucket_destroy(self->bucket);
    engine_close(self->inner);
    free(self);
}

int ranks_lead(struct ranks *ranks, struct engine *inner, struct engine **out, struct error *error)
{
    struct leading *self = calloc(1, sizeof *self);
    int status = 0;
    *out = NULL;
    if (!self) return error_set_memory(error, "the engine of all ranks");
    self->base.config = inner->config;
    self->base.split = inner->split;
    self->ops = *inner->ops;
    self->ops.attach = lead_attach;
    self->ops.set_parameters = lead_set_parameters;
    self->ops.get_parameters = lead_get_parameters;
    self->ops.set_optimizer_state = lead_set_state;
    self->ops.get_optimizer_state = lead_get_state;
    self->ops.train = lead_train;
    self->ops.forward = lead_forward;
    if (self->ops.infer) self->ops.infer = lead_infer;
    self->ops.trace = lead_trace;
    self->ops.follow = lead_follow;
    self->ops.gradients = NULL;
    self->ops.apply = NULL;
    if (self->ops.set_learning_rate) self->ops.set_learning_rate = lead_set_rate;
    self->ops.close = lead_close;
    self->base.ops = &self->ops;
    self->ranks = ranks;
    self->inner = inner;
    status = bucket_create(ranks, inner, &self->bucket, error);
    if (ranks_agree(ranks, status, "network", "", error) ||
        ranks_share_parameters(ranks, inner, error) || ranks_share_state(ranks, inner, error)) {
        bucket_destroy(self->bucket);
        free(self);
        return -1;
    }
    ranks->led = true;
    *out = &self->base;
    return 0;
}

int ranks_check_equal(struct ranks *ranks, struct engine *leading, struct error *error)
{
    struct order what = {.kind = ORDER_COMPARE};
    if (ranks_order(ranks, &what, error)) return -1;
    return ranks_compare(ranks, leading_of(leading)->inner, error);
}

/* ---- those who follow ---- */

struct following {
    struct ranks *ranks;
    struct engine *inner;
    struct bucket *bucket;
};

static int follow_train(struct following *self, const struct order *what, struct error *error)
{
    size_t count = (size_t)what->count, steps = (size_t)what->rates;
    uint32_t *order = malloc(count ? count * sizeof *order : 1);
    double *rates = malloc(steps ? steps * sizeof *rates : 1);
    int status = order && rates ? 0 : error_set_memory(error, "the order of the samples");
    if (!status) status = ranks_broadcast(self->ranks, order, count * sizeof *order, error);
    if (!status && steps)
        status = ranks_broadcast(self->ranks, rates, steps * sizeof *rates, error);
    if (!status)
        status = bucket_train(self->bucket, order, count, steps ? rates : NULL, NULL, NULL, error);
    free(rates);
    free(order);
    return status;
}

static int follow_parameters(struct following *self, const struct order *what, struct error *error)
{
    (void)what;
    return ranks_share_parameters(self->ranks, self->inner, error);
}

static int follow_state(struct following *self, const struct order *what, struct error *error)
{
    (void)what;
    return ranks_share_state(self->ranks, self->inner, error);
}

static int follow_rate(struct following *self, const struct order *what, struct error *error)
{
    return engine_set_learning_rate(self->inner, what->value, error);
}

static int follow_compare(struct following *self, const struct order *what, struct error *error)
{
    (void)what;
    return ranks_compare(self->ranks, self->inner, error);
}

static int (*const obey[])(struct following *self, const struct order *what,
                           struct error *error) = {
    [ORDER_TRAIN] = follow_train,     [ORDER_PARAMETERS] = follow_parameters,
    [ORDER_STATE] = follow_state,     [ORDER_RATE] = follow_rate,
    [ORDER_COMPARE] = follow_compare,
};

int ranks_follow(struct ranks *ranks, struct engine *inner, struct error *error)
{
    struct following self = {.ranks = ranks, .inner = inner};
    struct order what = {0};
    int status = bucket_create(ranks, inner, &self.bucket, error), done = 0;
    status = ranks_agree(ranks, status, "network", "", error) ||
             ranks_share_parameters(ranks, inner, error) || ranks_share_state(ranks, inner, error);
    /* What fails here is said, and told with the next part of a batch: rank 0 ends the run. */
    while (!status && !ranks_order(ranks, &what, error) && what.kind < ORDER_LEAVE) {
        done = obey[what.kind](&self, &what, error);
        if (done && !ranks->lost) {
            bucket_fail(self.bucket);
            fprintf(stderr, "nnstudio: rank %u: %s\n", ranks_rank(ranks), error->message);
        }
    }
    bucket_destroy(self.bucket);
    return status || ranks->lost ? -1 : 0;
}
