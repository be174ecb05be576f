/* Showdowns: the same settings on several engines, and what came out. */
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "engine/engine.h"
#include "http/offload.h"
#include "http/routes.h"
#include "http/showdown.h"
#include "http/tracking.h"
#include "http/training.h"
#include "run/setup.h"

#define ENGINES_MAX 8

struct showdown_plan {
    size_t count;
    bool sequence;
    char group[32];
    struct job jobs[ENGINES_MAX];
};

static int read_plan(struct studio *studio, const json_t *body, struct showdown_plan *plan,
                     struct error *error)
{
    const json_t *engine;
    const char *mode = "parallel", *name = NULL;
    size_t i;
    if (js_get_string(body, "mode", &mode, error) || js_get_string(body, "name", &name, error))
        return -1;
    plan->sequence = strcmp(mode, "sequence") == 0;
    if (tracking_check(studio, json_object_get(body, "track"), error)) return -1;
    json_array_foreach(json_object_get(body, "engines"), i, engine) {
        CHECK(i < ENGINES_MAX); /* each engine once */
        if (make_job(studio, studio->store, json_object_get(body, "settings"),
                     json_string_value(engine), name, &plan->jobs[i], error) ||
            setup_foresee(&plan->jobs[i], error))
            return -1;
        plan->count = i + 1;
    }
    return 0;
}

/* All runs or none. */
static int keep_plan(struct studio *studio, struct showdown_plan *plan, struct error *error)
{
    struct store *store = studio->store;
    if (store_begin(store, error)) return -1;
    int status = store_showdown_create(store, plan->sequence ? "sequence" : "parallel", plan->group,
                                       error);
    for (size_t i = 0; i < plan->count && !status; i++)
        status = store_run_create(store, &plan->jobs[i], plan->group, NULL, false, error);
    if (!status) return store_commit(store, error);
    store_rollback(store);
    return -1;
}

static int start_showdown(struct studio *studio, const json_t *body, struct showdown_plan *plan,
                          json_t **out, struct error *error)
{
    json_t *runs = json_array(), *run;
    int status = read_plan(studio, body, plan, error) || keep_plan(studio, plan, error) ? -1 : 0;
    for (size_t i = 0; i < plan->count && !status; i++) {
        const char *before = plan->sequence && i ? plan->jobs[i - 1].run : NULL;
        status = training_add(studio->training, plan->jobs[i].run, before, error);
        if (!status) tracking_follow(studio, plan->jobs[i].run, json_object_get(body, "track"));
    }
    if (!status) training_tick(studio->training);
    for (size_t i = 0; i < plan->count && !status; i++) {
        status = store_run_json(studio->store, plan->jobs[i].run, false, &run, error);
        if (!status) json_array_append_new(runs, run);
    }
    if (!status) *out = json_pack("{s:s, s:O}", "group", plan->group, "runs", runs);
    json_decref(runs);
    return status;
}

static void post_showdown(struct studio *studio, struct call *call)
{
    struct error error;
    json_t *value = NULL;
    struct showdown_plan *plan = calloc(1, sizeof *plan);
    if (!plan) error_set_memory(&error, "a showdown");
    if (!plan || start_showdown(studio, call_body(call), plan, &value, &error))
        call_fail(call, &error);
    else
        call_reply(call, 201, value);
    free(plan);
}

static int compute_showdown(const struct studio *studio, struct store *store, void *context,
                            json_t **out, struct error *error)
{
    (void)studio;
    return showdown_json(store, context, out, error);
}

static void get_showdown(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_showdown, strdup(call_path(call, "group")));
}

static const struct route routes[] = {
    {"POST", "/api/showdowns", post_showdown, "Start the same run on several engines", NULL,
     "NewShowdown", "StartedShowdown", 201, ROUTE_CHANGES},
    {"GET", "/api/showdowns/{group}", get_showdown, "The table, the differences and the verdict",
     NULL, NULL, "Showdown", 200, 0},
};
const struct route_group routes_showdowns = ROUTE_GROUP("showdowns", routes);
