/* Reading what is registered in an Azure ML workspace or registry: lists, one version, its file. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "registry/azure/azure.h"
#include "registry/azure/shared.h"

/* "2026-11-23T22:54:02.1Z" to milliseconds; 0 when it is not such a time. */
static json_int_t milliseconds(const char *text)
{
    struct tm parts = {0};
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    if (!rest) return 0;
    double fraction = *rest == '.' ? strtod(rest, NULL) : 0;
    return (json_int_t)timegm(&parts) * 1000 + (json_int_t)(fraction * 1000);
}

/* The service's answer for a version as the studio tells it. */
json_t *az_version_json(const struct az_connection *connection, const char *name,
                        const json_t *answer)
{
    const json_t *properties = json_object_get(answer, "properties"),
                 *tags = json_object_get(properties, "tags");
    const char *version = js_text(answer, "name"),
               *sha256 = json_string_value(json_object_get(tags, "sha256"));
    char workspace[ARM_ID_SIZE];
    arm_workspace_id(&connection->arm, workspace);
    const char *portal = connection->arm.cloud.portal;
    json_t *link = !*portal ? json_null()
                   : connection->arm.workspace.registry
                       ? json_sprintf("%s/registries/%s/models/%s/version/%s", portal,
                                      connection->arm.workspace.name, name, version)
                       : json_sprintf("%s/model/%s:%s/details?wsid=%s", portal, name, version,
                                      workspace);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:I, s:s, s:o, s:O?, s:[], s:s?, s:b}",
                     "target", "azure", "name", name, "version", version, "id",
                     js_text(answer, "id"), "uri", js_text(properties, "modelUri"), "sha256",
                     sha256, "created_at",
                     milliseconds(json_string_value(
                         json_object_get(json_object_get(answer, "systemData"), "createdAt"))),
                     "place", connection->arm.workspace.name, "link", link, "tags", tags, "aliases",
                     "description", json_string_value(json_object_get(properties, "description")),
                     "archived", json_is_true(json_object_get(properties, "isArchived")));
}

int az_version_get(struct az_connection *connection, const char *name, const char *version,
                   json_t **out, struct error *error)
{
    char path[448];
    struct arm_answer answer;
    snprintf(path, sizeof path, "/models/%s/versions/%s", name, version);
    if (arm_call(&connection->arm,
                 &(struct arm_request){.path = path, .what = "reading back the version"}, &answer,
                 error))
        return -1;
    *out = answer.body;
    return 0;
}

/* A model of the workspace, as the newest of its versions. The list tells neither tags nor hash of
 * that. */
static json_t *model_to_json(const struct az_connection *connection, const json_t *answer)
{
    json_t *row = az_version_json(connection, js_text(answer, "name"), answer);
    const char *latest = js_text(json_object_get(answer, "properties"), "latestVersion");
    json_object_set_new(row, "version", json_string(latest));
    json_object_set_new(row, "id", json_sprintf("%s/versions/%s", js_text(answer, "id"), latest));
    json_object_del(row, "uri");
    json_object_del(row, "link");
    return row;
}

/* What a list is made of. */
struct model_listing {
    const struct az_connection *connection;
    const char *name; /* of the model whose versions are listed; NULL: the models */
    json_t *rows;
};

static int add_row(void *context, const json_t *entry, struct error *error)
{
    struct model_listing *listing = context;
    json_t *row = listing->name ? az_version_json(listing->connection, listing->name, entry)
                                : model_to_json(listing->connection, entry);
    return row && json_array_append_new(listing->rows, row) == 0
               ? 0
               : error_set_memory(error, "a list");
}

int az_list(const struct registry_options *options, const char *name, json_t **out,
            struct error *error)
{
    struct az_connection *connection;
    char path[320];
    if ((name && az_model_name_check(name, error)) ||
        az_connection_open(options, true, &connection, error))
        return -1;
    struct model_listing listing = {connection, name, json_array()};
    snprintf(path, sizeof path, name ? "/models/%s/versions" : "/models", name);
    int status = arm_list(
        &connection->arm,
        (struct arm_request){.path = path,
                             .query = name ? "$orderBy=createdtime%20desc&$top=100&listViewType=All"
                                           : NULL,
                             .may_be_absent = true,
                             .what = "asking for what is registered"},
        add_row, &listing, error);
    az_connection_close(connection);
    if (status) {
        json_decref(listing.rows);
        return -1;
    }
    *out = listing.rows;
    return 0;
}

static int latest_version(struct az_connection *connection, const char *name, char out[64],
                          struct error *error)
{
    char path[320];
    struct arm_answer answer;
    const struct arm_request request = {.path = path,
                                        .query = "$orderBy=createdtime%20desc&$top=1",
                                        .may_be_absent = true,
                                        .what = "asking for the latest version"};
    snprintf(path, sizeof path, "/models/%s/versions", name);
    if (arm_call(&connection->arm, &request, &answer, error)) return -1;
    const char *latest = json_string_value(
        json_object_get(json_array_get(json_object_get(answer.body, "value"), 0), "name"));
    int status = latest ? 0
                        : error_set(error, ERROR_NOT_FOUND, "no model %s is registered in %s", name,
                                    connection->arm.workspace.name);
    if (!status) snprintf(out, 64, "%s", latest);
    json_decref(answer.body);
    return status;
}

int az_find_version(const struct registry_options *options, const char *name, const char *version,
                    struct az_connection **connection, json_t **out, struct error *error)
{
    char latest[64];
    if (az_model_name_check(name, error) || az_connection_open(options, true, connection, error))
        return -1;
    if (version && *version == '@') {
        error_set(error, ERROR_USAGE, "Azure ML has no aliases: give the version's number");
        goto fail;
    }
    if (version && *version) {
        snprintf(latest, sizeof latest, "%s", version);
        if (!path_is_plain_name(latest)) {
            error_set(error, ERROR_USAGE, "\"%.40s\" is not a valid version", version);
            goto fail;
        }
    } else if (latest_version(*connection, name, latest, error)) {
        goto fail;
    }
    if (az_version_get(*connection, name, latest, out, error) == 0) return 0;
fail:
    az_connection_close(*connection);
    *connection = NULL;
    return -1;
}

int az_show(const struct registry_options *options, const char *name, const char *version,
            json_t **out, struct error *error)
{
    struct az_connection *connection;
    json_t *answer = NULL;
    if (az_find_version(options, name, version, &connection, &answer, error)) return -1;
    *out = az_version_json(connection, name, answer);
    json_decref(answer);
    az_connection_close(connection);
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
        return error_set(
            error, ERROR_UNAVAILABLE,
            "the model lies at \"%.200s\", which is not a file in a datastore: download "
            "it in Azure ML",
            uri);
    snprintf(datastore, datastore_size, "%.*s", (int)length, place + 12);
    *path = paths + 7;
    return 0;
}

/* The blob of the model file: what the version names, or a file in the folder that it names. */
static int file_in_version(const json_t *properties, const char *place, char *out, size_t size,
                           struct error *error)
{
    const char *file = js_text(json_object_get(properties, "properties"), AZ_FILE_PROPERTY);
    bool folder = strcmp(js_text(properties, "modelType"), "mlflow_model") == 0;
    if (folder && (!*file || strstr(file, "..")))
        return error_set(error, ERROR_UNAVAILABLE,
                         "the version is a folder that was not registered from here: download it "
                         "in Azure ML");
    if ((size_t)snprintf(out, size, "%s%s%s", place, folder ? "/" : "", folder ? file : "") < size)
        return 0;
    return error_set(error, ERROR_INPUT, "the path of the model file is too long");
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

static int download(struct az_connection *connection, const char *blob, FILE *file,
                    struct error *error)
{
    if (blob_get(&connection->account, blob, file, error) == 0) return 0;
    if (!az_connection_refused_keys(connection) || az_connection_access(connection, error))
        return -1;
    return blob_get(&connection->account, blob, file, error);
}

int az_pull(const struct registry_options *options, const char *name, const char *version,
            const char *directory, char **out, struct error *error)
{
    struct az_connection *connection;
    struct file_writer writer = {0};
    json_t *answer = NULL;
    char datastore[128], blob[1200], *path = NULL;
    const char *place = "";
    int status = -1;
    if (az_find_version(options, name, version, &connection, &answer, error)) return -1;
    const json_t *properties = json_object_get(answer, "properties");
    bool registry = connection->arm.workspace.registry;
    const char *uri = js_text(properties, "modelUri");
    if (registry ? az_registry_access(connection, name, js_text(answer, "name"), uri, &place, error)
                 : split_uri(uri, datastore, sizeof datastore, &place, error))
        goto out;
    if (file_in_version(properties, place, blob, sizeof blob, error)) goto out;
    if (!path_is_plain_name(path_base(blob))) {
        error_set(error, ERROR_INPUT,
                  "the registered file's name \"%.80s\" is not usable: download it in Azure ML",
                  path_base(blob));
        goto out;
    }
    if ((!registry && (az_connection_datastore(connection, datastore, error) ||
                       az_connection_access(connection, error))) ||
        file_make_directories(directory, error))
        goto out;
    path = path_join(directory, path_base(blob));
    if (!path) {
        error_set_memory(error, "a path");
        goto out;
    }
    if (file_create(path, &writer, error) || download(connection, blob, writer.stream, error))
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
    az_connection_close(connection);
    if (status) {
        free(path);
    } else {
        *out = path;
    }
    return status;
}
