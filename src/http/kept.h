/* What was kept in the home, models in HOME/models and data sets in HOME/data: found, deleted, and
 * restored for a while. */
#ifndef NNSTUDIO_HTTP_KEPT_H
#define NNSTUDIO_HTTP_KEPT_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

enum kept_kind { KEPT_MODEL, KEPT_DATA, KEPT_KIND_COUNT };

/* The model file of that name, malloc'd. ERROR_NOT_FOUND. */
int kept_model_find(const char *home, const char *name, char **path, struct error *error);
/* All of them, and those that can be restored: a KeptModels. New reference; NULL: no memory. */
json_t *kept_models_json(const char *home);
/* Those that can be restored, by name: KeptNames. New reference; NULL: no memory. */
json_t *kept_deleted_json(const char *home, enum kept_kind kind);
/* Takes it away; kept_restore() brings the newest of that name back, until kept_purge() has removed
 * it. ERROR_NOT_FOUND; ERROR_CONFLICT when the name is taken again. */
int kept_delete(const char *home, enum kept_kind kind, const char *name, struct error *error);
int kept_restore(const char *home, enum kept_kind kind, const char *name, struct error *error);
/* Removes what was deleted before that clock_wall_ms(). */
void kept_purge(const char *home, int64_t before_ms);

#endif
