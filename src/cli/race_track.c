/* Tracks the runs of a race at an MLflow server, on threads of this process that read the store:
 * the workers know nothing of it. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/race.h"

/* How long the command waits for what is left to send when training has ended:
 * $NNSTUDIO_TRACK_SECONDS, else this; less after Ctrl-C. */
#define WAIT_SECONDS 30.0
#define STOP_SECONDS 3.0
#define LOOK_MS      100

struct lane_tracker {
    pthread_t thread;
    struct registry_options options;
    char home[JOB_PATH_MAX], run[64];
    bool first; /* also sends what earlier runs left */
    atomic_bool stop, done;
    int status;
    struct error error;
    json_t *result; /* owned; NULL when nothing began */
};

static bool is_stopped(void *context)
{
    return atomic_load(&((struct lane_tracker *)context)->stop);
}

static void *track(void *context)
{
    struct lane_tracker *tracker = context;
    struct store *store = NULL;
    const struct registry_tracking tracking = {
        .options = &tracker->options, .run = tracker->run, .follow = true};
    struct registry_tracking own = tracking;
    tracker->status = store_open(tracker->home, &store, &tracker->error);
    own.store = store;
    if (!tracker->status) tracker->status = registry_track(&own, &tracker->result, &tracker->error);
    if (!tracker->status && tracker->first)
        registry_track_rest(store, &tracker->options,
                            json_string_value(json_object_get(tracker->result, "uri")));
    store_close(store);
    atomic_store(&tracker->done, true);
    return NULL;
}

void race_track_begin(struct race *race)
{
    for (size_t i = 0; i < race->count && race->track && race->store; i++) {
        struct lane *lane = &race->lanes[i];
        struct lane_tracker *tracker = calloc(1, sizeof *tracker);
        if (!tracker) return;
        tracker->options = *race->track;
        tracker->options.home = tracker->home;
        tracker->options.cancelled = is_stopped;
        tracker->options.context = tracker;
        tracker->first = i == 0;
        snprintf(tracker->home, sizeof tracker->home, "%s", lane->job.home);
        snprintf(tracker->run, sizeof tracker->run, "%s", lane->job.run);
        if (pthread_create(&tracker->thread, NULL, track, tracker))
            free(tracker);
        else
            lane->tracker = tracker;
    }
}

static void tell(const struct lane *lane)
{
    const struct lane_tracker *tracker = lane->tracker;
    const json_t *result = tracker->result;
    const char *link = json_string_value(json_object_get(result, "link"));
    if (!tracker->status) {
        log_line("nnstudio: %s: tracked at %s", lane->ops->id, text_shown(link ? link : ""));
    } else if (!result) {
        log_line("nnstudio: %s: not tracked: %s", lane->ops->id, tracker->error.message);
    } else {
        bool stopped = tracker->error.code == ERROR_INTERRUPTED;
        log_line("nnstudio: %s: %lld of %lld steps are at the tracking server%s%s; nnstudio track "
                 "%s sends the rest",
                 lane->ops->id, (long long)json_integer_value(json_object_get(result, "steps")),
                 (long long)json_integer_value(json_object_get(result, "all_steps")),
                 stopped ? "" : ": ", stopped ? "" : tracker->error.message, tracker->run);
    }
}

static double wait_seconds(const struct race *race)
{
    const char *text = getenv("NNSTUDIO_TRACK_SECONDS");
    double seconds = text && *text ? strtod(text, NULL) : WAIT_SECONDS;
    if (!(seconds >= 0)) seconds = WAIT_SECONDS;
    return race->interrupted && seconds > STOP_SECONDS ? STOP_SECONDS : seconds;
}

/* A second Ctrl-C, or one after training, ends the waiting. */
void race_track_end(struct race *race, int signals)
{
    double until = clock_monotonic() + wait_seconds(race);
    for (size_t i = 0; i < race->count; i++) {
        struct lane_tracker *tracker = race->lanes[i].tracker;
        if (!tracker) continue;
        while (!atomic_load(&tracker->done) && clock_monotonic() < until) {
            struct pollfd source = {.fd = signals, .events = POLLIN};
            if (poll(&source, 1, LOOK_MS) > 0) until = 0;
        }
        atomic_store(&tracker->stop, true);
        pthread_join(tracker->thread, NULL);
        tell(&race->lanes[i]);
        json_decref(tracker->result);
        free(tracker);
        race->lanes[i].tracker = NULL;
    }
}
