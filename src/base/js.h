/* Small helpers on jansson, which holds all our JSON. Ownership as in jansson: "new" references are
 * the caller's. */
#ifndef NNSTUDIO_BASE_JS_H
#define NNSTUDIO_BASE_JS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* Parses one JSON object from `size` bytes of text; at most `limit` bytes are taken. `what` names
 * the source in messages. New reference. */
int js_parse_object(const char *text, size_t size, const char *what, json_t **out,
                    struct error *error);
int js_read_object(const char *path, size_t limit, json_t **out, struct error *error);
/* Notes from now on where memory runs out within jansson, most of whose calls report it to callers
 * who build a tree by many of them: called once, before the first tree. */
void js_begin(void);
/* Whether memory has run out on this thread since it was last asked, here or by js_dump(). A tree
 * built meanwhile may lack members. */
bool js_memory_failed(void);
/* Compact, members in the order they were set, 17 significant digits; malloc'd. NULL when memory is
 * out, or was while trees were built on this thread: nothing incomplete is written. */
char *js_dump(const json_t *value);
/* The same, laid out by jansson's flags. */
char *js_dump_as(const json_t *value, size_t flags);
/* Appends the text as a JSON string, which YAML 1.2 takes as it is; "" when it is not UTF-8. */
void js_append_string(struct buffer *out, const char *text);
/* js_dump and a newline to standard output, flushed. */
int js_print_line(const json_t *value, struct error *error);

/* A finite number in the fewest digits that read back as the same one: "0.05", "1e-05", "3".
 * Returns `out`. */
#define JS_SHORTEST_SIZE 32
const char *js_shortest(double value, char out[JS_SHORTEST_SIZE]);

/* A finite number, or null for nan and infinities (which JSON lacks). New reference. */
json_t *js_real(double value);

/* Any bytes as a string: what is not UTF-8, which JSON cannot hold, becomes U+FFFD. For what is
 * only shown; never for a path that is to be opened again. New reference. */
json_t *js_shown(const char *text);
/* True when JSON can hold the text as it is: valid UTF-8. */
bool js_can_hold(const char *text);

/* Members with a check of type and range; the message names the member. When it is absent (or
 * null) the value at
 * *out stays as it is, so it may hold the default; js_need_* refuse that. */
int js_get_string(const json_t *object, const char *key, const char **out, struct error *error);
int js_get_bool(const json_t *object, const char *key, bool *out, struct error *error);
int js_get_integer(const json_t *object, const char *key, int64_t low, int64_t high, int64_t *out,
                   struct error *error);
int js_get_u32(const json_t *object, const char *key, uint32_t low, uint32_t high, uint32_t *out,
               struct error *error);
int js_get_real(const json_t *object, const char *key, double low, double high, double *out,
                struct error *error);
/* A text member, "" when it is absent or no string: for what other programs wrote. Borrowed. */
const char *js_text(const json_t *object, const char *key);
int js_need_string(const json_t *object, const char *key, const char **out, struct error *error);

#endif
