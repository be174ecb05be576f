/* Two versions of a model side by side. */
#include <stdlib.h>
#include <string.h>

#include "registry/targets.h"

static void add(json_t *list, const char *group, const char *key, const char *a, const char *b)
{
    if (a && b && strcmp(a, b) == 0) return;
    if (!a && !b) return;
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:s?, s:s?}", "group", group, "key", key, "a", a, "b", b));
}

static void add_member(json_t *list, const char *group, const char *key, const json_t *a,
                       const json_t *b)
{
    char *left = registry_value_text(json_object_get(a, key)),
         *right = registry_value_text(json_object_get(b, key));
    add(list, group, key, left, right);
    free(left);
    free(right);
}

/* Every member that either has and that is not the same in both. */
static void add_members(json_t *list, const char *group, const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)a, key, value) add_member(list, group, key, a, b);
    json_object_foreach((json_t *)b, key, value)
        if (!json_object_get(a, key)) add_member(list, group, key, a, b);
}

/* The run that a version's tag names, from the store; NULL when it is not there. */
static json_t *run_of(struct store *store, const json_t *version)
{
    const char *id = json_string_value(json_object_get(json_object_get(version, "tags"), "run"));
    json_t *run = NULL;
    struct error ignored;
    if (!store || !id || store_run_json(store, id, false, &run, &ignored)) return NULL;
    return run;
}

int registry_compare(const struct registry_target *target, const struct registry_options *options,
                     struct store *store, const char *name, const char *a, const char *b,
                     json_t **out, struct error *error)
{
    json_t *left = NULL, *right = NULL;
    if (target->show(options, name, a, &left, error)) return -1;
    if (target->show(options, name, b, &right, error)) {
        json_decref(left);
        return -1;
    }
    json_t *list = json_array(), *run_a = run_of(store, left), *run_b = run_of(store, right);
    const char *hash_a = json_string_value(json_object_get(left, "sha256")),
               *hash_b = json_string_value(json_object_get(right, "sha256"));
    add(list, "file", "sha256", hash_a, hash_b);
    add_member(list, "file", "bytes", left, right);
    json_t *tags_a = json_copy(json_object_get(left, "tags")),
           *tags_b = json_copy(json_object_get(right, "tags"));
    json_object_del(tags_a, "sha256"); /* is the file's */
    json_object_del(tags_b, "sha256");
    add_members(list, "tag", tags_a, tags_b);
    bool known = run_a && run_b;
    if (known) {
        add_members(list, "setting", json_object_get(run_a, "settings"),
                    json_object_get(run_b, "settings"));
        add_members(list, "metric", json_object_get(run_a, "last"), json_object_get(run_b, "last"));
    }
    *out = json_pack("{s:o, s:o, s:b, s:b, s:o}", "a", left, "b", right, "same_file",
                     hash_a && hash_b && strcmp(hash_a, hash_b) == 0, "runs_known", (int)known,
                     "differences", list);
    json_decref(tags_a);
    json_decref(tags_b);
    json_decref(run_a);
    json_decref(run_b);
    return 0;
}
