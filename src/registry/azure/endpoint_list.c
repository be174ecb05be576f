/* What endpoints there are; testing, reading the logs of, and deleting one. */
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "registry/azure/endpoint.h"
#include "registry/targets.h"

struct endpoint_listing {
    struct az_connection *connection;
    const json_t *journals;
    json_t *rows, *deployments; /* deployments: of the endpoint that is being listed */
    const json_t *traffic;
    json_int_t billed;
};

static int add_deployment(void *context, const json_t *entry, struct error *error)
{
    struct endpoint_listing *own = context;
    const char *name = js_text(entry, "name");
    json_int_t instances = json_integer_value(
        json_object_get(json_object_get(entry, "sku"), "capacity"));
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:I, s:I}", "name", name, "state", arm_state(entry), "instance_type",
        js_text(json_object_get(entry, "properties"), "instanceType"), "instances", instances,
        "traffic", json_integer_value(json_object_get(own->traffic, name)));
    own->billed += instances;
    return row && json_array_append_new(own->deployments, row) == 0
               ? 0
               : error_set_memory(error, "a list");
}

static json_t *find_journal(const struct endpoint_listing *own, const char *endpoint)
{
    json_t *entry;
    size_t i;
    json_array_foreach((json_t *)own->journals, i, entry)
        if (strcmp(js_text(entry, "endpoint"), endpoint) == 0 &&
            az_journal_in(entry, &own->connection->arm.workspace))
            return entry;
    return NULL;
}

/* A text, or null for an empty one. */
static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static int add_endpoint(void *context, const json_t *entry, struct error *error)
{
    struct endpoint_listing *own = context;
    char path[AZ_ENDPOINT_PATH];
    const char *name = js_text(entry, "name");
    const json_t *properties = json_object_get(entry, "properties"),
                 *tags = json_object_get(entry, "tags");
    json_t *journal = find_journal(own, name);
    if (strlen(name) > 60) return 0;
    own->deployments = json_array();
    own->traffic = json_object_get(properties, "traffic");
    own->billed = 0;
    snprintf(path, sizeof path, "/onlineEndpoints/%s/deployments", name);
    int status = arm_list(&own->connection->arm,
                          (struct arm_request){.path = path,
                                               .may_be_absent = true,
                                               .what = "asking for the deployments"},
                          add_deployment, own, error);
    json_t *row = json_pack("{s:s, s:s, s:s, s:o, s:o, s:b, s:o, s:o, s:I}", "endpoint", name,
                            "state", arm_state(entry), "workspace",
                            own->connection->arm.workspace.name, "model",
                            text_or_null(js_text(tags, "model")), "version",
                            text_or_null(js_text(tags, "version")), "made_here", journal != NULL,
                            "scoring_uri", text_or_null(js_text(properties, "scoringUri")),
                            "deployments", own->deployments, "billed", own->billed);
    if (journal) json_object_set_new(journal, "listed", json_true());
    if (!status && (!row || json_array_append(own->rows, row)))
        status = error_set_memory(error, "a list");
    json_decref(row);
    return status;
}

/* What this home began and the workspace does not have, or what lies in other workspaces. One that
 * was ready and is gone has been deleted elsewhere: its journal goes. */
static int add_rest(struct endpoint_listing *own, const struct registry_options *options,
                    struct error *error)
{
    json_t *entry;
    size_t i;
    json_array_foreach((json_t *)own->journals, i, entry) {
        bool here = az_journal_in(entry, &own->connection->arm.workspace);
        const char *state = js_text(entry, "state"), *name = js_text(entry, "endpoint");
        if (json_object_get(entry, "listed")) continue;
        if (here && strcmp(state, AZ_CREATING) != 0) {
            struct az_journal journal;
            struct error busy;
            if (!az_journal_open(options->home, &az_endpoints, &own->connection->arm.workspace,
                                 name, &journal, &busy) &&
                strcmp(js_text(journal.data, "state"), AZ_CREATING) != 0)
                az_journal_remove(&journal);
            az_journal_close(&journal);
            continue;
        }
        json_t *row = json_pack(
            "{s:s, s:s, s:s, s:s, s:s, s:b, s:n, s:[], s:I}", "endpoint", name, "state",
            here ? "not made yet" : "in another workspace", "workspace",
            js_text(entry, "workspace_name"), "model", js_text(entry, "model"), "version",
            js_text(entry, "version"), "made_here", 1, "scoring_uri", "deployments", "billed",
            here ? (json_int_t)0 : json_integer_value(json_object_get(entry, "instances")));
        if (!row || json_array_append_new(own->rows, row)) return error_set_memory(error, "a list");
    }
    return 0;
}

int registry_endpoint_list(const struct registry_options *options, json_t **out,
                           struct error *error)
{
    struct endpoint_listing own = {.rows = json_array()};
    json_t *journals = NULL;
    int status = az_journal_list(options->home, &az_endpoints, &journals, error) ||
                         az_connection_open(options, true, &own.connection, error)
                     ? -1
                     : 0;
    own.journals = journals;
    if (!status)
        status = arm_list(&own.connection->arm,
                          (struct arm_request){.path = "/onlineEndpoints",
                                               .what = "asking for the endpoints"},
                          add_endpoint, &own, error) ||
                         add_rest(&own, options, error)
                     ? -1
                     : 0;
    az_connection_close(own.connection);
    json_decref(journals);
    if (status) {
        json_decref(own.rows);
        return -1;
    }
    *out = own.rows;
    return 0;
}

/* The endpoint as ARM tells it, with an open connection. */
static int open_endpoint(const struct registry_options *options, const char *endpoint,
                         struct az_connection **connection, json_t **resource, struct error *error)
{
    char path[AZ_ENDPOINT_PATH], name[AZ_ENDPOINT_LIMIT + 1];
    struct arm_answer answer;
    *connection = NULL;
    if (az_endpoint_name(endpoint, "", "", name, error) ||
        az_connection_open(options, true, connection, error))
        return -1;
    az_endpoint_path(name, false, path);
    if (arm_call(&(*connection)->arm,
                 &(struct arm_request){
                     .path = path, .may_be_absent = true, .what = "asking for the endpoint"},
                 &answer, error)) {
        az_connection_close(*connection);
        return -1;
    }
    *resource = answer.body;
    return 0;
}

static int tell_absent(const struct az_connection *connection, const char *endpoint,
                       struct error *error)
{
    return error_set(error, ERROR_NOT_FOUND,
                     "the workspace %s has no endpoint %.40s: list its endpoints",
                     connection->arm.workspace.name, endpoint);
}

int registry_endpoint_test(const struct registry_options *options, const char *endpoint,
                           const struct registry_sample *sample, json_t **out, struct error *error)
{
    struct az_connection *connection, *second = NULL;
    json_t *resource = NULL, *version = NULL;
    char *file = NULL;
    if (open_endpoint(options, endpoint, &connection, &resource, error)) return -1;
    const json_t *tags = json_object_get(resource, "tags");
    const char *model = js_text(tags, "model"), *number = js_text(tags, "version");
    int status = -1;
    if (!resource) {
        tell_absent(connection, endpoint, error);
    } else if (!*model || !*number) {
        error_set(error, ERROR_INPUT,
                  "the endpoint %.40s does not say which model it has: it was not made here",
                  endpoint);
    } else if (az_find_version(options, model, number, &second, &version, error) == 0) {
        status = registry_cached(&registry_azure, options, model, number, &file, NULL, error) ||
                         az_endpoint_try(
                             connection, options, resource, file,
                             js_text(json_object_get(version, "properties"), "modelType"), sample,
                             out, error)
                     ? -1
                     : 0;
        az_connection_close(second);
    }
    json_decref(version);
    json_decref(resource);
    az_connection_close(connection);
    free(file);
    return status;
}

int registry_endpoint_logs(const struct registry_options *options, const char *endpoint,
                           char **text, struct error *error)
{
    struct az_connection *connection;
    json_t *resource = NULL;
    if (open_endpoint(options, endpoint, &connection, &resource, error)) return -1;
    int status = resource ? az_endpoint_log(connection, endpoint, AZ_DEPLOYMENT, text, error)
                          : tell_absent(connection, endpoint, error);
    json_decref(resource);
    az_connection_close(connection);
    return status;
}

int registry_endpoint_delete(const struct registry_options *options, const char *endpoint,
                             struct error *error)
{
    struct az_connection *connection;
    struct az_journal journal = {.lock = -1};
    json_t *resource = NULL;
    char path[AZ_ENDPOINT_PATH];
    if (open_endpoint(options, endpoint, &connection, &resource, error)) return -1;
    az_endpoint_path(endpoint, false, path);
    int status = az_journal_open(options->home, &az_endpoints, &connection->arm.workspace, endpoint,
                                 &journal, error);
    bool known = !status && json_object_size(journal.data) > 0;
    if (!status && !resource && !known) status = tell_absent(connection, endpoint, error);
    if (!status && known) status = az_journal_note(&journal, "state", AZ_DELETING, error);
    if (!status && resource)
        status = az_connection_may(connection, "onlineEndpoints/delete", error) ||
                         az_endpoint_remove(connection, path, "deleting the endpoint", error)
                     ? -1
                     : 0;
    if (!status && known) az_journal_remove(&journal);
    az_journal_close(&journal);
    json_decref(resource);
    az_connection_close(connection);
    return status;
}
