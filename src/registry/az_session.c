#include "registry/az_session.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PAGES 20

static const char *given(const char *option, const char *variable)
{
    if (option && *option) return option;
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

int az_session_workspace(const struct registry_options *options, struct az_workspace *out,
                         struct error *error)
{
    const char *subscription = given(options->subscription, "AZURE_SUBSCRIPTION_ID");
    const char *group = given(options->resource_group, "AZURE_RESOURCE_GROUP");
    const char *name = given(options->workspace, "AZUREML_WORKSPACE_NAME");
    /* A file that was named wins over the environment; what was typed wins over both. */
    bool typed = options->subscription && *options->subscription && options->resource_group &&
                 *options->resource_group && options->workspace && *options->workspace;
    bool file_named = options->config && *options->config;
    if (subscription && group && name && (typed || !file_named)) {
        *out = (struct az_workspace){0};
        snprintf(out->subscription, sizeof out->subscription, "%s", subscription);
        snprintf(out->resource_group, sizeof out->resource_group, "%s", group);
        snprintf(out->name, sizeof out->name, "%s", name);
        snprintf(out->found_in, sizeof out->found_in, "%s",
                 typed ? "what was given" : "the environment");
        return az_workspace_check(out, error);
    }
    return az_config_find(file_named ? options->config : NULL, out, error);
}

int az_session_open(const struct registry_options *options, bool need_workspace,
                    struct az_session **out, struct error *error)
{
    struct az_session *session = calloc(1, sizeof *session);
    struct web_options web = {
        .ca_file = options->ca_file, .cancelled = options->cancelled, .context = options->context};
    if (!session) return error_set_memory(error, "the connection to Azure");
    if ((need_workspace && az_session_workspace(options, &session->arm.workspace, error)) ||
        web_create(&web, &session->web, error) ||
        az_cloud_find(session->web, &session->arm.cloud, error) ||
        az_credential_create(session->web, &session->arm.cloud, &options->sign_in,
                             &session->credential, error)) {
        az_session_close(session);
        return -1;
    }
    session->arm.web = session->web;
    session->arm.credential = session->credential;
    *out = session;
    return 0;
}

void az_session_close(struct az_session *session)
{
    if (!session) return;
    blob_account_clear(&session->account);
    az_credential_destroy(session->credential);
    web_destroy(session->web);
    free(session);
}

int az_session_check(struct az_session *session, struct error *error)
{
    char path[512];
    json_t *answer = NULL;
    int http = 0;
    arm_workspace_id(&session->arm, path);
    if (arm_call(&session->arm, "GET", path, ARM_VERSION, NULL, NULL, NULL,
                 "asking for the workspace", &http, &answer, error))
        return -1;
    bool legacy = json_is_true(
        json_object_get(json_object_get(answer, "properties"), "v1LegacyMode"));
    json_decref(answer);
    if (!legacy) return 0;
    return error_set(
        error, ERROR_UNAVAILABLE,
        "the workspace %s is in v1 legacy mode: switch v1LegacyMode off, then try again",
        session->arm.workspace.name);
}

static const char *text_member(const json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : otherwise;
}

/* What a datastore's properties say about where its blobs are. */
static int read_datastore(struct az_session *session, const json_t *datastore, struct error *error)
{
    const json_t *properties = json_object_get(datastore, "properties");
    const char *type = text_member(properties, "datastoreType", ""),
               *account = text_member(properties, "accountName", "");
    const char *container = text_member(properties, "containerName",
                                        text_member(properties, "filesystem", ""));
    const char *name = text_member(datastore, "name", "");
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
    const char *credentials = text_member(json_object_get(properties, "credentials"),
                                          "credentialsType", "None");
    if (strcmp(credentials, "ServicePrincipal") == 0 || strcmp(credentials, "Certificate") == 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the datastore \"%.60s\" signs in by %s, which is not supported: give it "
                         "an account key or a SAS",
                         name, credentials);
    session->bearer_only = strcmp(credentials, "None") == 0;
    snprintf(session->datastore, sizeof session->datastore, "%s", name);
    snprintf(session->account.account, sizeof session->account.account, "%s", account);
    snprintf(session->account.url, sizeof session->account.url, "%s://%s.blob.%s/%s",
             text_member(properties, "protocol", "https"), account,
             text_member(properties, "endpoint", session->arm.cloud.storage_suffix), container);
    return 0;
}

int az_session_datastore(struct az_session *session, const char *name, struct error *error)
{
    char id[512], path[768];
    json_t *answer = NULL;
    int http = 0;
    arm_workspace_id(&session->arm, id);
    snprintf(path, sizeof path, "%s/datastores%s%s", id, name ? "/" : "", name ? name : "");
    if (arm_call(&session->arm, "GET", path, ARM_VERSION, name ? NULL : "isDefault=true", NULL,
                 NULL, "asking for the workspace's storage", &http, &answer, error))
        return -1;
    const json_t *datastore = name ? answer : json_array_get(json_object_get(answer, "value"), 0);
    int status = datastore
                     ? read_datastore(session, datastore, error)
                     : error_set(error, ERROR_UNAVAILABLE,
                                 "the workspace has no default datastore: set one in Azure ML");
    json_decref(answer);
    return status;
}

int az_session_access(struct az_session *session, struct error *error)
{
    char id[512], path[768];
    json_t *answer = NULL;
    int http = 0;
    struct blob_account *account = &session->account;
    account->credential = session->credential;
    account->signing = BLOB_BEARER;
    if (session->bearer_only) return 0;
    arm_workspace_id(&session->arm, id);
    snprintf(path, sizeof path, "%s/datastores/%s/listSecrets", id, session->datastore);
    json_t *body = json_pack("{s:b, s:i}", "expirableSecret", 1, "expireAfterHours", 1);
    struct error refused;
    int status = arm_call(&session->arm, "POST", path, ARM_VERSION_SECRETS, NULL, body, NULL,
                          "asking for access to the storage", &http, &answer, &refused);
    json_decref(body);
    if (status) {
        /* Without the right to read secrets the person's own token may still do; trouble may not
         * pass for that. */
        if (http >= 400 && http < 500 && http != 429) return 0;
        *error = refused;
        return -1;
    }
    const char *sas = json_string_value(json_object_get(answer, "sasToken")),
               *key = json_string_value(json_object_get(answer, "key"));
    if (sas && *sas) {
        account->signing = BLOB_SAS;
        snprintf(account->secret, sizeof account->secret, "%s", *sas == '?' ? sas + 1 : sas);
    } else if (key && *key) {
        account->signing = BLOB_KEY;
        snprintf(account->secret, sizeof account->secret, "%s", key);
    }
    json_decref(answer);
    return 0;
}

/* Appends the workspaces of one subscription. */
static int add_workspaces(struct az_session *session, const char *subscription, json_t *list,
                          struct error *error)
{
    char path[256];
    json_t *answer = NULL;
    int http = 0;
    snprintf(path, sizeof path,
             "/subscriptions/%s/providers/Microsoft.MachineLearningServices/workspaces",
             subscription);
    int status = arm_call(&session->arm, "GET", path, ARM_VERSION, NULL, NULL, NULL,
                          "asking for the workspaces", &http, &answer, error);
    for (int page = 0; !status; page++) {
        size_t i;
        const json_t *entry;
        json_array_foreach(json_object_get(answer, "value"), i, entry) {
            struct az_workspace found = {0};
            const char *id = text_member(entry, "id", "");
            if (sscanf(id,
                       "/subscriptions/%63[^/]/%*[^/]/%127[^/]/providers/%*[^/]/workspaces/%63[^/]",
                       found.subscription, found.resource_group, found.name) != 3)
                continue;
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:s, s:s}", "subscription_id", found.subscription,
                                "resource_group", found.resource_group, "workspace_name",
                                found.name, "location", text_member(entry, "location", "")));
        }
        const char *next = json_string_value(json_object_get(answer, "nextLink"));
        if (!next || !*next || page >= MAX_PAGES) break;
        char *url = strdup(next);
        json_decref(answer);
        answer = NULL;
        status = url ? arm_get_url(&session->arm, url, "asking for the workspaces", &http, &answer,
                                   error)
                     : error_set_memory(error, "an address");
        free(url);
    }
    json_decref(answer);
    return status;
}

int az_list_workspaces(const struct registry_options *options, json_t **out, struct error *error)
{
    struct az_session *session;
    json_t *answer = NULL, *list = json_array();
    const json_t *entry;
    size_t i;
    int http = 0;
    if (az_session_open(options, false, &session, error)) {
        json_decref(list);
        return -1;
    }
    int status = arm_call(&session->arm, "GET", "/subscriptions", "2022-12-01", NULL, NULL, NULL,
                          "asking for the subscriptions", &http, &answer, error);
    json_array_foreach(json_object_get(answer, "value"), i, entry) {
        const char *id = text_member(entry, "subscriptionId", "");
        if (!status && strlen(id) == 36) status = add_workspaces(session, id, list, error);
    }
    json_decref(answer);
    az_session_close(session);
    if (status) {
        json_decref(list);
        return -1;
    }
    *out = list;
    return 0;
}
