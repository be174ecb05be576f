/* What a worker says: one JSON object a line on a descriptor of its own. For the run room only; the
 * events are described in docs/internals/run.md. */
#ifndef NNSTUDIO_RUN_EVENTS_H
#define NNSTUDIO_RUN_EVENTS_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct events {
    int fd;                /* blocking */
    pthread_mutex_t mutex; /* the control thread speaks too */
    struct buffer line;
    bool lost; /* nobody reads anymore */
};

/* Takes `fd`. */
void events_init(struct events *events, int fd);
void events_free(struct events *events);
/* Sends the object and takes its reference; NULL (memory was out) is skipped. */
void events_send(struct events *events, json_t *event);
/* {"event":"step","engine":…,"first_step":…,"seconds":…,"loss":[…]}, made without building a tree:
 * it comes often. `seconds`: training in this epoch, up to the last of these steps. */
void events_send_steps(struct events *events, const char *engine, uint64_t first_step,
                       double seconds, const double *losses, size_t count);
/* {"event":"log","engine":…,"text":…}: what a user would want to know, beside the figures. */
__attribute__((format(printf, 3, 4))) void
events_send_log(struct events *events, const char *engine, const char *format, ...);
/* The event of a failure, a new reference. */
json_t *events_error(const char *run, const char *engine, const struct error *error);

#endif
