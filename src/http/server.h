/* The HTTP server's plumbing: one event loop, requests in, replies out. Only server.c knows
 * libevent.
 *
 * Everything here belongs to the thread that calls server_run(), except server_post(). */
#ifndef NNSTUDIO_HTTP_SERVER_H
#define NNSTUDIO_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/peer.h"

struct server;
struct request; /* one request until its reply */
struct stream;  /* a reply that goes on: server-sent events */

#define HTTP_BODY_MAX        ((size_t)2 << 20)
#define HTTP_HEADERS_MAX     16384
#define HTTP_CONNECTIONS_MAX 4000
/* A request must be complete, and a kept connection used again, within this time. */
#define HTTP_PATIENCE_SECONDS 20

typedef void request_fn(void *context, struct request *request);

/* Binds and listens. Port 0 takes any free one. A port in use is named, and a free one near it. */
int server_create(const char *host, uint16_t port, request_fn *on_request, void *context,
                  struct server **out, struct error *error);
uint16_t server_port(const struct server *server);
/* Takes bodies of this size instead of HTTP_BODY_MAX. */
void server_limit_body(struct server *server, size_t size);
/* Handles events until server_stop(); server_run() is what programs call. */
void server_handle(struct server *server);
/* Leaves the loop soon. */
void server_stop(struct server *server);
void server_destroy(struct server *server); /* NULL is fine */

/* Calls `fn` every `milliseconds`, until server_cancel(). NULL when memory is out. */
typedef void server_fn(void *context);
struct watch;
struct watch *server_every(struct server *server, int milliseconds, server_fn *fn, void *context);
/* Calls `fn` whenever `fd` is readable. */
struct watch *server_on_readable(struct server *server, int fd, server_fn *fn, void *context);
/* Calls `fn` on the loop when the signal comes. */
struct watch *server_on_signal(struct server *server, int number, server_fn *fn, void *context);
void server_cancel(struct watch *watch); /* NULL is fine */
/* attend.c. Handles events until server_stop(), after one call of `ready`. `watches` are those that
 * last as long: -1 when there was no memory for one, and all are cancelled at the end. */
int server_run(struct server *server, struct watch *const *watches, size_t count, server_fn *ready,
               void *context, struct error *error);
/* From any thread: calls `fn` on the loop's thread. Never fails for want of memory: `post` is the
 * caller's and must stay until `fn` runs. */
struct post {
    server_fn *fn;
    void *context;
    struct post *next;
};
void server_post(struct server *server, struct post *post);

/* --- a request --- */

const char *request_method(const struct request *request); /* "GET" … */
const char *request_target(const struct request *request); /* as sent: "/api/runs?limit=2" */
/* The value of a header; NULL when absent. `request_header_count` tells how often it was sent. */
const char *request_header(const struct request *request, const char *name);
size_t request_header_count(const struct request *request, const char *name);
/* Who asks, as it was when the connection came. */
enum peer request_peer(const struct request *request);
/* What is wrong with the request's form, so that its end may lie elsewhere than libevent took it to
 * be; NULL: nothing. Such a request is refused, and its connection closed. */
const char *request_malformed(const struct request *request);
const char *request_body(const struct request *request, size_t *size); /* never NULL */
void *request_data(const struct request *request); /* what request_set_data() set */
/* `destroy` (may be NULL) is called with `data` when the request is done with. */
void request_set_data(struct request *request, void *data, server_fn *destroy);

/* Whether its client has closed the connection, or its side of it, before there was an answer. */
bool request_abandoned(const struct request *request);

/* Exactly one of the four below ends a request; it may come later, and the client may be gone by
 * then. */
/* before the reply */
void request_add_header(struct request *request, const char *name, const char *value);
/* The body is copied. For HEAD only its length is told. */
void request_reply(struct request *request, int status, const char *type, const void *body,
                   size_t size);
/* As request_reply, of memory that stays for ever (assets). */
void request_reply_static(struct request *request, int status, const char *type, const void *body,
                          size_t size);
/* A whole file, sent without holding it in memory. On failure nothing was sent. */
int request_reply_file(struct request *request, const char *path, const char *type,
                       struct error *error);
/* Opens a stream of server-sent events; `on_close` is called once, when the client went or the
 * server ends. NULL: it could not be, and a reply was sent. */
struct stream *request_reply_stream(struct request *request, server_fn *on_close, void *context);

/* Text that many streams send. */
struct shared_text;
/* one reference; NULL when memory is out */
struct shared_text *shared_text_create(const char *text, size_t length);
void shared_text_release(struct shared_text *text);
void stream_send(struct stream *stream, struct shared_text *text);
/* Bytes that wait for a slow reader. */
size_t stream_backlog(const struct stream *stream);
void stream_close(struct stream *stream); /* on_close is called */

#endif
