/* Registering with MLflow: a run with parameters and metric history, the model's folder as its
 * artifact, and a version of a registered model that points at it (MLflow REST API 2.0). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "registry/azure/tracking.h"
#include "registry/mlflow/folder.h"
#include "registry/mlflow/registration.h"

#define MODEL_LIMIT ((size_t)2 << 30)
#define CLOSE_MS    10000L /* what closing the run after a failure may take */

enum {
    STEP_EXPERIMENT,
    STEP_RUN,
    STEP_LOG,
    STEP_UPLOAD,
    STEP_FINISH,
    STEP_MODEL,
    STEP_VERSION,
    STEP_READ_BACK
};
static const char *const step_titles[] = {"Find the experiment",
                                          "Start a run",
                                          "Log settings and metrics",
                                          "Upload the model's folder",
                                          "Finish the run",
                                          "Register the model",
                                          "Register the version",
                                          "Read back what is there",
                                          NULL};

#define PROXIED "mlflow-artifacts:"

/* The experiment's id and where its artifacts go; *found false when there is none. */
static int get_experiment(struct mlflow_server *server, const char *name, char id[64],
                          char location[512], bool *found, struct error *error)
{
    struct buffer path;
    json_t *answer = NULL;
    buffer_init(&path, 4096);
    buffer_append_text(&path, "experiments/get-by-name?experiment_name=");
    web_escape(&path, name, "");
    int status = buffer_check(&path, "the address", error) ||
                         mlflow_call(server,
                                     (struct mlflow_request){.method = "GET",
                                                             .path = path.data,
                                                             .fine = "RESOURCE_DOES_NOT_EXIST",
                                                             .what = "asking for the experiment"},
                                     &answer, error)
                     ? -1
                     : 0;
    *found = answer != NULL;
    snprintf(id, 64, "%s", js_text(json_object_get(answer, "experiment"), "experiment_id"));
    snprintf(location, 512, "%s",
             js_text(json_object_get(answer, "experiment"), "artifact_location"));
    if (!status && answer && !*id)
        status = error_set(error, ERROR_UNAVAILABLE,
                           "the server did not say the experiment's id: is this an MLflow server?");
    json_decref(answer);
    buffer_free(&path);
    return status;
}

static int delete_experiment(struct mlflow_server *server, const char *id, struct error *error)
{
    return mlflow_call(server,
                       (struct mlflow_request){.method = "POST",
                                               .path = "experiments/delete",
                                               .body = json_pack("{s:s}", "experiment_id", id),
                                               .what = "removing the experiment"},
                       NULL, error);
}

int mlflow_find_experiment(struct mlflow_server *server, const char *name, char id[64],
                           struct error *error)
{
    char location[512];
    bool found, made = false;
    if (get_experiment(server, name, id, location, &found, error)) return -1;
    if (!found) {
        if (mlflow_call(server,
                        (struct mlflow_request){.method = "POST",
                                                .path = "experiments/create",
                                                .body = json_pack("{s:s}", "name", name),
                                                .fine = "RESOURCE_ALREADY_EXISTS",
                                                .what = "making the experiment"},
                        NULL, error) ||
            get_experiment(server, name, id, location, &found, error))
            return -1;
        made = true;
        if (!found)
            return error_set(error, ERROR_CONFLICT,
                             "the experiment \"%.80s\" was deleted: restore it in MLflow, or give "
                             "another one",
                             name);
    }
    if (server->azure || !*location || strncmp(location, PROXIED, strlen(PROXIED)) == 0) return 0;
    struct error ignored;
    if (made) delete_experiment(server, id, &ignored);
    return error_set(
        error, ERROR_UNAVAILABLE,
        "the experiment \"%.80s\" keeps artifacts at %.120s and leaves their upload to "
        "clients: start the server with --artifacts-destination, and give a new "
        "experiment",
        name, location);
}

/* The value in a list of {"key","value"}, or NULL. */
static const char *find_tag(const json_t *list, const char *key)
{
    const json_t *tag;
    size_t i;
    json_array_foreach((json_t *)list, i, tag)
        if (strcmp(js_text(tag, "key"), key) == 0) return js_text(tag, "value");
    return NULL;
}

static json_t *tag_list(const struct mlflow_registration *own)
{
    json_t *list = json_array();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)own->request->tags, key, value) {
        bool own_hash = strcmp(key, "sha256") == 0; /* once only: the server wants keys unique */
        if (json_is_string(value) && !own_hash)
            json_array_append_new(list, json_pack("{s:s, s:O}", "key", key, "value", value));
    }
    if (own->sha256[0])
        json_array_append_new(list, json_pack("{s:s, s:s}", "key", "sha256", "value", own->sha256));
    return list;
}

static int take_run(struct mlflow_registration *own, const json_t *run, struct error *error)
{
    const json_t *info = json_object_get(run, "info");
    const char *id = json_string_value(json_object_get(info, "run_id")),
               *artifacts = json_string_value(json_object_get(info, "artifact_uri"));
    snprintf(own->run_id, sizeof own->run_id, "%s", id ? id : "");
    snprintf(own->artifact_uri, sizeof own->artifact_uri, "%s", artifacts ? artifacts : "");
    if (path_is_plain_name(own->run_id)) return 0;
    return error_set(error, ERROR_INPUT,
                     "the server did not say the run's id: is this an MLflow server?");
}

/* Makes the tags of something that exists already those of this try: the first try may have had
 * others. `held` is the server's list; tags of MLflow and of the studio's own stay. `body` names
 * what the tags belong to. */
static int correct_tags(struct mlflow_registration *own, const json_t *held, const char *of,
                        const json_t *body, struct error *error)
{
    char path[64];
    json_t *wanted = tag_list(own), *tag;
    size_t i;
    int status = 0;
    json_array_foreach((json_t *)held, i, tag) {
        const char *key = js_text(tag, "key");
        if (status || strncmp(key, "mlflow.", 7) == 0 || strncmp(key, "nnstudio.", 9) == 0 ||
            find_tag(wanted, key))
            continue;
        json_t *request = json_deep_copy(body);
        json_object_set_new(request, "key", json_string(key));
        snprintf(path, sizeof path, "%s/delete-tag", of);
        status = mlflow_call(
            &own->server,
            (struct mlflow_request){.method = strcmp(of, "runs") == 0 ? "POST" : "DELETE",
                                    .path = path,
                                    .body = request,
                                    .what = "removing an old tag"},
            NULL, error);
    }
    json_array_foreach(wanted, i, tag) {
        const char *key = js_text(tag, "key"), *value = js_text(tag, "value"),
                   *old = find_tag(held, key);
        if (status || (old && strcmp(old, value) == 0)) continue;
        json_t *request = json_deep_copy(body);
        json_object_update(request, tag);
        snprintf(path, sizeof path, "%s/set-tag", of);
        status = mlflow_call(
            &own->server,
            (struct mlflow_request){
                .method = "POST", .path = path, .body = request, .what = "correcting a tag"},
            NULL, error);
    }
    json_decref(wanted);
    return status;
}

/* The run that a cut try of this registration made. */
static int find_run(struct mlflow_registration *own, bool *found, struct error *error)
{
    json_t *answer = NULL;
    json_t *body = json_pack("{s:[s], s:o, s:i}", "experiment_ids", own->experiment, "filter",
                             json_sprintf("tags.`nnstudio.attempt` = '%s'", own->attempt),
                             "max_results", 1);
    if (mlflow_call(&own->server,
                    (struct mlflow_request){.method = "POST",
                                            .path = "runs/search",
                                            .body = body,
                                            .what = "looking for the run"},
                    &answer, error))
        return -1;
    const json_t *run = json_array_get(json_object_get(answer, "runs"), 0);
    *found = run != NULL;
    int status = run ? take_run(own, run, error) : 0;
    if (run && !status) {
        json_t *of = json_pack("{s:s}", "run_id", own->run_id);
        status = correct_tags(own, json_object_get(json_object_get(run, "data"), "tags"), "runs",
                              of, error);
        json_decref(of);
    }
    json_decref(answer);
    return status;
}

static int create_run(struct mlflow_registration *own, struct error *error)
{
    json_t *answer = NULL, *tags = tag_list(own);
    json_array_append_new(
        tags, json_pack("{s:s, s:s}", "key", "nnstudio.attempt", "value", own->attempt));
    json_array_append_new(
        tags, json_pack("{s:s, s:s}", "key", "mlflow.source.name", "value", "nnstudio"));
    json_t *body = json_pack("{s:s, s:s, s:I, s:o}", "experiment_id", own->experiment, "run_name",
                             own->name, "start_time", (json_int_t)clock_wall_ms(), "tags", tags);
    if (mlflow_call(
            &own->server,
            (struct mlflow_request){
                .method = "POST", .path = "runs/create", .body = body, .what = "starting a run"},
            &answer, error))
        return -1;
    int status = take_run(own, json_object_get(answer, "run"), error);
    json_decref(answer);
    return status;
}

/* Making something is not asked for twice blindly: an answer that was lost may hide that it was
 * made. */
static int make_once(struct mlflow_registration *own, bool look_first,
                     int (*find)(struct mlflow_registration *, bool *, struct error *),
                     int (*make)(struct mlflow_registration *, struct error *), struct error *error)
{
    for (unsigned attempt = 0;; attempt++) {
        bool found = false;
        if ((look_first || attempt) && find(own, &found, error)) return -1;
        if (found) return 0;
        bool once = own->server.once;
        own->server.once = true;
        int status = make(own, error);
        own->server.once = once;
        if (!status) return 0;
        if (error->code != ERROR_UNAVAILABLE || attempt + 1 >= WEB_TRIES) return -1;
        if (web_wait(own->server.web, web_pause(own->server.web, attempt), error)) return -1;
    }
}

int mlflow_start_run(struct mlflow_registration *own, struct error *error)
{
    bool again = progress_noted(&own->progress, "attempt") != NULL;
    if (progress_attempt(&own->progress, own->attempt, error)) return -1;
    return make_once(own, again, find_run, create_run, error);
}

int mlflow_send_batch(struct mlflow_registration *own, json_t *metrics, json_t *params,
                      struct error *error)
{
    return mlflow_call(
        &own->server,
        (struct mlflow_request){.method = "POST",
                                .path = "runs/log-batch",
                                .body = json_pack("{s:s, s:o, s:o}", "run_id", own->run_id,
                                                  "metrics", metrics, "params", params),
                                .what = "logging settings and metrics"},
        NULL, error);
}

json_t *mlflow_params(const json_t *settings)
{
    json_t *params = json_array(), *value;
    const char *key;
    json_object_foreach((json_t *)settings, key, value) {
        char *text = registry_value_text(value);
        if (text && *text && json_array_size(params) < MLFLOW_PARAMS_PER_CALL)
            json_array_append_new(params, json_pack("{s:s, s:s}", "key", key, "value", text));
        free(text);
    }
    return params;
}

void mlflow_add_epoch(json_t *metrics, const json_t *epoch, json_int_t at)
{
    static const char *const figures[] = {"loss",         "accuracy",        "val_loss",
                                          "val_accuracy", "validation_loss", "validation_accuracy",
                                          "learning_rate"};
    for (size_t f = 0; f < sizeof figures / sizeof figures[0]; f++) {
        const json_t *figure = json_object_get(epoch, figures[f]);
        if (!json_is_number(figure)) continue;
        json_array_append_new(metrics, json_pack("{s:s, s:f, s:I, s:O}", "key", figures[f], "value",
                                                 json_number_value(figure), "timestamp", at, "step",
                                                 json_object_get(epoch, "epoch")));
    }
}

/* Settings become parameters, the figures of each epoch metrics with the epoch as their step. */
static int log_run(struct mlflow_registration *own, struct error *error)
{
    if (progress_noted(&own->progress, "logged")) return 0;
    json_t *params = mlflow_params(json_object_get(own->request->run, "settings")),
           *metrics = json_array(), *epoch;
    size_t i;
    /* When each epoch ended, by the run itself: a second try logs the same points, not new ones
     * beside them. */
    double at = (double)json_integer_value(json_object_get(own->request->run, "started_at"));
    int status = mlflow_send_batch(own, json_array(), params, error);
    json_array_foreach(json_object_get(own->request->run, "epochs"), i, epoch) {
        at += 1000 * json_number_value(json_object_get(epoch, "seconds"));
        mlflow_add_epoch(metrics, epoch, (json_int_t)at);
        if (!status && json_array_size(metrics) + 4 > MLFLOW_METRICS_PER_CALL) {
            status = mlflow_send_batch(own, metrics, json_array(), error);
            metrics = json_array();
        }
    }
    if (!status && json_array_size(metrics)) {
        status = mlflow_send_batch(own, metrics, json_array(), error);
    } else {
        json_decref(metrics);
    }
    return status ? -1 : progress_note(&own->progress, "logged", "yes", error);
}

static int upload_one(struct mlflow_registration *own, const char *file, const void *data,
                      size_t size, bool tell, struct error *error)
{
    struct buffer url;
    if (own->server.azure) {
        char path[400];
        snprintf(path, sizeof path, "model/%.380s", file);
        const struct az_artifact artifact = {.root = own->artifact_uri,
                                             .path = path,
                                             .data = data,
                                             .size = size,
                                             .progress = tell ? progress_bytes : NULL,
                                             .context = &own->progress};
        return az_tracking_put(own->server.azure, &artifact, error);
    }
    if (strncmp(own->artifact_uri, PROXIED, strlen(PROXIED)) != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the server keeps artifacts at %.120s and leaves their upload to clients: "
                         "start it with "
                         "--artifacts-destination",
                         own->artifact_uri);
    const char *path = own->artifact_uri + strlen(PROXIED);
    if (strncmp(path, "//", 2) == 0) path = strchr(path + 2, '/') ? strchr(path + 2, '/') : "";
    buffer_init(&url, 4096);
    buffer_printf(&url, "%s/api/2.0/mlflow-artifacts/artifacts", own->server.uri);
    web_escape(&url, path, "/");
    buffer_append_text(&url, "/model/");
    web_escape(&url, file, "/");
    struct web_request request = {.method = "PUT",
                                  .url = url.data,
                                  .what = "uploading the model's folder",
                                  .body = data,
                                  .body_size = size,
                                  .prepare = mlflow_file_headers,
                                  .context = &own->server,
                                  .progress = tell ? progress_bytes : NULL,
                                  .progress_context = &own->progress};
    struct web_answer answer = {0};
    int status = buffer_check(&url, "the artifact's address", error)
                     ? -1
                     : web_send(own->server.web, &request, &answer, error);
    if (!status && (answer.status != 200 || web_answer_is_page(&answer)))
        status = mlflow_refusal(&own->server, &answer, request.what, error);
    web_answer_clear(&answer);
    buffer_free(&url);
    return status;
}

int mlflow_upload_folder(struct mlflow_registration *own, struct error *error)
{
    char file[256];
    struct mlflow_folder folder;
    const char *name = path_base(own->request->model_path);
    const char *uploaded = progress_noted(&own->progress, "uploaded");
    if (uploaded && strcmp(uploaded, "yes") == 0) return 0;
    const struct mlflow_folder_parts parts = {.model = own->model,
                                              .file = name,
                                              .run_id = own->run_id,
                                              .request = own->request,
                                              .name = own->name,
                                              .sha256 = own->sha256};
    if (mlflow_folder_make(&parts, &folder, error)) return -1;
    snprintf(file, sizeof file, "data/%s", name);
    int status = upload_one(own, file, own->data, own->size, true, error);
    /* MLmodel is what makes it a model: it goes last. */
    for (size_t i = folder.count; i-- > 0 && !status;)
        status = upload_one(own, folder.files[i].path, folder.files[i].text.data,
                            folder.files[i].text.length, false, error);
    mlflow_folder_clear(&folder);
    return status ? -1 : progress_note(&own->progress, "uploaded", "yes", error);
}

int mlflow_set_status(struct mlflow_registration *own, const char *status, const char *what,
                      struct error *error)
{
    json_t *body = json_pack("{s:s, s:s}", "run_id", own->run_id, "status", status);
    if (strcmp(status, "RUNNING") != 0)
        json_object_set_new(body, "end_time", json_integer((json_int_t)clock_wall_ms()));
    return mlflow_call(&own->server,
                       (struct mlflow_request){
                           .method = "POST", .path = "runs/update", .body = body, .what = what},
                       NULL, error);
}

static int finish_run(struct mlflow_registration *own, struct error *error)
{
    return mlflow_set_status(own, "FINISHED", "finishing the run", error);
}

static int register_model(struct mlflow_registration *own, struct error *error)
{
    json_t *answer = NULL;
    if (mlflow_call(&own->server,
                    (struct mlflow_request){.method = "POST",
                                            .path = "registered-models/create",
                                            .body = json_pack("{s:s}", "name", own->name),
                                            .fine = "RESOURCE_ALREADY_EXISTS",
                                            .what = "registering the model"},
                    &answer, error))
        return -1;
    bool made = answer != NULL;
    json_decref(answer);
    return made ? progress_note(&own->progress, "model_made", "yes", error) : 0;
}

/* A version that an interrupted try made already is found by its run. */
static int find_version_of_run(struct mlflow_registration *own, bool *found, struct error *error)
{
    char path[512];
    json_t *answer = NULL, *entry;
    const json_t *tags = NULL;
    size_t i;
    snprintf(path, sizeof path, "model-versions/search?filter=run_id%%3D%%27%s%%27", own->run_id);
    if (mlflow_call(&own->server,
                    (struct mlflow_request){
                        .method = "GET", .path = path, .what = "looking for the version"},
                    &answer, error))
        return -1;
    json_array_foreach(json_object_get(answer, "model_versions"), i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name")),
                   *version = json_string_value(json_object_get(entry, "version"));
        if (!name || !version || strcmp(name, own->name) != 0) continue;
        snprintf(own->version, sizeof own->version, "%s", version);
        tags = json_object_get(entry, "tags");
    }
    *found = own->version[0] != '\0';
    int status = 0;
    if (*found) {
        json_t *body = json_pack("{s:s, s:s}", "name", own->name, "version", own->version);
        status = correct_tags(own, tags, "model-versions", body, error);
        json_decref(body);
    }
    json_decref(answer);
    return status;
}

static int create_version(struct mlflow_registration *own, struct error *error)
{
    char source[640];
    json_t *answer = NULL;
    snprintf(source, sizeof source, "%s/model", own->artifact_uri);
    json_t *body = json_pack("{s:s, s:s, s:s, s:o}", "name", own->name, "source", source, "run_id",
                             own->run_id, "tags", tag_list(own));
    if (own->request->description)
        json_object_set_new(body, "description", json_string(own->request->description));
    if (mlflow_call(&own->server,
                    (struct mlflow_request){.method = "POST",
                                            .path = "model-versions/create",
                                            .body = body,
                                            .what = "registering the version"},
                    &answer, error))
        return -1;
    snprintf(own->version, sizeof own->version, "%s",
             js_text(json_object_get(answer, "model_version"), "version"));
    json_decref(answer);
    return 0;
}

static int register_version(struct mlflow_registration *own, struct error *error)
{
    if (make_once(own, true, find_version_of_run, create_version, error)) return -1;
    if (path_is_plain_name(own->version)) return 0;
    return error_set(error, ERROR_UNAVAILABLE,
                     "the server did not say the version: is this an MLflow server?");
}

/* The size of the model's file as the server has it; *size is -1 when it is not listed. */
static int stored_size(struct mlflow_server *server, const char *run_id, const char *file,
                       int64_t *size, struct error *error)
{
    json_t *answer = NULL, *entry;
    size_t i;
    *size = -1;
    if (mlflow_list_data(server, run_id, &answer, error)) return -1;
    json_array_foreach(json_object_get(answer, "files"), i, entry) {
        const char *own = json_string_value(json_object_get(entry, "path"));
        const json_t *bytes = json_object_get(entry, "file_size");
        if (own && strcmp(path_base(own), file) == 0)
            *size = json_is_string(bytes) ? strtoll(json_string_value(bytes), NULL, 10)
                                          : json_integer_value(bytes);
    }
    json_decref(answer);
    return 0;
}

static int read_back(struct mlflow_registration *own, json_t **out, struct error *error)
{
    int64_t size;
    if (mlflow_get_version(&own->server, own->name, own->version, out, error)) return -1;
    int status = stored_size(&own->server, own->run_id, path_base(own->request->model_path), &size,
                             error);
    /* the next try sends it again */
    if (!status && size != (int64_t)own->size &&
        !progress_note(&own->progress, "uploaded", "no", error))
        status = error_set(error, ERROR_FAILED,
                           "reading back the file: the server holds %lld bytes, not the %zu that "
                           "were sent: register it again",
                           (long long)size, own->size);
    if (status) {
        json_decref(*out);
        *out = NULL; /* the caller may let go of it, too */
        return -1;
    }
    json_object_set_new(*out, "bytes", json_integer(size));
    return 0;
}

/* The model that this registration made, when it got no version. One that another user has given a
 * version meanwhile stays. */
static void remove_empty_model(struct mlflow_registration *own)
{
    struct buffer path;
    json_t *answer = NULL;
    struct error ignored;
    const char *made = progress_noted(&own->progress, "model_made");
    if (!made || strcmp(made, "yes") != 0 || own->version[0]) return;
    buffer_init(&path, 2048);
    buffer_append_text(&path, "model-versions/search?max_results=1&filter=name%3D%27");
    web_escape(&path, own->name, "");
    buffer_append_text(&path, "%27");
    if (buffer_check(&path, "the address", &ignored) == 0 &&
        mlflow_call(&own->server,
                    (struct mlflow_request){
                        .method = "GET", .path = path.data, .what = "looking for versions"},
                    &answer, &ignored) == 0 &&
        json_array_size(json_object_get(answer, "model_versions")) == 0 &&
        mlflow_call(&own->server,
                    (struct mlflow_request){.method = "DELETE",
                                            .path = "registered-models/delete",
                                            .body = json_pack("{s:s}", "name", own->name),
                                            .what = "removing the model"},
                    NULL, &ignored) == 0)
        progress_note(&own->progress, "model_made", "removed", &ignored);
    json_decref(answer);
    buffer_free(&path);
}

/* After a failure: the run does not stay RUNNING or FINISHED, a model without versions goes, and
 * what stays is named. The next try of the same registration continues with the run. */
static void close_failed(struct mlflow_registration *own, struct error *error)
{
    struct mlflow_server server = own->server;
    struct error ignored;
    const char *status = error->code == ERROR_INTERRUPTED ? "KILLED" : "FAILED";
    struct registry_options plain = *own->options;
    plain.cancelled = NULL; /* a cancelled registration closes its run all the same */
    if (!own->run_id[0] || mlflow_open(&plain, false, &own->server, &ignored)) {
        own->server = server;
        return;
    }
    own->server.once = true;
    own->server.timeout_ms = CLOSE_MS;
    int closed = mlflow_set_status(own, status, "closing the run", &ignored);
    if (!closed) remove_empty_model(own);
    mlflow_close(&own->server);
    own->server = server;
    size_t length = strlen(error->message);
    snprintf(error->message + length, sizeof error->message - length,
             closed ? " (the run %s stays open there)"
                    : " (the run %s is marked %s; the next try continues it)",
             own->run_id, status);
}

static int run_steps(struct mlflow_registration *own, json_t **out, struct error *error)
{
    static int (*const steps[])(struct mlflow_registration *, struct error *) = {
        mlflow_start_run, log_run,        mlflow_upload_folder,
        finish_run,       register_model, register_version};
    const char *experiment = registry_value(own->options, REGISTRY_EXPERIMENT);
    progress_step(&own->progress, STEP_EXPERIMENT);
    if (mlflow_find_experiment(&own->server, experiment, own->experiment, error)) return -1;
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        progress_step(&own->progress, STEP_RUN + i);
        if (steps[i](own, error)) return -1;
    }
    progress_step(&own->progress, STEP_READ_BACK);
    return read_back(own, out, error);
}

int mlflow_publish(const struct registry_options *options, const struct registry_request *request,
                   const struct registry_watch *watch, json_t **out, struct error *error)
{
    struct mlflow_registration own = {.request = request, .options = options};
    char key[1024], fallback[128];
    int status = -1;
    if (mlflow_check(options, request, error)) return -1;
    registry_default_name(request, fallback);
    snprintf(own.name, sizeof own.name, "%s",
             request->name && *request->name ? request->name : fallback);
    if (modelfile_read(request->model_path, NULL, &own.model, error) ||
        network_check(&own.model->network, error) ||
        file_read(request->model_path, MODEL_LIMIT, &own.data, &own.size, error) ||
        mlflow_open(options, false, &own.server, error))
        goto out;
    hash_bytes(own.data, own.size, own.sha256);
    snprintf(key, sizeof key, "mlflow %s %s %s", own.server.uri, own.name, own.sha256);
    if (progress_begin(&own.progress, watch, step_titles, request->journal, key, error)) goto out;
    status = run_steps(&own, out, error);
    if (status) close_failed(&own, error);
    if (status && error->code != ERROR_INTERRUPTED)
        error_prefix(error, "step %u of %u", own.progress.step + 1, own.progress.steps);
out:
    progress_end(&own.progress);
    mlflow_close(&own.server);
    model_destroy(own.model);
    free(own.data);
    return status;
}
