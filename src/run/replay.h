/* A run trained again from its beginning, in memory and in the dtype that the job says: what its
 * first steps were, in all detail. */
#ifndef NNSTUDIO_RUN_REPLAY_H
#define NNSTUDIO_RUN_REPLAY_H

#include "base/error.h"
#include "run/job.h"

#define REPLAY_MAX_STEPS 5000

/* The first `steps` steps in brief, as float64 .safetensors, by step:
 *   loss [n]; order [n] and input [n], digests of the samples' numbers and of what they hold;
 *   of every parameter and buffer, before the first step and after each: size/NAME [n+1], its root
 *   mean square, and mark/NAME [n+1], the sum of its values with signs that depend on their places
 *   alone, by the root of their number: what differs by d in root mean square has marks about d
 *   apart. */
int replay_marks(const struct job *job, uint32_t steps, const char *path, struct error *error);

/* Step `step` as trace_step() writes one (trace.h), and of every parameter old/NAME, before it. */
int replay_step(const struct job *job, uint64_t step, const char *path, struct error *error);

#endif
