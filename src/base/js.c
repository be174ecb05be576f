#include "base/js.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

static _Thread_local bool memory_failed;

static void *noting_malloc(size_t size)
{
    void *memory = malloc(size);
    if (!memory) memory_failed = true;
    return memory;
}

void js_begin(void)
{
    json_set_alloc_funcs(noting_malloc, free);
}

bool js_memory_failed(void)
{
    bool failed = memory_failed;
    memory_failed = false;
    return failed;
}

int js_parse_object(const char *text, size_t size, const char *what, json_t **out,
                    struct error *error)
{
    json_error_t problem;
    /* jansson overlooks one behind a number. */
    if (memchr(text, '\0', size))
        return error_set(error, ERROR_INPUT, "%s is not valid JSON: it holds a NUL byte", what);
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    if (!value && js_memory_failed()) return error_set_memory(error, what);
    if (!value)
        return error_set(error, ERROR_INPUT, "%s is not valid JSON: line %d, column %d: %s", what,
                         problem.line, problem.column, problem.text);
    if (!json_is_object(value)) {
        json_decref(value);
        return error_set(error, ERROR_INPUT, "%s is not a JSON object: it must start with '{'",
                         what);
    }
    *out = value;
    return 0;
}

int js_read_object(const char *path, size_t limit, json_t **out, struct error *error)
{
    char *text;
    size_t size;
    if (file_read(path, limit, &text, &size, error)) return -1;
    int status = js_parse_object(text, size, path, out, error);
    free(text);
    return status;
}

char *js_dump_as(const json_t *value, size_t flags)
{
    char *text = value ? json_dumps(value, flags) : NULL;
    if (!js_memory_failed()) return text;
    free(text);
    return NULL;
}

char *js_dump(const json_t *value)
{
    return js_dump_as(value, JSON_COMPACT | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
}

void js_append_string(struct buffer *out, const char *text)
{
    json_t *string = json_string(text);
    char *quoted = js_dump_as(string, JSON_ENCODE_ANY);
    buffer_append_text(out, quoted ? quoted : "\"\"");
    free(quoted);
    json_decref(string);
}

int js_print_line(const json_t *value, struct error *error)
{
    char *text = js_dump(value);
    if (!text) return error_set_memory(error, "a line of JSON");
    int failed = puts(text) < 0 || fflush(stdout);
    free(text);
    return failed
               ? error_set(error, ERROR_IO,
                           "cannot write to standard output: is the disk full or the pipe closed?")
               : 0;
}

const char *js_shortest(double value, char out[JS_SHORTEST_SIZE])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, JS_SHORTEST_SIZE, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    return out;
}

bool js_can_hold(const char *text)
{
    uint32_t character;
    for (int length; *text; text += length)
        if (!(length = text_character(text, &character))) return false;
    return true;
}

json_t *js_shown(const char *text)
{
    json_t *value = json_string(text);
    if (value) return value;
    char *shown = malloc(3 * strlen(text) + 1), *to = shown;
    if (!shown) return NULL;
    while (*text) {
        uint32_t character;
        size_t length = (size_t)text_character(text, &character);
        if (length)
            memcpy(to, text, length);
        else
            memcpy(to, "\xef\xbf\xbd", 3);
        to += length ? length : 3;
        text += length ? length : 1;
    }
    *to = '\0';
    value = json_string(shown);
    free(shown);
    return value;
}

json_t *js_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

int js_get_string(const json_t *object, const char *key, const char **out, struct error *error)
{
    const json_t *value = member(object, key);
    if (!value) return 0;
    if (!json_is_string(value))
        return error_set(error, ERROR_INPUT, "\"%s\" must be a string", key);
    *out = json_string_value(value);
    return 0;
}

int js_need_string(const json_t *object, const char *key, const char **out, struct error *error)
{
    *out = NULL;
    if (js_get_string(object, key, out, error)) return -1;
    return *out ? 0 : error_set(error, ERROR_INPUT, "\"%s\" is missing: give it as a string", key);
}

int js_get_bool(const json_t *object, const char *key, bool *out, struct error *error)
{
    const json_t *value = member(object, key);
    if (!value) return 0;
    if (!json_is_boolean(value))
        return error_set(error, ERROR_INPUT, "\"%s\" must be true or false", key);
    *out = json_is_true(value);
    return 0;
}

int js_get_integer(const json_t *object, const char *key, int64_t low, int64_t high, int64_t *out,
                   struct error *error)
{
    const json_t *value = member(object, key);
    if (!value) return 0;
    if (!json_is_integer(value) || json_integer_value(value) < low ||
        json_integer_value(value) > high)
        return error_set(error, ERROR_INPUT, "\"%s\" must be a whole number from %lld to %lld", key,
                         (long long)low, (long long)high);
    *out = json_integer_value(value);
    return 0;
}

int js_get_u32(const json_t *object, const char *key, uint32_t low, uint32_t high, uint32_t *out,
               struct error *error)
{
    int64_t value = *out;
    if (js_get_integer(object, key, low, high, &value, error)) return -1;
    *out = (uint32_t)value;
    return 0;
}

int js_get_real(const json_t *object, const char *key, double low, double high, double *out,
                struct error *error)
{
    const json_t *value = member(object, key);
    if (!value) return 0;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= low && number <= high))
        return error_set(error, ERROR_INPUT, "\"%s\" must be a number from %g to %g", key, low,
                         high);
    *out = number;
    return 0;
}

const char *js_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}
