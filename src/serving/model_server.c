#include "serving/model_server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/log.h"
#include "http/gate.h"
#include "serving/meter.h"
#include "serving/scorer.h"
#include "serving/scoring.h"

/* How long a stop waits for answers under way. */
#define FAREWELL_SECONDS 10.0
#define TICK_MS          50

struct model_server {
    const struct model_server_options *options;
    struct scoring_model model;
    struct gate gate;
    struct server *server;
    struct scorer *scorer;
    struct meter meter;
    size_t in_flight;
    double end_by; /* clock at which it ends though answers are missing; 0: not ending */
};

/* A scoring request until its answer. */
struct ask {
    struct model_server *server;
    struct request *request;
    unsigned route;
    double since;
};

typedef void answer_fn(struct model_server *server, struct request *request, unsigned route);

/* --- answers --- */

static void reply(struct model_server *server, struct request *request, unsigned route, int status,
                  const char *type, const char *text, size_t size)
{
    request_add_header(request, "Cache-Control", "no-store");
    request_add_header(request, "X-Content-Type-Options", "nosniff");
    if (server->end_by > 0) request_add_header(request, "Connection", "close");
    meter_request(&server->meter, route, status);
    request_reply(request, status, type, text, size);
}

static void reply_json(struct model_server *server, struct request *request, unsigned route,
                       int status, json_t *value)
{
    char *text = value ? js_dump(value) : NULL;
    static const char none[] = "{\"error\":\"memory is out\"}";
    json_decref(value);
    reply(server, request, route, text ? status : 500, "application/json", text ? text : none,
          strlen(text ? text : none));
    free(text);
}

/* The Open Inference Protocol's form of an error, with MLflow's two members beside it. */
static void refuse(struct model_server *server, struct request *request, unsigned route, int status,
                   const char *code, const char *message)
{
    reply_json(server, request, route, status,
               json_pack("{s:o, s:s, s:o}", "error", js_shown(message), "error_code", code,
                         "message", js_shown(message)));
}

static void fail(struct model_server *server, struct request *request, unsigned route,
                 const struct error *error)
{
    static const struct {
        enum error_code code;
        int status;
        const char *name;
    } statuses[] = {
        {ERROR_INPUT, 400, "BAD_REQUEST"},
        {ERROR_UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE"},
    };
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].code != error->code) continue;
        if (statuses[i].status == 503) request_add_header(request, "Retry-After", "1");
        refuse(server, request, route, statuses[i].status, statuses[i].name, error->message);
        return;
    }
    refuse(server, request, route, 500, "INTERNAL_ERROR", error->message);
}

/* --- the routes --- */

static void answer_health(struct model_server *server, struct request *request, unsigned route)
{
    if (server->end_by > 0)
        refuse(server, request, route, 503, "TEMPORARILY_UNAVAILABLE", "the server is stopping");
    else
        reply_json(server, request, route, 200,
                   json_pack("{s:s, s:b, s:b}", "status", "ok", "live", 1, "ready", 1));
}

static void answer_version(struct model_server *server, struct request *request, unsigned route)
{
    reply_json(server, request, route, 200,
               json_pack("{s:s, s:s, s:[]}", "name", "nnstudio", "version", NNSTUDIO_VERSION,
                         "extensions"));
}

static void answer_metadata(struct model_server *server, struct request *request, unsigned route)
{
    reply_json(server, request, route, 200, scoring_metadata(&server->model));
}

static void answer_metrics(struct model_server *server, struct request *request, unsigned route);

static void answer_scored(void *context, const struct scored *scored)
{
    struct ask *ask = context;
    struct model_server *server = ask->server;
    server->in_flight--;
    if (scored->answer) {
        meter_scored(&server->meter, scored->samples, clock_monotonic() - ask->since,
                     scored->batch);
        reply(server, ask->request, ask->route, 200, "application/json", scored->answer->data,
              scored->answer->length);
    } else {
        fail(server, ask->request, ask->route, scored->error);
    }
    free(ask);
}

static void score(struct model_server *server, struct request *request, unsigned route, bool infer)
{
    struct error error;
    size_t size;
    const char *body = request_body(request, &size),
               *type = request_header(request, "Content-Type");
    const struct scoring_form *form = scoring_form_find(type, infer, &error);
    if (!form) {
        refuse(server, request, route, 415, "BAD_REQUEST", error.message);
        return;
    }
    struct ask *ask = malloc(sizeof *ask);
    if (ask) *ask = (struct ask){server, request, route, clock_monotonic()};
    if (!ask) {
        error_set_memory(&error, "a request");
    } else if (!scorer_ask(server->scorer, form, body, size, answer_scored, ask, &error)) {
        server->in_flight++;
        return;
    }
    free(ask);
    fail(server, request, route, &error);
}

static void answer_invocations(struct model_server *server, struct request *request, unsigned route)
{
    score(server, request, route, false);
}

static void answer_infer(struct model_server *server, struct request *request, unsigned route)
{
    score(server, request, route, true);
}

/* {name} stands for the model's. Several addresses may count as one in the metrics. */
static const struct {
    const char *method, *path;
    answer_fn *answer;
    const char *label;
    bool open; /* for load balancers: needs no token, says nothing */
} routes[] = {
    {"POST", "/invocations", answer_invocations, "invocations", false},
    {"POST", "/v2/models/{name}/infer", answer_infer, "infer", false},
    {"GET", "/ping", answer_health, "health", true},
    {"GET", "/health", answer_health, "health", true},
    {"GET", "/v2/health/live", answer_health, "health", true},
    {"GET", "/v2/health/ready", answer_health, "health", true},
    {"GET", "/v2/models/{name}/ready", answer_health, "health", false},
    {"GET", "/version", answer_version, "metadata", false},
    {"GET", "/v2", answer_version, "metadata", false},
    {"GET", "/metadata", answer_metadata, "metadata", false},
    {"GET", "/v2/models/{name}", answer_metadata, "metadata", false},
    {"GET", "/metrics", answer_metrics, "metrics", false},
};
#define ROUTES (sizeof routes / sizeof routes[0])
/* What the metrics know of, by their place here; the last is everything that is no route. */
static const char *const labels[] = {"invocations", "infer",   "health",
                                     "metadata",    "metrics", "other"};
#define LABELS (sizeof labels / sizeof labels[0])
_Static_assert(LABELS <= METER_ROUTES, "room for every label");

static unsigned label_of(const char *name)
{
    for (unsigned i = 0; i < LABELS - 1; i++)
        if (strcmp(labels[i], name) == 0) return i;
    return LABELS - 1;
}

static void answer_metrics(struct model_server *server, struct request *request, unsigned route)
{
    struct buffer text;
    struct error error;
    buffer_init(&text, 1 << 16);
    meter_write(&server->meter, labels, LABELS, server->in_flight, &text);
    if (buffer_check(&text, "the metrics", &error))
        fail(server, request, route, &error);
    else
        reply(server, request, route, 200, "text/plain; version=0.0.4", text.data, text.length);
    buffer_free(&text);
}

/* Whether `path` [length] is the route's, with the model's name in it. */
static bool path_fits(const struct model_server *server, const char *pattern, const char *path,
                      size_t length)
{
    const char *brace = strchr(pattern, '{'), *name = server->options->name;
    if (!brace) return strlen(pattern) == length && memcmp(pattern, path, length) == 0;
    size_t before = (size_t)(brace - pattern), own = strlen(name), after = strlen(brace + 6);
    return length == before + own + after && memcmp(path, pattern, before) == 0 &&
           memcmp(path + before, name, own) == 0 &&
           memcmp(path + before + own, brace + 6, after) == 0;
}

static void answer_refusal(void *context, struct request *request, const struct refusal *refusal)
{
    refuse(context, request, label_of(""), refusal->status, "PERMISSION_DENIED", refusal->message);
}

static void on_request(void *context, struct request *request)
{
    struct model_server *server = context;
    struct refusal refusal = {0};
    const char *method = request_method(request), *path = gate_target(request),
               *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    size_t length = strcspn(path, "?"), found = ROUTES;
    const char *allowed = NULL;
    for (size_t i = 0; i < ROUTES && found == ROUTES; i++) {
        if (!path_fits(server, routes[i].path, path, length)) continue;
        allowed = routes[i].method;
        if (strcmp(routes[i].method, wanted) == 0) found = i;
    }
    unsigned label = label_of(found < ROUTES ? routes[found].label : "");
    bool admitted = gate_admits(&server->gate, server_port(server->server), request, &refusal);
    if (!admitted && !(found < ROUTES && routes[found].open && refusal.status == 401)) {
        gate_refuse(&server->gate, server->server, request, &refusal, answer_refusal, server);
    } else if (found < ROUTES) {
        routes[found].answer(server, request, label);
    } else if (allowed) {
        request_add_header(request, "Allow", allowed);
        refuse(server, request, label, 405, "BAD_REQUEST",
               "this address does not take that method: see the Allow header");
    } else {
        refuse(server, request, label, 404, "RESOURCE_DOES_NOT_EXIST",
               "there is nothing at this address: /invocations scores, /metadata tells the "
               "model's name and what it takes");
    }
}

/* --- life --- */

static void on_signal(void *context)
{
    struct model_server *server = context;
    if (server->end_by > 0) {
        server_stop(server->server);
        return;
    }
    server->end_by = clock_monotonic() + FAREWELL_SECONDS;
    if (server->in_flight) log_line("stopping: %zu requests are being answered", server->in_flight);
}

static void tick(void *context)
{
    struct model_server *server = context;
    if (server->end_by > 0 && (!server->in_flight || clock_monotonic() > server->end_by))
        server_stop(server->server);
}

static int describe_model(struct model_server *server, struct error *error)
{
    const struct model_server_options *options = server->options;
    struct preprocess preprocess;
    server->model = (struct scoring_model){.name = options->name,
                                           .predictor = options->predictor,
                                           .engine_title = options->ops->title,
                                           .samples_max = options->samples_max};
    input_form_preprocess(&options->predictor->form, NULL, 255, &preprocess);
    preprocess_fill_f64(&preprocess, server->model.of_byte);
    return hash_file(options->path, server->model.hash, NULL, error);
}

static void announce(void *context)
{
    const struct model_server *server = context;
    const struct gate *gate = &server->gate;
    char address[GATE_ADDRESS_SIZE];
    gate_address(gate, server_port(server->server), address);
    address[strcspn(address, "?")] = '\0';
    server->options->on_ready(server->options->context, address,
                              gate->own_pass ? NULL : gate->token);
}

static int run(struct model_server *server, struct error *error)
{
    struct watch *const watches[] = {
        server_every(server->server, TICK_MS, tick, server),
        server_on_signal(server->server, SIGINT, on_signal, server),
        server_on_signal(server->server, SIGTERM, on_signal, server),
    };
    return server_run(server->server, watches, sizeof watches / sizeof watches[0], announce, server,
                      error);
}

int model_server_run(const struct model_server_options *options, struct error *error)
{
    struct model_server *server = calloc(1, sizeof *server);
    if (!server) return error_set_memory(error, "the server");
    server->options = options;
    server->gate.any_name = true;
    int status = -1;
    if (gate_open(&server->gate, options->host, options->token, error) ||
        describe_model(server, error) ||
        server_create(options->host, options->port, on_request, server, &server->server, error))
        goto out;
    server_limit_body(server->server, MODEL_SERVER_BODY_MAX);
    const struct scorer_options scoring = {.model = &server->model,
                                           .ops = options->ops,
                                           .threads = options->threads,
                                           .queue_max = options->queue_max,
                                           .server = server->server};
    if (!scorer_create(&scoring, &server->scorer, error)) status = run(server, error);
out:
    scorer_destroy(server->scorer);
    server_destroy(server->server);
    free(server);
    return status;
}
