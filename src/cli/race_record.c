/* Keeps the runs of a race in the store, so that `nnstudio runs` and the dashboard show them, live.
 * Trouble with that is told once and ends the keeping, never the training. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/race.h"
#include "store/recorder.h"

/* As often as the dashboard asks. */
#define FLUSH_SECONDS 0.04

static void give_up(struct race *race, const struct error *error)
{
    log_line("nnstudio: the runs are not kept in the list of runs: %s", error->message);
    for (size_t i = 0; i < race->count; i++) {
        recorder_destroy(race->lanes[i].recorder);
        race->lanes[i].recorder = NULL;
    }
    store_close(race->store);
    race->store = NULL;
}

/* A run that goes on is there already, unless it was begun under another home. */
static int enter(struct store *store, struct lane *lane, struct error *error)
{
    const char *run = lane->job.run;
    if (lane->kept && !store_run_claim(store, run, lane->job.engine, lane->job.epochs, true, error))
        return recorder_create(store, run, &lane->recorder, error);
    if (lane->kept && error->code != ERROR_NOT_FOUND) return -1;
    if (store_run_create(store, &lane->job, NULL, NULL, true, error)) return -1;
    return recorder_create(store, run, &lane->recorder, error);
}

void race_record_begin(struct race *race)
{
    struct error error;
    int status = store_open(race->lanes[0].job.home, &race->store, &error);
    for (size_t i = 0; i < race->count && !status; i++)
        status = enter(race->store, &race->lanes[i], &error);
    if (status) give_up(race, &error);
}

void race_record_event(struct race *race, struct lane *lane, const json_t *event)
{
    struct error error;
    if (!lane->recorder) return;
    recorder_watch(lane->recorder, lane->worker ? worker_pid(lane->worker) : 0);
    if (recorder_event(lane->recorder, event, &error)) give_up(race, &error);
}

void race_record_flush(struct race *race, bool now)
{
    struct error error;
    double clock = clock_monotonic();
    if (!race->store || (!now && clock - race->flushed < FLUSH_SECONDS)) return;
    race->flushed = clock;
    int status = 0;
    for (size_t i = 0; i < race->count && !status; i++)
        if (race->lanes[i].recorder) status = recorder_flush(race->lanes[i].recorder, &error);
    /* A full disk may have room later: what waits is kept, and tried again. */
    if (status && !race->unwritten)
        log_line("nnstudio: what the runs do is not kept for now: %s", error.message);
    race->unwritten = status != 0;
}

void race_record_end(struct race *race)
{
    struct error error;
    race_record_flush(race, true);
    if (race->unwritten) log_line("nnstudio: the end of the runs is not in the list of runs");
    for (size_t i = 0; i < race->count && race->store; i++) {
        struct lane *lane = &race->lanes[i];
        recorder_destroy(lane->recorder);
        lane->recorder = NULL;
        /* One that left nothing behind is not listed; one that never began is over. */
        int status = lane->kept ? 0
                                : store_run_set_state(race->store, lane->job.run, RUN_FAILED, NULL,
                                                      &error);
        if (!status && !lane->kept)
            status = store_run_delete(race->store, lane->job.run, true, &error);
        if (status) log_error(&error);
    }
    store_close(race->store);
    race->store = NULL;
}
