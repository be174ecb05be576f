/* The table of engines, and the one place where what they are given is checked. */
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

const struct engine_ops *const engine_table[] = {
    &engine_torch,
    &engine_tensorflow,
    &engine_native,
};
const size_t engine_table_count = sizeof engine_table / sizeof engine_table[0];
const struct engine_ops *const engine_default = &engine_native;

const struct engine_ops *engine_find(const char *id)
{
    for (size_t i = 0; i < engine_table_count; i++)
        if (strcmp(engine_table[i]->id, id) == 0) return engine_table[i];
    return NULL;
}

uint32_t engine_default_threads(const struct engine_ops *ops)
{
    return ops->default_threads ? ops->default_threads() : 1;
}

/* "a, b or c" of the engines that `fits` picks. */
static const char *list_ids(bool (*fits)(const struct engine_ops *ops, const void *context),
                            const void *context, char out[ENGINE_IDS_SIZE])
{
    size_t count = 0, seen = 0, length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < engine_table_count; i++) count += fits(engine_table[i], context);
    for (size_t i = 0; i < engine_table_count; i++) {
        if (!fits(engine_table[i], context)) continue;
        const char *before = seen == 0 ? "" : seen + 1 == count ? " or " : ", ";
        length += (size_t)snprintf(out + length, ENGINE_IDS_SIZE - length, "%s%s", before,
                                   engine_table[i]->id);
        CHECK(length < ENGINE_IDS_SIZE);
        seen++;
    }
    return out;
}

static bool is_listed(const struct engine_ops *ops, const void *packaged)
{
    return !*(const bool *)packaged || ops->package.requirement;
}

const char *engine_ids(bool packaged, char out[ENGINE_IDS_SIZE])
{
    return list_ids(is_listed, &packaged, out);
}

static bool computes(const struct engine_ops *ops, const void *layer)
{
    const struct layer *l = layer;
    return ops->has_layer(l->type) && ops->has_activation(l->activation);
}

int engine_check_network(const struct engine_ops *ops, const struct network *network,
                         struct error *error)
{
    struct network finished = *network;
    char ids[ENGINE_IDS_SIZE];
    if (network_finish(&finished, error)) return -1;
    if (!network_parameter_count(&finished))
        return error_set(error, ERROR_INPUT,
                         "the network has nothing to train: add a dense or conv2d layer");
    for (uint32_t i = 0; i < finished.layer_count; i++) {
        const struct layer *layer = &finished.layers[i];
        if (computes(ops, layer)) continue;
        bool lacks_layer = !ops->has_layer(layer->type);
        return error_set(
            error, ERROR_INPUT, "layer %u: %s does not compute %s: use %s", i + 1, ops->title,
            lacks_layer ? layer_kind(layer->type)->name : activation_name(layer->activation),
            list_ids(computes, layer, ids));
    }
    return 0;
}

int engine_check_batches(const struct network *network, size_t batch_size, size_t count,
                         struct error *error)
{
    if (count == 0 || (batch_size > 1 && count % batch_size != 1)) return 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        if (layer->type != LAYER_BATCHNORM || layer->inputs != layer->input.sizes[0]) continue;
        return error_set(error, ERROR_INPUT,
                         "layer %u, batchnorm, needs more than one sample per batch: use a batch "
                         "size that leaves no batch of one",
                         i + 1);
    }
    return 0;
}

int engine_need(const char *id, const struct engine_ops **out, struct error *error)
{
    char ids[ENGINE_IDS_SIZE];
    *out = engine_find(id);
    if (*out) return 0;
    return error_set(error, ERROR_USAGE, "unknown engine \"%.40s\": use %s", id,
                     engine_ids(false, ids));
}

/* ---- open and close ---- */

int engine_check_device(const struct engine_ops *ops, const struct engine_probe *found,
                        const char *device, struct error *error)
{
    char offered[ENGINE_MAX_DEVICES * (sizeof found->devices[0] + 4)];
    size_t length = 0;
    for (uint32_t i = 0; i < found->device_count; i++)
        if (strcmp(found->devices[i], device) == 0) return 0;
    for (uint32_t i = 0; i < found->device_count; i++) {
        const char *before = i == 0 ? "" : i + 1 == found->device_count ? " or " : ", ";
        length += (size_t)snprintf(offered + length, sizeof offered - length, "%s%s", before,
                                   found->devices[i]);
    }
    return error_set(error, ERROR_UNAVAILABLE, "%s offers no device \"%.40s\" here: use %s",
                     ops->title, device, found->device_count ? offered : "another engine");
}

/* Fills in what follows from the network's layers. */
static int check_config(const struct engine_ops *ops, struct engine_config *config,
                        struct error *error)
{
    if (config->batch_size < 1)
        return error_set(error, ERROR_INPUT, "batch size 0 is out of range: use 1 or more");
    if (config->threads < 1 || config->threads > ENGINE_MAX_THREADS)
        return error_set(error, ERROR_INPUT, "%u threads are out of range: use 1 to %d",
                         config->threads, ENGINE_MAX_THREADS);
    if (network_finish(&config->network, error) ||
        engine_check_network(ops, &config->network, error))
        return -1;
    return optimizer_check(&config->optimizer, error);
}

/* An engine opens with a state of zeros; some optimizers begin with another. */
static int begin_state(struct engine *engine, struct error *error)
{
    const struct optimizer *optimizer = &engine->config.optimizer;
    struct optimizer_state *state;
    bool zero = optimizer_number_count(optimizer) == 0;
    for (uint32_t i = 0; i < optimizer_slot_count(optimizer); i++)
        zero = zero && optimizer_slot_start(optimizer, i) == 0;
    if (zero) return 0;
    if (optimizer_state_create(optimizer, &engine->config.network, engine->config.dtype, &state,
                               error))
        return -1;
    int status = engine->ops->set_optimizer_state(engine, state, error);
    optimizer_state_destroy(state);
    return status;
}

int engine_open(const struct engine_ops *ops, const struct engine_config *config,
                struct engine **out, struct error *error)
{
    struct engine_probe found;
    struct engine_config checked = *config;
    *out = NULL;
    if (!checked.device) checked.device = "cpu";
    if (check_config(ops, &checked, error)) return -1;
    ops->probe(&found);
    if (!found.found) return error_set(error, ERROR_UNAVAILABLE, "%s", found.missing);
    if (engine_check_device(ops, &found, checked.device, error) ||
        ops->open(&checked, &found, out, error))
        return -1;
    checked.device = NULL; /* the caller's text may go */
    (*out)->ops = ops;
    (*out)->config = checked;
    (*out)->split = NULL;
    (*out)->rates = NULL;
    if (!begin_state(*out, error)) return 0;
    ops->close(*out);
    *out = NULL;
    return -1;
}

void engine_close(struct engine *engine)
{
    if (engine) engine->ops->close(engine);
}

/* ---- samples and values in and out ---- */

int engine_attach(struct engine *engine, const struct split *split, struct error *error)
{
    uint32_t classes = network_classes(&engine->config.network);
    if (split->count < 1)
        return error_set(error, ERROR_INPUT, "there are no samples to train on: add some");
    for (size_t i = 0; i < split->count; i++)
        if (split->labels[i] >= classes)
            return error_set(error, ERROR_INPUT,
                             "sample %zu has label %u but the network has %u classes: make the "
                             "last layer wider",
                             i, split->labels[i], classes);
    engine->split = NULL;
    if (engine->ops->attach(engine, split, error)) return -1;
    engine->split = split;
    return 0;
}

static int check_parameters(const struct engine *engine, const struct parameters *parameters,
                            struct error *error)
{
    return parameters_check(parameters, &engine->config.network, engine->config.dtype, error);
}

int engine_set_parameters(struct engine *engine, const struct parameters *parameters,
                          struct error *error)
{
    if (check_parameters(engine, parameters, error)) return -1;
    return engine->ops->set_parameters(engine, parameters, error);
}

int engine_get_parameters(struct engine *engine, struct parameters *parameters, struct error *error)
{
    if (check_parameters(engine, parameters, error)) return -1;
    return engine->ops->get_parameters(engine, parameters, error);
}

static int check_state(const struct engine *engine, const struct optimizer_state *state,
                       struct error *error)
{
    uint32_t slots = optimizer_slot_count(&engine->config.optimizer);
    if (state->slot_count != slots)
        return error_set(error, ERROR_INPUT,
                         "the optimizer state has %u slots but %s keeps %u here: use the state of "
                         "the same optimizer",
                         state->slot_count, optimizer_type_name(engine->config.optimizer.type),
                         slots);
    for (uint32_t i = 0; i < slots; i++)
        if (check_parameters(engine, state->slots[i], error))
            return error_prefix(error, "the optimizer state");
    return 0;
}

int engine_set_optimizer_state(struct engine *engine, const struct optimizer_state *state,
                               struct error *error)
{
    if (check_state(engine, state, error)) return -1;
    return engine->ops->set_optimizer_state(engine, state, error);
}

int engine_get_optimizer_state(struct engine *engine, struct optimizer_state *state,
                               struct error *error)
{
    if (check_state(engine, state, error)) return -1;
    return engine->ops->get_optimizer_state(engine, state, error);
}

int engine_set_learning_rate(struct engine *engine, double learning_rate, struct error *error)
{
    struct optimizer before = engine->config.optimizer, changed = before;
    changed.learning_rate = learning_rate;
    /* 0 is where a schedule may end */
    if (learning_rate != 0 && optimizer_check(&changed, error)) return -1;
    if (!engine->ops->set_learning_rate)
        return error_set(error, ERROR_UNAVAILABLE,
                         "%s keeps the learning rate that it was opened with: open it again",
                         engine->ops->title);
    engine->config.optimizer = changed;
    if (engine->ops->set_learning_rate(engine, learning_rate, error) == 0) return 0;
    engine->config.optimizer = before;
    return -1;
}

/* ---- computing ---- */

static int check_order(const struct engine *engine, const uint32_t *order, size_t count,
                       struct error *error)
{
    if (!engine->split)
        return error_set(error, ERROR_USAGE, "no samples are attached: attach a data set first");
    if (count > INT32_MAX) /* what a graph's indices reach */
        return error_set(error, ERROR_INPUT,
                         "%zu samples in one call are out of range: use 1 to %d", count, INT32_MAX);
    for (size_t i = 0; i < count; i++)
        if (order[i] >= engine->split->count)
            return error_set(error, ERROR_INPUT,
                             "the order names sample %u but the data set has %zu: use 0 to %zu",
                             order[i], engine->split->count, engine->split->count - 1);
    return 0;
}

/* For what works on (a part of) one batch. */
static int check_batch(const struct engine *engine, const uint32_t *order, size_t count,
                       struct error *error)
{
    if (check_order(engine, order, count, error)) return -1;
    if (count < 1 || count > engine->config.batch_size)
        return error_set(error, ERROR_INPUT, "a batch of %zu is out of range: use 1 to %u samples",
                         count, engine->config.batch_size);
    return 0;
}

int engine_train(struct engine *engine, const uint32_t *order, size_t count, double *losses,
                 uint32_t *correct, struct error *error)
{
    const struct engine_config *config = &engine->config;
    if (check_order(engine, order, count, error) ||
        engine_check_batches(&config->network, config->batch_size, count, error))
        return -1;
    return count ? engine->ops->train(engine, order, count, losses, correct, error) : 0;
}

static int check_rates(const double *rates, size_t steps, struct error *error)
{
    for (size_t i = 0; rates && i < steps; i++)
        if (!(rates[i] >= 0 && rates[i] <= OPTIMIZER_MAX_LEARNING_RATE))
            return error_set(error, ERROR_INPUT,
                             "the learning rate %g of a step is out of range: use 0 to %d",
                             rates[i], OPTIMIZER_MAX_LEARNING_RATE);
    return 0;
}

int engine_train_at_rates(struct engine *engine, const uint32_t *order, size_t count,
                          const double *rates, double *losses, uint32_t *correct,
                          struct error *error)
{
    size_t batch = engine->config.batch_size;
    if (check_rates(rates, (count + batch - 1) / batch, error)) return -1;
    engine->rates = rates;
    int status = engine_train(engine, order, count, losses, correct, error);
    engine->rates = NULL;
    return status;
}

int engine_forward(struct engine *engine, const uint8_t *pixels, size_t count, double *logits,
                   struct error *error)
{
    return count ? engine->ops->forward(engine, pixels, count, logits, error) : 0;
}

int engine_infer(struct engine *engine, const double *inputs, size_t count, double *logits,
                 struct error *error)
{
    if (!engine->ops->infer)
        return error_set(error, ERROR_UNAVAILABLE,
                         "%s takes pictures of bytes alone: use another engine for values",
                         engine->ops->title);
    if (!engine->config.infers)
        return error_set(error, ERROR_USAGE, "the engine was not opened for values");
    return count ? engine->ops->infer(engine, inputs, count, logits, error) : 0;
}

int engine_trace(struct engine *engine, const uint32_t *order, size_t count, engine_trace_fn *emit,
                 void *context, struct error *error)
{
    if (check_batch(engine, order, count, error) ||
        engine_check_batches(&engine->config.network, count, count, error))
        return -1;
    return engine->ops->trace(engine, order, count, emit, context, error);
}

int engine_follow(struct engine *engine, const uint8_t *pixels, uint32_t target,
                  engine_trace_fn *emit, void *context, struct error *error)
{
    uint32_t classes = network_classes(&engine->config.network);
    if (target != ENGINE_NO_CLASS && target >= classes)
        return error_set(error, ERROR_INPUT, "the network has no class %u: choose one from 0 to %u",
                         target, classes - 1);
    return engine->ops->follow(engine, pixels, target, emit, context, error);
}

int engine_check_parts(const struct engine_ops *ops, struct error *error)
{
    if (!ops->gradients || !ops->apply)
        return error_set(error, ERROR_UNAVAILABLE,
                         "%s cannot compute a part of a batch: train the whole batch with it",
                         ops->title);
    return 0;
}

static int check_parts(const struct engine *engine, const struct parameters *sums,
                       struct error *error)
{
    if (engine_check_parts(engine->ops, error)) return -1;
    return check_parameters(engine, sums, error);
}

int engine_gradients(struct engine *engine, const struct engine_part *part, const uint32_t *order,
                     size_t count, struct parameters *sums, double *loss, uint32_t *correct,
                     struct error *error)
{
    const struct engine_part all = {.whole = count};
    if (!part) part = &all;
    if (check_parts(engine, sums, error) || check_batch(engine, order, count, error)) return -1;
    if (part->whole > engine->config.batch_size || part->first > part->whole ||
        count > part->whole - part->first)
        return error_set(error, ERROR_INPUT,
                         "%zu samples from number %zu on do not lie in a batch of %zu: give the "
                         "place of the part in its batch",
                         count, part->first, part->whole);
    if (engine_check_batches(&engine->config.network, part->whole, part->whole, error)) return -1;
    return engine->ops->gradients(engine, part, order, count, sums, loss, correct, error);
}

int engine_apply(struct engine *engine, const struct parameters *sums, double divisor,
                 const double *rate, struct error *error)
{
    if (check_parts(engine, sums, error) || check_rates(rate, 1, error)) return -1;
    if (!(divisor > 0))
        return error_set(error, ERROR_INPUT,
                         "gradients of 0 samples cannot be applied: give the number of samples in "
                         "all parts");
    engine->rates = rate;
    int status = engine->ops->apply(engine, sums, divisor, error);
    engine->rates = NULL;
    return status;
}
