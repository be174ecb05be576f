/* Operators and layers, read and written: what onnx_operators.c (reading a chain), onnx_layers.c
 * (what each layer is) and onnx_write.c (writing a model) share. For these three only. */
#ifndef NNSTUDIO_MODELFILE_ONNX_LAYERS_H
#define NNSTUDIO_MODELFILE_ONNX_LAYERS_H

#include "modelfile/onnx.pb-c.h"
#include "modelfile/onnx_operators.h"

/* An operator, and the attributes that its take() reads, " a b c ". All others are refused. */
struct onnx_operator {
    const char *domain, *op_type;
    int (*take)(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error);
    const char *attributes;
};
extern const struct onnx_operator onnx_operators[];
extern const size_t onnx_operator_count;

/* --- reading: onnx_operators.c --- */

/* Refuses the node by its name; returns -1. */
int onnx_refuse_node(const Onnx__NodeProto *node, const char *why, struct error *error);
/* Attributes; `usual` when they are not there. */
double onnx_get_real(const Onnx__NodeProto *node, const char *name, double usual);
int64_t onnx_get_int(const Onnx__NodeProto *node, const char *name, int64_t usual);
bool onnx_is_text(const Onnx__NodeProto *node, const char *name, const char *usual,
                  const char *text);
/* `count` whole numbers from `low` to 1024; untouched when they are not there. */
int onnx_get_ints(const Onnx__NodeProto *node, const char *name, uint32_t low, size_t count,
                  uint32_t *out, struct error *error);
struct layer *onnx_last_layer(struct onnx_reading *reading);
/* A layer behind the others, after the scaling in front if it is the first. */
int onnx_append(struct onnx_reading *reading, const Onnx__NodeProto *node, enum layer_type type,
                struct error *error);
/* The constant that is input number `input` as the last layer's tensor; `width` is the number of
 * its values, 0: any. */
int onnx_load(struct onnx_reading *reading, const Onnx__NodeProto *node, size_t input,
              enum tensor_role role, size_t width, struct error *error);
const struct named_tensor *onnx_loaded(const struct onnx_reading *reading, enum tensor_role role);
const char *onnx_word(const char *text);
/* Maps become a list of values. */
int onnx_flatten(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error);
/* Operators that are no layer of their own. */
int onnx_take_scaling(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error);
int onnx_take_softmax(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error);
int onnx_take_reshape(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error);
int onnx_take_transpose(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error);
int onnx_take_pad(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error);
int onnx_take_nothing(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error);
int onnx_take_dropout(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error);
int onnx_take_cast(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error);

/* --- writing: onnx_write.c --- */

#define ONNX_IR_VERSION     8
#define ONNX_OPSET          17
#define ONNX_OPSET_GELU     20 /* and its format version */
#define ONNX_IR_GELU        9
#define ONNX_NODES_MAX      (4 * NETWORK_MAX_LAYERS) /* two of a layer, two of its activation */
#define ONNX_EXTRA_MAX      2 /* constants of a scaling in front, beside the network's tensors */
#define ONNX_TENSORS_MAX    (PARAMETERS_MAX_TENSORS + ONNX_EXTRA_MAX)
#define ONNX_ATTRIBUTES_MAX 5

/* A node with what it points to. */
struct onnx_written_node {
    Onnx__NodeProto proto;
    char *inputs[5], *outputs[1], name[40];
    Onnx__AttributeProto attributes[ONNX_ATTRIBUTES_MAX], *list[ONNX_ATTRIBUTES_MAX];
    int64_t ints[ONNX_ATTRIBUTES_MAX][4];
};

/* All messages of one model; they point into each other and into the model, so nothing is owned.
 * protobuf-c's fields are not const, but packing only reads. */
struct onnx_writing {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    struct onnx_written_node nodes[ONNX_NODES_MAX];
    Onnx__NodeProto *node_list[ONNX_NODES_MAX];
    Onnx__TensorProto tensors[ONNX_TENSORS_MAX], *tensor_list[ONNX_TENSORS_MAX];
    int64_t dims[ONNX_TENSORS_MAX][SHAPE_MAX_RANK];
    double extra[ONNX_EXTRA_MAX][3];
    const struct network *network;
    const struct parameters *parameters;
    char *current; /* the value that the next node takes */
    struct edge {
        Onnx__ValueInfoProto value, *list[1];
        Onnx__TypeProto type;
        Onnx__TypeProto__Tensor tensor;
        Onnx__TensorShapeProto shape;
        Onnx__TensorShapeProto__Dimension dimensions[4], *dimension_list[4];
    } input, output;
};

/* protobuf-c's fields are not const. */
char *onnx_text(const char *constant);
int32_t onnx_data_type(enum dtype dtype);
/* One more node behind the others; its name is its output's. */
struct onnx_written_node *onnx_put_node(struct onnx_writing *writing, const char *op_type,
                                        const char *name);
void onnx_put_int(struct onnx_written_node *node, const char *name, int64_t value);
void onnx_put_real(struct onnx_written_node *node, const char *name, double value);
void onnx_put_text(struct onnx_written_node *node, const char *name, const char *value);
void onnx_put_ints(struct onnx_written_node *node, const char *name, const uint32_t *values,
                   size_t count);

/* onnx_layers.c: the layer's nodes, the last of which is called `name`, and its activation's. */
void onnx_put_layer(struct onnx_writing *writing, uint32_t index, const char *name);
void onnx_put_activation(struct onnx_writing *writing, uint32_t index);

#endif
