/* For the files of this room only: what runs.c, recorder.c and the lists share. */
#ifndef NNSTUDIO_STORE_RUNS_H
#define NNSTUDIO_STORE_RUNS_H

#include "store/database.h"

/* Adds an event to the stream; `data` may be NULL. */
int store_add_event(struct store *store, const char *kind, const char *run, int64_t first, int64_t count, const char *data,
                    struct error *error);
/* Adds a line to a run's log, and its event. */
int store_add_log(struct store *store, int64_t key, const char *run, const char *text, struct error *error);

#endif
