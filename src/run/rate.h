/* The learning rate changed by hand while a run trains: asked for through a file in the run's
 * folder, so that whoever sees the folder may ask, kept in its journal. */
#ifndef NNSTUDIO_RUN_RATE_H
#define NNSTUDIO_RUN_RATE_H

#include "base/error.h"
#include "train/fit.h"

/* From the run's next step on; what was asked for before and not yet taken is replaced. Refused: a
 * rate out of range (ERROR_INPUT). */
int rate_ask(const char *run_dir, double rate, struct error *error);
/* What was asked for, which is forgotten; 0: nothing. */
double rate_take(const char *run_dir);

/* The changes of the run before step `end`, in their order: *changes is malloc'd, *count may be 0.
 * Those of steps that were made anew from an earlier checkpoint do not count. */
int rate_changes(const char *run_dir, uint64_t end, struct fit_change **changes, size_t *count,
                 struct error *error);
/* The last of them at or before `step`; NULL: none. */
const struct fit_change *rate_change_at(const struct fit_change *changes, size_t count,
                                        uint64_t step);

#endif
