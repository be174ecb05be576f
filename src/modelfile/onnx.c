/* Reading .onnx: a graph that is a plain chain of dense layers, as Gemm or MatMul and Add, with
 * relu, tanh or sigmoid
 * between them. https://onnx.ai/onnx/operators says what each node means. */
#include "modelfile/onnx.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/assemble.h"
#include "modelfile/formats.h"
#include "modelfile/onnx.pb-c.h"

#define FILE_MAX  (NETWORK_MAX_PARAMETERS * sizeof(double) + ((size_t)16 << 20))
#define NODES_MAX 4096

/* The walk along the chain. Tensors are remembered by their index in `state`, which moves while it
 * grows. */
struct reading {
    const Onnx__GraphProto *graph;
    const char *current; /* the value that the next node must take */
    struct state_dict state;
    size_t count;
    struct {
        size_t weight, bias;
        bool transposed, has_bias, has_activation;
        enum activation activation;
    } layers[NETWORK_MAX_LAYERS];
    bool awaits_bias; /* the last layer is a MatMul, whose Add may still follow */
    bool ends_in_softmax;
};

static const char *word(const char *text)
{
    return text ? text : "";
}

/* What a node is called in a message. */
static const char *node_name(const Onnx__NodeProto *node)
{
    const char *name = *word(node->name) ? node->name : node->n_output ? word(node->output[0]) : "";
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) return "?";
    return name;
}

static int refuse(const Onnx__NodeProto *node, const char *why, struct error *error)
{
    error_set(error, ERROR_INPUT,
              "the node \"%.80s\" %s: the studio reads plain chains of dense layers",
              node_name(node), why);
    return -1;
}

/* Constants */

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(word(node->attribute[i]->name), name) == 0) return node->attribute[i];
    return NULL;
}

static const Onnx__TensorProto *find_constant(const struct reading *reading, const char *name)
{
    const Onnx__GraphProto *graph = reading->graph;
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strcmp(word(graph->initializer[i]->name), name) == 0) return graph->initializer[i];
    for (size_t i = 0; i < graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->node[i];
        if (strcmp(word(node->op_type), "Constant") != 0 || !node->n_output ||
            strcmp(word(node->output[0]), name) != 0)
            continue;
        const Onnx__AttributeProto *value = attribute(node, "value");
        return value ? value->t : NULL;
    }
    return NULL;
}

static const struct {
    int32_t data_type;
    enum stored_type stored;
} data_types[] = {
    {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, STORED_FLOAT32},
    {ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, STORED_FLOAT64},
    {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, STORED_FLOAT16},
    {ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, STORED_BFLOAT16},
};

/* Where the values lie: raw_data, or the list for the type. */
static int tensor_values(const Onnx__TensorProto *tensor, enum stored_type stored,
                         const void **values, size_t *count)
{
    if (tensor->has_raw_data) {
        *values = tensor->raw_data.data;
        *count = tensor->raw_data.len / stored_type_size(stored);
        return tensor->raw_data.len % stored_type_size(stored) ? -1 : 0;
    }
    *values = stored == STORED_FLOAT64 ? (const void *)tensor->double_data : tensor->float_data;
    *count = stored == STORED_FLOAT64 ? tensor->n_double_data : tensor->n_float_data;
    return stored == STORED_FLOAT32 || stored == STORED_FLOAT64 ? 0 : -1;
}

/* Copies a constant into the state dict; *index is its place there. `flatten`: a bias may come as
 * [1, n]. */
static int load_constant(struct reading *reading, const Onnx__TensorProto *tensor, bool flatten,
                         size_t *index, struct error *error)
{
    size_t shape[STATE_DICT_MAX_RANK], kind = 0, have,
                                       known = sizeof data_types / sizeof *data_types;
    const void *values;
    struct named_tensor *out;
    const char *name = word(tensor->name);
    char fallback[32];
    /* shared by two layers, or the value of a Constant node */
    if (!*name || state_dict_find(&reading->state, name)) {
        snprintf(fallback, sizeof fallback, "constant %zu", reading->state.count);
        name = fallback;
    }
    if (tensor->n_external_data ||
        (tensor->has_data_location &&
         tensor->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL))
        return error_set(
            error, ERROR_INPUT,
            "the tensor %.80s lies in another file: save the model with its data inside", name);
    while (kind < known && data_types[kind].data_type != tensor->data_type) kind++;
    if (kind == known)
        return error_set(error, ERROR_INPUT,
                         "the tensor %.80s has the data type %d: save it as float32 or float64",
                         name, tensor->data_type);
    size_t rank = 0;
    for (size_t d = 0; d < tensor->n_dims; d++) {
        if (flatten && tensor->n_dims > 1 && tensor->dims[d] == 1) continue;
        if (rank == STATE_DICT_MAX_RANK || tensor->dims[d] < 0)
            return error_set(error, ERROR_INPUT,
                             "the shape of the tensor %.80s is odd: the file is damaged", name);
        shape[rank++] = (size_t)tensor->dims[d];
    }
    enum stored_type stored = data_types[kind].stored;
    *index = reading->state.count;
    if (tensor_values(tensor, stored, &values, &have) ||
        shape_count((uint32_t)rank, shape, NETWORK_MAX_PARAMETERS, &kind) || kind != have)
        return error_set(
            error, ERROR_INPUT,
            "the shape and the data of the tensor %.80s do not agree: the file is damaged", name);
    if (state_dict_add(&reading->state, name, stored_type_dtype(stored), (uint32_t)rank, shape,
                       &out, error))
        return -1;
    named_tensor_fill(out, 0, stored, values, 1, out->count);
    return 0;
}

/* Nodes */

static float attribute_float(const Onnx__NodeProto *node, const char *name, float fallback)
{
    const Onnx__AttributeProto *found = attribute(node, name);
    return found && found->has_f ? found->f : fallback;
}

static int64_t attribute_int(const Onnx__NodeProto *node, const char *name, int64_t fallback)
{
    const Onnx__AttributeProto *found = attribute(node, name);
    return found && found->has_i ? found->i : fallback;
}

static bool takes_current(const struct reading *reading, const Onnx__NodeProto *node, size_t input)
{
    return input < node->n_input && strcmp(word(node->input[input]), reading->current) == 0;
}

static int add_layer(struct reading *reading, const Onnx__NodeProto *node, const char *weight,
                     bool transposed, struct error *error)
{
    const Onnx__TensorProto *tensor = find_constant(reading, weight);
    if (!tensor) return refuse(node, "multiplies by something that is no constant", error);
    if (reading->ends_in_softmax) return refuse(node, "comes after softmax", error);
    if (reading->count == NETWORK_MAX_LAYERS) return refuse(node, "is one layer too many", error);
    if (load_constant(reading, tensor, false, &reading->layers[reading->count].weight, error))
        return -1;
    reading->layers[reading->count].transposed = transposed;
    reading->count++;
    return 0;
}

static int add_bias(struct reading *reading, const Onnx__NodeProto *node, const char *bias,
                    struct error *error)
{
    const Onnx__TensorProto *tensor = find_constant(reading, bias);
    if (!tensor) return refuse(node, "adds something that is no constant", error);
    reading->layers[reading->count - 1].has_bias = true;
    return load_constant(reading, tensor, true, &reading->layers[reading->count - 1].bias, error);
}

static int take_gemm(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    if (!takes_current(reading, node, 0) || node->n_input < 2)
        return refuse(node, "does not follow the one before it", error);
    bool has_bias = node->n_input > 2 && *word(node->input[2]);
    if (attribute_float(node, "alpha", 1) != 1 ||
        (has_bias && attribute_float(node, "beta", 1) != 1) || attribute_int(node, "transA", 0))
        return refuse(node, "is a Gemm with factors or a transposed input", error);
    if (add_layer(reading, node, word(node->input[1]), !attribute_int(node, "transB", 0), error))
        return -1;
    reading->awaits_bias = !has_bias;
    return has_bias ? add_bias(reading, node, node->input[2], error) : 0;
}

static int take_matmul(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    if (!takes_current(reading, node, 0) || node->n_input < 2)
        return refuse(node, "does not follow the one before it", error);
    reading->awaits_bias = true;
    return add_layer(reading, node, word(node->input[1]), true, error);
}

static int take_add(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    if (node->n_input < 2 || (!takes_current(reading, node, 0) && !takes_current(reading, node, 1)))
        return refuse(node, "does not follow the one before it", error);
    if (!reading->awaits_bias) return refuse(node, "adds where no bias belongs", error);
    reading->awaits_bias = false;
    return add_bias(reading, node, word(node->input[takes_current(reading, node, 0) ? 1 : 0]),
                    error);
}

static int set_activation(struct reading *reading, const Onnx__NodeProto *node,
                          enum activation activation, struct error *error)
{
    if (!takes_current(reading, node, 0))
        return refuse(node, "does not follow the one before it", error);
    if (!reading->count || reading->layers[reading->count - 1].has_activation ||
        reading->ends_in_softmax)
        return refuse(node, "is an activation without a layer before it", error);
    reading->layers[reading->count - 1].has_activation = true;
    reading->layers[reading->count - 1].activation = activation;
    reading->awaits_bias = false;
    return 0;
}

static int take_relu(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    return set_activation(reading, node, ACTIVATION_RELU, error);
}

static int take_tanh(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    return set_activation(reading, node, ACTIVATION_TANH, error);
}

static int take_sigmoid(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    return set_activation(reading, node, ACTIVATION_SIGMOID, error);
}

static int take_softmax(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    if (set_activation(reading, node, ACTIVATION_NONE, error)) return -1;
    reading->ends_in_softmax = true;
    return 0;
}

/* Changes no value at inference, and not their order within a sample. */
static int take_nothing(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    return takes_current(reading, node, 0)
               ? 0
               : refuse(node, "does not follow the one before it", error);
}

static int take_flatten(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    int64_t axis = attribute_int(node, "axis", 1);
    if (axis != 1) return refuse(node, "flattens the batch as well", error);
    return take_nothing(reading, node, error);
}

static const struct {
    const char *op_type;
    int (*take)(struct reading *reading, const Onnx__NodeProto *node, struct error *error);
} operators[] = {
    {"Gemm", take_gemm},       {"MatMul", take_matmul},      {"Add", take_add},
    {"Relu", take_relu},       {"Tanh", take_tanh},          {"Sigmoid", take_sigmoid},
    {"Softmax", take_softmax}, {"LogSoftmax", take_softmax}, {"Flatten", take_flatten},
    {"Reshape", take_nothing}, {"Identity", take_nothing},   {"Dropout", take_nothing},
};

static int take_node(struct reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    const char *op_type = word(node->op_type), *domain = word(node->domain);
    if (!*domain && strcmp(op_type, "Constant") == 0) return 0;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if ((*domain && strcmp(domain, "ai.onnx") != 0) ||
            strcmp(operators[i].op_type, op_type) != 0)
            continue;
        if (operators[i].take(reading, node, error)) return -1;
        if (!node->n_output || !*word(node->output[0])) return refuse(node, "has no output", error);
        reading->current = node->output[0];
        return 0;
    }
    char what[64] = "is a ";
    for (size_t i = 0, used = 5; op_type[i] && used < sizeof what - 1; i++)
        what[used++] = op_type[i] > 0x20 && op_type[i] < 0x7f ? op_type[i] : '?';
    return refuse(node, what, error);
}

/* The graph */

/* The one input that is no constant (older files list the constants among the inputs as well). */
static const Onnx__ValueInfoProto *find_input(const struct reading *reading, struct error *error)
{
    const Onnx__ValueInfoProto *found = NULL;
    for (size_t i = 0; i < reading->graph->n_input; i++) {
        if (find_constant(reading, word(reading->graph->input[i]->name))) continue;
        if (found) {
            error_set(error, ERROR_INPUT,
                      "it has more than one input: the studio reads plain chains of dense layers");
            return NULL;
        }
        found = reading->graph->input[i];
    }
    if (!found) error_set(error, ERROR_INPUT, "it has no input: the file is damaged");
    return found;
}

/* [N, rows, columns] or [N, 1, rows, columns]: a picture. */
static void note_picture(const Onnx__ValueInfoProto *input, struct modelfile_options *options)
{
    const Onnx__TypeProto *type = input->type;
    if (options->rows || !type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
        !type->tensor_type->shape)
        return;
    const Onnx__TensorShapeProto *shape = type->tensor_type->shape;
    if (shape->n_dim != 3 && shape->n_dim != 4) return;
    for (size_t d = 1; d < shape->n_dim; d++)
        if (shape->dim[d]->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
            shape->dim[d]->dim_value < 1 || shape->dim[d]->dim_value > NETWORK_MAX_WIDTH)
            return;
    if (shape->n_dim == 4 && shape->dim[1]->dim_value != 1) return;
    options->rows = (uint32_t)shape->dim[shape->n_dim - 2]->dim_value;
    options->columns = (uint32_t)shape->dim[shape->n_dim - 1]->dim_value;
}

static int read_graph(struct reading *reading, const struct model_note *note,
                      struct modelfile_options *options, struct model *out, struct error *error)
{
    const Onnx__GraphProto *graph = reading->graph;
    struct layer_source sources[NETWORK_MAX_LAYERS];
    const Onnx__ValueInfoProto *input = find_input(reading, error);
    if (!input) return -1;
    if (graph->n_node > NODES_MAX)
        return error_set(error, ERROR_INPUT, "it has %zu nodes: it is no model for the studio",
                         graph->n_node);
    note_picture(input, options);
    reading->current = word(input->name);
    for (size_t i = 0; i < graph->n_node; i++)
        if (take_node(reading, graph->node[i], error)) return -1;
    if (graph->n_output != 1 || strcmp(word(graph->output[0]->name), reading->current) != 0)
        return error_set(error, ERROR_INPUT,
                         "its output is not what the last node gives: the studio reads plain "
                         "chains of dense layers");
    for (size_t i = 0; i < reading->count; i++) {
        sources[i] = (struct layer_source){
            .name = reading->state.tensors[reading->layers[i].weight].name,
            .axes = reading->layers[i].transposed ? AXES_TRANSPOSED : AXES_PYTORCH};
        layer_init(&sources[i].layer, LAYER_DENSE);
        sources[i].layer.activation = reading->layers[i].activation;
        sources[i].tensors[ROLE_WEIGHT] = &reading->state.tensors[reading->layers[i].weight];
        if (reading->layers[i].has_bias)
            sources[i].tensors[ROLE_BIAS] = &reading->state.tensors[reading->layers[i].bias];
    }
    return model_from_layers(sources, reading->count, NULL, true, note, options, out, error);
}

/* metadata_props without the network; *note gets that, parsed. What is no text is left out. */
static json_t *read_metadata(const Onnx__ModelProto *model, json_t **note, json_t **assumed)
{
    struct error unused;
    json_t *metadata = json_object();
    *note = *assumed = NULL;
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const char *key = word(model->metadata_props[i]->key),
                   *value = word(model->metadata_props[i]->value);
        if (strcmp(key, ONNX_ASSUMED_KEY) == 0) {
            if (!*assumed) *assumed = note_lines(value);
        } else if (strcmp(key, ONNX_NETWORK_KEY) != 0)
            json_object_set_new(metadata, key, json_string(value));
        else if (!*note && js_parse_object(value, strlen(value), "the network", note, &unused))
            *note = NULL;
    }
    return metadata;
}

static int read_message(const Onnx__ModelProto *message, const struct modelfile_options *options,
                        struct model *out, struct error *error)
{
    struct modelfile_options wanted = options ? *options : (struct modelfile_options){0};
    struct reading reading = {.graph = message->graph};
    json_t *note, *assumed;
    if (!message->graph)
        return error_set(error, ERROR_INPUT, "it is no ONNX model, or damaged or cut short");
    json_t *metadata = read_metadata(message, &note, &assumed);
    const struct model_note noted = {.network = json_is_object(note) ? note : NULL,
                                     .assumed = assumed};
    int status = read_graph(&reading, &noted, &wanted, out, error);
    if (!status && reading.ends_in_softmax)
        json_object_set_new(metadata, "note",
                            json_string("the file ends in softmax, which was taken off: the "
                                        "studio's networks end in logits"));
    if (status)
        json_decref(metadata);
    else
        out->metadata = metadata;
    json_decref(note);
    json_decref(assumed);
    state_dict_clear(&reading.state);
    return status;
}

static int read_model(const char *path, const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    char *data;
    size_t size;
    if (file_read(path, FILE_MAX, &data, &size, error)) return -1;
    int status = onnx_check_wire((const unsigned char *)data, size, error);
    Onnx__ModelProto *message = status
                                    ? NULL
                                    : onnx__model_proto__unpack(NULL, size, (const uint8_t *)data);
    free(data);
    if (message)
        status = read_message(message, options, out, error);
    else if (!status)
        status = error_set(error, ERROR_INPUT, "it is no ONNX model, or damaged or cut short");
    if (message) onnx__model_proto__free_unpacked(message, NULL);
    return status ? error_prefix(error, "%s", path) : 0;
}

const struct modelfile_format modelfile_onnx = {
    .id = "onnx",
    .title = "ONNX model",
    .extensions = "onnx",
    .read = read_model,
    .write = onnx_write_model,
};
