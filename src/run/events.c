#include "run/events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/js.h"

#define EVENTS_LINE_LIMIT ((size_t)8 << 20)

void events_init(struct events *events, int fd)
{
    *events = (struct events){.fd = fd, .mutex = PTHREAD_MUTEX_INITIALIZER};
    buffer_init(&events->line, EVENTS_LINE_LIMIT);
}

void events_free(struct events *events)
{
    buffer_free(&events->line);
    pthread_mutex_destroy(&events->mutex);
    close(events->fd);
}

/* A reader that is slow makes the worker wait; one that is gone is remembered, and the end of
 * standard input will stop the run. */
static void write_whole(struct events *events, const char *bytes, size_t count)
{
    while (count && !events->lost) {
        ssize_t done = write(events->fd, bytes, count);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) {
            events->lost = true;
            break;
        }
        bytes += done;
        count -= (size_t)done;
    }
}

void events_send(struct events *events, json_t *event)
{
    char *text = event ? js_dump(event) : NULL;
    json_decref(event);
    if (!text) return;
    pthread_mutex_lock(&events->mutex);
    buffer_clear(&events->line);
    buffer_append_text(&events->line, text);
    buffer_append_char(&events->line, '\n');
    if (!events->line.failed) write_whole(events, events->line.data, events->line.length);
    pthread_mutex_unlock(&events->mutex);
    free(text);
}

void events_send_steps(struct events *events, const char *engine, uint64_t first_step,
                       double seconds, const double *losses, size_t count)
{
    pthread_mutex_lock(&events->mutex);
    buffer_clear(&events->line);
    buffer_printf(
        &events->line,
        "{\"event\":\"step\",\"engine\":\"%s\",\"first_step\":%llu,\"seconds\":%.9g,\"loss\":[",
        engine, (unsigned long long)first_step, seconds);
    for (size_t i = 0; i < count; i++) {
        char number[32]; /* formatted once: buffer_printf() would measure first */
        int length = snprintf(number, sizeof number, i ? ",%.17g" : "%.17g", losses[i]);
        buffer_append(&events->line, number, (size_t)length);
    }
    buffer_append_text(&events->line, "]}\n");
    if (!events->line.failed) write_whole(events, events->line.data, events->line.length);
    pthread_mutex_unlock(&events->mutex);
}

void events_send_log(struct events *events, const char *engine, const char *format, ...)
{
    char text[sizeof((struct error *)0)->message + 200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    events_send(events,
                json_pack("{s:s, s:s, s:s}", "event", "log", "engine", engine, "text", text));
}

json_t *events_error(const char *run, const char *engine, const struct error *error)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "event", "error", "run", run, "engine", engine,
                     "message", error->message);
}
