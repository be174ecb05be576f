#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/js.h"
#include "diff/align.h"
#include "diff/diff.h"
#include "diff/kinds.h"
#include "modelfile/state_dict.h"

#define TEXT_LIMIT ((size_t)1 << 16)
/* So many tensors are named in one sentence. */
#define NAMES_SHOWN 4

/* One pair of tensors, or one alone (the other NULL). */
struct compared {
    struct diff_pair pair;
    struct diff_tensor result;
};

struct comparison {
    const struct model *models[2];
    struct alignment *alignment; /* owned */
    struct compared tensors[2 * PARAMETERS_MAX_TENSORS];
    size_t count;
    bool same_network, same;
    /* new references, which the answer takes over */
    json_t *network, *findings;
};

static const char side_names[2] = {'A', 'B'};

/* --- findings: what is told, the most important first ----------------------------------------- */

static void add_finding(struct comparison *comparison, const char *kind, const char *text)
{
    json_array_append_new(comparison->findings,
                          json_pack("{s:s, s:o}", "kind", kind, "text", js_shown(text)));
}

static bool assumed(const struct model *model, const char *what)
{
    size_t index;
    json_t *text;
    json_array_foreach(model->assumed, index, text)
        if (strstr(json_string_value(text), what)) return true;
    return false;
}

/* --- the networks ----------------------------------------------------------------------------- */

/* A field's value as users read it: "relu", "1e-05", "[3,3]", "usual" where the file says none. */
static const char *field_words(const json_t *value, char out[64])
{
    if (!value) return "the default";
    if (json_is_string(value)) return json_string_value(value);
    if (json_is_real(value)) return js_shortest(json_real_value(value), out);
    char *text = js_dump_as(value, JSON_COMPACT | JSON_ENCODE_ANY);
    snprintf(out, 64, "%s", text ? text : "");
    free(text);
    return out;
}

static void add_field(struct comparison *comparison, const struct counting_layer *layers[2],
                      const char *field, json_t *a, json_t *b)
{
    char text[320], words[2][64];
    bool activation = strcmp(field, "activation") == 0, guessed = false;
    for (int side = 0; activation && side < 2; side++)
        guessed = guessed || assumed(comparison->models[side], "activation");
    json_array_append_new(comparison->network,
                          json_pack("{s:i, s:s, s:s, s:O?, s:O?}", "layer",
                                    (int)layers[0]->place + 1, "name", layers[0]->layer.name,
                                    "field", field, "a", a, "b", b));
    snprintf(text, sizeof text, "layer %u (%s): %s is %s in A and %s in B%s", layers[0]->place + 1,
             layers[0]->layer.name, field, field_words(a, words[0]), field_words(b, words[1]),
             guessed ? ", assumed where the file does not say: tell it with --activation" : "");
    add_finding(comparison, guessed ? "assumed_activation" : field, text);
}

/* Every field of two layers of one type that says something else. */
static void compare_fields(struct comparison *comparison, const struct counting_layer *layers[2])
{
    const char *field;
    json_t *value, *sides[2];
    if (layer_alike(&layers[0]->layer, &layers[1]->layer)) return;
    comparison->same_network = false;
    for (int side = 0; side < 2; side++) {
        sides[side] = layer_to_json(&layers[side]->layer);
        json_object_del(sides[side], "inputs"); /* follows from the layer before */
        if (json_object_get(sides[side], "outputs")) {
            json_object_set(sides[side], "units", json_object_get(sides[side], "outputs"));
            json_object_del(sides[side], "outputs");
        }
    }
    json_object_foreach(sides[0], field, value) {
        json_t *other = json_object_get(sides[1], field);
        if (!other || !json_equal(value, other)) add_field(comparison, layers, field, value, other);
    }
    json_object_foreach(sides[1], field, value) {
        if (!json_object_get(sides[0], field)) add_field(comparison, layers, field, NULL, value);
    }
    json_decref(sides[0]);
    json_decref(sides[1]);
}

static void add_alone(struct comparison *comparison, const struct counting_layer *layer, int side)
{
    char text[160];
    const char *type = layer_kind(layer->layer.type)->name;
    comparison->same_network = false;
    json_array_append_new(comparison->network,
                          json_pack("{s:i, s:s, s:s, s:s?, s:s?}", "layer", (int)layer->place + 1,
                                    "name", layer->layer.name, "field", "layer", "a",
                                    side ? NULL : type, "b", side ? type : NULL));
    snprintf(text, sizeof text, "layer %u (%s, %s) is in %c alone", layer->place + 1,
             layer->layer.name, type, side_names[side]);
    add_finding(comparison, "layer", text);
}

static void compare_input(struct comparison *comparison)
{
    const struct network *a = &comparison->models[0]->network, *b = &comparison->models[1]->network;
    char text[160];
    if (network_inputs(a) == network_inputs(b) &&
        (a->rows == b->rows || network_is_dense(a) || network_is_dense(b)))
        return;
    comparison->same_network = false;
    snprintf(text, sizeof text, "the input is %u x %u x %u in A and %u x %u x %u in B", a->rows,
             a->columns, a->channels, b->rows, b->columns, b->channels);
    add_finding(comparison, "input", text);
}

static void compare_networks(struct comparison *comparison)
{
    const struct alignment *alignment = comparison->alignment;
    comparison->same_network = true;
    compare_input(comparison);
    for (uint32_t r = 0; r < alignment->row_count; r++) {
        const struct counting_layer *layers[2] = {NULL, NULL};
        for (int side = 0; side < 2; side++)
            if (alignment->rows[r][side] != ALIGN_ALONE)
                layers[side] = &alignment->layers[side][alignment->rows[r][side]];
        CHECK(layers[0] || layers[1]);
        if (layers[0] && layers[1])
            compare_fields(comparison, layers);
        else
            add_alone(comparison, layers[layers[0] ? 0 : 1], layers[0] ? 0 : 1);
    }
}

/* --- the tensors ------------------------------------------------------------------------------ */

static void add_tensors(struct comparison *comparison, const uint32_t row[2])
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct compared *compared = &comparison->tensors[comparison->count];
        for (int side = 0; side < 2; side++) {
            const struct model *model = comparison->models[side];
            compared->pair.networks[side] = &model->network;
            compared->pair.parameters[side] = model->parameters;
            compared->pair.tensors[side] =
                row[side] == ALIGN_ALONE
                    ? NULL
                    : parameters_get(model->parameters,
                                     comparison->alignment->layers[side][row[side]].place,
                                     (enum tensor_role)role);
        }
        if (compared->pair.tensors[0] || compared->pair.tensors[1]) comparison->count++;
    }
}

static bool is_pair(const struct compared *compared)
{
    return compared->pair.tensors[0] && compared->pair.tensors[1];
}

static bool unexplained(const struct compared *compared)
{
    return is_pair(compared) && compared->result.kind == DIFF_CHANGED;
}

static bool crosswise(const struct diff_pair *a, const struct diff_pair *b)
{
    return diff_tensors_match(a->parameters[0], a->tensors[0], b->parameters[1], b->tensors[1]) &&
           diff_tensors_match(b->parameters[0], b->tensors[0], a->parameters[1], a->tensors[1]);
}

/* Tensors that stand in one another's place. */
static void find_swapped(struct comparison *comparison)
{
    for (size_t i = 0; i < comparison->count; i++)
        for (size_t j = i + 1; j < comparison->count && unexplained(&comparison->tensors[i]); j++) {
            struct compared *a = &comparison->tensors[i], *b = &comparison->tensors[j];
            if (!unexplained(b) || !crosswise(&a->pair, &b->pair)) continue;
            a->result.kind = b->result.kind = DIFF_SWAPPED;
        }
}

/* Text for one kind: its tensors, and what is the matter with them. */
static int describe_kind(const struct comparison *comparison, enum diff_kind kind,
                         struct buffer *text)
{
    char number[JS_SHORTEST_SIZE];
    size_t found = 0, differing = 0, values = 0;
    double most = 0;
    const struct compared *first = NULL;
    for (size_t i = 0; i < comparison->count; i++) {
        const struct compared *compared = &comparison->tensors[i];
        if (!is_pair(compared) || compared->result.kind != kind) continue;
        if (!found) first = compared;
        differing += compared->result.differing;
        values += compared->pair.tensors[0]->count;
        most = fmax(most, compared->result.max_abs);
        if (found++ < NAMES_SHOWN)
            buffer_printf(text, "%s%s", found > 1 ? ", " : "", compared->pair.tensors[0]->name);
    }
    if (!found) return 0;
    if (found > NAMES_SHOWN) buffer_printf(text, " and %zu more", found - NAMES_SHOWN);
    buffer_printf(text, ": %s", diff_kind_words(kind));
    const struct diff_tensor *result = &first->result;
    if (kind == DIFF_SCALED || kind == DIFF_SHIFTED)
        buffer_printf(text, " (B = A %s %s)", kind == DIFF_SCALED ? "times" : "plus",
                      js_shortest((double)(float)result->factor, number));
    if (kind == DIFF_FEW || kind == DIFF_CHANGED)
        buffer_printf(text, " (%zu of %zu, at most %.3g apart)", differing, values, most);
    return 1;
}

static int tell_tensors(struct comparison *comparison, struct error *error)
{
    for (int kind = DIFF_RESHAPED; kind < DIFF_KIND_COUNT; kind++) {
        struct buffer text;
        if (kind == DIFF_ROUNDING) continue;
        buffer_init(&text, TEXT_LIMIT);
        bool any = describe_kind(comparison, (enum diff_kind)kind, &text);
        if (buffer_check(&text, "the comparison", error)) {
            buffer_free(&text);
            return -1;
        }
        if (any) add_finding(comparison, diff_kind_name((enum diff_kind)kind), text.data);
        buffer_free(&text);
    }
    return 0;
}

static int compare_tensors(struct comparison *comparison, struct error *error)
{
    const struct alignment *alignment = comparison->alignment;
    for (uint32_t r = 0; r < alignment->row_count; r++) add_tensors(comparison, alignment->rows[r]);
    comparison->same = true;
    for (size_t i = 0; i < comparison->count; i++) {
        struct compared *compared = &comparison->tensors[i];
        if (is_pair(compared)) diff_compare_tensors(&compared->pair, &compared->result);
        if (!is_pair(compared) || !diff_kind_is_same(compared->result.kind))
            comparison->same = false;
    }
    find_swapped(comparison);
    return tell_tensors(comparison, error);
}

/* --- what the files say of their input and classes -------------------------------------------- */

static bool alike(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static int compare_forms(struct comparison *comparison, struct error *error)
{
    struct input_form forms[2];
    char words[2][128], text[360];
    for (int side = 0; side < 2; side++)
        if (input_form_from_metadata(comparison->models[side]->metadata, &forms[side], error))
            return -1;
    const struct input_form *a = &forms[0], *b = &forms[1];
    bool told = a->known && b->known;
    if (!told ||
        (alike(a->range, b->range) && alike(a->scale, b->scale) && alike(a->mean, b->mean) &&
         alike(a->std, b->std) && a->polarity == b->polarity && a->resize == b->resize))
        return 0;
    input_form_words(a, words[0]);
    input_form_words(b, words[1]);
    snprintf(text, sizeof text, "preprocessing: A takes its input %s (%s, %s), B %s (%s, %s)",
             words[0], polarity_name(a->polarity), a->resize ? "resized" : "centered", words[1],
             polarity_name(b->polarity), b->resize ? "resized" : "centered");
    add_finding(comparison, "preprocessing", text);
    comparison->same = false;
    return 0;
}

static json_t *class_names(const struct model *model)
{
    const char *text = json_string_value(json_object_get(model->metadata, "class_names"));
    json_t *names = text ? json_loads(text, 0, NULL) : NULL;
    if (json_is_array(names)) return names;
    json_decref(names);
    return NULL;
}

static bool has_name(const json_t *names, const json_t *wanted)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (json_equal(json_array_get(names, i), wanted)) return true;
    return false;
}

static void compare_classes(struct comparison *comparison)
{
    json_t *a = class_names(comparison->models[0]), *b = class_names(comparison->models[1]);
    if (a && b && !json_equal(a, b)) {
        bool reordered = json_array_size(a) == json_array_size(b);
        size_t first = json_array_size(a), index;
        json_t *name;
        json_array_foreach(a, index, name) {
            if (!has_name(b, name)) reordered = false;
            if (first > index && !json_equal(name, json_array_get(b, index))) first = index;
        }
        const char *in_a = json_string_value(json_array_get(a, first)),
                   *in_b = json_string_value(json_array_get(b, first));
        char text[320];
        snprintf(text, sizeof text, "classes: %s; class %zu is \"%.60s\" in A and \"%.60s\" in B",
                 reordered ? "the same names in another order" : "other names", first,
                 in_a ? in_a : "(none)", in_b ? in_b : "(none)");
        add_finding(comparison, reordered ? "class_order" : "class_names", text);
        comparison->same = false;
    }
    json_decref(a);
    json_decref(b);
}

/* --- the answer ------------------------------------------------------------------------------- */

static json_t *tensor_json(const struct compared *compared)
{
    const struct tensor *a = compared->pair.tensors[0], *b = compared->pair.tensors[1];
    const struct diff_tensor *result = &compared->result;
    bool measured = result->kind != DIFF_RESHAPED && tensors_shaped_alike(a, b);
    json_t *row = json_pack("{s:s, s:s, s:i, s:s, s:o, s:o}", "name", a->name, "name_b", b->name,
                            "layer", (int)a->layer + 1, "role", tensor_role_name(a->role), "shape",
                            shape_to_json(a->rank, a->shape), "shape_b",
                            shape_to_json(b->rank, b->shape));
    json_object_set_new(row, "max_abs", measured ? js_real(result->max_abs) : json_null());
    json_object_set_new(row, "mean_abs", measured ? js_real(result->mean_abs) : json_null());
    json_object_set_new(row, "relative",
                        measured && result->scale > 0 ? js_real(result->max_abs / result->scale)
                        : measured                    ? json_real(0)
                                                      : json_null());
    json_object_set_new(row, "differing", json_integer((json_int_t)result->differing));
    if (measured && result->differing) {
        json_object_set_new(row, "at", diff_place(a->rank, a->shape, result->at));
        json_object_set_new(
            row, "values",
            json_pack("[o, o]", js_real(tensor_get(compared->pair.parameters[0], a, result->at)),
                      js_real(tensor_get(compared->pair.parameters[1], b, result->at))));
    }
    json_object_set_new(row, "same", json_boolean(diff_kind_is_same(result->kind)));
    json_object_set_new(row, "difference", json_string(diff_kind_name(result->kind)));
    return row;
}

static json_t *model_json(const struct model *model)
{
    return json_pack("{s:s, s:s, s:I, s:O?}", "format", model->format, "dtype",
                     dtype_name(model->parameters->dtype), "parameters",
                     (json_int_t)network_parameter_count(&model->network), "assumed",
                     model->assumed);
}

static void make_verdict(const struct comparison *comparison, json_t *answer)
{
    double most = 0;
    size_t more = json_array_size(comparison->findings), values = 0;
    for (size_t i = 0; i < comparison->count; i++) {
        most = fmax(most, comparison->tensors[i].result.max_abs);
        if (is_pair(&comparison->tensors[i]))
            values += comparison->tensors[i].pair.tensors[0]->count;
    }
    const char *first = js_text(json_array_get(comparison->findings, 0), "text");
    json_t *verdict;
    if (!comparison->same || !comparison->same_network)
        verdict = more > 1 ? json_sprintf("Different: %s (and %zu more)", first, more - 1)
                           : json_sprintf("Different: %s", first);
    else if (most > 0)
        verdict = json_sprintf(
            "Same model: %zu values, equal but for rounding (at most %.2g apart)", values, most);
    else
        verdict = json_sprintf("Same model: all %zu values are equal", values);
    json_object_set_new(answer, "verdict", verdict);
}

static json_t *answer_json(struct comparison *comparison)
{
    json_t *tensors = json_array(), *alone[2] = {json_array(), json_array()};
    for (size_t i = 0; i < comparison->count; i++) {
        const struct compared *compared = &comparison->tensors[i];
        const struct tensor *const *pair = compared->pair.tensors;
        if (is_pair(compared))
            json_array_append_new(tensors, tensor_json(compared));
        else
            json_array_append_new(alone[pair[0] ? 0 : 1],
                                  json_string((pair[0] ? pair[0] : pair[1])->name));
    }
    json_t *answer = json_pack(
        "{s:s, s:b, s:b, s:o, s:o, s:O, s:O, s:o, s:o, s:o, s:n, s:n}", "kind", "models", "same",
        comparison->same && comparison->same_network, "same_network", comparison->same_network, "a",
        model_json(comparison->models[0]), "b", model_json(comparison->models[1]), "network",
        comparison->network, "findings", comparison->findings, "tensors", tensors, "only_in_a",
        alone[0], "only_in_b", alone[1], "logits", "logits_missing");
    make_verdict(comparison, answer);
    return answer;
}

int diff_models(const struct model *a, const struct model *b, json_t **out, struct error *error)
{
    struct comparison *comparison = calloc(1, sizeof *comparison);
    int status = -1;
    if (!comparison) return error_set_memory(error, "the comparison");
    comparison->models[0] = a;
    comparison->models[1] = b;
    comparison->network = json_array();
    comparison->findings = json_array();
    if (align_networks(&a->network, &b->network, &comparison->alignment, error)) goto out;
    compare_networks(comparison);
    if (compare_tensors(comparison, error) || compare_forms(comparison, error)) goto out;
    compare_classes(comparison);
    *out = answer_json(comparison);
    status = *out ? 0 : error_set_memory(error, "the comparison");
out:
    json_decref(comparison->network);
    json_decref(comparison->findings);
    free(comparison->alignment);
    free(comparison);
    return status;
}

void diff_add_logits(json_t *models, json_t *logits, const char *reason)
{
    json_object_set_new(models, "logits", logits ? logits : json_null());
    json_object_set_new(models, "logits_missing", reason ? js_shown(reason) : json_null());
}
