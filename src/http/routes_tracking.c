/* Runs that are sent to an MLflow server while they train, and what was not sent yet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/log.h"
#include "http/offload.h"
#include "http/registered.h"
#include "http/tracking.h"

struct tracked_run {
    char run[64];
};

static bool is_cancelled(void *task)
{
    return task_cancelled(task);
}

static void on_change(void *context, const json_t *state)
{
    task_set_result(context, json_pack("{s:O, s:o}", "run", json_object_get(state, "run"),
                                       "tracking", json_deep_copy(state)));
}

static bool goes_on(struct store *store, const char *run)
{
    struct run_record record;
    struct error ignored;
    return !store_run_get(store, run, &record, &ignored) && run_state_is_live(record.state);
}

/* Until the run has ended and is sent whole; one that was continued meanwhile goes on. Then what
 * the same server has missed of earlier runs. */
static int work(struct task *task, void *context, struct error *error)
{
    const struct tracked_run *subject = context;
    const char *home = task_studio(task)->home;
    struct registry_options options = {.home = home, .cancelled = is_cancelled, .context = task};
    struct registry_tracking tracking = {.options = &options,
                                         .run = subject->run,
                                         .follow = true,
                                         .on_change = on_change,
                                         .context = task};
    json_t *kept = registry_track_state(home, subject->run), *told = NULL;
    int status = store_open(home, &tracking.store, error);
    registry_track_options(kept, &options);
    do {
        json_decref(told);
        told = NULL;
        if (!status) status = registry_track(&tracking, &told, error);
    } while (!status && goes_on(tracking.store, subject->run));
    if (told) on_change(task, told);
    if (!status) registry_track_rest(tracking.store, &options, js_text(told, "uri"));
    json_decref(told);
    json_decref(kept);
    store_close(tracking.store);
    return status;
}

static int read_options(const struct studio *studio, const json_t *track,
                        struct registry_options *options, struct error *error)
{
    char config[4200];
    return registered_options(studio, track, "mlflow", options, config, error);
}

/* What came in a request and will not do is the request's fault. */
static int check(const struct registry_options *options, struct error *error)
{
    if (!registry_value(options, REGISTRY_TRACKING_URI))
        return error_set(error, ERROR_INPUT,
                         "no MLflow server is known: enter its address, or start the studio with "
                         "MLFLOW_TRACKING_URI set");
    if (!registry_track_check(options, error)) return 0;
    if (error->code == ERROR_USAGE) error->code = ERROR_INPUT;
    return -1;
}

int tracking_check(const struct studio *studio, const json_t *track, struct error *error)
{
    struct registry_options options;
    if (!json_is_object(track)) return 0;
    return read_options(studio, track, &options, error) || check(&options, error) ? -1 : 0;
}

int tracking_start(struct studio *studio, const char *run, const json_t *track, struct error *error)
{
    struct registry_options options = {.home = studio->home};
    json_t *before = registry_track_state(studio->home, run);
    char id[16], title[160];
    int status = json_is_object(track) ? read_options(studio, track, &options, error) : 0;
    registry_track_options(before, &options);
    if (!status) status = check(&options, error) || registry_track_plan(&options, run, error);
    json_decref(before);
    if (status) return -1;
    struct tracked_run *subject = calloc(1, sizeof *subject);
    if (!subject) return error_set_memory(error, "a task");
    snprintf(subject->run, sizeof subject->run, "%s", run);
    snprintf(title, sizeof title, "Track %.100s", run);
    return tasks_start(studio->tasks, "track", run, title, work, subject, id, error);
}

void tracking_follow(struct studio *studio, const char *run, const json_t *track)
{
    struct error error;
    json_t *before = registry_track_state(studio->home, run);
    bool wanted = json_is_object(track) || before;
    json_decref(before);
    if (!wanted || !tracking_start(studio, run, track, &error)) return;
    if (error.code != ERROR_CONFLICT) log_error(&error); /* a conflict: it is followed already */
}

/* --- routes --- */

static void reply(struct studio *studio, struct call *call, int status)
{
    struct error error;
    json_t *told = registry_track_told(studio->home, call_path(call, "id"));
    if (told) {
        call_reply(call, status, told);
    } else {
        error_set_memory(&error, "the tracking");
        call_fail(call, &error);
    }
}

static int need_run(struct studio *studio, const char *run, struct error *error)
{
    json_t *value;
    if (store_run_json(studio->store, run, false, &value, error)) return -1;
    json_decref(value);
    return 0;
}

static void get_tracking(struct studio *studio, struct call *call)
{
    struct error error;
    if (need_run(studio, call_path(call, "id"), &error))
        call_fail(call, &error);
    else
        reply(studio, call, 200);
}

static void post_tracking(struct studio *studio, struct call *call)
{
    struct error error;
    const char *run = call_path(call, "id");
    if (need_run(studio, run, &error) || tracking_start(studio, run, call_body(call), &error))
        call_fail(call, &error);
    else
        reply(studio, call, 202);
}

/* {"valid","problem"}: what an address is worth before a run is sent there. */
static int compute_check(const struct studio *studio, struct store *store, void *context,
                         json_t **out, struct error *error)
{
    (void)store;
    struct registry_options options;
    struct error problem;
    json_t *body;
    if (registered_message(context, &body, error)) return -1;
    bool valid = !read_options(studio, body, &options, &problem) && !check(&options, &problem);
    bool answers = valid && !registry_track_reach(&options, &problem);
    *out = json_pack("{s:b, s:o}", "valid", (int)valid, "problem",
                     answers ? json_null() : js_shown(problem.message));
    json_decref(body);
    return 0;
}

static void post_check(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_check, registered_message_of(call_body(call)));
}

static const struct route routes[] = {
    {"POST", "/api/tracking-check", post_check, "Whether an MLflow server answers, before a start",
     NULL, "Track", "TrackingCheck", 200, ROUTE_CHANGES},
    {"GET", "/api/runs/{id}/tracking", get_tracking, "How much of a run an MLflow server has", NULL,
     NULL, "Tracking", 200, 0},
    {"POST", "/api/runs/{id}/tracking", post_tracking,
     "Send a run to an MLflow server: as it trains, or what is left of it", NULL, "Track",
     "Tracking", 202, ROUTE_CHANGES},
};
const struct route_group routes_tracking = ROUTE_GROUP("runs", routes);
