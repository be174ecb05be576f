#include "registry/mlflow/server.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

int mlflow_tracking_uri(const struct registry_options *options, char out[512], struct error *error)
{
    const char *uri = registry_value(options, REGISTRY_TRACKING_URI);
    if (!uri)
        return error_set(error, ERROR_USAGE,
                         "no MLflow server is known: give --tracking-uri http://127.0.0.1:5000");
    if (strncmp(uri, "http://", 7) != 0 && strncmp(uri, "https://", 8) != 0)
        return error_set(error, ERROR_USAGE,
                         "the tracking address \"%.80s\" is no http address: start `mlflow server` "
                         "and give its address",
                         uri);
    if (strcspn(uri, "@?#") < strlen(uri)) /* it is kept and shown, so it may hold no password */
        return error_set(error, ERROR_USAGE,
                         "the tracking address may hold no user, password or query: set "
                         "MLFLOW_TRACKING_USERNAME and _PASSWORD");
    if (strncmp(uri, "http://", 7) == 0 && !web_is_loopback(uri))
        return error_set(error, ERROR_USAGE,
                         "%s is not https: plain http goes to this machine only",
                         web_public_url(uri));
    size_t length = strlen(uri);
    while (length && uri[length - 1] == '/') length--;
    if (length >= 512) return error_set(error, ERROR_USAGE, "the tracking address is too long");
    snprintf(out, 512, "%.*s", (int)length, uri);
    return 0;
}

static void find_authorization(char *out, size_t size)
{
    const char *token = getenv("MLFLOW_TRACKING_TOKEN"), *user = getenv("MLFLOW_TRACKING_USERNAME"),
               *password = getenv("MLFLOW_TRACKING_PASSWORD");
    if (token && *token) {
        snprintf(out, size, "Bearer %s", token);
    } else if (user && *user && password) {
        char plain[1024];
        int length = snprintf(plain, sizeof plain, "%s:%s", user, password);
        if (length < 0 || (size_t)length >= sizeof plain || (size_t)length * 4 / 3 + 16 > size)
            return;
        int start = snprintf(out, size, "Basic ");
        EVP_EncodeBlock((unsigned char *)out + start, (const unsigned char *)plain, length);
        explicit_bzero(plain, sizeof plain);
    }
}

int mlflow_open(const struct registry_options *options, struct mlflow_server *server,
                struct error *error)
{
    struct web_options web = {.ca_file = registry_value(options, REGISTRY_CA_FILE),
                              .cancelled = options->cancelled,
                              .context = options->context};
    *server = (struct mlflow_server){0};
    if (mlflow_tracking_uri(options, server->uri, error)) return -1;
    find_authorization(server->authorization, sizeof server->authorization);
    return web_create(&web, &server->web, error);
}

void mlflow_close(struct mlflow_server *server)
{
    explicit_bzero(server->authorization, sizeof server->authorization);
    web_destroy(server->web);
    server->web = NULL;
}

int mlflow_json_headers(void *context, struct web_headers *headers, struct error *error)
{
    (void)error;
    const struct mlflow_server *server = context;
    if (server->authorization[0]) web_header(headers, "Authorization: %s", server->authorization);
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

int mlflow_refusal(const struct web_answer *answer, const char *what, struct error *error)
{
    json_t *object = json_loadb(answer->body.data ? answer->body.data : "", answer->body.length, 0,
                                NULL);
    const char *code = json_string_value(json_object_get(object, "error_code"));
    const char *message = json_string_value(json_object_get(object, "message"));
    const char *mend =
        answer->status >= 500 ? "look at the server's log, then try again"
        : web_answer_is_page(answer)
            ? "the answer is a web page: is this an MLflow server, is a proxy in between?"
        : answer->status == 401 || answer->status == 403
            ? "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD"
        : answer->status == 404 && !code ? "is this an MLflow server?"
        : answer->status >= 300 && answer->status < 400
            ? "the address redirects elsewhere, which is not followed: give the final one"
            : "see what the server says";
    enum error_code kind = answer->status == 404                            ? ERROR_NOT_FOUND
                           : answer->status == 401 || answer->status == 403 ? ERROR_DENIED
                           : answer->status >= 500 || answer->status == 429 ? ERROR_UNAVAILABLE
                                                                            : ERROR_INPUT;
    error_set(error, kind, "%s: HTTP %d%s%s%s%.300s: %s", what, answer->status, code ? " " : "",
              code ? code : "", message ? ": " : "", message ? message : "", mend);
    for (char *c = error->message; *c; c++)
        if (*c == '\n' || *c == '\r') *c = ' ';
    json_decref(object);
    return -1;
}

int mlflow_call(struct mlflow_server *server, struct mlflow_request request, json_t **out,
                struct error *error)
{
    char url[2048];
    char *text = request.body ? js_dump(request.body) : NULL;
    struct web_answer answer = {0};
    int status = -1;
    if (out) *out = NULL;
    snprintf(url, sizeof url, "%s/api/2.0/mlflow/%s", server->uri, request.path);
    if (request.body && !text) {
        error_set_memory(error, "a request");
        goto out;
    }
    const struct web_request sent = {.method = request.method,
                                     .url = url,
                                     .what = request.what,
                                     .body = text,
                                     .body_size = text ? strlen(text) : 0,
                                     .prepare = mlflow_json_headers,
                                     .context = server,
                                     .answer_limit = (size_t)4 << 20,
                                     .tries = server->once ? 1 : 0};
    if (web_send(server->web, &sent, &answer, error)) goto out;
    if (answer.status == 200) {
        json_t *object;
        status = web_answer_json(&answer, request.what, &object, error);
        if (!status && out) *out = object;
        if (!status && !out) json_decref(object);
    } else if (request.fine && answer.body.data && strstr(answer.body.data, request.fine)) {
        status = 0;
    } else {
        mlflow_refusal(&answer, request.what, error);
    }
out:
    web_answer_clear(&answer);
    json_decref(request.body);
    free(text);
    return status;
}
