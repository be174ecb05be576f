#include "net/compact.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "net/layer_impl.h"

/* clang-format off */
const struct preset preset_table[] = {
    {"mlp", "Perceptron", "One hidden layer of 128: the network that the studio starts with.",
     "dense 128 relu, dense 10"},
    {"softmax", "Softmax regression", "No hidden layer: every pixel votes for every class.",
     "dense 10"},
    {"lenet5", "LeNet-5", "LeCun's classic of 1998, with relu and max pooling.",
     "conv 6 5x5 same relu, maxpool 2, conv 16 5x5 relu, maxpool 2, flatten, dense 120 relu, dense 84 relu, dense 10"},
    {"keras-mnist-convnet", "Keras's MNIST convnet", "The first example of Keras's documentation.",
     "conv 32 3x3 relu, maxpool 2, conv 64 3x3 relu, maxpool 2, flatten, dropout 0.5, dense 10"},
    {"pytorch-mnist", "PyTorch's MNIST example", "The network of PyTorch's own MNIST example.",
     "conv 32 3x3 relu, conv 64 3x3 relu, maxpool 2, dropout 0.25, flatten, dense 128 relu, dropout 0.5, dense 10"},
    {"mini-vgg", "A small VGG", "Pairs of 3×3 convolutions with batch normalization between poolings.",
     "conv 32 3x3 same nobias, batchnorm relu, conv 32 3x3 same nobias, batchnorm relu, maxpool 2, "
     "conv 64 3x3 same nobias, batchnorm relu, conv 64 3x3 same nobias, batchnorm relu, maxpool 2, "
     "flatten, dense 128 relu, dropout 0.5, dense 10"},
};
/* clang-format on */
const size_t preset_count = sizeof preset_table / sizeof *preset_table;

const struct preset *preset_find(const char *name)
{
    for (size_t i = 0; i < preset_count; i++)
        if (strcmp(preset_table[i].name, name) == 0) return &preset_table[i];
    return NULL;
}

/* --- words ------------------------------------------------------------------------------------ */

/* A field of the layer that a word stands for, and what messages call it. */
struct number {
    const char *field, *called;
    bool optional;
};

/* clang-format off */
/* A layer's word, what follows it in order, and how it is written. A type whose word is its name,
 * with nothing behind it, needs no row. */
static const struct word {
    const char *word, *form;
    enum layer_type type;
    struct number numbers[2];
} words[] = {
    {"dense", "dense 128", LAYER_DENSE, {{"outputs", "units", false}}},
    {"conv", "conv 32 3x3", LAYER_CONV2D, {{"filters", "filters", false}, {"kernel", "the kernel's size", false}}},
    {"depthwise", "depthwise 3x3", LAYER_CONV2D, {{"kernel", "the kernel's size", false}}},
    {"maxpool", "maxpool 2", LAYER_MAXPOOL2D, {{"size", "the window's size", false}}},
    {"avgpool", "avgpool 2", LAYER_AVGPOOL2D, {{"size", "the window's size", false}}},
    {"dropout", "dropout 0.5", LAYER_DROPOUT, {{"rate", "the share to drop", false}}},
    {"rescale", "rescale 2 -1", LAYER_RESCALE, {{"scale", "the scale", false}, {"offset", "the offset", true}}},
    {"normalize", "normalize 0.1307 0.3081", LAYER_NORMALIZE, {{"mean", "the mean", false}, {"std", "the standard deviation", false}}},
};

/* Words that may follow with their number, of every type that has the field of the same name. */
static const struct number modifiers[] = {
    {"stride", "the stride", false},
    {"dilation", "the dilation", false},
    {"groups", "the groups", false},
    {"epsilon", "epsilon", false},
    {"momentum", "momentum", false},
    {"l1", "l1", false},
    {"l2", "l2", false},
};
/* clang-format on */
#define COUNT(list)  (sizeof(list) / sizeof *(list))
#define TOKENS_MAX   16
#define TOKEN_LENGTH 32

struct tokens {
    char text[TOKENS_MAX][TOKEN_LENGTH];
    size_t count, next;
};

/* "l2=1e-4" is "l2 1e-4". */
static bool parts_words(char c)
{
    return isspace((unsigned char)c) || c == '=';
}

/* A layer's words, in lower case. */
static int split_words(const char *text, size_t length, struct tokens *out, struct error *error)
{
    *out = (struct tokens){0};
    for (size_t i = 0; i < length;) {
        size_t size = 0;
        if (parts_words(text[i])) {
            i++;
            continue;
        }
        if (out->count == TOKENS_MAX)
            return error_set(error, ERROR_INPUT, "more than %d words: put a comma between layers",
                             TOKENS_MAX);
        for (; i < length && !parts_words(text[i]); i++)
            if (size < TOKEN_LENGTH - 1)
                out->text[out->count][size++] = (char)tolower((unsigned char)text[i]);
        out->count++;
    }
    return 0;
}

static const char *peek(const struct tokens *tokens)
{
    return tokens->next < tokens->count ? tokens->text[tokens->next] : NULL;
}

/* A number of 0 groups would mean "depthwise", which is a word of its own here. */
static double lowest(const struct layer_field *field)
{
    return strcmp(field->name, "groups") == 0 ? 1 : field->low;
}

static bool read_count(const char **text, const struct layer_field *field, uint32_t *out)
{
    char *end;
    if (!isdigit((unsigned char)**text)) return false;
    unsigned long value = strtoul(*text, &end, 10);
    if (value < (unsigned long)lowest(field) || value > (unsigned long)field->high) return false;
    *out = (uint32_t)value;
    *text = end;
    return true;
}

static bool read_pair(const char *text, const struct layer_field *field, uint32_t out[2])
{
    if (!read_count(&text, field, &out[0])) return false;
    out[1] = out[0];
    if (!*text) return true;
    return *text++ == 'x' && read_count(&text, field, &out[1]) && !*text;
}

static bool read_real(const char *text, const struct layer_field *field, double *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= field->low && value <= field->high)) return false;
    *out = value;
    return true;
}

/* One for all channels, or "0.49/0.48/0.45". */
static bool read_channels(const char *text, const struct layer_field *field, double out[3])
{
    size_t count = 0;
    char *end;
    for (; count < 3; text = end + 1) {
        double value = strtod(text, &end);
        if (end == text || !(value >= field->low && value <= field->high)) return false;
        out[count++] = value;
        if (*end != '/') break;
    }
    if (*end || count == 2) return false;
    if (count == 1) out[1] = out[2] = out[0];
    return true;
}

/* One number, "3" or "3x3" for pairs. */
static bool read_number(const char *text, const struct layer_field *field, struct layer *layer)
{
    void *place = (char *)layer + field->offset;
    switch (field->kind) {
    case FIELD_COUNT:
        return read_count(&text, field, place) && !*text;
    case FIELD_PAIR:
        return read_pair(text, field, place);
    case FIELD_REAL:
        return read_real(text, field, place);
    case FIELD_CHANNELS:
        return read_channels(text, field, place);
    case FIELD_PADDING:
    case FIELD_BIAS:
        break;
    }
    CHECK(false && "a field that is one number");
    return false;
}

static int need_number(struct tokens *tokens, const struct number *number,
                       const struct layer_field *field, const char *form, struct layer *layer,
                       struct error *error)
{
    const char *text = peek(tokens);
    if (text && read_number(text, field, layer)) {
        tokens->next++;
        return 0;
    }
    if (number->optional) return 0;
    if (!text)
        return error_set(error, ERROR_INPUT, "%s is missing: write it as in \"%s\"", number->called,
                         form);
    return error_set(error, ERROR_INPUT, "\"%s\" is not valid for %s: use %g to %g, as in \"%s\"",
                     text, number->called, lowest(field), field->high, form);
}

static bool read_activation(struct tokens *tokens, struct layer *layer)
{
    static const struct layer_field slope = {.kind = FIELD_REAL,
                                             .offset = offsetof(struct layer, slope),
                                             .low = -ACTIVATION_MAX_SLOPE,
                                             .high = ACTIVATION_MAX_SLOPE};
    struct error unused;
    const char *text = peek(tokens);
    enum activation activation;
    if (!text || layer->activation || strcmp(text, "none") == 0 ||
        activation_parse(text, &activation, &unused))
        return false;
    tokens->next++;
    layer->activation = activation;
    layer->slope = activation_usual_slope(activation);
    text = peek(tokens);
    if (activation_has_slope(activation) && text && read_number(text, &slope, layer))
        tokens->next++;
    return true;
}

static int read_pad(struct tokens *tokens, const struct layer_field *field, struct layer *layer,
                    struct error *error)
{
    static const struct number padding = {"padding", "the padding", false};
    struct layer_field side = *field;
    side.kind = FIELD_COUNT;
    for (size_t i = 0; i < PAD_SIDES; i++, side.offset += sizeof(uint32_t))
        if (need_number(tokens, &padding, &side, "pad 1 1 2 2", layer, error)) return -1;
    return 0;
}

/* One word behind a layer's numbers; *strides: a stride was given. */
static int read_modifier(struct tokens *tokens, struct layer *layer, bool *strides,
                         struct error *error)
{
    const char *text = peek(tokens);
    const struct layer_field *padding = layer_field_of_kind(layer->type, FIELD_PADDING),
                             *bias = layer_field_of_kind(layer->type, FIELD_BIAS);
    if (read_activation(tokens, layer)) return 0;
    tokens->next++;
    for (size_t i = 0; i < COUNT(modifiers); i++) {
        const struct layer_field *field = layer_field_find(layer->type, modifiers[i].field);
        if (strcmp(text, modifiers[i].field) != 0 || !field) continue;
        char form[64];
        snprintf(form, sizeof form, "%s 2", text);
        if (strcmp(text, "stride") == 0) *strides = true;
        return need_number(tokens, &modifiers[i], field, form, layer, error);
    }
    if (padding && strcmp(text, "same") == 0)
        layer->same = true;
    else if (padding && strcmp(text, "pad") == 0)
        return read_pad(tokens, padding, layer, error);
    else if (bias && strcmp(text, "nobias") == 0)
        layer->without_bias = true;
    else if (!padding || strcmp(text, "valid") != 0)
        return error_set(error, ERROR_INPUT,
                         "\"%s\" is not known for %s: an activation such as relu, or one of its "
                         "own words, may stand here",
                         text, layer_kind(layer->type)->name);
    return 0;
}

/* The row of a type's word; conv2d has two. A type without a row is written as its name;
 * activations are words of their own. */
static const struct word *word_of(enum layer_type type, bool depthwise)
{
    static _Thread_local struct word plain;
    for (size_t i = 0; i < COUNT(words); i++)
        if (words[i].type == type && (strcmp(words[i].word, "depthwise") == 0) == depthwise)
            return &words[i];
    if (type == LAYER_ACTIVATION || depthwise) return NULL;
    plain = (struct word){.word = layer_kind(type)->name, .form = layer_kind(type)->name};
    plain.type = type;
    return &plain;
}

static const struct word *find_word(const char *text)
{
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(words[i].word, text) == 0) return &words[i];
    for (unsigned type = 0; type < LAYER_TYPE_COUNT; type++)
        if (strcmp(layer_kind(type)->name, text) == 0) return word_of(type, false);
    return NULL;
}

static int refuse_word(const char *text, struct error *error)
{
    char known[256];
    size_t used = 0;
    for (unsigned type = 0; type < LAYER_TYPE_COUNT; type++)
        for (int depthwise = 0; depthwise < 2; depthwise++) {
            const struct word *word = word_of(type, depthwise);
            if (!word || used >= sizeof known) continue;
            used += (size_t)snprintf(known + used, sizeof known - used, "%s, ", word->word);
        }
    return error_set(error, ERROR_INPUT, "\"%s\" is not a layer: use %sor an activation", text,
                     known);
}

static int read_layer(struct tokens *tokens, struct network *network, struct error *error)
{
    struct layer *layer = &network->layers[network->layer_count];
    struct layer *before = network->layer_count ? layer - 1 : NULL;
    const char *text = peek(tokens);
    const struct word *word = find_word(text);
    bool strides = false;
    if (!word) {
        layer_init(layer, LAYER_ACTIVATION);
        bool joined = before && layer_takes_activation(before) && read_activation(tokens, before);
        if (!joined && !read_activation(tokens, layer)) return refuse_word(text, error);
        if (!joined) network->layer_count++;
        return peek(tokens) ? error_set(error, ERROR_INPUT,
                                        "\"%s\" stands behind an activation: "
                                        "put a comma between layers",
                                        peek(tokens))
                            : 0;
    }
    layer_init(layer, word->type);
    tokens->next++;
    for (size_t i = 0; i < 2 && word->numbers[i].field; i++) {
        const struct number *number = &word->numbers[i];
        if (need_number(tokens, number, layer_field_find(word->type, number->field), word->form,
                        layer, error))
            return -1;
    }
    if (strcmp(word->word, "depthwise") == 0) layer->groups = 0; /* as many as there are channels */
    while (peek(tokens))
        if (read_modifier(tokens, layer, &strides, error)) return -1;
    if (!strides && (layer->type == LAYER_MAXPOOL2D || layer->type == LAYER_AVGPOOL2D))
        memcpy(layer->stride, layer->kernel, sizeof layer->stride);
    network->layer_count++;
    return 0;
}

static int read_compact(const char *text, struct network *network, struct error *error)
{
    for (const char *place = text; *place;) {
        struct tokens tokens;
        size_t length = strcspn(place, ",\n");
        if (split_words(place, length, &tokens, error))
            return error_prefix(error, "layer %u", network->layer_count + 1);
        place += length + (place[length] != 0);
        if (!tokens.count) {
            if (!*place) break; /* a comma at the end is forgiven */
            return error_set(error, ERROR_INPUT, "layer %u is empty: remove a comma",
                             network->layer_count + 1);
        }
        if (network->layer_count == NETWORK_MAX_LAYERS)
            return error_set(error, ERROR_INPUT, "more than %d layers: use fewer",
                             NETWORK_MAX_LAYERS);
        if (read_layer(&tokens, network, error))
            return error_prefix(error, "layer %u", network->layer_count + 1);
    }
    if (!network->layer_count)
        return error_set(error, ERROR_INPUT,
                         "no layers are given: write them as in \"dense 128 relu, dense 10\"");
    return 0;
}

int network_read_layers(const json_t *layers, struct network *network, struct error *error)
{
    network->layer_count = 0;
    if (!json_is_array(layers) || json_array_size(layers) > NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "\"layers\" must be an array of at most %d layers",
                         NETWORK_MAX_LAYERS);
    for (uint32_t i = 0; i < json_array_size(layers); i++) {
        if (layer_from_json(json_array_get(layers, i), &network->layers[i], error))
            return error_prefix(error, "layer %u", i + 1);
        network->layer_count++;
    }
    return 0;
}

static int read_json(const char *text, struct network *network, struct error *error)
{
    json_error_t why;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (!value)
        return error_set(error, ERROR_INPUT, "the network is not valid JSON: line %d: %.80s",
                         why.line, why.text);
    int status = network_read_layers(
        json_is_array(value) ? value : json_object_get(value, "layers"), network, error);
    json_decref(value);
    return status;
}

int network_read(const char *text, struct network *network, struct error *error)
{
    const struct preset *preset = preset_find(text);
    network->layer_count = 0;
    while (isspace((unsigned char)*text)) text++;
    if (strlen(text) > COMPACT_MAX_LENGTH)
        return error_set(error, ERROR_INPUT, "the network's text has %zu bytes: the most is %d",
                         strlen(text), COMPACT_MAX_LENGTH);
    return *text == '{' || *text == '['
               ? read_json(text, network, error)
               : read_compact(preset ? preset->layers : text, network, error);
}

int network_parse(const char *text, struct network *network, struct error *error)
{
    return network_read(text, network, error) ? -1 : network_finish(network, error);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put_pair(struct buffer *out, const char *word, const uint32_t pair[2])
{
    if (pair[0] == pair[1])
        buffer_printf(out, "%s%u", word, pair[0]);
    else
        buffer_printf(out, "%s%ux%u", word, pair[0], pair[1]);
}

static void put_real(struct buffer *out, const char *word, double value)
{
    char shortest[JS_SHORTEST_SIZE];
    buffer_printf(out, "%s%s", word, js_shortest(value, shortest));
}

static void put_channels(struct buffer *out, const double *values)
{
    put_real(out, " ", values[0]);
    if (values[1] == values[0] && values[2] == values[0]) return;
    put_real(out, "/", values[1]);
    put_real(out, "/", values[2]);
}

static void put_number(struct buffer *out, const struct layer *layer,
                       const struct layer_field *field)
{
    const void *place = (const char *)layer + field->offset;
    switch (field->kind) {
    case FIELD_COUNT:
        buffer_printf(out, " %u", *(const uint32_t *)place);
        break;
    case FIELD_PAIR:
        put_pair(out, " ", place);
        break;
    case FIELD_REAL:
        put_real(out, " ", *(const double *)place);
        break;
    case FIELD_CHANNELS:
        put_channels(out, place);
        break;
    case FIELD_PADDING:
    case FIELD_BIAS:
        CHECK(false && "a field that is one number");
    }
}

static void put_activation(struct buffer *out, const struct layer *layer)
{
    if (!layer->activation) return;
    buffer_printf(out, "%s%s", layer->type == LAYER_ACTIVATION ? "" : " ",
                  activation_name(layer->activation));
    if (activation_has_slope(layer->activation) &&
        layer->slope != activation_usual_slope(layer->activation))
        put_real(out, " ", layer->slope);
}

static void put_modifiers(struct buffer *out, const struct layer *layer, bool depthwise)
{
    struct layer usual;
    layer_init(&usual, layer->type);
    if (layer->type == LAYER_MAXPOOL2D || layer->type == LAYER_AVGPOOL2D)
        memcpy(usual.stride, layer->kernel, sizeof usual.stride);
    const struct layer_field *padding = layer_field_of_kind(layer->type, FIELD_PADDING);
    if (layer->same)
        buffer_append_text(out, " same");
    else if (padding && !layer_field_equal(layer, &usual, padding))
        buffer_printf(out, " pad %u %u %u %u", layer->padding[0], layer->padding[1],
                      layer->padding[2], layer->padding[3]);
    for (size_t i = 0; i < COUNT(modifiers); i++) {
        const struct layer_field *field = layer_field_find(layer->type, modifiers[i].field);
        if (!field || (depthwise && strcmp(field->name, "groups") == 0) ||
            layer_field_equal(layer, &usual, field))
            continue;
        buffer_printf(out, " %s", modifiers[i].field);
        put_number(out, layer, field);
    }
    if (layer->without_bias) buffer_append_text(out, " nobias");
}

const char *layer_compact_form(enum layer_type type)
{
    const struct word *word = word_of(type, false);
    return word ? word->form : "relu";
}

void layer_to_compact(const struct layer *layer, struct buffer *out)
{
    bool whole = layer->input.rank == 3 && layer->input.sizes[0] > 1 &&
                 layer->groups == layer->input.sizes[0] && layer->filters == layer->groups;
    bool depthwise = layer->type == LAYER_CONV2D && (whole || !layer->groups);
    const struct word *word = word_of(layer->type, depthwise);
    struct layer usual;
    if (word) {
        buffer_append_text(out, word->word);
        layer_init(&usual, layer->type);
        for (size_t i = 0; i < 2 && word->numbers[i].field; i++) {
            const struct layer_field *field = layer_field_find(layer->type, word->numbers[i].field);
            if (!word->numbers[i].optional || !layer_field_equal(layer, &usual, field))
                put_number(out, layer, field);
        }
        put_modifiers(out, layer, depthwise);
    }
    put_activation(out, layer);
}

void network_to_compact(const struct network *network, struct buffer *out)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        if (i) buffer_append_text(out, ", ");
        layer_to_compact(&network->layers[i], out);
    }
}

json_t *network_compact_json(const struct network *network)
{
    struct buffer text;
    buffer_init(&text, COMPACT_MAX_LENGTH * 4);
    network_to_compact(network, &text);
    json_t *value = json_string(text.data ? text.data : "");
    buffer_free(&text);
    return value;
}
