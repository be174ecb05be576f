#include "registry/azure/shared.h"

#include <string.h>

#include "base/js.h"

static int bearer_headers(void *context, struct web_headers *headers, struct error *error)
{
    struct arm *arm = context;
    const char *token;
    if (az_credential_token(arm->credential, arm->cloud.arm, false, &token, error)) return -1;
    web_header(headers, "Authorization: Bearer %s", token);
    web_header(headers, "Accept: application/json");
    return 0;
}

/* {"subscriptionId","resourceGroup",…} of the discovery service. */
static int take_place(struct arm *arm, const json_t *answer, struct error *error)
{
    struct az_workspace *place = &arm->workspace;
    snprintf(place->subscription, sizeof place->subscription, "%s",
             js_text(answer, "subscriptionId"));
    snprintf(place->resource_group, sizeof place->resource_group, "%s",
             js_text(answer, "resourceGroup"));
    if (az_workspace_check(place, error) == 0) return 0;
    return error_prefix(error, "asking where the registry %s is", place->name);
}

int az_registry_find(struct arm *arm, struct error *error)
{
    static const char what[] = "asking where the registry is";
    char url[512];
    json_t *body = NULL;
    struct web_answer answer = {0};
    const struct web_request request = {
        .method = "GET", .url = url, .what = what, .prepare = bearer_headers, .context = arm};
    if (!*arm->cloud.discovery)
        return error_set(error, ERROR_UNAVAILABLE,
                         "it is not known where the cloud %s lists its registries: set "
                         "REGISTRY_DISCOVERY_ENDPOINT_URL",
                         arm->cloud.name);
    snprintf(url, sizeof url, "%s/registrymanagement/v1.0/registries/%s/discovery?api-version=v1.0",
             arm->cloud.discovery, arm->workspace.name);
    int status = web_send(arm->web, &request, &answer, error);
    if (!status && answer.status == 404)
        status = error_set(error, ERROR_NOT_FOUND,
                           "there is no registry %s that this user may see: check its name and the "
                           "tenant you signed in to",
                           arm->workspace.name);
    else if (!status && (answer.status == 401 || answer.status == 403))
        status = error_set(
            error, ERROR_DENIED,
            "%s: HTTP %d: ask for the role \"AzureML Registry User\" on the registry "
            "%s",
            what, answer.status, arm->workspace.name);
    else if (!status && answer.status != 200)
        status = error_set(error, ERROR_UNAVAILABLE, "%s: HTTP %d: try again later", what,
                           answer.status);
    if (!status) status = web_answer_json(&answer, what, &body, error);
    if (!status) status = take_place(arm, body, error);
    json_decref(body);
    web_answer_clear(&answer);
    return status;
}

/* "https://ACCOUNT.blob.…/CONTAINER/PATH": where PATH begins, or NULL. */
static const char *path_in_container(const char *uri)
{
    const char *host = strstr(uri, "://"), *container = host ? strchr(host + 3, '/') : NULL,
               *path = container ? strchr(container + 1, '/') : NULL;
    return path && path[1] ? path + 1 : NULL;
}

int az_registry_access(struct az_connection *connection, const char *name, const char *version,
                       const char *uri, const char **path, struct error *error)
{
    struct blob_account *account = &connection->account;
    char place[448];
    struct arm_answer answer;
    *path = path_in_container(uri);
    if (!*path)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the model lies at \"%.200s\", which is not a file in a storage: download "
                         "it in Azure ML",
                         uri);
    json_t *body = json_pack("{s:o, s:s}", "assetId",
                             json_sprintf("azureml://registries/%s/models/%s/versions/%s",
                                          connection->arm.workspace.name, name, version),
                             "blobUri", uri);
    snprintf(place, sizeof place, "/datareferences/%s/versions/%s", name, version);
    int status = arm_call(
        &connection->arm,
        &(struct arm_request){
            .method = "POST", .path = place, .body = body, .what = "asking for access to the file"},
        &answer, error);
    json_decref(body);
    if (status) return -1;
    const char *sas = strchr(
        js_text(json_object_get(json_object_get(answer.body, "blobReferenceForConsumption"),
                                "credential"),
                "sasUri"),
        '?');
    size_t length = (size_t)(*path - uri) - 1;
    account->web = connection->web;
    account->credential = connection->credential;
    account->signing = BLOB_SAS;
    if (!sas || length >= sizeof account->url || strlen(sas) >= sizeof account->secret) {
        status = error_set(error, ERROR_UNAVAILABLE,
                           "asking for access to the file: the service gives no signature: "
                           "download it in Azure ML");
    } else {
        snprintf(account->url, sizeof account->url, "%.*s", (int)length, uri);
        snprintf(account->secret, sizeof account->secret, "%s", sas + 1);
    }
    json_decref(answer.body);
    return status;
}
