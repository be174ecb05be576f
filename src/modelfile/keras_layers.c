/* What each type of layer is in Keras, in both directions: a row per class. */
#include "modelfile/keras_layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"

/* The input's shape without the batch: a picture is [rows, columns] or [rows, columns,
 * channels]. */
static void note_shape(const json_t *config, struct keras_chain *chain)
{
    const json_t *shape = json_object_get(config, "batch_shape");
    if (!shape) shape = json_object_get(config, "batch_input_shape");
    size_t rank = json_array_size(shape), inputs = rank > 1 ? 1 : 0;
    uint32_t sizes[4] = {0};
    if (chain->count || chain->rank || rank < 2 || rank > 4) return;
    chain->rank = (uint32_t)rank - 1;
    for (size_t d = 1; d < rank && inputs; d++) {
        json_int_t extent = json_integer_value(json_array_get(shape, d));
        inputs = extent < 1 || extent > NETWORK_MAX_WIDTH ? 0 : inputs * (size_t)extent;
        if (inputs > NETWORK_MAX_PARAMETERS) inputs = 0;
        sizes[d] = inputs ? (uint32_t)extent : 0;
    }
    chain->inputs = inputs;
    if (inputs && rank > 2)
        chain->input = (struct source_input){sizes[1], sizes[2], rank == 4 ? sizes[3] : 1};
}

static int take_input(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                      struct error *error)
{
    (void)row;
    (void)error;
    note_shape(config, chain);
    return 0;
}

/* Does nothing once the model is trained. */
static int take_nothing(const struct keras_row *row, const json_t *config,
                        struct keras_chain *chain, struct error *error)
{
    return take_input(row, config, chain, error);
}

static int take_flatten(const struct keras_row *row, const json_t *config,
                        struct keras_chain *chain, struct error *error)
{
    struct keras_layer *layer;
    (void)row;
    note_shape(config, chain);
    chain->rank = 1;
    return keras_append(LAYER_FLATTEN, config, chain, &layer, error);
}

/* To one dimension it is a flatten; in front, to the shape of a picture, it says that shape. */
static int take_reshape(const struct keras_row *row, const json_t *config,
                        struct keras_chain *chain, struct error *error)
{
    const json_t *target = json_object_get(config, "target_shape");
    size_t rank = json_array_size(target);
    json_int_t values = 1;
    note_shape(config, chain);
    if (rank == 1) return take_flatten(row, config, chain, error);
    for (size_t d = 0; d < rank; d++) {
        json_int_t size = json_integer_value(json_array_get(target, d));
        values = size < 1 || size > NETWORK_MAX_WIDTH ? 0 : values * size;
        if (values > (json_int_t)NETWORK_MAX_PARAMETERS) values = 0;
    }
    if (chain->count || (rank != 2 && rank != 3) || !values ||
        (chain->inputs && (size_t)values != chain->inputs))
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" reshapes in a way the studio does not know: it knows "
                         "a list of values, and a picture as the first layer",
                         keras_name_of(config));
    chain->rank = (uint32_t)rank;
    chain->inputs = (size_t)values;
    chain->input = (struct source_input){
        (uint32_t)json_integer_value(json_array_get(target, 0)),
        (uint32_t)json_integer_value(json_array_get(target, 1)),
        rank == 3 ? (uint32_t)json_integer_value(json_array_get(target, 2)) : 1};
    return 0;
}

/* --- layers with weights ---------------------------------------------------------------------- */

/* What a kernel, its bias and an activation behind it have in common. */
static int take_kernel(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                       struct keras_layer *layer, struct error *error)
{
    double l1, l2;
    if (keras_get_penalty(json_object_get(config, row->penalty), &l1, &l2)) {
        layer->source.layer.l1 = l1;
        layer->source.layer.l2 = l2;
    }
    keras_add_weight(layer, "kernel", ROLE_WEIGHT);
    if (keras_is_on(config, "use_bias")) keras_add_weight(layer, "bias", ROLE_BIAS);
    return keras_take_activation(row, config, chain, error);
}

static int take_dense(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                      struct error *error)
{
    struct keras_layer *layer;
    note_shape(config, chain);
    if (chain->rank > 1)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is a Dense on rows of a picture, not on all its "
                         "values: the studio knows it behind Flatten",
                         keras_name_of(config));
    if (keras_append(LAYER_DENSE, config, chain, &layer, error)) return -1;
    json_int_t units = json_integer_value(json_object_get(config, "units"));
    layer->source.layer.units = units > 0 && units <= UINT32_MAX ? (uint32_t)units : 0;
    chain->rank = 1;
    return take_kernel(row, config, chain, layer, error);
}

/* Rows and columns of zeros around the next layer's input: a number, one for each axis, or two for
 * each axis. */
static int take_padding(const struct keras_row *row, const json_t *config,
                        struct keras_chain *chain, struct error *error)
{
    const json_t *padding = json_object_get(config, "padding");
    (void)row;
    note_shape(config, chain);
    for (size_t side = 0; side < PAD_SIDES; side++) {
        const json_t *item = json_is_array(padding) ? json_array_get(padding, side / 2) : padding;
        if (json_is_array(item)) item = json_array_get(item, side % 2);
        json_int_t number = json_integer_value(item);
        if (!json_is_integer(item) || number < 0 || number > 1024)
            return error_set(error, ERROR_INPUT, "the layer \"%.80s\" has an unusable \"padding\"",
                             keras_name_of(config));
        chain->padding[side] = (uint32_t)number;
    }
    chain->padder = keras_name_of(config);
    return 0;
}

/* What a ZeroPadding2D before a convolution laid around its input becomes its own padding. */
static int use_padding(const json_t *config, struct keras_chain *chain, struct layer *layer,
                       struct error *error)
{
    if (!chain->padder) return 0;
    if (layer->same)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is padded by \"%.80s\" and by the rule \"same\": the "
                         "studio knows one of the two",
                         keras_name_of(config), chain->padder);
    memcpy(layer->padding, chain->padding, sizeof layer->padding);
    chain->padder = NULL;
    return 0;
}

/* Depthwise: 0 groups are as many as there are input channels, and `filters` is what one of them
 * becomes. */
static int get_filters(const struct keras_row *row, const json_t *config, struct layer *layer,
                       struct error *error)
{
    if (strcmp(row->class_name, "DepthwiseConv2D") == 0) {
        layer->groups = 0;
        return keras_get_count(config, "depth_multiplier", &layer->filters, error);
    }
    if (keras_get_count(config, "filters", &layer->filters, error)) return -1;
    return json_object_get(config, "groups")
               ? keras_get_count(config, "groups", &layer->groups, error)
               : 0;
}

static int take_conv(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    static const uint32_t one[2] = {1, 1};
    struct keras_layer *layer;
    note_shape(config, chain);
    if (keras_append(LAYER_CONV2D, config, chain, &layer, error)) return -1;
    struct layer *into = &layer->source.layer;
    if (keras_get_pair(config, "kernel_size", one, into->kernel, error) ||
        keras_get_pair(config, "strides", one, into->stride, error) ||
        keras_get_pair(config, "dilation_rate", one, into->dilation, error) ||
        keras_get_padding(config, into, error) || use_padding(config, chain, into, error) ||
        get_filters(row, config, into, error))
        return -1;
    return take_kernel(row, config, chain, layer, error);
}

static int take_pool(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    static const uint32_t two[2] = {2, 2};
    struct keras_layer *layer;
    note_shape(config, chain);
    if (keras_append(row->type, config, chain, &layer, error)) return -1;
    struct layer *into = &layer->source.layer;
    if (keras_get_pair(config, "pool_size", two, into->kernel, error) ||
        keras_get_pair(config, "strides", into->kernel, into->stride, error))
        return -1;
    return keras_get_padding(config, into, error);
}

/* One value per channel. */
static int take_globalpool(const struct keras_row *row, const json_t *config,
                           struct keras_chain *chain, struct error *error)
{
    struct keras_layer *layer;
    note_shape(config, chain);
    chain->rank = 1;
    return keras_append(row->type, config, chain, &layer, error);
}

/* Keras's momentum is the share that the running value keeps. */
static int take_norm(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    struct keras_layer *layer;
    double momentum;
    note_shape(config, chain);
    bool whole = row->type == LAYER_LAYERNORM && chain->rank > 1;
    if (!(whole ? keras_is_whole_sample(config, chain->rank)
                : keras_is_last_axis(config, chain->rank)))
        return keras_refuse_axis(config, error);
    if (keras_append(row->type, config, chain, &layer, error) ||
        keras_get_real(config, "epsilon", 1e-3, &layer->source.layer.epsilon, error) ||
        keras_get_real(config, "momentum", 0.99, &momentum, error))
        return -1;
    layer->source.layer.momentum = row->type == LAYER_BATCHNORM ? 1 - momentum : 0;
    if (keras_is_on(config, "scale")) keras_add_weight(layer, "gamma", ROLE_WEIGHT);
    if (keras_is_on(config, "center")) keras_add_weight(layer, "beta", ROLE_BIAS);
    if (row->type != LAYER_BATCHNORM) return 0;
    keras_add_weight(layer, "moving_mean", ROLE_RUNNING_MEAN);
    keras_add_weight(layer, "moving_variance", ROLE_RUNNING_VARIANCE);
    return 0;
}

static int take_rescaling(const struct keras_row *row, const json_t *config,
                          struct keras_chain *chain, struct error *error)
{
    struct keras_layer *layer;
    (void)row;
    note_shape(config, chain);
    if (chain->count)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is a Rescaling that is not the first layer: the "
                         "studio knows it there only",
                         keras_name_of(config));
    if (keras_append(LAYER_RESCALE, config, chain, &layer, error) ||
        keras_get_real(config, "scale", 1, &layer->source.layer.scale, error))
        return -1;
    return keras_get_real(config, "offset", 0, &layer->source.layer.offset, error);
}

/* Whether only a Rescaling and a Flatten stand before what is taken now. */
static bool is_in_front(const struct keras_chain *chain)
{
    for (size_t i = 0; i < chain->count; i++) {
        const struct layer *layer = &chain->layers[i].source.layer;
        if (layer->activation != ACTIVATION_NONE ||
            (layer->type != LAYER_RESCALE && layer->type != LAYER_FLATTEN))
            return false;
    }
    return true;
}

/* The numbers of a mean or variance that the configuration itself holds, in lists within lists;
 * returns how many, 0 when they are not one or one per channel. */
static size_t flat_numbers(const json_t *value, double out[3], size_t count)
{
    size_t index;
    json_t *item;
    if (json_is_number(value) && count < 3) {
        out[count] = json_number_value(value);
        return count + 1;
    }
    if (!json_array_size(value)) return 0;
    json_array_foreach((json_t *)(uintptr_t)value, index, item)
        if (!(count = flat_numbers(item, out, count))) return 0;
    return count;
}

static int take_numbers(const json_t *config, const struct keras_chain *chain, struct layer *layer,
                        struct error *error)
{
    double variance[3] = {0};
    size_t count = flat_numbers(json_object_get(config, "mean"), layer->mean, 0);
    bool usable = count && flat_numbers(json_object_get(config, "variance"), variance, 0) == count;
    if (!usable || (count > 1 && (chain->rank != 3 || !keras_is_last_axis(config, 3))))
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is a Normalization with numbers of its own that are "
                         "neither one nor one per channel: give it them with adapt()",
                         keras_name_of(config));
    for (size_t c = 0; c < 3; c++) {
        layer->mean[c] = layer->mean[count > 1 ? c : 0];
        layer->std[c] = fmax(sqrt(variance[count > 1 ? c : 0]), KERAS_LEAST_DEVIATION);
    }
    return 0;
}

/* The numbers stand in the configuration, or adapt() made weights of them. */
static int take_normalization(const struct keras_row *row, const json_t *config,
                              struct keras_chain *chain, struct error *error)
{
    struct keras_layer *layer;
    const json_t *mean = json_object_get(config, "mean");
    note_shape(config, chain);
    if (!is_in_front(chain))
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is a Normalization that is not the first layer: the "
                         "studio knows it there only",
                         keras_name_of(config));
    if (keras_append(row->type, config, chain, &layer, error)) return -1;
    layer->rank = chain->rank;
    if (mean && !json_is_null(mean))
        return take_numbers(config, chain, &layer->source.layer, error);
    keras_add_weight(layer, "mean", ROLE_RUNNING_MEAN);
    keras_add_weight(layer, "variance", ROLE_RUNNING_VARIANCE);
    keras_add_weight(layer, "count", KERAS_ROLE_UNUSED);
    return 0;
}

/* Which axis of its input each axis of its output is, from 0; -1 when "dims" says none. */
static int get_order(const json_t *config, uint32_t rank, uint32_t order[3])
{
    const json_t *dims = json_object_get(config, "dims");
    uint32_t seen = 0;
    if (rank < 2 || rank > 3 || json_array_size(dims) != rank) return -1;
    for (uint32_t d = 0; d < rank; d++) {
        json_int_t axis = json_integer_value(json_array_get(dims, d));
        if (axis < 1 || axis > (json_int_t)rank) return -1;
        order[d] = (uint32_t)axis - 1;
        seen |= 1u << order[d];
    }
    return seen == (1u << rank) - 1 ? 0 : -1;
}

/* Moving an axis of one value, or the channels from the front to the end, only says what the
 * picture is; anything else is left to the dense layer behind it. */
static int take_permute(const struct keras_row *row, const json_t *config,
                        struct keras_chain *chain, struct error *error)
{
    uint32_t order[3] = {0}, turned[3] = {1, 1, 1}, before = 0;
    bool rising = true;
    (void)row;
    note_shape(config, chain);
    uint32_t sizes[3] = {chain->input.rows, chain->input.columns, chain->input.channels};
    if (!is_in_front(chain) || !chain->inputs || chain->turn.name ||
        get_order(config, chain->rank, order))
        return error_set(
            error, ERROR_INPUT,
            "the layer \"%.80s\" is a Permute: the studio knows it as the first layer, "
            "on pictures of a known size",
            keras_name_of(config));
    for (uint32_t d = 0; d < chain->rank; d++) {
        turned[d] = sizes[order[d]];
        if (turned[d] == 1) continue;
        if (order[d] < before) rising = false;
        before = order[d];
    }
    bool channels_first = chain->rank == 3 && sizes[0] == 3 && order[0] == 1 && order[1] == 2;
    if (rising || channels_first) {
        chain->input = (struct source_input){turned[0], turned[1], turned[2]};
        return 0;
    }
    chain->turn.name = keras_name_of(config);
    chain->turn.rank = chain->rank;
    memcpy(chain->turn.sizes, sizes, sizeof sizes);
    memcpy(chain->turn.order, order, sizeof order);
    return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

const char *keras_activation_word(const struct layer *layer)
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
    if (layer->same || layer_pads_same(layer)) return "same";
    return memcmp(layer->padding, none, sizeof none) == 0 ? "valid" : NULL;
}

bool keras_needs_padding(const struct layer *layer)
{
    return layer->type == LAYER_CONV2D && !padding_word(layer);
}

json_t *keras_padding_config(const struct layer *layer, const char *dtype)
{
    char name[KERAS_MAX_PATH];
    const uint32_t *pad = layer->padding;
    snprintf(name, sizeof name, "%s_pad", layer->name);
    return json_pack("{s:s, s:b, s:s, s:o, s:s}", "name", name, "trainable", 1, "dtype", dtype,
                     "padding", json_pack("[o,o]", pair(pad + PAD_TOP), pair(pad + PAD_LEFT)),
                     "data_format", "channels_last");
}

static void put_weights(const struct layer *layer, const char *kernel, struct keras_written *out)
{
    out->weights[0] = (struct keras_weight){kernel, ROLE_WEIGHT};
    out->weights[1] = (struct keras_weight){"bias", ROLE_BIAS};
    out->weight_count = layer->without_bias ? 1 : 2;
}

/* In the words that Keras 2 and 3 share. */
static void put_penalty(const struct layer *layer, const char *key, struct keras_written *out)
{
    if (!layer_is_penalized(layer)) return;
    json_object_set_new(out->config, key,
                        json_pack("{s:s, s:s, s:{s:f, s:f}, s:n}", "module", "keras.regularizers",
                                  "class_name", "L1L2", "config", "l1", layer->l1, "l2", layer->l2,
                                  "registered_name"));
}

static int write_dense(const struct layer *layer, struct keras_written *out, struct error *error)
{
    const char *activation = keras_activation_word(layer);
    if (!activation) return refuse_writing(layer, activation_name(layer->activation), error);
    json_object_set_new(out->config, "units", json_integer(layer->outputs));
    json_object_set_new(out->config, "activation", json_string(activation));
    json_object_set_new(out->config, "use_bias", json_boolean(!layer->without_bias));
    put_penalty(layer, "kernel_regularizer", out);
    put_weights(layer, "kernel", out);
    return 0;
}

static bool is_one(const uint32_t pair[2])
{
    return pair[0] == 1 && pair[1] == 1;
}

/* Padding by numbers is a layer of its own before it: keras_padding_config(). */
static int write_conv(const struct layer *layer, struct keras_written *out, struct error *error)
{
    const char *activation = keras_activation_word(layer), *padding = padding_word(layer);
    uint32_t channels = layer->input.sizes[0];
    bool depthwise = layer->groups == channels && channels > 1;
    if (!activation) return refuse_writing(layer, activation_name(layer->activation), error);
    if (!is_one(layer->stride) && !is_one(layer->dilation))
        return refuse_writing(layer, "with both a stride and a dilation", error);
    if (depthwise && layer->stride[0] != layer->stride[1])
        return refuse_writing(layer, "by channel with two strides", error);
    if (depthwise) {
        out->class_name = "DepthwiseConv2D";
        json_object_set_new(out->config, "depth_multiplier",
                            json_integer(layer->filters / channels));
    } else {
        json_object_set_new(out->config, "filters", json_integer(layer->filters));
        json_object_set_new(out->config, "groups", json_integer(layer->groups));
    }
    json_object_set_new(out->config, "kernel_size", pair(layer->kernel));
    json_object_set_new(out->config, "strides", pair(layer->stride));
    json_object_set_new(out->config, "padding", json_string(padding ? padding : "valid"));
    json_object_set_new(out->config, "data_format", json_string("channels_last"));
    json_object_set_new(out->config, "dilation_rate", pair(layer->dilation));
    json_object_set_new(out->config, "activation", json_string(activation));
    json_object_set_new(out->config, "use_bias", json_boolean(!layer->without_bias));
    put_penalty(layer, depthwise ? "depthwise_regularizer" : "kernel_regularizer", out);
    put_weights(layer, depthwise ? "depthwise_kernel" : "kernel", out);
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
    return 0;
}

/* Of a layer whose class says everything. */
static int write_plain(const struct layer *layer, struct keras_written *out, struct error *error)
{
    (void)layer, (void)out, (void)error;
    return 0;
}

static int write_norm(const struct layer *layer, struct keras_written *out, struct error *error)
{
    bool batch = layer->type == LAYER_BATCHNORM, whole = !batch && layer->input.rank == 3;
    (void)error;
    json_object_set_new(out->config, "axis",
                        whole ? json_pack("[i,i,i]", 1, 2, 3) : json_integer(-1));
    if (batch) json_object_set_new(out->config, "momentum", json_real(1 - layer->momentum));
    json_object_set_new(out->config, "epsilon", json_real(layer->epsilon));
    json_object_set_new(out->config, "center", json_true());
    json_object_set_new(out->config, "scale", json_true());
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
    return 0;
}

static int write_activation(const struct layer *layer, struct keras_written *out,
                            struct error *error)
{
    const char *activation = keras_activation_word(layer);
    if (layer->activation == ACTIVATION_LEAKY_RELU || layer->activation == ACTIVATION_ELU) {
        bool leaky = layer->activation == ACTIVATION_LEAKY_RELU;
        json_object_set_new(out->config, leaky ? "negative_slope" : "alpha",
                            json_real(layer->slope));
        out->class_name = leaky ? "LeakyReLU" : "ELU";
        return 0;
    }
    if (!activation) return refuse_writing(layer, activation_name(layer->activation), error);
    json_object_set_new(out->config, "activation", json_string(activation));
    return 0;
}

static int write_rescale(const struct layer *layer, struct keras_written *out, struct error *error)
{
    (void)error;
    json_object_set_new(out->config, "scale", json_real(layer->scale));
    json_object_set_new(out->config, "offset", json_real(layer->offset));
    return 0;
}

static int write_normalize(const struct layer *layer, struct keras_written *out,
                           struct error *error)
{
    (void)error;
    json_t *mean = json_array(), *variance = json_array();
    for (uint32_t c = 0; c < layer->input.sizes[0]; c++) {
        json_array_append_new(mean, json_real(layer->mean[c]));
        json_array_append_new(variance, json_real(layer->std[c] * layer->std[c]));
    }
    json_object_set_new(out->config, "axis", json_pack("[i]", -1));
    json_object_set_new(out->config, "mean", mean);
    json_object_set_new(out->config, "variance", variance);
    return 0;
}

/* --- the table -------------------------------------------------------------------------------- */

/* A type that several classes stand for is written as the one whose row has write(). */
/* clang-format off */
static const struct keras_row rows[] = {
    {"InputLayer",              take_input,        "", 0, NULL},
    {"Dense",                   take_dense,        " units use_bias activation ", LAYER_DENSE, write_dense, "kernel_regularizer"},
    {"Conv2D",                  take_conv,         " filters kernel_size strides padding dilation_rate groups activation use_bias ", LAYER_CONV2D, write_conv, "kernel_regularizer"},
    {"DepthwiseConv2D",         take_conv,         " kernel_size strides padding depth_multiplier dilation_rate activation use_bias filters groups ", LAYER_CONV2D, NULL, "depthwise_regularizer"},
    {"MaxPooling2D",            take_pool,         " pool_size strides padding ", LAYER_MAXPOOL2D, write_pool},
    {"AveragePooling2D",        take_pool,         " pool_size strides padding ", LAYER_AVGPOOL2D, write_pool},
    {"GlobalAveragePooling2D",  take_globalpool,   "", LAYER_GLOBALAVGPOOL, write_plain},
    {"Flatten",                 take_flatten,      "", LAYER_FLATTEN, write_plain},
    {"BatchNormalization",      take_norm,         " axis momentum epsilon center scale renorm_momentum ", LAYER_BATCHNORM, write_norm},
    {"LayerNormalization",      take_norm,         " axis epsilon center scale ", LAYER_LAYERNORM, write_norm},
    {"Rescaling",               take_rescaling,    " scale offset ", LAYER_RESCALE, write_rescale},
    {"Normalization",           take_normalization, " axis mean variance ", LAYER_NORMALIZE, write_normalize},
    {"Permute",                 take_permute,      " dims ", 0, NULL},
    {"ZeroPadding2D",           take_padding,      " padding ", 0, NULL},
    {"Reshape",                 take_reshape,      " target_shape ", 0, NULL},
    {"Activation",              keras_take_activation,   " activation ", LAYER_ACTIVATION, write_activation},
    {"ReLU",                    keras_take_relu,         " max_value negative_slope threshold ", LAYER_ACTIVATION, NULL},
    {"LeakyReLU",               keras_take_leaky_relu,   " alpha negative_slope ", LAYER_ACTIVATION, NULL},
    {"ELU",                     keras_take_elu,          " alpha ", LAYER_ACTIVATION, NULL},
    {"Softmax",                 keras_take_softmax,      " axis ", 0, NULL},
    {"Identity",                take_nothing,      "", 0, NULL},
    {"Dropout",                 take_nothing,      "", LAYER_DROPOUT, write_dropout},
    {"SpatialDropout2D",        take_nothing,      "", 0, NULL},
    {"AlphaDropout",            take_nothing,      "", 0, NULL},
    {"GaussianNoise",           take_nothing,      "", 0, NULL},
    {"GaussianDropout",         take_nothing,      "", 0, NULL},
    {"ActivityRegularization",  take_nothing,      "", 0, NULL},
    {"Sequential",              keras_take_model,  " layers ", 0, NULL},
    {"Functional",              keras_take_model,  " layers input_layers output_layers ", 0, NULL},
    {"Model",                   keras_take_model,  " layers input_layers output_layers ", 0, NULL},
};
/* clang-format on */

const struct keras_row *keras_row_find(const char *class_name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].take && strcmp(rows[i].class_name, class_name) == 0) return &rows[i];
    return NULL;
}

const struct keras_row *keras_row_of(enum layer_type type)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].write && rows[i].type == type) return &rows[i];
    return NULL;
}
