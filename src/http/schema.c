#include "http/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "code/code.h"
#include "data/dataset.h"
#include "engine/engine.h"
#include "http/assets.h"
#include "modelfile/modelfile.h"
#include "net/network.h"
#include "registry/registry.h"
#include "run/settings.h"

#define REFERENCE "#/components/schemas/"

/* --- enums that are tables of the program --- */

static json_t *list_engines(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < engine_table_count; i++)
        json_array_append_new(list, json_string(engine_table[i]->id));
    return list;
}

static json_t *list_formats(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < modelfile_table_count; i++)
        json_array_append_new(list, json_string(modelfile_table[i]->id));
    return list;
}

static json_t *list_targets(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < registry_target_count; i++)
        json_array_append_new(list, json_string(registry_targets[i]->id));
    return list;
}

static json_t *list_sign_in_ways(void)
{
    json_t *list = json_array();
    for (const char *const *word = registry_choices(REGISTRY_SIGN_IN); *word; word++)
        json_array_append_new(list, json_string(*word));
    return list;
}

static json_t *list_changes(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < REGISTRY_CHANGES; i++)
        json_array_append_new(list, json_string(registry_change_table[i].id));
    return list;
}

static json_t *list_voices(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < code_voice_count; i++)
        json_array_append_new(list, json_string(code_voices[i]->id));
    return list;
}

static const struct {
    const char *name;
    json_t *(*list)(void);
} tables[] = {
    {"engines", list_engines},      {"formats", list_formats}, {"targets", list_targets},
    {"sign_in", list_sign_in_ways}, {"voices", list_voices},   {"changes", list_changes},
};

static json_t *table_values(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (strcmp(tables[i].name, name) == 0) return tables[i].list();
    CHECK(false && "a table that schemas may name");
    return NULL;
}

/* --- limits of the program --- */

static const struct {
    const char *name;
    json_int_t most;
} limits[] = {
    {"side", DATASET_MAX_SIDE},
    {"width", LAYER_MAX_WIDTH},
    {"class", DATASET_MAX_CLASSES - 1},
    {"layer", NETWORK_MAX_LAYERS - 1},
};

static json_t *largest(const char *name)
{
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (strcmp(limits[i].name, name) == 0) return json_integer(limits[i].most);
    const struct setting *setting = setting_find(name);
    CHECK(setting && "a limit or a setting");
    return json_integer((json_int_t)setting->high);
}

/* --- reading the files: they are part of the program, so what fails but for memory is a mistake of
 * ours --- */

static void fill_values(json_t *schema)
{
    const char *key, *table = json_string_value(json_object_get(schema, "x-values")),
                     *limit = json_string_value(json_object_get(schema, "x-maximum"));
    json_t *member;
    size_t i;
    if (table) {
        json_object_set_new(schema, "enum", table_values(table));
        json_object_del(schema, "x-values");
    }
    if (limit) {
        json_object_set_new(schema, "maximum", largest(limit));
        json_object_del(schema, "x-maximum");
    }
    json_object_foreach(schema, key, member) fill_values(member);
    json_array_foreach(schema, i, member) fill_values(member);
}

static void fill_partial(const json_t *all, json_t *schema)
{
    const char *whole = json_string_value(json_object_get(schema, "x-partial"));
    if (!whole) return;
    const json_t *found = json_object_get(all, whole);
    CHECK(found);
    json_t *members = json_deep_copy(found);
    json_object_del(members, "required");
    json_object_update_missing_new(schema, members);
    json_object_del(schema, "x-partial");
}

/* NULL: out of memory; what is returned may be incomplete for the same reason. */
static json_t *read_files(void)
{
    json_t *all = json_object(), *schema;
    const char *name;
    for (size_t i = 0; i < schema_file_count; i++) {
        json_t *shapes = json_loadb((const char *)schema_files[i].plain, schema_files[i].plain_size,
                                    JSON_REJECT_DUPLICATES, NULL);
        if (!shapes) {
            CHECK(js_memory_failed());
            json_decref(all);
            return NULL;
        }
        json_object_foreach(shapes, name, schema) {
            CHECK(!json_object_get(all, name));
            json_object_set(all, name, schema);
        }
        json_decref(shapes);
    }
    /* The file holds a copy for the page's types; the table is what is checked. */
    json_object_set_new(all, "Settings", settings_schema());
    json_object_foreach(all, name, schema) fill_partial(all, schema);
    fill_values(all);
    return all;
}

static json_t *all_shapes;

int schema_load(struct error *error)
{
    js_memory_failed(); /* forgets what was before */
    json_t *all = read_files();
    if (!all || js_memory_failed()) {
        json_decref(all);
        return error_set_memory(error, "the shapes of requests");
    }
    all_shapes = all;
    return 0;
}

const json_t *schema_all(void)
{
    struct error error;
    CHECK(all_shapes || !schema_load(&error));
    return all_shapes;
}

const json_t *schema_find(const char *name)
{
    return json_object_get(schema_all(), name);
}

const json_t *schema_resolve(const json_t *schema)
{
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    if (!reference) return schema;
    CHECK(strncmp(reference, REFERENCE, strlen(REFERENCE)) == 0);
    const json_t *found = schema_find(reference + strlen(REFERENCE));
    CHECK(found);
    return found;
}
