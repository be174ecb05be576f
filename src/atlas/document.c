/* docs/atlas.md: the rows as text, with what was measured. */
#include <math.h>
#include <string.h>

#include "atlas/atlas.h"
#include "atlas/experiment.h"
#include "base/buffer.h"
#include "base/js.h"

#define DOCUMENT_LIMIT ((size_t)1 << 20)

static const json_t *result_of(const json_t *results, const char *engine, uint32_t number)
{
    const json_t *result;
    size_t i;
    json_array_foreach(json_object_get(results, engine), i, result)
        if (json_integer_value(json_object_get(result, "row")) == number) return result;
    return NULL;
}

static double largest_of(const json_t *result)
{
    const json_t *first = json_array_get(json_object_get(result, "curves"), 0);
    return json_number_value(json_object_get(first, "largest"));
}

/* "2.84e-06"; mere rounding gets no digits, which differ between machines. */
static void write_difference(struct buffer *out, double difference)
{
    if (difference <= ATLAS_AGREE)
        buffer_append_text(out, "none but rounding");
    else
        buffer_printf(out, "%.3g", difference);
}

static void write_head(struct buffer *out, const json_t *results)
{
    const char *between = "";
    buffer_append_text(
        out,
        "# Atlas: where PyTorch and Keras mean different things by the same word\n\n"
        "Written by `nnstudio atlas --run --document docs/atlas.md`; nothing in it is typed by "
        "hand but the rows' "
        "own words. The experiments were run in float64 on ");
    for (size_t i = 0; i < engine_table_count; i++) {
        const struct engine_ops *ops = engine_table[i];
        const json_t *first = json_array_get(json_object_get(results, ops->id), 0);
        if (!first) continue;
        buffer_printf(out, "%s%s", between,
                      ops == engine_default ? "the studio's own engine" : ops->title);
        if (ops != engine_default) buffer_printf(out, " %s", js_text(first, "version"));
        between = ", ";
    }
    buffer_append_text(
        out, ".\n\nWhere engines are named as confirming a row, each computed both meanings and "
             "every value of every curve is within 1e-12 of the studio's own engine.\n\n"
             "| row | what | largest difference | arguments close it |\n|---|---|---|---|\n");
}

static void write_line(struct buffer *out, const struct atlas_row *row, const json_t *results)
{
    const json_t *result = result_of(results, engine_default->id, row->number);
    buffer_printf(out, "| [%u](#row-%u) | %s | ", row->number, row->number, row->title);
    if (result)
        write_difference(out, largest_of(result));
    else
        buffer_append_text(out, row->experiment ? "not run" : "no experiment");
    buffer_printf(out, " | %s |\n", row->closes ? "yes" : "no");
}

static void write_side(struct buffer *out, const char *title, const json_t *side)
{
    buffer_printf(out, "%s:\n```\n%s\n```\nDefaults: %s.\n\n", title, js_text(side, "formula"),
                  js_text(side, "defaults"));
}

static void write_measured(struct buffer *out, const struct atlas_row *row, const json_t *results)
{
    const json_t *own = result_of(results, engine_default->id, row->number);
    if (!own) {
        if (row->without) buffer_printf(out, "No experiment: %s.\n\n", row->without);
        return;
    }
    const json_t *curve = json_array_get(json_object_get(own, "curves"), 0);
    const char *name = js_text(curve, "name"), *between = " Confirmed by ";
    buffer_printf(out, "Experiment: %s Largest difference of a %s: ", row->experiment->about,
                  js_text(curve, "what"));
    write_difference(out, largest_of(own));
    if (*name && largest_of(own) > ATLAS_AGREE)
        buffer_printf(out, " (%s, %s %lld)", name, js_text(curve, "x"),
                      (long long)json_integer_value(json_object_get(curve, "at")));
    buffer_append_text(out, ".");
    for (size_t i = 0; i < engine_table_count; i++) {
        const json_t *other = result_of(results, engine_table[i]->id, row->number);
        if (!other || other == own) continue;
        if (atlas_apart(own, other) <= ATLAS_AGREE) {
            buffer_printf(out, "%s%s", between, engine_table[i]->title);
            between = " and ";
        } else {
            buffer_printf(out, " %s disagrees by %.2g.", engine_table[i]->title,
                          atlas_apart(own, other));
        }
    }
    buffer_append_text(out, strcmp(between, " and ") == 0 ? ".\n\n" : "\n\n");
}

static void write_row(struct buffer *out, const struct atlas_row *row, const json_t *results)
{
    json_t *text = atlas_row_to_json(row);
    buffer_printf(out, "## Row %u\n\n**%s**\n\n", row->number, row->title);
    for (enum meaning meaning = 0; meaning < MEANING_COUNT; meaning++)
        write_side(out, meaning_title(meaning), json_object_get(text, meaning_name(meaning)));
    buffer_printf(out, "Who meets it: %s\n\nWhat to do: %s\n\n", row->affects, row->migrate);
    write_measured(out, row, results);
    json_decref(text);
}

char *atlas_document(const json_t *results)
{
    struct buffer out;
    buffer_init(&out, DOCUMENT_LIMIT);
    write_head(&out, results);
    for (size_t i = 0; i < atlas_row_count; i++) write_line(&out, &atlas_rows[i], results);
    buffer_append_char(&out, '\n');
    for (size_t i = 0; i < atlas_row_count; i++) write_row(&out, &atlas_rows[i], results);
    while (out.length > 1 && out.data[out.length - 2] == '\n') out.data[--out.length] = '\0';
    if (!out.failed) return out.data;
    buffer_free(&out);
    return NULL;
}
