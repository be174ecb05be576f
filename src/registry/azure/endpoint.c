/* Making an online endpoint of a registered version, step by step: each step looks first at what is
 * there, so that an interrupted or failed try is taken up again, and what it made is known. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/random.h"
#include "registry/azure/endpoint.h"
#include "registry/azure/pending.h"
#include "registry/targets.h"

#define CODE_FOLDER "score"
#define TEXT_LIMIT  ((size_t)1 << 20)

enum {
    STEP_FIND,
    STEP_SCRIPT,
    STEP_ENVIRONMENT,
    STEP_ENDPOINT,
    STEP_DEPLOYMENT,
    STEP_TRAFFIC,
    STEP_TEST
};
static const char *const step_titles[] = {"Find the workspace and the model",
                                          "Upload the scoring script",
                                          "Register the environment",
                                          "Create the endpoint",
                                          "Deploy the model",
                                          "Send it all traffic",
                                          "Send a test sample",
                                          NULL};

/* One endpoint on its way. */
struct making {
    const struct registry_options *options;
    const struct registry_deployment *of;
    struct az_connection *connection;
    struct progress progress;
    struct az_journal journal;
    char version[64], model_id[ARM_ID_SIZE], model_type[64];
    char endpoint[AZ_ENDPOINT_LIMIT + 1];
    char *file;       /* the model's, owned; NULL for an MLflow folder */
    json_t *tags;     /* of the version, owned */
    json_t *resource; /* the endpoint, owned */
    struct az_scoring scoring;
};

void az_endpoint_path(const char *endpoint, bool deployment, char out[AZ_ENDPOINT_PATH])
{
    snprintf(out, AZ_ENDPOINT_PATH, "/onlineEndpoints/%.40s%s", endpoint,
             deployment ? "/deployments/" AZ_DEPLOYMENT : "");
}

/* --- what is asked for, and what of it is there --- */

static const char *noted(const struct making *own, const char *key)
{
    return js_text(own->journal.data, key);
}

/* The endpoint that this home began for the version, or has made already. */
static int find_begun(struct making *own, struct error *error)
{
    json_t *list, *entry;
    size_t i;
    const struct az_workspace *workspace = &own->connection->arm.workspace;
    int status = 0;
    if (az_journal_list(own->options->home, &az_endpoints, &list, error)) return -1;
    json_array_foreach(list, i, entry) {
        const char *name = js_text(entry, "endpoint");
        bool same = strcmp(js_text(entry, "model"), own->of->model) == 0 &&
                    strcmp(js_text(entry, "version"), own->version) == 0;
        if (!az_journal_in(entry, workspace) || !same || own->of->endpoint) continue;
        if (strcmp(js_text(entry, "state"), AZ_CREATING) == 0) {
            snprintf(own->endpoint, sizeof own->endpoint, "%s", name);
        } else if (!*own->endpoint) {
            status = error_set(error, ERROR_CONFLICT,
                               "the endpoint %s has version %s of %s already: use it, delete it, "
                               "or give the new one a name of its own",
                               name, own->version, own->of->model);
        }
    }
    json_decref(list);
    return *own->endpoint ? 0 : status;
}

static int choose_name(struct making *own, struct error *error)
{
    char digits[8] = "";
    if (find_begun(own, error)) return -1;
    if (*own->endpoint) return 0;
    random_hex(digits, 6);
    return az_endpoint_name(own->of->endpoint, own->of->model, digits, own->endpoint, error);
}

/* An endpoint that is on its way keeps the machines it was begun with. */
static int check_journal(struct making *own, struct error *error)
{
    const struct registry_deployment *of = own->of;
    const json_t *data = own->journal.data;
    json_int_t instances = json_integer_value(json_object_get(data, "instances"));
    if (!json_object_size(data)) return 0;
    if (strcmp(noted(own, "model"), of->model) != 0 ||
        strcmp(noted(own, "version"), own->version) != 0)
        return error_set(error, ERROR_CONFLICT,
                         "the endpoint %s is for version %.40s of %.80s: give the new one another "
                         "name",
                         own->endpoint, noted(own, "version"), noted(own, "model"));
    if (strcmp(noted(own, "state"), AZ_CREATING) != 0)
        return error_set(error, ERROR_CONFLICT,
                         "the endpoint %s is %s already: delete it first, or give the new one "
                         "another name",
                         own->endpoint,
                         strcmp(noted(own, "state"), AZ_READY) == 0 ? "there" : "being deleted");
    if ((of->instance_type && strcmp(noted(own, "instance_type"), of->instance_type) != 0) ||
        (of->instances && of->instances != instances))
        return error_set(error, ERROR_CONFLICT,
                         "the endpoint %s was begun with %lld × %.60s: go on with these, or delete "
                         "it first",
                         own->endpoint, (long long)instances, noted(own, "instance_type"));
    return 0;
}

static int begin_journal(struct making *own, struct error *error)
{
    const struct az_workspace *workspace = &own->connection->arm.workspace;
    const struct registry_deployment *of = own->of;
    char mark[33] = "", a[13] = "";
    random_hex(mark, 32);
    random_hex(a, 12);
    json_t *data = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:o, s:s, s:I, s:b, s:b}", "endpoint",
        own->endpoint, "subscription_id", workspace->subscription, "resource_group",
        workspace->resource_group, "workspace_name", workspace->name, "model", of->model, "version",
        own->version, "instance_type",
        of->instance_type ? of->instance_type : REGISTRY_INSTANCE_TYPE, "instances",
        (json_int_t)(of->instances ? of->instances : 1), "mark", mark, "code",
        json_sprintf("%.8s-%.4s-4%.3s-a%.3s-%s", mark, mark + 8, mark + 13, mark + 17, a), "state",
        AZ_CREATING, "begun_at", (json_int_t)clock_wall_ms(), "begun", 0, "deployed", 0);
    if (!data) return error_set_memory(error, "the journal");
    json_decref(own->journal.data);
    own->journal.data = data;
    return 0;
}

static int check_words(const struct registry_deployment *of, struct error *error)
{
    const char *type = of->instance_type;
    char name[AZ_ENDPOINT_LIMIT + 1];
    if (az_model_name_check(of->model, error) ||
        (of->endpoint && az_endpoint_name(of->endpoint, "", "", name, error)))
        return -1;
    if (type && (!*type || strlen(type) > 60 ||
                 strspn(type, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") !=
                     strlen(type)))
        return error_set(
            error, ERROR_USAGE,
            "\"%.60s\" is not a valid machine size: write it as " REGISTRY_INSTANCE_TYPE, type);
    if (of->instances > REGISTRY_MAX_INSTANCES)
        return error_set(error, ERROR_USAGE, "%u instances are out of range (1 to %d)",
                         of->instances, REGISTRY_MAX_INSTANCES);
    return 0;
}

/* The version's file, for the script around it and for the test. */
static int find_model(struct making *own, struct error *error)
{
    const struct registry_deployment *of = own->of;
    json_t *answer = NULL;
    if (az_find_version(own->options, of->model, of->version, &own->connection, &answer, error))
        return -1;
    const json_t *properties = json_object_get(answer, "properties");
    snprintf(own->version, sizeof own->version, "%s", js_text(answer, "name"));
    snprintf(own->model_id, sizeof own->model_id, "%s", js_text(answer, "id"));
    snprintf(own->model_type, sizeof own->model_type, "%s", js_text(properties, "modelType"));
    own->tags = json_incref(json_object_get(properties, "tags"));
    json_decref(answer);
    if (az_connection_check(own->connection, error) ||
        az_connection_may(own->connection, "onlineEndpoints/write", error) ||
        registry_cached(&registry_azure, own->options, of->model, own->version, &own->file, NULL,
                        error))
        return -1;
    const struct az_scoring_parts parts = {.model_path = own->file,
                                           .engine = js_text(own->tags, "engine")};
    return az_scoring_open(&parts, &own->scoring, error);
}

static int agree(const struct making *own, struct error *error)
{
    if (!own->of->agree) return 0;
    json_t *plan = json_pack("{s:s, s:s, s:s, s:s, s:O, s:O, s:b}", "endpoint", own->endpoint,
                             "model", own->of->model, "version", own->version, "workspace",
                             own->connection->arm.workspace.name, "instance_type",
                             json_object_get(own->journal.data, "instance_type"), "instances",
                             json_object_get(own->journal.data, "instances"), "resumes",
                             (int)json_is_true(json_object_get(own->journal.data, "begun")));
    int status = plan ? own->of->agree(own->of->context, plan, error)
                      : error_set_memory(error, "a plan");
    json_decref(plan);
    return status;
}

static int find(struct making *own, struct error *error)
{
    progress_step(&own->progress, STEP_FIND);
    if (find_model(own, error) || choose_name(own, error) ||
        az_journal_open(own->options->home, &az_endpoints, &own->connection->arm.workspace,
                        own->endpoint, &own->journal, error) ||
        check_journal(own, error))
        return -1;
    if (!json_object_size(own->journal.data) && begin_journal(own, error)) return -1;
    return agree(own, error) || az_journal_write(&own->journal, error) ? -1 : 0;
}

/* --- code and environment --- */

/* The id of a code folder of this content that the workspace has already; noted when found. */
static int look_for_code(struct making *own, const char *hash, struct error *error)
{
    char path[128], query[128];
    struct arm_answer answer;
    snprintf(path, sizeof path, "/codes/%.40s/versions", noted(own, "code"));
    snprintf(query, sizeof query, "hash=%s&hashVersion=" AZ_CODE_HASH_VERSION, hash);
    if (arm_call(&own->connection->arm,
                 &(struct arm_request){.path = path,
                                       .query = query,
                                       .may_be_absent = true,
                                       .what = "looking for the scoring script"},
                 &answer, error))
        return -1;
    const char *id = js_text(json_array_get(json_object_get(answer.body, "value"), 0), "id");
    int status = *id ? az_journal_note(&own->journal, "code_id", id, error) : 0;
    json_decref(answer.body);
    return status;
}

static int register_code(struct making *own, const char *hash, const char *uri, struct error *error)
{
    char path[128];
    struct arm_answer answer;
    json_t *body = json_pack("{s:{s:s, s:b, s:{s:s, s:s}}}", "properties", "codeUri", uri,
                             "isAnonymous", 1, "properties", "hash_sha256", hash, "hash_version",
                             AZ_CODE_HASH_VERSION);
    snprintf(path, sizeof path, "/codes/%.40s/versions/1", noted(own, "code"));
    int status = arm_call(
        &own->connection->arm,
        &(struct arm_request){
            .method = "PUT", .path = path, .body = body, .what = "registering the scoring script"},
        &answer, error);
    json_decref(body);
    if (!status)
        status = az_journal_note(&own->journal, "code_id", js_text(answer.body, "id"), error);
    json_decref(answer.body);
    return status;
}

static int put_code(struct making *own, struct error *error)
{
    char path[128], hash[HASH_HEX_SIZE], *uri = NULL;
    struct buffer script;
    buffer_init(&script, TEXT_LIMIT);
    progress_step(&own->progress, STEP_SCRIPT);
    if (az_scoring_script(&own->scoring, &script, error)) {
        buffer_free(&script);
        return -1;
    }
    const struct az_part part = {AZ_SCRIPT, script.data, script.length};
    snprintf(path, sizeof path, "/codes/%.40s/versions/1", noted(own, "code"));
    const struct az_pending pending = {.path = path,
                                       .name = noted(own, "code"),
                                       .version = "1",
                                       .folder = CODE_FOLDER,
                                       .parts = &part,
                                       .count = 1,
                                       .progress = progress_bytes,
                                       .context = &own->progress};
    int status = az_code_hash(&part, 1, hash, error) || look_for_code(own, hash, error) ? -1 : 0;
    if (!status && !*noted(own, "code_id"))
        status = az_pending_upload(own->connection, &pending, &uri, error) ||
                         register_code(own, hash, uri, error)
                     ? -1
                     : 0;
    free(uri);
    buffer_free(&script);
    return status;
}

/* Versions are named by their packages, so one that is there is the same. */
static int put_environment(struct making *own, struct error *error)
{
    char path[128];
    struct arm_answer answer;
    struct buffer conda;
    json_t *body = NULL;
    progress_step(&own->progress, STEP_ENVIRONMENT);
    snprintf(path, sizeof path, "/environments/" AZ_ENVIRONMENT "/versions/%s",
             own->scoring.version);
    buffer_init(&conda, TEXT_LIMIT);
    az_scoring_conda(&own->scoring, &conda);
    int status = buffer_check(&conda, "the list of packages", error) ||
                         arm_call(&own->connection->arm,
                                  &(struct arm_request){.path = path,
                                                        .may_be_absent = true,
                                                        .what = "looking for the environment"},
                                  &answer, error)
                     ? -1
                     : 0;
    if (!status && !answer.body) {
        body = json_pack("{s:{s:s, s:s, s:s}}", "properties", "image", AZ_IMAGE, "condaFile",
                         conda.data, "osType", "Linux");
        status = arm_call(
            &own->connection->arm,
            &(struct arm_request){
                .method = "PUT", .path = path, .body = body, .what = "registering the environment"},
            &answer, error);
    }
    if (!status)
        status = az_journal_note(&own->journal, "environment_id", js_text(answer.body, "id"),
                                 error);
    if (!status) json_decref(answer.body);
    json_decref(body);
    buffer_free(&conda);
    return status;
}

/* --- the endpoint and its deployment --- */

static json_t *tags_of(const struct making *own)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "made", "nnstudio", AZ_MARK_TAG, noted(own, "mark"),
                     "model", own->of->model, "version", own->version);
}

int az_endpoint_remove(struct az_connection *connection, const char *path, const char *what,
                       struct error *error)
{
    struct arm_answer answer;
    if (arm_call(&connection->arm,
                 &(struct arm_request){
                     .method = "DELETE", .path = path, .may_be_absent = true, .what = what},
                 &answer, error))
        return -1;
    json_decref(answer.body);
    if (answer.http == 404 || answer.http == 204) return 0;
    answer.body = NULL;
    return arm_finish(&connection->arm, &answer,
                      &(struct arm_wait){.path = path, .what = what, .removal = true}, NULL, error);
}

/* Something that is to be made once. */
struct thing {
    const char *path, *what;
    json_t *body; /* owned by make() */
};

/* What is there under the name, as far as it has come: it must be ours. One that failed is removed,
 * since it is refused every change. *out: the resource at the end; NULL: it must be made. */
static int take_up(struct making *own, const struct thing *thing, json_t **out, struct error *error)
{
    struct arm_answer there;
    struct arm *arm = &own->connection->arm;
    *out = NULL;
    if (arm_call(
            arm,
            &(struct arm_request){.path = thing->path, .may_be_absent = true, .what = thing->what},
            &there, error))
        return -1;
    if (!there.body) return 0;
    const json_t *resource = there.body;
    const char *state = arm_state(resource);
    int status = 0;
    if (strcmp(js_text(json_object_get(resource, "tags"), AZ_MARK_TAG), noted(own, "mark")) != 0) {
        status = error_set(error, ERROR_CONFLICT,
                           "%s: there is one named %s already, which was not made here: give "
                           "another name",
                           thing->what, js_text(resource, "name"));
    } else if (strcmp(state, "Failed") == 0 || strcmp(state, "Canceled") == 0 ||
               strcmp(state, "Deleting") == 0) {
        status = az_endpoint_remove(own->connection, thing->path, thing->what, error);
    } else {
        const json_t *properties = json_object_get(resource, "properties");
        there.pause = 0; /* it has been going on */
        if (strcmp(state, "Succeeded") != 0)
            snprintf(there.operation, sizeof there.operation, "%s",
                     js_text(json_object_get(properties, "properties"), "AzureAsyncOperationUri"));
        status = arm_finish(arm, &there, &(struct arm_wait){thing->path, thing->what, false}, out,
                            error);
    }
    json_decref(there.body);
    return status;
}

/* Takes the body. */
static int make(struct making *own, const struct thing *thing, json_t **out, struct error *error)
{
    struct arm_answer answer = {0};
    struct arm *arm = &own->connection->arm;
    int status = thing->body ? take_up(own, thing, out, error)
                             : error_set_memory(error, "a request");
    if (!status && !*out) {
        status = arm_call(
            arm,
            &(struct arm_request){
                .method = "PUT", .path = thing->path, .body = thing->body, .what = thing->what},
            &answer, error);
        if (!status)
            status = arm_finish(arm, &answer, &(struct arm_wait){thing->path, thing->what, false},
                                out, error);
    }
    json_decref(answer.body);
    json_decref(thing->body);
    return status;
}

static int note_flag(struct making *own, const char *key, struct error *error)
{
    json_object_set_new(own->journal.data, key, json_true());
    return az_journal_write(&own->journal, error);
}

static int make_endpoint(struct making *own, struct error *error)
{
    char path[AZ_ENDPOINT_PATH];
    progress_step(&own->progress, STEP_ENDPOINT);
    az_endpoint_path(own->endpoint, false, path);
    if (note_flag(own, "begun", error)) return -1;
    const struct thing thing = {
        .path = path,
        .what = "creating the endpoint",
        .body = json_pack("{s:s, s:{s:s}, s:o, s:{s:s, s:s, s:{}, s:{}, s:{}}}", "location",
                          own->connection->location, "identity", "type", "SystemAssigned", "tags",
                          tags_of(own), "properties", "authMode", "Key", "description",
                          "Made by Neural Net Studio", "properties", "traffic", "mirrorTraffic")};
    return make(own, &thing, &own->resource, error);
}

int az_endpoint_log(struct az_connection *connection, const char *endpoint, const char *deployment,
                    char **text, struct error *error)
{
    static const char *const containers[] = {"InferenceServer", "StorageInitializer"};
    char path[AZ_ENDPOINT_PATH + 128];
    *text = NULL;
    snprintf(path, sizeof path, "/onlineEndpoints/%.40s/deployments/%.64s/getLogs", endpoint,
             deployment);
    for (size_t i = 0; i < 2; i++) {
        struct arm_answer answer;
        json_t *body = json_pack("{s:i, s:s}", "tail", 50, "containerType", containers[i]);
        int status = arm_call(&connection->arm,
                              &(struct arm_request){.method = "POST",
                                                    .path = path,
                                                    .body = body,
                                                    .may_be_absent = true,
                                                    .what = "asking for the logs"},
                              &answer, error);
        json_decref(body);
        const char *content = js_text(answer.body, "content");
        if (!status && *content) *text = strdup(content);
        json_decref(answer.body);
        if (status || *text) return status;
    }
    return error_set(error, ERROR_NOT_FOUND,
                     "there are no logs yet: the container has not been started");
}

/* The container's last words belong to the failure. */
static void show_logs(const struct making *own)
{
    struct error error;
    char *text = NULL;
    if (own->of->on_logs &&
        az_endpoint_log(own->connection, own->endpoint, AZ_DEPLOYMENT, &text, &error) == 0)
        own->of->on_logs(own->of->context, text);
    free(text);
}

static int deploy(struct making *own, struct error *error)
{
    char path[AZ_ENDPOINT_PATH];
    bool mlflow = strcmp(own->model_type, "mlflow_model") == 0;
    json_t *resource = NULL;
    progress_step(&own->progress, STEP_DEPLOYMENT);
    az_endpoint_path(own->endpoint, true, path);
    if (note_flag(own, "deployed", error)) return -1;
    json_t *properties = json_pack("{s:s, s:s, s:O, s:{}, s:{}, s:b}", "endpointComputeType",
                                   "Managed", "model", own->model_id, "instanceType",
                                   json_object_get(own->journal.data, "instance_type"),
                                   "environmentVariables", "properties", "appInsightsEnabled", 0);
    if (!mlflow) {
        json_object_set_new(properties, "environmentId", json_string(noted(own, "environment_id")));
        json_object_set_new(
            properties, "codeConfiguration",
            json_pack("{s:s, s:s}", "codeId", noted(own, "code_id"), "scoringScript", AZ_SCRIPT));
    }
    const struct thing thing = {.path = path,
                                .what = "deploying the model",
                                .body = json_pack("{s:s, s:o, s:{s:s, s:O}, s:o}", "location",
                                                  own->connection->location, "tags", tags_of(own),
                                                  "sku", "name", "Default", "capacity",
                                                  json_object_get(own->journal.data, "instances"),
                                                  "properties", properties)};
    int status = make(own, &thing, &resource, error);
    json_decref(resource);
    if (status && error->code == ERROR_FAILED) show_logs(own);
    return status;
}

/* An endpoint is put whole, as it was read. */
static int send_traffic(struct making *own, struct error *error)
{
    char path[AZ_ENDPOINT_PATH];
    struct arm_answer answer = {0};
    const json_t *properties = json_object_get(own->resource, "properties");
    json_t *traffic = json_object_get(properties, "traffic"), *body, *after = NULL;
    progress_step(&own->progress, STEP_TRAFFIC);
    if (json_integer_value(json_object_get(traffic, AZ_DEPLOYMENT)) == 100) return 0;
    az_endpoint_path(own->endpoint, false, path);
    json_t *kept = json_object_get(properties, "properties");
    body = json_pack("{s:O, s:{s:s}, s:O, s:{s:s, s:s, s:o, s:{s:i}, s:{}}}", "location",
                     json_object_get(own->resource, "location"), "identity", "type",
                     "SystemAssigned", "tags", json_object_get(own->resource, "tags"), "properties",
                     "authMode", "Key", "description", js_text(properties, "description"),
                     "properties", json_is_object(kept) ? json_incref(kept) : json_object(),
                     "traffic", AZ_DEPLOYMENT, 100, "mirrorTraffic");
    const struct arm_request request = {
        .method = "PUT", .path = path, .body = body, .what = "sending the traffic"};
    int status = body ? arm_call(&own->connection->arm, &request, &answer, error)
                      : error_set_memory(error, "a request");
    if (!status)
        status = arm_finish(&own->connection->arm, &answer,
                            &(struct arm_wait){path, request.what, false}, &after, error);
    if (!status) {
        json_decref(own->resource);
        own->resource = after;
    }
    json_decref(answer.body);
    json_decref(body);
    return status;
}

static int finish(struct making *own, json_t **out, struct error *error)
{
    json_t *test = NULL;
    const char *uri = js_text(json_object_get(own->resource, "properties"), "scoringUri");
    progress_step(&own->progress, STEP_TEST);
    if (az_endpoint_try(own->connection, own->options, own->resource, own->file, own->model_type,
                        own->of->sample, &test, error))
        return -1;
    *out = json_pack("{s:s, s:s, s:s, s:s, s:O, s:O, s:s, s:o}", "endpoint", own->endpoint, "model",
                     own->of->model, "version", own->version, "scoring_uri", uri, "instance_type",
                     json_object_get(own->journal.data, "instance_type"), "instances",
                     json_object_get(own->journal.data, "instances"), "workspace",
                     own->connection->arm.workspace.name, "test", test);
    return az_journal_note(&own->journal, "state", AZ_READY, error);
}

static int run_steps(struct making *own, json_t **out, struct error *error)
{
    if (find(own, error)) return -1;
    bool scripted = strcmp(own->model_type, "mlflow_model") != 0;
    if (scripted && (put_code(own, error) || put_environment(own, error))) return -1;
    if (make_endpoint(own, error) || deploy(own, error) || send_traffic(own, error)) return -1;
    return finish(own, out, error);
}

/* What a failed or stopped try has left, which may cost money. */
static void tell_rest(const struct making *own, struct error *error)
{
    const json_t *data = own->journal.data;
    char before[sizeof error->message];
    if (!json_is_true(json_object_get(data, "begun"))) return;
    snprintf(before, sizeof before, "%s", error->message);
    bool deployed = json_is_true(json_object_get(data, "deployed"));
    error_set(error, error->code,
              "%.700s; the endpoint %s is kept%s: try again to go on, or delete it", before,
              own->endpoint, deployed ? " and its machines are billed until it is deleted" : "");
}

int registry_endpoint_create(const struct registry_options *options,
                             const struct registry_deployment *deployment,
                             const struct registry_watch *watch, json_t **out, struct error *error)
{
    struct making own = {.options = options, .of = deployment, .journal = {.lock = -1}};
    int status = -1;
    *out = NULL;
    if (check_words(deployment, error) ||
        progress_begin(&own.progress, watch, step_titles, NULL, "endpoint", error))
        goto out;
    status = run_steps(&own, out, error);
    if (status) {
        if (error->code != ERROR_INTERRUPTED)
            error_prefix(error, "step %u of %u", own.progress.step + 1, own.progress.steps);
        tell_rest(&own, error);
    }
out:
    progress_end(&own.progress);
    az_scoring_close(&own.scoring);
    az_journal_close(&own.journal);
    az_connection_close(own.connection);
    json_decref(own.tags);
    json_decref(own.resource);
    free(own.file);
    return status;
}
