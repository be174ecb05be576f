/* HTTP requests to where models are deployed: libcurl with the project's rules.
 *
 * TLS is always checked; plain http goes to loopback only (and to the link-local address of Azure's
 * identity service); redirects are never followed; answers are capped; a query string (which may
 * hold a signature) never enters a message. */
#ifndef NNSTUDIO_REGISTRY_WEB_H
#define NNSTUDIO_REGISTRY_WEB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define WEB_ANSWER_LIMIT ((size_t)1 << 20)
#define WEB_MAX_HEADERS  24
#define WEB_TRIES        4

struct web; /* a client: one connection pool, used by one thread */

struct web_options {
    bool insecure_http; /* plain http may go to other machines */
    /* more certificates to trust (PEM), or NULL: the first that is set of $NNSTUDIO_CA_FILE,
     * $REQUESTS_CA_BUNDLE, $CURL_CA_BUNDLE and $SSL_CERT_FILE */
    const char *ca_file;
    bool (*cancelled)(void *context); /* asked a few times per second; NULL: never */
    void *context;
    double retry_base; /* seconds before the first new try; 0: 0.8 */
};
int web_create(const struct web_options *options, struct web **out, struct error *error);
void web_destroy(struct web *web);
bool web_cancelled(const struct web *web);
/* How many seconds to wait after try number `attempt` (from 0) has failed. */
double web_pause(const struct web *web, unsigned attempt);
/* Waits in small pieces; -1 with ERROR_INTERRUPTED when cancelled meanwhile. */
int web_wait(struct web *web, double seconds, struct error *error);

/* Headers of a request: "Name: value" each, owned. */
struct web_headers {
    char *lines[WEB_MAX_HEADERS];
    size_t count;
    bool failed;
};
void web_header(struct web_headers *headers, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void web_headers_clear(struct web_headers *headers); /* wipes them, since they may hold tokens */

struct web_request {
    const char *method; /* "GET", "PUT", … */
    const char *url;
    /* what this is for, to begin messages with: "asking for the workspace" */
    const char *what;
    const void *body; /* NULL: none */
    size_t body_size;
    /* the SHA-1 of the one certificate that is trusted, in hexadecimal, instead of a chain: for
     * endpoints that are known by it; NULL: a chain */
    const char *certificate_sha1;
    bool link_local;     /* may go to 169.254.169.254 without TLS and past any proxy */
    long timeout_ms;     /* of the whole request; 0: none beyond the low-speed limit */
    unsigned tries;      /* 0: WEB_TRIES; 1: it is sent once and never more */
    size_t answer_limit; /* 0: WEB_ANSWER_LIMIT */
    /* Adds the headers of one try (dates and signatures are new each time). May be NULL. */
    int (*prepare)(void *context, struct web_headers *headers, struct error *error);
    void *context;
    void (*progress)(void *context, uint64_t sent, uint64_t total); /* of the body; may be NULL */
    void *progress_context;
    /* the body of a 2xx answer goes there instead of into the buffer; may be NULL */
    FILE *save_to;
};

struct web_answer {
    int status;         /* 0 before an answer */
    struct buffer body; /* NUL-terminated */
    char retry_after[64], retry_after_ms[32], error_code[96], request_id[96], content_md5[64],
        location[1024], operation[1024] /* Azure-AsyncOperation */, upload_status[32], version[64],
        content_type[96], www_authenticate[2048], date[48];
    int64_t content_length; /* -1 when not told */
};
void web_answer_clear(struct web_answer *answer); /* wipes the body */

/* One request, tried again after a connection that failed or 408, 429, 500, 502, 503, 504,
 * honoring Retry-After (at most 60 s). Any HTTP answer is a success here: look at answer->status.
 * The caller clears *answer in any case. */
int web_send(struct web *web, const struct web_request *request, struct web_answer *answer,
             struct error *error);

/* The answer's body as an object, whatever its content type says; -1 with one line when it is none.
 * New reference. */
int web_answer_json(const struct web_answer *answer, const char *what, json_t **out,
                    struct error *error);

/* True when the answer is a web page: a proxy or a sign-in page of a network stands in between. */
bool web_answer_is_page(const struct web_answer *answer);
/* How long the answer asks to wait (seconds, at most 60); false when it says nothing. */
bool web_answer_pause(const struct web_answer *answer, double *seconds);
/* What Retry-After means at `now` (seconds since 1970): seconds or an HTTP date, from 0 to 60;
 * false when it is neither. */
bool web_retry_after(const char *text, int64_t now, double *seconds);

/* The address without user, password and query, for messages; static thread-local memory. */
const char *web_public_url(const char *url);
/* Percent-encodes all but unreserved characters; appended to `out`. `keep` lists further characters
 * that stay. */
void web_escape(struct buffer *out, const char *text, const char *keep);
/* True for http://127.0.0.1, http://[::1], http://localhost and names under .localhost. */
bool web_is_loopback(const char *url);

#endif
