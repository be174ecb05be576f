/* For the files of this room only: whether a run diverged (runs.diverged_at). */
#ifndef NNSTUDIO_STORE_OUTCOME_H
#define NNSTUDIO_STORE_OUTCOME_H

#include "store/database.h"

/* Looks at losses that were just added to the curve. */
int outcome_losses(struct store *store, int64_t key, int64_t first_step, const double *losses,
                   size_t count, struct error *error);
/* Steps from `from` on are trained again: what was seen there no longer counts. */
int outcome_restart(struct store *store, int64_t key, int64_t from, struct error *error);
/* Decides anew, after steps or an epoch were added. */
int outcome_judge(struct store *store, int64_t key, struct error *error);

#endif
