/* How a layer's settings in Keras are read, and the layers that are activations. */
#include "modelfile/keras_layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"

const char *keras_name_of(const json_t *config)
{
    return js_text(config, "name");
}

/* --- settings --------------------------------------------------------------------------------- */

/* Members of any layer that change nothing of what it computes once it is trained. */
static const char harmless[] =
    " name trainable dtype batch_shape batch_input_shape input_shape build_input_shape input_dim "
    "sparse ragged optional seed autocast quantization_config noise_shape rate stddev l1 l2 "
    "data_format batch_size ";

static bool is_word_of(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *place = list; length && (place = strstr(place, word)); place += length)
        if (place > list && place[-1] == ' ' && place[length] == ' ') return true;
    return false;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Every member must be known, or be off. */
int keras_check_settings(const struct keras_row *row, const json_t *config, struct error *error)
{
    const char *key, *order = js_text(config, "data_format");
    json_t *value;
    if (*order && strcmp(order, "channels_last") != 0)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" has the data format %.40s: the studio reads "
                         "channels_last",
                         keras_name_of(config), order);
    json_object_foreach((json_t *)(uintptr_t)config, key, value) {
        if (json_is_null(value) || json_is_false(value) || is_word_of(harmless, key) ||
            is_word_of(row->settings, key) || ends_with(key, "_initializer") ||
            ends_with(key, "_regularizer") || ends_with(key, "_constraint"))
            continue;
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" (%s) has the setting \"%.40s\", which the studio "
                         "does not know",
                         keras_name_of(config), row->class_name, key);
    }
    return 0;
}

int keras_get_real(const json_t *config, const char *key, double usual, double *out,
                   struct error *error)
{
    const json_t *value = json_object_get(config, key);
    *out = usual;
    if (!value || json_is_null(value)) return 0;
    *out = json_number_value(value);
    if (json_is_number(value) && isfinite(*out) && fabs(*out) <= 1e6) return 0;
    return error_set(error, ERROR_INPUT, "the layer \"%.80s\" has an unusable \"%s\"",
                     keras_name_of(config), key);
}

/* A whole number or two of them. */
int keras_get_pair(const json_t *config, const char *key, const uint32_t usual[2], uint32_t out[2],
                   struct error *error)
{
    const json_t *value = json_object_get(config, key);
    memcpy(out, usual, 2 * sizeof *out);
    if (!value || json_is_null(value)) return 0;
    for (size_t d = 0; d < 2; d++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, d) : value;
        json_int_t number = json_integer_value(item);
        if (!json_is_integer(item) || number < 1 || number > 1024 ||
            (json_is_array(value) && json_array_size(value) != 2))
            return error_set(error, ERROR_INPUT, "the layer \"%.80s\" has an unusable \"%s\"",
                             keras_name_of(config), key);
        out[d] = (uint32_t)number;
    }
    return 0;
}

int keras_get_count(const json_t *config, const char *key, uint32_t *out, struct error *error)
{
    json_int_t number = json_integer_value(json_object_get(config, key));
    if (number < 1 || number > NETWORK_MAX_WIDTH)
        return error_set(error, ERROR_INPUT, "the layer \"%.80s\" has an unusable \"%s\"",
                         keras_name_of(config), key);
    *out = (uint32_t)number;
    return 0;
}

/* A number from 0, or nothing. */
static bool read_penalty(const json_t *value, double *out)
{
    if (!value || json_is_null(value)) return true;
    *out = json_number_value(value);
    return json_is_number(value) && *out >= 0 && *out <= LAYER_MAX_PENALTY;
}

bool keras_get_penalty(const json_t *regularizer, double *l1, double *l2)
{
    static const char *const names[] = {"L1", "L2", "L1L2"};
    const json_t *numbers = json_object_get(regularizer, "config");
    const char *name = js_text(regularizer, "class_name");
    *l1 = *l2 = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return read_penalty(json_object_get(numbers, "l1"), l1) &&
                   read_penalty(json_object_get(numbers, "l2"), l2);
    return false;
}

void keras_note_regularizers(const struct keras_row *row, const json_t *config,
                             struct keras_chain *chain)
{
    const char *key;
    json_t *value;
    double l1, l2;
    if (strcmp(row->class_name, "ActivityRegularization") == 0)
        chain->unpenalized = keras_name_of(config);
    json_object_foreach((json_t *)(uintptr_t)config, key, value) {
        bool kernel = row->penalty && strcmp(key, row->penalty) == 0;
        if (!ends_with(key, "_regularizer") || json_is_null(value)) continue;
        if (!kernel || !keras_get_penalty(value, &l1, &l2))
            chain->unpenalized = keras_name_of(config);
    }
}

/* Absent means on. */
bool keras_is_on(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    return !value || json_is_true(value);
}

int keras_get_padding(const json_t *config, struct layer *layer, struct error *error)
{
    const char *padding = js_text(config, "padding");
    layer->same = strcmp(padding, "same") == 0;
    if (layer->same || !*padding || strcmp(padding, "valid") == 0) return 0;
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" has the padding %.40s: the studio knows valid and same",
                     keras_name_of(config), padding);
}

/* The axis that is the last one, in any of Keras's ways to say so: −1, 3, [3]. */
bool keras_is_last_axis(const json_t *config, uint32_t rank)
{
    const json_t *axis = json_object_get(config, "axis");
    if (!axis) return true;
    if (json_is_array(axis)) {
        if (json_array_size(axis) != 1) return false;
        axis = json_array_get(axis, 0);
    }
    json_int_t number = json_integer_value(axis);
    return json_is_integer(axis) && (number == -1 || (rank && number == (json_int_t)rank));
}

/* All axes of a picture but the batch: [1, 2, 3], or the same counted from the end. */
bool keras_is_whole_sample(const json_t *config, uint32_t rank)
{
    const json_t *axis = json_object_get(config, "axis");
    if (rank != 3 || json_array_size(axis) != 3) return false;
    for (size_t d = 0; d < 3; d++) {
        json_int_t number = json_integer_value(json_array_get(axis, d));
        if (number != (json_int_t)d + 1 && number != (json_int_t)d - 3) return false;
    }
    return true;
}

int keras_refuse_axis(const json_t *config, struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" works along another axis than the last: the studio "
                     "knows the last one",
                     keras_name_of(config));
}

/* --- the chain -------------------------------------------------------------------------------- */

int keras_append(enum layer_type type, const json_t *config, struct keras_chain *chain,
                 struct keras_layer **out, struct error *error)
{
    if (chain->taken_off)
        return error_set(error, ERROR_INPUT,
                         "%s comes before the layer \"%.80s\": the studio knows it at the end only",
                         chain->taken_off, keras_name_of(config));
    if (chain->count == NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "it has more than %d layers: the studio takes no more",
                         NETWORK_MAX_LAYERS);
    *out = &chain->layers[chain->count++];
    **out = (struct keras_layer){.source = {.name = keras_name_of(config), .axes = AXES_KERAS}};
    layer_init(&(*out)->source.layer, type);
    return 0;
}

void keras_add_weight(struct keras_layer *layer, const char *name, enum tensor_role role)
{
    layer->weights[layer->weight_count++] = (struct keras_weight){name, role};
}

/* --- activations ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum activation activation;
    double slope; /* Keras's own default where it takes a number */
} activations[] = {
    {"relu", ACTIVATION_RELU, 0},       {"tanh", ACTIVATION_TANH, 0},
    {"sigmoid", ACTIVATION_SIGMOID, 0}, {"leaky_relu", ACTIVATION_LEAKY_RELU, 0.2},
    {"elu", ACTIVATION_ELU, 1},         {"selu", ACTIVATION_SELU, 0},
    {"gelu", ACTIVATION_GELU, 0},       {"silu", ACTIVATION_SILU, 0},
    {"swish", ACTIVATION_SILU, 0},      {"softplus", ACTIVATION_SOFTPLUS, 0},
};

/* On the layer before it; a layer of its own where there is none that could carry it. */
static int set_activation(enum activation activation, double slope, const json_t *config,
                          struct keras_chain *chain, struct error *error)
{
    struct keras_layer *last = chain->count ? &chain->layers[chain->count - 1] : NULL;
    if (activation == ACTIVATION_NONE) return 0;
    if (chain->taken_off)
        return error_set(error, ERROR_INPUT,
                         "%s comes before the layer \"%.80s\": the studio knows it at the end only",
                         chain->taken_off, keras_name_of(config));
    if ((!last || last->source.layer.activation != ACTIVATION_NONE ||
         last->source.layer.type == LAYER_FLATTEN) &&
        keras_append(LAYER_ACTIVATION, config, chain, &last, error))
        return -1;
    last->source.layer.activation = activation;
    last->source.layer.slope = slope;
    return 0;
}

static int take_off(const char *what, const json_t *config, struct keras_chain *chain,
                    struct error *error)
{
    if (!chain->count || chain->taken_off)
        return error_set(error, ERROR_INPUT, "the layer \"%.80s\" (%s) follows no other layer",
                         keras_name_of(config), what);
    chain->taken_off = what;
    return 0;
}

static int take_name(const char *name, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    if (strcmp(name, "linear") == 0) return 0;
    /* tf.nn.softmax calls itself softmax_v2 */
    if (strcmp(name, "softmax") == 0 || strcmp(name, "softmax_v2") == 0 ||
        strcmp(name, "log_softmax") == 0)
        return chain->rank > 1 ? keras_refuse_axis(config, error)
                               : take_off("softmax", config, chain, error);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (strcmp(activations[i].name, name) == 0)
            return set_activation(activations[i].activation, activations[i].slope, config, chain,
                                  error);
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" has the activation %.40s: the studio knows relu, tanh, "
                     "sigmoid, leaky_relu, elu, selu, gelu, silu and softplus",
                     keras_name_of(config), *name ? name : "(none that has a name)");
}

/* The member "activation": a name, a function's name, or a whole layer. */
int keras_take_activation(const struct keras_row *row, const json_t *config,
                          struct keras_chain *chain, struct error *error)
{
    const json_t *value = json_object_get(config, "activation"),
                 *inner = json_object_get(value, "config");
    (void)row;
    if (!value || json_is_null(value)) return 0;
    if (json_is_string(value)) return take_name(json_string_value(value), config, chain, error);
    if (json_is_string(inner)) return take_name(json_string_value(inner), config, chain, error);
    if (json_is_object(inner) && ++chain->depth <= KERAS_DEPTH_MAX) {
        int status = keras_take_layer(value, NULL, chain, error);
        chain->depth--;
        return status;
    }
    return take_name("", config, chain, error);
}

int keras_take_relu(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                    struct error *error)
{
    double slope, threshold;
    const json_t *most = json_object_get(config, "max_value");
    (void)row;
    if (keras_get_real(config, "negative_slope", 0, &slope, error) ||
        keras_get_real(config, "threshold", 0, &threshold, error))
        return -1;
    if ((most && !json_is_null(most)) || threshold != 0)
        return error_set(
            error, ERROR_INPUT,
            "the layer \"%.80s\" is a ReLU with bounds of its own: the studio knows the plain one",
            keras_name_of(config));
    return set_activation(slope != 0 ? ACTIVATION_LEAKY_RELU : ACTIVATION_RELU, slope, config,
                          chain, error);
}

/* LeakyReLU's number has two names. */
int keras_take_leaky_relu(const struct keras_row *row, const json_t *config,
                          struct keras_chain *chain, struct error *error)
{
    double alpha, slope;
    (void)row;
    if (keras_get_real(config, "alpha", 0.3, &alpha, error) ||
        keras_get_real(config, "negative_slope", alpha, &slope, error))
        return -1;
    return set_activation(ACTIVATION_LEAKY_RELU, slope, config, chain, error);
}

int keras_take_elu(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                   struct error *error)
{
    double alpha;
    (void)row;
    if (keras_get_real(config, "alpha", 1, &alpha, error)) return -1;
    return set_activation(ACTIVATION_ELU, alpha, config, chain, error);
}

int keras_take_softmax(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                       struct error *error)
{
    (void)row;
    if (!keras_is_last_axis(config, chain->rank) || chain->rank > 1)
        return keras_refuse_axis(config, error);
    return take_off("softmax", config, chain, error);
}
