/* A row per class of Keras's layers: for keras_*.c only. */
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
    const char *penalty; /* the member that is the layer's l1 and l2; NULL: it has none */
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

/* keras_settings.c: what a configuration says, the chain's next layer, and the rows of activations.
 * Texts lie within the JSON; a setting of another kind than its row reads is an error. */
void keras_add_weight(struct keras_layer *layer, const char *name, enum tensor_role role);
int keras_append(enum layer_type type, const json_t *config, struct keras_chain *chain,
                 struct keras_layer **out, struct error *error);
int keras_get_count(const json_t *config, const char *key, uint32_t *out, struct error *error);
int keras_get_padding(const json_t *config, struct layer *layer, struct error *error);
int keras_get_pair(const json_t *config, const char *key, const uint32_t usual[2], uint32_t out[2],
                   struct error *error);
int keras_get_real(const json_t *config, const char *key, double usual, double *out,
                   struct error *error);
bool keras_is_last_axis(const json_t *config, uint32_t rank);
bool keras_is_on(const json_t *config, const char *key);
bool keras_is_whole_sample(const json_t *config, uint32_t rank);
const char *keras_name_of(const json_t *config);
/* What an L1, L2 or L1L2 says; false: it is another regularizer, or has numbers out of range. */
bool keras_get_penalty(const json_t *regularizer, double *l1, double *l2);
/* Puts down in the chain a layer with a regularizer that the studio does not train with. */
void keras_note_regularizers(const struct keras_row *row, const json_t *config,
                             struct keras_chain *chain);
int keras_refuse_axis(const json_t *config, struct error *error);
int keras_take_activation(const struct keras_row *row, const json_t *config,
                          struct keras_chain *chain, struct error *error);
int keras_take_elu(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                   struct error *error);
int keras_take_leaky_relu(const struct keras_row *row, const json_t *config,
                          struct keras_chain *chain, struct error *error);
int keras_take_relu(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                    struct error *error);
int keras_take_softmax(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                       struct error *error);

/* keras_config.c: a layer of any class, and a model as one. */
int keras_take_layer(const json_t *layer, const char *owner, struct keras_chain *chain,
                     struct error *error);
int keras_take_model(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error);

#endif
