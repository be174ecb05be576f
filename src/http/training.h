/* The runs this server trains: a queue, workers, what they say written down. */
#ifndef NNSTUDIO_HTTP_TRAINING_H
#define NNSTUDIO_HTTP_TRAINING_H

#include "http/studio.h"
#include "run/supervisor.h"

struct training;

int training_create(struct studio *studio, struct training **out, struct error *error);
/* Takes a run that is in the store as queued. It starts when a place is free; one `after` another
 * run (NULL: none) not before that one has ended. */
int training_add(struct training *training, const char *run, const char *after,
                 struct error *error);
/* The run just added goes on though its data is not that of its checkpoint. */
void training_accept_changed_data(struct training *training, const char *run);
/* ERROR_CONFLICT when the run is not in training here, or in a state that does not allow it. */
int training_command(struct training *training, const char *run, enum worker_command command,
                     struct error *error);
/* Writes what workers said, starts what may start. Call it some tens of times per second. */
void training_tick(struct training *training);
/* Asks all to stop with a checkpoint; queued ones end at once. */
void training_stop_all(struct training *training);
/* Nothing trains or waits. */
bool training_idle(const struct training *training);
/* Ends what still lives. NULL is fine. */
void training_destroy(struct training *training);

#endif
