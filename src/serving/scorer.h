/* Computes scoring requests: threads that each have the model on an engine of their own, and a
 * queue. What has come while a thread computed is computed together. */
#ifndef NNSTUDIO_SERVING_SCORER_H
#define NNSTUDIO_SERVING_SCORER_H

#include "engine/engine.h"
#include "http/server.h"
#include "serving/scoring.h"

struct scorer;

struct scorer_options {
    const struct scoring_model *model;
    const struct engine_ops *ops;
    uint32_t threads;   /* 1 to SCORER_THREADS_MAX */
    uint32_t queue_max; /* requests that may wait */
    struct server *server;
};
#define SCORER_THREADS_MAX 64

/* `server` delivers the results. The caller destroys. */
int scorer_create(const struct scorer_options *options, struct scorer **out, struct error *error);
/* Computes what waits and ends; the results are delivered by server_destroy(), later. NULL is
 * fine. */
void scorer_destroy(struct scorer *scorer);

/* A result, on the loop's thread: the answer's text, or what was wrong. */
struct scored {
    const struct buffer *answer; /* NULL: it failed */
    const struct error *error;
    size_t samples; /* in this request */
    size_t batch;   /* samples computed together with it, its own included */
};
typedef void scored_fn(void *context, const struct scored *scored);
/* `body` [size] is copied. `done` is called once, with `context`. ERROR_UNAVAILABLE when too much
 * waits. */
int scorer_ask(struct scorer *scorer, const struct scoring_form *form, const char *body,
               size_t size, scored_fn *done, void *context, struct error *error);
#endif
