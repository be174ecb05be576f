/* The description of a network: a picture and a list of layers, as data. No engine, no numbers.
 *
 * What a layer can be stands in net/layer.h. A network is made from a list (network_build(),
 * network_from_json()), and network_finish() computes everything that follows from it: shapes,
 * sizes, names. The layers are a chain; a layer that joins two branches would name its second
 * source in a field of its own, and its row's resolve() would look that layer's shape up. */
#ifndef NNSTUDIO_NET_NETWORK_H
#define NNSTUDIO_NET_NETWORK_H

#include "net/layer.h"

#define NETWORK_MAX_LAYERS     64
#define NETWORK_MAX_WIDTH      LAYER_MAX_WIDTH
#define NETWORK_MAX_PARAMETERS ((size_t)1 << 28)

/* A value: copied by assignment, owns nothing. */
struct network {
    uint32_t rows, columns; /* the picture */
    uint32_t channels;      /* 1 gray, 3 color */
    uint32_t layer_count;
    struct layer layers[NETWORK_MAX_LAYERS];
};

/* rows*columns → hidden[0] → … → classes, `activation` after each but the last. hidden_count may be
 * 0. */
int network_build(struct network *network, uint32_t rows, uint32_t columns, const uint32_t *hidden,
                  uint32_t hidden_count, enum activation activation, uint32_t classes,
                  struct error *error);

/* Fills in what follows from the picture and the layers' own fields: every layer's input and output
 * shape, sizes, padding, name. Refuses what does not fit, by the layer's number with both shapes,
 * and what is over a cap. A first dense layer takes the whole picture; elsewhere feature maps need
 * a flatten before it. `channels` 0 becomes 1. */
int network_finish(struct network *network, struct error *error);
/* The same; when it fails, *at is the layer that does not fit, NETWORK_NO_LAYER when it is not one
 * alone. What stands before it is filled in; the message does not name the place. */
#define NETWORK_NO_LAYER UINT32_MAX
int network_finish_at(struct network *network, uint32_t *at, struct error *error);
/* The same without filling in. Call on anything from outside. */
int network_check(const struct network *network, struct error *error);

uint32_t network_inputs(const struct network *network); /* values of a picture, all channels */
uint32_t network_classes(const struct network *network);
size_t network_parameter_count(const struct network *network); /* trained values: no buffers */
size_t network_value_count(const struct network *network);     /* with buffers */
uint64_t network_multiply_adds(const struct network *network); /* per sample, forward */
bool network_is_penalized(const struct network *network);      /* some layer has an l1 or l2 */
bool network_equal(const struct network *a, const struct network *b);
/* The same function of a picture when it is used: dropout, flatten, l1 and l2 do not count, an
 * activation is the same in a layer of its own, and reals may differ in the digits that float32
 * loses. */
bool network_alike(const struct network *a, const struct network *b);
/* The layers that count there, one by one, each with the activation behind it: the next from *at
 * on (0 to begin with), which stands at *place. False after the last. */
bool network_next_counting(const struct network *network, uint32_t *at, uint32_t *place,
                           struct layer *out);
/* True when all layers are dense: what formats that hold nothing but matrices can carry. */
bool network_is_dense(const struct network *network);
/* True when it is dense and no activation is in it but ReLU, tanh and sigmoid. */
bool network_is_classic(const struct network *network);

/* {"input":[28,28],"layers":[{"type":"dense","inputs":784,"outputs":128,"activation":"relu"},…]};
 * color pictures have "input":[rows,columns,3]. New reference. */
json_t *network_to_json(const struct network *network);
/* Only the array of layers; new reference. */
json_t *network_layers_to_json(const struct network *network);
int network_from_json(const json_t *value, struct network *out, struct error *error);

#endif
