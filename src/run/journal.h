/* What a worker has done, in the run's folder, written before it is said: what nobody heard (its
 * supervisor was killed) is not lost, and the list of runs can be made anew from it.
 *
 * losses.f64: every step's loss as float64 at 8 times its global step (nan: nobody knows it).
 * losses.tail: a run that goes on from a checkpoint trains again what was done beyond it; until the
 * new steps have come that far, the old ones are kept there: the first one's global step as a
 * uint64_t, then losses.
 * epochs.jsonl: events as lines with "at", the time in milliseconds: each start, epoch, end and
 * error. It only grows; of two lines about the same epoch the later one holds. */
#ifndef NNSTUDIO_RUN_JOURNAL_H
#define NNSTUDIO_RUN_JOURNAL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct journal {
    int losses, events; /* -1: it cannot be written, and the run does without */
};

/* Opens for writing at step `first_step`. `source`: the folder of another run whose checkpoint this
 * one begins with, and whose steps before it become its own; NULL or `run_dir`: none. */
void journal_open(struct journal *journal, const char *run_dir, const char *source,
                  uint64_t first_step);
void journal_close(struct journal *journal);
void journal_add_losses(const struct journal *journal, uint64_t first_step, const double *losses,
                        size_t count);
void journal_add_event(const struct journal *journal, const json_t *event);

/* The losses of step `from` and after it, below `to`; *losses is malloc'd, *count may be 0. `made`:
 * where the steps end that the last worker made or began with; what is beyond is from before it. No
 * journal: none. */
struct journal_losses {
    double *losses;
    size_t count;
    uint64_t made;
};
int journal_read_losses(const char *run_dir, uint64_t from, uint64_t to, struct journal_losses *out,
                        struct error *error);
/* The events of a kind ("epoch", "start", …; NULL: of all) at or before `step`: a new array, empty
 * when there is no journal; NULL when memory is out. */
json_t *journal_read_events(const char *run_dir, const char *kind, uint64_t step);

#endif
