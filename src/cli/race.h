/* Engines training the same job, one after another or at once: the workers' events gathered, shown,
 * compared. */
#ifndef NNSTUDIO_CLI_RACE_H
#define NNSTUDIO_CLI_RACE_H

#include "engine/engine.h"
#include "registry/registry.h"
#include "run/supervisor.h"
#include "store/store.h"

#define RACE_MAX_LANES 8

enum lane_state { LANE_WAITING, LANE_RUNNING, LANE_FINISHED, LANE_STOPPED, LANE_FAILED };

/* One engine's run and what is known of it. */
struct lane {
    struct job job;
    const struct engine_ops *ops;
    struct worker *worker;        /* owned while it lives */
    struct recorder *recorder;    /* owned; NULL when the run is not kept in the store */
    struct lane_tracker *tracker; /* owned by race_track.c; NULL when it is not tracked */
    enum lane_state state;
    char version[64];
    uint64_t samples, steps_per_epoch;
    uint32_t epoch; /* epochs done */
    uint64_t step;  /* steps done in all */
    bool kept;      /* a checkpoint or a model was written, or was there to begin with */
    double *losses; /* owned; of steps first_step … first_step + loss_count - 1 */
    uint64_t first_step;
    size_t loss_count, loss_capacity;
    bool measured;                       /* there are figures of an epoch */
    double loss, val_loss, val_accuracy; /* of the last epoch */
    bool validated;                      /* on samples taken from training, too */
    double validation_loss, validation_accuracy;
    double rate;          /* samples/s of the last epoch */
    double begun;         /* clock when training began */
    double epoch_seconds; /* of the epochs that ended, training alone */
    uint32_t epochs_timed;
    double seconds, cpu_seconds, peak_rss; /* of the whole process */
    char model[JOB_PATH_MAX];
    char message[1024]; /* why it failed */
};

struct race {
    struct lane lanes[RACE_MAX_LANES];
    size_t count;
    bool parallel, json;
    bool interrupted;
    const struct registry_options *track; /* the tracking server; NULL: none */
    struct store *store;                  /* owned; NULL when nothing is kept */
    double flushed;                       /* clock of the last write */
    bool unwritten;                       /* it was said that the store cannot be written */
};

/* Runs all lanes to their end. Returns the exit status. Frees what the lanes own. */
int race_run(struct race *race);

/* Seconds per epoch, training alone; NAN when no epoch ended. */
double lane_seconds_per_epoch(const struct lane *lane);
/* The largest difference of a step's loss over the steps both have, below `last_step`; NAN when
 * there are none. */
double lane_difference(const struct lane *a, const struct lane *b, uint64_t last_step);
/* The finished or stopped lane with the least seconds per epoch, or NULL. */
const struct lane *race_fastest(const struct race *race);

/* The runs in the store (race_record.c): entered, what workers say, written some tens of times per
 * second, ended. */
void race_record_begin(struct race *race);
void race_record_event(struct race *race, struct lane *lane, const json_t *event);
void race_record_flush(struct race *race, bool now);
void race_record_end(struct race *race);

/* The runs at a tracking server (race_track.c); the end waits a while for what is not sent yet, and
 * says how it stands. `signals`: readable when the user wants to stop. */
void race_track_begin(struct race *race);
void race_track_end(struct race *race, int signals);

/* The picture on standard error (race_view.c): bars on a terminal, plain lines otherwise. */
void race_view_event(const struct race *race, const struct lane *lane, const char *kind);
void race_view_end(const struct race *race);
/* The table and the differences on standard output. */
void race_print_table(const struct race *race);

#endif
