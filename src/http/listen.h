/* The listening socket of a server. */
#ifndef NNSTUDIO_HTTP_LISTEN_H
#define NNSTUDIO_HTTP_LISTEN_H

#include <stdint.h>

#include "base/error.h"

/* A non-blocking socket that listens at `host`, a name or an address; port 0: any free one. Returns
 * it, the caller closes; *bound is its port. -1 with a message that names the next free port when
 * the one asked for is in use (ERROR_CONFLICT). */
int listen_open(const char *host, uint16_t port, uint16_t *bound, struct error *error);

#endif
