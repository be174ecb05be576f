/* Live tracking: a run's parameters, its steps and epochs as metrics, its model as an artifact, at
 * an MLflow server. It reads the store, never the worker: what the server does or does not do
 * reaches no training. Every batch is noted after it was taken; one that is sent twice is the same
 * rows, since a step's time is the run's own, not that of the sending. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "registry/azure/tracking.h"
#include "registry/mlflow/registration.h"
#include "registry/mlflow/track_state.h"

#define MODEL_LIMIT   ((size_t)2 << 30)
#define LOOK_SECONDS  1.0  /* between looks at a run in training */
#define PAUSE_SECONDS 15.0 /* at most, between tries at a server that does not answer */
#define LAST_TRIES    3    /* once the run has ended: the rest is sent later */
#define CALL_MS       30000L
#define REACH_MS      5000L

static const char *const titles[] = {"Track the run", NULL};

struct tracker {
    const struct registry_tracking *tracking;
    struct mlflow_registration own;
    struct registry_request request;
    struct registry_watch watch;
    struct track_state state;
    json_t *told;              /* owned: what on_change was told last; NULL: nothing */
    uint64_t steps, all_steps; /* sent; there */
    size_t epochs;             /* sent */
    unsigned failures;         /* in a row */
};

int registry_track_check(const struct registry_options *options, struct error *error)
{
    char uri[512];
    return mlflow_server_uri(options, true, uri, error);
}

int registry_track_reach(const struct registry_options *options, struct error *error)
{
    struct mlflow_server server;
    json_t *answer = NULL;
    if (mlflow_open(options, true, &server, error)) return -1;
    server.once = true;
    server.timeout_ms = REACH_MS;
    int status = mlflow_call(&server,
                             (struct mlflow_request){.method = "POST",
                                                     .path = "experiments/search",
                                                     .body = json_pack("{s:i}", "max_results", 1),
                                                     .what = "asking the server"},
                             &answer, error);
    json_decref(answer);
    mlflow_close(&server);
    return status;
}

/* Whoever watches hears what is new. */
static void tell_change(struct tracker *tracker)
{
    const struct registry_tracking *tracking = tracker->tracking;
    if (!tracking->on_change) return;
    json_t *told = track_state_told(tracker->state.kept, tracking->run, "sending");
    if (told && !json_equal(told, tracker->told)) tracking->on_change(tracking->context, told);
    json_decref(tracker->told);
    tracker->told = told;
}

/* The journal is part of what is kept in the run's folder. */
static void on_journal(void *context, const json_t *journal)
{
    struct tracker *tracker = context;
    struct error ignored;
    json_object_set_new(tracker->state.kept, "journal", json_deep_copy(journal));
    track_state_write(&tracker->state, &ignored);
    tell_change(tracker);
}

static int note_number(struct tracker *tracker, const char *key, uint64_t value,
                       struct error *error)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    json_object_set_new(tracker->state.kept, "steps", json_integer((json_int_t)tracker->steps));
    json_object_set_new(tracker->state.kept, "problem", json_null()); /* the server took it */
    return progress_note(&tracker->own.progress, key, text, error);
}

static uint64_t noted_number(const struct tracker *tracker, const char *key)
{
    const char *text = progress_noted(&tracker->own.progress, key);
    return text ? strtoull(text, NULL, 10) : 0;
}

static bool is_noted(const struct tracker *tracker, const char *key)
{
    const char *text = progress_noted(&tracker->own.progress, key);
    return text && strcmp(text, "yes") == 0;
}

/* --- what is sent --- */

/* JSON lacks them; MLflow takes them by name. */
static json_t *metric_value(double value)
{
    if (isnan(value)) return json_string("NaN");
    if (isinf(value)) return json_string(value > 0 ? "Infinity" : "-Infinity");
    return json_real(value);
}

/* Steps in batches, each noted when the server has it. */
static int send_steps(struct tracker *tracker, const json_t *run, struct error *error)
{
    double begun = (double)json_integer_value(json_object_get(run, "started_at"));
    for (;;) {
        struct points points;
        json_t *metrics = json_array();
        if (store_points(tracker->tracking->store, tracker->tracking->run, tracker->steps,
                         tracker->steps + MLFLOW_METRICS_PER_CALL - 1, 0, &points, error)) {
            json_decref(metrics);
            return -1;
        }
        uint64_t next = tracker->steps;
        tracker->all_steps = points.total;
        for (size_t i = 0; i < points.count; i++) {
            json_int_t at = (json_int_t)(begun + 1000 * points.seconds[i]);
            json_array_append_new(metrics,
                                  json_pack("{s:s, s:o, s:I, s:I}", "key", "step_loss", "value",
                                            metric_value(points.loss[i]), "timestamp", at, "step",
                                            (json_int_t)points.step[i]));
            next = points.step[i] + 1;
        }
        bool full = points.count == MLFLOW_METRICS_PER_CALL;
        points_free(&points);
        json_object_set_new(tracker->state.kept, "all_steps",
                            json_integer((json_int_t)tracker->all_steps));
        if (next == tracker->steps) {
            json_decref(metrics);
            return 0;
        }
        if (mlflow_send_batch(&tracker->own, metrics, json_array(), error)) return -1;
        tracker->steps = next;
        if (note_number(tracker, "steps", next, error)) return -1;
        if (!full) return 0;
    }
}

static int send_epochs(struct tracker *tracker, const json_t *run, struct error *error)
{
    double at = (double)json_integer_value(json_object_get(run, "started_at"));
    json_t *epochs = json_object_get(run, "epochs"), *epoch, *metrics = json_array();
    size_t i, there = json_array_size(epochs);
    json_array_foreach(epochs, i, epoch) {
        at += 1000 * json_number_value(json_object_get(epoch, "seconds"));
        if (i < tracker->epochs || json_array_size(metrics) + 4 > MLFLOW_METRICS_PER_CALL) continue;
        mlflow_add_epoch(metrics, epoch, (json_int_t)at);
        there = i + 1;
    }
    if (!json_array_size(metrics)) {
        json_decref(metrics);
        return 0;
    }
    if (mlflow_send_batch(&tracker->own, metrics, json_array(), error)) return -1;
    tracker->epochs = there;
    return note_number(tracker, "epochs", there, error);
}

static int send_settings(struct tracker *tracker, const json_t *run, struct error *error)
{
    if (is_noted(tracker, "logged")) return 0;
    return mlflow_send_batch(&tracker->own, json_array(),
                             mlflow_params(json_object_get(run, "settings")), error) ||
                   progress_note(&tracker->own.progress, "logged", "yes", error)
               ? -1
               : 0;
}

/* The model that the run wrote, in the form that MLflow loads. One whose format has none is named,
 * and is no failure. */
static int send_model(struct tracker *tracker, const json_t *run, struct error *error)
{
    struct mlflow_registration *own = &tracker->own;
    const json_t *file = json_array_get(json_object_get(run, "files"), 0);
    const char *path = js_text(file, "path");
    json_t *tags = NULL;
    struct error trouble;
    if (!*path || !file_exists(path) || is_noted(tracker, "uploaded")) return 0;
    if (modelfile_read(path, NULL, &own->model, &trouble) ||
        file_read(path, MODEL_LIMIT, &own->data, &own->size, &trouble) ||
        registry_describe_model(path, &tags, &trouble)) {
        json_object_set_new(tracker->state.kept, "model", json_string(trouble.message));
        return 0;
    }
    hash_bytes(own->data, own->size, own->sha256);
    tracker->request.model_path = path;
    tracker->request.tags = tags;
    tracker->request.run = run;
    int status = mlflow_upload_folder(own, error);
    if (status && error->code == ERROR_INPUT) {
        json_object_set_new(tracker->state.kept, "model", json_string(error->message));
        status = 0;
    }
    tracker->request = (struct registry_request){.tags = NULL};
    json_decref(tags);
    free(own->data);
    own->data = NULL;
    model_destroy(own->model);
    own->model = NULL;
    return status;
}

/* --- the run there --- */

static int begin_run(struct tracker *tracker, const json_t *run, struct error *error)
{
    struct mlflow_registration *own = &tracker->own;
    const char *experiment = registry_value(own->options, REGISTRY_EXPERIMENT);
    if (!own->experiment[0] &&
        mlflow_find_experiment(&own->server, experiment, own->experiment, error)) {
        own->experiment[0] = '\0';
        return -1;
    }
    if (own->run_id[0]) return 0;
    json_t *tags = json_pack("{s:O, s:O, s:s}", "run", json_object_get(run, "id"), "engine",
                             json_object_get(run, "engine"), "engine_version",
                             js_text(run, "engine_version"));
    tracker->request.tags = tags;
    snprintf(own->name, sizeof own->name, "%s", js_text(run, "name"));
    int status = mlflow_start_run(own, error);
    tracker->request.tags = NULL;
    json_decref(tags);
    if (status) {
        own->run_id[0] = '\0';
        return -1;
    }
    json_object_set_new(tracker->state.kept, "link",
                        own->server.azure
                            ? az_tracking_link(own->server.azure, own->run_id)
                            : json_sprintf("%s/#/experiments/%s/runs/%s", own->server.uri,
                                           own->experiment, own->run_id));
    if (!is_noted(tracker, "ended")) return 0;
    return mlflow_set_status(own, "RUNNING", "going on with the run", error) ||
                   progress_note(&own->progress, "uploaded", "no", error) ||
                   progress_note(&own->progress, "ended", "no", error)
               ? -1
               : 0;
}

static const char *status_of(enum run_state state)
{
    return state == RUN_FINISHED ? "FINISHED" : state == RUN_FAILED ? "FAILED" : "KILLED";
}

/* One look: sends what has come since the last. */
static int look(struct tracker *tracker, enum run_state state, bool ended, struct error *error)
{
    json_t *run = NULL;
    if (store_run_json(tracker->tracking->store, tracker->tracking->run, true, &run, error))
        return -1;
    json_object_set(tracker->state.kept, "all_steps",
                    json_object_get(json_object_get(run, "progress"), "global_step"));
    int status = begin_run(tracker, run, error) || send_settings(tracker, run, error) ||
                         send_steps(tracker, run, error) || send_epochs(tracker, run, error)
                     ? -1
                     : 0;
    if (!status && ended)
        status = send_model(tracker, run, error) ||
                         mlflow_set_status(&tracker->own, status_of(state), "ending the run",
                                           error) ||
                         progress_note(&tracker->own.progress, "ended", "yes", error)
                     ? -1
                     : 0;
    json_decref(run);
    return status;
}

static bool has_ended(const struct run_record *record)
{
    bool gone = record->owned && record->owner_pid && kill(record->owner_pid, 0) != 0;
    return !run_state_is_live(record->state) || gone;
}

/* How it stands, for whoever waits for it. */
static void tell(struct tracker *tracker, const struct error *error, bool complete)
{
    struct error ignored;
    json_t *kept = tracker->state.kept;
    bool same = !error && !complete && json_is_null(json_object_get(kept, "problem"));
    if (same) return; /* each batch was noted */
    json_object_set_new(kept, "problem", error ? json_string(error->message) : json_null());
    json_object_set_new(kept, "complete", json_boolean(complete));
    json_object_set_new(kept, "steps", json_integer((json_int_t)tracker->steps));
    if (file_is_directory(tracker->state.folder)) track_state_write(&tracker->state, &ignored);
    tell_change(tracker);
}

static double pause_of(const struct tracker *tracker)
{
    double seconds = web_pause(tracker->own.server.web, tracker->failures);
    return seconds < PAUSE_SECONDS ? seconds : PAUSE_SECONDS;
}

/* A run that left nothing behind is gone from the list: what was sent of it says so. */
static void end_lost(struct tracker *tracker)
{
    struct error ignored;
    if (tracker->own.run_id[0])
        mlflow_set_status(&tracker->own, "KILLED", "ending the run", &ignored);
}

/* Until the run has ended and is sent; a server that does not answer is tried again as long as the
 * run goes on. */
static int follow(struct tracker *tracker, struct error *error)
{
    struct web *web = tracker->own.server.web;
    bool follows = tracker->tracking->follow;
    for (;;) {
        struct run_record record;
        if (store_run_get(tracker->tracking->store, tracker->tracking->run, &record, error))
            return -1;
        bool ended = has_ended(&record);
        if (!ended && !follows)
            return error_set(error, ERROR_CONFLICT,
                             "run %.60s is in training: give --follow, or wait until it has ended",
                             tracker->tracking->run);
        int status = record.state == RUN_QUEUED && !ended
                         ? 0
                         : look(tracker, record.state, ended, error);
        if (!status && ended) return 0;
        tracker->failures = status ? tracker->failures + 1 : 0;
        if (status) {
            tell(tracker, error, false);
            bool lost = error->code == ERROR_UNAVAILABLE;
            if (!lost || (ended && tracker->failures >= LAST_TRIES)) return -1;
        } else {
            tell(tracker, NULL, false);
        }
        if (web_wait(web, status ? pause_of(tracker) : LOOK_SECONDS, error)) return -1;
    }
}

static int begin(struct tracker *tracker, struct error *error)
{
    const struct registry_tracking *tracking = tracker->tracking;
    struct mlflow_registration *own = &tracker->own;
    char key[1024];
    own->options = tracking->options;
    own->request = &tracker->request;
    if (mlflow_open(tracking->options, true, &own->server, error)) return -1;
    /* One try a call: the loop tries again, and looks at the run meanwhile. */
    own->server.once = true;
    own->server.timeout_ms = CALL_MS;
    if (track_state_open(&tracker->state, tracking->options, own->server.uri, tracking->run, error))
        return -1;
    snprintf(key, sizeof key, "track %s %s", own->server.uri, tracking->run);
    tracker->watch = (struct registry_watch){.context = tracker, .on_journal = on_journal};
    if (progress_begin(&own->progress, &tracker->watch, titles,
                       json_object_get(tracker->state.kept, "journal"), key, error))
        return -1;
    tracker->steps = noted_number(tracker, "steps");
    tracker->epochs = (size_t)noted_number(tracker, "epochs");
    return track_state_write(&tracker->state, error);
}

int registry_track(const struct registry_tracking *tracking, json_t **out, struct error *error)
{
    struct tracker tracker = {.tracking = tracking, .state = {.lock = -1}};
    struct run_record record;
    *out = NULL;
    if (store_run_get(tracking->store, tracking->run, &record, error)) return -1;
    int begun = begin(&tracker, error), status = begun;
    if (!begun) {
        status = follow(&tracker, error);
        if (status && error->code == ERROR_NOT_FOUND) end_lost(&tracker);
        tell(&tracker, status ? error : NULL, !status);
        *out = track_state_told(tracker.state.kept, tracking->run, status ? "waiting" : "sent");
    }
    progress_end(&tracker.own.progress);
    track_state_close(&tracker.state);
    json_decref(tracker.told);
    if (tracker.own.server.web) mlflow_close(&tracker.own.server);
    return status;
}

void registry_track_rest(struct store *store, const struct registry_options *options,
                         const char *uri)
{
    json_t *pending = registry_track_pending(options->home), *id;
    size_t i;
    json_array_foreach(pending, i, id) {
        const char *run = json_string_value(id);
        struct registry_options where = *options;
        const struct registry_tracking tracking = {.store = store, .options = &where, .run = run};
        struct run_record record;
        struct error ignored;
        json_t *state = registry_track_state(options->home, run), *result = NULL;
        bool same = strcmp(js_text(state, "uri"), uri) == 0;
        bool stopped = options->cancelled && options->cancelled(options->context);
        if (same && !stopped && !store_run_get(store, run, &record, &ignored) && has_ended(&record))
            registry_track(&tracking, &result, &ignored);
        json_decref(result);
        json_decref(state);
    }
    json_decref(pending);
}
