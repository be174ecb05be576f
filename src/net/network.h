/* The description of a network: a list of layers, as data. No engine, no numbers.
 *
 * Today every layer is dense; a layer is a type plus the fields of that type, so that convolution,
 * pooling and
 * dropout fit the same list (and the same JSON) without a change to who passes it on. */
#ifndef NNSTUDIO_NET_NETWORK_H
#define NNSTUDIO_NET_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NETWORK_MAX_LAYERS     16
#define NETWORK_MAX_WIDTH      65536
#define NETWORK_MAX_PARAMETERS ((size_t)1 << 28)

enum layer_type { LAYER_DENSE };
enum activation {
    ACTIVATION_NONE,
    ACTIVATION_RELU,
    ACTIVATION_TANH,
    ACTIVATION_SIGMOID,
    ACTIVATION_COUNT
};

/* Dense: output = activation(weight · input + bias), weight [outputs, inputs], bias [outputs]. */
struct layer {
    enum layer_type type;
    enum activation activation; /* ACTIVATION_NONE on the last layer: the network ends in logits */
    uint32_t inputs;
    uint32_t outputs;
};

/* A value: copied by assignment, owns nothing. */
struct network {
    uint32_t rows, columns; /* the picture; rows * columns is the first layer's inputs */
    uint32_t layer_count;
    struct layer layers[NETWORK_MAX_LAYERS];
};

/* The names used in JSON, files and on the command line: "none", "relu", "tanh", "sigmoid". */
const char *activation_name(enum activation activation);
int activation_parse(const char *name, enum activation *out, struct error *error);

/* rows*columns → hidden[0] → … → classes, `activation` after each but the last. hidden_count may
 * be 0. */
int network_build(struct network *network, uint32_t rows, uint32_t columns, const uint32_t *hidden,
                  uint32_t hidden_count, enum activation activation, uint32_t classes,
                  struct error *error);
/* Sizes chain, caps hold, the last layer has no activation. Call on anything that came from
 * outside. */
int network_check(const struct network *network, struct error *error);

uint32_t network_inputs(const struct network *network);
uint32_t network_classes(const struct network *network);
size_t network_parameter_count(const struct network *network);
bool network_equal(const struct network *a, const struct network *b);

/* {"input":[28,28],"layers":[{"type":"dense","inputs":784,"outputs":128,"activation":"relu"},…]};
 * new reference. */
json_t *network_to_json(const struct network *network);
/* Only the array of layers; new reference. */
json_t *network_layers_to_json(const struct network *network);
int network_from_json(const json_t *value, struct network *out, struct error *error);

#endif
