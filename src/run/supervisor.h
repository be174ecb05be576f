/* Starts worker processes, hands on their events, passes commands. The command line and the server
 * share it.
 *
 * A worker is this same program, started as `nnstudio worker`, with its job on standard input and
 * one JSON event a line on standard output. Everything here is non-blocking unless said; the caller
 * waits for `worker_fd()` to be readable in whatever loop it has (poll, libevent) and then calls
 * worker_read(). */
#ifndef NNSTUDIO_RUN_SUPERVISOR_H
#define NNSTUDIO_RUN_SUPERVISOR_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "run/job.h"

struct worker;

/* Called for every event, in order. `event` is borrowed. The kinds are those of
 * docs/internals/run.md (cli.md's plus "checkpoint", "state", "log"). When a worker dies without
 * saying goodbye, the supervisor makes the "error" event itself, saying how ("killed by signal 9").
 * The last event of a worker is always "end" or "error". */
typedef void worker_event_fn(void *context, struct worker *worker, const json_t *event);

int worker_start(const struct job *job, worker_event_fn *on_event, void *context,
                 struct worker **out, struct error *error);
const struct job *worker_job(const struct worker *worker);
pid_t worker_pid(const struct worker *worker);
int worker_fd(const struct worker *worker); /* readable: call worker_read() */
/* Reads what there is and calls on_event. Returns 1 while the worker lives, 0 once it has ended and
 * been reaped. */
int worker_read(struct worker *worker);
enum worker_command { WORKER_PAUSE, WORKER_RESUME, WORKER_STOP };
/* Pause, resume: within a few milliseconds. Stop: the worker writes its checkpoint and its model so
 * far, then ends with state "stopped". */
int worker_command(struct worker *worker, enum worker_command command, struct error *error);
/* For one that does not answer: SIGKILL. Its checkpoint on disk stays whole. */
void worker_kill(struct worker *worker);
/* Kills it if it still lives, reaps, frees. */
void worker_destroy(struct worker *worker);

#endif
