/* What changes about the versions of a local model, which themselves never do: HOME/registry/NAME/
 * state.json. For this room only. */
#ifndef NNSTUDIO_REGISTRY_LOCAL_STATE_H
#define NNSTUDIO_REGISTRY_LOCAL_STATE_H

#include "registry/registry.h"

/* {"last":N: the highest number ever given, "aliases":{NAME:VERSION},
 * "versions":{VERSION:{"tags":{…},"description","archived"}}}; empty when nothing was changed yet.
 * New reference. */
int local_state_read(const char *folder, json_t **out, struct error *error);
int local_state_write(const char *folder, const json_t *state, struct error *error);

/* Puts into a version's model.json what was changed since: tags, description, aliases, archived. */
void local_state_apply(const json_t *state, const char *version, json_t *model);
bool local_state_archived(const json_t *state, const char *version);
unsigned local_state_last(const json_t *state);
/* Into the state, for all kinds; `model` is model.json, whose tags a removal must hide. */
int local_state_change(json_t *state, const struct registry_change *change, const json_t *model,
                       struct error *error);

#endif
