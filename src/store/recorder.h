/* Keeps what a worker says: turns its events (docs/internals/run.md) into rows and events of the
 * stream, all of a batch in one transaction. The server uses it, and `nnstudio train` in a
 * terminal, so that its runs appear in the page live. */
#ifndef NNSTUDIO_STORE_RECORDER_H
#define NNSTUDIO_STORE_RECORDER_H

#include <jansson.h>
#include <sys/types.h>

#include "store/store.h"

struct recorder;

/* For a run that is in the store already (store_run_create, store_run_claim). Both must outlive the
 * recorder. */
int recorder_create(struct store *store, const char *run, struct recorder **out,
                    struct error *error);
/* The worker's process, whose CPU time and memory are shown; 0 when unknown. */
void recorder_watch(struct recorder *recorder, pid_t worker);
/* Takes note of an event; nothing is written yet. -1 when too many wait to be written. */
int recorder_event(struct recorder *recorder, const json_t *event, struct error *error);
/* Writes all that waits. Call it some tens of times per second and after the last event. On failure
 * everything is kept, to be tried again. */
int recorder_flush(struct recorder *recorder, struct error *error);
void recorder_destroy(struct recorder *recorder); /* without writing; NULL is fine */

#endif
