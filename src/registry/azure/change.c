/* Changing versions in an Azure ML workspace: the version is read, changed and put back whole, as
 * Microsoft's own client does it; a deletion is ARM's DELETE. In a registry both are long
 * operations. The file in the storage stays. */
#include "base/js.h"
#include "registry/azure/azure.h"

/* What a version's PUT may hold: the rest of the answer is the service's own. */
static json_t *writable(const json_t *properties)
{
    static const char *const kept[] = {"description", "tags",      "properties", "flavors",
                                       "jobName",     "modelType", "modelUri",   "stage",
                                       "isAnonymous", "isArchived"};
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const json_t *value = json_object_get(properties, kept[i]);
        if (value && !json_is_null(value)) json_object_set(out, kept[i], (json_t *)value);
    }
    return out;
}

static void apply(json_t *properties, const struct registry_change *change)
{
    json_t *tags = json_copy(json_object_get(properties, "tags"));
    if (!tags) tags = json_object();
    if (change->kind == REGISTRY_TAG)
        json_object_set_new(tags, change->key, json_string(change->value));
    if (change->kind == REGISTRY_DROP_TAG) json_object_del(tags, change->key);
    json_object_set_new(properties, "tags", tags);
    if (change->kind == REGISTRY_DESCRIPTION)
        json_object_set_new(properties, "description", json_string(change->value));
    if (change->kind == REGISTRY_ARCHIVE || change->kind == REGISTRY_RESTORE)
        json_object_set_new(properties, "isArchived",
                            json_boolean(change->kind == REGISTRY_ARCHIVE));
}

int az_change(const struct registry_options *options, const struct registry_change *change,
              struct error *error)
{
    struct az_connection *connection;
    struct arm_answer answer = {0};
    json_t *found, *body = NULL;
    char path[448];
    bool removal = change->kind == REGISTRY_DELETE;
    if (az_find_version(options, change->name, change->version, &connection, &found, error))
        return -1;
    snprintf(path, sizeof path, "/models/%s/versions/%s", change->name, js_text(found, "name"));
    int status = az_connection_may(
        connection, removal ? "models/versions/delete" : "models/versions/write", error);
    if (!status && !removal) {
        json_t *properties = writable(json_object_get(found, "properties"));
        apply(properties, change);
        body = json_pack("{s:o}", "properties", properties);
    }
    if (!status)
        status = arm_call(&connection->arm,
                          &(struct arm_request){.method = removal ? "DELETE" : "PUT",
                                                .path = path,
                                                .body = body,
                                                .may_be_absent = removal,
                                                .what = removal ? "deleting the version"
                                                                : "changing the version"},
                          &answer, error);
    if (!status && (*answer.operation || *answer.location)) {
        json_t *resource = NULL;
        status = arm_finish(
            &connection->arm, &answer,
            &(struct arm_wait){.path = path, .what = "changing the version", .removal = removal},
            &resource, error);
        json_decref(resource);
    }
    json_decref(answer.body);
    json_decref(body);
    json_decref(found);
    az_connection_close(connection);
    return status;
}
