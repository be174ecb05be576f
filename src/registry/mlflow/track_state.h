/* What was sent of a run, in the run's folder. For this folder only. */
#ifndef NNSTUDIO_REGISTRY_MLFLOW_TRACK_STATE_H
#define NNSTUDIO_REGISTRY_MLFLOW_TRACK_STATE_H

#include "registry/registry.h"

/* HOME/runs/RUN/tracking.json: where the run is sent to (no secrets), how far it is, and what is
 * noted on the way. */
struct track_state {
    char path[4400], folder[4300];
    int lock;     /* held while it is sent, -1: not */
    json_t *kept; /* owned: {"uri","options":{…},"steps","all_steps","complete","problem"|null,
                     "model"?: why it was not sent,"journal":{…}} */
};
/* Reads it, or begins one; ERROR_CONFLICT when another process sends this run. `options` NULL: only
 * one that is there. */
int track_state_open(struct track_state *state, const struct registry_options *options,
                     const char *uri, const char *run, struct error *error);
int track_state_write(const struct track_state *state, struct error *error);
/* As registry_track_told() tells it; new reference. */
json_t *track_state_told(const json_t *kept, const char *run, const char *state);
void track_state_close(struct track_state *state);

#endif
