/* What the handlers of this room share: the server, the store, the parts that live as long as they
 * do. */
#ifndef NNSTUDIO_HTTP_STUDIO_H
#define NNSTUDIO_HTTP_STUDIO_H

#include "http/server.h"
#include "store/store.h"

struct studio {
    struct server *server;
    struct store *store; /* the loop's own handle */
    const char *home;
    const char *data_dir; /* or NULL */
    const char *token;    /* never NULL once it serves */
    /* the token was not chosen by anyone: this user's own processes need none */
    bool own_pass;
    const char *host; /* what it was told to listen on */
    bool loopback;    /* only this machine can reach it */
    double started;   /* clock_monotonic() */
    struct training *training;
    struct hub *hub;
    struct offload *offload;
    struct library *library;
    struct tasks *tasks;
};

#endif
