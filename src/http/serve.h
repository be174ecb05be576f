/* The studio's server: what `nnstudio serve` runs. */
#ifndef NNSTUDIO_HTTP_SERVE_H
#define NNSTUDIO_HTTP_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct serve_options {
    const char *host;     /* "127.0.0.1" */
    uint16_t port;        /* 8501; 0: any */
    const char *home;     /* made when it is not there */
    const char *data_dir; /* or NULL */
    bool install;         /* the frameworks that are missing, behind the open studio */
    /* or NULL: one is made, which this user's own processes do not need at a loopback address */
    const char *token;
    /* Called once it listens, with the address to open in a browser. */
    void (*on_ready)(void *context, const char *address, const char *token);
    void *context;
};

/* Serves until SIGINT or SIGTERM; then stops the runs in training with a checkpoint and returns 0.
 */
int serve(const struct serve_options *options, struct error *error);

#endif
