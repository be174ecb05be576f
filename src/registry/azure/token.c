/* The credential: the chain of ways, the cache, and what all OAuth requests share. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/js.h"
#include "registry/azure/token_impl.h"
#include "registry/targets.h"

#define RENEW_BEFORE 300.0

static bool have(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool is_known(const struct registry_options *options)
{
    return registry_value(options, REGISTRY_TENANT) && registry_value(options, REGISTRY_CLIENT_ID);
}

static bool service_principal_available(const struct registry_options *options, char *found,
                                        size_t size)
{
    bool secret = have("AZURE_CLIENT_SECRET"), file = have("AZURE_CLIENT_CERTIFICATE_PATH");
    bool there = is_known(options) && (secret || file);
    snprintf(found, size, "%s",
             there && secret ? "AZURE_CLIENT_ID with a secret in the environment"
             : there         ? "AZURE_CLIENT_ID with a certificate in the environment"
                             : "needs AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or "
                               "AZURE_CLIENT_CERTIFICATE_PATH in the environment");
    return there;
}

static bool workload_available(const struct registry_options *options, char *found, size_t size)
{
    bool there = is_known(options) && have("AZURE_FEDERATED_TOKEN_FILE");
    snprintf(found, size, "%s",
             there ? "AZURE_FEDERATED_TOKEN_FILE in the environment"
                   : "needs AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE in the "
                     "environment");
    return there;
}

/* Half of what a way needs was set on purpose: it is named, not passed over for another way. */
static int check_halves(const struct registry_options *options, struct error *error)
{
    static const char *const marks[] = {"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH",
                                        "AZURE_FEDERATED_TOKEN_FILE"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (!have(marks[i]) || is_known(options)) continue;
        const char *missing = registry_value(options, REGISTRY_TENANT) ? "AZURE_CLIENT_ID"
                                                                       : "AZURE_TENANT_ID";
        return error_set(error, ERROR_DENIED, "%s is set without %s: set it, or unset %s", marks[i],
                         missing, marks[i]);
    }
    if (have("AZURE_USERNAME") && have("AZURE_PASSWORD") && !have("AZURE_CLIENT_SECRET") &&
        !have("AZURE_CLIENT_CERTIFICATE_PATH"))
        return error_set(error, ERROR_DENIED,
                         "signing in by AZURE_USERNAME and AZURE_PASSWORD is not supported: unset "
                         "them, and sign in by browser or device-code");
    return 0;
}

static bool managed_available(const struct registry_options *options, char *found, size_t size)
{
    bool variables = az_identity_is_set();
    const char *way = registry_given(options, REGISTRY_SIGN_IN);
    bool chosen = way && strcmp(way, "managed-identity") == 0;
    snprintf(found, size, "%s",
             variables ? "an identity endpoint in the environment"
                       : "on an Azure machine: asked when it is chosen (the identity service at "
                         "169.254.169.254)");
    return variables || chosen;
}

static bool cli_available(const struct registry_options *options, char *found, size_t size)
{
    (void)options;
    const char *path = getenv("PATH");
    for (const char *place = path ? path : ""; *place;) {
        char file[4200];
        size_t length = strcspn(place, ":");
        snprintf(file, sizeof file, "%.*s/az", (int)(length < 4096 ? length : 4096), place);
        FILE *program = fopen(file, "re");
        if (program) {
            fclose(program);
            snprintf(found, size, "the Azure CLI: %s", file);
            return true;
        }
        place += length + (place[length] == ':');
    }
    snprintf(found, size, "the Azure CLI (az) is not on the PATH");
    return false;
}

static bool user_available(const struct registry_options *options, char *found, size_t size)
{
    snprintf(found, size, "%s",
             options->prompt ? "you sign in on Microsoft's page" : "needs a user at a browser");
    return options->prompt != NULL;
}

const struct az_method az_methods[] = {
    {"service-principal", "Service principal", false, true, service_principal_available},
    {"workload-identity", "Workload identity", false, true, workload_available},
    {"managed-identity", "Managed identity", false, true, managed_available},
    {"azure-cli", "Azure CLI", false, false, cli_available},
    {"device-code", "Device code", true, false, user_available},
    {"browser", "Browser", true, false, user_available},
};
const size_t az_method_count = sizeof az_methods / sizeof az_methods[0];

typedef int get_fn(struct az_credential *, const char *, struct az_grant *, struct error *);
static get_fn *const getters[] = {az_get_service_principal, az_get_workload,
                                  az_get_managed_identity,  az_get_cli,
                                  az_get_device_code,       az_get_browser};

/* A user's sign-in, kept in memory so that one who picks a workspace and then registers signs in
 * once. */
static struct {
    pthread_mutex_t mutex;
    char whose[640], method[32], refresh[TOKEN_MAX]; /* "" when there is none */
} kept = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void name_owner(const struct az_credential *credential, char out[640])
{
    snprintf(out, 640, "%s %s %s", credential->cloud.authority, credential->tenant,
             credential->client_id);
}

static void keep_sign_in(const struct az_credential *credential)
{
    pthread_mutex_lock(&kept.mutex);
    name_owner(credential, kept.whose);
    memcpy(kept.method, credential->method, sizeof kept.method);
    memcpy(kept.refresh, credential->refresh, sizeof kept.refresh);
    pthread_mutex_unlock(&kept.mutex);
}

static void take_kept_sign_in(struct az_credential *credential)
{
    char whose[640];
    name_owner(credential, whose);
    pthread_mutex_lock(&kept.mutex);
    if (kept.refresh[0] && credential->chosen && strcmp(kept.method, credential->chosen) == 0 &&
        strcmp(kept.whose, whose) == 0) {
        memcpy(credential->refresh, kept.refresh, sizeof kept.refresh);
        memcpy(credential->method, kept.method, sizeof kept.method);
    }
    pthread_mutex_unlock(&kept.mutex);
}

bool registry_signed_in(char method[32])
{
    pthread_mutex_lock(&kept.mutex);
    bool there = kept.refresh[0] != '\0';
    memcpy(method, kept.method, sizeof kept.method);
    pthread_mutex_unlock(&kept.mutex);
    return there;
}

void registry_sign_out(void)
{
    pthread_mutex_lock(&kept.mutex);
    explicit_bzero(kept.refresh, sizeof kept.refresh);
    pthread_mutex_unlock(&kept.mutex);
}

const char *const *azure_sign_in_choices(void)
{
    static const char *words[sizeof az_methods / sizeof az_methods[0] + 2] = {"auto"};
    for (size_t i = 0; i < az_method_count; i++) words[i + 1] = az_methods[i].id;
    return words;
}

static void set_authority(struct az_credential *credential, const char *host)
{
    size_t length = strlen(host);
    while (length && host[length - 1] == '/') length--;
    snprintf(credential->cloud.authority, sizeof credential->cloud.authority, "%s%.*s",
             strstr(host, "://") ? "" : "https://", (int)length, host);
}

int az_credential_create(struct web *web, const struct az_cloud *cloud,
                         const struct registry_options *options, struct az_credential **out,
                         struct error *error)
{
    struct az_credential *credential = calloc(1, sizeof *credential);
    if (!credential) return error_set_memory(error, "the sign-in");
    const char *way = registry_given(options, REGISTRY_SIGN_IN),
               *tenant = registry_value(options, REGISTRY_TENANT),
               *client = registry_value(options, REGISTRY_CLIENT_ID),
               *host = getenv("AZURE_AUTHORITY_HOST");
    credential->web = web;
    credential->cloud = *cloud;
    credential->options = options;
    credential->chosen = way && strcmp(way, "auto") != 0 ? way : NULL;
    snprintf(credential->tenant, sizeof credential->tenant, "%s", tenant ? tenant : AZ_ANY_TENANT);
    snprintf(credential->client_id, sizeof credential->client_id, "%s", client ? client : "");
    if (host && *host) set_authority(credential, host);
    take_kept_sign_in(credential);
    *out = credential;
    return 0;
}

void az_credential_destroy(struct az_credential *credential)
{
    if (!credential) return;
    explicit_bzero(credential, sizeof *credential);
    free(credential);
}

const char *az_credential_method(const struct az_credential *credential)
{
    return credential->method;
}

void az_form(struct buffer *form, const char *name, const char *value)
{
    buffer_printf(form, "%s%s=", form->length ? "&" : "", name);
    web_escape(form, value, "");
}

static int form_headers(void *context, struct web_headers *headers, struct error *error)
{
    (void)context;
    (void)error;
    web_header(headers, "Content-Type: application/x-www-form-urlencoded");
    web_header(headers, "Accept: application/json");
    return 0;
}

int az_post_form(struct az_credential *credential, const char *path, const struct buffer *form,
                 const char *what, int *http, json_t **out, struct error *error)
{
    char url[1024];
    snprintf(url, sizeof url, "%s/%s/oauth2/v2.0/%s", credential->cloud.authority,
             credential->tenant, path);
    if (buffer_check(form, "the sign-in request", error)) return -1;
    struct web_request request = {.method = "POST",
                                  .url = url,
                                  .what = what,
                                  .body = form->data,
                                  .body_size = form->length,
                                  .prepare = form_headers};
    struct web_answer answer;
    int status = web_send(credential->web, &request, &answer, error);
    if (!status) {
        *http = answer.status;
        status = web_answer_json(&answer, what, out, error);
    }
    web_answer_clear(&answer);
    return status;
}

/* Identity services write numbers as numbers or as strings. */
static double number_of(const json_t *value, double otherwise)
{
    if (json_is_number(value)) return json_number_value(value);
    if (json_is_string(value)) return strtod(json_string_value(value), NULL);
    return otherwise;
}

/* Conditional access and multi-factor authentication: another way to sign in may satisfy them
 * (learn.microsoft.com/entra/identity-platform/reference-error-codes). */
static bool wants_other_sign_in(const json_t *answer, const char *text)
{
    static const char *const codes[] = {"AADSTS50005", "AADSTS50074", "AADSTS50076", "AADSTS50079",
                                        "AADSTS50097", "AADSTS50105", "AADSTS50158", "AADSTS53000",
                                        "AADSTS53001", "AADSTS53002", "AADSTS53003", "AADSTS53004"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strstr(text, codes[i])) return true;
    return json_object_get(answer, "claims") != NULL;
}

static int describe_refusal(const json_t *answer, int http, const char *what, struct error *error)
{
    const char *code = json_string_value(json_object_get(answer, "error"));
    const char *text = json_string_value(json_object_get(answer, "error_description"));
    const char *trace = json_string_value(json_object_get(answer, "trace_id"));
    if (!code) code = "no reason";
    if (!text) text = "";
    size_t length = strcspn(text, "\r\n");
    bool other = wants_other_sign_in(answer, text);
    return error_set(error, ERROR_DENIED, "%s: refused with HTTP %d, %.80s%s%.*s%s%s%s%s%s", what,
                     http, code, *text ? ": " : "", (int)(length < 300 ? length : 300), text,
                     trace ? " (trace id " : "", trace ? trace : "", trace ? ")" : "",
                     other ? ": " : "", other ? AZ_OTHER_SIGN_INS : "");
}

int az_read_grant(const json_t *answer, int http, const char *what, struct az_grant *grant,
                  struct error *error)
{
    const char *token = json_string_value(json_object_get(answer, "access_token"));
    const char *refresh = json_string_value(json_object_get(answer, "refresh_token"));
    const char *code = json_string_value(json_object_get(answer, "error"));
    if (code) snprintf(grant->error, sizeof grant->error, "%s", code);
    if (http != 200 || !token) return describe_refusal(answer, http, what, error);
    if (strlen(token) >= sizeof grant->token)
        return error_set(error, ERROR_INPUT, "%s: the token is longer than %d bytes", what,
                         TOKEN_MAX);
    snprintf(grant->token, sizeof grant->token, "%s", token);
    if (refresh && strlen(refresh) < sizeof grant->refresh)
        snprintf(grant->refresh, sizeof grant->refresh, "%s", refresh);
    /* some tell only this */
    double on = number_of(json_object_get(answer, "expires_on"), 0), now = (double)time(NULL);
    grant->expires_in = number_of(json_object_get(answer, "expires_in"),
                                  on > now ? on - now : 3600);
    return 0;
}

void az_scope(const struct az_credential *credential, const char *resource, bool user,
              char out[512])
{
    (void)credential;
    snprintf(out, 512, "%s/.default%s", resource, user ? " offline_access openid profile" : "");
}

const char *az_user_client(const struct az_credential *credential)
{
    return credential->client_id[0] ? credential->client_id : AZ_PUBLIC_CLIENT;
}

/* A user signed in before: the refresh token also serves for other resources. */
static int get_by_refresh(struct az_credential *credential, const char *resource,
                          struct az_grant *grant, struct error *error)
{
    static const char what[] = "renewing the sign-in";
    char scope[512];
    struct buffer form;
    json_t *answer = NULL;
    int http = 0;
    buffer_init(&form, 65536);
    az_scope(credential, resource, true, scope);
    az_form(&form, "grant_type", "refresh_token");
    az_form(&form, "client_id", az_user_client(credential));
    az_form(&form, "refresh_token", credential->refresh);
    az_form(&form, "scope", scope);
    int status = az_post_form(credential, "token", &form, what, &http, &answer, error);
    if (!status) status = az_read_grant(answer, http, what, grant, error);
    json_decref(answer);
    if (form.data) explicit_bzero(form.data, form.capacity);
    buffer_free(&form);
    return status;
}

/* Asks the ways in order, or the one that was chosen or worked before. */
static int get_by_chain(struct az_credential *credential, const char *resource,
                        struct az_grant *grant, struct error *error)
{
    const char *chosen = credential->method[0] ? credential->method : credential->chosen;
    struct buffer tried;
    if (!chosen && check_halves(credential->options, error)) return -1;
    buffer_init(&tried, 2048);
    for (size_t i = 0; i < az_method_count; i++) {
        char found[256];
        if (chosen ? strcmp(chosen, az_methods[i].id) != 0 : az_methods[i].interactive) continue;
        if (!az_methods[i].available(credential->options, found, sizeof found)) {
            if (chosen) {
                buffer_free(&tried);
                return error_set(error, ERROR_DENIED, "signing in by %s is not possible here: %s",
                                 az_methods[i].title, found);
            }
            continue;
        }
        if (getters[i](credential, resource, grant, error) == 0) {
            snprintf(credential->method, sizeof credential->method, "%s", az_methods[i].id);
            buffer_free(&tried);
            return 0;
        }
        /* What was set up on purpose and is refused must not end in signing in as another user. */
        if (chosen || az_methods[i].decisive || error->code == ERROR_INTERRUPTED) {
            buffer_free(&tried);
            return -1;
        }
        buffer_printf(&tried, "%s%s: %s", tried.length ? "; " : "", az_methods[i].title,
                      error->message);
    }
    error_set(error, ERROR_DENIED,
              "not signed in to Azure%s%s: set AZURE_CLIENT_ID, AZURE_TENANT_ID and "
              "AZURE_CLIENT_SECRET, run `az login`, or "
              "choose device-code",
              tried.length ? ": " : "", tried.length ? tried.data : "");
    buffer_free(&tried);
    return -1;
}

int az_credential_token(struct az_credential *credential, const char *resource, bool fresh,
                        const char **token, struct error *error)
{
    size_t slot = 0;
    while (slot < credential->cached && strcmp(credential->cache[slot].resource, resource) != 0)
        slot++;
    if (slot < credential->cached && !fresh && clock_monotonic() < credential->cache[slot].until) {
        *token = credential->cache[slot].token;
        return 0;
    }
    CHECK(slot < sizeof credential->cache / sizeof credential->cache[0]);
    struct az_grant *grant = calloc(1, sizeof *grant);
    if (!grant) return error_set_memory(error, "a token");
    int status = credential->refresh[0] ? get_by_refresh(credential, resource, grant, error) : -1;
    if (status && !(credential->refresh[0] && error->code == ERROR_INTERRUPTED)) {
        explicit_bzero(credential->refresh, sizeof credential->refresh);
        memset(grant, 0, sizeof *grant);
        status = get_by_chain(credential, resource, grant, error);
    }
    if (!status) {
        snprintf(credential->cache[slot].resource, sizeof credential->cache[slot].resource, "%s",
                 resource);
        memcpy(credential->cache[slot].token, grant->token, sizeof grant->token);
        credential->cache[slot].until = clock_monotonic() + fmax(grant->expires_in - RENEW_BEFORE,
                                                                 grant->expires_in / 2);
        if (grant->refresh[0]) {
            memcpy(credential->refresh, grant->refresh, sizeof grant->refresh);
            keep_sign_in(credential);
        }
        if (slot == credential->cached) credential->cached++;
        *token = credential->cache[slot].token;
    }
    explicit_bzero(grant, sizeof *grant);
    free(grant);
    return status;
}
