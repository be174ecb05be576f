/* Writing .onnx: input [N, pixels] → Gemm → activation → … → logits [N, classes], weights as raw
 * data under the names of the state dict. Operator set 17 and format version 8 are what any runtime
 * since 2022 reads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/assemble.h"
#include "modelfile/onnx.h"
#include "modelfile/onnx.pb-c.h"

#define IR_VERSION     8
#define OPSET          17
#define OPSET_GELU     20 /* and its format version */
#define IR_GELU        9
#define NODES_MAX      (3 * NETWORK_MAX_LAYERS)
#define EXTRA_MAX      2 /* constants of a scaling in front, beside the network's tensors */
#define TENSORS_MAX    (PARAMETERS_MAX_TENSORS + EXTRA_MAX)
#define ATTRIBUTES_MAX 5

/* A node with what it points to. */
struct node {
    Onnx__NodeProto proto;
    char *inputs[5], *outputs[1], name[40];
    Onnx__AttributeProto attributes[ATTRIBUTES_MAX], *list[ATTRIBUTES_MAX];
    int64_t ints[ATTRIBUTES_MAX][4];
};

/* All messages of one model; they point into each other and into the model, so nothing is owned.
 * protobuf-c's fields are not const, but packing only reads. */
struct writing {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    struct node nodes[NODES_MAX];
    Onnx__NodeProto *node_list[NODES_MAX];
    Onnx__TensorProto tensors[TENSORS_MAX], *tensor_list[TENSORS_MAX];
    int64_t dims[TENSORS_MAX][SHAPE_MAX_RANK];
    double extra[EXTRA_MAX][3];
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

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static int32_t data_type(enum dtype dtype)
{
    return dtype == DTYPE_FLOAT64 ? ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE
                                  : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
}

/* The graph's input or output: the batch and one sample's shape. */
static void put_edge(struct edge *edge, const char *name, const struct shape *sample,
                     enum dtype dtype)
{
    onnx__value_info_proto__init(&edge->value);
    onnx__type_proto__init(&edge->type);
    onnx__type_proto__tensor__init(&edge->tensor);
    onnx__tensor_shape_proto__init(&edge->shape);
    for (uint32_t d = 0; d <= sample->rank; d++) {
        onnx__tensor_shape_proto__dimension__init(&edge->dimensions[d]);
        edge->dimension_list[d] = &edge->dimensions[d];
        if (!d) continue;
        edge->dimensions[d].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        edge->dimensions[d].dim_value = sample->sizes[d - 1];
    }
    edge->dimensions[0].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    edge->dimensions[0].dim_param = text("N");
    edge->shape.dim = edge->dimension_list;
    edge->shape.n_dim = sample->rank + 1;
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

/* One more node behind the others; its name is its output's. */
static struct node *put_node(struct writing *writing, const char *op_type, const char *name)
{
    size_t index = writing->graph.n_node++;
    struct node *node = &writing->nodes[index];
    onnx__node_proto__init(&node->proto);
    snprintf(node->name, sizeof node->name, "%s", name);
    node->inputs[0] = writing->current;
    node->outputs[0] = node->name;
    node->proto.op_type = text(op_type);
    node->proto.name = node->name;
    node->proto.input = node->inputs;
    node->proto.n_input = 1;
    node->proto.output = node->outputs;
    node->proto.n_output = 1;
    node->proto.attribute = node->list;
    writing->node_list[index] = &node->proto;
    writing->current = node->name;
    return node;
}

static Onnx__AttributeProto *put_attribute(struct node *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    size_t index = node->proto.n_attribute++;
    Onnx__AttributeProto *attribute = &node->attributes[index];
    onnx__attribute_proto__init(attribute);
    attribute->name = text(name);
    attribute->has_type = 1;
    attribute->type = type;
    attribute->ints = node->ints[index];
    node->list[index] = attribute;
    return attribute;
}

static void put_int(struct node *node, const char *name, int64_t value)
{
    Onnx__AttributeProto *attribute = put_attribute(node, name,
                                                    ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    attribute->has_i = 1;
    attribute->i = value;
}

static void put_real(struct node *node, const char *name, double value)
{
    Onnx__AttributeProto *attribute = put_attribute(node, name,
                                                    ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    attribute->has_f = 1;
    attribute->f = (float)value;
}

static void put_ints(struct node *node, const char *name, const uint32_t *values, size_t count)
{
    Onnx__AttributeProto *attribute = put_attribute(node, name,
                                                    ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    for (size_t i = 0; i < count; i++) attribute->ints[i] = values[i];
    attribute->n_ints = count;
}

/* --- layers ----------------------------------------------------------------------------------- */

/* The layer's tensors in these roles, as far as it has them, become the node's further inputs. */
static void put_inputs(const struct writing *writing, struct node *node, uint32_t index,
                       const enum tensor_role *roles, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct tensor *tensor = parameters_get(writing->parameters, index, roles[i]);
        if (tensor) node->inputs[node->proto.n_input++] = text(tensor->name);
    }
}

static const enum tensor_role all_roles[ROLE_COUNT] = {ROLE_WEIGHT, ROLE_BIAS, ROLE_RUNNING_MEAN,
                                                       ROLE_RUNNING_VARIANCE};

static void put_dense(struct writing *writing, uint32_t index, const char *name)
{
    struct node *node = put_node(writing, "Gemm", name);
    put_inputs(writing, node, index, all_roles, 2);
    put_int(node, "transB", 1);
}

static void put_window(struct node *node, const struct layer *layer)
{
    const uint32_t pads[4] = {layer->padding[PAD_TOP], layer->padding[PAD_LEFT],
                              layer->padding[PAD_BOTTOM], layer->padding[PAD_RIGHT]};
    put_ints(node, "kernel_shape", layer->kernel, 2);
    put_ints(node, "strides", layer->stride, 2);
    put_ints(node, "pads", pads, 4);
}

static void put_conv(struct writing *writing, uint32_t index, const char *name)
{
    const struct layer *layer = &writing->network->layers[index];
    struct node *node = put_node(writing, "Conv", name);
    put_inputs(writing, node, index, all_roles, 2);
    put_window(node, layer);
    put_ints(node, "dilations", layer->dilation, 2);
    put_int(node, "group", layer->groups);
}

static void put_maxpool(struct writing *writing, uint32_t index, const char *name)
{
    put_window(put_node(writing, "MaxPool", name), &writing->network->layers[index]);
}

static void put_avgpool(struct writing *writing, uint32_t index, const char *name)
{
    put_window(put_node(writing, "AveragePool", name), &writing->network->layers[index]);
}

static void put_globalavgpool(struct writing *writing, uint32_t index, const char *name)
{
    char pooled[40];
    snprintf(pooled, sizeof pooled, "%s_maps", writing->network->layers[index].name);
    put_node(writing, "GlobalAveragePool", pooled);
    put_node(writing, "Flatten", name);
}

static void put_flatten(struct writing *writing, uint32_t index, const char *name)
{
    (void)index;
    put_node(writing, "Flatten", name);
}

static void put_batchnorm(struct writing *writing, uint32_t index, const char *name)
{
    const struct layer *layer = &writing->network->layers[index];
    struct node *node = put_node(writing, "BatchNormalization", name);
    put_inputs(writing, node, index, all_roles, ROLE_COUNT);
    put_real(node, "epsilon", layer->epsilon);
    put_real(node, "momentum", 1 - layer->momentum);
}

static void put_layernorm(struct writing *writing, uint32_t index, const char *name)
{
    struct node *node = put_node(writing, "LayerNormalization", name);
    put_inputs(writing, node, index, all_roles, 2);
    put_int(node, "axis", 1);
    put_real(node, "epsilon", writing->network->layers[index].epsilon);
}

/* A constant of one number or one for each channel; float32 as ONNX's own tools would write it. */
static void put_constant(struct writing *writing, struct node *node, const char *name, size_t extra,
                         const double *values, uint32_t channels)
{
    bool wide = writing->parameters->dtype == DTYPE_FLOAT64;
    size_t index = writing->graph.n_initializer++;
    Onnx__TensorProto *tensor = &writing->tensors[index];
    float *narrow = (float *)writing->extra[extra];
    onnx__tensor_proto__init(tensor);
    for (uint32_t c = 0; c < channels; c++)
        if (wide)
            writing->extra[extra][c] = values[c];
        else
            narrow[c] = (float)values[c];
    const int64_t dims[3] = {channels, 1, 1};
    memcpy(writing->dims[index], dims, sizeof dims);
    tensor->dims = writing->dims[index];
    tensor->n_dims = 3;
    tensor->has_data_type = tensor->has_raw_data = 1;
    tensor->data_type = data_type(writing->parameters->dtype);
    tensor->name = text(name);
    tensor->raw_data = (ProtobufCBinaryData){channels * dtype_size(writing->parameters->dtype),
                                             (uint8_t *)writing->extra[extra]};
    writing->tensor_list[index] = tensor;
    node->inputs[node->proto.n_input++] = text(name);
}

static void put_rescale(struct writing *writing, uint32_t index, const char *name)
{
    const struct layer *layer = &writing->network->layers[index];
    put_constant(writing, put_node(writing, "Mul", "scaled"), "scale", 0, &layer->scale, 1);
    put_constant(writing, put_node(writing, "Add", name), "offset", 1, &layer->offset, 1);
}

static void put_normalize(struct writing *writing, uint32_t index, const char *name)
{
    const struct layer *layer = &writing->network->layers[index];
    uint32_t channels = writing->network->channels;
    put_constant(writing, put_node(writing, "Sub", "centered"), "mean", 0, layer->mean, channels);
    put_constant(writing, put_node(writing, "Div", name), "std", 1, layer->std, channels);
}

/* An operator per type; dropout and activation have none of their own. */
static void (*const layer_nodes[LAYER_TYPE_COUNT])(struct writing *, uint32_t, const char *) = {
    [LAYER_DENSE] = put_dense,
    [LAYER_CONV2D] = put_conv,
    [LAYER_MAXPOOL2D] = put_maxpool,
    [LAYER_AVGPOOL2D] = put_avgpool,
    [LAYER_GLOBALAVGPOOL] = put_globalavgpool,
    [LAYER_FLATTEN] = put_flatten,
    [LAYER_BATCHNORM] = put_batchnorm,
    [LAYER_LAYERNORM] = put_layernorm,
    [LAYER_RESCALE] = put_rescale,
    [LAYER_NORMALIZE] = put_normalize,
};

static const struct {
    const char *op_type;
    const char *number; /* the attribute that holds the slope */
} activation_nodes[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = {"Relu"},        [ACTIVATION_TANH] = {"Tanh"},
    [ACTIVATION_SIGMOID] = {"Sigmoid"},  [ACTIVATION_LEAKY_RELU] = {"LeakyRelu", "alpha"},
    [ACTIVATION_ELU] = {"Elu", "alpha"}, [ACTIVATION_SELU] = {"Selu"},
    [ACTIVATION_GELU] = {"Gelu"},        [ACTIVATION_SOFTPLUS] = {"Softplus"},
};

static int put_activation(struct writing *writing, uint32_t index, struct error *error)
{
    const struct layer *layer = &writing->network->layers[index];
    char name[40];
    if (layer->activation == ACTIVATION_NONE) return 0;
    if (!activation_nodes[layer->activation].op_type)
        return error_set(error, ERROR_INPUT,
                         "the layer %s has the activation %s, for which ONNX has no operator: use "
                         ".safetensors",
                         layer->name, activation_name(layer->activation));
    snprintf(name, sizeof name, "%s%u", activation_name(layer->activation), index + 1);
    struct node *node = put_node(writing, activation_nodes[layer->activation].op_type, name);
    if (activation_nodes[layer->activation].number)
        put_real(node, activation_nodes[layer->activation].number, layer->slope);
    if (layer->activation == ACTIVATION_GELU) {
        writing->opset.version = OPSET_GELU;
        writing->model.ir_version = IR_GELU;
    }
    return 0;
}

static int put_nodes(struct writing *writing, struct error *error)
{
    const struct network *network = writing->network;
    writing->current = text("input");
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        bool last = i + 1 == network->layer_count;
        if (layer_nodes[layer->type])
            layer_nodes[layer->type](writing, i, last ? "logits" : layer->name);
        if (put_activation(writing, i, error)) return -1;
    }
    writing->graph.node = writing->node_list;
    if (strcmp(writing->current, "logits") == 0) return 0;
    return error_set(error, ERROR_INPUT, "the network ends in %s: end it with a dense layer",
                     layer_kind(network->layers[network->layer_count - 1].type)->name);
}

static int put_model(struct writing *writing, const struct model *model, struct error *error)
{
    const struct network *network = &model->network;
    struct shape flat = shape_units(network_inputs(network)),
                 classes = shape_units(network_classes(network));
    bool dense_first = network->layers[0].type == LAYER_DENSE;
    writing->network = network;
    writing->parameters = model->parameters;
    onnx__model_proto__init(&writing->model);
    onnx__graph_proto__init(&writing->graph);
    onnx__operator_set_id_proto__init(&writing->opset);
    writing->opset.domain = text("");
    writing->opset.has_version = 1;
    writing->opset.version = OPSET;
    writing->model.has_ir_version = 1;
    writing->model.ir_version = IR_VERSION;
    put_edge(&writing->input, "input", dense_first ? &flat : &network->layers[0].input,
             model->parameters->dtype);
    put_edge(&writing->output, "logits", &classes, model->parameters->dtype);
    put_tensors(writing, model->parameters);
    if (put_nodes(writing, error)) return -1;
    writing->graph.name = text("simple_nn");
    writing->graph.input = writing->input.list;
    writing->graph.output = writing->output.list;
    writing->graph.n_input = writing->graph.n_output = 1;
    writing->opsets[0] = &writing->opset;
    writing->model.producer_name = text("nnstudio");
    writing->model.producer_version = text(NNSTUDIO_VERSION);
    writing->model.opset_import = writing->opsets;
    writing->model.n_opset_import = 1;
    writing->model.graph = &writing->graph;
    return 0;
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
    if (put_model(writing, model, error)) goto out;
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
