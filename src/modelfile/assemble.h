/* From named tensors to a model: which tensors are which layer, in which order. Private to this
 * room. */
#ifndef NNSTUDIO_MODELFILE_ASSEMBLE_H
#define NNSTUDIO_MODELFILE_ASSEMBLE_H

#include "modelfile/modelfile.h"
#include "modelfile/state_dict.h"

/* A dense layer as a file tells it. Borrows everything. */
struct dense_source {
    const char *name; /* to sort by and for messages: the weight's, "fc1.weight" */
    const struct named_tensor *weight;
    const struct named_tensor *bias; /* NULL: zeros */
    /* weight is [inputs, outputs] (Keras) rather than [outputs, inputs] (PyTorch) */
    bool transposed;
    enum activation activation;
};

/* Sorts layers by name, runs of digits by their value: "fc2" before "fc10", "dense" before
 * "dense_1". */
void dense_sort(struct dense_source *sources, size_t count);

/* Puts layers in the order in which their sizes chain: as they are if that fits, else in the only
 * order that does. */
int dense_order(struct dense_source *sources, size_t count, struct error *error);

/* Layers in their order. Fills all of *out but `format` and `metadata`; `activation_known` becomes
 * true. The dtype is
 * float64 when any tensor is. `note` may be NULL: a network's JSON (network_to_json) kept beside
 * the tensors, of which
 * only the picture's shape is taken here. */
int model_from_dense(const struct dense_source *sources, size_t count, const json_t *note,
                     const struct modelfile_options *options, struct model *out,
                     struct error *error);

/* As model_from_dense, for a file that knows no activations: they come from the options. Sorts by
 * name unless
 * `ordered`, then puts the layers in the order that chains. */
int model_from_layers(struct dense_source *sources, size_t count, bool ordered,
                      const struct modelfile_options *options, struct model *out,
                      struct error *error);

/* Pairs NAME.weight (two dimensions) and NAME.bias (one, may be absent) in the order of the file
 * (`ordered`), else by
 * name with numbers as numbers; if the sizes do not chain so, in the only order in which they do.
 * "module." and
 * "_orig_mod." in front of all names are taken off. Activations come from `note`, else from the
 * options. */
int model_from_state_dict(const struct state_dict *state, const json_t *note, bool ordered,
                          const struct modelfile_options *options, struct model *out,
                          struct error *error);

#endif
