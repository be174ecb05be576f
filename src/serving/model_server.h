/* A model behind HTTP: what `nnstudio serve-model` runs. */
#ifndef NNSTUDIO_SERVING_MODEL_SERVER_H
#define NNSTUDIO_SERVING_MODEL_SERVER_H

#include "engine/engine.h"
#include "train/predictor.h"

#define MODEL_SERVER_BODY_MAX ((size_t)16 << 20) /* bytes of a request */

struct model_server_options {
    const char *host;            /* "127.0.0.1" */
    uint16_t port;               /* 8502; 0: any */
    const char *token;           /* as in http/serve.h */
    const char *name;            /* of the model, in addresses: letters, digits, '.', '_' and '-' */
    const char *path;            /* of its file */
    struct predictor *predictor; /* read, not started; borrowed */
    const struct engine_ops *ops; /* one that takes values (engine_infer) */
    uint32_t threads;             /* 1 to SCORER_THREADS_MAX */
    uint32_t samples_max;         /* per request */
    uint32_t queue_max;           /* requests that may wait; more are answered with 503 */
    /* Called once it listens. */
    void (*on_ready)(void *context, const char *address, const char *token);
    void *context;
};

/* Serves until SIGINT or SIGTERM; then answers what was asked, at most for some seconds, and
 * returns 0. */
int model_server_run(const struct model_server_options *options, struct error *error);

#endif
