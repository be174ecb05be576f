/* Signing in as a user: device code, and a browser with authorization code and PKCE. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "registry/azure/user.h"
#include "registry/azure/token_impl.h"

#define BROWSER_SECONDS 300.0
#define REQUEST_LIMIT   ((size_t)16 << 10)

static void wipe(struct buffer *buffer)
{
    if (buffer->data) explicit_bzero(buffer->data, buffer->capacity);
    buffer_free(buffer);
}

static double seconds_member(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_number(value)) return json_number_value(value);
    if (json_is_string(value)) return strtod(json_string_value(value), NULL);
    return otherwise;
}

/* What a refusal of the device grant means to the user. */
static int explain_device_error(const struct az_grant *grant, struct error *error)
{
    static const struct {
        const char *code, *words;
    } known[] = {
        {"authorization_declined", "the sign-in was declined: start again to sign in"},
        {"access_denied", "the sign-in was declined: start again to sign in"},
        {"expired_token", "the code has expired: start again for a new one"},
        {"code_expired", "the code has expired: start again for a new one"},
        {"bad_verification_code", "the code was not accepted: start again for a new one"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(grant->error, known[i].code) == 0)
            return error_set(error, ERROR_DENIED, "%s", known[i].words);
    return -1;
}

/* Asks until the user has signed in. `interval` grows by 5 s with each slow_down (RFC 8628,
 * 3.5). */
static int poll_device(struct az_credential *credential, const char *device_code, double interval,
                       double expires, struct az_grant *grant, struct error *error)
{
    static const char what[] = "signing in with the device code";
    double until = clock_monotonic() + expires;
    for (;;) {
        if (web_wait(credential->web, interval, error)) return -1;
        if (clock_monotonic() > until)
            return error_set(error, ERROR_DENIED,
                             "the code has expired: start again for a new one");
        struct buffer form;
        json_t *answer = NULL;
        int http = 0;
        buffer_init(&form, 65536);
        az_form(&form, "grant_type", "urn:ietf:params:oauth:grant-type:device_code");
        az_form(&form, "client_id", az_user_client(credential));
        az_form(&form, "device_code", device_code);
        int status = az_post_form(credential, "token", &form, what, &http, &answer, error);
        wipe(&form);
        if (status) {
            if (error->code != ERROR_UNAVAILABLE) return -1;
            continue; /* the network stumbled: the code is still good */
        }
        memset(grant, 0, sizeof *grant);
        status = az_read_grant(answer, http, what, grant, error);
        json_decref(answer);
        if (!status) return 0;
        if (strcmp(grant->error, "slow_down") == 0) {
            interval += 5;
        } else if (strcmp(grant->error, "authorization_pending") != 0) {
            return explain_device_error(grant, error);
        }
    }
}

int az_get_device_code(struct az_credential *credential, const char *resource,
                       struct az_grant *grant, struct error *error)
{
    static const char what[] = "asking for a device code";
    char scope[512];
    struct buffer form;
    json_t *answer = NULL;
    int http = 0;
    buffer_init(&form, 65536);
    az_scope(credential, resource, true, scope);
    az_form(&form, "client_id", az_user_client(credential));
    az_form(&form, "scope", scope);
    int status = az_post_form(credential, "devicecode", &form, what, &http, &answer, error);
    buffer_free(&form);
    if (status) return -1;
    const char *user_code = json_string_value(json_object_get(answer, "user_code"));
    const char *device_code = json_string_value(json_object_get(answer, "device_code"));
    const char *url = json_string_value(json_object_get(answer, "verification_uri"));
    if (http != 200 || !user_code || !device_code || !url) {
        status = az_read_grant(answer, http, what, grant, error);
    } else {
        double expires = seconds_member(answer, "expires_in", 900),
               interval = seconds_member(answer, "interval", 5);
        struct registry_prompt prompt = {
            .kind = "device-code", .url = url, .code = user_code, .expires_in = (int)expires};
        credential->options->prompt(credential->options->prompt_context, &prompt);
        status = poll_device(credential, device_code, interval > 0 ? interval : 5, expires, grant,
                             error);
    }
    json_decref(answer);
    return status;
}

void az_base64url(const unsigned char *bytes, size_t count, char *out)
{
    EVP_EncodeBlock((unsigned char *)out, bytes, (int)count);
    for (char *c = out; *c; c++) {
        if (*c == '+') *c = '-';
        if (*c == '/') *c = '_';
        if (*c == '=') *c = '\0';
    }
}

void az_pkce_challenge(const char *verifier, char out[64])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)verifier, strlen(verifier), digest);
    az_base64url(digest, sizeof digest, out);
}

static void random_text(char out[64])
{
    unsigned char bytes[32];
    random_fill(bytes, sizeof bytes);
    az_base64url(bytes, sizeof bytes, out);
}

static int listen_on_loopback(int *port, struct error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4) ||
        getsockname(fd, (struct sockaddr *)&address, &size)) {
        error_set_errno(error, errno, "cannot listen for the browser's answer");
        if (fd >= 0) close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool az_form_member(const char *form, const char *name, char *out, size_t size)
{
    size_t length = strlen(name);
    for (const char *place = form; place && *place;
         place = strchr(place, '&') ? strchr(place, '&') + 1 : NULL) {
        if (strncmp(place, name, length) != 0 || place[length] != '=') continue;
        size_t used = 0;
        for (const char *c = place + length + 1;
             *c && *c != '&' && *c != ' ' && *c != '\r' && *c != '\n' && *c != '#'; c++) {
            int value = (unsigned char)*c;
            if (*c == '+') value = ' ';
            if (*c == '%' && hex_digit(c[1]) >= 0 && hex_digit(c[2]) >= 0) {
                value = hex_digit(c[1]) * 16 + hex_digit(c[2]);
                c += 2;
            }
            if (used + 1 >= size) return false;
            out[used++] = (char)value;
        }
        out[used] = '\0';
        return true;
    }
    return false;
}

static void answer_browser(int fd, const char *status, const char *words)
{
    char text[1024];
    int length = snprintf(
        text, sizeof text,
        "HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: "
        "no-store\r\nConnection: close\r\n\r\n"
        "<!doctype html><meta charset=utf-8><title>Neural Net Studio</title><p>%s</p>\n",
        status, words);
    if (write(fd, text, (size_t)length) < 0) return; /* the browser has gone: nothing to tell */
}

/* Reads one request and says what was in it: 1 the code (in `code`), 0 something else, -1 a
 * refusal. */
static int take_request(int fd, const char *state, char *code, size_t size, struct error *error)
{
    struct buffer request;
    char found[256], given[128];
    int result = 0;
    buffer_init(&request, REQUEST_LIMIT);
    for (;;) {
        char block[2048];
        struct pollfd wait = {fd, POLLIN, 0};
        ssize_t got = poll(&wait, 1, 2000) > 0 ? read(fd, block, sizeof block) : 0;
        if (got <= 0 || buffer_append(&request, block, (size_t)got)) break;
        const char *end = strstr(request.data, "\r\n\r\n"),
                   *length = strcasestr(request.data, "\r\ncontent-length:");
        size_t body = length && end && length < end ? strtoul(length + 17, NULL, 10) : 0;
        if (end && (size_t)(request.data + request.length - (end + 4)) >= body) break;
    }
    const char *text = request.data ? request.data : "";
    const char *form = strncmp(text, "POST ", 5) == 0 ? strstr(text, "\r\n\r\n")
                                                      : strchr(text, '?');
    form = form ? form + (*form == '?' ? 1 : 4) : "";
    bool whole_state = az_form_member(form, "state", given, sizeof given);
    if (az_form_member(form, "error", found, sizeof found) && whole_state &&
        strcmp(given, state) == 0) {
        result = error_set(error, ERROR_DENIED,
                           "the sign-in was refused (%.80s): start again to sign in", found);
        answer_browser(fd, "200 OK", "The sign-in was refused. You may close this window.");
    } else if (az_form_member(form, "code", code, size)) {
        if (whole_state && strcmp(given, state) == 0) {
            result = 1;
            answer_browser(
                fd, "200 OK",
                "You are signed in. You may close this window and go back to the studio.");
        } else {
            result = error_set(
                error, ERROR_DENIED,
                "the browser's answer does not belong to this sign-in (wrong state): start again");
            answer_browser(fd, "400 Bad Request", "This answer does not belong to the sign-in.");
        }
    } else {
        answer_browser(fd, "404 Not Found", "Nothing is here.");
    }
    wipe(&request);
    return result;
}

static int wait_for_browser(struct az_credential *credential, int listener, const char *state,
                            char *code, size_t size, struct error *error)
{
    double until = clock_monotonic() + BROWSER_SECONDS;
    while (clock_monotonic() < until) {
        if (web_wait(credential->web, 0, error)) return -1;
        struct pollfd wait = {listener, POLLIN, 0};
        if (poll(&wait, 1, 200) <= 0) continue;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        int result = take_request(fd, state, code, size, error);
        close(fd);
        if (result) return result < 0 ? -1 : 0;
    }
    return error_set(error, ERROR_DENIED, "no one signed in within five minutes: start again");
}

static int exchange_code(struct az_credential *credential, const char *code, const char *redirect,
                         const char *verifier, const char *scope, struct az_grant *grant,
                         struct error *error)
{
    static const char what[] = "signing in with the browser";
    struct buffer form;
    json_t *answer = NULL;
    int http = 0;
    buffer_init(&form, 65536);
    az_form(&form, "client_id", az_user_client(credential));
    az_form(&form, "grant_type", "authorization_code");
    az_form(&form, "code", code);
    az_form(&form, "redirect_uri", redirect);
    az_form(&form, "code_verifier", verifier);
    az_form(&form, "scope", scope);
    int status = az_post_form(credential, "token", &form, what, &http, &answer, error);
    if (!status) status = az_read_grant(answer, http, what, grant, error);
    json_decref(answer);
    wipe(&form);
    return status;
}

int az_get_browser(struct az_credential *credential, const char *resource, struct az_grant *grant,
                   struct error *error)
{
    char verifier[64], challenge[64], state[64], nonce[64], scope[512], redirect[64],
        code[8192] = "";
    struct buffer url;
    int port = 0, status = -1;
    buffer_init(&url, 8192);
    random_text(verifier);
    random_text(state);
    random_text(nonce);
    int listener = listen_on_loopback(&port, error);
    if (listener < 0) return -1;
    az_pkce_challenge(verifier, challenge);
    az_scope(credential, resource, true, scope);
    snprintf(redirect, sizeof redirect, "http://localhost:%d", port);
    struct buffer form;
    buffer_init(&form, 8192);
    az_form(&form, "client_id", az_user_client(credential));
    az_form(&form, "response_type", "code");
    az_form(&form, "redirect_uri", redirect);
    az_form(&form, "scope", scope);
    az_form(&form, "state", state);
    az_form(&form, "code_challenge", challenge);
    az_form(&form, "code_challenge_method", "S256");
    az_form(&form, "nonce", nonce);
    az_form(&form, "prompt", "select_account");
    buffer_printf(&url, "%s/%s/oauth2/v2.0/authorize?%s", credential->cloud.authority,
                  credential->tenant, form.data ? form.data : "");
    buffer_free(&form);
    if (buffer_check(&url, "the sign-in address", error)) goto out;
    struct registry_prompt prompt = {
        .kind = "browser", .url = url.data, .expires_in = (int)BROWSER_SECONDS};
    credential->options->prompt(credential->options->prompt_context, &prompt);
    if (wait_for_browser(credential, listener, state, code, sizeof code, error)) goto out;
    status = exchange_code(credential, code, redirect, verifier, scope, grant, error);
out:
    close(listener);
    explicit_bzero(code, sizeof code);
    explicit_bzero(verifier, sizeof verifier);
    buffer_free(&url);
    return status;
}
