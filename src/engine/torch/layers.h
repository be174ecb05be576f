/* What every type of layer, and every activation, is in PyTorch: a row of layers.c's tables. */
#ifndef NNSTUDIO_ENGINE_TORCH_LAYERS_H
#define NNSTUDIO_ENGINE_TORCH_LAYERS_H

#include "engine/torch/dispatcher.h"

/* One layer as PyTorch's tensors; all but the last two owned, NULL where it has none. */
struct torch_layer {
    const struct layer *layer; /* borrowed */
    uint32_t index;            /* its place in the network, from 0 */
    /* Parameters (leaves of the graph) and buffers, and the optimizer's state of the parameters. */
    torch_tensor tensors[ROLE_COUNT];
    torch_tensor slots[OPTIMIZER_MAX_SLOTS][ROLE_COUNT];
    torch_tensor constants[3]; /* what its type needs beside them */
    torch_tensor slope, zero;  /* of its activation */
    void *mask;                /* dropout: [batch_size, outputs] in the session's dtype; owned */
    uint8_t *kept;             /* dropout: the same as bytes; owned */

    torch_tensor before, after; /* the last forward pass: temporaries around the activation */
};

/* One forward pass. */
struct torch_pass {
    bool training; /* dropout drops, batch normalization uses the batch's own statistics */
    size_t count;  /* samples in it */
    size_t first;  /* the number of the first of them in its batch */
    uint64_t seed; /* of dropout's masks */
    uint64_t step; /* optimizer steps taken before it */
};

/* Zeros for every tensor of layer `index`, and what its forward pass needs; `batch_size` is the
 * most samples of a pass that trains. A failure of PyTorch waits in the session. */
int torch_layer_create(struct torch_session *torch, struct torch_layer *module,
                       const struct layer *layer, uint32_t index, size_t batch_size,
                       struct error *error);
void torch_layer_destroy(struct torch_session *torch, struct torch_layer *module);
/* The layer's output for x, after its activation. */
torch_tensor torch_layer_forward(struct torch_session *torch, struct torch_layer *module,
                                 torch_tensor x, const struct torch_pass *pass);
/* The same from what the layer computes before its activation. */
torch_tensor torch_layer_activate(struct torch_session *torch, struct torch_layer *module,
                                  torch_tensor x);

bool torch_has_layer(enum layer_type type);
bool torch_has_activation(enum activation activation);

/* [count] + the shape of one sample. */
struct shape torch_batch_shape(size_t count, const struct shape *sample);

#endif
