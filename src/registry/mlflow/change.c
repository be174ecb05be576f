/* Changing versions at an MLflow server: a row per kind. Archiving is MLflow's stage of that name,
 * which servers 2 and 3 have. */
#include <string.h>

#include "registry/mlflow/server.h"

static const struct {
    const char *method, *path;
    /* the names under which the change's parts are sent, or NULL */
    const char *version, *key, *value;
    const char *stage;
    const char *what;
} calls[REGISTRY_CHANGES] = {
    [REGISTRY_ALIAS] = {"POST", "registered-models/alias", "version", "alias", NULL, NULL,
                        "setting the alias"},
    [REGISTRY_DROP_ALIAS] = {"DELETE", "registered-models/alias", NULL, "alias", NULL, NULL,
                             "removing the alias"},
    [REGISTRY_TAG] = {"POST", "model-versions/set-tag", "version", "key", "value", NULL,
                      "setting the tag"},
    [REGISTRY_DROP_TAG] = {"DELETE", "model-versions/delete-tag", "version", "key", NULL, NULL,
                           "removing the tag"},
    [REGISTRY_DESCRIPTION] = {"PATCH", "model-versions/update", "version", NULL, "description",
                              NULL, "changing the description"},
    [REGISTRY_ARCHIVE] = {"POST", "model-versions/transition-stage", "version", NULL, NULL,
                          MLFLOW_ARCHIVED, "archiving the version"},
    [REGISTRY_RESTORE] = {"POST", "model-versions/transition-stage", "version", NULL, NULL, "None",
                          "restoring the version"},
    [REGISTRY_DELETE] = {"DELETE", "model-versions/delete", "version", NULL, NULL, NULL,
                         "deleting the version"},
};

static json_t *body_of(const struct registry_change *change)
{
    json_t *body = json_pack("{s:s}", "name", change->name);
    const char *version = calls[change->kind].version, *key = calls[change->kind].key,
               *value = calls[change->kind].value, *stage = calls[change->kind].stage;
    if (version) json_object_set_new(body, version, json_string(change->version));
    if (key) json_object_set_new(body, key, json_string(change->key));
    if (value) json_object_set_new(body, value, json_string(change->value));
    if (stage) {
        json_object_set_new(body, "stage", json_string(stage));
        json_object_set_new(body, "archive_existing_versions", json_false());
    }
    return body;
}

int mlflow_change(const struct registry_options *options, const struct registry_change *change,
                  struct error *error)
{
    struct mlflow_server server;
    json_t *tags;
    if (mlflow_check_name(change->name, error)) return -1;
    if (change->kind == REGISTRY_TAG) {
        tags = json_pack("{s:s}", change->key, change->value);
        int status = mlflow_check_tags(tags, error);
        json_decref(tags);
        if (status) return -1;
    }
    if (mlflow_open(options, false, &server, error)) return -1;
    json_t *there = NULL;
    int status = change->kind == REGISTRY_DELETE
                     ? mlflow_get_version(&server, change->name, change->version, &there, error)
                     : 0;
    json_decref(there);
    /* What was there and is gone is success: an answer may have been lost. */
    bool removal = strcmp(calls[change->kind].method, "DELETE") == 0;
    if (!status)
        status = mlflow_call(
            &server,
            (struct mlflow_request){.method = calls[change->kind].method,
                                    .path = calls[change->kind].path,
                                    .body = body_of(change),
                                    .fine = removal ? "RESOURCE_DOES_NOT_EXIST" : NULL,
                                    .what = calls[change->kind].what},
            NULL, error);
    mlflow_close(&server);
    return status;
}
