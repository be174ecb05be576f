/* A whole run as one text: its settings, its epochs, every step. Written as it is read, so that the
 * memory it takes does not depend on the number of steps. */
#ifndef NNSTUDIO_HTTP_EXPORT_H
#define NNSTUDIO_HTTP_EXPORT_H

#include <stdio.h>

#include "store/store.h"

/* Both leave it to the caller to look at ferror(out). */

/* "# NAME: VALUE" lines of settings and epochs, then "step,epoch,engine,seconds,loss" and a line a
 * step. */
int export_csv(struct store *store, const char *run, FILE *out, struct error *error);
/* The Run with "epochs", "log" and "points" of every step. */
int export_json(struct store *store, const char *run, FILE *out, struct error *error);
/* Either into a new file, which is removed when it fails. */
int export_to_file(struct store *store, const char *run, bool csv, const char *path,
                   struct error *error);

#endif
