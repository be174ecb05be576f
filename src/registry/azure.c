/* The target "azure": a custom model in an Azure ML workspace, registered as Microsoft's own v2
 * client does it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "registry/az_session.h"
#include "registry/targets.h"

#define MODEL_LIMIT   ((size_t)2 << 30)
#define VERSION_TRIES 3
#define MAX_PAGES     20
#define RENEW_AFTER   60.0 /* seconds: an access that was refused sooner than this was never good */

enum {
    STEP_WORKSPACE,
    STEP_VERSION,
    STEP_STORAGE,
    STEP_ACCESS,
    STEP_UPLOAD,
    STEP_MARK,
    STEP_REGISTER,
    STEP_READ_BACK
};
static const char *const step_titles[] = {
    "Find the workspace",   "Choose the version",      "Find its storage",
    "Ask for access to it", "Upload the file",         "Mark the upload as whole",
    "Register the version", "Read back what is there", NULL};

/* One publication on its way. */
struct publication {
    const struct registry_request *request;
    struct az_session *session;
    struct progress progress;
    char name[256], version[64];
    char *data; /* the file */
    size_t size;
    char sha256[HASH_HEX_SIZE], folder[HASH_HEX_SIZE]; /* of the content; az_upload_hash() */
    char blob[512];                                    /* "LocalUpload/{folder}/{file}" */
    char uri[1024];                                    /* azureml://… */
};

static int check(const struct registry_options *options, const struct registry_request *request,
                 struct error *error)
{
    struct az_workspace workspace;
    char name[128];
    registry_default_name(request, name);
    if (az_model_name_check(request->name && *request->name ? request->name : name, error))
        return -1;
    if (request->version &&
        (strlen(request->version) > 32 || !path_is_plain_name(request->version)))
        return error_set(error, ERROR_USAGE,
                         "the version \"%.40s\" is not usable: give a short name such as 3",
                         request->version);
    return az_session_workspace(options, &workspace, error);
}

static int load(struct publication *own, struct error *error)
{
    if (file_read(own->request->model_path, MODEL_LIMIT, &own->data, &own->size, error)) return -1;
    hash_bytes(own->data, own->size, own->sha256);
    if (az_upload_hash(own->data, own->size, own->folder, error)) return -1;
    snprintf(own->blob, sizeof own->blob, "LocalUpload/%s/%s", own->folder,
             path_base(own->request->model_path));
    return 0;
}

static void model_path(const struct publication *own, char out[1024], const char *tail)
{
    char id[512];
    arm_workspace_id(&own->session->arm, id);
    snprintf(out, 1024, "%s/models/%s%s", id, own->name, tail);
}

/* The version: what was asked for, what an interrupted try had chosen, or what the service says
 * comes next. */
static int choose_version(struct publication *own, bool anew, struct error *error)
{
    const char *noted = progress_noted(&own->progress, "version");
    if (own->request->version && *own->request->version) {
        snprintf(own->version, sizeof own->version, "%s", own->request->version);
        return 0;
    }
    if (noted && !anew) {
        snprintf(own->version, sizeof own->version, "%s", noted);
        return 0;
    }
    char path[1024];
    json_t *answer = NULL;
    int http = 0;
    model_path(own, path, "");
    if (arm_call(&own->session->arm, "GET", path, ARM_VERSION, NULL, NULL, (int[]){404, 0},
                 "asking for the next version", &http, &answer, error))
        return -1;
    const char *next = json_string_value(
        json_object_get(json_object_get(answer, "properties"), "nextVersion"));
    snprintf(own->version, sizeof own->version, "%s", http == 200 && next && *next ? next : "1");
    json_decref(answer);
    return progress_note(&own->progress, "version", own->version, error);
}

static int upload_with_access(struct publication *own, struct error *error)
{
    struct blob_info there;
    struct az_session *session = own->session;
    progress_step(&own->progress, STEP_UPLOAD);
    if (blob_head(session->web, &session->account, own->blob, &there, error)) return -1;
    if (there.exists && there.completed && (there.size < 0 || there.size == (int64_t)own->size))
        return 0;
    if (blob_put(session->web, &session->account, own->blob, own->data, own->size, there.exists,
                 progress_bytes, &own->progress, error))
        return -1;
    progress_step(&own->progress, STEP_MARK);
    return blob_mark(session->web, &session->account, own->blob, own->name, own->version, error);
}

/* A SAS lives an hour: one that is refused is asked for anew, as often as the upload takes hours.
 */
static int upload(struct publication *own, struct error *error)
{
    for (bool renewed = false;; renewed = true) {
        progress_step(&own->progress, STEP_ACCESS);
        if (az_session_access(own->session, error)) return -1;
        double begun = clock_monotonic();
        if (upload_with_access(own, error) == 0) return 0;
        if (error->code != ERROR_DENIED || own->session->account.signing != BLOB_SAS) return -1;
        if (renewed && clock_monotonic() - begun < RENEW_AFTER) return -1;
    }
}

static json_t *version_body(const struct publication *own)
{
    json_t *tags = own->request->tags ? json_deep_copy(own->request->tags) : json_object();
    json_object_set_new(tags, "sha256", json_string(own->sha256));
    return json_pack("{s:{s:s?, s:o, s:{}, s:s, s:s, s:b, s:b}}", "properties", "description",
                     own->request->description, "tags", tags, "properties", "modelType",
                     "custom_model", "modelUri", own->uri, "isAnonymous", 0, "isArchived", 0);
}

/* One PUT. 1: the version is somebody else's (another path), so another one must be chosen. */
static int put_version(struct publication *own, json_t **out, struct error *error)
{
    char tail[128], path[1024];
    int http = 0;
    json_t *body = version_body(own);
    snprintf(tail, sizeof tail, "/versions/%s", own->version);
    model_path(own, path, tail);
    int status = arm_call(&own->session->arm, "PUT", path, ARM_VERSION, NULL, body, NULL,
                          "registering the version", &http, out, error);
    json_decref(body);
    if (!status) return 0;
    bool taken = http == 409 || strstr(error->message, "Asset paths cannot be updated");
    return taken && !(own->request->version && *own->request->version) ? 1 : -1;
}

static int register_version(struct publication *own, struct error *error)
{
    for (int attempt = 0; attempt < VERSION_TRIES; attempt++) {
        json_t *answer = NULL;
        int status = put_version(own, &answer, error);
        json_decref(answer);
        if (status <= 0) return status;
        if (choose_version(own, true, error)) return -1;
    }
    return error_set(error, ERROR_CONFLICT,
                     "others register versions of %s at the same time: try again", own->name);
}

/* "2026-11-23T22:54:02.1Z" to milliseconds; 0 when it is no such time. */
static json_int_t milliseconds(const char *text)
{
    struct tm parts = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    if (!rest) return 0;
    double fraction = *rest == '.' ? strtod(rest, NULL) : 0;
    return (json_int_t)timegm(&parts) * 1000 + (json_int_t)(fraction * 1000);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The service's answer for a version as the studio tells it. */
static json_t *version_to_json(const struct az_session *session, const char *name,
                               const json_t *answer)
{
    const json_t *properties = json_object_get(answer, "properties"),
                 *tags = json_object_get(properties, "tags");
    const char *version = text_of(answer, "name"),
               *sha256 = json_string_value(json_object_get(tags, "sha256"));
    char workspace[512];
    arm_workspace_id(&session->arm, workspace);
    bool portal = session->arm.cloud.portal[0] != '\0';
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:I, s:s, s:o, s:O?}", "target", "azure",
                     "name", name, "version", version, "id", text_of(answer, "id"), "uri",
                     text_of(properties, "modelUri"), "sha256", sha256, "created_at",
                     milliseconds(json_string_value(
                         json_object_get(json_object_get(answer, "systemData"), "createdAt"))),
                     "place", session->arm.workspace.name, "link",
                     portal ? json_sprintf("%s/model/%s:%s/details?wsid=%s",
                                           session->arm.cloud.portal, name, version, workspace)
                            : json_null(),
                     "tags", tags);
}

static int get_version(struct az_session *session, const char *name, const char *version,
                       json_t **out, struct error *error)
{
    char id[512], path[1024];
    int http = 0;
    arm_workspace_id(&session->arm, id);
    snprintf(path, sizeof path, "%s/models/%s/versions/%s", id, name, version);
    return arm_call(&session->arm, "GET", path, ARM_VERSION, NULL, NULL, NULL,
                    "reading back the version", &http, out, error);
}

static int read_back(struct publication *own, json_t **out, struct error *error)
{
    json_t *answer = NULL;
    struct blob_info there;
    if (get_version(own->session, own->name, own->version, &answer, error)) return -1;
    int status = blob_head(own->session->web, &own->session->account, own->blob, &there, error);
    if (!status && (!there.exists || (there.size >= 0 && there.size != (int64_t)own->size)))
        status = error_set(
            error, ERROR_FAILED,
            "the file that was read back is not the one that was sent: register it again");
    if (!status &&
        strcmp(text_of(json_object_get(answer, "properties"), "modelUri"), own->uri) != 0)
        status = error_set(error, ERROR_CONFLICT,
                           "version %s of %s names another file: register again for a new version",
                           own->version, own->name);
    if (!status) {
        *out = version_to_json(own->session, own->name, answer);
        json_object_set_new(*out, "bytes", json_integer((json_int_t)own->size));
        json_object_set_new(*out, "sha256", json_string(own->sha256));
        json_object_set_new(*out, "sign_in",
                            json_string(az_credential_method(own->session->credential)));
    }
    json_decref(answer);
    return status;
}

static void make_uri(struct publication *own)
{
    const struct az_workspace *workspace = &own->session->arm.workspace;
    snprintf(own->uri, sizeof own->uri,
             "azureml://subscriptions/%s/resourcegroups/%s/workspaces/%s/datastores/%s/paths/%s",
             workspace->subscription, workspace->resource_group, workspace->name,
             own->session->datastore, own->blob);
}

static int run_steps(struct publication *own, json_t **out, struct error *error)
{
    progress_step(&own->progress, STEP_WORKSPACE);
    if (az_session_check(own->session, error)) return -1;
    progress_step(&own->progress, STEP_VERSION);
    if (choose_version(own, false, error)) return -1;
    progress_step(&own->progress, STEP_STORAGE);
    if (az_session_datastore(own->session, NULL, error)) return -1;
    make_uri(own);
    if (upload(own, error)) return -1;
    progress_step(&own->progress, STEP_REGISTER);
    if (register_version(own, error)) return -1;
    progress_step(&own->progress, STEP_READ_BACK);
    return read_back(own, out, error);
}

static int publish(const struct registry_options *options, const struct registry_request *request,
                   const struct registry_watch *watch, json_t **out, struct error *error)
{
    struct publication own = {.request = request};
    char key[1024], fallback[128];
    int status = -1;
    if (check(options, request, error)) return -1;
    registry_default_name(request, fallback);
    snprintf(own.name, sizeof own.name, "%s",
             request->name && *request->name ? request->name : fallback);
    if (load(&own, error) || az_session_open(options, true, &own.session, error)) goto out;
    const struct az_workspace *workspace = &own.session->arm.workspace;
    snprintf(key, sizeof key, "azure %s/%s/%s %s %s %s", workspace->subscription,
             workspace->resource_group, workspace->name, own.name, own.sha256,
             request->version ? request->version : "next");
    if (progress_begin(&own.progress, watch, step_titles, request->journal, key, error)) goto out;
    status = run_steps(&own, out, error);
    if (status && error->code != ERROR_INTERRUPTED && own.progress.titles)
        error_prefix(error, "step %u of %u", own.progress.step + 1, own.progress.steps);
out:
    progress_end(&own.progress);
    az_session_close(own.session);
    free(own.data);
    return status;
}

static json_t *describe(const struct registry_options *options)
{
    struct az_workspace workspace;
    struct error error;
    bool found = az_session_workspace(options, &workspace, &error) == 0;
    json_t *ways = json_array();
    for (size_t i = 0; i < az_method_count; i++) {
        char text[256];
        bool available = az_methods[i].available(&options->sign_in, text, sizeof text);
        json_array_append_new(ways, json_pack("{s:s, s:s, s:s, s:b, s:b}", "id", az_methods[i].id,
                                              "title", az_methods[i].title, "found", text,
                                              "available", (int)available, "interactive",
                                              (int)az_methods[i].interactive));
    }
    return json_pack("{s:b, s:o, s:s?, s:s?, s:s?, s:s?, s:o, s:s?}", "ready", (int)found, "place",
                     found ? json_sprintf("%s", workspace.name) : json_null(), "subscription_id",
                     found ? workspace.subscription : NULL, "resource_group",
                     found ? workspace.resource_group : NULL, "workspace_name",
                     found ? workspace.name : NULL, "found_in", found ? workspace.found_in : NULL,
                     "sign_in", ways, "problem",
                     found || error.code == ERROR_NOT_FOUND ? NULL : error.message);
}

/* A model of the workspace, as the newest of its versions. The list tells neither tags nor hash of
 * that. */
static json_t *model_to_json(const struct az_session *session, const json_t *answer)
{
    json_t *row = version_to_json(session, text_of(answer, "name"), answer);
    const char *latest = text_of(json_object_get(answer, "properties"), "latestVersion");
    json_object_set_new(row, "version", json_string(latest));
    json_object_set_new(row, "id", json_sprintf("%s/versions/%s", text_of(answer, "id"), latest));
    json_object_del(row, "uri");
    json_object_del(row, "link");
    return row;
}

static int list(const struct registry_options *options, const char *name, json_t **out,
                struct error *error)
{
    static const char what[] = "asking for what is registered";
    struct az_session *session;
    char id[512], path[1024];
    json_t *answer = NULL, *rows = json_array();
    const json_t *entry;
    size_t i;
    int http = 0, status = -1;
    if ((name && az_model_name_check(name, error)) ||
        az_session_open(options, true, &session, error))
        goto out;
    arm_workspace_id(&session->arm, id);
    snprintf(path, sizeof path, name ? "%s/models/%s/versions" : "%s/models", id, name);
    status = arm_call(&session->arm, "GET", path, ARM_VERSION,
                      name ? "$orderBy=createdtime%20desc&$top=100" : NULL, NULL, (int[]){404, 0},
                      what, &http, &answer, error);
    for (int page = 0; !status; page++) {
        json_array_foreach(json_object_get(answer, "value"), i, entry)
            json_array_append_new(rows, name ? version_to_json(session, name, entry)
                                             : model_to_json(session, entry));
        char *next = page < MAX_PAGES ? strdup(text_of(answer, "nextLink")) : NULL;
        json_decref(answer);
        answer = NULL;
        if (next && *next) {
            status = arm_get_url(&session->arm, next, what, &http, &answer, error);
            free(next);
        } else {
            free(next);
            break;
        }
    }
    az_session_close(session);
out:
    if (status) {
        json_decref(rows);
    } else {
        *out = rows;
    }
    return status;
}

static int latest_version(struct az_session *session, const char *name, char out[64],
                          struct error *error)
{
    char id[512], path[1024];
    json_t *answer = NULL;
    int http = 0;
    arm_workspace_id(&session->arm, id);
    snprintf(path, sizeof path, "%s/models/%s/versions", id, name);
    int status = arm_call(&session->arm, "GET", path, ARM_VERSION,
                          "$orderBy=createdtime%20desc&$top=1", NULL, (int[]){404, 0},
                          "asking for the latest version", &http, &answer, error);
    const char *latest = json_string_value(
        json_object_get(json_array_get(json_object_get(answer, "value"), 0), "name"));
    if (!status && (http == 404 || !latest))
        status = error_set(error, ERROR_NOT_FOUND, "no model %s is registered in %s", name,
                           session->arm.workspace.name);
    if (!status) snprintf(out, 64, "%s", latest);
    json_decref(answer);
    return status;
}

/* The version's answer in *out, with an open session in *session for what follows. */
static int find_version(const struct registry_options *options, const char *name,
                        const char *version, struct az_session **session, json_t **out,
                        struct error *error)
{
    char latest[64];
    if (az_model_name_check(name, error) || az_session_open(options, true, session, error))
        return -1;
    if (version && *version) {
        snprintf(latest, sizeof latest, "%s", version);
        if (!path_is_plain_name(latest)) {
            error_set(error, ERROR_USAGE, "\"%.40s\" is no version", version);
            goto fail;
        }
    } else if (latest_version(*session, name, latest, error)) {
        goto fail;
    }
    if (get_version(*session, name, latest, out, error) == 0) return 0;
fail:
    az_session_close(*session);
    return -1;
}

static int show(const struct registry_options *options, const char *name, const char *version,
                json_t **out, struct error *error)
{
    struct az_session *session;
    json_t *answer = NULL;
    if (find_version(options, name, version, &session, &answer, error)) return -1;
    *out = version_to_json(session, name, answer);
    json_decref(answer);
    az_session_close(session);
    return 0;
}

/* "azureml://…/datastores/D/paths/P" into D and P. */
static int split_uri(const char *uri, char *datastore, size_t datastore_size, const char **path,
                     struct error *error)
{
    const char *place = strstr(uri, "/datastores/");
    const char *paths = place ? strstr(place, "/paths/") : NULL;
    size_t length = paths ? (size_t)(paths - (place + 12)) : 0;
    if (!paths || !length || length >= datastore_size || !paths[7])
        return error_set(error, ERROR_UNAVAILABLE,
                         "the model lies at \"%.200s\", which is no file in a datastore: download "
                         "it in Azure ML",
                         uri);
    snprintf(datastore, datastore_size, "%.*s", (int)length, place + 12);
    *path = paths + 7;
    return 0;
}

static int check_hash(const char *path, const char *wanted, struct error *error)
{
    char hex[HASH_HEX_SIZE];
    if (!wanted) return 0;
    if (hash_file(path, hex, NULL, error)) return -1;
    if (strcmp(hex, wanted) == 0) return 0;
    return error_set(
        error, ERROR_INPUT,
        "the downloaded file's SHA-256 is %s, but %s was registered: it was changed, do not use it",
        hex, wanted);
}

static int pull(const struct registry_options *options, const char *name, const char *version,
                const char *directory, char **out, struct error *error)
{
    struct az_session *session;
    struct file_writer writer = {0};
    json_t *answer = NULL;
    char datastore[128], *path = NULL;
    const char *blob = "";
    int status = -1;
    if (find_version(options, name, version, &session, &answer, error)) return -1;
    const json_t *properties = json_object_get(answer, "properties");
    if (split_uri(text_of(properties, "modelUri"), datastore, sizeof datastore, &blob, error))
        goto out;
    if (!path_is_plain_name(path_base(blob))) {
        error_set(error, ERROR_INPUT,
                  "the registered file's name \"%.80s\" is not usable: download it in Azure ML",
                  path_base(blob));
        goto out;
    }
    if (az_session_datastore(session, datastore, error) || az_session_access(session, error) ||
        file_make_directories(directory, error))
        goto out;
    path = path_join(directory, path_base(blob));
    if (!path) {
        error_set_memory(error, "a path");
        goto out;
    }
    if (file_create(path, &writer, error) ||
        blob_get(session->web, &session->account, blob, writer.stream, error))
        goto out;
    fflush(writer.stream);
    if (check_hash(
            writer.temporary,
            json_string_value(json_object_get(json_object_get(properties, "tags"), "sha256")),
            error))
        goto out;
    status = file_commit(&writer, error);
out:
    file_abort(&writer);
    json_decref(answer);
    az_session_close(session);
    if (status) {
        free(path);
    } else {
        *out = path;
    }
    return status;
}

const struct registry_target registry_azure = {
    .id = "azure",
    .title = "Azure ML",
    .where = "in Azure ML",
    .describe = describe,
    .check = check,
    .publish = publish,
    .list = list,
    .show = show,
    .pull = pull,
};
