/* Routes: a table that is both what is served and what /api/openapi.json says. */
#ifndef NNSTUDIO_HTTP_ROUTER_H
#define NNSTUDIO_HTTP_ROUTER_H

#include <jansson.h>

#include "http/studio.h"

/* A parameter of the query string. Its value is checked before the handler sees the request; others
 * are refused. */
enum parameter_type { PARAMETER_INTEGER, PARAMETER_TEXT, PARAMETER_CHOICE, PARAMETER_FILTER };
struct parameter {
    const char *name;
    enum parameter_type type;
    int64_t low, high, fallback; /* integer; fallback when absent. Text: high bytes; 0: 200 */
    /* "asc desc", or "@RunState": those of a shape's enum (http/schema.h). Of a choice the first
     * counts when it is absent; a filter is then NULL, as a text is. */
    const char *choices;
    const char *summary;
};

/* The choices of one that has any, as JSON strings. New reference. */
json_t *parameter_choices(const struct parameter *parameter);

#define ROUTE_CHANGES 1 /* takes a JSON body (may be empty), and says so by Content-Type */
#define ROUTE_RAW     2 /* answers something else than JSON: `response` is its media type */

#define ROUTE_BYTES 8 /* takes bytes of a file, and says so by Content-Type */

/* takes the settings that programs follow (run/settings.h) in the query, beside `parameters` */
#define ROUTE_SETTINGS 4

struct call;
typedef void route_fn(struct studio *studio, struct call *call);
struct route {
    const char *method;
    /* "/api/runs/{id}/points": a part in braces takes any one part */
    const char *path;
    route_fn *handle;
    const char *summary;                /* one line, for users */
    const struct parameter *parameters; /* ended by an entry without a name; NULL: none */
    const char *body; /* the body's shape (http/schema.h), checked before; NULL: none is read */
    /* the answer's shape, or its media type (ROUTE_RAW) */
    const char *response;
    int status; /* of success */
    int flags;
};

/* One room's or one file's routes. */
struct route_group {
    const char *title;
    const struct route *routes;
    size_t count;
};
#define ROUTE_GROUP(title, routes)                          \
    {                                                       \
        title, routes, sizeof(routes) / sizeof((routes)[0]) \
    }
extern const struct route_group *const route_groups[];
extern const size_t route_group_count;
extern const struct route_group routes_system, routes_datasets, routes_runs, routes_showdowns,
    routes_models, routes_diff, routes_activations, routes_atlas, routes_networks, routes_tasks,
    routes_code, routes_cluster, routes_schedule, routes_registry, routes_uploads, routes_versions,
    routes_endpoints, routes_tracking;

/* --- one call, as its handler sees it --- */

struct request *call_request(const struct call *call);
const struct route *call_route(const struct call *call);
/* The part of the path that stands where the route has {name}. */
const char *call_path(const struct call *call, const char *name);
/* Query parameters of the route, checked, or their fallback. */
int64_t call_integer(const struct call *call, const char *name);
const char *call_text(const struct call *call, const char *name);
/* The settings of the query (ROUTE_SETTINGS) by their place in the table, not checked yet; NULL
 * where one is absent. */
const char *const *call_settings(const struct call *call);
/* The JSON object of the body; borrowed; an empty object when there was no body. */
const json_t *call_body(const struct call *call);

/* Each ends the call; `call` is gone after it. */
/* takes the reference; NULL: memory was out */
void call_reply(struct call *call, int status, json_t *value);
void call_reply_text(struct call *call, int status, const char *json); /* as text already */
void call_fail(struct call *call, const struct error *error);
/* A whole reply made elsewhere. */
void call_reply_bytes(struct call *call, int status, const char *type, const void *bytes,
                      size_t size);

/* Answers a request: checks it, finds its route, or serves a file of the page. A request_fn. */
void router_handle(void *studio, struct request *request);
/* The OpenAPI document, a new reference. */
json_t *openapi_document(void);

#endif
