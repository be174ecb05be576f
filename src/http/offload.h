/* Slow work leaves the loop: a few threads that take jobs in order and hand the results back to the
 * loop. */
#ifndef NNSTUDIO_HTTP_OFFLOAD_H
#define NNSTUDIO_HTTP_OFFLOAD_H

#include "http/router.h"

struct offload;

/* Each thread has a store handle of its own. */
int offload_create(struct studio *studio, int threads, struct offload **out, struct error *error);
/* Has what is running end as soon as it may; what waits is given up. NULL is fine. Call it when the
 * loop has ended. */
void offload_destroy(struct offload *offload);

/* `work` runs on a thread and may use the store it is given and what `context` holds, nothing of
 * the studio that changes; then `done` runs on the loop and frees `context`. ERROR_UNAVAILABLE when
 * too much waits already.
 * It is for `call`: once its client has gone, the work is no longer wanted (base/wanted.h), and not
 * begun if it waits. NULL: it is done for nobody, whoever has gone. */
typedef void work_fn(struct store *store, void *context);
int offload_run(struct offload *offload, struct call *call, work_fn *work, server_fn *done,
                void *context, struct error *error);

/* Answers a call with what `compute` makes on a thread: a new reference in *out, replied with the
 * route's status. `context` is malloc'd and freed here. */
typedef int compute_fn(const struct studio *studio, struct store *store, void *context,
                       json_t **out, struct error *error);
void call_compute(struct studio *studio, struct call *call, compute_fn *compute, void *context);

#endif
