/* The stream of /api/events: follows the database and tells every listener. What is sent was
 * written before, by whichever process. */
#ifndef NNSTUDIO_HTTP_HUB_H
#define NNSTUDIO_HTTP_HUB_H

#include "http/router.h"

struct hub;

int hub_create(struct studio *studio, struct hub **out, struct error *error);
void hub_destroy(struct hub *hub); /* NULL is fine; the streams must be closed */
/* Sends what is new; call it some tens of times per second. */
void hub_tick(struct hub *hub);
size_t hub_listeners(const struct hub *hub);
/* Turns the call into a stream. */
void hub_listen(struct hub *hub, struct call *call);

#endif
