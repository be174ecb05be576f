/* The model card of a registered version: Markdown under YAML front matter, as Hugging Face reads
 * it (huggingface.co/docs/hub/model-cards; model-index as in paperswithcode's evaluation results).
 * Every text in the front matter is a JSON string, which YAML 1.2 takes as it is. */
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/path.h"
#include "registry/targets.h"

static const char *tag_of(const struct registry_request *request, const char *key)
{
    const char *text = json_string_value(json_object_get(request->tags, key));
    return text && *text ? text : NULL;
}

/* One line of Markdown: no cell, line or tag ends within it. */
static void add_plain(struct buffer *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (strchr("|<>`*_[]\\", *c)) buffer_append_char(out, '\\');
        buffer_append_char(out, *c == '\n' || *c == '\r' ? ' ' : *c);
    }
}

static void add_row(struct buffer *out, const char *name, const char *text)
{
    if (!text) return;
    buffer_append_text(out, "| ");
    add_plain(out, name);
    buffer_append_text(out, " | ");
    add_plain(out, text);
    buffer_append_text(out, " |\n");
}

static void add_table(struct buffer *out, const char *title, const char *columns,
                      const json_t *object)
{
    const char *key;
    json_t *value;
    bool begun = false;
    json_object_foreach((json_t *)object, key, value) {
        bool scalar = !json_is_object(value) && !json_is_array(value);
        char *text = scalar ? registry_value_text(value) : NULL;
        if (text && !begun) buffer_printf(out, "\n## %s\n\n%s\n|---|---|\n", title, columns);
        begun = begun || text;
        add_row(out, key, text);
        free(text);
    }
}

/* The figure that evaluation results are made of: the validation accuracy. */
static const json_t *accuracy_of(const struct registry_request *request)
{
    const json_t *value = json_object_get(json_object_get(request->run, "last"), "val_accuracy");
    return json_is_number(value) ? value : NULL;
}

static void add_front_matter(const struct registry_request *request, const char *name,
                             struct buffer *out)
{
    const char *format = tag_of(request, "format"), *set = tag_of(request, "dataset"),
               *tagged = tag_of(request, "accuracy");
    const json_t *measured = accuracy_of(request);
    char number[JS_SHORTEST_SIZE];
    buffer_append_text(out, "---\n");
    if (format) buffer_printf(out, "library_name: %s\n", registry_framework_of(format).library);
    buffer_append_text(out, "pipeline_tag: image-classification\ntags:\n- neural-net-studio\n");
    if (set) {
        buffer_append_text(out, "datasets:\n- ");
        js_append_string(out, path_base(set));
        buffer_append_char(out, '\n');
    }
    if (set && (measured || tagged)) {
        buffer_append_text(out, "metrics:\n- accuracy\nmodel-index:\n- name: ");
        js_append_string(out, name);
        buffer_append_text(out, "\n  results:\n  - task:\n      type: image-classification\n"
                                "    dataset:\n      name: ");
        js_append_string(out, path_base(set));
        buffer_append_text(out, "\n      type: ");
        js_append_string(out, path_base(set));
        buffer_printf(out,
                      "\n    metrics:\n    - type: accuracy\n      name: Validation accuracy\n"
                      "      value: %s\n",
                      measured ? js_shortest(json_number_value(measured), number)
                               : js_shortest(strtod(tagged, NULL), number));
    }
    buffer_append_text(out, "---\n\n");
}

int registry_model_card(const struct registry_request *request, const char *name,
                        const char *sha256, struct buffer *out, struct error *error)
{
    static const char *const lineage[] = {"run", "engine", "framework", "epochs", "seed"};
    const char *version = json_string_value(json_object_get(request->run, "engine_version"));
    add_front_matter(request, name, out);
    buffer_append_text(out, "# ");
    add_plain(out, name);
    buffer_append_text(out, "\n\n");
    if (request->description && *request->description) {
        add_plain(out, request->description);
        buffer_append_text(out, "\n\n");
    }
    buffer_append_text(out, "Registered by Neural Net Studio.\n\n## File\n\n| what | value |\n"
                            "|---|---|\n");
    add_row(out, "name", path_base(request->model_path));
    add_row(out, "SHA-256", sha256);
    add_row(out, "format", tag_of(request, "format"));
    add_row(out, "parameters", tag_of(request, "parameters"));
    buffer_append_text(out, "\n## Lineage\n\n| what | value |\n|---|---|\n");
    add_row(out, "data set", tag_of(request, "dataset"));
    for (size_t i = 0; i < sizeof lineage / sizeof lineage[0]; i++)
        add_row(out, lineage[i], tag_of(request, lineage[i]));
    add_row(out, "engine version", version && *version ? version : NULL);
    add_table(out, "Settings", "| setting | value |", json_object_get(request->run, "settings"));
    add_table(out, "Metrics after the last epoch", "| metric | value |",
              json_object_get(request->run, "last"));
    return buffer_check(out, "the model card", error);
}
