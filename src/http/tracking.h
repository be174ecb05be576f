/* Tracking of runs at an MLflow server, chosen with a run's start: a task per run, which reads the
 * store and never touches the training. */
#ifndef NNSTUDIO_HTTP_TRACKING_H
#define NNSTUDIO_HTTP_TRACKING_H

#include "http/studio.h"

/* A request's member "track" (NULL: none); refuses an address that no MLflow server can have,
 * before anything is started. Asks no server. */
int tracking_check(const struct studio *studio, const json_t *track, struct error *error);
/* Sends a run that is in the store, to its end and then what is left; ERROR_CONFLICT when it is
 * being sent. `track` NULL: where it was sent before, if it was. */
int tracking_start(struct studio *studio, const char *run, const json_t *track,
                   struct error *error);
/* The same beside a start that has happened: a failure is logged, and ends nothing. */
void tracking_follow(struct studio *studio, const char *run, const json_t *track);

#endif
