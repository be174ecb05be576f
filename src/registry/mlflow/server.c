#include "registry/mlflow/server.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/js.h"
#include "registry/azure/tracking.h"

#define CREDENTIALS_LIMIT ((size_t)64 << 10)

/* Addresses that MLflow's own client takes and a server's address is not. */
static const struct {
    const char *start, *fix;
} other_addresses[] = {
    {"sqlite:", "a database: start `mlflow server --backend-store-uri` with it and give the "
                "server's address"},
    {"postgresql", "a database: start `mlflow server --backend-store-uri` with it and give the "
                   "server's address"},
    {"mysql", "a database: start `mlflow server --backend-store-uri` with it and give the "
              "server's address"},
    {"mssql", "a database: start `mlflow server --backend-store-uri` with it and give the "
              "server's address"},
    {"databricks", "a Databricks workspace, which is not supported: give the address of an MLflow "
                   "server"},
    {"uc:", "a Databricks catalog, which is not supported: give the address of an MLflow server"},
    {"azureml", "an Azure ML workspace: register in Azure ML instead (target azure)"},
    {"file:", "a folder: start `mlflow server --backend-store-uri` with it and give the server's "
              "address"},
    {"/", "a folder: start `mlflow server --backend-store-uri` with it and give the server's "
          "address"},
    {"./", "a folder: start `mlflow server --backend-store-uri` with it and give the server's "
           "address"},
};

static int refuse_address(const char *uri, struct error *error)
{
    for (size_t i = 0; i < sizeof other_addresses / sizeof other_addresses[0]; i++)
        if (strncmp(uri, other_addresses[i].start, strlen(other_addresses[i].start)) == 0)
            return error_set(error, ERROR_USAGE, "the tracking address \"%.*s\" is %s",
                             (int)strcspn(uri, "@?#:/"), uri, other_addresses[i].fix);
    return error_set(error, ERROR_USAGE,
                     "the tracking address \"%.80s\" is not an http address: start `mlflow "
                     "server` and give its address",
                     uri);
}

int mlflow_server_uri(const struct registry_options *options, bool for_tracking, char out[512],
                      struct error *error)
{
    const char *uri = registry_value(options, REGISTRY_TRACKING_URI);
    if (!uri)
        return error_set(error, ERROR_USAGE,
                         "no MLflow server is known: give --tracking-uri http://127.0.0.1:5000");
    if (for_tracking && az_tracking_is(uri)) return az_tracking_address(options, uri, out, error);
    if (strncmp(uri, "http://", 7) != 0 && strncmp(uri, "https://", 8) != 0)
        return refuse_address(uri, error);
    if (strcspn(uri, "@?#") < strlen(uri)) /* it is kept and shown, so it may hold no password */
        return error_set(error, ERROR_USAGE,
                         "the tracking address may hold no user, password or query: set "
                         "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD");
    if (strncmp(uri, "http://", 7) == 0 && !web_is_loopback(uri) &&
        !registry_value(options, REGISTRY_INSECURE_HTTP))
        return error_set(error, ERROR_USAGE,
                         "%s is not https: plain http goes to this machine only, unless "
                         "--insecure-http or NNSTUDIO_INSECURE_HTTP=1 allows it",
                         web_public_url(uri));
    size_t length = strlen(uri);
    while (length && uri[length - 1] == '/') length--;
    if (length >= 512) return error_set(error, ERROR_USAGE, "the tracking address is too long");
    snprintf(out, 512, "%.*s", (int)length, uri);
    return 0;
}

/* "key = value" of the section [mlflow] in ~/.mlflow/credentials, as Python's configparser reads
 * it: '=' or ':' separates, keys are in any case, '#' and ';' begin comments. */
static bool read_credential(const char *text, const char *key, char *out, size_t size)
{
    bool in_section = false, found = false;
    size_t key_length = strlen(key);
    for (const char *line = text; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        size_t length = strcspn(line, "\r\n");
        if (*line == '[') in_section = strncmp(line, "[mlflow]", 8) == 0;
        if (!in_section || strncasecmp(line, key, key_length) != 0) continue;
        const char *value = line + key_length, *end = line + length;
        while (value < end && (*value == ' ' || *value == '\t')) value++;
        if (value >= end || (*value != '=' && *value != ':')) continue;
        value++;
        while (value < end && (*value == ' ' || *value == '\t')) value++;
        while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
        if ((size_t)(end - value) >= size) continue;
        snprintf(out, size, "%.*s", (int)(end - value), value);
        found = *out != '\0';
    }
    return found;
}

/* The user and the password: each from the environment, else from ~/.mlflow/credentials. */
static bool find_password(char user[256], char password[512])
{
    const char *home = getenv("HOME"), *own_user = getenv("MLFLOW_TRACKING_USERNAME"),
               *own_password = getenv("MLFLOW_TRACKING_PASSWORD");
    char path[4200], *text = NULL;
    size_t size = 0;
    struct error ignored;
    snprintf(user, 256, "%s", own_user ? own_user : "");
    snprintf(password, 512, "%s", own_password ? own_password : "");
    snprintf(path, sizeof path, "%s/.mlflow/credentials", home ? home : "");
    if ((!*user || !*password) && home && file_exists(path) &&
        file_read(path, CREDENTIALS_LIMIT, &text, &size, &ignored) == 0) {
        if (!*user) read_credential(text, "mlflow_tracking_username", user, 256);
        if (!*password) read_credential(text, "mlflow_tracking_password", password, 512);
        explicit_bzero(text, size);
        free(text);
    }
    return *user && *password;
}

static void find_authorization(struct mlflow_server *server)
{
    char *out = server->authorization, user[256], password[512], plain[800];
    const char *token = getenv("MLFLOW_TRACKING_TOKEN");
    const size_t size = sizeof server->authorization;
    if (find_password(user, password)) {
        int length = snprintf(plain, sizeof plain, "%s:%s", user, password);
        int start = snprintf(out, size, "Basic ");
        EVP_EncodeBlock((unsigned char *)out + start, (const unsigned char *)plain, length);
        snprintf(server->user, sizeof server->user, "%s", user);
        explicit_bzero(plain, sizeof plain);
    } else if (token && *token) {
        snprintf(out, size, "Bearer %s", token);
    }
    explicit_bzero(password, sizeof password);
}

int mlflow_open(const struct registry_options *options, bool for_tracking,
                struct mlflow_server *server, struct error *error)
{
    struct web_options web = {.insecure_http = registry_value(options, REGISTRY_INSECURE_HTTP) !=
                                               NULL,
                              .ca_file = registry_value(options, REGISTRY_CA_FILE),
                              .cancelled = options->cancelled,
                              .context = options->context};
    *server = (struct mlflow_server){0};
    if (mlflow_server_uri(options, for_tracking, server->uri, error) ||
        web_create(&web, &server->web, error))
        return -1;
    if (!az_tracking_is(server->uri)) {
        snprintf(server->base, sizeof server->base, "%s", server->uri);
        find_authorization(server);
        return 0;
    }
    if (az_tracking_create(options, server->uri, &server->azure, error) == 0) return 0;
    mlflow_close(server);
    return -1;
}

void mlflow_close(struct mlflow_server *server)
{
    explicit_bzero(server->authorization, sizeof server->authorization);
    az_tracking_destroy(server->azure);
    web_destroy(server->web);
    server->azure = NULL;
    server->web = NULL;
}

int mlflow_json_headers(void *context, struct web_headers *headers, struct error *error)
{
    struct mlflow_server *server = context;
    const char *token;
    if (server->authorization[0]) web_header(headers, "Authorization: %s", server->authorization);
    if (server->azure) {
        if (az_tracking_token(server->azure, server->fresh_token, &token, error)) return -1;
        server->fresh_token = false;
        web_header(headers, "Authorization: Bearer %s", token);
    }
    web_header(headers, "Content-Type: application/json");
    return 0;
}

int mlflow_file_headers(void *context, struct web_headers *headers, struct error *error)
{
    (void)error;
    const struct mlflow_server *server = context;
    if (server->authorization[0]) web_header(headers, "Authorization: %s", server->authorization);
    web_header(headers, "Content-Type: application/octet-stream");
    return 0;
}

/* What a refusal means: the first row whose status, challenge, body and credentials fit. Texts are
 * those of MLflow's basic authentication app and of its security middleware. */
static const struct {
    int status;            /* 0: any */
    const char *challenge; /* how WWW-Authenticate begins, or NULL */
    const char *text;      /* in the body, or NULL */
    const char *sent;      /* how the credentials that were sent begin; "": none; NULL: any */
    const char *fix;
} refusals[] = {
    {401, "Basic", NULL, "",
     "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or write them to "
     "~/.mlflow/credentials"},
    {401, "Basic", NULL, "Basic",
     "the server does not accept this user and password: check MLFLOW_TRACKING_USERNAME, "
     "MLFLOW_TRACKING_PASSWORD and ~/.mlflow/credentials"},
    {401, "Basic", NULL, "Bearer",
     "the server wants a user and a password, not a token: set MLFLOW_TRACKING_USERNAME and "
     "MLFLOW_TRACKING_PASSWORD"},
    {401, "Bearer", NULL, "Bearer",
     "the server does not accept this token: set a new MLFLOW_TRACKING_TOKEN"},
    {401, "Bearer", NULL, NULL, "the server wants a token: set MLFLOW_TRACKING_TOKEN"},
    {401, NULL, NULL, "",
     "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"},
    {401, NULL, NULL, NULL, "the server does not accept these credentials: check them"},
    {403, NULL, "Invalid Host header", NULL,
     "the server does not answer to this name: start it with --allowed-hosts, or use its own name"},
    {403, NULL, "Permission denied", NULL,
     "this user has no permission for it: ask the server's administrator"},
    {403, NULL, "PERMISSION_DENIED", NULL,
     "this user has no permission for it: ask the server's administrator"},
};

static const char *fix_for(const struct mlflow_server *server, const struct web_answer *answer,
                           const char *code)
{
    const char *body = answer->body.data ? answer->body.data : "", *sent = server->authorization;
    if (answer->status >= 500) return "look at the server's log, then try again";
    if (server->azure && answer->status == 401) return "sign in to Azure again";
    if (server->azure && answer->status == 403)
        return "ask for the role \"AzureML Data Scientist\" on the workspace";
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const char *challenge = refusals[i].challenge, *wanted = refusals[i].sent;
        if (refusals[i].status != answer->status ||
            (challenge &&
             strncasecmp(answer->www_authenticate, challenge, strlen(challenge)) != 0) ||
            (refusals[i].text && !strstr(body, refusals[i].text)))
            continue;
        if (wanted && (*wanted ? strncmp(sent, wanted, strlen(wanted)) != 0 : *sent != '\0'))
            continue;
        return refusals[i].fix;
    }
    if (web_answer_is_page(answer))
        return "the answer is a web page: is this an MLflow server, is a proxy in between?";
    if (answer->status == 403)
        return "the server or a proxy in front of it forbids it: ask who keeps it";
    if (answer->status == 404 && !*code) return "is this an MLflow server?";
    if (answer->status >= 300 && answer->status < 400)
        return "the address redirects elsewhere, which is not followed: give the final one";
    return "see what the server says";
}

int mlflow_refusal(const struct mlflow_server *server, const struct web_answer *answer,
                   const char *what, struct error *error)
{
    json_t *object = json_loadb(answer->body.data ? answer->body.data : "", answer->body.length, 0,
                                NULL);
    const char *code = json_string_value(json_object_get(object, "error_code"));
    const char *message = json_string_value(json_object_get(object, "message"));
    const json_t *inner = json_object_get(object, "error"); /* Azure's own form */
    if (!code) code = json_string_value(json_object_get(inner, "code"));
    if (!message) message = json_string_value(json_object_get(inner, "message"));
    enum error_code kind = answer->status == 404                            ? ERROR_NOT_FOUND
                           : answer->status == 401 || answer->status == 403 ? ERROR_DENIED
                           : answer->status >= 500 || answer->status == 429 ? ERROR_UNAVAILABLE
                                                                            : ERROR_INPUT;
    bool named = kind == ERROR_DENIED && server->user[0];
    error_set(error, kind, "%s: HTTP %d%s%s%s%.300s%s%.80s%s: %s", what, answer->status,
              code ? " " : "", code ? code : "", message ? ": " : "", message ? message : "",
              named ? " (user " : "", named ? server->user : "", named ? ")" : "",
              fix_for(server, answer, code ? code : ""));
    for (char *c = error->message; *c; c++)
        if (*c == '\n' || *c == '\r') *c = ' ';
    json_decref(object);
    return -1;
}

/* True when the refusal's error_code is the one that is as good as success. */
static bool is_fine(const struct web_answer *answer, const char *fine)
{
    json_t *object = json_loadb(answer->body.data ? answer->body.data : "", answer->body.length, 0,
                                NULL);
    const char *code = json_string_value(json_object_get(object, "error_code"));
    bool same = fine && code && strcmp(code, fine) == 0;
    json_decref(object);
    return same;
}

/* Where requests go: what the workspace says, at the first one. */
static int find_base(struct mlflow_server *server, struct error *error)
{
    if (*server->base) return 0;
    if (az_tracking_connect(server->azure, error)) return -1;
    snprintf(server->base, sizeof server->base, "%s", az_tracking_base(server->azure));
    return 0;
}

int mlflow_call(struct mlflow_server *server, struct mlflow_request request, json_t **out,
                struct error *error)
{
    char url[2048];
    char *text = request.body ? js_dump(request.body) : NULL;
    struct web_answer answer = {0};
    int status = -1;
    if (out) *out = NULL;
    if (request.body && !text) {
        error_set_memory(error, "a request");
        goto out;
    }
    if (find_base(server, error)) goto out;
    snprintf(url, sizeof url, "%s/api/2.0/mlflow/%s", server->base, request.path);
    const struct web_request sent = {.method = request.method,
                                     .url = url,
                                     .what = request.what,
                                     .body = text,
                                     .body_size = text ? strlen(text) : 0,
                                     .prepare = mlflow_json_headers,
                                     .context = server,
                                     .answer_limit = (size_t)4 << 20,
                                     .timeout_ms = server->timeout_ms,
                                     .tries = server->once ? 1 : 0};
    if (web_send(server->web, &sent, &answer, error)) goto out;
    if (answer.status == 401 && server->azure) { /* a token may end while a run is followed */
        web_answer_clear(&answer);
        server->fresh_token = true;
        if (web_send(server->web, &sent, &answer, error)) goto out;
    }
    if (answer.status == 200) {
        json_t *object;
        status = web_answer_json(&answer, request.what, &object, error);
        if (!status && out) *out = object;
        if (!status && !out) json_decref(object);
    } else if (is_fine(&answer, request.fine)) {
        status = 0;
    } else {
        mlflow_refusal(server, &answer, request.what, error);
    }
out:
    web_answer_clear(&answer);
    json_decref(request.body);
    free(text);
    return status;
}
