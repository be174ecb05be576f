#include "http/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/security.h"

#define TOKEN_MIN 8

int gate_open(struct gate *gate, const char *host, const char *token, struct error *error)
{
    gate->host = host;
    gate->loopback = security_is_loopback(host);
    gate->token = token;
    if (token && strlen(token) < TOKEN_MIN)
        return error_set(
            error, ERROR_USAGE,
            "the token is too short: give at least %d characters, or none to have one made",
            TOKEN_MIN);
    gate->own_pass = gate->loopback && !token && peer_is_known_here();
    if (token) return 0;
    security_make_token(gate->made);
    gate->token = gate->made;
    return 0;
}

void gate_address(const struct gate *gate, uint16_t port, char out[GATE_ADDRESS_SIZE])
{
    const char *host = gate->host;
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) host = "127.0.0.1";
    bool v6 = strchr(host, ':') != NULL;
    int used = snprintf(out, GATE_ADDRESS_SIZE, "http://%s%s%s:%u/", v6 ? "[" : "", host,
                        v6 ? "]" : "", port);
    if (!gate->own_pass && used > 0 && used < GATE_ADDRESS_SIZE)
        snprintf(out + used, (size_t)(GATE_ADDRESS_SIZE - used), "?token=%s", gate->token);
}

const char *gate_target(const struct request *request)
{
    char authority[HOST_SIZE];
    const char *local = security_local_target(request_target(request), authority);
    return local ? local : "";
}

void gate_cookie(uint16_t port, char out[GATE_COOKIE_SIZE])
{
    snprintf(out, GATE_COOKIE_SIZE, "nnstudio_token_%u", port);
}

const char *gate_address_token(const struct request *request)
{
    const char *target = gate_target(request), *mark = strstr(target, "?token=");
    if (!mark || strncmp(target, "/api", 4) == 0 || target[0] != '/' || target[1] == '/')
        return NULL;
    return mark + 7;
}

/* Others than this user's own processes give it as a header, a cookie, or once on a page's
 * address. */
static bool gives_token(const struct gate *gate, uint16_t port, const struct request *request)
{
    char cookie[128], name[GATE_COOKIE_SIZE];
    const char *header = request_header(request, "Authorization");
    if (header && strncasecmp(header, "Bearer ", 7) == 0)
        return security_token_equal(header + 7, gate->token);
    if (security_token_equal(gate_address_token(request), gate->token)) return true;
    gate_cookie(port, name);
    return security_cookie(request_header(request, "Cookie"), name, cookie, sizeof cookie) &&
           security_token_equal(cookie, gate->token);
}

/* So many guesses at a time; while they wait no further one is looked at. */
#define HELD_MAX 64

static bool brings_token(const struct gate *gate, uint16_t port, const struct request *request)
{
    char cookie[128], name[GATE_COOKIE_SIZE];
    gate_cookie(port, name);
    return request_header(request, "Authorization") || gate_address_token(request) ||
           (gate->token &&
            security_cookie(request_header(request, "Cookie"), name, cookie, sizeof cookie));
}

/* Someone is trying: said at most once a minute. */
static void tell_wrong_token(struct gate *gate)
{
    double now = clock_monotonic();
    if (gate->told > 0 && now - gate->told < 60) return;
    gate->told = now;
    log_line("a request with a wrong token was refused");
}

static bool refuse(struct refusal *refusal, int status, const char *code, const char *message)
{
    *refusal = (struct refusal){.status = status, .code = code, .message = message};
    return false;
}

/* Another page's script, or a name of another machine that was made to point here. */
static bool is_ours(const struct gate *gate, const struct request *request, const char *authority,
                    struct refusal *refusal)
{
    const char *host = request_header(request, "Host"),
               *site = request_header(request, "Sec-Fetch-Site"),
               *mode = request_header(request, "Sec-Fetch-Mode");
    if (authority[0] && !security_host_ok(authority, gate->host))
        return refuse(refusal, 403, "denied",
                      "the address is not this studio's: open it by the address that nnstudio "
                      "serve printed");
    if (!security_host_ok(host, gate->host))
        return refuse(
            refusal, 403, "denied",
            "the Host is not this studio's: open it by the address that nnstudio serve printed");
    if (!security_origin_ok(request_header(request, "Origin"), host))
        return refuse(refusal, 403, "denied",
                      "another page's script may not ask the studio: open the studio's own page");
    if (site && mode && strcmp(mode, "navigate") != 0 && strcmp(site, "same-origin") != 0 &&
        strcmp(site, "none") != 0)
        return refuse(refusal, 403, "denied",
                      "another page may not use the studio's files: open the studio's own page");
    return true;
}

bool gate_admits(struct gate *gate, uint16_t port, struct request *request, struct refusal *refusal)
{
    char authority[HOST_SIZE];
    const char *malformed = request_malformed(request);
    if (malformed) {
        request_add_header(request, "Connection", "close");
        return refuse(refusal, 400, "input", malformed);
    }
    if (!security_local_target(request_target(request), authority))
        return refuse(refusal, 400, "input",
                      "the request's address is not well formed: send its path");
    bool own = gate->own_pass && request_peer(request) == PEER_OWN;
    if (gate->held >= HELD_MAX && !own && brings_token(gate, port, request))
        return refuse(refusal, 429, "busy",
                      "too many wrong tokens are being tried: try again in a second");
    bool token = gives_token(gate, port, request);
    if (gate->any_name && token) return true;
    if (!is_ours(gate, request, authority, refusal)) return false;
    if (token || own) return true;
    request_add_header(request, "WWW-Authenticate", "Bearer");
    bool wrong = brings_token(gate, port, request);
    if (wrong) tell_wrong_token(gate);
    refuse(refusal, 401, "token",
           "a token is needed: open the address with ?token= that nnstudio serve printed");
    refusal->wrong_token = wrong;
    return false;
}

/* --- refusing --- */

/* A guess is answered after a second. */
#define WRONG_TOKEN_MS 1000

struct late_refusal {
    struct gate *gate;
    struct request *request;
    struct refusal refusal;
    gate_answer_fn *answer;
    void *context;
    struct watch *timer;
};

static void refuse_now(void *context)
{
    struct late_refusal *late = context;
    late->gate->held--;
    server_cancel(late->timer);
    late->answer(late->context, late->request, &late->refusal);
    free(late);
}

void gate_refuse(struct gate *gate, struct server *server, struct request *request,
                 const struct refusal *refusal, gate_answer_fn *answer, void *context)
{
    struct late_refusal *late = refusal->wrong_token ? calloc(1, sizeof *late) : NULL;
    if (late) {
        *late = (struct late_refusal){gate, request, *refusal, answer, context, NULL};
        late->timer = server_every(server, WRONG_TOKEN_MS, refuse_now, late);
    }
    if (late && late->timer) {
        gate->held++;
        return;
    }
    free(late);
    answer(context, request, refusal);
}
