/* What the handlers of this room share: the server, the store, the parts that live as long as they
 * do. */
#ifndef NNSTUDIO_HTTP_STUDIO_H
#define NNSTUDIO_HTTP_STUDIO_H

#include "http/gate.h"
#include "http/server.h"
#include "store/store.h"

struct studio {
    struct server *server;
    struct store *store; /* the loop's own handle */
    const char *home;
    const char *data_dir; /* or NULL */
    struct gate gate;
    double started; /* clock_monotonic() */
    struct training *training;
    struct hub *hub;
    struct offload *offload;
    struct library *library;
    struct tasks *tasks;
    struct uploads *uploads;
};

#endif
