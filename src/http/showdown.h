/* What a showdown came to: the figures side by side, how far the curves differ, and a verdict in
 * words. */
#ifndef NNSTUDIO_HTTP_SHOWDOWN_H
#define NNSTUDIO_HTTP_SHOWDOWN_H

#include "store/store.h"

/* The answer of GET /api/showdowns/GROUP, a new reference. Reads whole curves: not for the loop's
 * thread. */
int showdown_json(struct store *store, const char *group, json_t **out, struct error *error);

/* Training seconds until the test accuracy passed `share`, with straight lines between the ends of
 * epochs (the first begins at `chance`, what guessing gets); NAN when it did not. `epochs` is a
 * Run's list. */
double showdown_seconds_to(const json_t *epochs, double share, double chance);

#endif
