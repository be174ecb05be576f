/* A run's state between two steps, as a .safetensors file that belongs to no engine: the weights
 * ("fc1.weight"), the optimizer's slots ("exp_avg/fc1.weight"), and in the metadata the job, the
 * network and the position. */
#ifndef NNSTUDIO_RUN_CHECKPOINT_H
#define NNSTUDIO_RUN_CHECKPOINT_H

#include "net/optimizer.h"
#include "run/job.h"
#include "train/fit.h"

struct checkpoint {
    struct job job;
    struct network network;
    struct fit_position position;
    char data_sha256[65];          /* dataset_hash() of what it was trained on; "": an older one */
    struct parameters *parameters; /* owned; in the job's dtype */
    struct optimizer_state *optimizer_state; /* owned */
    /* of a job that keeps the best epoch: its weights, once there is one; owned, else NULL */
    struct parameters *best;
};

/* Where a job's checkpoint lies; malloc'd, NULL when memory is out. */
char *checkpoint_path(const struct job *job);
/* The whole file or nothing; the old one stays until the new one is complete. */
int checkpoint_write(const char *path, const struct checkpoint *checkpoint, struct error *error);
/* Checks that everything fits together. The caller clears. */
int checkpoint_read(const char *path, struct checkpoint *out, struct error *error);
void checkpoint_clear(struct checkpoint *checkpoint);

#endif
