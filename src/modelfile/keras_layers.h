/* A row per class of Keras's layers: for keras_layers.c, keras_config.c and keras_write.c only. */
#ifndef NNSTUDIO_MODELFILE_KERAS_LAYERS_H
#define NNSTUDIO_MODELFILE_KERAS_LAYERS_H

#include "modelfile/keras_config.h"

#define KERAS_DEPTH_MAX 8 /* of models within models */
/* What a Normalization divides by at least (keras/src/layers/preprocessing/normalization.py). */
#define KERAS_LEAST_DEVIATION 1e-7

/* What a layer is called in Keras, and what it means here. */
struct keras_row {
    const char *class_name;
    /* Appends to the chain what the layer is; NULL in a row that is only written. */
    int (*take)(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                struct error *error);
    const char *settings; /* the members of its configuration that take() reads, " a b c " */
    enum layer_type type;
    /* Adds the layer's settings to out->config, and its weights; may choose another class. NULL in
     * a row that is only read. */
    int (*write)(const struct layer *layer, struct keras_written *out, struct error *error);
};

/* By the class of a layer that is read; NULL when the studio does not know it. */
const struct keras_row *keras_row_find(const char *class_name);
/* By the type of a layer that is written; every type has one. */
const struct keras_row *keras_row_of(enum layer_type type);

/* Every setting must be known, or be off. */
int keras_check_settings(const struct keras_row *row, const json_t *config, struct error *error);
/* Whether a ZeroPadding2D must stand before the layer, and that one's configuration (new
 * reference). */
bool keras_needs_padding(const struct layer *layer);
json_t *keras_padding_config(const struct layer *layer, const char *dtype);
/* NULL for an activation that Keras has no word for. */
const char *keras_activation_word(const struct layer *layer);

/* keras_config.c: a layer of any class, and a model as one. */
int keras_take_layer(const json_t *layer, const char *owner, struct keras_chain *chain,
                     struct error *error);
int keras_take_model(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error);

#endif
