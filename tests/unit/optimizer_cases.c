/* Trains the same small network with many optimizers, for tests/python/test_optimizers.py, which
 * trains it with the frameworks' own.
 *
 *   optimizer_cases ENGINE|plan < TASK > RESULTS
 *
 * TASK: {"rows","columns","hidden","classes","batch_size","pixels":[…],"labels":[…],"order":[…],
 * "parameters":[…],"cases":[{"optimizer":{…},"rates":[…]}…],"cut":N}. Every case is trained in
 * float64 with a rate for every step; after `cut` steps it goes on in another engine, from the
 * state that the first gave. RESULTS: an array of final parameters for every case. "plan" is the
 * native engine's way for networks that are more than dense layers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "engine/engine.h"

struct task {
    json_t *json;
    const struct engine_ops *ops;
    struct engine_config config;
    struct split split;
    uint32_t *order;
    size_t order_count, steps, cut;
    struct parameters *start;
    bool plan;
};

static void need(int status, const struct error *error)
{
    if (!status) return;
    fprintf(stderr, "optimizer_cases: %s\n", error->message);
    exit(1);
}

static uint32_t whole(const struct task *task, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(task->json, key));
}

/* A list of whole numbers, of `size` bytes each. */
static void *list(const struct task *task, const char *key, size_t size, size_t *count)
{
    const json_t *values = json_object_get(task->json, key);
    *count = json_array_size(values);
    char *out = calloc(*count, size);
    for (size_t i = 0; i < *count; i++) {
        uint32_t value = (uint32_t)json_integer_value(json_array_get(values, i));
        memcpy(out + i * size, &value, size); /* little-endian */
    }
    return out;
}

static void read_task(struct task *task)
{
    struct error error;
    uint32_t hidden = whole(task, "hidden");
    size_t count;
    need(network_build(&task->config.network, whole(task, "rows"), whole(task, "columns"), &hidden,
                       1, ACTIVATION_TANH, whole(task, "classes"), &error),
         &error);
    task->config.dtype = DTYPE_FLOAT64;
    task->config.batch_size = whole(task, "batch_size");
    task->config.threads = task->ops == engine_default ? 2 : 1;
    task->config.infers = task->plan;
    task->split.pixels = list(task, "pixels", 1, &count);
    task->split.labels = list(task, "labels", 1, &task->split.count);
    task->order = list(task, "order", sizeof *task->order, &task->order_count);
    task->steps = task->order_count / task->config.batch_size;
    task->cut = whole(task, "cut");
    need(parameters_create(&task->config.network, DTYPE_FLOAT64, &task->start, &error), &error);
    const json_t *values = json_object_get(task->json, "parameters");
    size_t at = 0;
    for (size_t t = 0; t < task->start->tensor_count; t++)
        for (size_t i = 0; i < task->start->tensors[t].count; i++)
            tensor_set(task->start, &task->start->tensors[t], i,
                       json_number_value(json_array_get(values, at++)));
}

/* Steps [from, to) in an engine of their own; parameters and state go in and come out. */
static void train(const struct task *task, const double *rates, size_t from, size_t to,
                  struct parameters *parameters, struct optimizer_state *state)
{
    struct error error;
    struct engine *engine;
    size_t batch = task->config.batch_size;
    double *losses = calloc(to - from, sizeof *losses);
    need(engine_open(task->ops, &task->config, &engine, &error), &error);
    need(engine_attach(engine, &task->split, &error), &error);
    need(engine_set_parameters(engine, parameters, &error), &error);
    if (from) need(engine_set_optimizer_state(engine, state, &error), &error);
    need(engine_train_at_rates(engine, task->order + from * batch, (to - from) * batch,
                               rates + from, losses, NULL, &error),
         &error);
    need(engine_get_parameters(engine, parameters, &error), &error);
    need(engine_get_optimizer_state(engine, state, &error), &error);
    engine_close(engine);
    free(losses);
}

static void print_values(const struct parameters *parameters)
{
    const char *before = "";
    for (size_t t = 0; t < parameters->tensor_count; t++)
        for (size_t i = 0; i < parameters->tensors[t].count; i++, before = ",")
            printf("%s%.17g", before, tensor_get(parameters, &parameters->tensors[t], i));
}

static void run_case(struct task *task, const json_t *one)
{
    struct error error;
    struct parameters *parameters;
    struct optimizer_state *state;
    struct engine_config *config = &task->config;
    const json_t *given = json_object_get(one, "rates");
    double *rates = calloc(task->steps, sizeof *rates);
    for (size_t i = 0; i < task->steps; i++) rates[i] = json_number_value(json_array_get(given, i));
    need(optimizer_from_json(json_object_get(one, "optimizer"), &config->optimizer, &error),
         &error);
    need(parameters_create(&config->network, DTYPE_FLOAT64, &parameters, &error), &error);
    memcpy(parameters->values, task->start->values, parameters->value_count * sizeof(double));
    need(
        optimizer_state_create(&config->optimizer, &config->network, DTYPE_FLOAT64, &state, &error),
        &error);
    const json_t *own = json_object_get(one, "optimizer"),
                 *weights = json_object_get(own, "class_weights");
    config->loss = (struct loss_rules){
        .smoothing = json_number_value(json_object_get(own, "smoothing")),
        .weighted = weights != NULL};
    for (size_t c = 0; c < json_array_size(weights); c++)
        config->loss.weights[c] = json_number_value(json_array_get(weights, c));
    if (task->cut) train(task, rates, 0, task->cut, parameters, state);
    train(task, rates, task->cut, task->steps, parameters, state);
    print_values(parameters);
    parameters_destroy(parameters);
    optimizer_state_destroy(state);
    free(rates);
}

int main(int argc, char **argv)
{
    struct error error = {0};
    struct task task = {.json = json_loadf(stdin, 0, NULL)};
    if (argc != 2 || !task.json) {
        fprintf(stderr, "usage: optimizer_cases ENGINE|plan < TASK\n");
        return 2;
    }
    task.plan = strcmp(argv[1], "plan") == 0;
    need(engine_need(task.plan ? "native" : argv[1], &task.ops, &error), &error);
    read_task(&task);
    const json_t *cases = json_object_get(task.json, "cases");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        printf(i ? ",\n[" : "[[");
        run_case(&task, json_array_get(cases, i));
        printf("]");
    }
    printf("]\n");
    fflush(stdout);
    _Exit(0); /* the frameworks' destructors now and then hang */
}
