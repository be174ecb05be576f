/* The studio's memory: runs with their points, epochs, logs and files, the events of the stream,
 * preferences, registrations. One SQLite database, HOME/studio.db, in WAL mode; several processes
 * may have it open at once.
 *
 * A handle is used by one thread at a time. JSON that is returned is a new reference and has the
 * shapes of docs/internals/api.md. Times are milliseconds since 1970 UTC. */
#ifndef NNSTUDIO_STORE_STORE_H
#define NNSTUDIO_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "run/job.h"

struct store;

/* Makes the home and the database when they are not there, brings an older one up to date. Refused
 * with a clear line: a home that cannot be written, a database from a newer version. */
int store_open(const char *home, struct store **out, struct error *error);
/* Makes the list of runs anew from the runs' folders when the database is damaged, empty or gone.
 * The damaged one is kept as *aside (malloc'd; NULL when there was none). What only the database
 * knew is not there anymore: titles, tags, notes, registrations, preferences. */
int store_rebuild(const char *home, char **aside, uint32_t *count, struct error *error);
/* Puts a run into the list by its folder in the home, which came from another machine; `model` is
 * its model file here, NULL for none. One that is in the list stays as it is. */
int store_take_run(struct store *store, const char *run, const char *model, struct error *error);
void store_close(struct store *store); /* NULL is fine */
const char *store_home(const struct store *store);
/* Removes what killed processes left in the home: unfinished files and work folders. What living
 * ones write is locked, and stays. */
void store_tidy(const char *home);

/* What is written between the two is seen by others all at once or not at all. May be nested. */
int store_begin(struct store *store, struct error *error);
int store_commit(struct store *store, struct error *error);
void store_rollback(struct store *store); /* everything since the outermost store_begin() */

/* --- runs ------------------------------------------------------------------------------------- */

enum run_state {
    RUN_QUEUED,
    RUN_STARTING,
    RUN_RUNNING,
    RUN_PAUSED,
    RUN_STOPPING, /* the living ones */
    RUN_FINISHED,
    RUN_STOPPED,
    RUN_FAILED,
    RUN_INTERRUPTED,
    RUN_STATE_COUNT,
};
const char *run_state_name(enum run_state state);
int run_state_parse(const char *name, enum run_state *out, struct error *error);
bool run_state_is_live(enum run_state state);

/* What the program decides by; everything else about a run is JSON for users. */
struct run_record {
    enum run_state state;
    bool owned;       /* some process trains it, or it waits in that process's queue */
    bool by_terminal; /* that process is a terminal's `nnstudio train` */
    pid_t owner_pid;  /* 0 when not owned */
    bool checkpoint;  /* one is on disk */
    bool deleted;
    uint64_t global_step; /* points kept */
    struct job job;       /* as it was last started; resume is empty */
};

/* Adds a run in state queued, owned by this process. `showdown` may be NULL; `tags` is an array or
 * NULL. */
int store_run_create(struct store *store, const struct job *job, const char *showdown,
                     const json_t *tags, bool by_terminal, struct error *error);
int store_run_get(struct store *store, const char *run, struct run_record *out,
                  struct error *error);
/* Run; with `full`, its epochs and the last 200 log lines as well. */
int store_run_json(struct store *store, const char *run, bool full, json_t **out,
                   struct error *error);
int store_run_epochs(struct store *store, const char *run, json_t **out, struct error *error);

struct run_filter {
    const char *text;                            /* in id, name, notes, tags, data set; NULL: any */
    const char *state, *engine, *tag, *showdown; /* NULL: any */
    /* "created_at", "name", "engine", "state", "loss", "val_accuracy", "seconds", or "settings."
     * and a setting's key; NULL: created_at */
    const char *sort;
    bool ascending;
    bool deleted;           /* the deleted ones instead */
    uint32_t limit, offset; /* limit 0: no limit */
};
int store_run_list(struct store *store, const struct run_filter *filter, json_t **runs,
                   uint64_t *total, struct error *error);

/* Each writes the change and its event. */
int store_run_set_state(struct store *store, const char *run, enum run_state state,
                        const char *message, struct error *error);
/* NULL leaves a value as it is. */
int store_run_edit(struct store *store, const char *run, const char *name, const json_t *tags,
                   const char *notes, struct error *error);
/* What users call the run; "" leaves it with its name. Control characters are refused. */
int store_run_set_title(struct store *store, const char *run, const char *title,
                        struct error *error);
/* Takes an ended run for this process, to go on with `engine` until `epochs`: state queued.
 * ERROR_CONFLICT when it is being trained. */
int store_run_claim(struct store *store, const char *run, const char *engine, uint32_t epochs,
                    bool by_terminal, struct error *error);
/* Another learning rate from the run's next step on (run/rate.h). Refused: a run that does not
 * train (ERROR_CONFLICT), a rate out of range (ERROR_INPUT). */
int store_run_change_rate(struct store *store, const char *run, double rate, struct error *error);
/* Deleting hides a run; store_purge() or `forever` removes it with its folder in the home. */
int store_run_delete(struct store *store, const char *run, bool forever, struct error *error);
int store_run_restore(struct store *store, const char *run, struct error *error);
/* Removes what was deleted before `before_ms`, and old events. */
int store_purge(struct store *store, int64_t before_ms, struct error *error);

/* Runs whose process has died become "interrupted"; *count says how many did. */
int store_mark_interrupted(struct store *store, uint32_t *count, struct error *error);

/* Asks the process that trains a run to stop, by SIGTERM. ERROR_CONFLICT when it is gone. */
int store_run_interrupt_owner(struct store *store, const char *run, struct error *error);

/* The path of a file of a run, malloc'd. */
int store_file_path(struct store *store, const char *run, const char *name, char **path,
                    struct error *error);
/* The file to compute with: safetensors before others. Also its SHA-256. */
int store_model_file(struct store *store, const char *run, char **path, char sha256[65],
                     struct error *error);

/* The newest run of an engine that has a model file, is not deleted and did not diverge; "" when
 * there is none. */
int store_newest_model(struct store *store, const char *engine, char run[64], struct error *error);

/* How many runs that are not deleted were given that data set, and one of them that is alive; ""
 * when none is. */
int store_runs_of_dataset(struct store *store, const char *dataset, uint32_t *count, char live[64],
                          struct error *error);

int store_showdown_create(struct store *store, const char *mode, char id[32], struct error *error);
int store_showdown_mode(struct store *store, const char *id, char mode[16], struct error *error);

/* --- points ----------------------------------------------------------------------------------- */

/* A stretch of a run's loss curve. */
struct points {
    uint64_t total; /* points the run has in all */
    /* the stretch that was asked for, both included, cut to what is there */
    uint64_t from, to;
    uint64_t stride; /* steps a bucket; 1: every point is there */
    size_t count;
    uint64_t *step;  /* [count], ascending */
    double *loss;    /* [count] */
    double *mean;    /* [count] mean loss of the point's bucket */
    double *seconds; /* [count] training time at that step */
};
/* At most `max` points (≥ 2): all when they fit, else the least and the greatest of each bucket of
 * `stride` steps. `to` UINT64_MAX means the end; max 0 means no limit. The caller frees with
 * points_free(). */
int store_points(struct store *store, const char *run, uint64_t from, uint64_t to, size_t max,
                 struct points *out, struct error *error);
void points_free(struct points *points);

/* --- the stream ------------------------------------------------------------------------------- */

/* One event, as it lies in the database: what it is about, not what it says. */
struct store_event {
    int64_t id;
    char kind[12];        /* "run", "steps", "epoch", "log", "task", "removed" */
    char run[64];         /* "" for a task */
    int64_t first, count; /* steps: first step and count; epoch: its number; log: its id */
    const char *data;     /* task: its JSON; steps: the engine; else "" */
};
int store_last_event(struct store *store, int64_t *id, struct error *error);
/* last + 1 when there is none */
int store_first_event(struct store *store, int64_t *id, struct error *error);
typedef int store_event_fn(void *context, const struct store_event *event, struct error *error);
int store_events(struct store *store, int64_t after, int64_t until, store_event_fn *each,
                 void *context, struct error *error);
int store_add_task_event(struct store *store, const json_t *task, struct error *error);
/* The rows that events point at, as the stream's data. *out is NULL when they are gone. */
int store_epoch_json(struct store *store, const char *run, int64_t epoch, json_t **out,
                     struct error *error);
int store_log_json(struct store *store, const char *run, int64_t id, json_t **out,
                   struct error *error);

/* --- small things
 * -----------------------------------------------------------------------------------------------
 */

/* A whole JSON value by name; *out is NULL when there is none. */
int store_preference_get(struct store *store, const char *key, json_t **out, struct error *error);
int store_preference_set(struct store *store, const char *key, const json_t *value,
                         struct error *error);
/* What was computed for a run's file; *out is NULL when nothing was, or for another content. */
int store_evaluation_get(struct store *store, const char *run, const char *sha256, json_t **out,
                         struct error *error);
int store_evaluation_set(struct store *store, const char *run, const char *sha256,
                         const json_t *result, struct error *error);

/* A registration is {"id","run","target","name","version","uri","sha256","created_at","state",
 * "steps":[…],"data":{…}}. */
int store_registration_add(struct store *store, const json_t *registration, int64_t *id,
                           struct error *error);
/* Members that are absent stay as they are. */
int store_registration_update(struct store *store, int64_t id, const json_t *changes,
                              struct error *error);
/* Newest first; `run` NULL: all; id 0: all. */
int store_registration_list(struct store *store, const char *run, int64_t id, json_t **out,
                            struct error *error);

#endif
