/* A job's training looked at in a process of its own, for the frameworks cannot live in one: what
 * `nnstudio trace` writes, read back. */
#ifndef NNSTUDIO_RUN_TRACING_H
#define NNSTUDIO_RUN_TRACING_H

#include <sys/types.h>

#include "engine/engine.h"
#include "modelfile/safetensors.h"
#include "run/job.h"

/* Zero it to begin with; tracing_clear() frees all of it, and ends a process that still runs. */
struct tracing {
    const struct engine_ops *ops;
    struct state_dict tensors;
    json_t *metadata;     /* as the process wrote it; NULL when there is an error */
    char error[1024];     /* "" when the tensors are there */
    enum error_code code; /* of the error: ERROR_INPUT when what was asked is at fault */
    char *job_path, *trace_path, *error_path; /* for tracing.c */
    double started;                           /* likewise */
    pid_t pid;                                /* likewise; 0: not running */
};

/* Starts the process: `trace` with `--option number` (run/trace.h, run/replay.h). Its files are
 * called `name`.* and lie in `folder`. What can be seen to be wrong before it starts is
 * tracing->error, as if the process had said so. */
int tracing_start(struct tracing *tracing, const struct job *job, const char *option,
                  uint64_t number, const char *folder, const char *name, struct error *error);
/* Waits until `deadline` (clock_monotonic()) and reads what came of it; nothing for one that was
 * not started. */
void tracing_finish(struct tracing *tracing, double deadline);
void tracing_clear(struct tracing *tracing);

#endif
