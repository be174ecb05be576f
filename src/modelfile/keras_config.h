/* A Keras model's configuration, as .h5 and .keras hold it: which layers follow one another.
 * Private to this room. Keras 2 and 3, Sequential and functional models that are a plain chain,
 * also within one another. What Keras calls a layer, its settings and its weights stands in one
 * table, keras_layers.c's. */
#ifndef NNSTUDIO_MODELFILE_KERAS_CONFIG_H
#define NNSTUDIO_MODELFILE_KERAS_CONFIG_H

#include <jansson.h>

#include "modelfile/assemble.h"

#define KERAS_MAX_WEIGHTS 4
#define KERAS_MAX_PATH    600

/* In place of a role: a weight that is there and means nothing here. */
#define KERAS_ROLE_UNUSED ROLE_COUNT

struct keras_weight {
    const char *name; /* "kernel" */
    enum tensor_role role;
};

/* A layer with the place of its weights. All texts lie within the JSON. */
struct keras_layer {
    struct layer_source source;
    const char *owner;         /* the layer of the outermost model: its group in model_weights/ */
    char path[KERAS_MAX_PATH]; /* its group in Keras 3's weights file: "layers/dense_1" */
    uint32_t weight_count;
    struct keras_weight weights[KERAS_MAX_WEIGHTS]; /* in the order of its variables */
    uint32_t rank; /* a Normalization's: of its input without the batch; 0: not said */
};

/* A Permute of the picture, which the first dense layer takes over. Its output's axis d is axis
 * order[d] of its input. */
struct keras_turn {
    const char *name; /* NULL: none */
    uint32_t rank, sizes[3], order[3];
};

struct keras_chain {
    size_t count;
    struct keras_layer layers[NETWORK_MAX_LAYERS];
    size_t inputs;             /* values of one sample; 0 when it is not said */
    struct source_input input; /* when it is a picture; else 0 */
    const char
        *taken_off; /* "softmax" or "sigmoid" at the end: the studio's networks end in logits */
    struct keras_turn turn;
    const char *unpenalized; /* a layer whose regularizer is left out; NULL: none */
    /* While reading: */
    uint32_t padding[PAD_SIDES]; /* of a ZeroPadding2D that waits for its convolution */
    const char *padder;          /* its name; NULL: none */
    uint32_t rank;               /* of what flows, without the batch; 0: not said */
    int depth;                   /* of models within models */
};

/* Unknown layers, settings that the studio does not know, branches and several outputs are refused
 * by name. The chain borrows from `config`. */
int keras_chain_read(const json_t *config, struct keras_chain *out, struct error *error);
/* Once the tensors of the chain's layers are there: what only they settle (keras_settle.c). Changes
 * values of tensors, and leaves out sources that are worked into others; *worked_in then. */
int keras_settle(const struct keras_chain *chain, struct layer_source *sources, size_t *count,
                 bool *worked_in, struct error *error);

/* What a layer is in Keras, for writing. */
struct keras_written {
    const char *class_name;
    json_t *config; /* new reference; NULL when it cannot be said in Keras */
    uint32_t weight_count;
    struct keras_weight weights[KERAS_MAX_WEIGHTS];
};
/* `dtype` is "float32" or "float64". */
int keras_layer_write(const struct layer *layer, const char *dtype, struct keras_written *out,
                      struct error *error);
/* The configuration of a Sequential model in the words that Keras 2 and 3 share (`saved` false:
 * .h5), or as Keras 3 saves it in .keras (true); new reference. NULL with an error when a layer
 * cannot be said. */
json_t *keras_chain_write(const struct network *network, const char *dtype, bool saved,
                          struct error *error);
/* The chain that a Sequential model of this network has: sources, weights and the paths of Keras
 * 3's weights file; borrows from `network`. */
int keras_chain_of(const struct network *network, struct keras_chain *out, struct error *error);
/* modelfile.h's `carries` of Keras's formats. */
int keras_carries(const struct network *network, struct error *error);
int h5_carries(const struct network *network, struct error *error);
/* The name of the layer's group in Keras 3's weights file, "dense_1": its class and how many of it
 * came before. */
void keras_group_name(const char *class_name, uint32_t before, char out[64]);

#endif
