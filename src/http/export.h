/* A whole run as one text: its settings, its epochs, every step. */
#ifndef NNSTUDIO_HTTP_EXPORT_H
#define NNSTUDIO_HTTP_EXPORT_H

#include "base/buffer.h"
#include "store/store.h"

/* "# NAME: VALUE" lines of settings and epochs, then "step,epoch,engine,seconds,loss" and a line a
 * step. */
int export_csv(struct store *store, const char *run, struct buffer *out, struct error *error);
/* The Run with "epochs", "log" and "points" of every step. */
int export_json(struct store *store, const char *run, struct buffer *out, struct error *error);

#endif
