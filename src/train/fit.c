#include "train/fit.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "train/metrics.h"

/* The most steps between two events, whatever the speed. */
#define CHUNK_MAX_STEPS 16384

void fit_order(uint64_t seed, uint32_t epoch, uint32_t *out, size_t count)
{
    struct rng rng;
    rng_seed(&rng, seed, RNG_ORDER, epoch);
    rng_permutation(&rng, out, count);
}

/* What the functions below share. */
struct fit_run {
    struct engine *engine;
    const struct dataset *dataset;
    const struct fit_config *config;
    const struct fit_callbacks *callbacks;
    struct fit_position *position;
    uint64_t steps_per_epoch;
    uint32_t *order;   /* [train.count] */
    double *losses;    /* [CHUNK_MAX_STEPS or steps_per_epoch, the smaller] */
    uint32_t *correct; /* likewise */
    double *rates;     /* likewise */
    bool constant;     /* the schedule has one rate for all steps */
    struct schedule_span span;
    uint64_t chunk; /* steps in the next chunk */
    uint64_t chunk_max;
    bool stopped;
};

/* Aims at chunks that take one event's interval. The growth is bounded because the first call of a
 * framework is slow and a single measurement noisy; a chunk never changes the numbers, only how
 * often they are told. */
static void adapt_chunk(struct fit_run *run, uint64_t steps, double seconds)
{
    double rate = run->config->events_per_second > 0 ? run->config->events_per_second : 25;
    double wanted = seconds > 0 ? (double)steps / seconds / rate : 4 * (double)run->chunk;
    if (wanted > 4 * (double)run->chunk) wanted = 4 * (double)run->chunk;
    if (wanted < 1) wanted = 1;
    run->chunk = wanted > (double)run->chunk_max ? run->chunk_max : (uint64_t)wanted;
}

static int diverged(const struct fit_run *run, double loss, struct error *error)
{
    const struct fit_position *position = run->position;
    return error_set(error, ERROR_FAILED,
                     "the loss became %s at step %llu (epoch %u): try a smaller learning rate",
                     isnan(loss) ? "not a number" : "infinite",
                     (unsigned long long)position->global_step + 1, position->epoch + 1);
}

double fit_changed_rate(const struct fit_change *change, double planned)
{
    if (!change || !(change->rate > 0)) return planned;
    return planned == change->planned ? change->rate : planned * (change->rate / change->planned);
}

static double planned_rate(const struct fit_run *run, uint64_t step)
{
    return schedule_rate(&run->config->schedule, &run->span, &run->position->schedule, step);
}

static double rate_of(const struct fit_run *run, uint64_t step)
{
    return fit_changed_rate(&run->position->change, planned_rate(run, step));
}

static void take_wanted_rate(struct fit_run *run)
{
    struct fit_position *position = run->position;
    const struct fit_callbacks *callbacks = run->callbacks;
    double rate = callbacks->wanted_rate ? callbacks->wanted_rate(callbacks->context) : 0;
    if (!(rate > 0)) return;
    double planned = planned_rate(run, position->global_step);
    if (planned > 0) position->change = (struct fit_change){position->global_step, rate, planned};
    if (callbacks->on_rate) callbacks->on_rate(callbacks->context, position, planned > 0);
}

/* Some consecutive steps in one call of the engine, then the news. */
static int train_chunk(struct fit_run *run, struct error *error)
{
    struct fit_position *position = run->position;
    uint64_t steps = run->steps_per_epoch - position->step;
    take_wanted_rate(run);
    if (steps > run->chunk) steps = run->chunk;
    size_t first = (size_t)position->step * run->config->batch_size;
    size_t count = (size_t)steps * run->config->batch_size;
    if (count > run->dataset->train.count - first) count = run->dataset->train.count - first;

    bool given = !run->constant || position->change.rate > 0;
    for (uint64_t i = 0; given && i < steps; i++)
        run->rates[i] = rate_of(run, position->global_step + i);
    double start = clock_monotonic();
    if (engine_train_at_rates(run->engine, run->order + first, count, given ? run->rates : NULL,
                              run->losses, run->correct, error))
        return -1;
    double seconds = clock_monotonic() - start;
    adapt_chunk(run, steps, seconds);

    uint64_t before = position->global_step;
    position->train_seconds += seconds;
    uint64_t good = 0;
    for (; good < steps && isfinite(run->losses[good]); good++) {
        position->loss_sum += run->losses[good];
        position->correct += run->correct[good];
        position->step++;
        position->global_step++;
    }
    if (good && run->callbacks->on_steps &&
        run->callbacks->on_steps(run->callbacks->context, position, before, run->losses,
                                 (size_t)good) == FIT_STOP)
        run->stopped = true;
    return good < steps ? diverged(run, run->losses[good], error) : 0;
}

/* Keras's EarlyStopping and ModelCheckpoint count so, too. */
static bool note_best(struct fit_best *best, uint32_t epoch, double loss)
{
    bool better = !best->epoch || loss < best->loss;
    *best = better ? (struct fit_best){epoch, 0, loss}
                   : (struct fit_best){best->epoch, best->since + 1, best->loss};
    return better;
}

static int evaluate(const struct fit_run *run, const struct split *split, struct metrics *out,
                    struct error *error)
{
    const struct dataset *dataset = run->dataset;
    return evaluate_split(run->engine, dataset->classes, split, dataset_inputs(dataset), NULL, NULL,
                          out, error);
}

static int finish_epoch(struct fit_run *run, struct error *error)
{
    struct fit_position *position = run->position;
    const struct dataset *dataset = run->dataset;
    struct metrics test = {0}, validation = {0};
    if (evaluate(run, &dataset->test, &test, error) ||
        evaluate(run, &dataset->validation, &validation, error))
        return -1;
    const struct metrics *watched = validation.samples ? &validation : &test;
    double samples = (double)dataset->train.count;
    struct fit_epoch epoch = {
        .epoch = position->epoch + 1,
        .loss = position->loss_sum / (double)position->step,
        .accuracy = (double)position->correct / samples,
        .val_loss = test.loss,
        .val_accuracy = test.accuracy,
        .validation_loss = validation.loss,
        .validation_accuracy = validation.accuracy,
        .seconds = position->train_seconds,
        .samples_per_second = position->train_seconds > 0 ? samples / position->train_seconds : 0,
        .learning_rate = rate_of(run, position->global_step - 1),
    };
    schedule_note_loss(&run->config->schedule, &run->span, watched->loss, &position->schedule);
    epoch.best = watched->samples && note_best(&position->best, epoch.epoch, watched->loss);
    *position = (struct fit_position){.epoch = epoch.epoch,
                                      .global_step = position->global_step,
                                      .schedule = position->schedule,
                                      .change = position->change,
                                      .best = position->best};
    if (run->callbacks->on_epoch_end &&
        run->callbacks->on_epoch_end(run->callbacks->context, position, &epoch) == FIT_STOP)
        run->stopped = true;
    return 0;
}

static int fit_one_epoch(struct fit_run *run, struct error *error)
{
    double start = clock_monotonic();
    fit_order(run->config->seed, run->position->epoch, run->order, run->dataset->train.count);
    run->position->train_seconds += clock_monotonic() - start;
    while (run->position->step < run->steps_per_epoch && !run->stopped)
        if (train_chunk(run, error)) return -1;
    /* A stop asked for with the epoch's last step still gets the epoch's end: nothing of it is left
     * to resume. */
    return run->position->step == run->steps_per_epoch ? finish_epoch(run, error) : 0;
}

uint64_t fit_steps_per_epoch(size_t samples, uint32_t batch_size)
{
    return (samples + batch_size - 1) / batch_size;
}

bool fit_is_over(const struct fit_config *config, const struct fit_position *position)
{
    return position->epoch >= config->epochs ||
           (config->patience && position->best.since >= config->patience);
}

/* Refuses what watches the loss where there is nothing to measure it on. */
static int check_watched(const struct dataset *dataset, const struct fit_config *config,
                         struct error *error)
{
    const char *who = config->schedule.kind == SCHEDULE_PLATEAU ? "the schedule plateau watches"
                      : config->patience                        ? "early stopping watches"
                      : config->needs_best                      ? "keeping the best epoch needs"
                                                                : NULL;
    if (!who || dataset->test.count || dataset->validation.count) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s the loss on validation or test samples, and the data set has neither: "
                     "give a validation share, or leave it out",
                     who);
}

int fit(struct engine *engine, const struct dataset *dataset, const struct fit_config *config,
        struct fit_position *position, const struct fit_callbacks *callbacks, struct error *error)
{
    struct fit_run run = {
        .engine = engine,
        .dataset = dataset,
        .config = config,
        .callbacks = callbacks,
        .position = position,
        .steps_per_epoch = fit_steps_per_epoch(dataset->train.count, config->batch_size),
        .chunk = 1,
    };
    CHECK(dataset->train.count > 0 && config->batch_size > 0);
    int status = -1;
    run.span = (struct schedule_span){engine->config.optimizer.learning_rate, run.steps_per_epoch,
                                      config->epochs};
    if (check_watched(dataset, config, error)) goto out;
    run.chunk_max = run.steps_per_epoch < CHUNK_MAX_STEPS ? run.steps_per_epoch : CHUNK_MAX_STEPS;
    run.order = malloc(sizeof *run.order * dataset->train.count);
    run.losses = malloc(sizeof *run.losses * run.chunk_max);
    run.correct = malloc(sizeof *run.correct * run.chunk_max);
    run.constant = schedule_is_constant(&config->schedule);
    run.rates = malloc(sizeof *run.rates * run.chunk_max);
    if (!run.order || !run.losses || !run.correct || !run.rates) {
        error_set_memory(error, "the order of the samples");
        goto out;
    }
    if (position->step > run.steps_per_epoch) {
        error_set(
            error, ERROR_INPUT,
            "the checkpoint stands at step %llu of an epoch of %llu: was it made with other data?",
            (unsigned long long)position->step, (unsigned long long)run.steps_per_epoch);
        goto out;
    }
    while (!fit_is_over(config, position) && !run.stopped)
        if (fit_one_epoch(&run, error)) goto out;
    /* asked for since the last step: of the next one, whoever trains it */
    if (run.stopped && !fit_is_over(config, position)) take_wanted_rate(&run);
    status = 0;
out:
    free(run.order);
    free(run.losses);
    free(run.correct);
    free(run.rates);
    return status;
}
