/* losses.f64 in a run's folder: every step's loss, as float64 at 8 times its global step. A worker writes a loss there
 * before it says it, so that what nobody heard (its supervisor was killed) is not lost: the store takes it from here. */
#ifndef NNSTUDIO_RUN_JOURNAL_H
#define NNSTUDIO_RUN_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Opens for writing and forgets step `first_step` and all after it. -1 when it cannot be: a run does without. */
int journal_open(const char *run_dir, uint64_t first_step);
void journal_append(int fd, uint64_t first_step, const double *losses, size_t count); /* an fd of -1 is fine */
/* The losses of step `from` and after it, below `to`; *losses is malloc'd, *count may be 0. No journal: none. */
int journal_read(const char *run_dir, uint64_t from, uint64_t to, double **losses, size_t *count, struct error *error);

#endif
