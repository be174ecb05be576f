/* What layers are in Keras, for writing: the other half of keras_config.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "modelfile/keras_config.h"

static const char *activation_word(const struct layer *layer)
{
    static const char *const names[ACTIVATION_COUNT] = {
        [ACTIVATION_NONE] = "linear",       [ACTIVATION_RELU] = "relu",
        [ACTIVATION_TANH] = "tanh",         [ACTIVATION_SIGMOID] = "sigmoid",
        [ACTIVATION_ELU] = "elu",           [ACTIVATION_SELU] = "selu",
        [ACTIVATION_GELU] = "gelu",         [ACTIVATION_SILU] = "silu",
        [ACTIVATION_SOFTPLUS] = "softplus",
    };
    if (layer->activation == ACTIVATION_ELU && layer->slope != 1) return NULL;
    return names[layer->activation];
}

static int refuse_writing(const struct layer *layer, const char *what, struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the layer %s (%s) %s cannot be written for Keras: use .safetensors or .onnx",
                     layer->name, layer_kind(layer->type)->name, what);
}

static json_t *pair(const uint32_t values[2])
{
    return json_pack("[I,I]", (json_int_t)values[0], (json_int_t)values[1]);
}

/* Keras pads by the rule "same" or not at all. */
static const char *padding_word(const struct layer *layer)
{
    static const uint32_t none[PAD_SIDES];
    if (layer->same) return "same";
    return memcmp(layer->padding, none, sizeof none) == 0 ? "valid" : NULL;
}

static int write_dense(const struct layer *layer, struct keras_written *out, struct error *error)
{
    const char *activation = activation_word(layer);
    if (!activation) return refuse_writing(layer, activation_name(layer->activation), error);
    json_object_set_new(out->config, "units", json_integer(layer->outputs));
    json_object_set_new(out->config, "activation", json_string(activation));
    json_object_set_new(out->config, "use_bias", json_boolean(!layer->without_bias));
    out->class_name = "Dense";
    out->weights[0] = (struct keras_weight){"kernel", ROLE_WEIGHT};
    out->weights[1] = (struct keras_weight){"bias", ROLE_BIAS};
    out->weight_count = layer->without_bias ? 1 : 2;
    return 0;
}

static int write_conv(const struct layer *layer, struct keras_written *out, struct error *error)
{
    const char *activation = activation_word(layer), *padding = padding_word(layer);
    if (!activation) return refuse_writing(layer, activation_name(layer->activation), error);
    if (!padding) return refuse_writing(layer, "with padding by numbers", error);
    uint32_t channels = layer->input.sizes[0];
    if (layer->groups == channels && channels > 1)
        return refuse_writing(layer, "with a filter for each channel", error);
    json_object_set_new(out->config, "filters", json_integer(layer->filters));
    json_object_set_new(out->config, "kernel_size", pair(layer->kernel));
    json_object_set_new(out->config, "strides", pair(layer->stride));
    json_object_set_new(out->config, "padding", json_string(padding));
    json_object_set_new(out->config, "data_format", json_string("channels_last"));
    json_object_set_new(out->config, "dilation_rate", pair(layer->dilation));
    json_object_set_new(out->config, "groups", json_integer(layer->groups));
    json_object_set_new(out->config, "activation", json_string(activation));
    json_object_set_new(out->config, "use_bias", json_boolean(!layer->without_bias));
    out->class_name = "Conv2D";
    out->weights[0] = (struct keras_weight){"kernel", ROLE_WEIGHT};
    out->weights[1] = (struct keras_weight){"bias", ROLE_BIAS};
    out->weight_count = layer->without_bias ? 1 : 2;
    return 0;
}

static int write_pool(const struct layer *layer, struct keras_written *out, struct error *error)
{
    const char *padding = padding_word(layer);
    if (!padding) return refuse_writing(layer, "with padding by numbers", error);
    json_object_set_new(out->config, "pool_size", pair(layer->kernel));
    json_object_set_new(out->config, "strides", pair(layer->stride));
    json_object_set_new(out->config, "padding", json_string(padding));
    json_object_set_new(out->config, "data_format", json_string("channels_last"));
    out->class_name = layer->type == LAYER_MAXPOOL2D ? "MaxPooling2D" : "AveragePooling2D";
    return 0;
}

static int write_globalavgpool(const struct layer *layer, struct keras_written *out,
                               struct error *error)
{
    (void)layer;
    (void)error;
    out->class_name = "GlobalAveragePooling2D";
    return 0;
}

static int write_flatten(const struct layer *layer, struct keras_written *out, struct error *error)
{
    (void)layer;
    (void)error;
    out->class_name = "Flatten";
    return 0;
}

static int write_norm(const struct layer *layer, struct keras_written *out, struct error *error)
{
    bool batch = layer->type == LAYER_BATCHNORM;
    if (!batch && layer->input.rank == 3) return refuse_writing(layer, "on feature maps", error);
    json_object_set_new(out->config, "axis", json_integer(-1));
    if (batch) json_object_set_new(out->config, "momentum", json_real(1 - layer->momentum));
    json_object_set_new(out->config, "epsilon", json_real(layer->epsilon));
    json_object_set_new(out->config, "center", json_true());
    json_object_set_new(out->config, "scale", json_true());
    out->class_name = batch ? "BatchNormalization" : "LayerNormalization";
    out->weights[0] = (struct keras_weight){"gamma", ROLE_WEIGHT};
    out->weights[1] = (struct keras_weight){"beta", ROLE_BIAS};
    out->weights[2] = (struct keras_weight){"moving_mean", ROLE_RUNNING_MEAN};
    out->weights[3] = (struct keras_weight){"moving_variance", ROLE_RUNNING_VARIANCE};
    out->weight_count = batch ? 4 : 2;
    return 0;
}

static int write_dropout(const struct layer *layer, struct keras_written *out, struct error *error)
{
    (void)error;
    json_object_set_new(out->config, "rate", json_real(layer->rate));
    out->class_name = "Dropout";
    return 0;
}

static int write_activation(const struct layer *layer, struct keras_written *out,
                            struct error *error)
{
    const char *activation = activation_word(layer);
    if (layer->activation == ACTIVATION_LEAKY_RELU || layer->activation == ACTIVATION_ELU) {
        bool leaky = layer->activation == ACTIVATION_LEAKY_RELU;
        json_object_set_new(out->config, leaky ? "negative_slope" : "alpha",
                            json_real(layer->slope));
        out->class_name = leaky ? "LeakyReLU" : "ELU";
        return 0;
    }
    if (!activation) return refuse_writing(layer, activation_name(layer->activation), error);
    json_object_set_new(out->config, "activation", json_string(activation));
    out->class_name = "Activation";
    return 0;
}

static int write_rescale(const struct layer *layer, struct keras_written *out, struct error *error)
{
    (void)error;
    json_object_set_new(out->config, "scale", json_real(layer->scale));
    json_object_set_new(out->config, "offset", json_real(layer->offset));
    out->class_name = "Rescaling";
    return 0;
}

/* (x − mean) / std of one channel is a Rescaling. */
static int write_normalize(const struct layer *layer, struct keras_written *out,
                           struct error *error)
{
    if (layer->input.sizes[0] != 1) return refuse_writing(layer, "on color pictures", error);
    json_object_set_new(out->config, "scale", json_real(1 / layer->std[0]));
    json_object_set_new(out->config, "offset", json_real(-layer->mean[0] / layer->std[0]));
    out->class_name = "Rescaling";
    return 0;
}

static int (*const writers[LAYER_TYPE_COUNT])(const struct layer *, struct keras_written *,
                                              struct error *) = {
    [LAYER_DENSE] = write_dense,
    [LAYER_CONV2D] = write_conv,
    [LAYER_MAXPOOL2D] = write_pool,
    [LAYER_AVGPOOL2D] = write_pool,
    [LAYER_GLOBALAVGPOOL] = write_globalavgpool,
    [LAYER_FLATTEN] = write_flatten,
    [LAYER_BATCHNORM] = write_norm,
    [LAYER_LAYERNORM] = write_norm,
    [LAYER_DROPOUT] = write_dropout,
    [LAYER_ACTIVATION] = write_activation,
    [LAYER_RESCALE] = write_rescale,
    [LAYER_NORMALIZE] = write_normalize,
};

/* Activations that Keras can only say in a layer of their own, behind this one. */
static bool needs_own_layer(const struct layer *layer)
{
    bool carries = layer->type == LAYER_DENSE || layer->type == LAYER_CONV2D;
    if (layer->activation == ACTIVATION_NONE || layer->type == LAYER_ACTIVATION) return false;
    return !carries || !activation_word(layer);
}

int keras_layer_write(const struct layer *layer, const char *dtype, struct keras_written *out,
                      struct error *error)
{
    *out = (struct keras_written){.config = json_pack("{s:s, s:b, s:s}", "name", layer->name,
                                                      "trainable", 1, "dtype", dtype)};
    if (!out->config) return error_set_memory(error, "the configuration");
    struct layer bare = *layer;
    if (needs_own_layer(layer)) bare.activation = ACTIVATION_NONE;
    if (!writers[layer->type](&bare, out, error)) return 0;
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

json_t *keras_chain_write(const struct network *network, const char *dtype, bool saved,
                          struct error *error)
{
    /* "batch_input_shape" is the word that both Keras 2 and 3 take. */
    json_t *input = json_pack("{s:o, s:s, s:b, s:s}", saved ? "batch_shape" : "batch_input_shape",
                              input_shape(network), "dtype", dtype, "sparse", 0, "name", "pixels");
    json_t *layers = json_array();
    json_array_append_new(layers, wrap("InputLayer", input, saved, "keras.layers"));
    for (uint32_t i = 0; i < network->layer_count; i++) {
        struct keras_written written;
        if (keras_layer_write(&network->layers[i], dtype, &written, error)) {
            json_decref(layers);
            return NULL;
        }
        json_array_append_new(layers,
                              wrap(written.class_name, written.config, saved, "keras.layers"));
        if (needs_own_layer(&network->layers[i]) &&
            append_activation(&network->layers[i], dtype, saved, layers, error)) {
            json_decref(layers);
            return NULL;
        }
    }
    json_t *config = json_pack("{s:s, s:o}", "name", "simple_nn", "layers", layers);
    json_t *model = wrap("Sequential", config, saved, "keras");
    if (!model) error_set_memory(error, "the configuration");
    return model;
}

int keras_carries(const struct network *network, struct error *error)
{
    json_t *chain = keras_chain_write(network, "float32", false, error);
    if (!chain) return -1;
    json_decref(chain);
    return 0;
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
