/* Models that were kept in HOME/models: listed, found, deleted, and restored for a while. */
#ifndef NNSTUDIO_HTTP_KEPT_H
#define NNSTUDIO_HTTP_KEPT_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

/* The model file of that name, malloc'd. ERROR_NOT_FOUND. */
int kept_model_find(const char *home, const char *name, char **path, struct error *error);
/* All of them, and those that can be restored: a KeptModels. New reference; NULL: no memory. */
json_t *kept_models_json(const char *home);
/* Takes it away; kept_model_restore() brings the newest of that name back, until kept_purge() has
 * removed it. ERROR_NOT_FOUND; ERROR_CONFLICT when the name is taken again. */
int kept_model_delete(const char *home, const char *name, struct error *error);
int kept_model_restore(const char *home, const char *name, struct error *error);
/* Removes what was deleted before that clock_wall_ms(). */
void kept_purge(const char *home, int64_t before_ms);

#endif
