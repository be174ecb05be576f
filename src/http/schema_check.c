/* Requests against the shapes of schemas/: the part of JSON Schema that those of bodies use. */
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/js.h"
#include "http/schema.h"

#define VALUE_SHOWN 48  /* bytes of a value that a message shows */
#define WORDS_MAX   700 /* of what a value must be, or of where it stands */

/* Where a value stands: a chain from it up to the body, which is NULL. */
struct value_place {
    const struct value_place *above;
    const char *member; /* NULL: an item */
    size_t index;
};

static void write_place(const struct value_place *place, struct buffer *out)
{
    if (!place) return;
    write_place(place->above, out);
    if (place->member)
        buffer_printf(out, "%s%.60s", place->above ? "." : "", place->member);
    else
        buffer_printf(out, "[%zu]", place->index);
}

/* --- what a schema asks for, in words --- */

static const struct kind {
    const char *type, *title, *between, *low, *high, *unit;
} kinds[] = {
    {"integer", "a whole number", "from", "minimum", "maximum", ""},
    {"number", "a number", "from", "minimum", "maximum", ""},
    {"string", "text", "of", "minLength", "maxLength", " characters"},
    {"array", "an array", "of", "minItems", "maxItems", " items"},
    {"object", "an object", "of", "minProperties", "maxProperties", " members"},
    {"boolean", "true or false", "of", "", "", ""},
};

/* The kind of what a schema describes; of "T or null" that of T. */
static const struct kind *kind_of(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    if (json_is_array(type)) type = json_array_get(type, 0);
    for (size_t i = 0; json_is_string(type) && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].type, json_string_value(type)) == 0) return &kinds[i];
    CHECK(false && "a type that bodies have");
    return NULL;
}

static void write_number(const json_t *value, struct buffer *out)
{
    char digits[JS_SHORTEST_SIZE];
    if (json_is_integer(value))
        buffer_printf(out, "%lld", (long long)json_integer_value(value));
    else
        buffer_append_text(out, js_shortest(json_number_value(value), digits));
}

static void write_wanted(const json_t *schema, struct buffer *out)
{
    const json_t *choices = json_object_get(schema, "enum"), *choice;
    size_t i;
    if (choices) {
        buffer_append_text(out, "one of: ");
        json_array_foreach(choices, i, choice)
            buffer_printf(out, "%s%s", i ? ", " : "", json_string_value(choice));
        return;
    }
    const struct kind *kind = kind_of(schema);
    const json_t *low = json_object_get(schema, kind->low),
                 *high = json_object_get(schema, kind->high);
    buffer_append_text(out, kind->title);
    if (json_object_get(schema, "pattern")) /* what it allows is said by its description */
        buffer_printf(out, " that %s", json_string_value(json_object_get(schema, "description")));
    if (!low && !high) return;
    buffer_printf(out, " %s ", low && high ? kind->between : low ? "of at least" : "of at most");
    if (low) write_number(low, out);
    if (low && high) buffer_append_text(out, " to ");
    if (high) write_number(high, out);
    buffer_append_text(out, kind->unit);
}

/* " is 0", " has 21 items" … */
static void write_value(const json_t *schema, const json_t *value, struct buffer *out)
{
    if (json_is_array(value) && kind_of(schema)->type[0] == 'a') {
        buffer_printf(out, " has %zu items", json_array_size(value));
        return;
    }
    char *text = json_is_object(value) || json_is_array(value) ? NULL : js_dump(value);
    size_t length = text ? strlen(text) : 0, shown = length;
    if (shown > VALUE_SHOWN) /* never within a character */
        for (shown = VALUE_SHOWN; shown && (text[shown] & 0xC0) == 0x80;) shown--;
    if (text) buffer_printf(out, " is %.*s%s", (int)shown, text, shown < length ? "…" : "");
    free(text);
}

/* `value` NULL: it is missing. */
static int refuse(const struct value_place *place, const json_t *schema, const json_t *value,
                  struct error *error)
{
    struct buffer what, wanted;
    buffer_init(&what, WORDS_MAX);
    buffer_init(&wanted, WORDS_MAX);
    buffer_append_text(&what, place ? "\"" : "the request");
    write_place(place, &what);
    if (place) buffer_append_char(&what, '"');
    if (value)
        write_value(schema, value, &what);
    else
        buffer_append_text(&what, " is missing");
    write_wanted(schema, &wanted);
    int status = buffer_check(&what, "the member's name", error) ||
                 buffer_check(&wanted, "the list of choices", error);
    if (!status) error_set(error, ERROR_INPUT, "%s: it must be %s", what.data, wanted.data);
    buffer_free(&what);
    buffer_free(&wanted);
    return -1;
}

/* --- checking --- */

static bool within(const json_t *schema, const char *low_key, const char *high_key, double value)
{
    const json_t *low = json_object_get(schema, low_key), *high = json_object_get(schema, high_key);
    return (!low || value >= json_number_value(low)) && (!high || value <= json_number_value(high));
}

static bool type_fits(const char *type, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return strcmp(type, "object") == 0;
    case JSON_ARRAY:
        return strcmp(type, "array") == 0;
    case JSON_STRING:
        return strcmp(type, "string") == 0;
    case JSON_INTEGER:
        return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL:
        return strcmp(type, "number") == 0;
    case JSON_TRUE:
    case JSON_FALSE:
        return strcmp(type, "boolean") == 0;
    case JSON_NULL:
        return false;
    }
    return false;
}

/* How large it is in the measure of its kind: itself, or its characters, items or members. */
static double size_of(const json_t *value)
{
    if (json_is_number(value)) return json_number_value(value);
    if (json_is_array(value)) return (double)json_array_size(value);
    if (json_is_object(value)) return (double)json_object_size(value);
    size_t characters = 0;
    for (const char *c = json_string_value(value); c && *c; c++) characters += (*c & 0xC0) != 0x80;
    return (double)characters;
}

static bool is_among(const json_t *list, const json_t *value)
{
    const json_t *entry;
    size_t i;
    json_array_foreach(list, i, entry)
        if (json_equal(entry, value)) return true;
    return false;
}

/* 1 or 0; -1 when memory is out. A NUL within a string ends it for every C function that reads it:
 * none is taken. */
static int string_fits(const json_t *schema, const json_t *value)
{
    const char *pattern = json_string_value(json_object_get(schema, "pattern")),
               *text = json_string_value(value);
    regex_t regex;
    if (strlen(text) != json_string_length(value)) return 0;
    if (!pattern) return 1;
    int status = regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
    CHECK(!status || status == REG_ESPACE);
    if (status) return -1;
    bool fits = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return fits;
}

static int check(const struct value_place *place, const json_t *schema, const json_t *value,
                 struct error *error);

static int check_items(const struct value_place *place, const json_t *schema, const json_t *value,
                       struct error *error)
{
    const json_t *items = json_object_get(schema, "items"), *item;
    struct value_place inner = {place, NULL, 0};
    json_array_foreach(value, inner.index, item) {
        if (items && check(&inner, items, item, error)) return -1;
        for (size_t j = 0; json_is_true(json_object_get(schema, "uniqueItems")) && j < inner.index;
             j++)
            if (json_equal(json_array_get(value, j), item))
                return error_set(error, ERROR_INPUT, "\"%s\" names %.40s twice: name it once",
                                 place && place->member ? place->member : "the array",
                                 json_is_string(item) ? json_string_value(item) : "a value");
    }
    return 0;
}

static int check_members(const struct value_place *place, const json_t *schema, const json_t *value,
                         struct error *error)
{
    const json_t *known = json_object_get(schema, "properties"), *name;
    const json_t *others = json_object_get(schema, "additionalProperties");
    struct value_place inner = {place, NULL, 0};
    json_t *member;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)value, inner.member, member) {
        const json_t *own = json_object_get(known, inner.member);
        if (!own && json_is_false(others))
            return error_set(error, ERROR_INPUT, "there is no member \"%.60s\" here: leave it out",
                             inner.member);
        if (!own && json_is_object(others)) own = others;
        if (own && !json_is_null(member) && check(&inner, own, member, error)) return -1;
    }
    json_array_foreach(json_object_get(schema, "required"), i, name) {
        inner.member = json_string_value(name);
        const json_t *given = json_object_get(value, inner.member);
        if (!given || json_is_null(given))
            return refuse(&inner, schema_resolve(json_object_get(known, inner.member)), NULL,
                          error);
    }
    return 0;
}

static int check(const struct value_place *place, const json_t *schema, const json_t *value,
                 struct error *error)
{
    schema = schema_resolve(schema);
    const json_t *choices = json_object_get(schema, "enum");
    const struct kind *kind = kind_of(schema);
    int fits = json_is_string(value) ? string_fits(schema, value) : 1;
    if (fits < 0) return error_set_memory(error, "a pattern");
    if (!type_fits(kind->type, value) || (choices && !is_among(choices, value)) ||
        !within(schema, kind->low, kind->high, size_of(value)) || !fits)
        return refuse(place, schema, value, error);
    if (json_is_true(json_object_get(schema, "x-unchecked"))) return 0;
    if (json_is_array(value)) return check_items(place, schema, value, error);
    return json_is_object(value) ? check_members(place, schema, value, error) : 0;
}

int schema_check(const char *name, const json_t *value, struct error *error)
{
    const json_t *schema = schema_find(name);
    CHECK(schema);
    return check(NULL, schema, value, error);
}
