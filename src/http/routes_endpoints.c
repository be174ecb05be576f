/* Registered models as online endpoints of Azure ML. All of it asks Azure, which may take a quarter
 * of an hour and a user's sign-in: so all of it are tasks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "http/drawing.h"
#include "http/registered.h"

struct endpoint_question {
    const json_t *body;
    const struct registry_options *options;
    struct registered_telling *telling;
    const char *endpoint; /* "" of a creation and a list */
};

static void on_logs(void *context, const char *text)
{
    struct registered_telling *telling = context;
    json_object_set_new(telling->result, "logs", js_shown(text));
}

static int create(const struct endpoint_question *own, struct error *error)
{
    struct registry_deployment deployment = {.on_logs = on_logs, .context = own->telling};
    const struct registry_watch watch = {.context = own->telling, .on_step = registered_on_step};
    bool accepted = false;
    json_t *made = NULL;
    if (js_need_string(own->body, "model", &deployment.model, error) ||
        js_get_string(own->body, "version", &deployment.version, error) ||
        js_get_string(own->body, "name", &deployment.endpoint, error) ||
        js_get_string(own->body, "instance_type", &deployment.instance_type, error) ||
        js_get_u32(own->body, "instances", 1, REGISTRY_MAX_INSTANCES, &deployment.instances,
                   error) ||
        js_get_bool(own->body, "accept_cost", &accepted, error))
        return -1;
    if (!accepted)
        return error_set(error, ERROR_INPUT,
                         "Azure bills each machine by the hour until the endpoint is deleted: "
                         "accept the cost with \"accept_cost\": true");
    if (registry_endpoint_create(own->options, &deployment, &watch, &made, error)) return -1;
    json_object_set_new(own->telling->result, "endpoint", made);
    return 0;
}

static int list(const struct endpoint_question *own, struct error *error)
{
    json_t *rows;
    if (registry_endpoint_list(own->options, &rows, error)) return -1;
    json_object_set_new(own->telling->result, "endpoints", rows);
    return 0;
}

static int test(const struct endpoint_question *own, struct error *error)
{
    struct drawing *drawing = calloc(1, sizeof *drawing);
    json_t *found = NULL;
    int status = drawing ? drawing_read(own->body, drawing, error)
                         : error_set_memory(error, "a drawing");
    if (!status) {
        const struct registry_sample sample = {
            .gray = drawing->pixels, .width = drawing->width, .height = drawing->height};
        status = registry_endpoint_test(own->options, own->endpoint, &sample, &found, error);
    }
    if (!status) json_object_set_new(own->telling->result, "test", found);
    free(drawing);
    return status;
}

static int logs(const struct endpoint_question *own, struct error *error)
{
    char *text;
    if (registry_endpoint_logs(own->options, own->endpoint, &text, error)) return -1;
    json_object_set_new(own->telling->result, "logs", js_shown(text));
    free(text);
    return 0;
}

static int delete_endpoint(const struct endpoint_question *own, struct error *error)
{
    if (registry_endpoint_delete(own->options, own->endpoint, error)) return -1;
    json_object_set_new(own->telling->result, "deleted", json_string(own->endpoint));
    return 0;
}

static const struct action {
    const char *id, *title;
    int (*run)(const struct endpoint_question *own, struct error *error);
} actions[] = {
    {"create", "Deploy %s", create},
    {"list", "List the endpoints", list},
    {"test", "Test %s", test},
    {"logs", "Read the logs of %s", logs},
    {"delete", "Delete %s", delete_endpoint},
};
#define ACTION_COUNT (sizeof actions / sizeof actions[0])

static const struct action *find_action(const char *id)
{
    for (size_t i = 0; i < ACTION_COUNT; i++)
        if (strcmp(actions[i].id, id) == 0) return &actions[i];
    return NULL;
}

static int work(struct task *task, void *context, struct error *error)
{
    char config[4200];
    struct registry_options options;
    struct registered_telling telling = {0};
    json_t *body;
    if (registered_message(context, &body, error)) return -1;
    const struct action *action = find_action(js_text(body, "action"));
    int status = registered_options(task_studio(task), body, "azure", &options, config, error) ||
                         registered_begin(&telling, task, body, &options, error)
                     ? -1
                     : 0;
    if (!status) {
        const struct endpoint_question asking = {body, &options, &telling,
                                                 js_text(body, "endpoint")};
        status = action->run(&asking, error);
        json_object_set_new(telling.result, "prompt", json_null());
        registered_tell(&telling);
    }
    json_decref(telling.result);
    json_decref(body);
    return status;
}

static void start(struct studio *studio, struct call *call, const char *id, const char *endpoint)
{
    struct error error;
    const struct action *action = find_action(id);
    json_t *body = json_copy((json_t *)call_body(call));
    char subject[160], title[160];
    const char *about = *endpoint ? endpoint : js_text(body, "model");
    if (!body || json_object_set_new(body, "action", json_string(id)) ||
        json_object_set_new(body, "endpoint", json_string(endpoint))) {
        error_set_memory(&error, "a task");
        call_fail(call, &error);
    } else {
        snprintf(subject, sizeof subject, "%s%s%.100s", id, *about ? " " : "", about);
        snprintf(title, sizeof title, "%.*s%.100s", (int)strcspn(action->title, "%"), action->title,
                 strchr(action->title, '%') ? about : "");
        registered_start(studio, call, body, "endpoint", subject, title, work);
    }
    json_decref(body);
}

static void post_endpoint(struct studio *studio, struct call *call)
{
    start(studio, call, "create", "");
}

static void post_list(struct studio *studio, struct call *call)
{
    start(studio, call, "list", "");
}

static void post_test(struct studio *studio, struct call *call)
{
    start(studio, call, "test", call_path(call, "endpoint"));
}

static void post_logs(struct studio *studio, struct call *call)
{
    start(studio, call, "logs", call_path(call, "endpoint"));
}

static void post_deletion(struct studio *studio, struct call *call)
{
    start(studio, call, "delete", call_path(call, "endpoint"));
}

static const struct route routes[] = {
    {"POST", "/api/registry/endpoints", post_endpoint,
     "Make an online endpoint of a version in Azure ML; one that was cut off is taken up again",
     NULL, "NewEndpoint", "Started", 202, ROUTE_CHANGES},
    {"POST", "/api/registry/endpoint-list", post_list,
     "Ask Azure for the workspace's endpoints: the task's result lists them", NULL, "SignIn",
     "Started", 202, ROUTE_CHANGES},
    {"POST", "/api/registry/endpoints/{endpoint}/test", post_test,
     "Send a drawing to an endpoint, and to the same file here", NULL, "EndpointDrawing", "Started",
     202, ROUTE_CHANGES},
    {"POST", "/api/registry/endpoints/{endpoint}/logs", post_logs,
     "The last lines of an endpoint's container", NULL, "SignIn", "Started", 202, ROUTE_CHANGES},
    {"POST", "/api/registry/endpoints/{endpoint}/deletion", post_deletion,
     "Delete an endpoint with its deployments", NULL, "SignIn", "Started", 202, ROUTE_CHANGES},
};
const struct route_group routes_endpoints = ROUTE_GROUP("registry", routes);
