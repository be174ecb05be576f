/* Publishing with a memory: the store keeps each registration with the run it came from and its
 * journal, so that one that
 * was cut off is taken up again by the next try, and people see the history. */
#ifndef NNSTUDIO_REGISTRY_RECORD_H
#define NNSTUDIO_REGISTRY_RECORD_H

#include "registry/registry.h"
#include "store/store.h"

/* Publishes as target->publish() does. `request`'s run and journal are filled in here; a `run` (an
 * id, or NULL: the one that
 * the tag "run" names) that the store knows gives its settings and epochs. `asked` (may be NULL)
 * is kept as "data.request", for
 * who wants to try again; it may hold no secret. The same file under the same name goes to a
 * target once at a time:
 * ERROR_CONFLICT meanwhile. */
int registry_record_publish(struct store *store, const char *run, const json_t *asked,
                            const struct registry_target *target,
                            const struct registry_options *options,
                            struct registry_request *request, const struct registry_watch *watch,
                            json_t **out, struct error *error);

/* Rows of store_registration_list() that say "running" though no process is at it any more become
 * "failed", and say so. */
void registry_record_tell_cut(const char *home, json_t *rows);

/* Downloads a version once: later calls find the file, by its hash, in HOME/models. *path is
 * malloc'd, *found (may be NULL) what
 * show() says, a new reference. */
int registry_cached(const struct registry_target *target, const struct registry_options *options,
                    const char *name, const char *version, char **path, json_t **found,
                    struct error *error);

#endif
