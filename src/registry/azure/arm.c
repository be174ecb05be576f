#include "registry/azure/arm.h"

#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/random.h"

#define MAX_PAGES 20

void arm_workspace_id(const struct arm *arm, char out[ARM_ID_SIZE])
{
    snprintf(out, ARM_ID_SIZE,
             "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.MachineLearningServices/"
             "%s/%s",
             arm->workspace.subscription, arm->workspace.resource_group,
             arm->workspace.registry ? "registries" : "workspaces", arm->workspace.name);
}

const char *arm_place_question(const struct arm *arm)
{
    return arm->workspace.registry ? "asking for the registry" : "asking for the workspace";
}

struct arm_headers {
    const struct arm *arm;
    bool has_body, fresh;
};

static int arm_headers(void *context, struct web_headers *headers, struct error *error)
{
    struct arm_headers *own = context;
    const char *token;
    unsigned char id[16];
    if (az_credential_token(own->arm->credential, own->arm->cloud.arm, own->fresh, &token, error))
        return -1;
    own->fresh = false;
    random_fill(id, sizeof id);
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

/* What a refusal by Resource Manager or by Azure ML says. */
struct arm_refusal {
    char code[96], message[400];
    bool claims;   /* conditional access: the token lacks claims */
    bool of_place; /* a 404 of the subscription, the group or the workspace */
    bool registry; /* the place is one */
};

/* The codes with a fix of their own, and whether they are about the place. */
static const struct {
    const char *code, *fix;
    bool of_place;
} known_codes[] = {
    {"AuthorizationFailed", "ask for the role \"AzureML Data Scientist\" on the workspace", false},
    {"SubscriptionNotFound",
     "check subscription_id in config.json, and the tenant you signed in to", true},
    {"InvalidSubscriptionId", "check subscription_id in config.json", true},
    {"ResourceGroupNotFound", "check resource_group in config.json", true},
    {"InvalidAuthenticationTokenTenant", "sign in to the subscription's own tenant", false},
    {"ExpiredAuthenticationToken", "sign in again", false},
    {"SubscriptionNotRegistered",
     "register the provider Microsoft.MachineLearningServices in the subscription", false},
    {"RequestDisallowedByPolicy", "ask who keeps the subscription's policies", false},
    {"ScopeLocked", "ask who keeps the workspace's locks", false},
};

/* What has no code of its own, by words of the message. */
static const struct {
    const char *words, *fix;
} known_words[] = {
    {"already an endpoint with this name", "give the endpoint another name"},
    {"endpoint name", "give the endpoint another name"},
    {"Not enough quota", "choose a smaller machine or fewer of them, or ask for more quota"},
};

/* The first text in a value: itself, or of an array or an object the first member's. */
static const char *first_text(const json_t *value)
{
    const char *key, *found = json_string_value(value);
    json_t *member;
    size_t i;
    json_array_foreach((json_t *)value, i, member) {
        if (!found || !*found) found = first_text(member);
    }
    json_object_foreach((json_t *)value, key, member) {
        if (!found || !*found) found = first_text(member);
    }
    return found;
}

void arm_error_words(const json_t *error, char code[96], char message[400])
{
    const json_t *inner = error;
    snprintf(code, 96, "%s", js_text(error, "code"));
    for (const json_t *next = error; next && *js_text(next, "message");
         next = json_array_get(json_object_get(next, "details"), 0))
        inner = next;
    const char *text = js_text(inner, "message");
    json_t *packed = *text == '{' ? json_loads(text, 0, NULL) : NULL;
    const char *found = first_text(json_object_get(packed, "errors"));
    if (!found || !*found) found = first_text(json_object_get(packed, "error"));
    if (!found || !*found) found = json_string_value(json_object_get(packed, "title"));
    snprintf(message, 400, "%s", found && *found ? found : text);
    json_decref(packed);
}

static bool names_place(const char *message, const struct az_workspace *place)
{
    char text[160];
    snprintf(text, sizeof text, "Microsoft.MachineLearningServices/%s/%s'",
             place->registry ? "registries" : "workspaces", place->name);
    return strcasestr(message, text) != NULL;
}

static void read_refusal(const struct arm *arm, const struct web_answer *answer,
                         struct arm_refusal *out)
{
    *out = (struct arm_refusal){.registry = arm->workspace.registry};
    json_t *object = json_loadb(answer->body.data ? answer->body.data : "", answer->body.length, 0,
                                NULL);
    arm_error_words(json_object_get(object, "error"), out->code, out->message);
    json_decref(object);
    out->claims = strstr(answer->www_authenticate, "insufficient_claims") != NULL;
    for (size_t i = 0; i < sizeof known_codes / sizeof known_codes[0]; i++)
        if (strcmp(out->code, known_codes[i].code) == 0) out->of_place = known_codes[i].of_place;
    if (strcmp(out->code, "ResourceNotFound") == 0 && names_place(out->message, &arm->workspace))
        out->of_place = true;
}

/* What each refusal asks of the user. */
static const char *fix_for(const struct arm_refusal *refusal, int status)
{
    if (refusal->claims) return AZ_OTHER_SIGN_INS;
    if (refusal->registry && status == 403)
        return "ask for the role \"AzureML Registry User\" on the registry";
    if (refusal->registry && refusal->of_place) return "check the registry's name";
    for (size_t i = 0; i < sizeof known_codes / sizeof known_codes[0]; i++)
        if (strcmp(refusal->code, known_codes[i].code) == 0) return known_codes[i].fix;
    for (size_t i = 0; i < sizeof known_words / sizeof known_words[0]; i++)
        if (strstr(refusal->message, known_words[i].words)) return known_words[i].fix;
    if (status >= 300 && status < 400)
        return "the address redirects elsewhere, which is not followed: check it, and any proxy in "
               "between";
    switch (status) {
    case 401:
        return "sign in again";
    case 403:
        return "ask for the role \"AzureML Data Scientist\" on the workspace";
    case 404:
        return !refusal->code[0]   ? "check the address and any proxy in between"
               : refusal->of_place ? "check workspace_name in config.json"
                                   : "check the name and the version";
    case 429:
        return "wait a little, then try again";
    default:
        return status >= 500 ? "the service has trouble: try again later, what was done is kept"
                             : "see what the service says";
    }
}

static int describe_refusal(const struct web_answer *answer, const struct arm_refusal *refusal,
                            const char *what, struct error *error)
{
    char text[400] = "";
    if (refusal->message[0])
        snprintf(text, sizeof text, ": %.*s", (int)strcspn(refusal->message, "\r\n"),
                 refusal->message);
    size_t length = strlen(text);
    while (length && strchr(". ", text[length - 1])) text[--length] = '\0';
    enum error_code kind = answer->status == 401 || answer->status == 403  ? ERROR_DENIED
                           : answer->status == 404                         ? ERROR_NOT_FOUND
                           : answer->status == 409                         ? ERROR_CONFLICT
                           : answer->status < 500 && answer->status != 429 ? ERROR_INPUT
                                                                           : ERROR_UNAVAILABLE;
    return error_set(error, kind, "%s: HTTP %d%s%s%s: %s%s%s%s", what, answer->status,
                     refusal->code[0] ? " " : "", refusal->code, text,
                     fix_for(refusal, answer->status), answer->request_id[0] ? " (request id " : "",
                     answer->request_id, answer->request_id[0] ? ")" : "");
}

static int make_url(const struct arm *arm, const struct arm_request *request, struct buffer *url,
                    struct error *error)
{
    size_t length = strlen(arm->cloud.arm);
    if (request->url) {
        if (strncmp(request->url, arm->cloud.arm, length) != 0 || request->url[length] != '/')
            return error_set(error, ERROR_DENIED,
                             "%s: the service points elsewhere (%s): not followed", request->what,
                             web_public_url(request->url));
        buffer_append_text(url, request->url);
        return buffer_check(url, "the address", error);
    }
    char id[ARM_ID_SIZE];
    arm_workspace_id(arm, id);
    buffer_append_text(url, arm->cloud.arm);
    web_escape(url, request->root ? request->root : id, "/()");
    if (!request->root) web_escape(url, request->path, "/()");
    buffer_printf(url, "?api-version=%s%s%s", request->version ? request->version : ARM_VERSION,
                  request->query ? "&" : "", request->query ? request->query : "");
    return buffer_check(url, "the address", error);
}

/* A 404: of what was asked for (true), or of the place it should be in. The workspace is asked for
 * when nothing else tells. */
static bool is_absent(struct arm *arm, const struct arm_request *request,
                      const struct arm_refusal *refusal, struct error *error, int *status)
{
    *status = 0;
    if (!request->may_be_absent || refusal->of_place || !refusal->code[0]) return false;
    if (arm->workspace_seen) return true;
    struct arm_answer workspace = {0};
    *status = arm_call(arm, &(struct arm_request){.path = "", .what = arm_place_question(arm)},
                       &workspace, error);
    json_decref(workspace.body);
    return *status == 0;
}

static int take_answer(struct arm *arm, const struct arm_request *request,
                       const struct web_answer *sent, struct arm_answer *out, struct error *error)
{
    out->http = sent->status;
    snprintf(out->operation, sizeof out->operation, "%s", sent->operation);
    snprintf(out->location, sizeof out->location, "%s", sent->location);
    if (!web_answer_pause(sent, &out->pause)) out->pause = -1;
    if (sent->status >= 200 && sent->status < 300) {
        if (!request->root && !request->url && !*request->path) arm->workspace_seen = true;
        if (sent->body.length) return web_answer_json(sent, request->what, &out->body, error);
        out->body = json_object();
        return out->body ? 0 : error_set_memory(error, "an answer");
    }
    struct arm_refusal refusal;
    int status = 0;
    read_refusal(arm, sent, &refusal);
    bool absent = sent->status == 404 && is_absent(arm, request, &refusal, error, &status);
    if (!absent && !status) status = describe_refusal(sent, &refusal, request->what, error);
    return status;
}

int arm_call(struct arm *arm, const struct arm_request *request, struct arm_answer *out,
             struct error *error)
{
    struct buffer url;
    char *text = request->body ? js_dump(request->body) : NULL;
    struct arm_headers headers = {.arm = arm, .has_body = request->body != NULL};
    struct web_answer answer = {0};
    *out = (struct arm_answer){0};
    buffer_init(&url, 8192);
    int status = request->body && !text ? error_set_memory(error, "a request")
                                        : make_url(arm, request, &url, error);
    struct web_request sent = {.method = request->method ? request->method : "GET",
                               .url = url.data,
                               .what = request->what,
                               .body = text,
                               .body_size = text ? strlen(text) : 0,
                               .prepare = arm_headers,
                               .context = &headers};
    if (!status) status = web_send(arm->web, &sent, &answer, error);
    if (!status && answer.status == 401 &&
        !strstr(answer.www_authenticate, "insufficient_claims")) {
        web_answer_clear(&answer);
        headers.fresh = true;
        status = web_send(arm->web, &sent, &answer, error);
    }
    if (!status) status = take_answer(arm, request, &answer, out, error);
    web_answer_clear(&answer);
    buffer_free(&url);
    free(text);
    return status;
}

int arm_list(struct arm *arm, struct arm_request request,
             int (*row)(void *context, const json_t *entry, struct error *error), void *context,
             struct error *error)
{
    char *next = NULL;
    int status = 0;
    for (int page = 0; !status && page < MAX_PAGES; page++) {
        struct arm_answer answer;
        const json_t *entry;
        size_t i;
        status = arm_call(arm, &request, &answer, error);
        json_array_foreach(json_object_get(answer.body, "value"), i, entry) {
            if (!status) status = row(context, entry, error);
        }
        const char *link = json_string_value(json_object_get(answer.body, "nextLink"));
        free(next);
        next = link && *link ? strdup(link) : NULL;
        json_decref(answer.body);
        if (!next) break;
        request.url = next;
    }
    free(next);
    return status;
}
