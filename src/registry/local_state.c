#include "registry/local_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"

#define STATE_LIMIT ((size_t)4 << 20)

static void state_path(const char *folder, char out[4200])
{
    snprintf(out, 4200, "%s/state.json", folder);
}

int local_state_read(const char *folder, json_t **out, struct error *error)
{
    char path[4200];
    state_path(folder, path);
    if (file_exists(path)) return js_read_object(path, STATE_LIMIT, out, error);
    *out = json_object();
    return *out ? 0 : error_set_memory(error, "a model's state");
}

int local_state_write(const char *folder, const json_t *state, struct error *error)
{
    char path[4200];
    char *text = js_dump_as(state, JSON_INDENT(2) | JSON_SORT_KEYS);
    state_path(folder, path);
    int status = !text ? error_set_memory(error, "a model's state")
                 : strlen(text) > STATE_LIMIT
                     ? error_set(error, ERROR_INPUT, "%s would be too long: remove tags", path)
                     : file_write(path, text, strlen(text), error);
    free(text);
    return status;
}

static const json_t *of_version(const json_t *state, const char *version)
{
    return json_object_get(json_object_get(state, "versions"), version);
}

bool local_state_archived(const json_t *state, const char *version)
{
    return json_is_true(json_object_get(of_version(state, version), "archived"));
}

unsigned local_state_last(const json_t *state)
{
    return (unsigned)json_integer_value(json_object_get(state, "last"));
}

void local_state_apply(const json_t *state, const char *version, json_t *model)
{
    const json_t *own = of_version(state, version);
    json_t *tags = json_object_get(model, "tags"), *aliases = json_array(), *value;
    const char *key;
    if (!json_is_object(tags)) {
        tags = json_object();
        json_object_set_new(model, "tags", tags);
    }
    json_object_foreach(json_object_get(own, "tags"), key, value) {
        if (json_is_string(value))
            json_object_set(tags, key, value);
        else
            json_object_del(tags, key);
    }
    json_object_foreach(json_object_get(state, "aliases"), key, value)
        if (strcmp(json_string_value(value) ? json_string_value(value) : "", version) == 0)
            json_array_append_new(aliases, json_string(key));
    json_object_set_new(model, "aliases", aliases);
    value = json_object_get(own, "description");
    if (value) json_object_set(model, "description", value);
    if (!json_object_get(model, "description"))
        json_object_set_new(model, "description", json_null());
    json_object_set_new(model, "archived", json_boolean(local_state_archived(state, version)));
}

/* The member, made when it is not there; borrowed. */
static json_t *member(json_t *object, const char *key)
{
    json_t *found = json_object_get(object, key);
    if (json_is_object(found)) return found;
    found = json_object();
    json_object_set_new(object, key, found);
    return json_object_get(object, key);
}

/* A deleted version's number is not given again, and its aliases name nothing. */
static void forget(json_t *state, const char *version)
{
    json_t *aliases = member(state, "aliases"), *value;
    const char *key;
    void *next;
    json_object_foreach_safe(
        aliases, next, key,
        value) if (strcmp(json_string_value(value) ? json_string_value(value) : "", version) == 0)
        json_object_del(aliases, key);
    json_object_del(member(state, "versions"), version);
}

int local_state_change(json_t *state, const struct registry_change *change, const json_t *model,
                       struct error *error)
{
    json_t *aliases = member(state, "aliases"),
           *own = change->kind == REGISTRY_DELETE
                      ? NULL
                      : member(member(state, "versions"), change->version);
    int status = 0;
    switch (change->kind) {
    case REGISTRY_ALIAS:
        status = json_object_set_new(aliases, change->key, json_string(change->version));
        break;
    case REGISTRY_DROP_ALIAS:
        json_object_del(aliases, change->key);
        break;
    case REGISTRY_TAG:
        status = json_object_set_new(member(own, "tags"), change->key, json_string(change->value));
        break;
    case REGISTRY_DROP_TAG:
        /* One of model.json is hidden, one that was added later goes. */
        if (json_object_get(json_object_get(model, "tags"), change->key))
            status = json_object_set_new(member(own, "tags"), change->key, json_null());
        else
            json_object_del(member(own, "tags"), change->key);
        break;
    case REGISTRY_DESCRIPTION:
        status = json_object_set_new(own, "description", json_string(change->value));
        break;
    case REGISTRY_ARCHIVE:
        status = json_object_set_new(own, "archived", json_true());
        break;
    case REGISTRY_RESTORE:
        json_object_del(own, "archived");
        break;
    case REGISTRY_DELETE:
        forget(state, change->version);
        break;
    case REGISTRY_CHANGES:
        break;
    }
    return status ? error_set(error, ERROR_INPUT,
                              "the text is not UTF-8, or memory is out: give other words")
                  : 0;
}
