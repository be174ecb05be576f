#include "net/network.h"

#include <string.h>

#include "base/js.h"

static const char *const activation_names[ACTIVATION_COUNT] = {
    [ACTIVATION_NONE] = "none",
    [ACTIVATION_RELU] = "relu",
    [ACTIVATION_TANH] = "tanh",
    [ACTIVATION_SIGMOID] = "sigmoid",
};

const char *activation_name(enum activation activation)
{
    CHECK(activation >= 0 && activation < ACTIVATION_COUNT);
    return activation_names[activation];
}

int activation_parse(const char *name, enum activation *out, struct error *error)
{
    for (int i = 0; i < ACTIVATION_COUNT; i++) {
        if (strcmp(name, activation_names[i]) == 0) {
            *out = (enum activation)i;
            return 0;
        }
    }
    return error_set(error, ERROR_INPUT, "unknown activation \"%.40s\": use relu, tanh or sigmoid",
                     name);
}

int network_build(struct network *network, uint32_t rows, uint32_t columns, const uint32_t *hidden,
                  uint32_t hidden_count, enum activation activation, uint32_t classes,
                  struct error *error)
{
    if (hidden_count >= NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "too many layers: the most is %d hidden ones",
                         NETWORK_MAX_LAYERS - 1);
    *network = (struct network){.rows = rows, .columns = columns, .layer_count = hidden_count + 1};
    uint32_t inputs = rows * columns;
    for (uint32_t i = 0; i <= hidden_count; i++) {
        bool last = i == hidden_count;
        network->layers[i] = (struct layer){
            .type = LAYER_DENSE,
            .activation = last ? ACTIVATION_NONE : activation,
            .inputs = inputs,
            .outputs = last ? classes : hidden[i],
        };
        inputs = network->layers[i].outputs;
    }
    return network_check(network, error);
}

int network_check(const struct network *network, struct error *error)
{
    if (network->layer_count < 1 || network->layer_count > NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "a network has 1 to %d layers, not %u",
                         NETWORK_MAX_LAYERS, network->layer_count);
    if (!network->rows || !network->columns || network->rows > NETWORK_MAX_WIDTH ||
        network->columns > NETWORK_MAX_WIDTH)
        return error_set(error, ERROR_INPUT, "the input size %u x %u is out of range",
                         network->rows, network->columns);
    uint64_t inputs = (uint64_t)network->rows * network->columns;
    uint64_t total = 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        if (layer->inputs != inputs)
            return error_set(error, ERROR_INPUT,
                             "layer %u takes %u values but gets %llu: make the sizes fit", i + 1,
                             layer->inputs, (unsigned long long)inputs);
        if (!layer->outputs || layer->outputs > NETWORK_MAX_WIDTH)
            return error_set(error, ERROR_INPUT, "layer %u has %u outputs: use 1 to %d", i + 1,
                             layer->outputs, NETWORK_MAX_WIDTH);
        total += ((uint64_t)layer->inputs + 1) * layer->outputs;
        inputs = layer->outputs;
    }
    if (total > NETWORK_MAX_PARAMETERS)
        return error_set(error, ERROR_INPUT, "the network has %llu parameters: the most is %zu",
                         (unsigned long long)total, NETWORK_MAX_PARAMETERS);
    if (network->layers[network->layer_count - 1].activation != ACTIVATION_NONE)
        return error_set(error, ERROR_INPUT,
                         "the last layer has an activation: the network must end in logits");
    if (inputs < 2)
        return error_set(error, ERROR_INPUT,
                         "the last layer has one output: classes need at least 2");
    return 0;
}

uint32_t network_inputs(const struct network *network)
{
    return network->layers[0].inputs;
}

uint32_t network_classes(const struct network *network)
{
    return network->layers[network->layer_count - 1].outputs;
}

size_t network_parameter_count(const struct network *network)
{
    size_t total = 0;
    for (uint32_t i = 0; i < network->layer_count; i++)
        total += ((size_t)network->layers[i].inputs + 1) * network->layers[i].outputs;
    return total;
}

bool network_equal(const struct network *a, const struct network *b)
{
    if (a->rows != b->rows || a->columns != b->columns || a->layer_count != b->layer_count)
        return false;
    for (uint32_t i = 0; i < a->layer_count; i++) {
        const struct layer *x = &a->layers[i], *y = &b->layers[i];
        if (x->type != y->type || x->activation != y->activation || x->inputs != y->inputs ||
            x->outputs != y->outputs)
            return false;
    }
    return true;
}

json_t *network_layers_to_json(const struct network *network)
{
    json_t *layers = json_array();
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        json_array_append_new(layers, json_pack("{s:s, s:I, s:I, s:s}", "type", "dense", "inputs",
                                                (json_int_t)layer->inputs, "outputs",
                                                (json_int_t)layer->outputs, "activation",
                                                activation_name(layer->activation)));
    }
    return layers;
}

json_t *network_to_json(const struct network *network)
{
    return json_pack("{s:[I,I], s:o}", "input", (json_int_t)network->rows,
                     (json_int_t)network->columns, "layers", network_layers_to_json(network));
}

static int read_layer(const json_t *value, struct layer *layer, struct error *error)
{
    const char *type = "dense", *activation = "none";
    layer->type = LAYER_DENSE;
    if (!json_is_object(value)) return error_set(error, ERROR_INPUT, "a layer must be an object");
    if (js_get_string(value, "type", &type, error) ||
        js_get_string(value, "activation", &activation, error) ||
        js_get_u32(value, "inputs", 1, NETWORK_MAX_WIDTH, &layer->inputs, error) ||
        js_get_u32(value, "outputs", 1, NETWORK_MAX_WIDTH, &layer->outputs, error) ||
        activation_parse(activation, &layer->activation, error))
        return -1;
    if (strcmp(type, "dense") != 0)
        return error_set(error, ERROR_INPUT,
                         "unknown layer type \"%.40s\": this version knows dense", type);
    return 0;
}

int network_from_json(const json_t *value, struct network *out, struct error *error)
{
    *out = (struct network){0};
    const json_t *input = json_object_get(value, "input");
    const json_t *layers = json_object_get(value, "layers");
    if (!json_is_array(input) || json_array_size(input) != 2 ||
        !json_is_integer(json_array_get(input, 0)) || !json_is_integer(json_array_get(input, 1)))
        return error_set(error, ERROR_INPUT, "\"input\" must be [rows, columns]");
    json_int_t rows = json_integer_value(json_array_get(input, 0)),
               columns = json_integer_value(json_array_get(input, 1));
    if (rows < 1 || rows > NETWORK_MAX_WIDTH || columns < 1 || columns > NETWORK_MAX_WIDTH)
        return error_set(error, ERROR_INPUT, "\"input\" is out of range: use 1 to %d",
                         NETWORK_MAX_WIDTH);
    if (!json_is_array(layers) || json_array_size(layers) > NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "\"layers\" must be an array of at most %d layers",
                         NETWORK_MAX_LAYERS);
    out->rows = (uint32_t)rows;
    out->columns = (uint32_t)columns;
    out->layer_count = (uint32_t)json_array_size(layers);
    for (uint32_t i = 0; i < out->layer_count; i++) {
        if (read_layer(json_array_get(layers, i), &out->layers[i], error))
            return error_prefix(error, "layer %u", i + 1);
    }
    return network_check(out, error);
}
