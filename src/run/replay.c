#include "run/replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "run/rate.h"
#include "run/setup.h"
#include "run/trace_impl.h"
#include "train/fit.h"
#include "train/metrics.h"

struct replay {
    const struct job *job;
    const struct engine_ops *ops;
    struct dataset *dataset;       /* owned, as all below */
    struct parameters *parameters; /* as last asked for */
    struct engine *engine;
    uint32_t *order; /* of the current epoch */
    struct network network;
    struct schedule schedule;
    struct schedule_span span;
    struct schedule_state state;
    struct fit_change *changes; /* of the rate by hand, in the run that is trained again */
    size_t change_count;
    uint64_t step; /* the next */
};

static int open_replay(const struct job *job, struct replay *replay, struct error *error)
{
    *replay = (struct replay){.job = job};
    if (job_check(job, error) || engine_need(job->engine, &replay->ops, error) ||
        job_schedule(job, &replay->schedule, error) ||
        setup_dataset(job, &replay->dataset, error) ||
        setup_parameters(job, replay->dataset, &replay->network, &replay->parameters, error) ||
        setup_engine(job, replay->ops, 1, &replay->network, replay->dataset, replay->parameters,
                     &replay->engine, error))
        return -1;
    if (job->run_dir[0] &&
        rate_changes(job->run_dir, INT64_MAX, &replay->changes, &replay->change_count, error))
        return -1;
    size_t samples = replay->dataset->train.count;
    replay->span = (struct schedule_span){
        job->optimizer.learning_rate, fit_steps_per_epoch(samples, job->batch_size), job->epochs};
    replay->order = malloc(samples * sizeof *replay->order);
    return replay->order ? 0 : error_set_memory(error, "the order of the samples");
}

static void close_replay(struct replay *replay)
{
    engine_close(replay->engine);
    parameters_destroy(replay->parameters);
    dataset_close(replay->dataset);
    free(replay->order);
    free(replay->changes);
}

/* What the schedule learns between two epochs. */
static int end_epoch(struct replay *replay, struct error *error)
{
    const struct dataset *dataset = replay->dataset;
    const struct split *watched = dataset->validation.count ? &dataset->validation : &dataset->test;
    struct metrics metrics = {0};
    if (replay->schedule.kind != SCHEDULE_PLATEAU) return 0;
    if (evaluate_split(replay->engine, dataset->classes, watched, dataset_inputs(dataset), NULL,
                       NULL, &metrics, error))
        return -1;
    schedule_note_loss(&replay->schedule, &replay->span, metrics.loss, &replay->state);
    return 0;
}

/* The samples of the next step, and its learning rate. */
static int begin_step(struct replay *replay, const uint32_t **indices, size_t *count, double *rate,
                      struct error *error)
{
    uint64_t within = replay->step % replay->span.steps_per_epoch;
    size_t samples = replay->dataset->train.count, first = within * replay->job->batch_size;
    if (!within) {
        if (replay->step && end_epoch(replay, error)) return -1;
        fit_order(replay->job->seed, (uint32_t)(replay->step / replay->span.steps_per_epoch),
                  replay->order, samples);
    }
    *indices = replay->order + first;
    *count = samples - first < replay->job->batch_size ? samples - first : replay->job->batch_size;
    *rate = fit_changed_rate(
        rate_change_at(replay->changes, replay->change_count, replay->step),
        schedule_rate(&replay->schedule, &replay->span, &replay->state, replay->step));
    return 0;
}

static int train_step(struct replay *replay, const uint32_t *indices, size_t count, double rate,
                      double *loss, struct error *error)
{
    if (engine_train_at_rates(replay->engine, indices, count, &rate, loss, NULL, error)) return -1;
    replay->step++;
    return 0;
}

/* --- marks ------------------------------------------------------------------------------------ */

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), of which a double holds 53 bits. */
#define DIGEST_START UINT64_C(0xcbf29ce484222325)
static uint64_t digest(uint64_t before, const void *bytes, size_t count)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < count; i++) before = (before ^ byte[i]) * UINT64_C(0x100000001b3);
    return before;
}

static double digest_number(uint64_t value)
{
    return (double)(value >> 11);
}

/* What the samples hold, as the network receives it, and their labels. */
static double digest_input(const struct replay *replay, const uint32_t *indices, size_t count)
{
    const struct split *split = &replay->dataset->train;
    size_t inputs = dataset_inputs(replay->dataset);
    double values[256];
    preprocess_fill_f64(&replay->dataset->preprocess, values);
    uint64_t result = digest(DIGEST_START, values, sizeof values);
    for (size_t i = 0; i < count; i++) {
        result = digest(result, split->pixels + indices[i] * inputs, inputs);
        result = digest(result, &split->labels[indices[i]], 1);
    }
    return digest_number(result);
}

/* +1 or -1 by the place alone: the top bit of a multiplicative hash. */
static double sign_of(size_t place)
{
    uint64_t mixed = (place + 1) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return mixed >> 63 ? 1 : -1;
}

struct marks {
    uint32_t steps;
    double *loss, *order, *input; /* [steps] */
    double *size, *mark;          /* [tensors, steps + 1] */
};

static void mark_parameters(const struct replay *replay, struct marks *marks)
{
    const struct parameters *parameters = replay->parameters;
    for (size_t t = 0; t < parameters->tensor_count; t++) {
        const struct tensor *tensor = &parameters->tensors[t];
        double squares = 0, sum = 0;
        for (size_t i = 0; i < tensor->count; i++) {
            double value = tensor_get(parameters, tensor, i);
            squares += value * value;
            sum += value * sign_of(i);
        }
        size_t at = t * (marks->steps + 1) + replay->step;
        marks->size[at] = sqrt(squares / (double)tensor->count);
        marks->mark[at] = sum / sqrt((double)tensor->count);
    }
}

static int make_marks(struct replay *replay, struct marks *marks, struct error *error)
{
    mark_parameters(replay, marks);
    while (replay->step < marks->steps) {
        const uint32_t *indices;
        uint64_t step = replay->step;
        size_t count;
        double rate;
        if (begin_step(replay, &indices, &count, &rate, error)) return -1;
        marks->order[step] = digest_number(digest(DIGEST_START, indices, count * sizeof *indices));
        marks->input[step] = digest_input(replay, indices, count);
        if (train_step(replay, indices, count, rate, &marks->loss[step], error) ||
            engine_get_parameters(replay->engine, replay->parameters, error))
            return -1;
        mark_parameters(replay, marks);
    }
    return 0;
}

static int write_marks(const struct replay *replay, const struct marks *marks, const char *path,
                       struct error *error)
{
    struct state_dict state = {0};
    const size_t steps = marks->steps, places = steps + 1;
    int status = -1;
    if (state_dict_keep(&state, "loss", 1, &steps, marks->loss, error) ||
        state_dict_keep(&state, "order", 1, &steps, marks->order, error) ||
        state_dict_keep(&state, "input", 1, &steps, marks->input, error))
        goto out;
    for (size_t t = 0; t < replay->parameters->tensor_count; t++) {
        char size[64], mark[64];
        snprintf(size, sizeof size, "size/%s", replay->parameters->tensors[t].name);
        snprintf(mark, sizeof mark, "mark/%s", replay->parameters->tensors[t].name);
        if (state_dict_keep(&state, size, 1, &places, marks->size + t * places, error) ||
            state_dict_keep(&state, mark, 1, &places, marks->mark + t * places, error))
            goto out;
    }
    status = safetensors_write_state(path, &state, NULL, error);
out:
    state_dict_clear(&state);
    return status;
}

int replay_marks(const struct job *job, uint32_t steps, const char *path, struct error *error)
{
    struct replay replay;
    struct marks marks = {.steps = steps};
    double *room = NULL;
    int status = -1;
    if (steps < 1 || steps > REPLAY_MAX_STEPS)
        return error_set(error, ERROR_INPUT, "%u steps are out of range (1 to %d)", steps,
                         REPLAY_MAX_STEPS);
    if (open_replay(job, &replay, error)) goto out;
    size_t places = replay.parameters->tensor_count * (steps + 1);
    room = calloc(3 * (size_t)steps + 2 * places, sizeof *room);
    if (!room) {
        error_set_memory(error, "the marks");
        goto out;
    }
    marks.loss = room;
    marks.order = marks.loss + steps;
    marks.input = marks.order + steps;
    marks.size = marks.input + steps;
    marks.mark = marks.size + places;
    if (!make_marks(&replay, &marks, error)) status = write_marks(&replay, &marks, path, error);
out:
    free(room);
    close_replay(&replay);
    return status;
}

/* --- one step in detail ----------------------------------------------------------------------- */

static int keep_old(struct replay *replay, struct trace *trace, struct error *error)
{
    struct parameters *parameters = replay->parameters;
    double *values = malloc(network_largest_tensor(&replay->network, 1) * sizeof *values);
    int status = -1;
    if (!values) return error_set_memory(error, "the parameters");
    if (engine_get_parameters(replay->engine, parameters, error)) goto out;
    for (size_t t = 0; t < parameters->tensor_count; t++) {
        const struct tensor *tensor = &parameters->tensors[t];
        char name[64];
        snprintf(name, sizeof name, "old/%s", tensor->name);
        for (size_t i = 0; i < tensor->count; i++) values[i] = tensor_get(parameters, tensor, i);
        if (trace_keep(trace, name, tensor->shape, tensor->rank, values)) goto out;
    }
    status = 0;
out:
    free(values);
    return status;
}

int replay_step(const struct job *job, uint64_t step, const char *path, struct error *error)
{
    struct replay replay;
    struct trace trace = {.error = error};
    const uint32_t *indices;
    size_t count;
    double rate, loss;
    int status = -1;
    if (step >= REPLAY_MAX_STEPS)
        return error_set(error, ERROR_INPUT, "step %llu is out of range (0 to %d)",
                         (unsigned long long)step, REPLAY_MAX_STEPS - 1);
    if (open_replay(job, &replay, error)) goto out;
    while (replay.step < step)
        if (begin_step(&replay, &indices, &count, &rate, error) ||
            train_step(&replay, indices, count, rate, &loss, error))
            goto out;
    if (begin_step(&replay, &indices, &count, &rate, error) || keep_old(&replay, &trace, error) ||
        engine_set_learning_rate(replay.engine, rate, error) ||
        engine_trace(replay.engine, indices, count, trace_keep, &trace, error))
        goto out;
    status = trace_write(&trace, replay.ops, replay.dataset, indices, count, path, error);
out:
    close_replay(&replay);
    state_dict_clear(&trace.tensors);
    return status;
}
