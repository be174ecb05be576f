/* The atlas: the rows with what the studio's own engine shows, and a row's experiment on any. */
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas.h"
#include "base/js.h"
#include "base/path.h"
#include "base/wanted.h"
#include "http/offload.h"
#include "http/routes.h"

/* --- all rows --- */

/* The row, with the curve that shows its difference; null where there is no experiment. */
static int add_row(const struct atlas_row *row, json_t *rows, struct error *error)
{
    json_t *value = atlas_row_to_json(row), *result = NULL;
    if (!value) return error_set_memory(error, "the atlas");
    json_array_append_new(rows, value);
    if (row->experiment && (wanted_check(error) || atlas_run(row, engine_default, &result, error)))
        return -1;
    const json_t *curve = json_array_get(json_object_get(result, "curves"), 0);
    json_object_set_new(value, "curve", curve ? json_deep_copy(curve) : json_null());
    json_decref(result);
    return 0;
}

static int list_rows(const struct studio *studio, struct store *store, void *context, json_t **out,
                     struct error *error)
{
    (void)studio;
    (void)store;
    (void)context;
    json_t *rows = json_array();
    for (size_t i = 0; i < atlas_row_count; i++)
        if (add_row(&atlas_rows[i], rows, error)) {
            json_decref(rows);
            return -1;
        }
    *out = json_pack("{s:o}", "rows", rows);
    return *out ? 0 : error_set_memory(error, "the atlas");
}

static void get_atlas(struct studio *studio, struct call *call)
{
    call_compute(studio, call, list_rows, calloc(1, 1));
}

/* --- one experiment --- */

struct experimenting {
    const struct atlas_row *row;
    const struct engine_ops *ops;
};

static int experiment(const struct studio *studio, struct store *store, void *context, json_t **out,
                      struct error *error)
{
    (void)store;
    const struct experimenting *asked = context;
    json_t *own = NULL, *list = NULL;
    char *scratch = path_join(studio->home, "scratch");
    int status = scratch ? atlas_run(asked->row, engine_default, &own, error)
                         : error_set_memory(error, "a path");
    if (!status) status = atlas_run_apart(&asked->row, 1, asked->ops, scratch, &list, error);
    if (!status) {
        json_t *result = json_array_get(list, 0);
        double apart = atlas_apart(own, result);
        json_object_set_new(result, "apart", js_real(apart));
        json_object_set_new(result, "agrees", json_boolean(apart <= ATLAS_AGREE));
        *out = json_incref(result);
    }
    json_decref(own);
    json_decref(list);
    free(scratch);
    return status;
}

static void post_run(struct studio *studio, struct call *call)
{
    struct error error;
    const char *engine = engine_default->id;
    struct experimenting *asked = calloc(1, sizeof *asked);
    if (asked && (atlas_need(call_path(call, "row"), &asked->row, &error) ||
                  js_get_string(call_body(call), "engine", &engine, &error) ||
                  engine_need(engine, &asked->ops, &error))) {
        free(asked);
        call_fail(call, &error);
        return;
    }
    call_compute(studio, call, experiment, asked);
}

static const struct route routes[] = {
    {"GET", "/api/atlas", get_atlas, "Where PyTorch and Keras mean different things by one word",
     NULL, NULL, "Atlas", 200, 0},
    {"POST", "/api/atlas/{row}/run", post_run, "A row's experiment on an engine", NULL,
     "AtlasRequest", "AtlasResult", 200, ROUTE_CHANGES},
};
const struct route_group routes_atlas = ROUTE_GROUP("atlas", routes);
