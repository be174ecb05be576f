/* The named shapes of what the interface takes and answers: the files in schemas/, JSON Schema
 * 2020-12.
 *
 * Each file is an object, name → schema; a schema refers to another as
 * {"$ref":"#/components/schemas/NAME"}. The page's TypeScript types are made of the same files
 * (web/shapes.mjs). Four members are ours:
 *   "x-values": "engines"   the enum is filled in from the program's own table of that name
 *   "x-maximum": "side"     the maximum is filled in: a limit of the program's or of a setting
 *   "x-partial": "Settings" the members of that shape, none of them required
 *   "x-unchecked": true     schema_check leaves what is inside to the handler */
#ifndef NNSTUDIO_HTTP_SCHEMA_H
#define NNSTUDIO_HTTP_SCHEMA_H

#include <jansson.h>

#include "base/error.h"

/* Makes them all, while there is one thread only. A server does so before it listens: later there
 * would be nobody to tell that memory is out. */
int schema_load(struct error *error);
/* All shapes, name → schema, filled in. Borrowed, made once; for one thread, the loop's. */
const json_t *schema_all(void);
/* One of them; NULL when there is none of that name. Borrowed. */
const json_t *schema_find(const char *name);
/* What a schema that is a reference means; others are returned as they are. Borrowed. */
const json_t *schema_resolve(const json_t *schema);

/* Whether `value`, which came in a request, has the shape called `name`: types, ranges, lengths (in
 * characters), choices, required and unknown members. A member that is null counts as left out. The
 * message names the member, its value and what it must be. ERROR_INPUT. */
int schema_check(const char *name, const json_t *value, struct error *error);

#endif
