#include "http/server.h"

int server_run(struct server *server, struct watch *const *watches, size_t count, server_fn *ready,
               void *context, struct error *error)
{
    int status = 0;
    for (size_t i = 0; i < count; i++)
        if (!watches[i]) status = error_set_memory(error, "the event loop");
    if (!status) {
        ready(context);
        server_handle(server);
    }
    for (size_t i = 0; i < count; i++) server_cancel(watches[i]);
    return status;
}
