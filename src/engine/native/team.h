/* A team of threads that work on one job in step, and sleep between jobs.
 *
 * The caller is worker 0. Within a job the workers meet at barriers, which spin for a few
 * microseconds (a training step is that short) and then sleep, so that a busy machine loses nothing
 * by waiting. */
#ifndef NNSTUDIO_ENGINE_NATIVE_TEAM_H
#define NNSTUDIO_ENGINE_NATIVE_TEAM_H

#include <stdint.h>

#include "base/error.h"

#define TEAM_MAX_THREADS 256

struct team;

/* Starts `threads` - 1 threads beside the caller's own. The caller destroys the team. */
int team_create(uint32_t threads, struct team **out, struct error *error);
/* NULL is fine. */
void team_destroy(struct team *team);
uint32_t team_threads(const struct team *team);

typedef void team_job_fn(void *context, uint32_t worker);
/* Runs job(context, worker) once in each of the first `workers` workers and returns when all have;
 * the others sleep on. */
void team_run(struct team *team, uint32_t workers, team_job_fn *job, void *context);
/* Within a job: returns when all the job's workers have called it as often. What one wrote before
 * is seen by all after. */
void team_barrier(struct team *team);

#endif
