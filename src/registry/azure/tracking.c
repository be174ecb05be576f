#include "registry/azure/tracking.h"

#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "registry/azure/connection.h"

struct az_tracking {
    struct registry_options options; /* the sign-in's */
    char method[32];
    struct az_workspace workspace;
    struct az_connection *connection; /* NULL until the first request */
    bool fresh;                       /* the next request signs in anew */
    char base[640], host[300]; /* "https://HOST/mlflow/v2.0/subscriptions/…", "https://HOST" */
};

bool az_tracking_is(const char *text)
{
    return strcmp(text, "azureml") == 0 || strncmp(text, "azureml:", 8) == 0;
}

/* The three names in "…/subscriptions/S/resourceGroups/G/providers/…/workspaces/W". */
static int read_id(const char *text, struct az_workspace *out, struct error *error)
{
    const char *id = strstr(text, "/subscriptions/");
    *out = (struct az_workspace){.found_in = "the tracking address"};
    if (id &&
        sscanf(id, "/subscriptions/%63[^/]/%*[^/]/%383[^/]/providers/%*[^/]/workspaces/%63[^/?]",
               out->subscription, out->resource_group, out->name) == 3)
        return az_workspace_check(out, error);
    return error_set(error, ERROR_USAGE,
                     "the tracking address \"%.80s\" is not that of an Azure ML workspace: write "
                     "azureml for the workspace of config.json, or "
                     "azureml:/subscriptions/S/resourceGroups/G/providers/"
                     "Microsoft.MachineLearningServices/workspaces/W",
                     text);
}

int az_tracking_address(const struct registry_options *options, const char *text,
                        char out[AZ_TRACKING_ADDRESS], struct error *error)
{
    struct arm arm = {.web = NULL};
    char id[ARM_ID_SIZE];
    bool alone = strcmp(text, "azureml") == 0 || strcmp(text, "azureml:") == 0;
    if (alone ? az_connection_workspace(options, &arm.workspace, error)
              : read_id(text, &arm.workspace, error)) {
        error->code = ERROR_USAGE; /* of the word that was given */
        return -1;
    }
    arm_workspace_id(&arm, id);
    if ((size_t)snprintf(out, AZ_TRACKING_ADDRESS, "azureml:%s", id) < AZ_TRACKING_ADDRESS)
        return 0;
    return error_set(error, ERROR_USAGE, "the tracking address is too long");
}

/* "azureml://HOST/mlflow/v1.0/…" of the workspace into addresses for HTTP. The protocol of MLflow's
 * present clients has v2.0 there. */
static int take_uri(struct az_tracking *tracking, const char *uri, struct error *error)
{
    static const char start[] = "azureml://", old[] = "/mlflow/v1.0/";
    const char *host = strncmp(uri, start, sizeof start - 1) == 0 ? uri + sizeof start - 1 : NULL,
               *path = host ? strchr(host, '/') : NULL;
    struct buffer base;
    if (!path || (size_t)(path - host) >= sizeof tracking->host - 8)
        return error_set(
            error, ERROR_UNAVAILABLE,
            "the workspace %s does not say where its tracking server is: look at it in "
            "Azure ML",
            tracking->connection->arm.workspace.name);
    snprintf(tracking->host, sizeof tracking->host, "https://%.*s", (int)(path - host), host);
    bool is_old = strncmp(path, old, sizeof old - 1) == 0;
    char rest[640];
    snprintf(rest, sizeof rest, "%s%.*s", is_old ? "/mlflow/v2.0/" : "",
             (int)strcspn(is_old ? path + sizeof old - 1 : path, "?"),
             is_old ? path + sizeof old - 1 : path);
    buffer_init(&base, sizeof tracking->base);
    buffer_append_text(&base, tracking->host);
    web_escape(&base, rest, "/().");
    int status = buffer_check(&base, "the tracking server's address", error);
    if (!status) snprintf(tracking->base, sizeof tracking->base, "%s", base.data);
    buffer_free(&base);
    return status;
}

int az_tracking_create(const struct registry_options *options, const char *address,
                       struct az_tracking **out, struct error *error)
{
    struct az_tracking *tracking = calloc(1, sizeof *tracking);
    if (!tracking) return error_set_memory(error, "the tracking");
    if (read_id(address, &tracking->workspace, error)) {
        free(tracking);
        return -1;
    }
    tracking->options = *options;
    /* Nobody waits at a training's tracking: a user who signed in before counts, other ways are
     * found without one. */
    tracking->options.prompt = NULL;
    if (registry_signed_in(tracking->method) && !registry_given(options, REGISTRY_SIGN_IN))
        tracking->options.values[REGISTRY_SIGN_IN] = tracking->method;
    *out = tracking;
    return 0;
}

int az_tracking_connect(struct az_tracking *tracking, struct error *error)
{
    static const struct arm_request request = {.path = "", .what = "asking for the workspace"};
    struct arm_answer answer;
    if (tracking->connection) return 0;
    if (az_connection_open(&tracking->options, false, &tracking->connection, error)) {
        tracking->connection = NULL;
        return -1;
    }
    tracking->connection->arm.workspace = tracking->workspace;
    int status = arm_call(&tracking->connection->arm, &request, &answer, error);
    if (!status)
        status = take_uri(tracking,
                          js_text(json_object_get(answer.body, "properties"), "mlFlowTrackingUri"),
                          error);
    json_decref(answer.body);
    if (!status) return 0;
    az_connection_close(tracking->connection);
    tracking->connection = NULL;
    return -1;
}

void az_tracking_destroy(struct az_tracking *tracking)
{
    if (!tracking) return;
    az_connection_close(tracking->connection);
    free(tracking);
}

const char *az_tracking_base(const struct az_tracking *tracking)
{
    return tracking->base;
}

int az_tracking_token(struct az_tracking *tracking, bool fresh, const char **token,
                      struct error *error)
{
    const struct arm *arm = &tracking->connection->arm;
    return az_credential_token(arm->credential, arm->cloud.arm, fresh, token, error);
}

json_t *az_tracking_link(const struct az_tracking *tracking, const char *run_id)
{
    const struct arm *arm = &tracking->connection->arm;
    char id[ARM_ID_SIZE];
    arm_workspace_id(arm, id);
    return *arm->cloud.portal ? json_sprintf("%s/runs/%s?wsid=%s", arm->cloud.portal, run_id, id)
                              : json_null();
}

/* --- a run's files --- */

static int json_headers(void *context, struct web_headers *headers, struct error *error)
{
    struct az_tracking *tracking = context;
    const char *token;
    if (az_tracking_token(tracking, tracking->fresh, &token, error)) return -1;
    tracking->fresh = false;
    web_header(headers, "Authorization: Bearer %s", token);
    web_header(headers, "Content-Type: application/json");
    return 0;
}

/* The run's history as its artifact_uri names it, "…/experiments/E/runs/R/artifacts[/PREFIX]", and
 * the path of the file there. */
static int place_of(struct az_tracking *tracking, const struct az_artifact *artifact,
                    struct buffer *url, char path[512], struct error *error)
{
    char experiment[256], run[128], prefix[256] = "", id[ARM_ID_SIZE];
    const char *place = strstr(artifact->root, "/experiments/");
    if (!place || sscanf(place, "/experiments/%255[^/]/runs/%127[^/]/artifacts/%255s", experiment,
                         run, prefix) < 2)
        return error_set(error, ERROR_INPUT,
                         "the workspace keeps the run's files at %.120s, which is not known here: "
                         "upload the model in Azure ML",
                         artifact->root);
    arm_workspace_id(&tracking->connection->arm, id);
    buffer_printf(url, "%s/history/v1.0", tracking->host);
    web_escape(url, id, "/().");
    buffer_append_text(url, "/experiments/");
    web_escape(url, experiment, "%"); /* it is encoded in the address */
    buffer_printf(url, "/runs/%s/artifacts/batch/metadata", run);
    snprintf(path, 512, "%s%s%s", prefix, *prefix ? "/" : "", artifact->path);
    return buffer_check(url, "the address", error);
}

/* Asks for the place; its address, with a SAS, as the account and the blob's name in it. */
static int ask_place(struct az_tracking *tracking, const char *url, const char *path,
                     struct blob_account *account, char name[256], struct error *error)
{
    static const char what[] = "asking for a place for the run's file";
    json_t *body = json_pack("{s:[{s:s}]}", "paths", "path", path), *answered = NULL;
    char *text = js_dump(body);
    const struct web_request request = {.method = "POST",
                                        .url = url,
                                        .what = what,
                                        .body = text,
                                        .body_size = text ? strlen(text) : 0,
                                        .prepare = json_headers,
                                        .context = tracking};
    struct web_answer answer = {0};
    int status = text ? web_send(tracking->connection->web, &request, &answer, error)
                      : error_set_memory(error, "a request");
    if (!status && answer.status == 401) {
        web_answer_clear(&answer);
        tracking->fresh = true;
        status = web_send(tracking->connection->web, &request, &answer, error);
    }
    if (!status && answer.status != 200)
        status = error_set(error, answer.status >= 500 ? ERROR_UNAVAILABLE : ERROR_INPUT,
                           "%s: HTTP %d: ask for the role \"AzureML Data Scientist\" on the "
                           "workspace, or upload the model in Azure ML",
                           what, answer.status);
    if (!status) status = web_answer_json(&answer, what, &answered, error);
    const char *uri = js_text(
        json_object_get(json_object_get(answered, "artifactContentInformation"), path),
        "contentUri");
    size_t length = strcspn(uri, "?");
    const char *base = uri + length;
    while (base > uri && base[-1] != '/') base--;
    *account = (struct blob_account){.web = tracking->connection->web, .signing = BLOB_SAS};
    bool fits = uri[length] == '?' && base > uri && (size_t)(base - uri) <= sizeof account->url &&
                length - (size_t)(base - uri) < 256 &&
                strlen(uri + length) < sizeof account->secret;
    if (!status && !fits)
        status = error_set(error, ERROR_UNAVAILABLE, "%s: the service gives none: try again", what);
    if (!status) {
        snprintf(account->url, sizeof account->url, "%.*s", (int)(base - uri - 1), uri);
        snprintf(account->secret, sizeof account->secret, "%s", uri + length + 1);
        snprintf(name, 256, "%.*s", (int)(uri + length - base), base);
    }
    json_decref(answered);
    web_answer_clear(&answer);
    json_decref(body);
    free(text);
    return status;
}

int az_tracking_put(struct az_tracking *tracking, const struct az_artifact *artifact,
                    struct error *error)
{
    struct buffer url;
    struct blob_account account = {.web = NULL};
    char path[512], name[256];
    buffer_init(&url, 2048);
    int status = place_of(tracking, artifact, &url, path, error) ||
                         ask_place(tracking, url.data, path, &account, name, error)
                     ? -1
                     : 0;
    const struct blob_upload upload = {.path = name,
                                       .data = artifact->data,
                                       .size = artifact->size,
                                       .overwrite = true,
                                       .progress = artifact->progress,
                                       .context = artifact->context};
    if (!status) status = blob_put(&account, &upload, error);
    blob_account_clear(&account);
    buffer_free(&url);
    return status;
}
