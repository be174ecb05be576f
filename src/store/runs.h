/* For the files of this room only: what runs.c, recorder.c and the lists share. */
#ifndef NNSTUDIO_STORE_RUNS_H
#define NNSTUDIO_STORE_RUNS_H

#include "store/database.h"

/* Adds an event to the stream; `data` may be NULL. */
int store_add_event(struct store *store, const char *kind, const char *run, int64_t first,
                    int64_t count, const char *data, struct error *error);
/* Adds a line to a run's log, and its event. */
int store_add_log(struct store *store, int64_t key, const char *run, const char *text,
                  struct error *error);
/* How many ranks an event of a run's worker says, 1 when it says nothing. */
int64_t store_ranks_of(const json_t *event);
/* Keeps an epoch by what its event says; one that is there is replaced. `cpu_before`: processor
 * seconds of the run's earlier workers, NAN when not known. */
int store_put_epoch(struct store *store, int64_t key, const char *engine, const json_t *event,
                    double cpu_before, struct error *error);
/* Whether a worker trains the run, even if whoever started it is gone. */
bool store_run_has_worker(struct store *store, const char *run);
/* A stretch of steps from `first` to `end`, the last that is made, belongs to an engine; what is
 * kept beyond `end`, up to `shown`, stays with whoever made it. */
struct segment {
    int64_t first, end, shown;
    const char *engine, *version;
    int64_t started_at;
};
int store_put_segment(struct store *store, int64_t key, const struct segment *segment,
                      struct error *error);
/* Takes from the run's journal the steps from `from` on, below `to`, that its worker made, and
 * those that are not there; the epochs that ended within the steps kept; and the segments
 * before. */
int store_recover(struct store *store, int64_t key, const char *run, int64_t from, int64_t to,
                  struct error *error);

#endif
