/* For the files of this room only: writing the loss curve. Reading it is in store.h. */
#ifndef NNSTUDIO_STORE_POINTS_H
#define NNSTUDIO_STORE_POINTS_H

#include "store/database.h"

/* Adds `count` losses of consecutive steps; `seconds` is the training time at the last. None of
 * them may be there: points_clear() sees to that. */
int points_append(struct store *store, int64_t run, int64_t first_step, const double *losses,
                  size_t count, double seconds, struct error *error);
/* Forgets the steps from `from` to `end`, which is not included; those after them stay. */
int points_clear(struct store *store, int64_t run, int64_t from, int64_t end, struct error *error);
/* Number of steps kept and the training time at the last; both 0 when there is none. */
int points_end(struct store *store, int64_t run, int64_t *steps, double *seconds,
               struct error *error);
/* The training time at which `step` began; 0 for the first. */
int points_seconds(struct store *store, int64_t run, int64_t step, double *seconds,
                   struct error *error);
#endif
