#include "http/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/js.h"
#include "base/log.h"

/* A reader with more than this waiting gets nothing new until it has caught up: then all at once,
 * merged. */
#define BACKLOG_MAX       ((size_t)64 << 10)
#define HEARTBEAT_SECONDS 15.0
/* Who is further behind than this reads everything anew: that is less than sending it. */
#define STEPS_MAX  50000
#define TEXT_MAX   ((size_t)16 << 20)
#define CACHE_SIZE 4

struct listener {
    struct hub *hub;
    struct stream *stream;
    int64_t sent; /* id of the last event that this one was told */
    double last_write;
    struct listener *next, **previous;
};

struct hub {
    struct studio *studio;
    struct listener *listeners;
    size_t count;
    int64_t last; /* id of the newest event */
    struct shared_text *heartbeat;
    /* Texts made lately: most listeners stand at the same place. */
    struct {
        int64_t from, to;
        struct shared_text *text;
    } cache[CACHE_SIZE];
    int cache_next;
    bool troubled; /* the database could not be read; said once */
};

/* --- what a stretch of events says --- */

struct item {
    char kind[12]; /* "": nothing is told */
    char run[64];
    char engine[32];
    int64_t first, count;
    char *data; /* owned; task only */
};
struct digest {
    struct item *items;
    size_t count, room;
    int64_t steps;
};

static void digest_free(struct digest *digest)
{
    for (size_t i = 0; i < digest->count; i++) free(digest->items[i].data);
    free(digest->items);
}

static struct item *digest_add(struct digest *digest)
{
    if (digest->count == digest->room) {
        size_t room = digest->room ? digest->room * 2 : 32;
        struct item *grown = realloc(digest->items, room * sizeof *grown);
        if (!grown) return NULL;
        digest->items = grown;
        digest->room = room;
    }
    digest->items[digest->count] = (struct item){0};
    return &digest->items[digest->count++];
}

/* The last item of a kind about a run. */
static struct item *digest_last(struct digest *digest, const char *run, const char *kind)
{
    for (size_t i = digest->count; i-- > 0;)
        if (strcmp(digest->items[i].run, run) == 0 && strcmp(digest->items[i].kind, kind) == 0)
            return &digest->items[i];
    return NULL;
}

/* Steps that follow each other become one message. Of a run's states only the last is told, in its
 * place: a message says what a run is now, so an earlier one would say that it has finished before
 * its last points are told. */
static int digest_event(void *context, const struct store_event *event, struct error *error)
{
    struct digest *digest = context;
    bool steps = strcmp(event->kind, "steps") == 0;
    if (steps) {
        struct item *before = digest_last(digest, event->run, "steps");
        digest->steps += event->count;
        if (before && before->first + before->count == event->first &&
            strcmp(before->engine, event->data) == 0) {
            before->count += event->count;
            return 0;
        }
    } else if (strcmp(event->kind, "run") == 0) {
        struct item *before = digest_last(digest, event->run, "run");
        if (before) before->kind[0] = '\0';
    }
    struct item *item = digest_add(digest);
    if (!item) return error_set_memory(error, "a message");
    memcpy(item->kind, event->kind, sizeof item->kind);
    memcpy(item->run, event->run, sizeof item->run);
    item->first = event->first;
    item->count = event->count;
    if (steps)
        snprintf(item->engine, sizeof item->engine, "%s", event->data);
    else if (event->data[0])
        item->data = strdup(event->data);
    return 0;
}

static int write_steps(struct store *store, const struct item *item, struct buffer *out,
                       struct error *error)
{
    struct points points;
    uint64_t last = (uint64_t)(item->first + item->count - 1);
    if (store_points(store, item->run, (uint64_t)item->first, last, 0, &points, error))
        return error->code == ERROR_NOT_FOUND ? 0 : -1;
    if (points.count) {
        buffer_printf(out, "{\"run\":\"%s\",\"engine\":\"%s\",\"first_step\":%llu,\"losses\":[",
                      item->run, item->engine, (unsigned long long)points.step[0]);
        for (size_t i = 0; i < points.count; i++)
            buffer_printf(out, i ? ",%.17g" : "%.17g", points.loss[i]);
        buffer_printf(out, "],\"seconds\":%.9g}", points.seconds[points.count - 1]);
    }
    points_free(&points);
    return 0;
}

static int write_json(json_t *value, struct buffer *out)
{
    char *text = value ? js_dump(value) : NULL;
    json_decref(value);
    if (text) buffer_append_text(out, text);
    free(text);
    return 0;
}

/* The data of a message; nothing when what it is about is gone. */
static int write_data(struct store *store, const struct item *item, struct buffer *out,
                      struct error *error)
{
    json_t *value = NULL;
    if (strcmp(item->kind, "steps") == 0) return write_steps(store, item, out, error);
    if (strcmp(item->kind, "run") == 0) {
        if (!store_run_json(store, item->run, false, &value, error)) return write_json(value, out);
        return error->code == ERROR_NOT_FOUND ? 0 : -1;
    }
    if (strcmp(item->kind, "epoch") == 0)
        return store_epoch_json(store, item->run, item->first, &value, error)
                   ? -1
                   : write_json(value, out);
    if (strcmp(item->kind, "log") == 0)
        return store_log_json(store, item->run, item->first, &value, error)
                   ? -1
                   : write_json(value, out);
    if (strcmp(item->kind, "removed") == 0)
        return write_json(json_pack("{s:s}", "run", item->run), out);
    if (item->data) buffer_append_text(out, item->data);
    return 0;
}

/* All messages of a stretch carry the id from before it, the last one the id after it: a connection
 * that breaks in between gets the stretch again, and nothing is lost. */
static int write_messages(struct store *store, const struct digest *digest, int64_t from,
                          int64_t to, struct buffer *out, struct error *error)
{
    struct buffer data;
    buffer_init(&data, TEXT_MAX);
    int status = 0;
    for (size_t i = 0; i < digest->count && !status; i++) {
        buffer_clear(&data);
        status = write_data(store, &digest->items[i], &data, error) ||
                 buffer_check(&data, "a message", error);
        if (status || !data.length) continue;
        if (out->length) buffer_printf(out, "id: %lld\n\n", (long long)from);
        buffer_printf(out, "event: %s\ndata: ", digest->items[i].kind);
        buffer_append(out, data.data, data.length);
        buffer_append_char(out, '\n');
    }
    if (out->length) buffer_printf(out, "id: %lld\n\n", (long long)to);
    buffer_free(&data);
    return status ? -1 : buffer_check(out, "the stream", error);
}

static int render(struct hub *hub, int64_t from, int64_t to, struct buffer *out,
                  struct error *error)
{
    struct digest digest = {0};
    struct store *store = hub->studio->store;
    int64_t first;
    int status = store_first_event(store, &first, error);
    if (!status && from + 1 >= first && from <= to) {
        status = store_events(store, from, to, digest_event, &digest, error);
        if (!status && digest.steps <= STEPS_MAX) {
            status = write_messages(store, &digest, from, to, out, error);
            goto out;
        }
    }
    if (!status) buffer_printf(out, "id: %lld\nevent: reset\ndata: {}\n\n", (long long)to);
out:
    digest_free(&digest);
    return status;
}

/* The text that brings a listener from `from` to the newest event; NULL when there is trouble. A
 * reference. */
static struct shared_text *text_since(struct hub *hub, int64_t from)
{
    for (int i = 0; i < CACHE_SIZE; i++)
        if (hub->cache[i].text && hub->cache[i].from == from && hub->cache[i].to == hub->last)
            return hub->cache[i].text;
    struct buffer out;
    struct error error;
    struct shared_text *text = NULL;
    buffer_init(&out, 2 * TEXT_MAX);
    if (!render(hub, from, hub->last, &out, &error)) {
        text = shared_text_create(out.data ? out.data : "", out.length);
        hub->troubled = false;
    } else if (!hub->troubled) {
        hub->troubled = true;
        log_error(&error);
    }
    buffer_free(&out);
    if (!text) return NULL;
    int place = hub->cache_next++ % CACHE_SIZE;
    shared_text_release(hub->cache[place].text);
    hub->cache[place].from = from;
    hub->cache[place].to = hub->last;
    hub->cache[place].text = text;
    return text;
}

static void bring_up_to_date(struct hub *hub, struct listener *listener, double now)
{
    if (listener->sent != hub->last && stream_backlog(listener->stream) < BACKLOG_MAX) {
        struct shared_text *text = text_since(hub, listener->sent);
        if (!text) return;
        listener->sent = hub->last;
        listener->last_write = now;
        stream_send(listener->stream, text);
    } else if (now - listener->last_write > HEARTBEAT_SECONDS) {
        listener->last_write = now;
        stream_send(listener->stream, hub->heartbeat);
    }
}

void hub_tick(struct hub *hub)
{
    struct error error;
    if (store_last_event(hub->studio->store, &hub->last, &error)) return;
    double now = clock_monotonic();
    for (struct listener *listener = hub->listeners, *next; listener; listener = next) {
        next = listener->next;
        bring_up_to_date(hub, listener, now);
    }
}

/* --- listeners --- */

static void listener_gone(void *context)
{
    struct listener *listener = context;
    *listener->previous = listener->next;
    if (listener->next) listener->next->previous = listener->previous;
    listener->hub->count--;
    free(listener);
}

static void say_hello(struct hub *hub, struct listener *listener)
{
    char when[32], text[256];
    clock_format_utc(clock_wall_ms(), when);
    int length = snprintf(text, sizeof text,
                          "retry: 1000\nid: %lld\nevent: hello\ndata: "
                          "{\"version\":\"%s\",\"time\":%lld,\"last_id\":%lld}\n\n",
                          (long long)listener->sent, NNSTUDIO_VERSION, (long long)clock_wall_ms(),
                          (long long)hub->last);
    struct shared_text *hello = shared_text_create(text, (size_t)length);
    if (!hello) return;
    stream_send(listener->stream, hello);
    shared_text_release(hello);
}

void hub_listen(struct hub *hub, struct call *call)
{
    struct error error;
    const char *since = request_header(call_request(call), "Last-Event-ID");
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener || store_last_event(hub->studio->store, &hub->last, &error)) {
        if (!listener) error_set_memory(&error, "a listener");
        free(listener);
        call_fail(call, &error);
        return;
    }
    char *end = NULL;
    long long id = since ? strtoll(since, &end, 10) : -1;
    bool usable = since && end != since && !*end && id >= 0;
    *listener = (struct listener){.hub = hub,
                                  .sent = usable ? id : hub->last,
                                  .last_write = clock_monotonic(),
                                  .next = hub->listeners,
                                  .previous = &hub->listeners};
    if (hub->listeners) hub->listeners->previous = &listener->next;
    hub->listeners = listener;
    hub->count++;
    listener->stream = request_reply_stream(call_request(call), listener_gone, listener);
    if (!listener->stream) {
        listener_gone(listener);
        return;
    }
    say_hello(hub, listener);
    bring_up_to_date(hub, listener, clock_monotonic());
}

size_t hub_listeners(const struct hub *hub)
{
    return hub->count;
}

int hub_create(struct studio *studio, struct hub **out, struct error *error)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub) return error_set_memory(error, "the stream");
    hub->studio = studio;
    hub->heartbeat = shared_text_create(": \n\n", 4);
    if (!hub->heartbeat) {
        free(hub);
        return error_set_memory(error, "the stream");
    }
    *out = hub;
    return store_last_event(studio->store, &hub->last, error);
}

void hub_destroy(struct hub *hub)
{
    if (!hub) return;
    for (int i = 0; i < CACHE_SIZE; i++) shared_text_release(hub->cache[i].text);
    shared_text_release(hub->heartbeat);
    free(hub);
}
