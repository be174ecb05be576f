#include "net/network.h"

#include <stdio.h>
#include <string.h>

#include "base/js.h"

int network_build(struct network *network, uint32_t rows, uint32_t columns, const uint32_t *hidden,
                  uint32_t hidden_count, enum activation activation, uint32_t classes,
                  struct error *error)
{
    if (hidden_count >= NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "too many layers: use at most %d hidden layers",
                         NETWORK_MAX_LAYERS - 1);
    *network = (struct network){
        .rows = rows, .columns = columns, .channels = 1, .layer_count = hidden_count + 1};
    for (uint32_t i = 0; i <= hidden_count; i++) {
        struct layer *layer = &network->layers[i];
        layer_init(layer, LAYER_DENSE);
        layer->units = i == hidden_count ? classes : hidden[i];
        layer->activation = i == hidden_count ? ACTIVATION_NONE : activation;
        layer->slope = activation_usual_slope(layer->activation);
    }
    return network_finish(network, error);
}

/* "fc1": the type's stem and how many of that stem there are up to here. */
static void name_layer(const struct network *network, uint32_t index, char out[LAYER_NAME_MAX])
{
    const char *stem = layer_kind(network->layers[index].type)->stem;
    uint32_t number = 1;
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(layer_kind(network->layers[i].type)->stem, stem) == 0) number++;
    snprintf(out, LAYER_NAME_MAX, "%s%u", stem, number);
}

static int check_given_inputs(const struct layer *layer, uint64_t inputs, struct error *error)
{
    if (!layer->inputs || layer->inputs == inputs) return 0;
    return error_set(error, ERROR_INPUT, "it takes %u values but gets %llu: make the sizes fit",
                     layer->inputs, (unsigned long long)inputs);
}

/* One layer on what the one before it gives. */
static int finish_layer(struct network *network, uint32_t index, const struct shape *input,
                        struct error *error)
{
    struct layer *layer = &network->layers[index];
    const struct layer_kind *kind = layer_kind(layer->type);
    char words[48];
    uint64_t inputs = shape_values(input);
    if (check_given_inputs(layer, inputs, error)) return -1;
    layer->input = *input;
    layer->inputs = (uint32_t)inputs;
    bool picture = true; /* what a first dense layer may take whole */
    for (uint32_t i = 0; i < index; i++)
        if (!layer_kind(network->layers[i].type)->first_only) picture = false;
    if (kind->first_only && !picture)
        return error_set(error, ERROR_INPUT, "%s must stand before all other layers", kind->name);
    if (layer->type == LAYER_DENSE && !picture && input->rank == 3)
        return error_set(error, ERROR_INPUT,
                         "dense takes a list of values but gets maps of %s: put flatten before it",
                         shape_words(input, words));
    if (kind->resolve(layer, error)) return -1;
    if (shape_values(&layer->output) > NETWORK_MAX_PARAMETERS)
        return error_set(error, ERROR_INPUT, "%s gives %zu values per sample: the most is %zu",
                         kind->name, shape_values(&layer->output), NETWORK_MAX_PARAMETERS);
    layer->outputs = (uint32_t)shape_values(&layer->output);
    if (!layer->name[0]) name_layer(network, index, layer->name);
    return 0;
}

static int check_picture(const struct network *network, struct error *error)
{
    if (!network->rows || !network->columns || network->rows > NETWORK_MAX_WIDTH ||
        network->columns > NETWORK_MAX_WIDTH ||
        (uint64_t)network->rows * network->columns * network->channels > NETWORK_MAX_PARAMETERS)
        return error_set(error, ERROR_INPUT,
                         "the input size %u x %u is out of range: use 1 to %d rows and columns",
                         network->rows, network->columns, NETWORK_MAX_WIDTH);
    if (network->channels != 1 && network->channels != 3)
        return error_set(error, ERROR_INPUT,
                         "pictures of %u channels are not supported: use 1 (gray) or 3 (color)",
                         network->channels);
    return 0;
}

static int check_end(const struct network *network, struct error *error)
{
    const struct layer *last = &network->layers[network->layer_count - 1];
    if (network_parameter_count(network) > NETWORK_MAX_PARAMETERS)
        return error_set(error, ERROR_INPUT, "the network has %zu parameters: the most is %zu",
                         network_parameter_count(network), NETWORK_MAX_PARAMETERS);
    if (last->activation != ACTIVATION_NONE)
        return error_set(error, ERROR_INPUT,
                         "the last layer has an activation: the network must end in logits");
    if (last->output.rank != 1)
        return error_set(error, ERROR_INPUT,
                         "the network ends in feature maps: end it with a dense layer of as many "
                         "units as there are classes");
    if (last->outputs < 2)
        return error_set(error, ERROR_INPUT,
                         "the last layer has one output: classes need at least 2");
    return 0;
}

/* *at: the layer that does not fit, NETWORK_NO_LAYER for the whole. */
static int finish_layers(struct network *network, uint32_t *at, struct error *error)
{
    *at = NETWORK_NO_LAYER;
    if (network->layer_count < 1 || network->layer_count > NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "a network has 1 to %d layers, not %u",
                         NETWORK_MAX_LAYERS, network->layer_count);
    if (!network->channels) network->channels = 1;
    if (check_picture(network, error)) return -1;
    struct shape shape = shape_maps(network->channels, network->rows, network->columns);
    for (uint32_t i = 0; i < network->layer_count; i++) {
        *at = i;
        if (finish_layer(network, i, &shape, error)) return -1;
        shape = network->layers[i].output;
    }
    *at = NETWORK_NO_LAYER;
    return 0;
}

int network_finish_at(struct network *network, uint32_t *at, struct error *error)
{
    if (finish_layers(network, at, error)) return -1;
    if (!check_end(network, error)) return 0;
    if (network_parameter_count(network) <= NETWORK_MAX_PARAMETERS) *at = network->layer_count - 1;
    return -1;
}

int network_finish(struct network *network, struct error *error)
{
    uint32_t at;
    if (finish_layers(network, &at, error))
        return at == NETWORK_NO_LAYER ? -1 : error_prefix(error, "layer %u", at + 1);
    return check_end(network, error);
}

int network_check(const struct network *network, struct error *error)
{
    struct network copy = *network;
    return network_finish(&copy, error);
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
        total += layer_parameters(&network->layers[i]);
    return total;
}

size_t network_value_count(const struct network *network)
{
    size_t total = 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        for (uint32_t k = 0, count = layer_tensors(&network->layers[i], specs); k < count; k++)
            total += shape_values(&specs[k].shape);
    }
    return total;
}

uint64_t network_multiply_adds(const struct network *network)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < network->layer_count; i++)
        total += layer_multiply_adds(&network->layers[i]);
    return total;
}

bool network_is_penalized(const struct network *network)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (layer_is_penalized(&network->layers[i])) return true;
    return false;
}

bool network_equal(const struct network *a, const struct network *b)
{
    if (a->rows != b->rows || a->columns != b->columns || a->channels != b->channels ||
        a->layer_count != b->layer_count)
        return false;
    for (uint32_t i = 0; i < a->layer_count; i++)
        if (!layer_equal(&a->layers[i], &b->layers[i])) return false;
    return true;
}

bool network_next_counting(const struct network *network, uint32_t *at, uint32_t *place,
                           struct layer *out)
{
    bool found = false;
    for (; *at < network->layer_count; (*at)++) {
        const struct layer *layer = &network->layers[*at];
        bool nothing = layer->activation == ACTIVATION_NONE &&
                       (layer->type == LAYER_DROPOUT || layer->type == LAYER_FLATTEN ||
                        layer->type == LAYER_ACTIVATION);
        if (nothing) continue;
        if (!found) {
            *out = *layer;
            *place = *at;
            found = true;
        } else if (layer->type == LAYER_ACTIVATION && out->activation == ACTIVATION_NONE) {
            out->activation = layer->activation;
            out->slope = layer->slope;
        } else {
            break;
        }
    }
    return found;
}

bool network_alike(const struct network *a, const struct network *b)
{
    uint32_t i = 0, j = 0, place;
    struct layer x, y;
    for (;;) {
        bool more = network_next_counting(a, &i, &place, &x);
        if (more != network_next_counting(b, &j, &place, &y)) return false;
        if (!more) return true;
        if (!layer_alike(&x, &y)) return false;
    }
}

bool network_is_dense(const struct network *network)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].type != LAYER_DENSE) return false;
    return true;
}

bool network_is_classic(const struct network *network)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].activation > ACTIVATION_SIGMOID) return false;
    return network_is_dense(network);
}

/* --- JSON ------------------------------------------------------------------------------------- */

json_t *network_layers_to_json(const struct network *network)
{
    json_t *layers = json_array();
    for (uint32_t i = 0; i < network->layer_count; i++) {
        json_t *layer = layer_to_json(&network->layers[i]);
        char usual[LAYER_NAME_MAX];
        name_layer(network, i, usual);
        if (strcmp(usual, network->layers[i].name) != 0)
            json_object_set_new(layer, "name", json_string(network->layers[i].name));
        json_array_append_new(layers, layer);
    }
    return layers;
}

json_t *network_to_json(const struct network *network)
{
    json_t *input = json_pack("[I,I]", (json_int_t)network->rows, (json_int_t)network->columns);
    if (network->channels > 1) json_array_append_new(input, json_integer(network->channels));
    return json_pack("{s:o, s:o}", "input", input, "layers", network_layers_to_json(network));
}

static int read_picture(const json_t *input, struct network *out, struct error *error)
{
    uint32_t *const sizes[] = {&out->rows, &out->columns, &out->channels};
    size_t count = json_array_size(input);
    out->channels = 1;
    if (!json_is_array(input) || count < 2 || count > 3)
        return error_set(error, ERROR_INPUT,
                         "\"input\" must be [rows, columns] or [rows, columns, channels]");
    for (size_t i = 0; i < count; i++) {
        const json_t *size = json_array_get(input, i);
        if (!json_is_integer(size) || json_integer_value(size) < 1 ||
            json_integer_value(size) > NETWORK_MAX_WIDTH)
            return error_set(error, ERROR_INPUT,
                             "\"input\" is out of range: use whole numbers from 1 to %d",
                             NETWORK_MAX_WIDTH);
        *sizes[i] = (uint32_t)json_integer_value(size);
    }
    return 0;
}

int network_from_json(const json_t *value, struct network *out, struct error *error)
{
    *out = (struct network){0};
    const json_t *layers = json_object_get(value, "layers");
    if (read_picture(json_object_get(value, "input"), out, error)) return -1;
    if (!json_is_array(layers) || json_array_size(layers) > NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "\"layers\" must be an array of at most %d layers",
                         NETWORK_MAX_LAYERS);
    out->layer_count = (uint32_t)json_array_size(layers);
    for (uint32_t i = 0; i < out->layer_count; i++)
        if (layer_from_json(json_array_get(layers, i), &out->layers[i], error))
            return error_prefix(error, "layer %u", i + 1);
    return network_finish(out, error);
}
