/* A row as text: what it says itself, and what the table of optimizers knows. */
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas.h"
#include "atlas/experiment.h"
#include "base/buffer.h"
#include "base/js.h"

#define TEXT_LIMIT 4096

/* The lines of the optimizer's formula that its options ask for. */
static void write_formula(const struct optimizer *optimizer, struct buffer *out)
{
    const char *rest = optimizer_formula_text(optimizer), *line;
    size_t length;
    while (optimizer_formula_line(optimizer, &rest, &line, &length)) {
        if (out->length) buffer_append_char(out, '\n');
        buffer_append(out, line, length);
    }
}

/* "lr 0.001, beta1 0.9, amsgrad off": of the optimizer as that framework has it. */
static void write_defaults(const struct optimizer *optimizer, struct buffer *out)
{
    static const char *const left_out[] = {"type", "meaning"};
    struct optimizer usual;
    const char *key;
    json_t *value;
    optimizer_defaults(optimizer->type, optimizer->meaning, &usual);
    json_t *all = optimizer_to_json(&usual);
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        json_object_del(all, left_out[i]);
    if (!optimizer_has(optimizer->type, OPTIMIZER_MOMENTUM)) json_object_del(all, "momentum");
    json_object_foreach(all, key, value) {
        char number[JS_SHORTEST_SIZE];
        buffer_printf(out, "%s%s %s", out->length ? ", " : "", key,
                      json_is_boolean(value) ? (json_is_true(value) ? "on" : "off")
                                             : js_shortest(json_number_value(value), number));
    }
    json_decref(all);
}

/* Whose colors a meaning has. */
static const struct engine_ops *const whose[MEANING_COUNT] = {
    [MEANING_PYTORCH] = &engine_torch,
    [MEANING_KERAS] = &engine_tensorflow,
};

static json_t *side_to_json(const struct atlas_row *row, enum meaning meaning)
{
    struct buffer formula, defaults;
    struct optimizer optimizer = {0};
    buffer_init(&formula, TEXT_LIMIT);
    buffer_init(&defaults, TEXT_LIMIT);
    if (row->experiment) atlas_side_optimizer(row->experiment, meaning, &optimizer);
    if (row->formula[meaning])
        buffer_append_text(&formula, row->formula[meaning]);
    else
        write_formula(&optimizer, &formula);
    if (row->defaults[meaning])
        buffer_append_text(&defaults, row->defaults[meaning]);
    else
        write_defaults(&optimizer, &defaults);
    json_t *side = formula.failed || defaults.failed
                       ? NULL
                       : json_pack("{s:s, s:s, s:s, s:s}", "title", meaning_title(meaning),
                                   "engine", whose[meaning]->id, "formula", formula.data,
                                   "defaults", defaults.data);
    buffer_free(&formula);
    buffer_free(&defaults);
    return side;
}

json_t *atlas_row_to_json(const struct atlas_row *row)
{
    return json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:b, s:s?, s:s?, s:s?}", "number",
                     (int)row->number, "id", row->id, "title", row->title, "subject", row->subject,
                     "pytorch", side_to_json(row, MEANING_PYTORCH), "keras",
                     side_to_json(row, MEANING_KERAS), "affects", row->affects, "migrate",
                     row->migrate, "closes", (int)row->closes, "experiment",
                     row->experiment ? row->experiment->about : NULL, "without", row->without,
                     "code", row->code);
}
