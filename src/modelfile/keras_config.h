/* A Keras model's configuration, as it stands in .h5 files: which dense layers follow one another.
 * Private to this
 * room. Keras 2 and 3, Sequential and functional models that are a plain chain. */
#ifndef NNSTUDIO_MODELFILE_KERAS_CONFIG_H
#define NNSTUDIO_MODELFILE_KERAS_CONFIG_H

#include <jansson.h>

#include "net/network.h"

struct keras_dense {
    const char *name; /* within the JSON */
    size_t units;     /* outputs */
    bool use_bias;
    enum activation activation;
};

struct keras_chain {
    size_t count;
    struct keras_dense layers[NETWORK_MAX_LAYERS];
    size_t inputs;          /* values of one sample; 0 when it is not said */
    uint32_t rows, columns; /* the input's, when it is a picture; else 0 */
    bool ends_in_softmax;   /* it was taken off: the studio's networks end in logits */
    /* While reading: */
    bool after_activation; /* an Activation layer has followed the last dense layer */
};

/* Unknown layers and branches are refused by name. The chain borrows from `config`. */
int keras_chain_read(const json_t *config, struct keras_chain *out, struct error *error);
/* The configuration of a Sequential model, readable by Keras 2 and 3; new reference. */
json_t *keras_chain_write(const struct network *network, const char *dtype);

#endif
