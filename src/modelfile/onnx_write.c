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
#include "modelfile/onnx_layers.h"

char *onnx_text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

int32_t onnx_data_type(enum dtype dtype)
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
    edge->dimensions[0].dim_param = onnx_text("N");
    edge->shape.dim = edge->dimension_list;
    edge->shape.n_dim = sample->rank + 1;
    edge->tensor.has_elem_type = 1;
    edge->tensor.elem_type = onnx_data_type(dtype);
    edge->tensor.shape = &edge->shape;
    edge->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    edge->type.tensor_type = &edge->tensor;
    edge->value.name = onnx_text(name);
    edge->value.type = &edge->type;
    edge->list[0] = &edge->value;
}

static void put_tensors(struct onnx_writing *writing, const struct parameters *parameters)
{
    for (size_t i = 0; i < parameters->tensor_count; i++) {
        const struct tensor *from = &parameters->tensors[i];
        Onnx__TensorProto *to = &writing->tensors[i];
        onnx__tensor_proto__init(to);
        for (uint32_t d = 0; d < from->rank; d++) writing->dims[i][d] = (int64_t)from->shape[d];
        to->dims = writing->dims[i];
        to->n_dims = from->rank;
        to->has_data_type = 1;
        to->data_type = onnx_data_type(parameters->dtype);
        to->name = onnx_text(from->name);
        to->has_raw_data = 1;
        to->raw_data = (ProtobufCBinaryData){from->count * dtype_size(parameters->dtype),
                                             from->values};
        writing->tensor_list[i] = to;
    }
    writing->graph.initializer = writing->tensor_list;
    writing->graph.n_initializer = parameters->tensor_count;
}

/* One more node behind the others; its name is its output's. */
struct onnx_written_node *onnx_put_node(struct onnx_writing *writing, const char *op_type,
                                        const char *name)
{
    size_t index = writing->graph.n_node++;
    struct onnx_written_node *node = &writing->nodes[index];
    onnx__node_proto__init(&node->proto);
    snprintf(node->name, sizeof node->name, "%s", name);
    node->inputs[0] = writing->current;
    node->outputs[0] = node->name;
    node->proto.op_type = onnx_text(op_type);
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

static Onnx__AttributeProto *put_attribute(struct onnx_written_node *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    size_t index = node->proto.n_attribute++;
    Onnx__AttributeProto *attribute = &node->attributes[index];
    onnx__attribute_proto__init(attribute);
    attribute->name = onnx_text(name);
    attribute->has_type = 1;
    attribute->type = type;
    attribute->ints = node->ints[index];
    node->list[index] = attribute;
    return attribute;
}

void onnx_put_int(struct onnx_written_node *node, const char *name, int64_t value)
{
    Onnx__AttributeProto *attribute = put_attribute(node, name,
                                                    ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    attribute->has_i = 1;
    attribute->i = value;
}

void onnx_put_real(struct onnx_written_node *node, const char *name, double value)
{
    Onnx__AttributeProto *attribute = put_attribute(node, name,
                                                    ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    attribute->has_f = 1;
    attribute->f = (float)value;
}

void onnx_put_text(struct onnx_written_node *node, const char *name, const char *value)
{
    Onnx__AttributeProto *attribute = put_attribute(node, name,
                                                    ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    attribute->has_s = 1;
    attribute->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)onnx_text(value)};
}

void onnx_put_ints(struct onnx_written_node *node, const char *name, const uint32_t *values,
                   size_t count)
{
    Onnx__AttributeProto *attribute = put_attribute(node, name,
                                                    ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    for (size_t i = 0; i < count; i++) attribute->ints[i] = values[i];
    attribute->n_ints = count;
}

static int put_nodes(struct onnx_writing *writing, struct error *error)
{
    const struct network *network = writing->network;
    writing->current = onnx_text("input");
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        bool last = i + 1 == network->layer_count;
        onnx_put_layer(writing, i, last ? "logits" : layer->name);
        onnx_put_activation(writing, i);
    }
    writing->graph.node = writing->node_list;
    if (strcmp(writing->current, "logits") == 0) return 0;
    return error_set(error, ERROR_INPUT, "the network ends in %s: end it with a dense layer",
                     layer_kind(network->layers[network->layer_count - 1].type)->name);
}

static int put_model(struct onnx_writing *writing, const struct model *model, struct error *error)
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
    writing->opset.domain = onnx_text("");
    writing->opset.has_version = 1;
    writing->opset.version = ONNX_OPSET;
    writing->model.has_ir_version = 1;
    writing->model.ir_version = ONNX_IR_VERSION;
    put_edge(&writing->input, "input", dense_first ? &flat : &network->layers[0].input,
             model->parameters->dtype);
    put_edge(&writing->output, "logits", &classes, model->parameters->dtype);
    put_tensors(writing, model->parameters);
    if (put_nodes(writing, error)) return -1;
    writing->graph.name = onnx_text("simple_nn");
    writing->graph.input = writing->input.list;
    writing->graph.output = writing->output.list;
    writing->graph.n_input = writing->graph.n_output = 1;
    writing->opsets[0] = &writing->opset;
    writing->model.producer_name = onnx_text("nnstudio");
    writing->model.producer_version = onnx_text(NNSTUDIO_VERSION);
    writing->model.opset_import = writing->opsets;
    writing->model.n_opset_import = 1;
    writing->model.graph = &writing->graph;
    return 0;
}

/* The network's JSON and the model's metadata, as pairs; the caller frees both arrays. */
static int put_metadata(struct onnx_writing *writing, const json_t *metadata, char *network,
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
    (*pairs)[count].key = onnx_text(ONNX_NETWORK_KEY);
    (*pairs)[count++].value = network;
    if (assumed) {
        onnx__string_string_entry_proto__init(&(*pairs)[count]);
        (*pairs)[count].key = onnx_text(ONNX_ASSUMED_KEY);
        (*pairs)[count++].value = assumed;
    }
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value)) continue;
        onnx__string_string_entry_proto__init(&(*pairs)[count]);
        (*pairs)[count].key = onnx_text(key);
        (*pairs)[count++].value = onnx_text(json_string_value(value));
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
    struct onnx_writing *writing = calloc(1, sizeof *writing);
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
