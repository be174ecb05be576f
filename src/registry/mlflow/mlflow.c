/* The target "mlflow": a tracking server. Listing, reading and downloading what is registered. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "modelfile/modelfile.h"
#include "registry/mlflow/server.h"
#include "registry/targets.h"

/* What MLflow refuses, and a quote, which would end the name in a search. */
int mlflow_check_name(const char *name, struct error *error)
{
    bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    if (!strpbrk(name, "/:'") && !dots && strspn(name, " \t") < strlen(name) &&
        strlen(name) < MLFLOW_NAME_SIZE)
        return 0;
    return error_set(
        error, ERROR_USAGE,
        "\"%.60s\" is not a valid model name in MLflow: use 1 to %d bytes without / : and '", name,
        MLFLOW_NAME_SIZE - 1);
}

static bool is_archived(const json_t *version)
{
    return strcmp(js_text(version, "current_stage"), MLFLOW_ARCHIVED) == 0;
}

/* The version's own list, or what the registered model's list ([{"alias","version"}]) has of it:
 * a search tells versions without. New reference. */
static json_t *alias_names(const json_t *version, const json_t *of_model)
{
    json_t *names = json_deep_copy(json_object_get(version, "aliases")), *entry;
    size_t i;
    if (!names) names = json_array();
    if (!of_model) return names;
    json_array_clear(names);
    json_array_foreach((json_t *)of_model, i, entry)
        if (strcmp(js_text(entry, "version"), js_text(version, "version")) == 0)
            json_array_append(names, json_object_get(entry, "alias"));
    return names;
}

/* A model version as the studio tells it; `aliases` of the registered model, or NULL. */
static json_t *version_to_json(const struct mlflow_server *server, const json_t *version,
                               const json_t *aliases)
{
    json_t *tags = json_object(), *tag;
    size_t i;
    json_array_foreach(json_object_get(version, "tags"), i, tag) {
        const char *key = json_string_value(json_object_get(tag, "key"));
        if (key) json_object_set(tags, key, json_object_get(tag, "value"));
    }
    const char *name = json_string_value(json_object_get(version, "name")),
               *number = json_string_value(json_object_get(version, "version"));
    const json_t *created = json_object_get(version, "creation_timestamp");
    if (!name) name = "";
    if (!number) number = "";
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:s?, s:s?, s:I, s:s, s:o, s:O, s:s?, s:o, s:o, s:s?, s:b}", "target",
        "mlflow", "name", name, "version", number, "id",
        json_sprintf("models:/%s/%s", name, number), "uri",
        json_string_value(json_object_get(version, "source")), "sha256",
        json_string_value(json_object_get(tags, "sha256")), "created_at",
        json_is_string(created) ? (json_int_t)strtoll(json_string_value(created), NULL, 10)
                                : json_integer_value(created),
        "place", server->uri, "link",
        json_sprintf("%s/#/models/%s/versions/%s", server->uri, name, number), "run_id",
        json_object_get(version, "run_id") ? json_object_get(version, "run_id") : json_null(),
        "status", json_string_value(json_object_get(version, "status")), "tags", tags, "aliases",
        alias_names(version, aliases), "description",
        json_string_value(json_object_get(version, "description")), "archived",
        (int)is_archived(version));
}

/* A search for a model's versions, the newest first. */
static void append_filter(struct buffer *path, const char *name)
{
    buffer_append_text(path,
                       "model-versions/search?order_by=version_number%20DESC&filter=name%3D%27");
    web_escape(path, name, "");
    buffer_append_text(path, "%27");
}

/* The first of a list, newest first, that is not archived; NULL when there is none. */
static const json_t *newest_active(const json_t *list)
{
    const json_t *entry;
    size_t i;
    json_array_foreach((json_t *)list, i, entry)
        if (!is_archived(entry)) return entry;
    return NULL;
}

int mlflow_get_version(struct mlflow_server *server, const char *name, const char *version,
                       json_t **out, struct error *error)
{
    struct buffer path;
    json_t *answer = NULL;
    buffer_init(&path, 2048);
    if (version && *version == '@') {
        buffer_append_text(&path, "registered-models/alias?name=");
        web_escape(&path, name, "");
        buffer_append_text(&path, "&alias=");
        web_escape(&path, version + 1, "");
    } else if (version && *version) {
        buffer_append_text(&path, "model-versions/get?name=");
        web_escape(&path, name, "");
        buffer_append_text(&path, "&version=");
        web_escape(&path, version, "");
    } else {
        append_filter(&path, name);
        buffer_append_text(&path, "&max_results=200"); /* archived ones are passed over */
    }
    int status = buffer_check(&path, "the address", error) ||
                         mlflow_call(server,
                                     (struct mlflow_request){.method = "GET",
                                                             .path = path.data,
                                                             .what = "reading back the version"},
                                     &answer, error)
                     ? -1
                     : 0;
    buffer_free(&path);
    if (status) return -1;
    const json_t *found = json_object_get(answer, "model_version");
    if (!found) found = newest_active(json_object_get(answer, "model_versions"));
    bool searched = !json_object_get(answer, "model_version");
    if (found && searched) { /* read by its number, it tells its aliases, too */
        status = mlflow_get_version(server, name, js_text(found, "version"), out, error);
    } else if (found) {
        *out = version_to_json(server, found, NULL);
    } else {
        status = error_set(error, ERROR_NOT_FOUND,
                           "no model %s is registered at %s, or every version is archived", name,
                           server->uri);
    }
    json_decref(answer);
    return status;
}

static json_t *describe(const struct registry_options *options)
{
    char uri[512];
    struct error error;
    bool ready = mlflow_server_uri(options, false, uri, &error) == 0;
    bool wrong = !ready && registry_value(options, REGISTRY_TRACKING_URI);
    return json_pack("{s:b, s:s?, s:[], s:s?}", "ready", (int)ready, "place", ready ? uri : NULL,
                     "sign_in", "problem", wrong ? error.message : NULL);
}

/* The newest of a model's versions: the answer has one for each stage. */
static const json_t *newest_version(const json_t *model)
{
    const json_t *entry, *newest = NULL;
    long long most = -1;
    size_t i;
    json_array_foreach(json_object_get(model, "latest_versions"), i, entry) {
        const char *text = json_string_value(json_object_get(entry, "version"));
        long long number = text ? strtoll(text, NULL, 10) : 0;
        if (number <= most) continue;
        most = number;
        newest = entry;
    }
    return newest;
}

/* Two questions for a model's versions: they, and the aliases, which stand with the model. */
static int ask_list(struct mlflow_server *server, const char *name, json_t **versions,
                    json_t **model, struct error *error)
{
    struct buffer path;
    buffer_init(&path, 2048);
    if (name) {
        append_filter(&path, name);
        buffer_append_text(&path, "&max_results=200");
    } else {
        buffer_append_text(&path, "registered-models/search?max_results=1000");
    }
    struct mlflow_request request = {.method = "GET", .what = "asking for what is registered"};
    int status = buffer_check(&path, "the address", error);
    request.path = path.data;
    if (!status) status = mlflow_call(server, request, versions, error);
    if (!status && name && json_array_size(json_object_get(*versions, "model_versions"))) {
        buffer_clear(&path);
        buffer_append_text(&path, "registered-models/get?name=");
        web_escape(&path, name, "");
        status = buffer_check(&path, "the address", error);
        request.path = path.data;
        if (!status) status = mlflow_call(server, request, model, error);
    }
    buffer_free(&path);
    return status;
}

static int list(const struct registry_options *options, const char *name, json_t **out,
                struct error *error)
{
    struct mlflow_server server;
    json_t *answer = NULL, *model = NULL, *entry;
    size_t i;
    if ((name && mlflow_check_name(name, error)) || mlflow_open(options, false, &server, error))
        return -1;
    int status = ask_list(&server, name, &answer, &model, error);
    if (!status) *out = json_array();
    json_array_foreach(json_object_get(answer, name ? "model_versions" : "registered_models"), i,
                       entry) {
        const json_t *version = name ? entry : newest_version(entry),
                     *of = name ? json_object_get(model, "registered_model") : entry,
                     *aliases = json_object_get(of, "aliases");
        if (!status && version)
            json_array_append_new(*out, version_to_json(&server, version, aliases));
    }
    json_decref(answer);
    json_decref(model);
    mlflow_close(&server);
    return status;
}

static int show(const struct registry_options *options, const char *name, const char *version,
                json_t **out, struct error *error)
{
    struct mlflow_server server;
    if (mlflow_check_name(name, error) || mlflow_open(options, false, &server, error)) return -1;
    int status = mlflow_get_version(&server, name, version, out, error);
    mlflow_close(&server);
    return status;
}

int mlflow_list_data(struct mlflow_server *server, const char *run_id, json_t **out,
                     struct error *error)
{
    char path[512];
    snprintf(path, sizeof path, "artifacts/list?run_id=%s&path=model%%2Fdata", run_id);
    return mlflow_call(
        server, (struct mlflow_request){.method = "GET", .path = path, .what = "listing the files"},
        out, error);
}

/* The one model file below the version's data folder, as the server's list has it. */
static int find_file(struct mlflow_server *server, const char *run_id, char out[160],
                     struct error *error)
{
    json_t *answer = NULL, *entry;
    size_t i;
    *out = '\0';
    if (mlflow_list_data(server, run_id, &answer, error)) return -1;
    json_array_foreach(json_object_get(answer, "files"), i, entry) {
        const char *own = json_string_value(json_object_get(entry, "path"));
        if (own && path_is_plain_name(path_base(own)) && modelfile_format_find(path_extension(own)))
            snprintf(out, 160, "%s", path_base(own));
    }
    json_decref(answer);
    return *out ? 0
                : error_set(error, ERROR_NOT_FOUND,
                            "the version's folder holds no model file that the studio knows: "
                            "download it with mlflow");
}

static int download(struct mlflow_server *server, const char *source, const char *file, FILE *to,
                    struct error *error)
{
    static const char proxied[] = "mlflow-artifacts:";
    struct buffer url;
    if (strncmp(source, proxied, strlen(proxied)) != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the model lies at %.160s, outside the server: download it with mlflow",
                         source);
    const char *path = source + strlen(proxied);
    if (strncmp(path, "//", 2) == 0) path = strchr(path + 2, '/') ? strchr(path + 2, '/') : "";
    buffer_init(&url, 4096);
    buffer_printf(&url, "%s/api/2.0/mlflow-artifacts/artifacts", server->uri);
    web_escape(&url, path, "/");
    buffer_printf(&url, "/data/%s", file);
    struct web_request request = {.method = "GET",
                                  .url = url.data,
                                  .what = "downloading the file",
                                  .prepare = mlflow_json_headers,
                                  .context = server,
                                  .save_to = to};
    struct web_answer answer = {0};
    int status = buffer_check(&url, "the address", error)
                     ? -1
                     : web_send(server->web, &request, &answer, error);
    if (!status && (answer.status != 200 || web_answer_is_page(&answer)))
        status = mlflow_refusal(server, &answer, request.what, error);
    web_answer_clear(&answer);
    buffer_free(&url);
    return status;
}

static int pull(const struct registry_options *options, const char *name, const char *version,
                const char *directory, char **out, struct error *error)
{
    struct mlflow_server server;
    struct file_writer writer = {0};
    json_t *found = NULL;
    char file[160], hex[HASH_HEX_SIZE], *path = NULL;
    int status = -1;
    if (mlflow_check_name(name, error) || mlflow_open(options, false, &server, error)) return -1;
    if (mlflow_get_version(&server, name, version, &found, error)) goto out;
    const char *run_id = json_string_value(json_object_get(found, "run_id")),
               *source = json_string_value(json_object_get(found, "uri"));
    const char *wanted = json_string_value(json_object_get(found, "sha256"));
    if (!run_id || !source || !path_is_plain_name(run_id)) {
        error_set(error, ERROR_UNAVAILABLE, "this version names no run: download it with mlflow");
        goto out;
    }
    if (find_file(&server, run_id, file, error) || file_make_directories(directory, error))
        goto out;
    path = path_join(directory, file);
    if (!path) {
        error_set_memory(error, "a path");
        goto out;
    }
    if (file_create(path, &writer, error) || download(&server, source, file, writer.stream, error))
        goto out;
    fflush(writer.stream);
    if (hash_file(writer.temporary, hex, NULL, error)) goto out;
    if (wanted && strcmp(hex, wanted) != 0) {
        error_set(error, ERROR_INPUT,
                  "the downloaded file's SHA-256 is %s, but %s was registered: it was changed, do "
                  "not use it",
                  hex, wanted);
        goto out;
    }
    status = file_commit(&writer, error);
out:
    file_abort(&writer);
    json_decref(found);
    mlflow_close(&server);
    if (status) {
        free(path);
    } else {
        *out = path;
    }
    return status;
}

const struct registry_target registry_mlflow = {
    .id = "mlflow",
    .title = "MLflow",
    .where = "in MLflow",
    .describe = describe,
    .check = mlflow_check,
    .publish = mlflow_publish,
    .list = list,
    .show = show,
    .pull = pull,
    .changes = (1u << REGISTRY_CHANGES) - 1,
    .change = mlflow_change,
};
