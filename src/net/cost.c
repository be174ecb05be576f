#include "net/cost.h"

#include <string.h>

#include "net/compact.h"

/* How far windows reach so far, and how many pixels apart neighboring values are. */
struct reach {
    uint64_t extent[2], step[2];
};

static void reach_on(const struct layer *layer, const struct network *network, struct reach *reach)
{
    const uint32_t picture[2] = {network->rows, network->columns};
    bool slides = layer_type_slides(layer->type);
    bool whole = layer_type_gathers(layer->type) || layer->type == LAYER_LAYERNORM;
    for (int d = 0; d < 2; d++) {
        if (slides) {
            reach->extent[d] += (uint64_t)(layer->kernel[d] - 1) * layer->dilation[d] *
                                reach->step[d];
            reach->step[d] *= layer->stride[d];
        }
        if (whole || reach->extent[d] > picture[d]) reach->extent[d] = picture[d];
    }
}

void network_cost(const struct network *network, struct network_cost *out)
{
    struct reach reach = {{1, 1}, {1, 1}};
    *out = (struct network_cost){0};
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        struct layer_cost *cost = &out->layers[i];
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        cost->parameters = layer_parameters(layer);
        for (uint32_t k = 0, count = layer_tensors(layer, specs); k < count; k++)
            if (!tensor_role_is_trained(specs[k].role))
                cost->buffers += shape_values(&specs[k].shape);
        cost->multiply_adds = layer_multiply_adds(layer);
        cost->values = layer->outputs;
        reach_on(layer, network, &reach);
        for (int d = 0; d < 2; d++) cost->receptive[d] = (uint32_t)reach.extent[d];
        out->total.parameters += cost->parameters;
        out->total.buffers += cost->buffers;
        out->total.multiply_adds += cost->multiply_adds;
        out->total.values += cost->values;
        memcpy(out->total.receptive, cost->receptive, sizeof cost->receptive);
    }
}

uint64_t network_training_bytes(const struct network *network, uint64_t batch, uint32_t slots,
                                size_t size)
{
    struct network_cost cost;
    network_cost(network, &cost);
    uint64_t flowing = 2 * (uint64_t)cost.total.values + network_inputs(network);
    return size *
           (batch * flowing + (2 + (uint64_t)slots) * cost.total.parameters + cost.total.buffers);
}

static json_t *output_to_json(const struct shape *shape)
{
    const uint32_t *s = shape->sizes;
    if (shape->rank == 1) return json_pack("[I]", (json_int_t)s[0]);
    return json_pack("[I, I, I]", (json_int_t)s[1], (json_int_t)s[2], (json_int_t)s[0]);
}

json_t *network_cost_to_json(const struct network *network)
{
    struct network_cost cost;
    json_t *layers = json_array();
    network_cost(network, &cost);
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        const struct layer_cost *one = &cost.layers[i];
        json_array_append_new(
            layers,
            json_pack(
                "{s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:[I, I]}", "name", layer->name, "type",
                layer_kind(layer->type)->name, "activation", activation_name(layer->activation),
                "output", output_to_json(&layer->output), "parameters", (json_int_t)one->parameters,
                "multiply_adds", (json_int_t)one->multiply_adds, "values", (json_int_t)one->values,
                "receptive_field", (json_int_t)one->receptive[0], (json_int_t)one->receptive[1]));
    }
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "input",
                     json_pack("[I, I, I]", (json_int_t)network->rows, (json_int_t)network->columns,
                               (json_int_t)network->channels),
                     "layers", layers, "parameters", (json_int_t)cost.total.parameters, "buffers",
                     (json_int_t)cost.total.buffers, "multiply_adds",
                     (json_int_t)cost.total.multiply_adds, "training_bytes_batch_32",
                     (json_int_t)network_training_bytes(network, 32, 0, 4), "compact",
                     network_compact_json(network), "network", network_to_json(network));
}
