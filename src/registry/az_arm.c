#include "registry/az_arm.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

void arm_workspace_id(const struct arm *arm, char out[512])
{
    snprintf(out, 512,
             "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.MachineLearningServices/"
             "workspaces/%s",
             arm->workspace.subscription, arm->workspace.resource_group, arm->workspace.name);
}

struct arm_headers {
    const struct arm *arm;
    bool has_body, fresh;
};

static int arm_headers(void *context, struct web_headers *headers, struct error *error)
{
    struct arm_headers *own = context;
    const char *token;
    unsigned char id[16] = {0};
    if (az_credential_token(own->arm->credential, own->arm->cloud.arm, own->fresh, &token, error))
        return -1;
    own->fresh = false;
    RAND_bytes(id, sizeof id);
    web_header(headers, "Authorization: Bearer %s", token);
    web_header(headers, "Accept: application/json");
    web_header(headers,
               "x-ms-client-request-id: "
               "%02x%02x%02x%02x-%02x%02x-4%01x%02x-a%01x%02x-%02x%02x%02x%02x%02x%02x",
               id[0], id[1], id[2], id[3], id[4], id[5], id[6] & 15, id[7], id[8] & 15, id[9],
               id[10], id[11], id[12], id[13], id[14], id[15]);
    if (own->has_body) web_header(headers, "Content-Type: application/json");
    return 0;
}

/* What each refusal asks of the person. */
static const char *mend_of(int status, const char *code)
{
    static const struct {
        const char *code, *mend;
    } codes[] = {
        {"AuthorizationFailed", "ask for the role \"AzureML Data Scientist\" on the workspace"},
        {"SubscriptionNotFound",
         "check subscription_id in config.json, and the tenant you signed in to"},
        {"ResourceGroupNotFound", "check resource_group in config.json"},
        {"ResourceNotFound", "check workspace_name in config.json"},
        {"InvalidAuthenticationTokenTenant", "sign in to the subscription's own tenant"},
        {"ExpiredAuthenticationToken", "sign in again"},
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(code, codes[i].code) == 0) return codes[i].mend;
    if (status >= 300 && status < 400)
        return "the address redirects elsewhere, which is not followed: check it, and any proxy in "
               "between";
    switch (status) {
    case 401:
        return "sign in again";
    case 403:
        return "ask for the role \"AzureML Data Scientist\" on the workspace";
    case 404:
        return "check the names in config.json";
    case 429:
        return "wait a little, then try again";
    default:
        return status >= 500 ? "the service has trouble: try again later, what was done is kept"
                             : "see what the service says";
    }
}

static int describe_arm_error(const struct web_answer *answer, const char *what,
                              struct error *error)
{
    json_t *object = json_loadb(answer->body.data ? answer->body.data : "", answer->body.length, 0,
                                NULL);
    const json_t *inner = json_object_get(object, "error");
    const char *code = json_string_value(json_object_get(inner, "code"));
    const char *message = json_string_value(json_object_get(inner, "message"));
    char text[400] = "";
    if (message) snprintf(text, sizeof text, ": %.*s", (int)strcspn(message, "\r\n"), message);
    size_t length = strlen(text);
    while (length && strchr(". ", text[length - 1])) text[--length] = '\0';
    enum error_code kind = answer->status == 401 || answer->status == 403  ? ERROR_DENIED
                           : answer->status == 404                         ? ERROR_NOT_FOUND
                           : answer->status == 409                         ? ERROR_CONFLICT
                           : answer->status < 500 && answer->status != 429 ? ERROR_INPUT
                                                                           : ERROR_UNAVAILABLE;
    error_set(error, kind, "%s: HTTP %d%s%s%s: %s%s%s%s", what, answer->status, code ? " " : "",
              code ? code : "", text, mend_of(answer->status, code ? code : ""),
              answer->request_id[0] ? " (request id " : "", answer->request_id,
              answer->request_id[0] ? ")" : "");
    json_decref(object);
    return -1;
}

static bool is_allowed(int status, const int *allowed)
{
    if (status >= 200 && status < 300) return true;
    for (; allowed && *allowed; allowed++)
        if (*allowed == status) return true;
    return false;
}

static int send_to_arm(const struct arm *arm, const char *method, const char *url,
                       const json_t *body, const int *allowed, const char *what, int *http,
                       json_t **out, struct error *error)
{
    char *text = body ? js_dump(body) : NULL;
    struct arm_headers headers = {.arm = arm, .has_body = body != NULL};
    struct web_request request = {.method = method,
                                  .url = url,
                                  .what = what,
                                  .body = text,
                                  .body_size = text ? strlen(text) : 0,
                                  .prepare = arm_headers,
                                  .context = &headers};
    struct web_answer answer = {0};
    int status = body && !text ? error_set_memory(error, "a request")
                               : web_send(arm->web, &request, &answer, error);
    if (!status && answer.status == 401) {
        web_answer_clear(&answer);
        headers.fresh = true;
        status = web_send(arm->web, &request, &answer, error);
    }
    if (!status) {
        *http = answer.status;
        if (!is_allowed(answer.status, allowed)) {
            status = describe_arm_error(&answer, what, error);
        } else if (out && answer.body.length) {
            status = web_answer_json(&answer, what, out, error);
        } else if (out) {
            *out = json_object();
        }
    }
    web_answer_clear(&answer);
    free(text);
    return status;
}

int arm_call(const struct arm *arm, const char *method, const char *path, const char *version,
             const char *query, const json_t *body, const int *allowed, const char *what, int *http,
             json_t **out, struct error *error)
{
    char url[2048];
    int length = snprintf(url, sizeof url, "%s%s?api-version=%s%s%s", arm->cloud.arm, path, version,
                          query ? "&" : "", query ? query : "");
    if (length < 0 || (size_t)length >= sizeof url)
        return error_set(error, ERROR_INPUT, "%s: the address is too long", what);
    return send_to_arm(arm, method, url, body, allowed, what, http, out, error);
}

int arm_get_url(const struct arm *arm, const char *url, const char *what, int *http, json_t **out,
                struct error *error)
{
    size_t length = strlen(arm->cloud.arm);
    if (strncmp(url, arm->cloud.arm, length) != 0 || url[length] != '/')
        return error_set(error, ERROR_DENIED, "%s: the service points elsewhere (%s): not followed",
                         what, web_public_url(url));
    return send_to_arm(arm, "GET", url, NULL, NULL, what, http, out, error);
}
