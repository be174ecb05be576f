/* The table of settings in words and as JSON: for messages, help, the schema and the page's
 * form. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "run/settings.h"

static bool is_offered(const struct setting *setting, uint32_t value)
{
    return value >= (uint32_t)setting->low && value <= (uint32_t)setting->high;
}

const char *setting_choices(const struct setting *setting, char out[SETTING_TEXT_SIZE])
{
    size_t length = 0;
    uint32_t low = (uint32_t)setting->low, high = (uint32_t)setting->high;
    out[0] = '\0';
    for (uint32_t value = low; value <= high; value++) {
        length += (size_t)snprintf(out + length, SETTING_TEXT_SIZE - length, "%s%s",
                                   value == low    ? ""
                                   : value == high ? " or "
                                                   : ", ",
                                   setting->choice(value));
        CHECK(length < SETTING_TEXT_SIZE);
    }
    return out;
}

/* "65,536"; numbers that are not whole in the fewest digits. */
static const char *grouped(double value, char out[JS_SHORTEST_SIZE])
{
    char digits[JS_SHORTEST_SIZE];
    char *place = out;
    if (value != (double)(int64_t)value) return js_shortest(value, out);
    if (value < 0) *place++ = '-';
    int count = snprintf(digits, sizeof digits, "%lld", (long long)fabs(value));
    for (int i = 0; i < count; i++) {
        if (i && (count - i) % 3 == 0) *place++ = ',';
        *place++ = digits[i];
    }
    *place = '\0';
    return out;
}

const char *setting_range(const struct setting *setting, char out[SETTING_TEXT_SIZE])
{
    char low[JS_SHORTEST_SIZE], high[JS_SHORTEST_SIZE];
    grouped(setting->low, low);
    grouped(setting->high, high);
    switch (setting->kind) {
    case SETTING_INTEGER:
        snprintf(out, SETTING_TEXT_SIZE, "a whole number from %s to %s", low, high);
        break;
    case SETTING_NUMBER:
        snprintf(out, SETTING_TEXT_SIZE, "a number %s %s %s %s",
                 setting->low_open ? "above" : "from", low,
                 setting->high_open  ? "to below"
                 : setting->low_open ? "and at most"
                                     : "to",
                 high);
        break;
    case SETTING_TEXT:
        snprintf(out, SETTING_TEXT_SIZE, "a text of %s to %s bytes", low, high);
        break;
    case SETTING_CHOICE:
        setting_choices(setting, out);
        break;
    case SETTING_FLAG:
        snprintf(out, SETTING_TEXT_SIZE, "true or false");
        break;
    case SETTING_WIDTHS:
        snprintf(out, SETTING_TEXT_SIZE, "at most %d whole numbers from %s to %s",
                 NETWORK_MAX_LAYERS - 1, low, high);
        break;
    }
    return out;
}

/* --- defaults --- */

/* The job of all defaults; NULL when memory is out. The caller frees it. */
static struct job *default_job(void)
{
    struct job *job = calloc(1, sizeof *job);
    if (job) job_init(job);
    return job;
}

/* The defaults of the optimizers that have the setting, in one meaning: {"sgd":0.01,"adam":0.001};
 * *one is the default that all have so far, *differ whether they do not. */
static json_t *defaults_in(const struct setting *setting, struct job *job, enum meaning meaning,
                           json_t **one, bool *differ)
{
    json_t *values = json_object();
    for (int type = 0; type < OPTIMIZER_TYPE_COUNT; type++) {
        if (!setting_belongs(setting, (enum optimizer_type)type)) continue;
        optimizer_defaults((enum optimizer_type)type, meaning, &job->optimizer);
        json_t *value = setting_value(setting, job);
        if (*one && !json_equal(*one, value)) *differ = true;
        if (!*one) *one = json_incref(value);
        json_object_set_new(values, optimizer_type_name((enum optimizer_type)type), value);
    }
    return values;
}

/* Whether the optimizers that have this setting differ in its default, or the meanings do;
 * {"pytorch":{"sgd":0.01,"adam":0.001},"keras":{…}} in *by_type. */
static bool depends_on_optimizer(const struct setting *setting, json_t **by_type)
{
    bool differ = false;
    json_t *one = NULL;
    struct job *job = setting->fallback ? NULL : default_job();
    *by_type = json_object();
    for (int meaning = 0; job && meaning < MEANING_COUNT; meaning++)
        json_object_set_new(*by_type, meaning_name((enum meaning)meaning),
                            defaults_in(setting, job, (enum meaning)meaning, &one, &differ));
    json_decref(one);
    free(job);
    return differ;
}

/* A number, or a text without its quotes, or widths with commas. */
static void append_value(const json_t *value, char *out, size_t size)
{
    char number[JS_SHORTEST_SIZE];
    size_t length = strlen(out);
    if (json_is_string(value))
        snprintf(out + length, size - length, "%s", json_string_value(value));
    else if (json_is_number(value))
        snprintf(out + length, size - length, "%s", js_shortest(json_number_value(value), number));
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (i) snprintf(out + strlen(out), size - strlen(out), ",");
        append_value(json_array_get(value, i), out, size);
    }
}

static bool is_zero(const json_t *value)
{
    return json_is_null(value) || (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && !json_string_length(value)) ||
           (json_is_array(value) && !json_array_size(value));
}

/* "sgd/rmsprop 0.01, adam 0.001": optimizers of one default together. */
static void append_defaults(json_t *values, char *out, size_t size)
{
    const char *type, *other;
    json_t *value, *same;
    bool first = true;
    json_object_foreach(values, type, value) {
        bool told = false, later = false;
        json_object_foreach(values, other, same) {
            if (strcmp(other, type) == 0) break;
            told = told || json_equal(same, value);
        }
        if (told) continue;
        snprintf(out + strlen(out), size - strlen(out), first ? "" : ", ");
        first = false;
        json_object_foreach(values, other, same) {
            if (!json_equal(same, value)) continue;
            snprintf(out + strlen(out), size - strlen(out), "%s%s", later ? "/" : "", other);
            later = true;
        }
        snprintf(out + strlen(out), size - strlen(out), " ");
        append_value(value, out, size);
    }
}

const char *setting_default(const struct setting *setting, char out[SETTING_TEXT_SIZE])
{
    json_t *by_type, *value;
    const char *meaning;
    out[0] = '\0';
    if (depends_on_optimizer(setting, &by_type)) {
        json_object_foreach(by_type, meaning, value) {
            size_t length = strlen(out);
            if (length) snprintf(out + length, SETTING_TEXT_SIZE - length, "; %s: ", meaning);
            append_defaults(value, out, SETTING_TEXT_SIZE);
        }
    } else if (setting->kind != SETTING_FLAG) {
        struct job *job = default_job();
        value = job ? setting_value(setting, job) : json_null();
        if (is_zero(value) && (setting->zero || json_is_null(value)))
            snprintf(out, SETTING_TEXT_SIZE, "%s", setting->zero ? setting->zero : "");
        else
            append_value(value, out, SETTING_TEXT_SIZE);
        json_decref(value);
        free(job);
    }
    json_decref(by_type);
    return out;
}

/* --- JSON --- */

static json_t *bound(const struct setting *setting, double value)
{
    return setting->kind == SETTING_NUMBER ? json_real(value) : json_integer((json_int_t)value);
}

static void set_bounds(json_t *schema, const struct setting *setting)
{
    json_object_set_new(schema, setting->low_open ? "exclusiveMinimum" : "minimum",
                        bound(setting, setting->low));
    json_object_set_new(schema, setting->high_open ? "exclusiveMaximum" : "maximum",
                        bound(setting, setting->high));
}

static json_t *choice_names(const struct setting *setting)
{
    json_t *names = json_array();
    for (uint32_t value = (uint32_t)setting->low; is_offered(setting, value); value++)
        json_array_append_new(names, json_string(setting->choice(value)));
    return names;
}

json_t *setting_schema(const struct setting *setting)
{
    json_t *schema = json_object(), *item;
    switch (setting->kind) {
    case SETTING_INTEGER:
    case SETTING_NUMBER:
        json_object_set_new(schema, "type",
                            json_string(setting->kind == SETTING_INTEGER ? "integer" : "number"));
        set_bounds(schema, setting);
        break;
    case SETTING_TEXT:
        json_object_set_new(schema, "type",
                            setting->flags & SETTING_NULLABLE ? json_pack("[s,s]", "string", "null")
                                                              : json_string("string"));
        json_object_set_new(schema, "minLength", json_integer((json_int_t)setting->low));
        json_object_set_new(schema, "maxLength", json_integer((json_int_t)setting->high));
        break;
    case SETTING_CHOICE:
        json_object_set_new(schema, "type", json_string("string"));
        json_object_set_new(schema, "enum", choice_names(setting));
        break;
    case SETTING_FLAG:
        json_object_set_new(schema, "type", json_string("boolean"));
        break;
    case SETTING_WIDTHS:
        item = json_pack("{s:s}", "type", "integer");
        set_bounds(item, setting);
        json_object_set_new(schema, "type", json_string("array"));
        json_object_set_new(schema, "maxItems", json_integer(NETWORK_MAX_LAYERS - 1));
        json_object_set_new(schema, "items", item);
        break;
    }
    json_object_set_new(schema, "description", json_string(setting->help));
    json_t *by_type;
    struct job *defaults = default_job();
    if (defaults && !depends_on_optimizer(setting, &by_type))
        json_object_set_new(schema, "default", setting_value(setting, defaults));
    if (defaults) json_decref(by_type);
    free(defaults);
    return schema;
}

json_t *settings_schema(void)
{
    json_t *properties = json_object(), *names = json_array();
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (setting->flags & SETTING_PRIVATE) continue;
        json_array_append_new(names, json_string(setting->key));
        json_object_set_new(properties, setting->key, setting_schema(setting));
    }
    return json_pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties", 0,
                     "required", names, "properties", properties);
}

static const char *kind_name(enum setting_kind kind)
{
    static const char *const names[] = {
        [SETTING_INTEGER] = "integer", [SETTING_NUMBER] = "number", [SETTING_TEXT] = "text",
        [SETTING_CHOICE] = "choice",   [SETTING_WIDTHS] = "widths", [SETTING_FLAG] = "flag"};
    return names[kind];
}

static json_t *choices_json(const struct setting *setting)
{
    if (setting->kind != SETTING_CHOICE) return json_null();
    json_t *list = json_array();
    for (uint32_t value = (uint32_t)setting->low; is_offered(setting, value); value++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "value", setting->choice(value), "label",
                                        setting->choice_label ? setting->choice_label(value)
                                                              : setting->choice(value)));
    return list;
}

static json_t *optimizers_json(const struct setting *setting)
{
    if (!setting->optimizer_field) return json_null();
    json_t *list = json_array();
    for (int type = 0; type < OPTIMIZER_TYPE_COUNT; type++)
        if (setting_belongs(setting, (enum optimizer_type)type))
            json_array_append_new(list,
                                  json_string(optimizer_type_name((enum optimizer_type)type)));
    return list;
}

static json_t *describe(const struct setting *setting, const struct job *defaults)
{
    bool bounded = setting->kind != SETTING_CHOICE && setting->kind != SETTING_FLAG;
    char range[SETTING_TEXT_SIZE];
    json_t *by_type;
    json_t *value = json_pack(
        "{s:s, s:b, s:s, s:s, s:s?, s:s, s:s, s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:s?, s:b, s:b, "
        "s:b, "
        "s:b, s:s?}",
        "key", setting->key, "own_data", (setting->flags & SETTING_OWN_DATA) != 0, "kind",
        kind_name(setting->kind), "label", setting->label, "unit", setting->unit, "help",
        setting->help, "range", setting_range(setting, range), "default",
        setting_value(setting, defaults), "low",
        bounded ? bound(setting, setting->low) : json_null(), "high",
        bounded ? bound(setting, setting->high) : json_null(), "low_open", (int)setting->low_open,
        "high_open", (int)setting->high_open, "choices", choices_json(setting), "optimizers",
        optimizers_json(setting), "zero", setting->zero, "basic",
        (setting->flags & SETTING_BASIC) != 0, "fixed_on_resume",
        (setting->flags & SETTING_FIXED) != 0, "program", (setting->flags & SETTING_PROGRAM) != 0,
        "nullable", (setting->flags & SETTING_NULLABLE) != 0, "option", setting->option);
    bool depends = depends_on_optimizer(setting, &by_type);
    json_object_set(value, "default_by_optimizer", depends ? by_type : json_null());
    json_object_set_new(value, "most",
                        setting->kind == SETTING_WIDTHS ? json_integer(NETWORK_MAX_LAYERS - 1)
                                                        : json_null());
    json_decref(by_type);
    return value;
}

json_t *settings_describe(void)
{
    struct job *defaults = default_job();
    json_t *list = json_array();
    for (size_t i = 0; defaults && i < settings_count; i++)
        if (!(settings_table[i].flags & SETTING_PRIVATE))
            json_array_append_new(list, describe(&settings_table[i], defaults));
    free(defaults);
    return json_pack("{s:o}", "settings", list);
}
