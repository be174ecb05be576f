#include "http/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/js.h"
#include "base/log.h"
#include "http/assets.h"
#include "http/schema.h"
#include "http/security.h"
#include "run/settings.h"

#define PATH_PARTS_MAX 3
#define PARAMETERS_MAX 16
#define USUAL_TEXT_MAX 200 /* bytes of a text in the query */

struct call {
    struct studio *studio;
    struct request *request;
    const struct route *route;
    char *path;                             /* owned, decoded; cut into parts by NULs */
    char *query;                            /* owned, cut and decoded likewise */
    const char *path_names[PATH_PARTS_MAX]; /* within the route's path, ended by '}' */
    const char *path_values[PATH_PARTS_MAX];
    int path_count;
    const char *texts[PARAMETERS_MAX]; /* by the index in route->parameters */
    char choices[PARAMETERS_MAX][32];  /* what `texts` points to where a choice is absent */
    int64_t integers[PARAMETERS_MAX];
    const char *settings[SETTINGS_MAX]; /* by the index in settings_table */
    json_t *body;
};

static void call_destroy(void *context)
{
    struct call *call = context;
    free(call->path);
    free(call->query);
    json_decref(call->body);
    free(call);
}

/* --- what handlers use --- */

struct request *call_request(const struct call *call)
{
    return call->request;
}

const struct route *call_route(const struct call *call)
{
    return call->route;
}

const char *call_path(const struct call *call, const char *name)
{
    size_t length = strlen(name);
    for (int i = 0; i < call->path_count; i++)
        if (strncmp(call->path_names[i], name, length) == 0 && call->path_names[i][length] == '}')
            return call->path_values[i];
    CHECK(false && "a part of the route's path");
    return "";
}

static int parameter_index(const struct route *route, const char *name)
{
    for (int i = 0; route->parameters && route->parameters[i].name; i++) {
        CHECK(i < PARAMETERS_MAX);
        if (strcmp(route->parameters[i].name, name) == 0) return i;
    }
    return -1;
}

int64_t call_integer(const struct call *call, const char *name)
{
    int index = parameter_index(call->route, name);
    CHECK(index >= 0);
    return call->integers[index];
}

const char *call_text(const struct call *call, const char *name)
{
    int index = parameter_index(call->route, name);
    CHECK(index >= 0);
    return call->texts[index];
}

const char *const *call_settings(const struct call *call)
{
    return call->settings;
}

const json_t *call_body(const struct call *call)
{
    return call->body;
}

void call_reply_bytes(struct call *call, int status, const char *type, const void *bytes,
                      size_t size)
{
    request_reply(call->request, status, type, bytes, size);
}

static void reply_json(struct request *request, int status, json_t *value)
{
    static const char no_memory[] =
        "{\"error\":{\"code\":\"memory\",\"message\":\"memory is out\"}}";
    char *text = value ? js_dump(value) : NULL;
    const char *said = text ? text : no_memory;
    json_decref(value);
    request_add_header(request, "Cache-Control", "no-store");
    request_reply(request, text ? status : 500, "application/json", said, strlen(said));
    free(text);
}

void call_reply(struct call *call, int status, json_t *value)
{
    reply_json(call->request, status, value);
}

void call_reply_text(struct call *call, int status, const char *json)
{
    request_add_header(call->request, "Cache-Control", "no-store");
    request_reply(call->request, status, "application/json", json, strlen(json));
}

static const struct {
    enum error_code code;
    int status;
    const char *name;
} error_statuses[] = {
    {ERROR_USAGE, 400, "usage"},
    {ERROR_INPUT, 400, "input"},
    {ERROR_NOT_FOUND, 404, "not_found"},
    {ERROR_CONFLICT, 409, "conflict"},
    {ERROR_UNAVAILABLE, 503, "unavailable"},
    {ERROR_DENIED, 403, "denied"},
    {ERROR_IO, 500, "io"},
    {ERROR_MEMORY, 500, "memory"},
    {ERROR_FAILED, 500, "failed"},
};

/* A message may quote what was sent, which may be no UTF-8, or be cut within a letter: JSON has
 * none of that. */
static json_t *message_json(const char *message)
{
    json_t *value = json_string(message);
    char *plain = value ? NULL : strdup(message);
    if (!plain) return value;
    for (char *c = plain; *c; c++)
        if (*c & 0x80) *c = '?';
    value = json_string(plain);
    free(plain);
    return value;
}

static void refuse(struct request *request, int status, const char *code, const char *message)
{
    reply_json(
        request, status,
        json_pack("{s:{s:s, s:o}}", "error", "code", code, "message", message_json(message)));
}

void call_fail(struct call *call, const struct error *error)
{
    for (size_t i = 0; i < sizeof error_statuses / sizeof error_statuses[0]; i++) {
        if (error_statuses[i].code != error->code) continue;
        refuse(call->request, error_statuses[i].status, error_statuses[i].name, error->message);
        return;
    }
    refuse(call->request, 500, "failed", error->message);
}

/* --- who may ask --- */

/* "/path?token=T": true when it was that, and the request has been answered: the page keeps the
 * token as a cookie, and the address is left without it. */
static bool token_from_address(struct studio *studio, struct request *request)
{
    const char *target = gate_target(request), *given = gate_address_token(request),
               *token = studio->gate.token;
    if (!security_token_equal(given, token)) return false;
    char cookie[256], path[1024], name[GATE_COOKIE_SIZE];
    gate_cookie(server_port(studio->server), name);
    snprintf(cookie, sizeof cookie, "%s=%s; HttpOnly; SameSite=Strict; Path=/", name, token);
    snprintf(path, sizeof path, "%.*s", (int)strcspn(target, "?"), target);
    request_add_header(request, "Set-Cookie", cookie);
    request_add_header(request, "Location", path);
    request_reply(request, 303, NULL, "", 0);
    return true;
}

static const char *const fixed_headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
     "connect-src 'self'; "
     "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
};

static void answer_refusal(void *context, struct request *request, const struct refusal *refusal)
{
    (void)context;
    refuse(request, refusal->status, refusal->code, refusal->message);
}

/* True when the request may go on; else it has been answered, or will be. */
static bool admit(struct studio *studio, struct request *request)
{
    struct refusal refusal = {0};
    for (size_t i = 0; i < sizeof fixed_headers / sizeof fixed_headers[0]; i++)
        request_add_header(request, fixed_headers[i][0], fixed_headers[i][1]);
    if (gate_admits(&studio->gate, server_port(studio->server), request, &refusal))
        return !token_from_address(studio, request);
    gate_refuse(&studio->gate, studio->server, request, &refusal, answer_refusal, NULL);
    return false;
}

/* --- finding the route --- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Undoes percent coding in place; -1 for a broken code or a NUL. In a query '+' is a space. */
static int decode(char *text, bool query)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in == '%') {
            int high = hex_value(in[1]), low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0 || (high == 0 && low == 0)) return -1;
            *out++ = (char)(high << 4 | low);
            in += 2;
        } else {
            *out++ = query && *in == '+' ? ' ' : *in;
        }
    }
    *out = '\0';
    return 0;
}

/* Does the path fit the route's? Notes where the parts in braces lie; the path is not changed. */
static bool path_fits(const char *pattern, const char *path, struct call *call)
{
    call->path_count = 0;
    while (*pattern && *path) {
        if (*pattern == '{') {
            size_t length = strcspn(path, "/");
            if (!length || call->path_count == PATH_PARTS_MAX) return false;
            call->path_names[call->path_count] = pattern + 1;
            call->path_values[call->path_count++] = path;
            pattern = strchr(pattern, '}') + 1;
            path += length;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return !*pattern && !*path;
}

/* NULL when there is none; then `allowed` lists the methods that the path has. */
static const struct route *find_route(struct call *call, const char *method, char *allowed,
                                      size_t size)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    allowed[0] = '\0';
    for (size_t g = 0; g < route_group_count; g++) {
        for (size_t i = 0; i < route_groups[g]->count; i++) {
            const struct route *route = &route_groups[g]->routes[i];
            if (!path_fits(route->path, call->path, call)) continue;
            if (strcmp(route->method, wanted) == 0) return route;
            size_t used = strlen(allowed);
            snprintf(allowed + used, size - used, "%s%s", used ? ", " : "", route->method);
        }
    }
    return NULL;
}

static int split_path(struct call *call, struct error *error)
{
    for (int i = 0; i < call->path_count; i++) {
        char *value = (char *)(uintptr_t)call->path_values[i];
        value[strcspn(value, "/")] = '\0';
        if (decode(value, false))
            return error_set(error, ERROR_INPUT, "the address is not well formed");
    }
    return 0;
}

/* --- parameters and body --- */

static int take_integer(const struct parameter *parameter, const char *text, int64_t *out,
                        struct error *error)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    bool digits = *text == '-' ? text[1] >= '0' && text[1] <= '9' : *text >= '0' && *text <= '9';
    if (!digits || *end || value < parameter->low || value > parameter->high || strlen(text) > 19)
        return error_set(error, ERROR_INPUT, "\"%s\" must be a whole number from %lld to %lld",
                         parameter->name, (long long)parameter->low, (long long)parameter->high);
    *out = value;
    return 0;
}

static bool is_choice(const json_t *choices, const char *text)
{
    const json_t *choice;
    size_t i;
    json_array_foreach(choices, i, choice)
        if (strcmp(json_string_value(choice), text) == 0) return true;
    return false;
}

static int refuse_choice(const char *name, const json_t *choices, struct error *error)
{
    struct buffer list;
    const json_t *choice;
    size_t i;
    buffer_init(&list, 1024);
    json_array_foreach(choices, i, choice)
        buffer_printf(&list, "%s%s", i ? ", " : "", json_string_value(choice));
    if (!buffer_check(&list, "the list of choices", error))
        error_set(error, ERROR_INPUT, "\"%s\" must be one of: %s", name, list.data);
    buffer_free(&list);
    return -1;
}

/* `most`: bytes that its row allows; 0: the usual. */
static int check_text(const char *name, const char *value, double most, struct error *error)
{
    size_t limit = most > USUAL_TEXT_MAX ? (size_t)most : USUAL_TEXT_MAX;
    if (strlen(value) > limit)
        return error_set(error, ERROR_INPUT, "\"%s\" has %zu bytes: the most is %zu", name,
                         strlen(value), limit);
    json_t *utf8 = json_string(value);
    json_decref(utf8);
    return utf8 ? 0 : error_set(error, ERROR_INPUT, "\"%s\" is not UTF-8", name);
}

/* 1 when the route takes no setting of that name. */
static int take_setting(struct call *call, const char *name, const char *value, struct error *error)
{
    const struct setting *setting = call->route->flags & ROUTE_SETTINGS ? setting_find(name) : NULL;
    if (!setting || !(setting->flags & SETTING_PROGRAM)) return 1;
    double most = setting->kind == SETTING_TEXT ? setting->high : 0;
    if (check_text(name, value, most, error)) return -1;
    call->settings[setting - settings_table] = value;
    return 0;
}

static int take_parameter(struct call *call, const char *name, const char *value,
                          struct error *error)
{
    int index = parameter_index(call->route, name);
    if (index < 0) {
        int status = take_setting(call, name, value, error);
        return status <= 0 ? status
                           : error_set(error, ERROR_INPUT,
                                       "there is no parameter \"%.60s\" here: leave it out", name);
    }
    const struct parameter *parameter = &call->route->parameters[index];
    if (parameter->type == PARAMETER_INTEGER)
        return take_integer(parameter, value, &call->integers[index], error);
    if (parameter->choices) {
        json_t *choices = parameter_choices(parameter);
        int status = is_choice(choices, value) ? 0 : refuse_choice(name, choices, error);
        json_decref(choices);
        if (status) return -1;
    }
    if (check_text(name, value, (double)parameter->high, error)) return -1;
    call->texts[index] = value;
    return 0;
}

static void take_fallbacks(struct call *call)
{
    const struct parameter *parameters = call->route->parameters;
    for (int i = 0; parameters && parameters[i].name; i++) {
        call->integers[i] = parameters[i].fallback;
        if (parameters[i].type != PARAMETER_CHOICE) continue;
        snprintf(call->choices[i], sizeof call->choices[i], "%.*s",
                 (int)strcspn(parameters[i].choices, " "), parameters[i].choices);
        call->texts[i] = call->choices[i];
    }
}

static int take_query(struct call *call, struct error *error)
{
    take_fallbacks(call);
    char *rest = call->query;
    while (rest && *rest) {
        char *pair = rest, *end = strchr(rest, '&');
        rest = end ? end + 1 : NULL;
        if (end) *end = '\0';
        if (!*pair) continue;
        char *value = strchr(pair, '=');
        if (value)
            *value++ = '\0';
        else
            value = pair + strlen(pair);
        if (decode(pair, true) || decode(value, true))
            return error_set(error, ERROR_INPUT, "the query is not well formed");
        if (take_parameter(call, pair, value, error)) return -1;
    }
    return 0;
}

static bool is_type(const char *type, const char *wanted)
{
    size_t length = strlen(wanted);
    return type && strncasecmp(type, wanted, length) == 0 &&
           (!type[length] || type[length] == ';' || type[length] == ' ');
}

/* 0, or the status to refuse with. */
static int take_body(struct call *call, struct error *error)
{
    size_t size;
    const char *bytes = request_body(call->request, &size),
               *type = request_header(call->request, "Content-Type");
    if (call->route->flags & ROUTE_BYTES && !is_type(type, "application/octet-stream")) {
        error_set(error, ERROR_INPUT, "a file's bytes need Content-Type: application/octet-stream");
        return 415;
    }
    if (!(call->route->flags & ROUTE_CHANGES)) {
        call->body = json_object();
        return 0;
    }
    if (!is_type(type, "application/json")) {
        error_set(error, ERROR_INPUT, "a change needs Content-Type: application/json");
        return 415;
    }
    if (!size)
        call->body = json_object();
    else if (js_parse_object(bytes, size, "the request", &call->body, error))
        return 400;
    return call->route->body && schema_check(call->route->body, call->body, error) ? 400 : 0;
}

/* --- answering --- */

static void run_route(struct call *call)
{
    struct error error;
    if (split_path(call, &error) || take_query(call, &error)) {
        call_fail(call, &error);
        return;
    }
    int status = take_body(call, &error);
    if (status)
        refuse(call->request, status, status == 415 ? "type" : "input", error.message);
    else
        call->route->handle(call->studio, call);
}

static struct call *call_create(struct studio *studio, struct request *request)
{
    const char *target = gate_target(request), *mark = strchr(target, '?');
    struct call *call = calloc(1, sizeof *call);
    if (!call) return NULL;
    call->studio = studio;
    call->request = request;
    call->path = mark ? strndup(target, (size_t)(mark - target)) : strdup(target);
    call->query = strdup(mark ? mark + 1 : "");
    if (call->path && call->query) return call;
    call_destroy(call);
    return NULL;
}

void router_handle(void *context, struct request *request)
{
    struct studio *studio = context;
    char allowed[80];
    if (!admit(studio, request)) return;
    const char *method = request_method(request);
    struct call *call = call_create(studio, request);
    if (!call) {
        refuse(request, 500, "memory", "memory is out");
        return;
    }
    request_set_data(request, call, call_destroy);
    bool reading = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (strncmp(call->path, "/api/", 5) != 0) {
        if (reading) {
            assets_reply(request, call->path);
            return;
        }
        request_add_header(request, "Allow", "GET");
        refuse(request, 405, "method", "files of the page can only be read: use GET");
        return;
    }
    call->route = find_route(call, method, allowed, sizeof allowed);
    if (call->route) {
        run_route(call);
    } else if (allowed[0]) {
        request_add_header(request, "Allow", allowed);
        refuse(request, 405, "method",
               "this address does not take that method: see the Allow header");
    } else {
        refuse(request, 404, "not_found",
               "there is nothing at this address: see /api/openapi.json");
    }
}
