/* The fields of layers: as they are at first, compared, written as JSON and read from it. */
#include <math.h>
#include <string.h>

#include "base/js.h"
#include "net/activation_impl.h"
#include "net/layer_impl.h"

const struct layer_field *layer_field_find(enum layer_type type, const char *name)
{
    for (const struct layer_field *field = layer_kind(type)->fields; field->name; field++)
        if (strcmp(field->name, name) == 0) return field;
    return NULL;
}

const struct layer_field *layer_field_of_kind(enum layer_type type, enum field_kind kind)
{
    for (const struct layer_field *field = layer_kind(type)->fields; field->name; field++)
        if (field->kind == kind) return field;
    return NULL;
}

static void *place_of(struct layer *layer, const struct layer_field *field)
{
    return (char *)layer + field->offset;
}

static const void *value_of(const struct layer *layer, const struct layer_field *field)
{
    return (const char *)layer + field->offset;
}

void layer_init(struct layer *layer, enum layer_type type)
{
    *layer = (struct layer){
        .type = type, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
    for (const struct layer_field *field = layer_kind(type)->fields; field->name; field++) {
        double *reals = place_of(layer, field);
        if (field->kind == FIELD_REAL) *reals = field->usual;
        for (int c = 0; field->kind == FIELD_CHANNELS && c < 3; c++) reals[c] = field->usual;
    }
}

bool layer_field_equal(const struct layer *a, const struct layer *b,
                       const struct layer_field *field)
{
    static const size_t sizes[] = {[FIELD_COUNT] = sizeof(uint32_t),
                                   [FIELD_PAIR] = 2 * sizeof(uint32_t),
                                   [FIELD_REAL] = sizeof(double),
                                   [FIELD_CHANNELS] = 3 * sizeof(double),
                                   [FIELD_PADDING] = PAD_SIDES * sizeof(uint32_t),
                                   [FIELD_BIAS] = sizeof(bool)};
    return memcmp(value_of(a, field), value_of(b, field), sizes[field->kind]) == 0;
}

bool layer_equal(const struct layer *a, const struct layer *b)
{
    if (a->type != b->type || a->activation != b->activation || a->slope != b->slope ||
        !shape_equal(&a->input, &b->input) || !shape_equal(&a->output, &b->output))
        return false;
    for (const struct layer_field *field = layer_kind(a->type)->fields; field->name; field++)
        if (!layer_field_equal(a, b, field)) return false;
    return true;
}

static bool real_alike(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

bool layer_alike(const struct layer *a, const struct layer *b)
{
    if (a->type != b->type || a->activation != b->activation || !real_alike(a->slope, b->slope) ||
        a->inputs != b->inputs || !shape_equal(&a->output, &b->output))
        return false;
    for (const struct layer_field *field = layer_kind(a->type)->fields; field->name; field++) {
        const double *x = value_of(a, field), *y = value_of(b, field);
        if (field->trains_only) continue;
        size_t reals = field->kind == FIELD_REAL ? 1 : field->kind == FIELD_CHANNELS ? 3 : 0;
        for (size_t i = 0; i < reals; i++)
            if (!real_alike(x[i], y[i])) return false;
        if (!reals && !layer_field_equal(a, b, field)) return false;
    }
    return true;
}

static json_t *counts_to_json(const uint32_t *counts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, json_integer(counts[i]));
    return list;
}

static json_t *padding_to_json(const struct layer *layer)
{
    static const uint32_t none[PAD_SIDES];
    if (layer->same) return json_string("same");
    if (memcmp(layer->padding, none, sizeof none) == 0) return NULL;
    return counts_to_json(layer->padding, PAD_SIDES);
}

/* A field's value; NULL when it is the usual one. */
static json_t *field_to_json(const struct layer *layer, const struct layer_field *field)
{
    const uint32_t *counts = value_of(layer, field);
    const double *reals = value_of(layer, field);
    const uint32_t *usual_pair = field->usual < 0
                                     ? layer->kernel
                                     : (uint32_t[]){(uint32_t)field->usual, (uint32_t)field->usual};
    switch (field->kind) {
    case FIELD_COUNT:
        return counts[0] == field->usual ? NULL : json_integer(counts[0]);
    case FIELD_PAIR:
        return memcmp(counts, usual_pair, 2 * sizeof *counts) == 0 ? NULL
                                                                   : counts_to_json(counts, 2);
    case FIELD_REAL:
        return reals[0] == field->usual ? NULL : json_real(reals[0]);
    case FIELD_CHANNELS:
        return json_pack("[f,f,f]", reals[0], reals[1], reals[2]);
    case FIELD_PADDING:
        return padding_to_json(layer);
    case FIELD_BIAS:
        return layer->without_bias ? json_false() : NULL;
    }
    return NULL;
}

json_t *layer_to_json(const struct layer *layer)
{
    const struct activation_kind *activation = &activation_kinds[layer->activation];
    json_t *value = json_object();
    json_object_set_new(value, "type", json_string(layer_kind(layer->type)->name));
    if (layer->type == LAYER_DENSE)
        json_object_set_new(value, "inputs", json_integer(layer->inputs));
    for (const struct layer_field *field = layer_kind(layer->type)->fields; field->name; field++) {
        json_t *member = field_to_json(layer, field);
        if (member) json_object_set_new(value, field->name, member);
    }
    if (layer->activation || layer->type == LAYER_DENSE)
        json_object_set_new(value, "activation", json_string(activation->name));
    if (activation->member && layer->slope != activation->usual)
        json_object_set_new(value, activation->member, json_real(layer->slope));
    return value;
}

static json_t *usual_to_json(const struct layer_field *field)
{
    switch (field->kind) {
    case FIELD_COUNT:
    case FIELD_PAIR:
        return field->usual > 0 ? json_integer((json_int_t)field->usual) : json_null();
    case FIELD_REAL:
    case FIELD_CHANNELS:
        return json_real(field->usual);
    case FIELD_PADDING:
        return json_string("valid");
    case FIELD_BIAS:
        return json_true();
    }
    return NULL;
}

static const char *const field_kind_names[] = {
    [FIELD_COUNT] = "count",       [FIELD_PAIR] = "pair",       [FIELD_REAL] = "real",
    [FIELD_CHANNELS] = "channels", [FIELD_PADDING] = "padding", [FIELD_BIAS] = "bias"};

json_t *layer_fields_to_json(enum layer_type type)
{
    json_t *list = json_array();
    for (const struct layer_field *field = layer_kind(type)->fields; field->name; field++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:o, s:b}", "name",
                                              field->name, "label", field->label, "kind",
                                              field_kind_names[field->kind], "low", field->low,
                                              "high", field->high, "default", usual_to_json(field),
                                              "as_size", field->usual < 0));
    return list;
}

json_t *activations_to_json(void)
{
    json_t *list = json_array();
    for (int i = 0; i < ACTIVATION_COUNT; i++)
        json_array_append_new(list, json_pack("{s:s, s:s?, s:f}", "name", activation_kinds[i].name,
                                              "member", activation_kinds[i].member, "default",
                                              activation_kinds[i].usual));
    return list;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int read_list(const json_t *value, const struct layer_field *field, size_t count,
                     uint32_t *out, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if ((json_is_array(value) && json_array_size(value) != count) || !json_is_integer(item) ||
            json_number_value(item) < field->low || json_number_value(item) > field->high)
            return error_set(error, ERROR_INPUT,
                             "\"%s\" must be a whole number from %.0f to %.0f, or %zu of them",
                             field->name, field->low, field->high, count);
        out[i] = (uint32_t)json_integer_value(item);
    }
    return 0;
}

static int read_reals(const json_t *value, const struct layer_field *field, size_t count,
                      double *out, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        double number = json_number_value(item);
        if ((json_is_array(value) && json_array_size(value) != count) || !json_is_number(item) ||
            !(number >= field->low && number <= field->high))
            return error_set(error, ERROR_INPUT, "\"%s\" must be a number from %g to %g",
                             field->name, field->low, field->high);
        out[i] = number;
    }
    return 0;
}

static int read_padding(const json_t *value, const struct layer_field *field, struct layer *layer,
                        struct error *error)
{
    const char *word = json_string_value(value);
    if (!word) return read_list(value, field, PAD_SIDES, layer->padding, error);
    layer->same = strcmp(word, "same") == 0;
    if (layer->same || strcmp(word, "valid") == 0) return 0;
    return error_set(
        error, ERROR_INPUT,
        "padding \"%.40s\" is not known: use valid, same or [top, bottom, left, right]", word);
}

static int read_field(const json_t *value, const struct layer_field *field, struct layer *layer,
                      struct error *error)
{
    const json_t *member = json_object_get(value, field->name);
    if (!member && field->usual == 0 && (field->kind == FIELD_COUNT || field->kind == FIELD_PAIR))
        return error_set(error, ERROR_INPUT, "\"%s\" is missing", field->name);
    if (!member) {
        uint32_t *counts = place_of(layer, field);
        if (field->kind == FIELD_PAIR && field->usual < 0)
            memcpy(counts, layer->kernel, sizeof layer->kernel);
        return 0;
    }
    switch (field->kind) {
    case FIELD_COUNT:
        return read_list(member, field, 1, place_of(layer, field), error);
    case FIELD_PAIR:
        return read_list(member, field, 2, place_of(layer, field), error);
    case FIELD_REAL:
        return read_reals(member, field, 1, place_of(layer, field), error);
    case FIELD_CHANNELS:
        return read_reals(member, field, 3, place_of(layer, field), error);
    case FIELD_PADDING:
        return read_padding(member, field, layer, error);
    case FIELD_BIAS:
        if (!json_is_boolean(member))
            return error_set(error, ERROR_INPUT, "\"%s\" must be true or false", field->name);
        layer->without_bias = json_is_false(member);
        return 0;
    }
    return 0;
}

static int refuse_unknown(const json_t *value, const struct layer *layer, struct error *error)
{
    static const char *const everywhere[] = {"type", "name", "activation"};
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        bool known = layer->type == LAYER_DENSE && strcmp(key, "inputs") == 0;
        for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
            if (strcmp(key, everywhere[i]) == 0) known = true;
        if (layer_field_find(layer->type, key)) known = true;
        const char *number = activation_kinds[layer->activation].member;
        if (number && strcmp(key, number) == 0) known = true;
        if (!known)
            return error_set(error, ERROR_INPUT, "%s has no member \"%.40s\": leave it out",
                             layer_kind(layer->type)->name, key);
    }
    return 0;
}

static int read_activation(const json_t *value, struct layer *layer, struct error *error)
{
    const char *name = "none";
    if (js_get_string(value, "activation", &name, error) ||
        activation_parse(name, &layer->activation, error))
        return -1;
    const struct activation_kind *kind = &activation_kinds[layer->activation];
    layer->slope = kind->usual;
    return kind->member ? js_get_real(value, kind->member, -ACTIVATION_MAX_SLOPE,
                                      ACTIVATION_MAX_SLOPE, &layer->slope, error)
                        : 0;
}

/* networks.md's word for a dense layer's width, beside the one that files have. */
static json_t *with_outputs(const json_t *value)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)value), *units = json_object_get(copy, "units");
    if (units && !json_object_get(copy, "outputs")) {
        json_object_set(copy, "outputs", units);
        json_object_del(copy, "units");
    }
    return copy;
}

int layer_from_json(const json_t *value, struct layer *out, struct error *error)
{
    const char *name = "dense", *stem = "";
    enum layer_type type;
    if (!json_is_object(value)) return error_set(error, ERROR_INPUT, "a layer must be an object");
    if (js_get_string(value, "type", &name, error) || js_get_string(value, "name", &stem, error) ||
        layer_type_parse(name, &type, error))
        return -1;
    layer_init(out, type);
    if (strlen(stem) >= sizeof out->name)
        return error_set(error, ERROR_INPUT, "the name \"%.40s\" is too long: use at most %d bytes",
                         stem, LAYER_NAME_MAX - 1);
    memcpy(out->name, stem, strlen(stem) + 1);
    json_t *members = type == LAYER_DENSE ? with_outputs(value)
                                          : json_incref((json_t *)(uintptr_t)value);
    int status = read_activation(members, out, error);
    if (!status) status = refuse_unknown(members, out, error);
    for (const struct layer_field *field = layer_kind(type)->fields; field->name && !status;
         field++)
        status = read_field(members, field, out, error);
    if (!status && type == LAYER_DENSE)
        status = js_get_u32(members, "inputs", 1, 1U << 28, &out->inputs, error);
    json_decref(members);
    return status;
}
