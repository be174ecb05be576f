/* One real training step, opened up: what the step microscope looks at. */
#ifndef NNSTUDIO_RUN_TRACE_H
#define NNSTUDIO_RUN_TRACE_H

#include "base/error.h"
#include "run/job.h"

/* Opens the job's engine in this process, gives it the job's starting weights (drawn, or of
 * job->from), performs one step on batch number `batch` of the first epoch's order, and writes
 * every tensor that the engine emits (engine.h, trace) to `path` as float64 .safetensors, with the
 * metadata "engine", "engine_version", "indices", "labels" (JSON arrays) and "loss". Whole file or
 * nothing. */
#define TRACE_EXIT_INPUT 3 /* of the command `trace`: what was asked is at fault (ERROR_INPUT) */
int trace_step(const struct job *job, uint32_t batch, const char *path, struct error *error);

#endif
