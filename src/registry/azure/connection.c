#include "registry/azure/connection.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "registry/azure/shared.h"

int az_connection_workspace(const struct registry_options *options, struct az_workspace *out,
                            struct error *error)
{
    const char *subscription = registry_value(options, REGISTRY_SUBSCRIPTION),
               *group = registry_value(options, REGISTRY_RESOURCE_GROUP),
               *name = registry_value(options, REGISTRY_WORKSPACE),
               *file = registry_given(options, REGISTRY_CONFIG),
               *registry = registry_value(options, REGISTRY_REGISTRY);
    if (registry) {
        *out = (struct az_workspace){.registry = true, .found_in = "what was given"};
        snprintf(out->name, sizeof out->name, "%s", registry);
        return az_registry_name_check(registry, error);
    }
    /* A file that was named wins over the environment; what was typed wins over both. */
    bool typed = registry_given(options, REGISTRY_SUBSCRIPTION) &&
                 registry_given(options, REGISTRY_RESOURCE_GROUP) &&
                 registry_given(options, REGISTRY_WORKSPACE);
    if (!subscription || !group || !name || (file && !typed))
        return az_config_find(file, out, error);
    *out = (struct az_workspace){0};
    snprintf(out->subscription, sizeof out->subscription, "%s", subscription);
    snprintf(out->resource_group, sizeof out->resource_group, "%s", group);
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->found_in, sizeof out->found_in, "%s",
             typed ? "what was given" : "the environment");
    return az_workspace_check(out, error);
}

int az_connection_open(const struct registry_options *options, bool need_workspace,
                       struct az_connection **out, struct error *error)
{
    struct az_connection *connection = calloc(1, sizeof *connection);
    struct web_options web = {.ca_file = registry_value(options, REGISTRY_CA_FILE),
                              .cancelled = options->cancelled,
                              .context = options->context};
    if (!connection) return error_set_memory(error, "the connection to Azure");
    if ((need_workspace && az_connection_workspace(options, &connection->arm.workspace, error)) ||
        web_create(&web, &connection->web, error) ||
        az_cloud_find(connection->web, &connection->arm.cloud, error) ||
        az_credential_create(connection->web, &connection->arm.cloud, options,
                             &connection->credential, error)) {
        az_connection_close(connection);
        return -1;
    }
    connection->arm.web = connection->web;
    connection->arm.credential = connection->credential;
    if (connection->arm.workspace.registry && az_registry_find(&connection->arm, error)) {
        az_connection_close(connection);
        return -1;
    }
    *out = connection;
    return 0;
}

void az_connection_close(struct az_connection *connection)
{
    if (!connection) return;
    blob_account_clear(&connection->account);
    az_credential_destroy(connection->credential);
    web_destroy(connection->web);
    free(connection);
}

int az_connection_check(struct az_connection *connection, struct error *error)
{
    const struct arm_request request = {.path = "", .what = arm_place_question(&connection->arm)};
    struct arm_answer answer;
    if (arm_call(&connection->arm, &request, &answer, error)) return -1;
    bool legacy = json_is_true(
        json_object_get(json_object_get(answer.body, "properties"), "v1LegacyMode"));
    snprintf(connection->location, sizeof connection->location, "%s",
             js_text(answer.body, "location"));
    json_decref(answer.body);
    if (!legacy) return 0;
    return error_set(
        error, ERROR_UNAVAILABLE,
        "the workspace %s is in v1 legacy mode: switch v1LegacyMode off, then try again",
        connection->arm.workspace.name);
}

bool az_action_matches(const char *pattern, const char *action)
{
    for (; *pattern; pattern++, action++) {
        if (*pattern == '*') {
            for (const char *rest = action;; rest++) {
                if (az_action_matches(pattern + 1, rest)) return true;
                if (!*rest) return false;
            }
        }
        if (tolower((unsigned char)*pattern) != tolower((unsigned char)*action)) return false;
    }
    return !*action;
}

static bool any_matches(const json_t *patterns, const char *action)
{
    const json_t *pattern;
    size_t i;
    json_array_foreach((json_t *)patterns, i, pattern)
        if (json_is_string(pattern) && az_action_matches(json_string_value(pattern), action))
            return true;
    return false;
}

int az_connection_may(struct az_connection *connection, const char *action, struct error *error)
{
    char whole[256];
    const struct arm_request request = {.path = "/providers/Microsoft.Authorization/permissions",
                                        .version = ARM_VERSION_PERMISSIONS,
                                        .what = "asking for your rights"};
    struct arm_answer answer;
    const json_t *role;
    bool allowed = false, registry = connection->arm.workspace.registry;
    size_t i;
    /* A registry has one set of rights for all kinds of assets. */
    snprintf(whole, sizeof whole, "Microsoft.MachineLearningServices/%s%s",
             registry ? "registries/assets" : "workspaces/",
             registry ? strrchr(action, '/') : action);
    if (arm_call(&connection->arm, &request, &answer, error))
        return error->code == ERROR_INTERRUPTED ? -1 : 0;
    const json_t *roles = json_object_get(answer.body, "value");
    json_array_foreach((json_t *)roles, i, role) {
        allowed = allowed || (any_matches(json_object_get(role, "actions"), whole) &&
                              !any_matches(json_object_get(role, "notActions"), whole));
    }
    if (!json_is_array(roles)) allowed = true; /* not an answer to the question */
    json_decref(answer.body);
    if (allowed) return 0;
    return error_set(error, ERROR_DENIED,
                     "your roles on the %s %s do not include %s: ask for the role \"%s\" on it",
                     registry ? "registry" : "workspace", connection->arm.workspace.name, whole,
                     registry ? "AzureML Registry User" : "AzureML Data Scientist");
}

/* The service sends empty texts for what is not set. */
static const char *set_text_or(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = js_text(object, key);
    return *text ? text : otherwise;
}

/* What a datastore's properties say about where its blobs are. */
static int read_datastore(struct az_connection *connection, const json_t *datastore,
                          struct error *error)
{
    const json_t *properties = json_object_get(datastore, "properties");
    const char *type = js_text(properties, "datastoreType"),
               *account = js_text(properties, "accountName");
    const char *container = set_text_or(properties, "containerName",
                                        js_text(properties, "filesystem"));
    const char *name = js_text(datastore, "name");
    if (strcmp(type, "AzureBlob") != 0 && strcmp(type, "AzureDataLakeGen2") != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the datastore \"%.60s\" is of type %.40s: files can be put into "
                         "AzureBlob or AzureDataLakeGen2",
                         name, *type ? type : "unknown");
    if (!*account || !*container || !*name)
        return error_set(
            error, ERROR_UNAVAILABLE,
            "the datastore \"%.60s\" does not say where its files are: look at it in Azure ML",
            name);
    const char *credentials = set_text_or(json_object_get(properties, "credentials"),
                                          "credentialsType", "None");
    if (strcmp(credentials, "ServicePrincipal") == 0 || strcmp(credentials, "Certificate") == 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the datastore \"%.60s\" signs in by %s, which is not supported: give it "
                         "an account key or a SAS",
                         name, credentials);
    connection->bearer_only = strcmp(credentials, "None") == 0;
    snprintf(connection->datastore, sizeof connection->datastore, "%s", name);
    snprintf(connection->account.account, sizeof connection->account.account, "%s", account);
    snprintf(connection->account.url, sizeof connection->account.url, "%s://%s.blob.%s/%s",
             set_text_or(properties, "protocol", "https"), account,
             set_text_or(properties, "endpoint", connection->arm.cloud.storage_suffix), container);
    return 0;
}

int az_connection_datastore(struct az_connection *connection, const char *name, struct error *error)
{
    char path[256];
    const struct arm_request request = {.path = path,
                                        .query = name ? NULL : "isDefault=true",
                                        .what = "asking for the workspace's storage"};
    struct arm_answer answer;
    snprintf(path, sizeof path, "/datastores%s%s", name ? "/" : "", name ? name : "");
    if (arm_call(&connection->arm, &request, &answer, error)) return -1;
    const json_t *datastore = name ? answer.body
                                   : json_array_get(json_object_get(answer.body, "value"), 0);
    int status = datastore
                     ? read_datastore(connection, datastore, error)
                     : error_set(error, ERROR_UNAVAILABLE,
                                 "the workspace has no default datastore: set one in Azure ML");
    json_decref(answer.body);
    return status;
}

static void take_secret(struct blob_account *account, const json_t *answer)
{
    const char *sas = js_text(answer, "sasToken"), *key = js_text(answer, "key");
    if (*sas) {
        account->signing = BLOB_SAS;
        snprintf(account->secret, sizeof account->secret, "%s", *sas == '?' ? sas + 1 : sas);
    } else if (*key) {
        account->signing = BLOB_KEY;
        snprintf(account->secret, sizeof account->secret, "%s", key);
    }
}

int az_connection_access(struct az_connection *connection, struct error *error)
{
    char path[256];
    struct blob_account *account = &connection->account;
    account->web = connection->web;
    account->credential = connection->credential;
    account->signing = BLOB_BEARER;
    if (connection->bearer_only) return 0;
    snprintf(path, sizeof path, "/datastores/%s/listSecrets", connection->datastore);
    json_t *body = json_pack("{s:b, s:i}", "expirableSecret", 1, "expireAfterHours", 1);
    const struct arm_request request = {.method = "POST",
                                        .path = path,
                                        .version = ARM_VERSION_SECRETS,
                                        .body = body,
                                        .what = "asking for access to the storage"};
    struct arm_answer answer;
    struct error refused;
    int status = arm_call(&connection->arm, &request, &answer, &refused);
    json_decref(body);
    if (!status) take_secret(account, answer.body);
    json_decref(answer.body);
    /* Without the right to read secrets the user's own token may still do; trouble may not pass for
     * that. */
    if (!status || (answer.http >= 400 && answer.http < 500 && answer.http != 429)) return 0;
    *error = refused;
    return -1;
}

bool az_connection_refused_keys(struct az_connection *connection)
{
    if (strcmp(connection->account.refusal, "KeyBasedAuthenticationNotPermitted") != 0 ||
        connection->account.signing == BLOB_BEARER)
        return false;
    connection->bearer_only = true;
    return true;
}

static int add_workspace(void *list, const json_t *entry, struct error *error)
{
    struct az_workspace found = {0};
    if (sscanf(js_text(entry, "id"),
               "/subscriptions/%63[^/]/%*[^/]/%383[^/]/providers/%*[^/]/workspaces/%63[^/]",
               found.subscription, found.resource_group, found.name) != 3)
        return 0;
    json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "subscription_id", found.subscription,
                            "resource_group", found.resource_group, "workspace_name", found.name,
                            "location", js_text(entry, "location"));
    return row && json_array_append_new(list, row) == 0 ? 0 : error_set_memory(error, "a list");
}

struct workspace_search {
    struct arm *arm;
    json_t *list;
};

/* Appends the workspaces of one subscription. */
static int add_subscription(void *context, const json_t *entry, struct error *error)
{
    struct workspace_search *search = context;
    char root[256];
    const char *id = js_text(entry, "subscriptionId");
    if (strlen(id) != 36) return 0;
    snprintf(root, sizeof root,
             "/subscriptions/%s/providers/Microsoft.MachineLearningServices/workspaces", id);
    return arm_list(search->arm,
                    (struct arm_request){.root = root, .what = "asking for the workspaces"},
                    add_workspace, search->list, error);
}

int registry_workspaces(const struct registry_options *options, json_t **out, struct error *error)
{
    struct az_connection *connection;
    json_t *list = json_array();
    int status = az_connection_open(options, false, &connection, error);
    if (!status) {
        struct workspace_search search = {&connection->arm, list};
        status = arm_list(&connection->arm,
                          (struct arm_request){.root = "/subscriptions",
                                               .version = ARM_VERSION_SUBSCRIPTIONS,
                                               .what = "asking for the subscriptions"},
                          add_subscription, &search, error);
        az_connection_close(connection);
    }
    if (status) {
        json_decref(list);
        return -1;
    }
    *out = list;
    return 0;
}

int registry_workspace_check(const char *file, struct error *error)
{
    struct az_workspace workspace;
    return az_config_read(file, &workspace, error);
}

json_t *az_connection_describe(const struct registry_options *options)
{
    struct az_workspace workspace;
    struct error error;
    bool found = az_connection_workspace(options, &workspace, &error) == 0;
    json_t *ways = json_array();
    for (size_t i = 0; i < az_method_count; i++) {
        char text[256];
        bool available = az_methods[i].available(options, text, sizeof text);
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
