#include "http/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/framing.h"
#include "http/listen.h"

/* A connection as the patience counts it, by its file descriptor. libevent does not tell when a
 * connection ends, so the kernel's cookie of the socket tells whether the descriptor still is what
 * it was. */
struct connection {
    uint64_t cookie;     /* 0: none here */
    double since;        /* when it began to wait for a request; 0 while one is being answered */
    struct framing head; /* of the request that comes or is being answered */
    enum peer peer;
};
#define FILES_MAX 16384

struct server {
    struct event_base *base;
    struct evhttp *http;
    uint16_t port;
    request_fn *on_request;
    void *context;
    struct connection connections[FILES_MAX];
    int connections_end; /* none at or after this descriptor */
    size_t connection_count;
    struct watch *sweep;
    struct watch *wake;
    int wake_fd;           /* eventfd: something was posted */
    pthread_mutex_t mutex; /* of posts */
    struct post *posts, **posts_end;
    struct stream *streams;
};

struct request {
    struct server *server;
    struct evhttp_request *raw;
    void *data;
    server_fn *destroy;
};

struct stream {
    struct server *server;
    struct evhttp_request *raw;
    struct evhttp_connection *connection;
    server_fn *on_close;
    void *context;
    struct stream *next, **previous;
};

struct watch {
    struct event *event;
    server_fn *fn;
    void *context;
    int fd; /* -1: none to drain */
};

/* --- watches and posts --- */

static void watch_fired(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct watch *watch = context;
    watch->fn(watch->context);
}

static struct watch *watch_create(struct server *server, int fd, short what, server_fn *fn,
                                  void *context, int milliseconds)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    *watch = (struct watch){.fn = fn, .context = context};
    watch->event = event_new(server->base, fd, what, watch_fired, watch);
    const struct timeval period = {milliseconds / 1000, milliseconds % 1000 * 1000};
    if (watch->event && !event_add(watch->event, milliseconds ? &period : NULL)) return watch;
    server_cancel(watch);
    return NULL;
}

struct watch *server_every(struct server *server, int milliseconds, server_fn *fn, void *context)
{
    return watch_create(server, -1, EV_PERSIST, fn, context, milliseconds);
}

struct watch *server_on_readable(struct server *server, int fd, server_fn *fn, void *context)
{
    return watch_create(server, fd, EV_READ | EV_PERSIST, fn, context, 0);
}

struct watch *server_on_signal(struct server *server, int number, server_fn *fn, void *context)
{
    return watch_create(server, number, EV_SIGNAL | EV_PERSIST, fn, context, 0);
}

void server_cancel(struct watch *watch)
{
    if (!watch) return;
    if (watch->event) event_free(watch->event);
    free(watch);
}

void server_post(struct server *server, struct post *post)
{
    post->next = NULL;
    pthread_mutex_lock(&server->mutex);
    *server->posts_end = post;
    server->posts_end = &post->next;
    pthread_mutex_unlock(&server->mutex);
    uint64_t one = 1;
    /* fails only when it is full, and then it wakes anyway */
    ssize_t ignored = write(server->wake_fd, &one, sizeof one);
    (void)ignored;
}

static void run_posts(void *context)
{
    struct server *server = context;
    uint64_t count;
    if (server->wake_fd < 0) return; /* it was never set up */
    ssize_t ignored = read(server->wake_fd, &count, sizeof count);
    (void)ignored;
    pthread_mutex_lock(&server->mutex);
    struct post *post = server->posts;
    server->posts = NULL;
    server->posts_end = &server->posts;
    pthread_mutex_unlock(&server->mutex);
    while (post) {
        struct post *next = post->next; /* fn may free it */
        post->fn(post->context);
        post = next;
    }
}

/* --- connections and patience --- */

static uint64_t socket_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length)) return 0;
    return cookie;
}

static struct connection *connection_find(struct server *server, struct evhttp_connection *link)
{
    int fd = link ? bufferevent_getfd(evhttp_connection_get_bufferevent(link)) : -1;
    return fd >= 0 && fd < FILES_MAX ? &server->connections[fd] : NULL;
}

/* Looks at what has come, before libevent makes strings and numbers of it. */
static void scan_arrived(struct evbuffer *input, const struct evbuffer_cb_info *info, void *context)
{
    struct framing *head = context;
    size_t length = evbuffer_get_length(input);
    if (head->part == FRAMING_OVER || !info->n_added || info->n_added > length) return;
    struct evbuffer_ptr place;
    struct evbuffer_iovec parts[16];
    if (evbuffer_ptr_set(input, &place, length - info->n_added, EVBUFFER_PTR_SET)) return;
    int count = evbuffer_peek(input, -1, &place, parts, 16);
    if (count > 16) head->bad = true; /* a read brings a few parts at most */
    for (int i = 0; i < count && i < 16; i++)
        framing_scan(head, parts[i].iov_base, parts[i].iov_len);
}

/* The next request on a connection: its first bytes may have come with the one before. */
static void expect_request(struct server *server, struct evhttp_connection *link)
{
    struct connection *connection = connection_find(server, link);
    if (!connection) return;
    connection->since = clock_monotonic();
    connection->head = (struct framing){0};
    struct evbuffer *input = bufferevent_get_input(evhttp_connection_get_bufferevent(link));
    struct evbuffer_cb_info all = {.n_added = evbuffer_get_length(input)};
    scan_arrived(input, &all, &connection->head);
}

struct arrival {
    struct server *server;
    struct bufferevent *bev;
};

/* Runs in the same turn of the loop as new_connection(), when the bufferevent has got its
 * descriptor. */
static void note_arrival(evutil_socket_t unused, short what, void *context)
{
    (void)unused;
    (void)what;
    struct arrival *arrival = context;
    struct server *server = arrival->server;
    struct bufferevent *bev = arrival->bev;
    int fd = bufferevent_getfd(bev);
    free(arrival);
    if (fd < 0) return;
    if (fd >= FILES_MAX || server->connection_count >= HTTP_CONNECTIONS_MAX) {
        shutdown(fd, SHUT_RDWR); /* libevent sees its end and frees it */
        return;
    }
    if (!server->connections[fd].cookie) server->connection_count++;
    server->connections[fd] = (struct connection){
        .cookie = socket_cookie(fd), .since = clock_monotonic(), .peer = peer_of(fd)};
    if (!evbuffer_add_cb(bufferevent_get_input(bev), scan_arrived, &server->connections[fd].head))
        shutdown(fd, SHUT_RDWR);
    if (fd >= server->connections_end) server->connections_end = fd + 1;
}

/* libevent asks for the bufferevent of a connection it has just accepted. */
static struct bufferevent *new_connection(struct event_base *base, void *context)
{
    struct arrival *arrival = malloc(sizeof *arrival);
    struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
    if (arrival && bev) {
        *arrival = (struct arrival){context, bev};
        if (!event_base_once(base, -1, EV_TIMEOUT, note_arrival, arrival, NULL)) return bev;
    }
    free(arrival);
    return bev; /* NULL: the connection is dropped */
}

/* Forgets what is over, ends what is too slow: a shutdown makes libevent see the end of it. */
static void sweep(void *context)
{
    struct server *server = context;
    double now = clock_monotonic();
    int end = 0;
    for (int fd = 0; fd < server->connections_end; fd++) {
        struct connection *connection = &server->connections[fd];
        if (!connection->cookie) continue;
        if (socket_cookie(fd) != connection->cookie) {
            *connection = (struct connection){0};
            server->connection_count--;
            continue;
        }
        if (connection->since > 0 && now - connection->since > HTTP_PATIENCE_SECONDS)
            shutdown(fd, SHUT_RDWR);
        end = fd + 1;
    }
    server->connections_end = end;
}

/* --- requests --- */

static const struct {
    enum evhttp_cmd_type type;
    const char *name;
    /* clang-format off */
} methods[] = {
    {EVHTTP_REQ_GET, "GET"},       {EVHTTP_REQ_HEAD, "HEAD"},       {EVHTTP_REQ_POST, "POST"},
    {EVHTTP_REQ_PUT, "PUT"},       {EVHTTP_REQ_PATCH, "PATCH"},     {EVHTTP_REQ_DELETE, "DELETE"},
    {EVHTTP_REQ_OPTIONS, "OPTIONS"}, {EVHTTP_REQ_TRACE, "TRACE"},
};
/* clang-format on */

const char *request_method(const struct request *request)
{
    enum evhttp_cmd_type type = evhttp_request_get_command(request->raw);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (methods[i].type == type) return methods[i].name;
    return "";
}

const char *request_target(const struct request *request)
{
    const char *target = evhttp_request_get_uri(request->raw);
    return target ? target : "";
}

const char *request_header(const struct request *request, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(request->raw), name);
}

size_t request_header_count(const struct request *request, const char *name)
{
    size_t count = 0;
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(request->raw);
    for (const struct evkeyval *header = headers->tqh_first; header; header = header->next.tqe_next)
        count += strcasecmp(header->key, name) == 0;
    return count;
}

enum peer request_peer(const struct request *request)
{
    const struct connection *connection = connection_find(
        request->server, evhttp_request_get_connection(request->raw));
    return connection ? connection->peer : PEER_UNKNOWN;
}

const char *request_malformed(const struct request *request)
{
    static const char *const once[] = {"Host",         "Origin",        "Content-Length",
                                       "Content-Type", "Authorization", "Transfer-Encoding"};
    const struct connection *connection = connection_find(
        request->server, evhttp_request_get_connection(request->raw));
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(request->raw);
    const char *length = request_header(request, "Content-Length"),
               *encoding = request_header(request, "Transfer-Encoding");
    if (connection && connection->head.bad)
        return "the request's head holds control characters or folded lines, or a chunk without a "
               "size: send plain lines";
    for (const struct evkeyval *header = headers->tqh_first; header; header = header->next.tqe_next)
        if (!framing_name_ok(header->key))
            return "a header's name is not one: write \"Name: value\" without a space before the "
                   "colon";
    for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
        if (request_header_count(request, once[i]) > 1)
            return "the request says its host, origin, length or type twice: send one of them";
    if (length && encoding)
        return "the request's length is given in two ways: send Content-Length or "
               "Transfer-Encoding";
    if (length && !framing_length_ok(length))
        return "the Content-Length is not a number: send digits only";
    if (encoding && !framing_encoding_ok(encoding))
        return "the Transfer-Encoding is not known: send \"chunked\" or a Content-Length";
    return NULL;
}

/* libevent reads nothing while an answer is awaited, so the kernel is asked. */
bool request_abandoned(const struct request *request)
{
    struct evhttp_connection *link = evhttp_request_get_connection(request->raw);
    int fd = link ? bufferevent_getfd(evhttp_connection_get_bufferevent(link)) : -1;
    struct pollfd state = {.fd = fd, .events = POLLRDHUP};
    return fd < 0 || poll(&state, 1, 0) > 0;
}

const char *request_body(const struct request *request, size_t *size)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request->raw);
    *size = evbuffer_get_length(body);
    const char *bytes = *size ? (const char *)evbuffer_pullup(body, -1) : "";
    if (!bytes) *size = 0;
    return bytes ? bytes : "";
}

void *request_data(const struct request *request)
{
    return request->data;
}

void request_set_data(struct request *request, void *data, server_fn *destroy)
{
    request->data = data;
    request->destroy = destroy;
}

void request_add_header(struct request *request, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(request->raw), name, value);
}

static void request_free(struct request *request)
{
    if (request->destroy) request->destroy(request->data);
    free(request);
}

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {303, "See Other"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Unknown";
}

/* From here the connection waits for its next request. */
static void replied(struct evhttp_request *raw, void *context)
{
    expect_request(context, evhttp_request_get_connection(raw));
}

static void reply_with(struct request *request, int status, const char *type, struct evbuffer *body)
{
    char length[24];
    if (type) request_add_header(request, "Content-Type", type);
    if (evhttp_request_get_command(request->raw) == EVHTTP_REQ_HEAD) {
        snprintf(length, sizeof length, "%zu", evbuffer_get_length(body));
        request_add_header(request, "Content-Length", length);
        evbuffer_drain(body, evbuffer_get_length(body));
    }
    evhttp_request_set_on_complete_cb(request->raw, replied, request->server);
    evhttp_send_reply(request->raw, status, reason_of(status), body);
    request_free(request);
}

static void reply_out_of_memory(struct request *request)
{
    evhttp_send_error(request->raw, 500, NULL);
    request_free(request);
}

void request_reply(struct request *request, int status, const char *type, const void *body,
                   size_t size)
{
    struct evbuffer *buffer = evbuffer_new();
    if (buffer && !evbuffer_add(buffer, body, size))
        reply_with(request, status, type, buffer);
    else
        reply_out_of_memory(request);
    if (buffer) evbuffer_free(buffer);
}

void request_reply_static(struct request *request, int status, const char *type, const void *body,
                          size_t size)
{
    struct evbuffer *buffer = evbuffer_new();
    if (buffer && !evbuffer_add_reference(buffer, body, size, NULL, NULL))
        reply_with(request, status, type, buffer);
    else
        reply_out_of_memory(request);
    if (buffer) evbuffer_free(buffer);
}

int request_reply_file(struct request *request, const char *path, const char *type,
                       struct error *error)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return error_set_errno(error, errno, "cannot read %s", path);
    if (fstat(fd, &info) || !S_ISREG(info.st_mode)) {
        close(fd);
        return error_set(error, ERROR_NOT_FOUND, "%s is no longer a file", path);
    }
    struct evbuffer *buffer = evbuffer_new();
    if (!buffer || (info.st_size && evbuffer_add_file(buffer, fd, 0, info.st_size))) {
        if (buffer) evbuffer_free(buffer);
        close(fd);
        return error_set_memory(error, "a file");
    }
    if (!info.st_size) close(fd);
    reply_with(request, 200, type, buffer);
    evbuffer_free(buffer);
    return 0;
}

static void on_request(struct evhttp_request *raw, void *context)
{
    struct server *server = context;
    struct connection *connection = connection_find(server, evhttp_request_get_connection(raw));
    if (connection) connection->since = 0;
    struct request *request = calloc(1, sizeof *request);
    if (!request) {
        evhttp_send_error(raw, 500, NULL);
        return;
    }
    *request = (struct request){.server = server, .raw = raw};
    /* The analyzer takes an unknown connection for an unknown server. */
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    server->on_request(server->context, request);
}

/* --- streams --- */

struct shared_text {
    size_t references;
    size_t length;
    char text[];
};

struct shared_text *shared_text_create(const char *text, size_t length)
{
    struct shared_text *shared = malloc(sizeof *shared + length);
    if (!shared) return NULL;
    shared->references = 1;
    shared->length = length;
    memcpy(shared->text, text, length);
    return shared;
}

void shared_text_release(struct shared_text *text)
{
    if (text && --text->references == 0) free(text);
}

static void release_reference(const void *bytes, size_t length, void *context)
{
    (void)bytes;
    (void)length;
    shared_text_release(context);
}

void stream_send(struct stream *stream, struct shared_text *text)
{
    struct evbuffer *buffer = evbuffer_new();
    if (!buffer) return;
    text->references++;
    if (evbuffer_add_reference(buffer, text->text, text->length, release_reference, text))
        shared_text_release(text);
    else
        evhttp_send_reply_chunk(stream->raw, buffer);
    evbuffer_free(buffer);
}

size_t stream_backlog(const struct stream *stream)
{
    return evbuffer_get_length(
        bufferevent_get_output(evhttp_connection_get_bufferevent(stream->connection)));
}

static void stream_forget(struct stream *stream)
{
    *stream->previous = stream->next;
    if (stream->next) stream->next->previous = stream->previous;
    stream->on_close(stream->context);
    free(stream);
}

/* The connection is being freed; the request is ours to free, which is what ending a reply without
 * one does. */
static void stream_lost(struct evhttp_connection *link, void *context)
{
    (void)link;
    struct stream *stream = context;
    struct evhttp_request *raw = stream->raw;
    stream_forget(stream);
    if (!evhttp_request_get_connection(raw)) evhttp_send_reply_end(raw);
}

void stream_close(struct stream *stream)
{
    struct evhttp_request *raw = stream->raw;
    evhttp_connection_set_closecb(stream->connection, NULL, NULL);
    stream_forget(stream);
    evhttp_send_reply_end(raw);
}

struct stream *request_reply_stream(struct request *request, server_fn *on_close, void *context)
{
    struct server *server = request->server;
    struct evhttp_connection *link = evhttp_request_get_connection(request->raw);
    struct stream *stream = link ? calloc(1, sizeof *stream) : NULL;
    if (!stream) {
        reply_out_of_memory(request);
        return NULL;
    }
    *stream = (struct stream){server,          request->raw,    link, on_close, context,
                              server->streams, &server->streams};
    if (stream->next) stream->next->previous = &stream->next;
    server->streams = stream;
    /* No reader is waited for, but one that takes nothing for a minute is gone. What it sends is
     * not read on for ever. */
    struct bufferevent *bev = evhttp_connection_get_bufferevent(link);
    const struct timeval patience = {60, 0};
    evhttp_connection_set_closecb(link, stream_lost, stream);
    request_add_header(request, "Content-Type", "text/event-stream");
    request_add_header(request, "Cache-Control", "no-store");
    evhttp_send_reply_start(request->raw, 200, reason_of(200));
    bufferevent_set_timeouts(bev, NULL, &patience);
    bufferevent_setwatermark(bev, EV_READ, 0, 4096);
    int on = 1;
    setsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    request_free(request);
    return stream;
}

/* --- the server --- */

/* A thousand listeners need a thousand files. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void no_log(int severity, const char *message)
{
    (void)severity;
    (void)message;
}

static int set_up(struct server *server, const char *host, uint16_t port, struct error *error)
{
    server->base = event_base_new();
    server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!server->base || server->wake_fd < 0) return error_set_memory(error, "the event loop");
    server->http = evhttp_new(server->base);
    server->sweep = server_every(server, 1000, sweep, server);
    server->wake = server_on_readable(server, server->wake_fd, run_posts, server);
    if (!server->http || !server->sweep || !server->wake)
        return error_set_memory(error, "the event loop");
    int fd = listen_open(host, port, &server->port, error);
    if (fd < 0) return -1;
    if (evhttp_accept_socket(server->http, fd)) {
        close(fd);
        return error_set_memory(error, "the server");
    }
    ev_uint16_t allowed = 0;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        allowed |= (ev_uint16_t)methods[i].type;
    evhttp_set_allowed_methods(server->http, allowed);
    evhttp_set_max_headers_size(server->http, HTTP_HEADERS_MAX);
    evhttp_set_max_body_size(server->http, (ev_ssize_t)HTTP_BODY_MAX);
    evhttp_set_timeout(server->http, HTTP_PATIENCE_SECONDS);
    evhttp_set_default_content_type(server->http, NULL);
    evhttp_set_bevcb(server->http, new_connection, server);
    evhttp_set_gencb(server->http, on_request, server);
    return 0;
}

int server_create(const char *host, uint16_t port, request_fn *on_request_fn, void *context,
                  struct server **out, struct error *error)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server) return error_set_memory(error, "the server");
    *server = (struct server){.on_request = on_request_fn, .context = context, .wake_fd = -1};
    server->posts_end = &server->posts;
    pthread_mutex_init(&server->mutex, NULL);
    signal(SIGPIPE, SIG_IGN);
    event_set_log_callback(no_log);
    raise_file_limit();
    if (set_up(server, host, port, error)) {
        server_destroy(server);
        return -1;
    }
    *out = server;
    return 0;
}

uint16_t server_port(const struct server *server)
{
    return server->port;
}

void server_limit_body(struct server *server, size_t size)
{
    evhttp_set_max_body_size(server->http, (ev_ssize_t)size);
}

void server_handle(struct server *server)
{
    event_base_dispatch(server->base);
}

void server_stop(struct server *server)
{
    event_base_loopbreak(server->base);
}

void server_destroy(struct server *server)
{
    if (!server) return;
    run_posts(server); /* what threads finished after the loop had ended owns requests */
    /* Each takes itself out of the list. */
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    while (server->streams) stream_close(server->streams);
    if (server->http) evhttp_free(server->http);
    server_cancel(server->sweep);
    server_cancel(server->wake);
    if (server->base) event_base_free(server->base);
    if (server->wake_fd >= 0) close(server->wake_fd);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}
