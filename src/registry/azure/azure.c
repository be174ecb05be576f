/* The target "azure": a custom model in an Azure ML workspace, registered as Microsoft's own v2
 * client does it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "base/js.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "registry/azure/azure.h"
#include "registry/azure/pending.h"
#include "registry/azure/shared.h"
#include "registry/mlflow/folder.h"
#include "registry/targets.h"

#define MODEL_LIMIT   ((size_t)2 << 30)
#define VERSION_TRIES 3
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

/* In a registry, which gives the place for the files itself. */
enum { SHARED_FIND, SHARED_VERSION, SHARED_UPLOAD, SHARED_REGISTER, SHARED_READ_BACK };
static const char *const shared_titles[] = {"Find the registry",       "Choose the version",
                                            "Upload the file",         "Register the version",
                                            "Read back what is there", NULL};

#define AZ_FILES (MLFLOW_FILES + 1)

/* One registration on its way. */
struct az_registration {
    const struct registry_request *request;
    struct az_connection *connection;
    struct progress progress;
    char name[256], version[64];
    char *data; /* the file */
    size_t size;
    char sha256[HASH_HEX_SIZE];
    bool folder; /* MLflow's folder goes there, not the file alone */
    struct mlflow_folder made;
    struct az_part
        files[AZ_FILES]; /* all in one folder; the first one carries the mark that all are there */
    size_t file_count;
    char data_path[160]; /* of the file in the folder: "data/simple_nn.pth" */
    char root[400];      /* "LocalUpload/{hash}" or "LocalUpload/{hash}/model" */
    char blob[600];      /* of the first file */
    char uri[1536];      /* azureml://… */
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
                         "the version \"%.40s\" is not valid: give a short name such as 3",
                         request->version);
    return az_connection_workspace(options, &workspace, error);
}

/* Sorted without regard to case, as Microsoft's client walks a folder. */
static int compare_paths(const void *a, const void *b)
{
    return strcasecmp(((const struct az_part *)a)->path, ((const struct az_part *)b)->path);
}

/* The hash of a folder, as that client names it: of each entry the name, then its content. */
static int hash_folder(const struct az_registration *own, char out[HASH_HEX_SIZE],
                       struct error *error)
{
    struct az_part sorted[AZ_FILES];
    struct hash *hash;
    char before[160] = "";
    memcpy(sorted, own->files, own->file_count * sizeof *sorted);
    qsort(sorted, own->file_count, sizeof *sorted, compare_paths);
    if (az_upload_hash_begin(&hash, error)) return -1;
    for (size_t i = 0; i < own->file_count; i++) {
        const char *name = path_base(sorted[i].path);
        size_t parent = name > sorted[i].path ? (size_t)(name - sorted[i].path - 1) : 0;
        if (parent && (strlen(before) != parent || strncmp(before, sorted[i].path, parent) != 0)) {
            snprintf(before, sizeof before, "%.*s", (int)parent, sorted[i].path);
            hash_update(hash, before, parent);
        }
        hash_update(hash, name, strlen(name));
        hash_update(hash, sorted[i].data, sorted[i].size);
    }
    hash_finish(hash, out);
    return 0;
}

/* MLflow's folder around the file. It is the same for the same file and words, so that what is
 * there is not sent again. */
static int make_folder(struct az_registration *own, struct error *error)
{
    struct model *model;
    struct stat info;
    char mark[33];
    const char *file = path_base(own->request->model_path);
    snprintf(mark, sizeof mark, "%.32s", own->sha256);
    if (stat(own->request->model_path, &info))
        return error_set(error, ERROR_IO, "cannot read %s", own->request->model_path);
    if (modelfile_read(own->request->model_path, NULL, &model, error)) return -1;
    const struct mlflow_folder_parts parts = {.model = model,
                                              .file = file,
                                              .run_id = mark,
                                              .made_at = (int64_t)info.st_mtime * 1000,
                                              .request = own->request,
                                              .name = own->name,
                                              .sha256 = own->sha256};
    int status = mlflow_folder_make(&parts, &own->made, error);
    model_destroy(model);
    if (status) return -1;
    snprintf(own->data_path, sizeof own->data_path, "data/%.150s", file);
    /* MLmodel, which is made first, is also the first in the order of bytes, where Microsoft's
     * client looks for the mark. */
    for (size_t i = 0; i < own->made.count; i++)
        own->files[own->file_count++] = (struct az_part){
            own->made.files[i].path, own->made.files[i].text.data, own->made.files[i].text.length};
    own->files[own->file_count++] = (struct az_part){own->data_path, own->data, own->size};
    return 0;
}

static int load(struct az_registration *own, struct error *error)
{
    char hash[HASH_HEX_SIZE];
    if (file_read(own->request->model_path, MODEL_LIMIT, &own->data, &own->size, error)) return -1;
    hash_bytes(own->data, own->size, own->sha256);
    if (own->folder) {
        if (make_folder(own, error) || hash_folder(own, hash, error)) return -1;
        snprintf(own->root, sizeof own->root, "LocalUpload/%s/model", hash);
    } else {
        own->files[own->file_count++] = (struct az_part){path_base(own->request->model_path),
                                                         own->data, own->size};
        if (az_upload_hash(own->data, own->size, hash, error)) return -1;
        snprintf(own->root, sizeof own->root, "LocalUpload/%s", hash);
    }
    snprintf(own->blob, sizeof own->blob, "%s/%.160s", own->root, own->files[0].path);
    return 0;
}

/* The version: what was asked for, what an interrupted try had chosen, or what the service says
 * comes next. */
static int choose_version(struct az_registration *own, bool anew, struct error *error)
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
    char path[320];
    struct arm_answer answer;
    const struct arm_request request = {
        .path = path, .may_be_absent = true, .what = "asking for the next version"};
    snprintf(path, sizeof path, "/models/%s", own->name);
    if (arm_call(&own->connection->arm, &request, &answer, error)) return -1;
    const char *next = json_string_value(
        json_object_get(json_object_get(answer.body, "properties"), "nextVersion"));
    snprintf(own->version, sizeof own->version, "%s", next && *next ? next : "1");
    json_decref(answer.body);
    return progress_note(&own->progress, "version", own->version, error);
}

static int put_file(struct az_registration *own, const struct az_part *file,
                    const struct blob_info *there, struct error *error)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%.160s", own->root, file->path);
    const struct blob_upload upload = {.path = path,
                                       .data = file->data,
                                       .size = file->size,
                                       .overwrite = there->exists,
                                       .progress = progress_bytes,
                                       .context = &own->progress};
    return blob_put(&own->connection->account, &upload, error);
}

static bool is_whole(const struct blob_info *there, const struct az_part *file)
{
    return there->exists && (there->size < 0 || there->size == (int64_t)file->size);
}

/* The folder's name is its content's: a file that is there is the right one. The first goes last,
 * with the mark. */
static int upload_with_access(struct az_registration *own, struct error *error)
{
    struct blob_info first, there;
    struct az_connection *connection = own->connection;
    char path[600];
    progress_step(&own->progress, STEP_UPLOAD);
    if (blob_head(&connection->account, own->blob, &first, error)) return -1;
    if (first.completed && is_whole(&first, &own->files[0])) return 0;
    for (size_t i = own->file_count; i-- > 1;) {
        snprintf(path, sizeof path, "%s/%.160s", own->root, own->files[i].path);
        if (blob_head(&connection->account, path, &there, error)) return -1;
        if (!is_whole(&there, &own->files[i]) && put_file(own, &own->files[i], &there, error))
            return -1;
    }
    if (put_file(own, &own->files[0], &first, error)) return -1;
    progress_step(&own->progress, STEP_MARK);
    return blob_mark(&connection->account, own->blob, own->name, own->version, error);
}

/* A SAS lives an hour: one that is refused is renewed, as often as the upload takes hours. An
 * account that allows no keys (nor a SAS made with one) gets the user's own token. */
static int upload(struct az_registration *own, struct error *error)
{
    struct blob_account *account = &own->connection->account;
    for (bool renewed = false;; renewed = true) {
        progress_step(&own->progress, STEP_ACCESS);
        if (az_connection_access(own->connection, error)) return -1;
        double begun = clock_monotonic();
        if (upload_with_access(own, error) == 0) return 0;
        if (error->code != ERROR_DENIED || account->signing == BLOB_BEARER) return -1;
        if (az_connection_refused_keys(own->connection)) continue;
        if (account->signing != BLOB_SAS) return -1;
        if (renewed && clock_monotonic() - begun < RENEW_AFTER) return -1;
    }
}

static json_t *version_body(const struct az_registration *own)
{
    json_t *tags = own->request->tags ? json_deep_copy(own->request->tags) : json_object();
    json_t *properties = json_object();
    json_object_set_new(tags, "sha256", json_string(own->sha256));
    if (own->folder) json_object_set_new(properties, AZ_FILE_PROPERTY, json_string(own->data_path));
    return json_pack("{s:{s:s?, s:o, s:o, s:s, s:s, s:b, s:b}}", "properties", "description",
                     own->request->description, "tags", tags, "properties", properties, "modelType",
                     own->folder ? "mlflow_model" : "custom_model", "modelUri", own->uri,
                     "isAnonymous", 0, "isArchived", 0);
}

/* The end of what `begun` (its body is taken) has begun: in a registry a long operation. */
static int wait_for_version(struct az_connection *connection, const char *path, const char *what,
                            struct arm_answer *begun, struct error *error)
{
    json_t *resource = NULL;
    const char *state = arm_state(begun->body);
    const json_t *own = json_object_get(json_object_get(begun->body, "properties"), "properties");
    bool goes_on = *begun->operation || (*state && strcmp(state, "Succeeded") != 0);
    if (goes_on && !*begun->operation) { /* another process began it */
        begun->pause = 0;
        snprintf(begun->operation, sizeof begun->operation, "%s",
                 js_text(own, "AzureAsyncOperationUri"));
    }
    int status = !connection->arm.workspace.registry || !goes_on
                     ? 0
                     : arm_finish(&connection->arm, begun,
                                  &(struct arm_wait){.path = path, .what = what}, &resource, error);
    json_decref(resource);
    json_decref(begun->body);
    return status;
}

static bool is_typed(const struct az_registration *own)
{
    return own->request->version && *own->request->version;
}

/* One PUT, until it has its effect. 1: the version belongs to another file, so another one must be
 * chosen. */
static int put_version(struct az_registration *own, struct error *error)
{
    char path[448];
    json_t *body = version_body(own);
    struct arm_answer answer;
    const struct arm_request request = {
        .method = "PUT", .path = path, .body = body, .what = "registering the version"};
    snprintf(path, sizeof path, "/models/%s/versions/%s", own->name, own->version);
    int status = arm_call(&own->connection->arm, &request, &answer, error);
    json_decref(body);
    if (!status) return wait_for_version(own->connection, path, request.what, &answer, error);
    json_decref(answer.body);
    bool taken = answer.http == 409 || strstr(error->message, "Asset paths cannot be updated");
    return taken && !is_typed(own) ? 1 : -1;
}

static int register_version(struct az_registration *own, struct error *error)
{
    for (int attempt = 0; attempt < VERSION_TRIES; attempt++) {
        int status = put_version(own, error);
        if (status <= 0) return status;
        if (choose_version(own, true, error)) return -1;
    }
    return error_set(error, ERROR_CONFLICT,
                     "others register versions of %s at the same time: try again", own->name);
}

/* The blob, and the address that the version names. */
static int check_stored(struct az_registration *own, const json_t *version, struct error *error)
{
    struct blob_info there;
    if (blob_head(&own->connection->account, own->blob, &there, error)) return -1;
    if (!is_whole(&there, &own->files[0]))
        return error_set(
            error, ERROR_FAILED,
            "the file that was read back is not the one that was sent: register it again");
    if (strcmp(js_text(json_object_get(version, "properties"), "modelUri"), own->uri) == 0)
        return 0;
    return error_set(error, ERROR_CONFLICT,
                     "version %s of %s names another file: register again for a new version",
                     own->version, own->name);
}

static bool is_ours(const struct az_registration *own, const json_t *version)
{
    const json_t *tags = json_object_get(json_object_get(version, "properties"), "tags");
    return strcmp(js_text(tags, "sha256"), own->sha256) == 0;
}

static int read_back(struct az_registration *own, json_t **out, struct error *error)
{
    json_t *answer = NULL;
    if (az_version_get(own->connection, own->name, own->version, &answer, error)) return -1;
    int status = 0;
    /* A registry copies the files to a place of its own, which its tags do not follow. */
    if (!own->connection->arm.workspace.registry)
        status = check_stored(own, answer, error);
    else if (!is_ours(own, answer))
        status = error_set(error, ERROR_CONFLICT,
                           "version %s of %s is another file: register again for a new version",
                           own->version, own->name);
    if (!status) {
        *out = az_version_json(own->connection, own->name, answer);
        json_object_set_new(*out, "bytes", json_integer((json_int_t)own->size));
        json_object_set_new(*out, "sha256", json_string(own->sha256));
        json_object_set_new(*out, "sign_in",
                            json_string(az_credential_method(own->connection->credential)));
    }
    json_decref(answer);
    return status;
}

static void make_uri(struct az_registration *own)
{
    const struct az_workspace *workspace = &own->connection->arm.workspace;
    snprintf(own->uri, sizeof own->uri,
             "azureml://subscriptions/%s/resourcegroups/%s/workspaces/%s/datastores/%s/paths/%s",
             workspace->subscription, workspace->resource_group, workspace->name,
             own->connection->datastore, own->folder ? own->root : own->blob);
}

static int run_steps(struct az_registration *own, json_t **out, struct error *error)
{
    progress_step(&own->progress, STEP_WORKSPACE);
    if (az_connection_check(own->connection, error) ||
        az_connection_may(own->connection, "models/versions/write", error))
        return -1;
    progress_step(&own->progress, STEP_VERSION);
    if (choose_version(own, false, error)) return -1;
    progress_step(&own->progress, STEP_STORAGE);
    if (az_connection_datastore(own->connection, NULL, error)) return -1;
    make_uri(own);
    if (upload(own, error)) return -1;
    progress_step(&own->progress, STEP_REGISTER);
    if (register_version(own, error)) return -1;
    progress_step(&own->progress, STEP_READ_BACK);
    return read_back(own, out, error);
}

/* The version in the registry: 1 when it is there with this file, 0 when it is not there, 2 when it
 * is another file's. One that is being made is waited for. */
static int look_for_version(struct az_registration *own, struct error *error)
{
    char path[448];
    struct arm_answer answer;
    const struct arm_request request = {
        .path = path, .may_be_absent = true, .what = "asking for the version"};
    snprintf(path, sizeof path, "/models/%s/versions/%s", own->name, own->version);
    if (arm_call(&own->connection->arm, &request, &answer, error)) return -1;
    if (!answer.body) return 0;
    if (!is_ours(own, answer.body)) {
        json_decref(answer.body);
        return 2;
    }
    return wait_for_version(own->connection, path, "registering the version", &answer, error) ? -1
                                                                                              : 1;
}

/* The files into a container that the registry gives for this version. 1: the version is taken. */
static int upload_to_registry(struct az_registration *own, struct error *error)
{
    char path[448], *uri = NULL;
    const struct az_pending pending = {.path = path,
                                       .name = own->name,
                                       .version = own->version,
                                       .folder = own->folder ? "model" : NULL,
                                       .parts = own->files,
                                       .count = own->file_count,
                                       .progress = progress_bytes,
                                       .context = &own->progress};
    snprintf(path, sizeof path, "/models/%s/versions/%s", own->name, own->version);
    if (az_pending_upload(own->connection, &pending, &uri, error))
        return error->code == ERROR_CONFLICT && !is_typed(own) ? 1 : -1;
    snprintf(own->uri, sizeof own->uri, "%s", uri);
    free(uri);
    return 0;
}

/* A registry's version never changes: it is looked for before each try, so that what an interrupted
 * one made is found. */
static int register_in_registry(struct az_registration *own, struct error *error)
{
    for (int attempt = 0; attempt < VERSION_TRIES; attempt++) {
        progress_step(&own->progress, SHARED_VERSION);
        if (choose_version(own, attempt > 0, error)) return -1;
        int there = look_for_version(own, error);
        if (there < 0) return -1;
        if (there == 1) return 0;
        if (there == 2 && is_typed(own))
            return error_set(error, ERROR_CONFLICT,
                             "version %s of %s is another file, and a registry's versions never "
                             "change: give another --version",
                             own->version, own->name);
        if (there == 2) continue;
        progress_step(&own->progress, SHARED_UPLOAD);
        int status = upload_to_registry(own, error);
        if (!status) progress_step(&own->progress, SHARED_REGISTER);
        if (!status) status = put_version(own, error);
        if (status <= 0) return status;
    }
    return error_set(error, ERROR_CONFLICT,
                     "others register versions of %s at the same time: try again", own->name);
}

static int run_shared_steps(struct az_registration *own, json_t **out, struct error *error)
{
    progress_step(&own->progress, SHARED_FIND);
    if (az_connection_check(own->connection, error) ||
        az_connection_may(own->connection, "models/versions/write", error) ||
        register_in_registry(own, error))
        return -1;
    progress_step(&own->progress, SHARED_READ_BACK);
    return read_back(own, out, error);
}

static int publish(const struct registry_options *options, const struct registry_request *request,
                   const struct registry_watch *watch, json_t **out, struct error *error)
{
    struct az_registration own = {.request = request};
    char key[1536], fallback[128];
    int status = -1;
    if (check(options, request, error)) return -1;
    registry_default_name(request, fallback);
    snprintf(own.name, sizeof own.name, "%s",
             request->name && *request->name ? request->name : fallback);
    own.folder = strcmp(registry_value(options, REGISTRY_FORM), "mlflow") == 0;
    if (load(&own, error) || az_connection_open(options, true, &own.connection, error)) goto out;
    const struct az_workspace *workspace = &own.connection->arm.workspace;
    snprintf(key, sizeof key, "azure%s%s %s/%s/%s %s %s %s", own.folder ? " mlflow" : "",
             workspace->registry ? " registry" : "", workspace->subscription,
             workspace->resource_group, workspace->name, own.name, own.sha256,
             request->version ? request->version : "next");
    if (progress_begin(&own.progress, watch, workspace->registry ? shared_titles : step_titles,
                       request->journal, key, error))
        goto out;
    status = (workspace->registry ? run_shared_steps : run_steps)(&own, out, error);
    if (status && error->code != ERROR_INTERRUPTED && own.progress.titles)
        error_prefix(error, "step %u of %u", own.progress.step + 1, own.progress.steps);
out:
    progress_end(&own.progress);
    az_connection_close(own.connection);
    mlflow_folder_clear(&own.made);
    free(own.data);
    return status;
}

const struct registry_target registry_azure = {
    .id = "azure",
    .title = "Azure ML",
    .where = "in Azure ML",
    .describe = az_connection_describe,
    .check = check,
    .publish = publish,
    .list = az_list,
    .show = az_show,
    .pull = az_pull,
    .changes = 1u << REGISTRY_TAG | 1u << REGISTRY_DROP_TAG | 1u << REGISTRY_DESCRIPTION |
               1u << REGISTRY_ARCHIVE | 1u << REGISTRY_RESTORE | 1u << REGISTRY_DELETE,
    .change = az_change,
};
