#include "modelfile/keras_config.h"

#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* What a layer is called in Keras, and what it means for the chain. */
struct keras_layer_kind {
    const char *class_name;
    int (*take)(const json_t *config, struct keras_chain *chain, struct error *error);
};

/* The input's shape without the batch: a picture is [rows, columns] or [rows, columns, 1]. */
static void note_shape(const json_t *config, struct keras_chain *chain)
{
    const json_t *shape = json_object_get(config, "batch_shape");
    if (!shape) shape = json_object_get(config, "batch_input_shape");
    size_t rank = json_array_size(shape), inputs = rank > 1 ? 1 : 0;
    for (size_t d = 1; d < rank && inputs; d++) {
        json_int_t extent = json_integer_value(json_array_get(shape, d));
        inputs = extent < 1 || extent > NETWORK_MAX_WIDTH ? 0 : inputs * (size_t)extent;
        if (inputs > NETWORK_MAX_PARAMETERS) inputs = 0;
    }
    if (inputs) chain->inputs = inputs;
    json_int_t rows = json_integer_value(json_array_get(shape, 1)),
               columns = json_integer_value(json_array_get(shape, 2));
    if ((rank != 3 && rank != 4) ||
        (rank == 4 && json_integer_value(json_array_get(shape, 3)) != 1))
        return;
    if (rows < 1 || rows > NETWORK_MAX_WIDTH || columns < 1 || columns > NETWORK_MAX_WIDTH) return;
    chain->rows = (uint32_t)rows;
    chain->columns = (uint32_t)columns;
}

static int take_input(const json_t *config, struct keras_chain *chain, struct error *error)
{
    (void)error;
    note_shape(config, chain);
    return 0;
}

/* Does nothing at inference, or nothing to the order of the values. */
static int take_nothing(const json_t *config, struct keras_chain *chain, struct error *error)
{
    (void)error;
    if (!chain->count) note_shape(config, chain);
    return 0;
}

static int set_activation(const char *name, const char *layer, struct keras_chain *chain,
                          struct error *error)
{
    struct error unused;
    if (strcmp(name, "linear") == 0) return 0;
    if (!chain->count || chain->after_activation || chain->ends_in_softmax)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" (%.40s) follows no dense layer: the studio knows one "
                         "activation after each",
                         layer, name);
    if (strcmp(name, "softmax") == 0) {
        chain->ends_in_softmax = true;
        return 0;
    }
    if (strcmp(name, "none") == 0 ||
        activation_parse(name, &chain->layers[chain->count - 1].activation, &unused))
        return error_set(
            error, ERROR_INPUT,
            "the layer \"%.80s\" has the activation %.40s: the studio knows relu, tanh "
            "and sigmoid",
            layer, *name ? name : "(none that has a name)");
    chain->after_activation = true;
    return 0;
}

static int take_dense(const json_t *config, struct keras_chain *chain, struct error *error)
{
    const char *name = text_of(config, "name");
    const json_t *bias = json_object_get(config, "use_bias");
    if (chain->ends_in_softmax)
        return error_set(
            error, ERROR_INPUT,
            "softmax comes before the layer \"%.80s\": the studio knows it at the end only", name);
    if (chain->count == NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT,
                         "it has more than %d dense layers: the studio takes no more",
                         NETWORK_MAX_LAYERS);
    if (!chain->count) note_shape(config, chain);
    json_int_t units = json_integer_value(json_object_get(config, "units"));
    chain->layers[chain->count++] = (struct keras_dense){.name = name,
                                                         .units = units > 0 ? (size_t)units : 0,
                                                         .use_bias = !bias || json_is_true(bias)};
    chain->after_activation = false;
    return json_is_null(json_object_get(config, "activation"))
               ? 0
               : set_activation(text_of(config, "activation"), name, chain, error);
}

static int take_activation(const json_t *config, struct keras_chain *chain, struct error *error)
{
    return set_activation(text_of(config, "activation"), text_of(config, "name"), chain, error);
}

static bool is_zero(const json_t *value)
{
    return !value || json_is_null(value) || json_number_value(value) == 0;
}

static int take_relu(const json_t *config, struct keras_chain *chain, struct error *error)
{
    const json_t *most = json_object_get(config, "max_value");
    if ((most && !json_is_null(most)) || !is_zero(json_object_get(config, "negative_slope")) ||
        !is_zero(json_object_get(config, "threshold")))
        return error_set(
            error, ERROR_INPUT,
            "the layer \"%.80s\" is a ReLU with bounds of its own: the studio knows the plain one",
            text_of(config, "name"));
    return set_activation("relu", text_of(config, "name"), chain, error);
}

static int take_softmax(const json_t *config, struct keras_chain *chain, struct error *error)
{
    return set_activation("softmax", text_of(config, "name"), chain, error);
}

static const struct keras_layer_kind kinds[] = {
    {"InputLayer", take_input},
    {"Dense", take_dense},
    {"Activation", take_activation},
    {"ReLU", take_relu},
    {"Softmax", take_softmax},
    {"Flatten", take_nothing},
    {"Reshape", take_nothing},
    {"Identity", take_nothing},
    {"Dropout", take_nothing},
    {"AlphaDropout", take_nothing},
    {"GaussianNoise", take_nothing},
    {"GaussianDropout", take_nothing},
    {"ActivityRegularization", take_nothing},
};

static int take_layer(const json_t *layer, struct keras_chain *chain, struct error *error)
{
    const json_t *config = json_object_get(layer, "config");
    const char *class_name = text_of(layer, "class_name");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].class_name, class_name) == 0)
            return kinds[i].take(config, chain, error);
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" is a %.40s: the studio reads networks of dense layers",
                     text_of(config, "name"), *class_name ? class_name : "thing without a class");
}

/* The one layer that a functional model's layer takes its input from, or NULL.
 * Keras 3: [{"args":[{"config":{"keras_history":["flatten",0,0]}}],"kwargs":{}}]; Keras 2:
 * [[["flatten",0,0,{}]]]. */
static const char *inbound_layer(const json_t *layer)
{
    const json_t *nodes = json_object_get(layer, "inbound_nodes"), *node = json_array_get(nodes, 0);
    const json_t *history;
    if (json_array_size(nodes) != 1) return NULL;
    if (json_is_object(node)) {
        const json_t *arguments = json_object_get(node, "args");
        if (json_array_size(arguments) != 1) return NULL;
        history = json_object_get(json_object_get(json_array_get(arguments, 0), "config"),
                                  "keras_history");
    } else {
        if (json_array_size(node) != 1) return NULL;
        history = json_array_get(node, 0);
    }
    return json_string_value(json_array_get(history, 0));
}

static const char *layer_name(const json_t *layer)
{
    const char *name = json_string_value(json_object_get(layer, "name"));
    return name ? name : text_of(json_object_get(layer, "config"), "name");
}

/* Functional models list their layers in order of depth, so a plain chain is one where each
 * follows the one before. */
static int check_chain(const json_t *layers, struct error *error)
{
    size_t index;
    json_t *layer;
    const char *before = NULL;
    json_array_foreach(layers, index, layer) {
        const char *from = inbound_layer(layer), *name = layer_name(layer);
        bool first = index == 0 && json_array_size(json_object_get(layer, "inbound_nodes")) == 0;
        if (!first && (!from || !before || strcmp(from, before) != 0))
            return error_set(
                error, ERROR_INPUT,
                "the layer \"%.80s\" does not simply follow the one before it: the studio reads "
                "plain chains of layers",
                name);
        before = name;
    }
    return 0;
}

int keras_chain_read(const json_t *config, struct keras_chain *out, struct error *error)
{
    size_t index;
    json_t *layer;
    const char *class_name = text_of(config, "class_name");
    const json_t *inner = json_object_get(config, "config");
    bool functional = strcmp(class_name, "Functional") == 0 || strcmp(class_name, "Model") == 0;
    *out = (struct keras_chain){0};
    if (!functional && strcmp(class_name, "Sequential") != 0)
        return error_set(error, ERROR_INPUT,
                         "it is a %.60s: the studio reads Sequential and functional models",
                         *class_name ? class_name : "model without a class");
    /* The first Keras 2 versions had the list itself as Sequential's configuration. */
    const json_t *layers = json_is_array(inner) ? inner : json_object_get(inner, "layers");
    if (!json_is_array(layers))
        return error_set(error, ERROR_INPUT,
                         "its configuration lists no layers: the file is damaged");
    if (functional && check_chain(layers, error)) return -1;
    json_array_foreach(layers, index, layer)
        if (take_layer(layer, out, error)) return -1;
    return out->count ? 0
                      : error_set(error, ERROR_INPUT,
                                  "it has no dense layer: give a file with trained weights");
}

json_t *keras_chain_write(const struct network *network, const char *dtype)
{
    /* "batch_input_shape" is the word that both Keras 2 and 3 take. */
    json_t *layers = json_pack("[{s:s, s:{s:[n,I], s:s, s:b, s:s}}]", "class_name", "InputLayer",
                               "config", "batch_input_shape", (json_int_t)network_inputs(network),
                               "dtype", dtype, "sparse", 0, "name", "pixels");
    for (uint32_t i = 0; i < network->layer_count; i++) {
        char name[16];
        const struct layer *layer = &network->layers[i];
        snprintf(name, sizeof name, "fc%u", i + 1);
        json_array_append_new(layers,
                              json_pack("{s:s, s:{s:s, s:b, s:s, s:I, s:s, s:b}}", "class_name",
                                        "Dense", "config", "name", name, "trainable", 1, "dtype",
                                        dtype, "units", (json_int_t)layer->outputs, "activation",
                                        layer->activation == ACTIVATION_NONE
                                            ? "linear"
                                            : activation_name(layer->activation),
                                        "use_bias", 1));
    }
    return json_pack("{s:s, s:{s:s, s:o}}", "class_name", "Sequential", "config", "name",
                     "simple_nn", "layers", layers);
}
