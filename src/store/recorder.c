#include "store/recorder.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "store/outcome.h"
#include "store/points.h"
#include "store/runs.h"

/* Of waiting events; at some tens a second that is minutes without a write. */
#define WAITING_MAX 20000
/* Progress alone makes at most a few "run" events a second. */
#define PROGRESS_SECONDS 0.3

struct recorder {
    struct store *store;
    char run[64];
    int64_t key;
    char engine[32];
    pid_t worker;
    json_t *waiting; /* events not yet written */
    int64_t batch_size;
    double last_progress; /* clock of the last "run" event */
    bool changed;         /* something but progress changed since */
    bool ended;           /* its speed is that of the whole, no longer of the moment */
    /* Steps of the batch being written, consecutive. */
    double *losses;
    size_t loss_count, loss_room;
    int64_t first_step;
    /* Its part of the run, from the checkpoint it began with. Below `shown` lie steps from before
     * it: each is kept until it is made anew. */
    struct segment part;
    char version[128];
    /* Training time: of epochs that ended, and at the last step. A worker says the time within the
     * epoch with its steps; for one that does not, the clock between its events is taken. */
    double seconds_before, seconds;
    double clock;         /* of the last step event; 0 while paused or not begun */
    double speed_seconds; /* for samples/s: where the last reckoning began */
    int64_t speed_step;
    double cpu_before; /* of the run's earlier workers */
};

/* A run that goes on has spent processor time before: the new worker's comes on top. */
static int read_cpu_before(struct recorder *r, struct error *error)
{
    sqlite3_stmt *row;
    if (query_start(r->store, "SELECT coalesce(cpu_seconds, 0) FROM runs WHERE key=?", &row, error,
                    "i", r->key))
        return -1;
    int status = query_step(r->store, row, error);
    if (status == 1) r->cpu_before = sqlite3_column_double(row, 0);
    query_end(row);
    return status < 0 ? -1 : 0;
}

int recorder_create(struct store *store, const char *run, struct recorder **out,
                    struct error *error)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder) return error_set_memory(error, "a recorder");
    recorder->store = store;
    recorder->waiting = json_array();
    snprintf(recorder->run, sizeof recorder->run, "%s", run);
    if (recorder->waiting && !store_run_key(store, run, &recorder->key, error) &&
        !read_cpu_before(recorder, error)) {
        *out = recorder;
        return 0;
    }
    recorder_destroy(recorder);
    return -1;
}

void recorder_watch(struct recorder *recorder, pid_t worker)
{
    recorder->worker = worker;
}

void recorder_destroy(struct recorder *recorder)
{
    if (!recorder) return;
    json_decref(recorder->waiting);
    free(recorder->losses);
    free(recorder);
}

int recorder_event(struct recorder *recorder, const json_t *event, struct error *error)
{
    if (json_array_size(recorder->waiting) >= WAITING_MAX)
        return error_set(error, ERROR_IO, "run %s says more than can be written: is the disk full?",
                         recorder->run);
    return json_array_append(recorder->waiting, (json_t *)(uintptr_t)event)
               ? error_set_memory(error, "an event")
               : 0;
}

/* --- the log: what the user would want to be told later --- */

int store_add_log(struct store *store, int64_t key, const char *run, const char *text,
                  struct error *error)
{
    if (query_run(store, "INSERT INTO logs (run, at, text) VALUES (?,?,?)", error, "iis", key,
                  clock_wall_ms(), text))
        return -1;
    return store_add_event(store, "log", run, sqlite3_last_insert_rowid(store->db), 0, NULL, error);
}

__attribute__((format(printf, 3, 4))) static int say(struct recorder *r, struct error *error,
                                                     const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return store_add_log(r->store, r->key, r->run, text, error);
}

static int say_start(struct recorder *r, const json_t *event, int64_t first, struct error *error)
{
    long long threads = json_integer_value(json_object_get(event, "threads"));
    char from[64] = "";
    if (first) snprintf(from, sizeof from, ", from step %lld", (long long)first);
    return say(r, error, "%s %s (%s), %lld thread%s, %s: %lld samples of %s%s",
               js_text(event, "engine_title"), js_text(event, "engine_version"),
               js_text(event, "engine_detail"), threads, threads == 1 ? "" : "s",
               js_text(event, "dtype"),
               (long long)json_integer_value(json_object_get(event, "samples")),
               js_text(event, "dataset_title"), from);
}

/* --- what the events mean --- */

/* Steps that are made anew take the place of those that were shown before, and no more. */
static int replace_steps(struct recorder *r, int64_t end, struct error *error)
{
    if (r->first_step >= r->part.shown) return 0;
    r->part.end = end;
    return points_clear(r->store, r->key, r->first_step, end, error) ||
                   store_put_segment(r->store, r->key, &r->part, error)
               ? -1
               : 0;
}

static int write_steps(struct recorder *r, struct error *error)
{
    if (!r->loss_count) return 0;
    int64_t end = r->first_step + (int64_t)r->loss_count;
    if (replace_steps(r, end, error) ||
        points_append(r->store, r->key, r->first_step, r->losses, r->loss_count, r->seconds,
                      error) ||
        store_add_event(r->store, "steps", r->run, r->first_step, (int64_t)r->loss_count, r->engine,
                        error))
        return -1;
    int status = query_run(r->store, "UPDATE runs SET global_step=?, seconds=?, loss=? WHERE key=?",
                           error, "iddi", end, r->seconds, r->losses[r->loss_count - 1], r->key);
    r->loss_count = 0;
    return status ? -1 : outcome_judge(r->store, r->key, error);
}

static int room_for(struct recorder *r, size_t more, struct error *error)
{
    if (r->loss_count + more <= r->loss_room) return 0;
    size_t room = (r->loss_count + more) * 2;
    double *grown = realloc(r->losses, room * sizeof *grown);
    if (!grown) return error_set_memory(error, "a stretch of losses");
    r->losses = grown;
    r->loss_room = room;
    return 0;
}

static void reckon_time(struct recorder *r, const json_t *event)
{
    const json_t *said = json_object_get(event, "seconds");
    double now = clock_monotonic();
    if (json_is_number(said))
        r->seconds = r->seconds_before + json_number_value(said);
    else if (r->clock > 0)
        r->seconds += now - r->clock;
    r->clock = now;
}

static int on_step(struct recorder *r, const json_t *event, struct error *error)
{
    const json_t *list = json_object_get(event, "loss"), *value;
    int64_t first = json_integer_value(json_object_get(event, "first_step"));
    size_t index;
    if (r->loss_count && first != r->first_step + (int64_t)r->loss_count && write_steps(r, error))
        return -1;
    if (room_for(r, json_array_size(list), error)) return -1;
    if (!r->loss_count) r->first_step = first;
    json_array_foreach(list, index, value)
        r->losses[r->loss_count++] = json_is_number(value) ? json_number_value(value) : (double)NAN;
    reckon_time(r, event);
    return 0;
}

/* What the run is now, by its worker's first words. */
static int write_start(struct recorder *r, const json_t *event, int64_t first, struct error *error)
{
    char *network = js_dump(json_object_get(event, "network"));
    int status = query_run(
        r->store,
        "UPDATE runs SET state=CASE state WHEN 'stopping' THEN state ELSE 'running' END, "
        "engine=?, engine_version=?, "
        "network=coalesce(?,network), parameters=?, steps_per_epoch=?, global_step=?, ranks=?, "
        "started_at=coalesce(started_at,?), data_sha256=coalesce(?,data_sha256), ended_at=NULL, "
        "error=NULL WHERE key=?",
        error, "sssiiiiisi", r->engine, r->version, network,
        (int64_t)json_integer_value(json_object_get(event, "parameters")),
        (int64_t)json_integer_value(json_object_get(event, "steps_per_epoch")), first,
        store_ranks_of(event), r->part.started_at,
        json_string_value(json_object_get(event, "data_sha256")), r->key);
    free(network);
    return status;
}

/* A run that goes on from a checkpoint goes on from its step: what was shown beyond it is trained
 * again, and stays until then. */
static int on_start(struct recorder *r, const json_t *event, struct error *error)
{
    int64_t first = json_integer_value(json_object_get(event, "global_step")), shown;
    bool trains = json_integer_value(json_object_get(event, "epoch")) <
                  json_integer_value(json_object_get(event, "epochs"));
    r->batch_size = json_integer_value(json_object_get(event, "batch_size"));
    r->ended = false;
    snprintf(r->engine, sizeof r->engine, "%s", js_text(event, "engine"));
    snprintf(r->version, sizeof r->version, "%s", js_text(event, "engine_version"));
    r->part = (struct segment){.first = first,
                               .end = first,
                               .engine = r->engine,
                               .version = r->version,
                               .started_at = clock_wall_ms()};
    if (outcome_restart(r->store, r->key, first, error) ||
        store_recover(r->store, r->key, r->run, first, first, error) ||
        points_end(r->store, r->key, &shown, &r->seconds, error) ||
        points_seconds(r->store, r->key, first, &r->seconds, error))
        return -1;
    r->part.shown = shown > first ? shown : 0;
    /* one that has nothing left to train only writes its model */
    if ((trains && store_put_segment(r->store, r->key, &r->part, error)) ||
        write_start(r, event, first, error))
        return -1;
    /* The worker counts from the beginning of its epoch, of which a resumed run has done a part. */
    const json_t *begun = json_object_get(event, "seconds");
    r->seconds_before = fmax(0,
                             r->seconds - (json_is_number(begun) ? json_number_value(begun) : 0));
    r->clock = clock_monotonic();
    r->speed_step = first;
    r->speed_seconds = r->seconds;
    r->changed = true;
    return say_start(r, event, first, error);
}

static double real_member(const json_t *event, const char *key)
{
    const json_t *value = json_object_get(event, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

int64_t store_ranks_of(const json_t *event)
{
    json_int_t ranks = json_integer_value(json_object_get(event, "ranks"));
    return ranks > 1 ? ranks : 1;
}

int store_put_epoch(struct store *store, int64_t key, const char *engine, const json_t *event,
                    double cpu_before, struct error *error)
{
    return query_run(
        store,
        "INSERT OR REPLACE INTO epochs (run, epoch, engine, loss, accuracy, val_loss, "
        "val_accuracy, seconds, samples_per_second, global_step, cpu_seconds, peak_rss_bytes, "
        "learning_rate, validation_loss, validation_accuracy, ranks, communication_seconds)"
        " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,"
        /* a journal knows its own worker's time only: what is known already stays */
        " coalesce(?11, (SELECT cpu_seconds FROM epochs WHERE run=?1 AND epoch=?2)), ?12,"
        " ?13, ?14, ?15, ?16, ?17)",
        error, "iisddddddidddddid", key,
        (int64_t)json_integer_value(json_object_get(event, "epoch")), engine ? engine : "",
        real_member(event, "loss"), real_member(event, "accuracy"), real_member(event, "val_loss"),
        real_member(event, "val_accuracy"), real_member(event, "seconds"),
        real_member(event, "samples_per_second"),
        (int64_t)json_integer_value(json_object_get(event, "global_step")),
        cpu_before + real_member(event, "cpu_seconds"), real_member(event, "peak_rss_bytes"),
        real_member(event, "learning_rate"), real_member(event, "validation_loss"),
        real_member(event, "validation_accuracy"), store_ranks_of(event),
        real_member(event, "communication_seconds"));
}

static int on_epoch(struct recorder *r, const json_t *event, struct error *error)
{
    int64_t epoch = json_integer_value(json_object_get(event, "epoch"));
    double seconds = real_member(event, "seconds");
    if (store_put_epoch(r->store, r->key, r->engine, event, r->cpu_before, error) ||
        query_run(r->store,
                  "UPDATE runs SET epoch=?, loss=?, accuracy=?, val_loss=?, val_accuracy=?,"
                  " samples_per_second=coalesce(?,samples_per_second) WHERE key=?",
                  error, "idddddi", epoch, real_member(event, "loss"),
                  real_member(event, "accuracy"), real_member(event, "val_loss"),
                  real_member(event, "val_accuracy"), real_member(event, "samples_per_second"),
                  r->key) ||
        outcome_judge(r->store, r->key, error) ||
        store_add_event(r->store, "epoch", r->run, epoch, 0, NULL, error))
        return -1;
    if (isfinite(seconds)) r->seconds = r->seconds_before + seconds;
    r->seconds_before = r->seconds;
    r->clock = 0; /* what follows an epoch is its evaluation and a checkpoint, not training */
    r->changed = true;
    return 0;
}

static int on_checkpoint(struct recorder *r, const json_t *event, struct error *error)
{
    (void)event;
    return query_run(r->store, "UPDATE runs SET checkpoint=1 WHERE key=?", error, "i", r->key);
}

static int on_rate(struct recorder *r, const json_t *event, struct error *error)
{
    return say(r, error, "learning rate %g from step %lld on, changed by hand (planned: %g)",
               real_member(event, "rate"),
               (long long)json_integer_value(json_object_get(event, "global_step")) + 1,
               real_member(event, "planned"));
}

static int on_log(struct recorder *r, const json_t *event, struct error *error)
{
    const char *text = json_string_value(json_object_get(event, "text"));
    if (!text) text = json_string_value(json_object_get(event, "message"));
    return text ? store_add_log(r->store, r->key, r->run, text, error) : 0;
}

static int on_state(struct recorder *r, const json_t *event, struct error *error)
{
    const char *state = json_string_value(json_object_get(event, "state"));
    r->clock = 0;
    if (!state || (strcmp(state, "paused") != 0 && strcmp(state, "running") != 0)) return 0;
    r->changed = true;
    /* one that was told to stop meanwhile is stopping */
    if (query_run(r->store, "UPDATE runs SET state=? WHERE key=? AND state<>'stopping'", error,
                  "si", state, r->key))
        return -1;
    return say(r, error, strcmp(state, "paused") == 0 ? "paused, a checkpoint is kept" : "resumed");
}

/* The model the run wrote. A file that was already there under that name is replaced, on disk as
 * here. */
static int add_file(struct recorder *r, const json_t *event, const char *path, struct error *error)
{
    char sha256[HASH_HEX_SIZE];
    uint64_t bytes;
    const char *said = json_string_value(json_object_get(event, "sha256"));
    if (said && strlen(said) == HASH_HEX_SIZE - 1) {
        memcpy(sha256, said, HASH_HEX_SIZE);
        bytes = (uint64_t)json_integer_value(json_object_get(event, "bytes"));
    } else if (hash_file(path, sha256, &bytes, error)) {
        return -1;
    }
    char *absolute = realpath(path, NULL);
    int status = query_run(r->store,
                           "INSERT OR REPLACE INTO files (run, name, format, path, bytes, sha256, "
                           "written_at) VALUES (?,?,?,?,?,?,?)",
                           error, "isssisi", r->key, path_base(path), path_extension(path),
                           absolute ? absolute : path, (int64_t)bytes, sha256, clock_wall_ms());
    free(absolute);
    return status ? -1
                  : say(r, error, "wrote %s, %.1f kB, SHA-256 %.12s…", path_base(path),
                        (double)bytes / 1000, sha256);
}

/* Samples per second over all epochs, for the time while nothing trains; as it was when no epoch
 * was completed. */
static int write_mean_speed(struct recorder *r, struct error *error)
{
    return query_run(
        r->store,
        "UPDATE runs SET samples_per_second=coalesce((SELECT "
        "sum(samples_per_second*seconds)/sum(seconds) FROM epochs"
        " WHERE run=?1 AND seconds>0 AND samples_per_second>0), samples_per_second) WHERE key=?1",
        error, "i", r->key);
}

/* A finished run ends with its last step. One that ends before it has made anew what was shown
 * keeps that. */
static int settle_steps(struct recorder *r, const json_t *event, bool finished, struct error *error)
{
    int64_t end = json_integer_value(json_object_get(event, "global_step"));
    double seconds;
    if (!r->part.shown) return 0;
    if (!finished)
        return points_end(r->store, r->key, &end, &seconds, error) ||
                       query_run(r->store, "UPDATE runs SET global_step=? WHERE key=?", error, "ii",
                                 end, r->key)
                   ? -1
                   : 0;
    return points_clear(r->store, r->key, end, INT64_MAX, error) ||
                   query_run(r->store, "DELETE FROM epochs WHERE run=? AND global_step>?", error,
                             "ii", r->key, end) ||
                   query_run(r->store, "DELETE FROM segments WHERE run=? AND first_step>=?", error,
                             "ii", r->key, end)
               ? -1
               : 0;
}

static int on_end(struct recorder *r, const json_t *event, struct error *error)
{
    bool finished = strcmp(js_text(event, "state"), "finished") == 0;
    const char *path = json_string_value(json_object_get(event, "model"));
    if (settle_steps(r, event, finished, error)) return -1;
    if (path && add_file(r, event, path, error)) return -1;
    if (write_mean_speed(r, error) ||
        say(r, error, finished ? "finished" : "stopped at step %lld, a checkpoint is kept",
            (long long)json_integer_value(json_object_get(event, "global_step"))))
        return -1;
    r->changed = true;
    r->worker = 0;
    r->ended = true;
    return query_run(
        r->store,
        "UPDATE runs SET state=?, ended_at=?, owner=NULL, cpu_seconds=coalesce(?,cpu_seconds),"
        " peak_rss_bytes=max(coalesce(?,0),coalesce(peak_rss_bytes,0)), rss_bytes=NULL WHERE "
        "key=?",
        error, "siddi", finished ? "finished" : "stopped", clock_wall_ms(),
        r->cpu_before + real_member(event, "cpu_seconds"), real_member(event, "peak_rss_bytes"),
        r->key);
}

static int on_error(struct recorder *r, const json_t *event, struct error *error)
{
    const char *message = json_string_value(json_object_get(event, "message"));
    r->changed = true;
    r->worker = 0;
    r->ended = true;
    if (settle_steps(r, event, false, error)) return -1;
    return query_run(r->store,
                     "UPDATE runs SET state='failed', error=?, ended_at=?, owner=NULL, "
                     "rss_bytes=NULL WHERE key=?",
                     error, "sii", message ? message : "the worker failed and did not say why",
                     clock_wall_ms(), r->key);
}

static const struct {
    const char *kind;
    int (*apply)(struct recorder *, const json_t *, struct error *);
} handlers[] = {
    {"start", on_start}, {"epoch", on_epoch}, {"checkpoint", on_checkpoint}, {"log", on_log},
    {"state", on_state}, {"end", on_end},     {"error", on_error},           {"rate", on_rate},
};

static int apply(struct recorder *r, const json_t *event, struct error *error)
{
    const char *kind = json_string_value(json_object_get(event, "event"));
    if (!kind) return 0;
    if (strcmp(kind, "step") == 0) return on_step(r, event, error);
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (strcmp(kind, handlers[i].kind) == 0)
            return write_steps(r, error) || handlers[i].apply(r, event, error) ? -1 : 0;
    return 0; /* a newer worker may say more */
}

/* CPU time and memory of the worker, from /proc. */
static int write_usage(struct recorder *r, struct error *error)
{
    char path[64];
    unsigned long long user = 0, system = 0, pages = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)r->worker);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    char line[1024];
    const char *place = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    fclose(file);
    if (!place || sscanf(place + 1,
                         " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
                         "%*d %*d %*u %*u %llu",
                         &user, &system, &pages) != 3)
        return 0;
    int64_t bytes = (int64_t)pages * sysconf(_SC_PAGESIZE);
    return query_run(r->store,
                     "UPDATE runs SET cpu_seconds=?1, rss_bytes=?2, peak_rss_bytes=max(?2, "
                     "coalesce(peak_rss_bytes,0)) WHERE key=?3",
                     error, "dii",
                     r->cpu_before + (double)(user + system) / (double)sysconf(_SC_CLK_TCK), bytes,
                     r->key);
}

/* Samples per second over the time since the last "run" event. */
static int write_speed(struct recorder *r, struct error *error)
{
    int64_t step = 0;
    if (query_integer(r->store, "SELECT global_step FROM runs WHERE key=?", &step, error, "i",
                      r->key))
        return -1;
    double spent = r->seconds - r->speed_seconds;
    int status = 0;
    if (step > r->speed_step && spent > 0.05) {
        status = query_run(r->store, "UPDATE runs SET samples_per_second=? WHERE key=?", error,
                           "di", (double)((step - r->speed_step) * r->batch_size) / spent, r->key);
        r->speed_step = step;
        r->speed_seconds = r->seconds;
    }
    return status;
}

static int write_all(struct recorder *r, struct error *error)
{
    const json_t *event;
    size_t index;
    double now = clock_monotonic();
    json_array_foreach(r->waiting, index, event)
        if (apply(r, event, error)) return -1;
    if (write_steps(r, error)) return -1;
    if (!r->changed && now - r->last_progress < PROGRESS_SECONDS) return 0;
    if ((!r->ended && write_speed(r, error)) || (r->worker && write_usage(r, error)) ||
        store_add_event(r->store, "run", r->run, 0, 0, NULL, error))
        return -1;
    r->last_progress = now;
    r->changed = false;
    return 0;
}

int recorder_flush(struct recorder *recorder, struct error *error)
{
    if (!json_array_size(recorder->waiting)) return 0;
    struct recorder before = *recorder;
    if (store_begin(recorder->store, error)) return -1;
    int status = write_all(recorder, error);
    if (!status)
        status = store_commit(recorder->store, error);
    else
        store_rollback(recorder->store);
    if (!status) {
        json_array_clear(recorder->waiting);
        return 0;
    }
    /* Nothing was written: as if nothing had been tried. */
    before.losses = recorder->losses;
    before.loss_room = recorder->loss_room;
    *recorder = before;
    recorder->loss_count = 0;
    return -1;
}
