/* A data set in words and as JSON, its hash, its classes against a model's. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/js.h"
#include "data/dataset_impl.h"

#define SUMMARY_MAX 8192

static void add_note(struct dataset_note *notes, uint32_t *used, size_t count, const char *format,
                     va_list arguments)
{
    if (*used == DATASET_MAX_NOTES) {
        struct dataset_note *last = &notes[DATASET_MAX_NOTES - 1];
        snprintf(last->what, sizeof last->what, "others");
        last->count += count;
        return;
    }
    struct dataset_note *note = &notes[(*used)++];
    note->count = count;
    vsnprintf(note->what, sizeof note->what, format, arguments);
}

void dataset_skip(struct dataset *dataset, size_t count, const char *format, ...)
{
    va_list arguments;
    if (!count) return;
    va_start(arguments, format);
    add_note(dataset->skipped, &dataset->skipped_count, count, format, arguments);
    va_end(arguments);
}

void dataset_assume(struct dataset *dataset, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_note(dataset->assumed, &dataset->assumed_count, 0, format, arguments);
    va_end(arguments);
}

char *dataset_summary(const struct dataset *dataset)
{
    struct buffer text;
    char words[128], low[JS_SHORTEST_SIZE], high[JS_SHORTEST_SIZE];
    buffer_init(&text, SUMMARY_MAX);
    if (dataset->ids) { /* opened to be predicted, whole */
        buffer_printf(&text, "%s: %zu samples", dataset->title, dataset->train.count);
    } else {
        buffer_printf(&text, "%s: %zu training", dataset->title, dataset->train.count);
        if (dataset->validation.count)
            buffer_printf(&text, ", %zu validation", dataset->validation.count);
        buffer_printf(&text, " and %zu test samples", dataset->test.count);
    }
    if (dataset->table)
        buffer_printf(&text, " of %u number%s", dataset->columns, dataset->columns == 1 ? "" : "s");
    else
        buffer_printf(&text, " of %u x %u pixels%s", dataset->rows, dataset->columns,
                      dataset->channels > 1 ? " in color" : "");
    if (dataset->classes) buffer_printf(&text, ", %u classes", dataset->classes);
    if (dataset->label_column[0])
        buffer_printf(&text, ", label column \"%s\"", dataset->label_column);
    buffer_printf(&text, ", values %s to %s, %s", js_shortest(dataset->low, low),
                  js_shortest(dataset->high, high), input_form_words(&dataset->form, words));
    for (uint32_t i = 0; i < dataset->assumed_count; i++)
        buffer_printf(&text, "; %s", dataset->assumed[i].what);
    for (uint32_t i = 0; i < dataset->skipped_count; i++)
        buffer_printf(&text, "%s%s%s", i ? ", " : "; skipped: ", dataset->skipped[i].what, "");
    if (text.failed) {
        buffer_free(&text);
        return NULL;
    }
    return text.data;
}

static json_t *notes_json(const struct dataset_note *notes, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:o, s:I}", "what", js_shown(notes[i].what),
                                              "count", (json_int_t)notes[i].count));
    return list;
}

json_t *dataset_describe(const struct dataset *dataset)
{
    json_t *classes = json_array();
    for (uint32_t c = 0; c < dataset->classes; c++)
        json_array_append_new(classes, js_shown(dataset->class_names[c]));
    json_t *value = json_pack(
        "{s:o, s:o, s:o, s:b, s:{s:I, s:I}, s:o, s:[iii], s:[ff]}", "name", js_shown(dataset->name),
        "title", js_shown(dataset->title), "path", js_shown(dataset->source), "synthetic",
        (int)dataset->synthetic, "samples", "train", (json_int_t)dataset->train.count, "test",
        (json_int_t)dataset->test.count, "classes", classes, "shape", (int)dataset->rows,
        (int)dataset->columns, (int)dataset->channels, "range", dataset->low, dataset->high);
    json_object_set_new(value, "label_column",
                        dataset->label_column[0] ? js_shown(dataset->label_column) : json_null());
    json_object_set_new(value, "scale", json_real(dataset->form.scale));
    json_object_set_new(value, "mean", json_real(dataset->form.mean));
    json_object_set_new(value, "std", json_real(dataset->form.std));
    json_object_set_new(value, "polarity", json_string(polarity_name(dataset->form.polarity)));
    json_object_set_new(value, "inverted", json_boolean(dataset->inverted));
    json_object_set_new(value, "skipped", notes_json(dataset->skipped, dataset->skipped_count));
    json_object_set_new(value, "assumed", notes_json(dataset->assumed, dataset->assumed_count));
    return value;
}

static void hash_split(struct hash *hash, const struct dataset *dataset, const struct split *split)
{
    uint64_t count = split->count;
    hash_update(hash, &count, sizeof count);
    hash_update(hash, split->labels, split->count);
    hash_update(hash, split->pixels, split->count * dataset_inputs(dataset));
}

int dataset_hash(const struct dataset *dataset, char hex[HASH_HEX_SIZE], struct error *error)
{
    struct hash *hash;
    if (dataset->hash[0]) {
        memcpy(hex, dataset->hash, HASH_HEX_SIZE);
        return 0;
    }
    if (hash_create(&hash, error)) return -1;
    const uint32_t shape[] = {dataset->rows, dataset->columns, dataset->classes};
    hash_update(hash, shape, sizeof shape);
    if (dataset->channels > 1) hash_update(hash, &dataset->channels, sizeof dataset->channels);
    for (uint32_t c = 0; c < dataset->classes; c++)
        hash_update(hash, dataset->class_names[c], strlen(dataset->class_names[c]) + 1);
    if (dataset->coded) hash_update(hash, dataset->values, sizeof dataset->values);
    hash_split(hash, dataset, &dataset->train);
    hash_split(hash, dataset, &dataset->test);
    hash_finish(hash, hex);
    return 0;
}

int dataset_match_classes(struct dataset *dataset, const char *const *names, uint32_t count,
                          struct error *error)
{
    struct split *const splits[] = {&dataset->train, &dataset->test};
    CHECK(!dataset->validation.count);
    uint8_t place[DATASET_MAX_CLASSES];
    bool known[DATASET_MAX_CLASSES] = {false};
    for (uint32_t c = 0; c < dataset->classes; c++)
        for (uint32_t m = 0; m < count && m < DATASET_MAX_CLASSES && !known[c]; m++) {
            known[c] = strcmp(dataset->class_names[c], names[m]) == 0;
            place[c] = (uint8_t)m;
        }
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < splits[s]->count; i++) {
            uint8_t label = splits[s]->labels[i];
            if (!known[label])
                return error_set(error, ERROR_INPUT,
                                 "%s has the class \"%s\", which the model does not know (its "
                                 "classes: \"%s\" to \"%s\"): use the data it was made for",
                                 dataset->title, dataset->class_names[label], names[0],
                                 names[count - 1]);
            splits[s]->labels[i] = place[label];
        }
    dataset->classes = count;
    for (uint32_t m = 0; m < count; m++)
        snprintf(dataset->class_names[m], DATASET_NAME_MAX, "%s", names[m]);
    return 0;
}
