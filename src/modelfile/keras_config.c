#include "modelfile/keras_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"

#define DEPTH_MAX 4 /* of models within models */

/* What a layer is called in Keras, and what it means here. */
struct keras_row {
    const char *class_name;
    int (*take)(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                struct error *error);
    const char *settings; /* the members of its configuration that take() reads, " a b c " */
    enum layer_type type;
};

static const char *name_of(const json_t *config)
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
static int check_settings(const struct keras_row *row, const json_t *config, struct error *error)
{
    const char *key, *order = js_text(config, "data_format");
    json_t *value;
    if (*order && strcmp(order, "channels_last") != 0)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" has the data format %.40s: the studio reads "
                         "channels_last",
                         name_of(config), order);
    json_object_foreach((json_t *)(uintptr_t)config, key, value) {
        if (json_is_null(value) || json_is_false(value) || is_word_of(harmless, key) ||
            is_word_of(row->settings, key) || ends_with(key, "_initializer") ||
            ends_with(key, "_regularizer") || ends_with(key, "_constraint"))
            continue;
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" (%s) has the setting \"%.40s\", which the studio "
                         "does not know",
                         name_of(config), row->class_name, key);
    }
    return 0;
}

static int get_real(const json_t *config, const char *key, double usual, double *out,
                    struct error *error)
{
    const json_t *value = json_object_get(config, key);
    *out = usual;
    if (!value || json_is_null(value)) return 0;
    *out = json_number_value(value);
    if (json_is_number(value) && isfinite(*out) && fabs(*out) <= 1e6) return 0;
    return error_set(error, ERROR_INPUT, "the layer \"%.80s\" has an unusable \"%s\"",
                     name_of(config), key);
}

/* A whole number or two of them. */
static int get_pair(const json_t *config, const char *key, const uint32_t usual[2], uint32_t out[2],
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
                             name_of(config), key);
        out[d] = (uint32_t)number;
    }
    return 0;
}

static int get_count(const json_t *config, const char *key, uint32_t *out, struct error *error)
{
    json_int_t number = json_integer_value(json_object_get(config, key));
    if (number < 1 || number > NETWORK_MAX_WIDTH)
        return error_set(error, ERROR_INPUT, "the layer \"%.80s\" has an unusable \"%s\"",
                         name_of(config), key);
    *out = (uint32_t)number;
    return 0;
}

/* Absent means on. */
static bool is_on(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    return !value || json_is_true(value);
}

static int get_padding(const json_t *config, struct layer *layer, struct error *error)
{
    const char *padding = js_text(config, "padding");
    layer->same = strcmp(padding, "same") == 0;
    if (layer->same || !*padding || strcmp(padding, "valid") == 0) return 0;
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" has the padding %.40s: the studio knows valid and same",
                     name_of(config), padding);
}

/* The axis that is the last one, in any of Keras's ways to say so: −1, 3, [3]. */
static bool is_last_axis(const json_t *config, uint32_t rank)
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

static int refuse_axis(const json_t *config, struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" works along another axis than the last: the studio "
                     "knows the last one",
                     name_of(config));
}

/* --- the chain -------------------------------------------------------------------------------- */

static int append(enum layer_type type, const json_t *config, struct keras_chain *chain,
                  struct keras_layer **out, struct error *error)
{
    if (chain->taken_off)
        return error_set(error, ERROR_INPUT,
                         "%s comes before the layer \"%.80s\": the studio knows it at the end only",
                         chain->taken_off, name_of(config));
    if (chain->count == NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "it has more than %d layers: the studio takes no more",
                         NETWORK_MAX_LAYERS);
    *out = &chain->layers[chain->count++];
    **out = (struct keras_layer){.source = {.name = name_of(config), .axes = AXES_KERAS}};
    layer_init(&(*out)->source.layer, type);
    return 0;
}

static void add_weight(struct keras_layer *layer, const char *name, enum tensor_role role)
{
    layer->weights[layer->weight_count++] = (struct keras_weight){name, role};
}

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
    return append(LAYER_FLATTEN, config, chain, &layer, error);
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
                         name_of(config));
    chain->rank = (uint32_t)rank;
    chain->inputs = (size_t)values;
    chain->input = (struct source_input){
        (uint32_t)json_integer_value(json_array_get(target, 0)),
        (uint32_t)json_integer_value(json_array_get(target, 1)),
        rank == 3 ? (uint32_t)json_integer_value(json_array_get(target, 2)) : 1};
    return 0;
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
                         chain->taken_off, name_of(config));
    if ((!last || last->source.layer.activation != ACTIVATION_NONE ||
         last->source.layer.type == LAYER_FLATTEN) &&
        append(LAYER_ACTIVATION, config, chain, &last, error))
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
                         name_of(config), what);
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
        return chain->rank > 1 ? refuse_axis(config, error)
                               : take_off("softmax", config, chain, error);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (strcmp(activations[i].name, name) == 0)
            return set_activation(activations[i].activation, activations[i].slope, config, chain,
                                  error);
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" has the activation %.40s: the studio knows relu, tanh, "
                     "sigmoid, leaky_relu, elu, selu, gelu, silu and softplus",
                     name_of(config), *name ? name : "(none that has a name)");
}

static int take_layer(const json_t *layer, const char *owner, struct keras_chain *chain,
                      struct error *error);

/* The member "activation": a name, a function's name, or a whole layer. */
static int take_activation(const struct keras_row *row, const json_t *config,
                           struct keras_chain *chain, struct error *error)
{
    const json_t *value = json_object_get(config, "activation"),
                 *inner = json_object_get(value, "config");
    (void)row;
    if (!value || json_is_null(value)) return 0;
    if (json_is_string(value)) return take_name(json_string_value(value), config, chain, error);
    if (json_is_string(inner)) return take_name(json_string_value(inner), config, chain, error);
    if (json_is_object(inner) && ++chain->depth <= DEPTH_MAX) {
        int status = take_layer(value, NULL, chain, error);
        chain->depth--;
        return status;
    }
    return take_name("", config, chain, error);
}

static int take_relu(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    double slope, threshold;
    const json_t *most = json_object_get(config, "max_value");
    (void)row;
    if (get_real(config, "negative_slope", 0, &slope, error) ||
        get_real(config, "threshold", 0, &threshold, error))
        return -1;
    if ((most && !json_is_null(most)) || threshold != 0)
        return error_set(
            error, ERROR_INPUT,
            "the layer \"%.80s\" is a ReLU with bounds of its own: the studio knows the plain one",
            name_of(config));
    return set_activation(slope != 0 ? ACTIVATION_LEAKY_RELU : ACTIVATION_RELU, slope, config,
                          chain, error);
}

/* LeakyReLU's number has two names. */
static int take_leaky_relu(const struct keras_row *row, const json_t *config,
                           struct keras_chain *chain, struct error *error)
{
    double alpha, slope;
    (void)row;
    if (get_real(config, "alpha", 0.3, &alpha, error) ||
        get_real(config, "negative_slope", alpha, &slope, error))
        return -1;
    return set_activation(ACTIVATION_LEAKY_RELU, slope, config, chain, error);
}

static int take_elu(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                    struct error *error)
{
    double alpha;
    (void)row;
    if (get_real(config, "alpha", 1, &alpha, error)) return -1;
    return set_activation(ACTIVATION_ELU, alpha, config, chain, error);
}

static int take_softmax(const struct keras_row *row, const json_t *config,
                        struct keras_chain *chain, struct error *error)
{
    (void)row;
    if (!is_last_axis(config, chain->rank) || chain->rank > 1) return refuse_axis(config, error);
    return take_off("softmax", config, chain, error);
}

/* --- layers with weights ---------------------------------------------------------------------- */

static int take_dense(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                      struct error *error)
{
    struct keras_layer *layer;
    note_shape(config, chain);
    if (chain->rank > 1)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is a Dense on rows of a picture, not on all its "
                         "values: the studio knows it behind Flatten",
                         name_of(config));
    if (append(LAYER_DENSE, config, chain, &layer, error)) return -1;
    json_int_t units = json_integer_value(json_object_get(config, "units"));
    layer->source.layer.units = units > 0 && units <= UINT32_MAX ? (uint32_t)units : 0;
    chain->rank = 1;
    add_weight(layer, "kernel", ROLE_WEIGHT);
    if (is_on(config, "use_bias")) add_weight(layer, "bias", ROLE_BIAS);
    return take_activation(row, config, chain, error);
}

static int take_conv(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    static const uint32_t one[2] = {1, 1};
    struct keras_layer *layer;
    note_shape(config, chain);
    if (append(LAYER_CONV2D, config, chain, &layer, error)) return -1;
    struct layer *into = &layer->source.layer;
    if (get_count(config, "filters", &into->filters, error) ||
        get_pair(config, "kernel_size", one, into->kernel, error) ||
        get_pair(config, "strides", one, into->stride, error) ||
        get_pair(config, "dilation_rate", one, into->dilation, error) ||
        get_padding(config, into, error) ||
        (json_object_get(config, "groups") && get_count(config, "groups", &into->groups, error)))
        return -1;
    add_weight(layer, "kernel", ROLE_WEIGHT);
    if (is_on(config, "use_bias")) add_weight(layer, "bias", ROLE_BIAS);
    return take_activation(row, config, chain, error);
}

static int take_pool(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    static const uint32_t two[2] = {2, 2};
    struct keras_layer *layer;
    note_shape(config, chain);
    if (append(row->type, config, chain, &layer, error)) return -1;
    struct layer *into = &layer->source.layer;
    if (get_pair(config, "pool_size", two, into->kernel, error) ||
        get_pair(config, "strides", into->kernel, into->stride, error))
        return -1;
    return get_padding(config, into, error);
}

static int take_globalavgpool(const struct keras_row *row, const json_t *config,
                              struct keras_chain *chain, struct error *error)
{
    struct keras_layer *layer;
    (void)row;
    note_shape(config, chain);
    chain->rank = 1;
    return append(LAYER_GLOBALAVGPOOL, config, chain, &layer, error);
}

/* Keras's momentum is the share that the running value keeps. */
static int take_norm(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    struct keras_layer *layer;
    double momentum;
    note_shape(config, chain);
    if (!is_last_axis(config, chain->rank)) return refuse_axis(config, error);
    if (row->type == LAYER_LAYERNORM && chain->rank > 1) return refuse_axis(config, error);
    if (append(row->type, config, chain, &layer, error) ||
        get_real(config, "epsilon", 1e-3, &layer->source.layer.epsilon, error) ||
        get_real(config, "momentum", 0.99, &momentum, error))
        return -1;
    layer->source.layer.momentum = row->type == LAYER_BATCHNORM ? 1 - momentum : 0;
    if (is_on(config, "scale")) add_weight(layer, "gamma", ROLE_WEIGHT);
    if (is_on(config, "center")) add_weight(layer, "beta", ROLE_BIAS);
    if (row->type != LAYER_BATCHNORM) return 0;
    add_weight(layer, "moving_mean", ROLE_RUNNING_MEAN);
    add_weight(layer, "moving_variance", ROLE_RUNNING_VARIANCE);
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
                         name_of(config));
    if (append(LAYER_RESCALE, config, chain, &layer, error) ||
        get_real(config, "scale", 1, &layer->source.layer.scale, error))
        return -1;
    return get_real(config, "offset", 0, &layer->source.layer.offset, error);
}

/* --- the table -------------------------------------------------------------------------------- */

static int take_model(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                      struct error *error);

/* clang-format off */
static const struct keras_row rows[] = {
    {"InputLayer",             take_input,         "", 0},
    {"Dense",                  take_dense,         " units use_bias activation ", LAYER_DENSE},
    {"Conv2D",                 take_conv,
     " filters kernel_size strides padding dilation_rate groups activation use_bias ",
     LAYER_CONV2D},
    {"MaxPooling2D",           take_pool,          " pool_size strides padding ", LAYER_MAXPOOL2D},
    {"AveragePooling2D",       take_pool,          " pool_size strides padding ", LAYER_AVGPOOL2D},
    {"GlobalAveragePooling2D", take_globalavgpool, "", LAYER_GLOBALAVGPOOL},
    {"Flatten",                take_flatten,       "", LAYER_FLATTEN},
    {"BatchNormalization",     take_norm,
     " axis momentum epsilon center scale renorm_momentum ", LAYER_BATCHNORM},
    {"LayerNormalization",     take_norm,          " axis epsilon center scale ", LAYER_LAYERNORM},
    {"Rescaling",              take_rescaling,     " scale offset ", LAYER_RESCALE},
    {"Reshape",                take_reshape,       " target_shape ", 0},
    {"Activation",             take_activation,    " activation ", LAYER_ACTIVATION},
    {"ReLU",                   take_relu,
     " max_value negative_slope threshold ", LAYER_ACTIVATION},
    {"LeakyReLU",              take_leaky_relu,    " alpha negative_slope ", LAYER_ACTIVATION},
    {"ELU",                    take_elu,           " alpha ", LAYER_ACTIVATION},
    {"Softmax",                take_softmax,       " axis ", 0},
    {"Identity",               take_nothing,       "", 0},
    {"Dropout",                take_nothing,       "", LAYER_DROPOUT},
    {"SpatialDropout2D",       take_nothing,       "", 0},
    {"AlphaDropout",           take_nothing,       "", 0},
    {"GaussianNoise",          take_nothing,       "", 0},
    {"GaussianDropout",        take_nothing,       "", 0},
    {"ActivityRegularization", take_nothing,       "", 0},
    {"Sequential",             take_model,         " layers ", 0},
    {"Functional",             take_model,         " layers input_layers output_layers ", 0},
    {"Model",                  take_model,         " layers input_layers output_layers ", 0},
};
/* clang-format on */

static const struct keras_row *find_row(const char *class_name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].class_name, class_name) == 0) return &rows[i];
    return NULL;
}

static int take_layer(const json_t *layer, const char *owner, struct keras_chain *chain,
                      struct error *error)
{
    const json_t *config = json_object_get(layer, "config");
    const char *class_name = js_text(layer, "class_name");
    const struct keras_row *row = find_row(class_name);
    size_t before = chain->count;
    if (!row)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is a %.40s: the studio does not know this layer",
                         name_of(config), *class_name ? class_name : "thing without a class");
    if ((row->take != take_model && check_settings(row, config, error)) ||
        row->take(row, config, chain, error))
        return -1;
    for (size_t i = before; i < chain->count; i++)
        if (owner) chain->layers[i].owner = owner;
    return 0;
}

/* --- models ----------------------------------------------------------------------------------- */

/* The one layer that a functional model's layer takes its input from, or NULL. Keras 3:
 * [{"args":[{"config":{"keras_history":["flatten",0,0]}}],"kwargs":{}}]; Keras 2:
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
    return name ? name : name_of(json_object_get(layer, "config"));
}

/* "output_layers" is [["mid",0,0],…] or, with one output in Keras 3, ["mid",0,0]. The one output
 * must be what the last * layer gives. */
static int check_output(const json_t *outputs, const char *last, struct error *error)
{
    const json_t *first = json_array_get(outputs, 0);
    bool flat = json_is_string(first);
    if (!json_is_array(outputs)) return 0; /* not said: the last layer it is */
    if (!flat && json_array_size(outputs) != 1) {
        const char *second = json_string_value(json_array_get(json_array_get(outputs, 1), 0));
        return error_set(error, ERROR_INPUT,
                         "it has %zu outputs (\"%.60s\", \"%.60s\" …): the studio reads models "
                         "with one: save one that ends in the class scores",
                         json_array_size(outputs),
                         json_is_array(first) ? json_string_value(json_array_get(first, 0)) : "?",
                         second ? second : "?");
    }
    const char *name = flat ? json_string_value(first)
                            : json_string_value(json_array_get(first, 0));
    if (name && last && strcmp(name, last) == 0) return 0;
    return error_set(error, ERROR_INPUT,
                     "its output is the layer \"%.80s\", which is not the last one: the studio "
                     "reads plain chains of layers",
                     name ? name : "?");
}

/* Functional models list their layers in order of depth, so a plain chain is one where each follows
 * the one before. */
static int check_chain(const json_t *layers, const json_t *outputs, struct error *error)
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
    return check_output(outputs, before, error);
}

/* How many layers of this class stand before `index`: Keras numbers their groups so. */
static uint32_t same_class_before(const json_t *layers, size_t index)
{
    const char *class_name = js_text(json_array_get(layers, index), "class_name");
    uint32_t count = 0;
    for (size_t i = 0; i < index; i++)
        if (strcmp(js_text(json_array_get(layers, i), "class_name"), class_name) == 0) count++;
    return count;
}

/* Puts "layers/GROUP/" before the paths of what one layer brought. */
static void set_paths(struct keras_chain *chain, size_t from, const char *group)
{
    for (size_t i = from; i < chain->count; i++) {
        char below[KERAS_MAX_PATH];
        memcpy(below, chain->layers[i].path, sizeof below);
        snprintf(chain->layers[i].path, KERAS_MAX_PATH, "layers/%.50s%s%.60s", group,
                 *below ? "/" : "", below);
    }
}

static int take_model(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                      struct error *error)
{
    size_t index;
    json_t *layer;
    /* The first Keras 2 versions had the list itself as Sequential's configuration. */
    const json_t *layers = json_is_array(config) ? config : json_object_get(config, "layers");
    if (!json_is_array(layers))
        return error_set(error, ERROR_INPUT,
                         "its configuration lists no layers: the file is damaged");
    if (chain->depth++ >= DEPTH_MAX)
        return error_set(error, ERROR_INPUT, "its models are nested deeper than %d", DEPTH_MAX);
    if (strcmp(row->class_name, "Sequential") != 0 &&
        check_chain(layers, json_object_get(config, "output_layers"), error))
        return -1;
    json_array_foreach(layers, index, layer) {
        char group[64];
        size_t before = chain->count;
        const char *owner = chain->depth == 1 ? layer_name(layer) : NULL;
        if (take_layer(layer, owner, chain, error)) return -1;
        keras_group_name(js_text(layer, "class_name"), same_class_before(layers, index), group);
        set_paths(chain, before, group);
    }
    chain->depth--;
    return 0;
}

/* A sigmoid at the end grows with its logit, so the class found is the same; other activations
 * there cannot be * taken off. */
static void take_off_sigmoid(struct keras_chain *chain)
{
    struct layer *last = &chain->layers[chain->count - 1].source.layer;
    if (last->activation != ACTIVATION_SIGMOID || chain->taken_off) return;
    chain->taken_off = "sigmoid";
    last->activation = ACTIVATION_NONE;
    if (last->type == LAYER_ACTIVATION) chain->count--;
}

int keras_chain_read(const json_t *config, struct keras_chain *out, struct error *error)
{
    const char *class_name = js_text(config, "class_name");
    const struct keras_row *row = find_row(class_name);
    *out = (struct keras_chain){0};
    if (!row || row->take != take_model)
        return error_set(error, ERROR_INPUT,
                         "it is a %.60s: the studio reads Sequential and functional models",
                         *class_name ? class_name : "model without a class");
    if (take_model(row, json_object_get(config, "config"), out, error)) return -1;
    if (out->count) take_off_sigmoid(out);
    return out->count ? 0
                      : error_set(error, ERROR_INPUT,
                                  "it has no dense layer: give a file with trained weights");
}
