/* What a network costs and sees, layer by layer: computed once, shown everywhere. */
#ifndef NNSTUDIO_NET_COST_H
#define NNSTUDIO_NET_COST_H

#include "net/network.h"

struct layer_cost {
    size_t parameters;      /* trained values */
    size_t buffers;         /* values that no gradient moves */
    uint64_t multiply_adds; /* per sample, forward */
    size_t values;          /* of the output, per sample */
    uint32_t receptive[2];  /* rows and columns of the picture that one value depends on */
};

struct network_cost {
    struct layer_cost layers[NETWORK_MAX_LAYERS];
    struct layer_cost total; /* `receptive` of the last layer */
};

void network_cost(const struct network *network, struct network_cost *out);
/* Bytes that one training step over `batch` samples holds: every layer's output and its derivative,
 * parameters, gradients and `slots` optimizer slots, `size` bytes per value. A lower bound of what
 * an engine takes. */
uint64_t network_training_bytes(const struct network *network, uint64_t batch, uint32_t slots,
                                size_t size);

/* {"layers":[{"name":"conv1","type":"conv2d","output":[26,26,32],"parameters":320,
 * "multiply_adds":194688,"values":21632,"receptive_field":[3,3]},…],"parameters":34826,
 * "multiply_adds":2440960,…}: outputs as rows, columns, channels, or units. New reference. */
json_t *network_cost_to_json(const struct network *network);

#endif
