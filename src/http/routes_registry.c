/* Registering models, and answering from what is registered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "http/drawing.h"
#include "http/offload.h"
#include "http/registered.h"
#include "http/routes.h"
#include "http/tasks.h"
#include "registry/registry.h"
#include "run/setup.h"
#include "train/predictor.h"

#define CONFIG_MAX ((size_t)16 << 10)

/* --- targets and workspaces --- */

static int compute_targets(const struct studio *studio, struct store *store, void *context,
                           json_t **out, struct error *error)
{
    (void)store;
    (void)context;
    char config[4200], method[32];
    struct registry_options options;
    json_t *list = json_array(), *none = json_object();
    int status = registered_options(studio, none, NULL, &options, config, error);
    for (size_t i = 0; i < registry_target_count && !status; i++) {
        json_t *target = registry_targets[i]->describe(&options), *way;
        size_t w;
        json_object_set_new(target, "id", json_string(registry_targets[i]->id));
        json_object_set_new(target, "title", json_string(registry_targets[i]->title));
        json_object_set_new(target, "options",
                            registry_options_json(registry_targets[i]->id, REGISTRY_IN_REQUEST));
        json_t *changes = json_array();
        for (unsigned kind = 0; kind < REGISTRY_CHANGES; kind++)
            if (registry_targets[i]->changes & 1u << kind)
                json_array_append_new(changes, json_string(registry_change_table[kind].id));
        json_object_set_new(target, "changes", changes);
        json_object_set_new(target, "where", json_string(registry_targets[i]->where));
        json_array_foreach(json_object_get(target, "sign_in"), w, way) {
            /* The page has a user: what needs one is available. */
            if (!json_is_true(json_object_get(way, "interactive"))) continue;
            json_object_set_new(way, "available", json_true());
            json_object_set_new(way, "found", json_string("you sign in on Microsoft's page"));
        }
        json_array_append_new(list, target);
    }
    json_decref(none);
    bool signed_in = registry_signed_in(method);
    *out = json_pack("{s:o, s:s?}", "targets", list, "signed_in", signed_in ? method : NULL);
    return status;
}

static void get_targets(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_targets, calloc(1, 1));
}

static int work_workspaces(struct task *task, void *context, struct error *error)
{
    char config[4200];
    struct registry_options options;
    struct registered_telling telling = {0};
    json_t *body, *list = NULL;
    if (registered_message(context, &body, error)) return -1;
    int status = registered_options(task_studio(task), body, "azure", &options, config, error);
    if (!status) status = registered_begin(&telling, task, body, &options, error);
    if (!status) status = registry_workspaces(&options, &list, error);
    if (!status) task_set_result(task, json_pack("{s:o}", "workspaces", list));
    json_decref(telling.result);
    json_decref(body);
    return status;
}

static void post_workspaces(struct studio *studio, struct call *call)
{
    registered_start(studio, call, call_body(call), "workspaces", "azure",
                     "Ask Azure for the workspaces", work_workspaces);
}

/* Keeps a workspace: checked as any config.json is, before it takes the old one's place. */
static int keep_workspace(const struct studio *studio, const json_t *body, struct error *error)
{
    char path[4200], folder[4200], draft[4300];
    const char *config = NULL;
    registered_config_path(studio, path);
    snprintf(draft, sizeof draft, "%s.new", path);
    snprintf(folder, sizeof folder, "%s/.azureml", studio->home);
    if (js_get_string(body, "config", &config, error)) return -1;
    char *text = config ? strdup(config) : js_dump(body);
    int status = text && strlen(text) <= CONFIG_MAX
                     ? 0
                     : error_set(error, ERROR_INPUT, "that is not a config.json: it is too long");
    if (!status)
        status = file_make_directories(folder, error) ||
                         file_write(draft, text, strlen(text), error)
                     ? -1
                     : 0;
    if (!status && registry_workspace_check(draft, error)) {
        /* The draft's path tells a user nothing. */
        size_t prefix = strlen(draft);
        if (strncmp(error->message, draft, prefix) == 0) {
            char rest[sizeof error->message];
            snprintf(rest, sizeof rest, "config.json%s", error->message + prefix);
            memcpy(error->message, rest, sizeof rest);
        }
        error->code = ERROR_INPUT;
        remove(draft);
        status = -1;
    }
    if (!status && rename(draft, path))
        status = error_set(error, ERROR_IO, "%s cannot be written", path);
    free(text);
    return status;
}

static void put_workspace(struct studio *studio, struct call *call)
{
    struct error error;
    if (keep_workspace(studio, call_body(call), &error))
        call_fail(call, &error);
    else
        get_targets(studio, call);
}

static void delete_workspace(struct studio *studio, struct call *call)
{
    char path[4200];
    registered_config_path(studio, path);
    remove(path);
    get_targets(studio, call);
}

static void delete_sign_in(struct studio *studio, struct call *call)
{
    registry_sign_out();
    get_targets(studio, call);
}

/* --- registering --- */

/* The run's model in the format asked for: the file its engine wrote, or that one converted.
 * malloc'd. */
static int find_file(const struct studio *studio, struct store *store, const char *run,
                     const char *format, char **path, struct error *error)
{
    struct run_record *record = calloc(1, sizeof *record);
    struct model *model;
    char name[200], sha256[65], folder[4200], *source;
    if (!record) return error_set_memory(error, "a run");
    int status = store_run_get(store, run, record, error);
    const struct modelfile_options options = setup_model_options(&record->job);
    if (!status && !modelfile_format_find(format))
        status = error_set(error, ERROR_INPUT, "there is no model format \"%.20s\": use pth or h5",
                           format);
    if (!status) snprintf(name, sizeof name, "%s.%s", record->job.name, format);
    free(record);
    if (status) return -1;
    struct error ignored;
    if (store_file_path(store, run, name, path, &ignored) == 0) {
        if (file_exists(*path)) return 0;
        free(*path);
        *path = NULL; /* the caller frees it */
    }
    if (store_model_file(store, run, &source, sha256, error)) return -1;
    status = modelfile_read(source, &options, &model, error);
    free(source);
    if (status) return -1;
    /* By the content that it was made of, so that the same is found again. */
    snprintf(folder, sizeof folder, "%s/registrations/%.16s", studio->home, sha256);
    *path = path_join(folder, name);
    status = *path ? file_make_directories(folder, error) || modelfile_write(*path, model, error)
                   : error_set_memory(error, "a path");
    model_destroy(model);
    if (!status) return 0;
    free(*path);
    *path = NULL; /* the caller frees it */
    return -1;
}

static int work_register(struct task *task, void *context, struct error *error)
{
    char config[4200], *path = NULL;
    struct registry_options options;
    struct registry_request request = {0};
    const struct registry_target *target;
    const char *id, *run, *format;
    struct registered_telling telling = {0};
    const struct registry_watch watch = {.context = &telling, .on_step = registered_on_step};
    struct store *store = NULL;
    json_t *body, *made = NULL, *tags = NULL, *value;
    const char *key;
    if (registered_message(context, &body, error)) return -1;
    const struct studio *studio = task_studio(task);
    int status = js_need_string(body, "target", &id, error) ||
                         js_need_string(body, "run", &run, error) ||
                         js_need_string(body, "format", &format, error) ||
                         js_get_string(body, "name", &request.name, error) ||
                         js_get_string(body, "version", &request.version, error) ||
                         js_get_string(body, "description", &request.description, error) ||
                         registry_target_need(id, &target, error) ||
                         registered_options(studio, body, id, &options, config, error) ||
                         registered_begin(&telling, task, body, &options, error) ||
                         store_open(studio->home, &store, error) ||
                         find_file(studio, store, run, format, &path, error) ||
                         registry_describe_model(path, &tags, error)
                     ? -1
                     : 0;
    if (!status) {
        json_object_foreach(json_object_get(body, "tags"), key, value) {
            if (json_is_string(value)) json_object_set(tags, key, value);
        }
        request.model_path = path;
        request.tags = tags;
        const struct registry_job job = {.store = store,
                                         .run = run,
                                         .ask = body,
                                         .target = target,
                                         .options = &options,
                                         .watch = &watch};
        status = registry_record_publish(&job, &request, &made, error);
    }
    if (telling.result) {
        json_object_set_new(telling.result, "prompt", json_null());
        if (!status) json_object_set(telling.result, "registration", made);
        registered_tell(&telling);
    }
    store_close(store);
    json_decref(telling.result);
    json_decref(made);
    json_decref(tags);
    json_decref(body);
    free(path);
    return status;
}

static int check_registration(const json_t *body, char subject[160], char title[160],
                              struct error *error)
{
    const struct registry_target *target;
    const char *id, *run, *format;
    if (js_need_string(body, "target", &id, error) || js_need_string(body, "run", &run, error) ||
        js_need_string(body, "format", &format, error) || registry_target_need(id, &target, error))
        return -1;
    snprintf(subject, 160, "%.60s %.12s %.10s", run, format, id);
    snprintf(title, 160, "Register the .%.12s %s", format, target->where);
    return 0;
}

static void post_registration(struct studio *studio, struct call *call)
{
    struct error error;
    char subject[160], title[160];
    if (!check_registration(call_body(call), subject, title, &error)) {
        registered_start(studio, call, call_body(call), "register", subject, title, work_register);
        return;
    }
    call_fail(call, &error);
}

static void get_registrations(struct studio *studio, struct call *call)
{
    struct error error;
    json_t *list, *row;
    size_t i;
    if (store_registration_list(studio->store, call_text(call, "run"), 0, &list, &error)) {
        call_fail(call, &error);
        return;
    }
    registry_record_tell_cut(studio->home, list);
    json_array_foreach(list, i, row) json_object_del(json_object_get(row, "data"), "journal");
    call_reply(call, 200, json_pack("{s:o}", "registrations", list));
}

/* --- answering from what is registered --- */

static int predict(const char *path, const struct drawing *drawing, const json_t *version,
                   json_t **out, struct error *error)
{
    static const char *const copied[] = {"target", "name", "version", "sha256"};
    struct predictor predictor = {0};
    if (predictor_open(path, NULL, engine_default, 1, &predictor, error)) return -1;
    uint8_t *picture = malloc(predictor.inputs);
    int status = picture ? drawing_predict(drawing, &predictor, picture, out, error)
                         : error_set_memory(error, "a picture");
    for (size_t i = 0; !status && i < sizeof copied / sizeof copied[0]; i++)
        json_object_set(*out, copied[i], json_object_get(version, copied[i]));
    free(picture);
    predictor_close(&predictor);
    return status;
}

struct prediction {
    struct registry_question question;
    struct drawing drawing;
};

static int compute_prediction(const struct studio *studio, struct store *store, void *context,
                              json_t **out, struct error *error)
{
    struct prediction *prediction = context;
    json_t *found = NULL;
    if (registered_compute(studio, store, &prediction->question, &found, error)) return -1;
    int status = predict(json_string_value(json_object_get(found, "file")), &prediction->drawing,
                         found, out, error);
    json_decref(found);
    return status;
}

static int read_prediction(const json_t *body, struct prediction *prediction, struct error *error)
{
    struct registry_question *question = &prediction->question;
    question->kind = QUESTION_PULL;
    if (registered_copy(body, "target", true, question->target, sizeof question->target, error) ||
        registered_copy(body, "name", true, question->name, sizeof question->name, error) ||
        registered_copy(body, "version", false, question->version, sizeof question->version, error))
        return -1;
    for (unsigned key = 0; key < REGISTRY_KEYS; key++)
        if (registered_copy(body, registry_option_table[key].key, false, question->values[key],
                            sizeof question->values[key], error))
            return -1;
    return drawing_read(body, &prediction->drawing, error);
}

static void post_predict(struct studio *studio, struct call *call)
{
    struct error error;
    struct prediction *prediction = calloc(1, sizeof *prediction);
    if (!prediction) error_set_memory(&error, "a drawing");
    if (prediction && !read_prediction(call_body(call), prediction, &error)) {
        call_compute(studio, call, compute_prediction, prediction);
        return;
    }
    free(prediction);
    call_fail(call, &error);
}

static const struct parameter history_parameters[] = {
    {"run", PARAMETER_TEXT, 0, 0, 0, NULL, "of this run only"},
    {0},
};

static const struct route routes[] = {
    {"GET", "/api/registry/targets", get_targets,
     "Where models can be registered, and what was found to sign in with", NULL, NULL, "Targets",
     200, 0},
    {"PUT", "/api/registry/workspace", put_workspace,
     "Keep an Azure ML workspace: the text of its config.json, or its three names", NULL,
     "Workspace", "Targets", 200, ROUTE_CHANGES},
    {"DELETE", "/api/registry/workspace", delete_workspace, "Forget the kept workspace", NULL, NULL,
     "Targets", 200, 0},
    {"DELETE", "/api/registry/sign-in", delete_sign_in, "Sign out of Azure", NULL, NULL, "Targets",
     200, 0},
    {"POST", "/api/registry/workspaces", post_workspaces,
     "Ask Azure for the workspaces the user may see: the task's result lists them", NULL, "SignIn",
     "Started", 202, ROUTE_CHANGES},
    {"POST", "/api/registry/registrations", post_registration,
     "Register a run's model; one that was cut off is taken up again", NULL, "NewRegistration",
     "Started", 202, ROUTE_CHANGES},
    {"GET", "/api/registry/registrations", get_registrations,
     "What was registered from here, newest first", history_parameters, NULL, "RegistrationList",
     200, 0},
    {"POST", "/api/predict", post_predict, "What a registered model sees in a picture", NULL,
     "NewPrediction", "Prediction", 200, ROUTE_CHANGES},
};
const struct route_group routes_registry = ROUTE_GROUP("registry", routes);
