/* What layers are in Keras, for writing: the other half of keras_config.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "modelfile/keras_layers.h"

/* Activations that Keras can only say in a layer of their own, behind this one. */
static bool needs_own_layer(const struct layer *layer)
{
    bool carries = layer->type == LAYER_DENSE || layer->type == LAYER_CONV2D;
    if (layer->activation == ACTIVATION_NONE || layer->type == LAYER_ACTIVATION) return false;
    return !carries || !keras_activation_word(layer);
}

int keras_layer_write(const struct layer *layer, const char *dtype, struct keras_written *out,
                      struct error *error)
{
    *out = (struct keras_written){.config = json_pack("{s:s, s:b, s:s}", "name", layer->name,
                                                      "trainable", 1, "dtype", dtype)};
    if (!out->config) return error_set_memory(error, "the configuration");
    struct layer bare = *layer;
    if (needs_own_layer(layer)) bare.activation = ACTIVATION_NONE;
    const struct keras_row *row = keras_row_of(layer->type);
    out->class_name = row->class_name;
    if (!row->write(&bare, out, error)) return 0;
    json_decref(out->config);
    out->config = NULL;
    return -1;
}

/* A dense network takes its values as a list; others take the picture. */
static json_t *input_shape(const struct network *network)
{
    if (network->layers[0].type == LAYER_DENSE)
        return json_pack("[n,I]", (json_int_t)network_inputs(network));
    return json_pack("[n,I,I,I]", (json_int_t)network->rows, (json_int_t)network->columns,
                     (json_int_t)network->channels);
}

static json_t *wrap(const char *class_name, json_t *config, bool saved, const char *module)
{
    if (!saved) return json_pack("{s:s, s:o}", "class_name", class_name, "config", config);
    return json_pack("{s:s, s:s, s:o, s:n}", "module", module, "class_name", class_name, "config",
                     config, "registered_name");
}

/* The activation behind a layer that cannot carry it: "bn1_relu". */
static int append_activation(const struct layer *layer, const char *dtype, bool saved,
                             json_t *layers, struct error *error)
{
    struct keras_written written;
    struct layer alone;
    layer_init(&alone, LAYER_ACTIVATION);
    alone.activation = layer->activation;
    alone.slope = layer->slope;
    snprintf(alone.name, sizeof alone.name, "%.11s_%.11s", layer->name,
             activation_name(layer->activation));
    if (keras_layer_write(&alone, dtype, &written, error)) return -1;
    json_array_append_new(layers, wrap(written.class_name, written.config, saved, "keras.layers"));
    return 0;
}

/* Appends one layer of the studio: what pads it, itself, its activation. */
static int append_layer(const struct layer *layer, const char *dtype, bool saved, json_t *layers,
                        struct error *error)
{
    struct keras_written written;
    /* reading .h5, Keras keeps no more than one axis (keras/src/legacy/saving/saving_utils.py) */
    if (!saved && layer->type == LAYER_LAYERNORM && layer->input.rank == 3)
        return error_set(error, ERROR_INPUT,
                         "the layer %s (layernorm) on feature maps cannot be written as .h5, where "
                         "Keras loses its axes: use .keras, .safetensors or .onnx",
                         layer->name);
    if (keras_layer_write(layer, dtype, &written, error)) return -1;
    if (keras_needs_padding(layer))
        json_array_append_new(layers, wrap("ZeroPadding2D", keras_padding_config(layer, dtype),
                                           saved, "keras.layers"));
    json_array_append_new(layers, wrap(written.class_name, written.config, saved, "keras.layers"));
    return needs_own_layer(layer) ? append_activation(layer, dtype, saved, layers, error) : 0;
}

json_t *keras_chain_write(const struct network *network, const char *dtype, bool saved,
                          struct error *error)
{
    /* "batch_input_shape" is the word that both Keras 2 and 3 take. */
    json_t *input = json_pack("{s:o, s:s, s:b, s:s}", saved ? "batch_shape" : "batch_input_shape",
                              input_shape(network), "dtype", dtype, "sparse", 0, "name", "pixels");
    json_t *layers = json_array();
    json_array_append_new(layers, wrap("InputLayer", input, saved, "keras.layers"));
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (append_layer(&network->layers[i], dtype, saved, layers, error)) {
            json_decref(layers);
            return NULL;
        }
    json_t *config = json_pack("{s:s, s:o}", "name", "simple_nn", "layers", layers);
    json_t *model = wrap("Sequential", config, saved, "keras");
    if (!model) error_set_memory(error, "the configuration");
    return model;
}

int keras_chain_of(const struct network *network, struct keras_chain *out, struct error *error)
{
    const char *classes[NETWORK_MAX_LAYERS];
    *out = (struct keras_chain){.count = network->layer_count,
                                .input = {network->rows, network->columns, network->channels}};
    for (uint32_t i = 0; i < network->layer_count; i++) {
        struct keras_layer *layer = &out->layers[i];
        struct keras_written written;
        uint32_t before = 0;
        char group[64];
        if (keras_layer_write(&network->layers[i], "float32", &written, error)) return -1;
        json_decref(written.config); /* only the weights are of interest here */
        classes[i] = written.class_name;
        for (uint32_t k = 0; k < i; k++) before += strcmp(classes[k], classes[i]) == 0;
        keras_group_name(classes[i], before, group);
        snprintf(layer->path, sizeof layer->path, "layers/%s", group);
        layer->source = (struct layer_source){
            .name = network->layers[i].name, .layer = network->layers[i], .axes = AXES_KERAS};
        layer->weight_count = written.weight_count;
        memcpy(layer->weights, written.weights, sizeof layer->weights);
    }
    return 0;
}

static int carries(const struct network *network, bool saved, struct error *error)
{
    json_t *chain = keras_chain_write(network, "float32", saved, error);
    if (!chain) return -1;
    json_decref(chain);
    return 0;
}

int keras_carries(const struct network *network, struct error *error)
{
    return carries(network, true, error);
}

int h5_carries(const struct network *network, struct error *error)
{
    return carries(network, false, error);
}

void keras_group_name(const char *class_name, uint32_t before, char out[64])
{
    size_t used = 0;
    char number[16] = "";
    if (before) snprintf(number, sizeof number, "_%u", before);
    for (const char *c = class_name; *c && used + 3 < 48; c++) {
        /* (.)([A-Z][a-z]+) and ([a-z])([A-Z]) get a line between them
         * (keras/src/utils/naming.py) */
        bool upper = isupper((unsigned char)*c);
        if (c > class_name && upper &&
            (islower((unsigned char)c[1]) || islower((unsigned char)c[-1])))
            out[used++] = '_';
        out[used++] = (char)tolower((unsigned char)*c);
    }
    out[used] = '\0';
    strncat(out, number, 63 - used);
}
