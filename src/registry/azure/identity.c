/* Managed identities: where the code runs decides the endpoint's form, as in azure-identity's
 * ManagedIdentityCredential (1.27). */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "registry/azure/token_impl.h"

#define IMDS             "http://169.254.169.254"
#define ARC_FOLDER       "/var/opt/azcmagent/tokens/"
#define ARC_KEY_LIMIT    4096
#define CLOUD_SHELL_BODY 1024

/* One form of the endpoint. */
struct identity_form {
    const char *title;
    const char *needs[4];    /* the variables that make it this form; the first names the address */
    const char *api_version; /* NULL: POST with a form (Cloud Shell) */
    const char *client;      /* the parameter of a user-assigned identity; NULL: there is none */
    const char *header, *secret; /* its header, and the variable with its value; NULL: "true" */
    bool challenge;              /* the first answer names a file whose content opens the second */
    bool metadata; /* "Metadata: true" beside its own header, as azure-identity sends it */
    bool pinned;   /* TLS with the certificate of $IDENTITY_SERVER_THUMBPRINT */
};

/* clang-format off */
static const struct identity_form forms[] = {
    {"Service Fabric", {"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT"},
        "2019-07-01-preview", NULL, "Secret", "IDENTITY_HEADER", .pinned = true},
    {"App Service", {"IDENTITY_ENDPOINT", "IDENTITY_HEADER"},
        "2019-08-01", "client_id", "X-IDENTITY-HEADER", "IDENTITY_HEADER", .metadata = true},
    {"Azure Arc", {"IDENTITY_ENDPOINT", "IMDS_ENDPOINT"},
        "2020-06-01", "client_id", "Metadata", NULL, .challenge = true},
    {"Azure ML", {"MSI_ENDPOINT", "MSI_SECRET"},
        "2017-09-01", "clientid", "secret", "MSI_SECRET"},
    {"Cloud Shell", {"MSI_ENDPOINT"},
        NULL, NULL, "Metadata", NULL},
};
/* clang-format on */
static const struct identity_form machine = {
    "the virtual machine", {NULL}, "2018-02-01", "client_id", "Metadata"};

/* What has no meaning without another variable. */
static const struct {
    const char *variable, *without, *fix;
} halves[] = {
    {"IDENTITY_HEADER", "IDENTITY_ENDPOINT", "IDENTITY_ENDPOINT"},
    {"IDENTITY_SERVER_THUMBPRINT", "IDENTITY_ENDPOINT", "IDENTITY_ENDPOINT and IDENTITY_HEADER"},
    {"IMDS_ENDPOINT", "IDENTITY_ENDPOINT", "IDENTITY_ENDPOINT"},
    {"MSI_SECRET", "MSI_ENDPOINT", "MSI_ENDPOINT"},
};

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

bool az_identity_is_set(void)
{
    if (variable("IDENTITY_ENDPOINT") || variable("MSI_ENDPOINT")) return true;
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++)
        if (variable(halves[i].variable)) return true;
    return false;
}

static bool fits(const struct identity_form *form)
{
    for (const char *const *name = form->needs; *name; name++)
        if (!variable(*name)) return false;
    return !variable("IDENTITY_ENDPOINT") ||
           (form->needs[0] && strcmp(form->needs[0], "IDENTITY_ENDPOINT") == 0);
}

/* The form whose variables are set. Half a form is an error: it is not passed over for another. */
static int find_form(const struct identity_form **out, struct error *error)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (!fits(&forms[i])) continue;
        *out = &forms[i];
        return 0;
    }
    if (variable("IDENTITY_ENDPOINT"))
        return error_set(error, ERROR_DENIED,
                         "IDENTITY_ENDPOINT is set without IDENTITY_HEADER (App Service) or "
                         "IMDS_ENDPOINT (Azure Arc): set one of them, or unset it");
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++)
        if (variable(halves[i].variable) && !variable(halves[i].without))
            return error_set(error, ERROR_DENIED, "%s is set without %s: set %s, or unset it",
                             halves[i].variable, halves[i].without, halves[i].fix);
    *out = &machine;
    return 0;
}

struct identity_request {
    const struct identity_form *form;
    char key[ARC_KEY_LIMIT + 1]; /* Azure Arc's challenge file; "" before the challenge */
};

static int identity_headers(void *context, struct web_headers *headers, struct error *error)
{
    (void)error;
    const struct identity_request *own = context;
    web_header(headers, "%s: %s", own->form->header,
               own->form->secret ? getenv(own->form->secret) : "true");
    if (own->form->metadata) web_header(headers, "Metadata: true");
    if (own->key[0]) web_header(headers, "Authorization: Basic %s", own->key);
    if (!own->form->api_version)
        web_header(headers, "Content-Type: application/x-www-form-urlencoded");
    return 0;
}

/* Azure Arc's agent proves that the asker may read its folder: the challenge names a file there.
 * Any other file stays unread. */
static int read_arc_key(const struct web_answer *answer, struct identity_request *own,
                        struct error *error)
{
    const char *realm = strstr(answer->www_authenticate, "realm=");
    char path[512], *key;
    size_t size, folder = strlen(ARC_FOLDER);
    struct stat status;
    snprintf(path, sizeof path, "%s", realm ? realm + 6 : "");
    size_t length = strlen(path);
    if (strncmp(path, ARC_FOLDER, folder) != 0 || !path_is_plain_name(path + folder) ||
        length < 4 || strcmp(path + length - 4, ".key") != 0)
        return error_set(error, ERROR_DENIED,
                         "Azure Arc's challenge does not name a .key file in " ARC_FOLDER
                         ": check the agent (azcmagent show)");
    if (lstat(path, &status) == 0 && (!S_ISREG(status.st_mode) || status.st_size > ARC_KEY_LIMIT))
        return error_set(error, ERROR_DENIED,
                         "%s is not a file of at most %d bytes: check the agent (azcmagent show)",
                         path, ARC_KEY_LIMIT);
    if (file_read(path, ARC_KEY_LIMIT, &key, &size, error))
        return error_prefix(error, "Azure Arc's challenge (add this user to the group himds)");
    snprintf(own->key, sizeof own->key, "%s", key);
    own->key[strcspn(own->key, "\r\n")] = '\0';
    explicit_bzero(key, size);
    free(key);
    return 0;
}

/* Off Azure nobody answers at the machine's address: a single short look comes before the request
 * that is tried again. */
static int ask_identity(struct web *web, struct web_request *request, struct web_answer *answer,
                        struct error *error)
{
    struct web_request probe = *request;
    probe.timeout_ms = 1000;
    probe.tries = 1;
    if (web_send(web, &probe, answer, error)) return -1;
    if (answer->status >= 500 || answer->status == 429) {
        web_answer_clear(answer);
        return web_send(web, request, answer, error);
    }
    for (int tries = 0; (answer->status == 404 || answer->status == 410) && tries < 6; tries++) {
        /* 410: being updated, for up to 70 s */
        double pause = answer->status == 410 ? 12 : web_pause(web, (unsigned)tries);
        web_answer_clear(answer);
        if (web_wait(web, pause, error) || web_send(web, request, answer, error)) return -1;
    }
    return 0;
}

static int send_request(struct az_credential *credential, struct web_request *request,
                        struct identity_request *own, struct web_answer *answer,
                        struct error *error)
{
    if (own->form == &machine) return ask_identity(credential->web, request, answer, error);
    int status = web_send(credential->web, request, answer, error);
    if (status || !own->form->challenge) return status;
    if (answer->status != 401)
        return error_set(error, ERROR_DENIED,
                         "%s: HTTP %d without Azure Arc's challenge: check the agent (azcmagent "
                         "show)",
                         request->what, answer->status);
    status = read_arc_key(answer, own, error);
    web_answer_clear(answer);
    return status ? -1 : web_send(credential->web, request, answer, error);
}

/* The endpoint's address with its query, or, for a form that posts, the body. */
static int write_question(const struct az_credential *credential, const struct identity_form *form,
                          const char *resource, struct buffer *url, struct buffer *body,
                          struct error *error)
{
    const char *other = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    if (credential->client_id[0] && !form->client)
        return error_set(error, ERROR_DENIED,
                         "the managed identity of %s cannot be chosen: unset AZURE_CLIENT_ID, and "
                         "give no client id",
                         form->title);
    if (form == &machine)
        buffer_printf(url, "%s/metadata/identity/oauth2/token", other ? other : IMDS);
    else
        buffer_append_text(url, getenv(form->needs[0]));
    if (!form->api_version) {
        az_form(body, "resource", resource);
    } else {
        buffer_printf(url, "?api-version=%s&resource=", form->api_version);
        web_escape(url, resource, "");
        if (credential->client_id[0]) {
            buffer_printf(url, "&%s=", form->client);
            web_escape(url, credential->client_id, "");
        }
    }
    return buffer_check(url, "the identity's address", error) ||
                   buffer_check(body, "the identity's request", error)
               ? -1
               : 0;
}

/* An old agent answers with the system's own identity whatever was asked for. */
static int check_client(const struct az_credential *credential, const struct identity_form *form,
                        const json_t *answer, struct error *error)
{
    const char *client = json_string_value(json_object_get(answer, "client_id"));
    if (!form->challenge || !credential->client_id[0] ||
        (client && strcasecmp(client, credential->client_id) == 0))
        return 0;
    return error_set(error, ERROR_DENIED,
                     "Azure Arc answered for another identity than the client id %.60s: update the "
                     "agent, or leave the client id out",
                     credential->client_id);
}

int az_get_managed_identity(struct az_credential *credential, const char *resource,
                            struct az_grant *grant, struct error *error)
{
    static const char what[] = "asking for the managed identity";
    struct identity_request own = {0};
    struct buffer url, body;
    struct web_answer answer = {0};
    json_t *object = NULL;
    if (find_form(&own.form, error)) return -1;
    buffer_init(&url, 4096);
    buffer_init(&body, CLOUD_SHELL_BODY);
    int status = write_question(credential, own.form, resource, &url, &body, error);
    struct web_request request = {
        .method = own.form->api_version ? "GET" : "POST",
        .url = url.data,
        .what = what,
        .body = body.data,
        .body_size = body.length,
        .link_local = true,
        .timeout_ms = 5000,
        .certificate_sha1 = own.form->pinned ? getenv("IDENTITY_SERVER_THUMBPRINT") : NULL,
        .prepare = identity_headers,
        .context = &own};
    if (!status) status = send_request(credential, &request, &own, &answer, error);
    if (!status) status = web_answer_json(&answer, what, &object, error);
    if (!status) status = az_read_grant(object, answer.status, what, grant, error);
    if (!status) status = check_client(credential, own.form, object, error);
    if (status) error_prefix(error, "managed identity of %s", own.form->title);
    json_decref(object);
    web_answer_clear(&answer);
    buffer_free(&url);
    buffer_free(&body);
    explicit_bzero(&own, sizeof own);
    return status;
}
