#include "cli/race.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/log.h"
#include "cli/cli.h"
#include "run/checkpoint.h"

/* Losses kept for the comparison, a lane: 128 MiB. */
#define LOSSES_MAX ((size_t)1 << 24)
/* How long stopping workers may take before they are killed; their last checkpoint stays. A step of
 * a large network on a busy machine takes seconds, and a second Ctrl-C ends them at once. */
#define STOP_SECONDS 20.0

double lane_seconds_per_epoch(const struct lane *lane)
{
    return lane->epochs_timed ? lane->epoch_seconds / lane->epochs_timed : NAN;
}

double lane_difference(const struct lane *a, const struct lane *b, uint64_t last_step)
{
    uint64_t first = a->first_step > b->first_step ? a->first_step : b->first_step;
    uint64_t end_a = a->first_step + a->loss_count, end_b = b->first_step + b->loss_count;
    uint64_t end = end_a < end_b ? end_a : end_b;
    if (end > last_step) end = last_step;
    double most = NAN;
    for (uint64_t step = first; step < end; step++) {
        double difference = fabs(a->losses[step - a->first_step] - b->losses[step - b->first_step]);
        if (!(most >= difference)) most = difference;
    }
    return most;
}

const struct lane *race_fastest(const struct race *race)
{
    const struct lane *best = NULL;
    for (size_t i = 0; i < race->count; i++) {
        const struct lane *lane = &race->lanes[i];
        if (lane->state == LANE_FAILED || !lane->epochs_timed) continue;
        if (!best || lane_seconds_per_epoch(lane) < lane_seconds_per_epoch(best)) best = lane;
    }
    return best;
}

/* JSON lacks nan and infinities: a loss that ran away comes as null. */
static double real_value(const json_t *value)
{
    return json_is_null(value) ? NAN : json_number_value(value);
}

/* Members of events; absent ones are 0. */
static double real_of(const json_t *event, const char *key)
{
    return real_value(json_object_get(event, key));
}

static uint64_t whole_of(const json_t *event, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(event, key));
}

static void on_start(struct lane *lane, const json_t *event)
{
    snprintf(lane->version, sizeof lane->version, "%s", js_text(event, "engine_version"));
    lane->samples = whole_of(event, "samples");
    lane->steps_per_epoch = whole_of(event, "steps_per_epoch");
    lane->epoch = (uint32_t)whole_of(event, "epoch");
    lane->step = lane->first_step = whole_of(event, "global_step");
    lane->begun = clock_monotonic();
}

static void on_step(struct lane *lane, const json_t *event)
{
    const json_t *losses = json_object_get(event, "loss");
    size_t count = json_array_size(losses), needed = lane->loss_count + count;
    lane->step += count;
    if (needed > LOSSES_MAX) return;
    if (needed > lane->loss_capacity) {
        size_t capacity = needed < 8192 ? 8192 : 2 * needed;
        double *grown = realloc(lane->losses, capacity * sizeof *grown);
        if (!grown) return; /* the comparison ends here, the training does not */
        lane->losses = grown;
        lane->loss_capacity = capacity;
    }
    for (size_t i = 0; i < count; i++)
        lane->losses[lane->loss_count++] = real_value(json_array_get(losses, i));
}

static void take_figures(struct lane *lane, const json_t *event)
{
    lane->measured = true;
    lane->loss = real_of(event, "loss");
    lane->val_loss = real_of(event, "val_loss");
    lane->val_accuracy = real_of(event, "val_accuracy");
}

static void on_epoch(struct lane *lane, const json_t *event)
{
    lane->epoch = (uint32_t)whole_of(event, "epoch");
    take_figures(lane, event);
    lane->validated = json_object_get(event, "validation_loss") != NULL;
    lane->validation_loss = real_of(event, "validation_loss");
    lane->validation_accuracy = real_of(event, "validation_accuracy");
    lane->rate = real_of(event, "samples_per_second");
    lane->epoch_seconds += real_of(event, "seconds");
    lane->epochs_timed++;
}

static void on_checkpoint(struct lane *lane, const json_t *event)
{
    (void)event;
    lane->kept = true;
}

static void on_end(struct lane *lane, const json_t *event)
{
    char state[16];
    snprintf(state, sizeof state, "%s", js_text(event, "state"));
    lane->state = strcmp(state, "finished") == 0 ? LANE_FINISHED : LANE_STOPPED;
    lane->seconds = real_of(event, "seconds");
    lane->cpu_seconds = real_of(event, "cpu_seconds");
    lane->peak_rss = real_of(event, "peak_rss_bytes");
    snprintf(lane->model, sizeof lane->model, "%s", js_text(event, "model"));
    if (lane->model[0]) lane->kept = true;
    if (json_object_get(event, "val_accuracy")) take_figures(lane, event);
}

static void on_log(struct lane *lane, const json_t *event)
{
    const char *text = json_string_value(json_object_get(event, "text"));
    if (text) log_line("nnstudio: %s: %s", lane->ops->id, text);
}

static void on_rate(struct lane *lane, const json_t *event)
{
    log_line("nnstudio: %s: learning rate %g from step %lld on", lane->ops->id,
             json_number_value(json_object_get(event, "rate")),
             (long long)json_integer_value(json_object_get(event, "global_step")) + 1);
}

static void on_error(struct lane *lane, const json_t *event)
{
    lane->state = LANE_FAILED;
    snprintf(lane->message, sizeof lane->message, "%s", js_text(event, "message"));
}

/* What each kind of event changes, and whether cli.md shows it to programs. */
static const struct event_kind {
    const char *kind;
    void (*take)(struct lane *lane, const json_t *event);
    bool shown;
    /* clang-format off */
} event_kinds[] = {
    {"step", on_step, true},  {"epoch", on_epoch, true}, {"checkpoint", on_checkpoint, false},
    {"start", on_start, true}, {"end", on_end, true},     {"error", on_error, true},
    {"log", on_log, false},    {"rate", on_rate, true},
};
/* clang-format on */

static void take_event(struct race *race, struct lane *lane, const json_t *event)
{
    const char *kind = json_string_value(json_object_get(event, "event"));
    for (size_t i = 0; i < sizeof event_kinds / sizeof event_kinds[0]; i++) {
        if (strcmp(event_kinds[i].kind, kind) != 0) continue;
        event_kinds[i].take(lane, event);
        if (race->json && event_kinds[i].shown)
            cli_print_json(json_incref((json_t *)(uintptr_t)event));
    }
    race_record_event(race, lane, event);
    if (!race->json) race_view_event(race, lane, kind);
}

static void on_event(void *context, struct worker *worker, const json_t *event)
{
    struct race *race = context;
    for (size_t i = 0; i < race->count; i++)
        if (race->lanes[i].worker == worker) take_event(race, &race->lanes[i], event);
}

static void fail_lane(struct race *race, struct lane *lane, const struct error *error)
{
    json_t *event = json_pack("{s:s, s:s, s:s, s:s}", "event", "error", "run", lane->job.run,
                              "engine", lane->ops->id, "message", error->message);
    if (event) take_event(race, lane, event);
    json_decref(event);
    lane->state = LANE_FAILED;
}

/* Starts what may start now. Returns false when nothing runs and nothing waits. */
static bool start_lanes(struct race *race)
{
    size_t running = 0;
    for (size_t i = 0; i < race->count; i++) running += race->lanes[i].worker != NULL;
    for (size_t i = 0; i < race->count; i++) {
        struct lane *lane = &race->lanes[i];
        struct error error;
        if (lane->state != LANE_WAITING || race->interrupted || (running && !race->parallel))
            continue;
        if (worker_start(&lane->job, on_event, race, &lane->worker, &error)) {
            fail_lane(race, lane, &error);
            continue;
        }
        lane->state = LANE_RUNNING;
        running++;
    }
    return running > 0;
}

/* Told once: stop, and keep what there is. Told twice: at once. */
static void interrupt(struct race *race, double *deadline)
{
    bool again = race->interrupted;
    race->interrupted = true;
    if (!again) *deadline = clock_monotonic() + STOP_SECONDS;
    for (size_t i = 0; i < race->count; i++) {
        struct error ignored;
        struct worker *worker = race->lanes[i].worker;
        if (!worker) continue;
        if (again || worker_command(worker, WORKER_STOP, &ignored)) worker_kill(worker);
    }
}

static void read_lane(struct lane *lane)
{
    if (worker_read(lane->worker)) return;
    worker_destroy(lane->worker);
    lane->worker = NULL;
}

static void wait_for_news(struct race *race, int signals, double *deadline)
{
    struct pollfd sources[RACE_MAX_LANES + 1] = {{.fd = signals, .events = POLLIN}};
    for (size_t i = 0; i < race->count; i++)
        sources[i + 1] = (struct pollfd){
            .fd = race->lanes[i].worker ? worker_fd(race->lanes[i].worker) : -1, .events = POLLIN};
    if (poll(sources, (nfds_t)race->count + 1, race->interrupted ? 50 : 500) < 0) return;
    struct signalfd_siginfo info;
    if (sources[0].revents && read(signals, &info, sizeof info) == sizeof info)
        interrupt(race, deadline);
    for (size_t i = 0; i < race->count; i++)
        if (sources[i + 1].revents) read_lane(&race->lanes[i]);
    if (!race->interrupted && cli_output_lost()) interrupt(race, deadline);
    if (race->interrupted && clock_monotonic() > *deadline) interrupt(race, deadline);
}

static void print_summary(const struct race *race)
{
    json_t *whole = json_object(), *first = json_object();
    for (size_t i = 0; i < race->count; i++) {
        for (size_t j = i + 1; j < race->count; j++) {
            const struct lane *a = &race->lanes[i], *b = &race->lanes[j];
            double difference = lane_difference(a, b, UINT64_MAX);
            if (isnan(difference)) continue;
            char pair[80];
            snprintf(pair, sizeof pair, "%s/%s", a->ops->id, b->ops->id);
            json_object_set_new(whole, pair, js_real(difference));
            json_object_set_new(first, pair, js_real(lane_difference(a, b, a->steps_per_epoch)));
        }
    }
    const struct lane *fastest = race_fastest(race);
    cli_print_json(json_pack("{s:s, s:o, s:o, s:s?}", "event", "summary", "max_loss_difference",
                             whole, "max_loss_difference_first_epoch", first, "fastest",
                             fastest ? fastest->ops->id : NULL));
}

/* One line a failure; one for all when all failed for the same reason. */
static bool tell_failures(const struct race *race)
{
    size_t failed = 0, same = 0;
    const struct lane *first = NULL;
    for (size_t i = 0; i < race->count; i++) {
        if (race->lanes[i].state != LANE_FAILED) continue;
        if (!first) first = &race->lanes[i];
        failed++;
        same += strcmp(first->message, race->lanes[i].message) == 0;
    }
    if (failed && same == failed && (failed == race->count || failed == 1)) {
        if (race->count == 1 || failed > 1)
            log_line("nnstudio: %s", first->message);
        else
            log_line("nnstudio: %s: %s", first->ops->id, first->message);
        return true;
    }
    for (size_t i = 0; i < race->count; i++)
        if (race->lanes[i].state == LANE_FAILED)
            log_line("nnstudio: %s: %s", race->lanes[i].ops->id, race->lanes[i].message);
    return failed > 0;
}

static void tell_interruption(const struct race *race)
{
    bool told = false;
    for (size_t i = 0; i < race->count; i++) {
        const struct lane *lane = &race->lanes[i];
        if (!lane->kept || lane->state == LANE_FINISHED) continue;
        log_line("nnstudio: %s stopped in epoch %u: go on with nnstudio train --resume %s",
                 lane->ops->id, lane->epoch + 1, lane->job.run);
        told = true;
    }
    if (!told) log_line("nnstudio: interrupted");
}

/* A worker that was killed may have written one and not said so. */
static void find_checkpoints(struct race *race)
{
    for (size_t i = 0; i < race->count; i++) {
        struct lane *lane = &race->lanes[i];
        char *path = checkpoint_path(&lane->job);
        if (path && file_exists(path)) lane->kept = true;
        free(path);
    }
}

/* A run that never got as far as a checkpoint leaves nothing behind. */
static void clean_up(struct race *race)
{
    for (size_t i = 0; i < race->count; i++) {
        struct lane *lane = &race->lanes[i];
        struct error ignored;
        if (!lane->kept) file_remove_tree(lane->job.run_dir, &ignored);
        free(lane->losses);
    }
}

int race_run(struct race *race)
{
    sigset_t wanted, before;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGHUP);
    sigprocmask(SIG_BLOCK, &wanted, &before);
    int signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    double deadline = 0;
    race_record_begin(race);
    race_track_begin(race);
    while (start_lanes(race)) {
        wait_for_news(race, signals, &deadline);
        race_record_flush(race, false);
    }
    find_checkpoints(race);
    race_record_end(race);
    race_track_end(race, signals);
    close(signals);
    sigprocmask(SIG_SETMASK, &before, NULL);

    if (race->json)
        print_summary(race);
    else
        race_view_end(race);
    bool failed = tell_failures(race);
    if (race->interrupted && !cli_output_lost()) tell_interruption(race);
    clean_up(race);
    if (race->interrupted) return cli_output_lost() ? EXIT_FAILED : EXIT_INTERRUPTED;
    return failed ? EXIT_FAILED : EXIT_OK;
}
