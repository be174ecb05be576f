/* Writing .onnx: input [N, pixels] → Gemm → activation → … → logits [N, classes], weights as raw
 * data under the names
 * of the state dict. Operator set 17 and format version 8 are what any runtime since 2022 reads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/assemble.h"
#include "modelfile/onnx.h"
#include "modelfile/onnx.pb-c.h"

#define IR_VERSION  8
#define OPSET       17
#define NODES_MAX   (2 * NETWORK_MAX_LAYERS)
#define TENSORS_MAX (2 * NETWORK_MAX_LAYERS)

/* All messages of one model; they point into each other and into the model, so nothing is owned.
 * protobuf-c's fields
 * are not const, but packing only reads. */
struct writing {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__NodeProto nodes[NODES_MAX], *node_list[NODES_MAX];
    char *inputs[NODES_MAX][3], *outputs[NODES_MAX][1];
    char names[NODES_MAX][32];
    Onnx__AttributeProto trans_b, *attributes[1];
    Onnx__TensorProto tensors[TENSORS_MAX], *tensor_list[TENSORS_MAX];
    int64_t dims[TENSORS_MAX][2];
    struct edge {
        Onnx__ValueInfoProto value, *list[1];
        Onnx__TypeProto type;
        Onnx__TypeProto__Tensor tensor;
        Onnx__TensorShapeProto shape;
        Onnx__TensorShapeProto__Dimension dimensions[2], *dimension_list[2];
    } input, output;
};

static const char *const operator_names[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = "Relu",
    [ACTIVATION_TANH] = "Tanh",
    [ACTIVATION_SIGMOID] = "Sigmoid",
};

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static int32_t data_type(enum dtype dtype)
{
    return dtype == DTYPE_FLOAT64 ? ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE
                                  : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
}

/* The graph's input or output: [N, width]. */
static void put_edge(struct edge *edge, const char *name, int64_t width, enum dtype dtype)
{
    onnx__value_info_proto__init(&edge->value);
    onnx__type_proto__init(&edge->type);
    onnx__type_proto__tensor__init(&edge->tensor);
    onnx__tensor_shape_proto__init(&edge->shape);
    for (int d = 0; d < 2; d++) {
        onnx__tensor_shape_proto__dimension__init(&edge->dimensions[d]);
        edge->dimension_list[d] = &edge->dimensions[d];
    }
    edge->dimensions[0].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    edge->dimensions[0].dim_param = text("N");
    edge->dimensions[1].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    edge->dimensions[1].dim_value = width;
    edge->shape.dim = edge->dimension_list;
    edge->shape.n_dim = 2;
    edge->tensor.has_elem_type = 1;
    edge->tensor.elem_type = data_type(dtype);
    edge->tensor.shape = &edge->shape;
    edge->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    edge->type.tensor_type = &edge->tensor;
    edge->value.name = text(name);
    edge->value.type = &edge->type;
    edge->list[0] = &edge->value;
}

static void put_tensors(struct writing *writing, const struct parameters *parameters)
{
    for (size_t i = 0; i < parameters->tensor_count; i++) {
        const struct tensor *from = &parameters->tensors[i];
        Onnx__TensorProto *to = &writing->tensors[i];
        onnx__tensor_proto__init(to);
        for (uint32_t d = 0; d < from->rank; d++) writing->dims[i][d] = (int64_t)from->shape[d];
        to->dims = writing->dims[i];
        to->n_dims = from->rank;
        to->has_data_type = 1;
        to->data_type = data_type(parameters->dtype);
        to->name = text(from->name);
        to->has_raw_data = 1;
        to->raw_data = (ProtobufCBinaryData){from->count * dtype_size(parameters->dtype),
                                             from->values};
        writing->tensor_list[i] = to;
    }
    writing->graph.initializer = writing->tensor_list;
    writing->graph.n_initializer = parameters->tensor_count;
}

/* One more node; its name is its output's. */
static Onnx__NodeProto *put_node(struct writing *writing, const char *op_type, char *input,
                                 const char *name)
{
    size_t index = writing->graph.n_node++;
    Onnx__NodeProto *node = &writing->nodes[index];
    onnx__node_proto__init(node);
    snprintf(writing->names[index], sizeof writing->names[index], "%s", name);
    writing->inputs[index][0] = input;
    writing->outputs[index][0] = writing->names[index];
    node->op_type = text(op_type);
    node->name = writing->names[index];
    node->input = writing->inputs[index];
    node->n_input = 1;
    node->output = writing->outputs[index];
    node->n_output = 1;
    writing->node_list[index] = node;
    return node;
}

static void put_nodes(struct writing *writing, const struct network *network,
                      const struct parameters *parameters)
{
    char *current = text("input"), name[32];
    onnx__attribute_proto__init(&writing->trans_b);
    writing->trans_b.name = text("transB");
    writing->trans_b.has_type = writing->trans_b.has_i = 1;
    writing->trans_b.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    writing->trans_b.i = 1;
    writing->attributes[0] = &writing->trans_b;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        enum activation activation = network->layers[i].activation;
        snprintf(name, sizeof name, "%s", network->layers[i].name);
        Onnx__NodeProto *gemm = put_node(writing, "Gemm", current,
                                         i + 1 == network->layer_count ? "logits" : name);
        gemm->input[1] = text(parameters_get(parameters, i, ROLE_WEIGHT)->name);
        gemm->input[2] = text(parameters_get(parameters, i, ROLE_BIAS)->name);
        gemm->n_input = 3;
        gemm->attribute = writing->attributes;
        gemm->n_attribute = 1;
        current = gemm->output[0];
        if (activation == ACTIVATION_NONE) continue;
        snprintf(name, sizeof name, "%s%u", activation_name(activation), i + 1);
        current = put_node(writing, operator_names[activation], current, name)->output[0];
    }
    writing->graph.node = writing->node_list;
}

static void put_model(struct writing *writing, const struct model *model)
{
    onnx__model_proto__init(&writing->model);
    onnx__graph_proto__init(&writing->graph);
    onnx__operator_set_id_proto__init(&writing->opset);
    put_edge(&writing->input, "input", network_inputs(&model->network), model->parameters->dtype);
    put_edge(&writing->output, "logits", network_classes(&model->network),
             model->parameters->dtype);
    put_tensors(writing, model->parameters);
    put_nodes(writing, &model->network, model->parameters);
    writing->graph.name = text("simple_nn");
    writing->graph.input = writing->input.list;
    writing->graph.output = writing->output.list;
    writing->graph.n_input = writing->graph.n_output = 1;
    writing->opset.domain = text("");
    writing->opset.has_version = 1;
    writing->opset.version = OPSET;
    writing->opsets[0] = &writing->opset;
    writing->model.has_ir_version = 1;
    writing->model.ir_version = IR_VERSION;
    writing->model.producer_name = text("nnstudio");
    writing->model.producer_version = text(NNSTUDIO_VERSION);
    writing->model.opset_import = writing->opsets;
    writing->model.n_opset_import = 1;
    writing->model.graph = &writing->graph;
}

/* The network's JSON and the model's metadata, as pairs; the caller frees both arrays. */
static int put_metadata(struct writing *writing, const json_t *metadata, char *network,
                        char *assumed, Onnx__StringStringEntryProto **pairs,
                        Onnx__StringStringEntryProto ***list)
{
    const char *key;
    json_t *value;
    size_t count = 0;
    *pairs = calloc(json_object_size(metadata) + 2, sizeof **pairs);
    *list = calloc(json_object_size(metadata) + 2, sizeof **list);
    if (!*pairs || !*list) return -1;
    onnx__string_string_entry_proto__init(&(*pairs)[count]);
    (*pairs)[count].key = text(ONNX_NETWORK_KEY);
    (*pairs)[count++].value = network;
    if (assumed) {
        onnx__string_string_entry_proto__init(&(*pairs)[count]);
        (*pairs)[count].key = text(ONNX_ASSUMED_KEY);
        (*pairs)[count++].value = assumed;
    }
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value)) continue;
        onnx__string_string_entry_proto__init(&(*pairs)[count]);
        (*pairs)[count].key = text(key);
        (*pairs)[count++].value = text(json_string_value(value));
    }
    for (size_t i = 0; i < count; i++) (*list)[i] = &(*pairs)[i];
    writing->model.metadata_props = *list;
    writing->model.n_metadata_props = count;
    return 0;
}

int onnx_write_model(const char *path, const struct model *model, struct error *error)
{
    int status = -1;
    uint8_t *bytes = NULL;
    Onnx__StringStringEntryProto *pairs = NULL, **list = NULL;
    struct writing *writing = calloc(1, sizeof *writing);
    json_t *note = network_to_json(&model->network);
    char *network = js_dump(note), *assumed = note_text(model->assumed);
    if (!writing || !network) goto memory;
    put_model(writing, model);
    if (put_metadata(writing, model->metadata, network, assumed, &pairs, &list)) goto memory;
    size_t size = onnx__model_proto__get_packed_size(&writing->model);
    bytes = malloc(size);
    if (!bytes) goto memory;
    onnx__model_proto__pack(&writing->model, bytes);
    status = file_write(path, bytes, size, error);
    goto out;
memory:
    error_set_memory(error, "the model file");
out:
    free(bytes);
    free(pairs);
    free(list);
    free(network);
    free(assumed);
    free(writing);
    json_decref(note);
    return status;
}
