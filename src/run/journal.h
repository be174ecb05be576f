/* What a worker has done, in the run's folder: losses.f64, every step's loss as float64 at 8 times
 * its global step, and epochs.jsonl, every epoch's event as a line. A worker writes there before it
 * says it, so that what nobody heard (its supervisor was killed) is not lost: the store takes it
 * from here. */
#ifndef NNSTUDIO_RUN_JOURNAL_H
#define NNSTUDIO_RUN_JOURNAL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct journal {
    int losses, epochs; /* -1: it cannot be written, and the run does without */
};

/* Opens for writing and forgets step `first_step` and all after it. */
void journal_open(struct journal *journal, const char *run_dir, uint64_t first_step);
void journal_close(struct journal *journal);
void journal_add_losses(const struct journal *journal, uint64_t first_step, const double *losses,
                        size_t count);
void journal_add_epoch(const struct journal *journal, const json_t *event);
/* The losses of step `from` and after it, below `to`; *losses is malloc'd, *count may be 0. No
 * journal: none. */
int journal_read_losses(const char *run_dir, uint64_t from, uint64_t to, double **losses,
                        size_t *count, struct error *error);
/* The events of the epochs that ended at or before `step`: a new array, empty when there is no
 * journal; NULL when memory is out. */
json_t *journal_read_epochs(const char *run_dir, uint64_t step);

#endif
