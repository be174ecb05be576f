/* For showdown*.c only: a showdown as it was measured. */
#ifndef NNSTUDIO_HTTP_SHOWDOWN_IMPL_H
#define NNSTUDIO_HTTP_SHOWDOWN_IMPL_H

#include <jansson.h>

#include "base/buffer.h"
#include "store/store.h"

#define SHOWDOWN_RUNS_MAX 8

/* What one engine did: its run from the beginning until another engine took it over, if one did. */
struct showdown_entry {
    json_t *run;          /* borrowed from the list */
    json_t *epochs;       /* owned; the lane's own only */
    struct points points; /* owned; `steps` of them are the lane's */
    size_t steps;
    const char *id, *engine, *title;
    const char *handed_to; /* title of the engine that took over; NULL */
    bool live;             /* still training as this lane */
    const json_t *at;      /* borrowed: the epoch it is compared at; NULL: none ended */
    double seconds_per_epoch, speed, to_90, accuracy; /* up to `at`; NAN when unknown */
};

struct showdown {
    char mode[16];
    json_t *runs; /* owned */
    size_t count;
    struct showdown_entry lanes[SHOWDOWN_RUNS_MAX];
    unsigned asked;        /* epochs that all were to do; one that went on has more by now */
    unsigned common;       /* the last epoch that all lanes did; 0: none yet */
    double max_difference; /* over all pairs; NAN when there is none */
};

/* What was measured, and on what machine; nothing when fewer than two lanes can be compared. */
void showdown_write_verdict(const struct showdown *showdown, struct buffer *out);

#endif
