/* What a graph knows before any picture comes: constants in all the forms that ONNX has for them,
 * also in files beside * the model, and the whole numbers that exporters compute shapes with.
 * Private to this room. */
#ifndef NNSTUDIO_MODELFILE_ONNX_VALUES_H
#define NNSTUDIO_MODELFILE_ONNX_VALUES_H

#include "modelfile/onnx.pb-c.h"
#include "modelfile/state_dict.h"

#define ONNX_MAX_RANK 8
#define ONNX_BATCH    INT64_MIN /* in a shape: as many as there are samples */

/* The shape of a value on the chain. */
struct onnx_shape {
    const char *name;
    size_t rank; /* 0: not known */
    int64_t dims[ONNX_MAX_RANK];
};

struct onnx_values {
    const Onnx__GraphProto *graph;
    const char *path; /* of the model file; NULL: there is none, and no file beside it */
    int64_t opset;
    struct state_dict state; /* what was loaded */
    size_t shape_count;
    struct onnx_shape *shapes; /* owned; room for onnx_values_open()'s `most` */
    size_t shape_room;
};

/* A constant: a tensor, or the number or list of a Constant node. */
struct onnx_constant {
    const Onnx__TensorProto *tensor;
    const Onnx__AttributeProto *list; /* value_float, value_floats */
    bool turned;                      /* a matrix whose axes are exchanged */
};

struct onnx_ints {
    size_t count;
    int64_t values[ONNX_MAX_RANK];
    size_t columns; /* 0: a list, else the rows of a table lie one after another */
};

int onnx_values_open(struct onnx_values *values, const Onnx__ModelProto *model, const char *path,
                     struct error *error);
void onnx_values_close(struct onnx_values *values);
/* The shape of a value that was reached. `name` is borrowed. */
void onnx_values_note(struct onnx_values *values, const char *name, size_t rank,
                      const int64_t *dims);

const Onnx__NodeProto *onnx_producer(const struct onnx_values *values, const char *name);
/* The value x when the node computes x · sigmoid(x), else NULL. */
const char *onnx_gated(const struct onnx_values *values, const Onnx__NodeProto *node);
const Onnx__AttributeProto *onnx_attribute(const Onnx__NodeProto *node, const char *name);
/* What a node is called in a message. */
const char *onnx_node_name(const Onnx__NodeProto *node);
int onnx_refuse(const Onnx__NodeProto *node, const char *why, struct error *error);
bool onnx_is_floating(int32_t data_type);

/* Whether `name` is a constant, through Identity, Cast and Transpose. */
bool onnx_constant_find(const struct onnx_values *values, const char *name,
                        struct onnx_constant *out);
/* Copies a constant of floating-point numbers into the state dict; *index is its place there. With
 * `width` it becomes * a list of that length: axes of one value are dropped, a single value is
 * repeated. */
int onnx_constant_load(struct onnx_values *values, const struct onnx_constant *constant,
                       size_t width, size_t *index, struct error *error);
/* Whole numbers that are known beforehand, ONNX_BATCH where they are the number of samples. -1: not
 * known. */
int onnx_ints_find(const struct onnx_values *values, const char *name, struct onnx_ints *out);

#endif
