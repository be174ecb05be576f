/* What is registered: versions, one version, changing and comparing them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "http/offload.h"
#include "http/registered.h"

int registered_copy(const json_t *body, const char *key, bool needed, char *out, size_t size,
                    struct error *error)
{
    const char *text = NULL;
    if (needed ? js_need_string(body, key, &text, error) : js_get_string(body, key, &text, error))
        return -1;
    if (text && strlen(text) >= size)
        return error_set(error, ERROR_INPUT, "\"%s\" is too long", key);
    snprintf(out, size, "%s", text ? text : "");
    return 0;
}

void registered_config_path(const struct studio *studio, char out[4200])
{
    snprintf(out, 4200, "%s/.azureml/config.json", studio->home);
}

int registered_options(const struct studio *studio, const json_t *body, const char *target,
                       struct registry_options *out, char config[4200], struct error *error)
{
    *out = (struct registry_options){.home = studio->home};
    for (unsigned key = 0; key < REGISTRY_KEYS; key++) {
        const struct registry_option *option = &registry_option_table[key];
        if ((option->places & REGISTRY_IN_REQUEST) &&
            js_get_string(body, option->key, &out->values[key], error))
            return -1;
    }
    if (target && registry_options_check(out, target, true, error)) {
        error->code = ERROR_INPUT;
        return -1;
    }
    registered_config_path(studio, config);
    if (file_exists(config)) out->values[REGISTRY_CONFIG] = config;
    return 0;
}

/* --- what is registered --- */

/* Options in a question's address; their names are those of registry_option_table. */
static const struct parameter place_parameters[] = {
    {"sign_in", PARAMETER_TEXT, 0, 0, 0, NULL,
     "how to sign in to Azure: service-principal, azure-cli, device-code …"},
    {"tracking_uri", PARAMETER_TEXT, 0, 0, 0, NULL, "the MLflow server"},
    {"registry_name", PARAMETER_TEXT, 0, 0, 0, NULL, "an Azure ML registry, not the workspace"},
    {0},
};

/* Answers a question whose options are read. */
typedef int answer_fn(const struct registry_target *target, const struct registry_options *options,
                      struct store *store, const struct registry_question *question, json_t **out,
                      struct error *error);

/* NULL is the latest. */
static const char *version_of(const char *text)
{
    return strcmp(text, "latest") == 0 ? NULL : text;
}

static int answer_list(const struct registry_target *target, const struct registry_options *options,
                       struct store *store, const struct registry_question *question, json_t **out,
                       struct error *error)
{
    json_t *list;
    (void)store;
    if (target->list(options, question->name[0] ? question->name : NULL, &list, error)) return -1;
    *out = json_pack("{s:o}", "versions", list);
    return 0;
}

static int answer_show(const struct registry_target *target, const struct registry_options *options,
                       struct store *store, const struct registry_question *question, json_t **out,
                       struct error *error)
{
    (void)store;
    return target->show(options, question->name, version_of(question->version), out, error);
}

static int answer_pull(const struct registry_target *target, const struct registry_options *options,
                       struct store *store, const struct registry_question *question, json_t **out,
                       struct error *error)
{
    char *path = NULL;
    (void)store;
    if (registry_cached(target, options, question->name, version_of(question->version), &path, out,
                        error))
        return -1;
    json_object_set_new(*out, "file", json_string(path));
    free(path);
    return 0;
}

static int answer_compare(const struct registry_target *target,
                          const struct registry_options *options, struct store *store,
                          const struct registry_question *question, json_t **out,
                          struct error *error)
{
    return registry_compare(target, options, store, question->name, version_of(question->version),
                            version_of(question->other), out, error);
}

static int answer_change(const struct registry_target *target,
                         const struct registry_options *options, struct store *store,
                         const struct registry_question *question, json_t **out,
                         struct error *error)
{
    json_t *found;
    struct registry_change change = question->change;
    (void)store;
    change.name = question->name;
    change.version = version_of(question->version);
    change.key = question->key;
    change.value = question->value;
    change.confirmed = question->confirmed;
    if (registry_change(target, options, &change, &found, error)) {
        if (error->code == ERROR_USAGE) error->code = ERROR_INPUT;
        return -1;
    }
    *out = json_pack("{s:o}", "version", found ? found : json_null());
    return 0;
}

static answer_fn *const answers[] = {
    [QUESTION_LIST] = answer_list,     [QUESTION_SHOW] = answer_show,
    [QUESTION_PULL] = answer_pull,     [QUESTION_COMPARE] = answer_compare,
    [QUESTION_CHANGE] = answer_change,
};

int registered_compute(const struct studio *studio, struct store *store, void *context,
                       json_t **out, struct error *error)
{
    const struct registry_question *question = context;
    const struct registry_target *target;
    struct registry_options options;
    char config[4200];
    json_t *none = json_object();
    int status = registry_target_need(question->target, &target, error) ||
                         registered_options(studio, none, NULL, &options, config, error)
                     ? -1
                     : 0;
    json_decref(none);
    if (status) return -1;
    for (unsigned key = 0; key < REGISTRY_KEYS; key++)
        if (question->values[key][0]) options.values[key] = question->values[key];
    return answers[question->kind](target, &options, store, question, out, error);
}

/* What the address says of the question. */
static struct registry_question *question_of(struct call *call, enum question_kind kind,
                                             bool of_model, bool of_version)
{
    struct registry_question *question = calloc(1, sizeof *question);
    if (!question) return NULL;
    question->kind = kind;
    snprintf(question->target, sizeof question->target, "%s", call_path(call, "target"));
    if (of_model) snprintf(question->name, sizeof question->name, "%s", call_path(call, "name"));
    if (of_version)
        snprintf(question->version, sizeof question->version, "%s", call_path(call, "version"));
    return question;
}

/* The options in the question's address. */
static void read_places(struct call *call, struct registry_question *question)
{
    for (unsigned key = 0; key < REGISTRY_KEYS; key++) {
        const char *name = registry_option_table[key].key;
        bool asked = false;
        for (const struct parameter *p = place_parameters; p->name && !asked; p++)
            asked = strcmp(p->name, name) == 0;
        const char *value = asked ? call_text(call, name) : NULL;
        snprintf(question->values[key], sizeof question->values[key], "%s", value ? value : "");
    }
}

static void ask(struct studio *studio, struct call *call, enum question_kind kind, bool of_model,
                bool of_version)
{
    struct registry_question *question = question_of(call, kind, of_model, of_version);
    if (question) read_places(call, question);
    call_compute(studio, call, registered_compute, question);
}

static void get_models(struct studio *studio, struct call *call)
{
    ask(studio, call, QUESTION_LIST, false, false);
}

static void get_versions(struct studio *studio, struct call *call)
{
    ask(studio, call, QUESTION_LIST, true, false);
}

static void get_version(struct studio *studio, struct call *call)
{
    ask(studio, call, QUESTION_SHOW, true, true);
}

static void post_pull(struct studio *studio, struct call *call)
{
    ask(studio, call, QUESTION_PULL, true, true);
}

static const struct parameter compare_parameters[] = {
    {"a", PARAMETER_TEXT, 0, 0, 0, NULL, "a version, @ALIAS or latest"},
    {"b", PARAMETER_TEXT, 0, 0, 0, NULL, "the other one"},
    {"sign_in", PARAMETER_TEXT, 0, 0, 0, NULL, "how to sign in to Azure"},
    {"tracking_uri", PARAMETER_TEXT, 0, 0, 0, NULL, "the MLflow server"},
    {"registry_name", PARAMETER_TEXT, 0, 0, 0, NULL, "an Azure ML registry, not the workspace"},
    {0},
};

static void get_comparison(struct studio *studio, struct call *call)
{
    struct registry_question *question = question_of(call, QUESTION_COMPARE, true, false);
    const char *a = call_text(call, "a"), *b = call_text(call, "b");
    if (question) {
        read_places(call, question);
        snprintf(question->version, sizeof question->version, "%s", a && *a ? a : "latest");
        snprintf(question->other, sizeof question->other, "%s", b && *b ? b : "latest");
    }
    call_compute(studio, call, registered_compute, question);
}

static int read_change(const json_t *body, struct registry_question *question, struct error *error)
{
    const char *id;
    unsigned kind = 0;
    if (js_need_string(body, "change", &id, error) ||
        registered_copy(body, "key", false, question->key, sizeof question->key, error) ||
        registered_copy(body, "value", false, question->value, sizeof question->value, error) ||
        registered_copy(body, "confirm", false, question->confirmed, sizeof question->confirmed,
                        error))
        return -1;
    for (unsigned key = 0; key < REGISTRY_KEYS; key++)
        if (registered_copy(body, registry_option_table[key].key, false, question->values[key],
                            sizeof question->values[key], error))
            return -1;
    while (kind < REGISTRY_CHANGES && strcmp(registry_change_table[kind].id, id) != 0) kind++;
    if (kind == REGISTRY_CHANGES)
        return error_set(error, ERROR_INPUT, "there is no change \"%.40s\"", id);
    question->change.kind = (enum registry_change_kind)kind;
    return 0;
}

static void post_change(struct studio *studio, struct call *call)
{
    struct error error;
    struct registry_question *question = question_of(call, QUESTION_CHANGE, true, true);
    if (!question) error_set_memory(&error, "a change");
    if (question && !read_change(call_body(call), question, &error)) {
        call_compute(studio, call, registered_compute, question);
        return;
    }
    free(question);
    call_fail(call, &error);
}

static const struct route routes[] = {
    {"GET", "/api/registry/models/{target}", get_models,
     "The latest version of each registered model", place_parameters, NULL, "VersionList", 200, 0},
    {"GET", "/api/registry/models/{target}/{name}", get_versions,
     "The versions of a registered model", place_parameters, NULL, "VersionList", 200, 0},
    {"GET", "/api/registry/models/{target}/{name}/{version}", get_version,
     "One version, read from its target; \"latest\" is one", place_parameters, NULL,
     "RegisteredModel", 200, 0},
    {"POST", "/api/registry/models/{target}/{name}/{version}/pull", post_pull,
     "Download it into the studio's home, the hash checked", place_parameters, "Nothing",
     "PulledModel", 200, ROUTE_CHANGES},
    {"POST", "/api/registry/models/{target}/{name}/{version}/changes", post_change,
     "Change a version: alias, tag, description, archive, or delete it", NULL, "VersionChange",
     "ChangedVersion", 200, ROUTE_CHANGES},
    {"GET", "/api/registry/comparison/{target}/{name}", get_comparison, "Two versions side by side",
     compare_parameters, NULL, "VersionComparison", 200, 0},
};
const struct route_group routes_versions = ROUTE_GROUP("registry", routes);
