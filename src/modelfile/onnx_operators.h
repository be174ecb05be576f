/* A row per operator: what a node means for the chain of layers. Private to this room; onnx.c walks
 * the graph. */
#ifndef NNSTUDIO_MODELFILE_ONNX_OPERATORS_H
#define NNSTUDIO_MODELFILE_ONNX_OPERATORS_H

#include "modelfile/assemble.h"
#include "modelfile/onnx_values.h"

#define ONNX_NO_TENSOR SIZE_MAX

/* Numbers that every input value is multiplied with and moved by, before the first layer. */
struct onnx_scaling {
    bool used, divides; /* divides: it is (x - mean) / std, and nothing else */
    uint32_t channels;  /* 1: the same for all */
    double mean[3], std[3], scale, offset;
};

/* The walk along the chain. Tensors are remembered by their index in the state dict, which moves
 * while it grows. */
struct onnx_reading {
    struct onnx_values values;
    size_t rank;                 /* of what flows, with the batch; 0: not said */
    int64_t dims[ONNX_MAX_RANK]; /* 0: not said; the first is the batch */
    struct source_input input;
    struct onnx_scaling scaling;
    size_t count;
    struct layer_source sources[NETWORK_MAX_LAYERS];
    size_t tensors[NETWORK_MAX_LAYERS][ROLE_COUNT];
    uint32_t padding[PAD_SIDES];   /* of a Pad that waits for its layer */
    const Onnx__NodeProto *padder; /* NULL: none */
    bool pads_lowest;              /* with minus infinity: for a maximum */
    bool awaits_bias;              /* the last layer is a MatMul, whose Add may still follow */
    const char *taken_off;         /* softmax or sigmoid at the end */
};

/* Takes the next node of the chain; what it is not known to do is refused by its name. */
int onnx_take_node(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error);
/* A Pad with nothing behind it that could take it over is refused; at the end of the chain, too. */
int onnx_refuse_padder(const struct onnx_reading *reading, struct error *error);
/* Notes the picture's size when what flows has the shape of one. */
void onnx_note_picture(struct onnx_reading *reading);

#endif
