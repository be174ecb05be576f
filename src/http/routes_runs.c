/* Runs: start, look, steer, change, delete, export. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "engine/engine.h"
#include "http/export.h"
#include "http/kept.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "http/tracking.h"
#include "http/training.h"
#include "run/settings.h"
#include "run/setup.h"

#define POINTS_MAX 100000

void reply_run(struct studio *studio, struct call *call, const char *run, bool full, int status)
{
    struct error error;
    json_t *value;
    if (store_run_json(studio->store, run, full, &value, &error))
        call_fail(call, &error);
    else
        call_reply(call, status, value);
}

/* --- making a job of a request --- */

/* "from" names a run, whose model file is meant, or a model that was kept; no path comes in by the
 * network. */
static int resolve_from(const char *home, struct store *store, struct job *job, struct error *error)
{
    char sha256[65], *path;
    if (!job->from[0]) return 0;
    if (store_model_file(store, job->from, &path, sha256, error) &&
        (error->code != ERROR_NOT_FOUND || kept_model_find(home, job->from, &path, error)))
        return -1;
    int length = snprintf(job->from, sizeof job->from, "%s", path);
    free(path);
    return (size_t)length < sizeof job->from
               ? 0
               : error_set(error, ERROR_INPUT, "the model's path is too long");
}

static int resolve_dataset(const struct studio *studio, struct job *job, struct error *error)
{
    char *path;
    const struct dataset_entry *entry = dataset_find(job->dataset);
    if (entry && !entry->built_in) {
        const struct dataset_options options = {.data_dir = studio->data_dir, .home = studio->home};
        if (dataset_locate(entry, &options, &path, error)) return -1;
        free(path);
    }
    return library_resolve_job(studio->home, job, error);
}

static int need_found(const char *id, struct error *error)
{
    const struct engine_ops *engine;
    if (engine_need(id, &engine, error)) {
        error->code = ERROR_INPUT;
        return -1;
    }
    struct engine_probe probe;
    engine->probe(&probe);
    return probe.found ? 0 : error_set(error, ERROR_UNAVAILABLE, "%s", probe.missing);
}

int make_job(const struct studio *studio, struct store *store, const json_t *settings,
             const char *engine, const char *name, struct job *job, struct error *error)
{
    if (settings_from_json(settings, job, error) || settings_check(job, false, error)) return -1;
    if (strlen(engine) >= sizeof job->engine)
        return error_set(error, ERROR_INPUT, "there is no engine \"%.40s\"", engine);
    snprintf(job->engine, sizeof job->engine, "%s", engine);
    if (need_found(engine, error)) return -1;
    if (name && strlen(name) >= sizeof job->name)
        return error_set(error, ERROR_INPUT, "the name is too long");
    if (name) snprintf(job->name, sizeof job->name, "%s", name);
    if (studio->data_dir && (size_t)snprintf(job->data_dir, sizeof job->data_dir, "%s",
                                             studio->data_dir) >= sizeof job->data_dir)
        return error_set(error, ERROR_INPUT, "the path of the data folder is too long");
    job_make_id(engine, job->run);
    if (job_set_home(job, studio->home, error) || resolve_dataset(studio, job, error) ||
        resolve_from(studio->home, store, job, error))
        return -1;
    /* each run keeps its own model */
    snprintf(job->out_dir, sizeof job->out_dir, "%s", job->run_dir);
    return job_check(job, error);
}

/* NULL when there are none. Borrowed. */
static const json_t *given_tags(const json_t *body)
{
    const json_t *tags = json_object_get(body, "tags");
    return json_is_array(tags) ? tags : NULL;
}

static int create_run(struct studio *studio, const json_t *body, struct job *job,
                      struct error *error)
{
    const char *engine, *name = NULL, *title = NULL;
    const json_t *track = json_object_get(body, "track");
    if (js_need_string(body, "engine", &engine, error) || tracking_check(studio, track, error) ||
        js_get_string(body, "name", &name, error) || js_get_string(body, "title", &title, error) ||
        make_job(studio, studio->store, json_object_get(body, "settings"), engine, name, job,
                 error) ||
        setup_foresee(job, error) || store_begin(studio->store, error))
        return -1;
    if (store_run_create(studio->store, job, NULL, given_tags(body), false, error) ||
        (title && store_run_set_title(studio->store, job->run, title, error))) {
        store_rollback(studio->store);
        return -1;
    }
    if (store_commit(studio->store, error) || training_add(studio->training, job->run, NULL, error))
        return -1;
    tracking_follow(studio, job->run, track);
    return 0;
}

static void post_run(struct studio *studio, struct call *call)
{
    struct error error;
    struct job *job = malloc(sizeof *job);
    if (!job) error_set_memory(&error, "a run");
    if (!job || create_run(studio, call_body(call), job, &error)) {
        call_fail(call, &error);
    } else {
        training_tick(studio->training);
        reply_run(studio, call, job->run, false, 201);
    }
    free(job);
}

/* --- looking --- */

static void get_runs(struct studio *studio, struct call *call)
{
    struct error error;
    json_t *runs;
    uint64_t total;
    const char *order = call_text(call, "order");
    const struct run_filter filter = {
        .text = call_text(call, "q"),
        .state = call_text(call, "state"),
        .engine = call_text(call, "engine"),
        .tag = call_text(call, "tag"),
        .showdown = call_text(call, "group"),
        .sort = call_text(call, "sort"),
        .ascending = strcmp(order, "asc") == 0,
        .deleted = call_integer(call, "deleted") != 0,
        .limit = (uint32_t)call_integer(call, "limit"),
        .offset = (uint32_t)call_integer(call, "offset"),
    };
    if (store_run_list(studio->store, &filter, &runs, &total, &error))
        call_fail(call, &error);
    else
        call_reply(call, 200, json_pack("{s:o, s:I}", "runs", runs, "total", (json_int_t)total));
}

static void get_run(struct studio *studio, struct call *call)
{
    reply_run(studio, call, call_path(call, "id"), true, 200);
}

struct run_stretch {
    char run[64];
    uint64_t from, to;
    size_t max;
};

json_t *points_json(const struct points *points)
{
    json_t *step = json_array(), *loss = json_array(), *mean = json_array(),
           *seconds = json_array();
    for (size_t i = 0; i < points->count; i++) {
        json_array_append_new(step, json_integer((json_int_t)points->step[i]));
        json_array_append_new(loss, js_real(points->loss[i]));
        json_array_append_new(mean, js_real(points->mean[i]));
        json_array_append_new(seconds, js_real(points->seconds[i]));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "from", (json_int_t)points->from,
                     "to", (json_int_t)points->to, "total", (json_int_t)points->total, "stride",
                     (json_int_t)points->stride, "step", step, "loss", loss, "mean", mean,
                     "seconds", seconds);
}

static int compute_points(const struct studio *studio, struct store *store, void *context,
                          json_t **out, struct error *error)
{
    (void)studio;
    const struct run_stretch *stretch = context;
    struct points points;
    if (store_points(store, stretch->run, stretch->from, stretch->to, stretch->max, &points, error))
        return -1;
    *out = points_json(&points);
    points_free(&points);
    return 0;
}

static void get_points(struct studio *studio, struct call *call)
{
    struct run_stretch *stretch = calloc(1, sizeof *stretch);
    if (stretch) {
        int64_t to = call_integer(call, "to");
        snprintf(stretch->run, sizeof stretch->run, "%s", call_path(call, "id"));
        stretch->from = (uint64_t)call_integer(call, "from");
        stretch->to = to < 0 ? UINT64_MAX : (uint64_t)to;
        stretch->max = (size_t)call_integer(call, "max");
    }
    call_compute(studio, call, compute_points, stretch);
}

static void get_file(struct studio *studio, struct call *call)
{
    struct error error;
    char *path, header[200];
    const char *name = call_path(call, "name");
    if (store_file_path(studio->store, call_path(call, "id"), name, &path, &error)) {
        call_fail(call, &error);
        return;
    }
    if (file_exists(path)) {
        snprintf(header, sizeof header, "attachment; filename=\"%s\"",
                 path_is_plain_name(name) ? name : "model");
        request_add_header(call_request(call), "Content-Disposition", header);
    }
    if (request_reply_file(call_request(call), path, "application/octet-stream", &error)) {
        error.code = ERROR_NOT_FOUND;
        call_fail(call, &error);
    }
    free(path);
}

/* A download, written to a file on a thread and sent from there. */
struct download {
    struct call *call;
    char run[64];
    bool csv, failed;
    char *folder, *path; /* owned: HOME/scratch and the file in it */
    struct error error;
};

static void free_download(struct download *download)
{
    free(download->folder);
    free(download->path);
    free(download);
}

static void write_download(struct store *store, void *context)
{
    struct download *download = context;
    download->failed = file_make_directories(download->folder, &download->error) ||
                       export_to_file(store, download->run, download->csv, download->path,
                                      &download->error);
}

static void send_download(void *context)
{
    struct download *download = context;
    struct request *request = call_request(download->call);
    char header[200];
    snprintf(header, sizeof header, "attachment; filename=\"%s.%s\"", download->run,
             download->csv ? "csv" : "json");
    if (!download->failed) {
        request_add_header(request, "Content-Disposition", header);
        /* Once it is open, its name may go. */
        download->failed = request_reply_file(request, download->path,
                                              download->csv ? "text/csv; charset=utf-8"
                                                            : "application/json",
                                              &download->error) != 0;
        unlink(download->path);
    }
    if (download->failed) call_fail(download->call, &download->error);
    free_download(download);
}

static void get_export(struct studio *studio, struct call *call)
{
    static unsigned number; /* of the loop alone */
    struct error error;
    struct download *download = calloc(1, sizeof *download);
    if (!download) {
        error_set_memory(&error, "an export");
        call_fail(call, &error);
        return;
    }
    *download = (struct download){
        .call = call, .csv = strcmp(call_text(call, "format"), "csv") == 0, .failed = true};
    error_set(&download->error, ERROR_UNAVAILABLE, "the studio is ending: start it again");
    snprintf(download->run, sizeof download->run, "%s", call_path(call, "id"));
    download->folder = path_join(studio->home, "scratch");
    if (asprintf(&download->path, "%s/scratch/export-%ld-%u", studio->home, (long)getpid(),
                 number++) < 0)
        download->path = NULL;
    if (!download->folder || !download->path)
        error_set_memory(&error, "an export");
    else if (!offload_run(studio->offload, call, write_download, send_download, download, &error))
        return;
    free_download(download);
    call_fail(call, &error);
}

/* --- steering and changing --- */

/* A run in a terminal hears a stop, as its Ctrl-C would be; pausing is the terminal's own affair.
 */
static int stop_terminal(struct studio *studio, const char *run, enum worker_command command,
                         struct error *error)
{
    if (command != WORKER_STOP)
        return error_set(error, ERROR_CONFLICT,
                         "run %.60s trains in a terminal: it can only be stopped from here", run);
    return store_run_interrupt_owner(studio->store, run, error);
}

static void steer(struct studio *studio, struct call *call, enum worker_command command)
{
    struct error error;
    struct run_record *record = malloc(sizeof *record);
    const char *run = call_path(call, "id");
    int status = record ? store_run_get(studio->store, run, record, &error)
                        : error_set_memory(&error, "a run");
    if (!status)
        status = record->owned && record->by_terminal
                     ? stop_terminal(studio, run, command, &error)
                     : training_command(studio->training, run, command, &error);
    if (status)
        call_fail(call, &error);
    else
        reply_run(studio, call, run, false, 200);
    free(record);
}

static void post_pause(struct studio *studio, struct call *call)
{
    steer(studio, call, WORKER_PAUSE);
}

static void post_resume(struct studio *studio, struct call *call)
{
    steer(studio, call, WORKER_RESUME);
}

static void post_stop(struct studio *studio, struct call *call)
{
    steer(studio, call, WORKER_STOP);
}

/* Through the run's folder, so of a run in a terminal, too. */
static void post_rate(struct studio *studio, struct call *call)
{
    struct error error;
    const char *id = call_path(call, "id");
    double rate = json_number_value(json_object_get(call_body(call), "rate"));
    if (store_run_change_rate(studio->store, id, rate, &error))
        call_fail(call, &error);
    else
        reply_run(studio, call, id, false, 200);
}

static int continue_run(struct studio *studio, const char *run, const json_t *body,
                        struct run_record *record, struct error *error)
{
    const char *engine = NULL;
    bool accept_changed_data = false;
    if (store_run_get(studio->store, run, record, error)) return -1;
    uint32_t epochs = record->job.epochs;
    if (js_get_string(body, "engine", &engine, error) ||
        js_get_bool(body, "accept_changed_data", &accept_changed_data, error) ||
        js_get_u32(body, "epochs", 1, UINT32_MAX, &epochs, error))
        return -1;
    if (!engine) engine = record->job.engine;
    if (record->deleted)
        return error_set(error, ERROR_CONFLICT, "run %.60s is deleted: restore it first", run);
    if (run_state_is_live(record->state))
        return error_set(error, ERROR_CONFLICT,
                         "run %.60s is %s: only an ended run can be continued", run,
                         run_state_name(record->state));
    if (record->state == RUN_FINISHED && epochs <= record->job.epochs)
        return error_set(error, ERROR_CONFLICT,
                         "run %.60s has done its %u epochs: ask for more than that", run,
                         record->job.epochs);
    if (need_found(engine, error)) return -1;
    if (engine != record->job.engine)
        snprintf(record->job.engine, sizeof record->job.engine, "%s", engine);
    if (setup_foresee(&record->job, error) ||
        store_run_claim(studio->store, run, engine, epochs, false, error))
        return -1;
    if (training_add(studio->training, run, NULL, error)) return -1;
    if (accept_changed_data) training_accept_changed_data(studio->training, run);
    tracking_follow(studio, run, NULL);
    return 0;
}

static void post_continue(struct studio *studio, struct call *call)
{
    struct error error;
    const char *run = call_path(call, "id");
    struct run_record *record = malloc(sizeof *record);
    if (!record) error_set_memory(&error, "a run");
    if (!record || continue_run(studio, run, call_body(call), record, &error)) {
        call_fail(call, &error);
    } else {
        training_tick(studio->training);
        reply_run(studio, call, run, false, 200);
    }
    free(record);
}

static int edit_run(struct studio *studio, const char *run, const json_t *body, struct error *error)
{
    const char *name = NULL, *title = NULL, *notes = NULL;
    if (js_get_string(body, "name", &name, error) || js_get_string(body, "title", &title, error) ||
        js_get_string(body, "notes", &notes, error))
        return -1;
    if (name && !path_is_plain_name(name)) /* what no pattern says: "con", "nul.pth" */
        return error_set(error, ERROR_INPUT, "the name \"%.60s\" names a device: choose another",
                         name);
    if (store_begin(studio->store, error)) return -1;
    if (!store_run_edit(studio->store, run, name, given_tags(body), notes, error) &&
        (!title || !store_run_set_title(studio->store, run, title, error)))
        return store_commit(studio->store, error);
    store_rollback(studio->store);
    return -1;
}

static void patch_run(struct studio *studio, struct call *call)
{
    struct error error;
    const char *run = call_path(call, "id");
    if (edit_run(studio, run, call_body(call), &error))
        call_fail(call, &error);
    else
        reply_run(studio, call, run, false, 200);
}

static void delete_run(struct studio *studio, struct call *call)
{
    struct error error;
    const char *run = call_path(call, "id");
    bool forever = call_integer(call, "forever") != 0;
    json_t *value;
    if (store_run_json(studio->store, run, false, &value, &error)) {
        call_fail(call, &error);
    } else if (store_run_delete(studio->store, run, forever, &error)) {
        json_decref(value);
        call_fail(call, &error);
    } else {
        json_object_set_new(value, "deleted", json_true());
        call_reply(call, 200, value);
    }
}

static void post_restore(struct studio *studio, struct call *call)
{
    struct error error;
    const char *run = call_path(call, "id");
    if (store_run_restore(studio->store, run, &error))
        call_fail(call, &error);
    else
        reply_run(studio, call, run, false, 200);
}

static const struct parameter list_parameters[] = {
    {"q", PARAMETER_TEXT, 0, 0, 0, NULL, "text in the id, name, notes, tags or settings"},
    {"state", PARAMETER_FILTER, 0, 0, 0, "@RunState", "in this state"},
    {"engine", PARAMETER_TEXT, 0, 0, 0, NULL, "of this engine"},
    {"tag", PARAMETER_TEXT, 0, 0, 0, NULL, "with this tag"},
    {"group", PARAMETER_TEXT, 0, 0, 0, NULL, "of this showdown"},
    {"sort", PARAMETER_TEXT, 0, 0, 0, NULL,
     "created_at, name, engine, state, loss, val_accuracy, seconds or settings.KEY"},
    {"order", PARAMETER_CHOICE, 0, 0, 0, "desc asc", "which way"},
    {"limit", PARAMETER_INTEGER, 1, 1000, 100, NULL, "at most so many"},
    {"offset", PARAMETER_INTEGER, 0, INT32_MAX, 0, NULL, "from this one on"},
    {"deleted", PARAMETER_INTEGER, 0, 1, 0, NULL, "1: the deleted ones"},
    {0},
};
static const struct parameter points_parameters[] = {
    {"from", PARAMETER_INTEGER, 0, INT64_MAX, 0, NULL, "first global step"},
    {"to", PARAMETER_INTEGER, -1, INT64_MAX, -1, NULL, "last global step; -1: to the end"},
    {"max", PARAMETER_INTEGER, 2, POINTS_MAX, 2000, NULL, "at most so many points"},
    {0},
};
static const struct parameter export_parameters[] = {
    {"format", PARAMETER_CHOICE, 0, 0, 0, "csv json", "as which kind of file"},
    {0},
};
static const struct parameter delete_parameters[] = {
    {"forever", PARAMETER_INTEGER, 0, 1, 0, NULL, "1: now, with its files, not in a day"},
    {0},
};

static const struct route routes[] = {
    {"POST", "/api/runs", post_run, "Start a run", NULL, "NewRun", "Run", 201, ROUTE_CHANGES},
    {"GET", "/api/runs", get_runs, "Runs, newest first", list_parameters, NULL, "RunList", 200, 0},
    {"GET", "/api/runs/{id}", get_run, "A run with its epochs and log", NULL, NULL, "FullRun", 200,
     0},
    {"PATCH", "/api/runs/{id}", patch_run, "Rename, tag, note", NULL, "RunEdit", "Run", 200,
     ROUTE_CHANGES},
    {"DELETE", "/api/runs/{id}", delete_run, "Delete; can be undone for a day", delete_parameters,
     NULL, "Run", 200, 0},
    {"POST", "/api/runs/{id}/restore", post_restore, "Undo a deletion", NULL, "Nothing", "Run", 200,
     ROUTE_CHANGES},
    {"POST", "/api/runs/{id}/pause", post_pause, "Pause the training", NULL, "Nothing", "Run", 200,
     ROUTE_CHANGES},
    {"POST", "/api/runs/{id}/resume", post_resume, "Go on with a paused training", NULL, "Nothing",
     "Run", 200, ROUTE_CHANGES},
    {"POST", "/api/runs/{id}/stop", post_stop, "Stop the training, keeping all", NULL, "Nothing",
     "Run", 200, ROUTE_CHANGES},
    {"POST", "/api/runs/{id}/rate", post_rate,
     "Another learning rate from the next step on; a schedule goes on as many times as large", NULL,
     "NewRate", "Run", 200, ROUTE_CHANGES},
    {"POST", "/api/runs/{id}/continue", post_continue,
     "Go on from the last checkpoint, with any engine", NULL, "Continue", "Run", 200,
     ROUTE_CHANGES},
    {"GET", "/api/runs/{id}/points", get_points,
     "The loss curve, reduced to what a screen can show", points_parameters, NULL, "Points", 200,
     0},
    {"GET", "/api/runs/{id}/export", get_export, "Settings, epochs and every step as a file",
     export_parameters, NULL, "text/csv", 200, ROUTE_RAW},
    {"GET", "/api/runs/{id}/files/{name}", get_file, "A model file", NULL, NULL,
     "application/octet-stream", 200, ROUTE_RAW},
};
const struct route_group routes_runs = ROUTE_GROUP("runs", routes);
