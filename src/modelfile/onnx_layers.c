/* What layers and activations are in ONNX, in both directions: their operators are read by take_…()
 * and written by put_…(). */
#include "modelfile/onnx_layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- activations ------------------------------------------------------------------------------ */

static int set_activation(struct onnx_reading *reading, const Onnx__NodeProto *node,
                          enum activation activation, double slope, struct error *error)
{
    struct layer *last = onnx_last_layer(reading);
    if (reading->taken_off) return onnx_refuse_node(node, "comes after softmax", error);
    if (!last || last->activation != ACTIVATION_NONE || last->type == LAYER_FLATTEN) {
        if (onnx_append(reading, node, LAYER_ACTIVATION, error)) return -1;
        last = onnx_last_layer(reading);
    }
    last->activation = activation;
    last->slope = slope;
    reading->awaits_bias = false;
    return 0;
}

static int take_plain(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error)
{
    static const struct {
        const char *op_type;
        enum activation activation;
    } kinds[] = {
        {"Relu", ACTIVATION_RELU},
        {"Tanh", ACTIVATION_TANH},
        {"Sigmoid", ACTIVATION_SIGMOID},
        {"Softplus", ACTIVATION_SOFTPLUS},
    };
    size_t i = 0;
    while (strcmp(kinds[i].op_type, node->op_type) != 0) i++;
    return set_activation(reading, node, kinds[i].activation, 0, error);
}

static int take_leaky_relu(struct onnx_reading *reading, const Onnx__NodeProto *node,
                           struct error *error)
{
    return set_activation(reading, node, ACTIVATION_LEAKY_RELU, onnx_get_real(node, "alpha", 0.01),
                          error);
}

static int take_elu(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    return set_activation(reading, node, ACTIVATION_ELU, onnx_get_real(node, "alpha", 1), error);
}

static int take_selu(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    if (fabs(onnx_get_real(node, "alpha", 1.67326) - 1.67326) > 1e-4 ||
        fabs(onnx_get_real(node, "gamma", 1.0507) - 1.0507) > 1e-4)
        return onnx_refuse_node(node, "is a Selu with numbers of its own", error);
    return set_activation(reading, node, ACTIVATION_SELU, 0, error);
}

static int take_gelu(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    bool exact = onnx_is_text(node, "approximate", "none", "none");
    if (!exact && !onnx_is_text(node, "approximate", "none", "tanh"))
        return onnx_refuse_node(node, "is approximated in an unknown way", error);
    return set_activation(reading, node, exact ? ACTIVATION_GELU : ACTIVATION_GELU_TANH, 0, error);
}

/* Swish with a factor in its sigmoid is another function. */
static int take_swish(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error)
{
    if (onnx_get_real(node, "alpha", 1) != 1)
        return onnx_refuse_node(node, "is a Swish with a number of its own", error);
    return set_activation(reading, node, ACTIVATION_SILU, 0, error);
}

static int take_mul(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    return onnx_gated(&reading->values, node)
               ? set_activation(reading, node, ACTIVATION_SILU, 0, error)
               : onnx_take_scaling(reading, node, error);
}

static const struct {
    const char *op_type;
    const char *number; /* the attribute that holds the slope */
} activation_nodes[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = {"Relu"},         [ACTIVATION_TANH] = {"Tanh"},
    [ACTIVATION_SIGMOID] = {"Sigmoid"},   [ACTIVATION_LEAKY_RELU] = {"LeakyRelu", "alpha"},
    [ACTIVATION_ELU] = {"Elu", "alpha"},  [ACTIVATION_SELU] = {"Selu"},
    [ACTIVATION_GELU] = {"Gelu"},         [ACTIVATION_GELU_TANH] = {"Gelu"},
    [ACTIVATION_SOFTPLUS] = {"Softplus"},
};

/* x · sigmoid(x): ONNX's own Swish is younger than most runtimes. */
static void put_silu(struct onnx_writing *writing, const char *name)
{
    char gate[48], *from = writing->current;
    snprintf(gate, sizeof gate, "%s_gate", name);
    onnx_put_node(writing, "Sigmoid", gate);
    struct onnx_written_node *node = onnx_put_node(writing, "Mul", name);
    node->inputs[node->proto.n_input++] = from;
}

void onnx_put_activation(struct onnx_writing *writing, uint32_t index)
{
    const struct layer *layer = &writing->network->layers[index];
    char name[40];
    if (layer->activation == ACTIVATION_NONE) return;
    snprintf(name, sizeof name, "%s%u", activation_name(layer->activation), index + 1);
    if (layer->activation == ACTIVATION_SILU) {
        put_silu(writing, name);
        return;
    }
    struct onnx_written_node *node = onnx_put_node(
        writing, activation_nodes[layer->activation].op_type, name);
    if (activation_nodes[layer->activation].number)
        onnx_put_real(node, activation_nodes[layer->activation].number, layer->slope);
    if (strcmp(activation_nodes[layer->activation].op_type, "Gelu") == 0) {
        writing->opset.version = ONNX_OPSET_GELU;
        writing->model.ir_version = ONNX_IR_GELU;
    }
    if (layer->activation == ACTIVATION_GELU_TANH) onnx_put_text(node, "approximate", "tanh");
}

/* --- dense ------------------------------------------------------------------------------------ */

static const enum tensor_role all_roles[ROLE_COUNT] = {ROLE_WEIGHT, ROLE_BIAS, ROLE_RUNNING_MEAN,
                                                       ROLE_RUNNING_VARIANCE};

/* The layer's tensors in these roles, as far as it has them, become the node's further inputs. */
static void put_inputs(const struct onnx_writing *writing, struct onnx_written_node *node,
                       uint32_t index, const enum tensor_role *roles, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct tensor *tensor = parameters_get(writing->parameters, index, roles[i]);
        if (tensor) node->inputs[node->proto.n_input++] = onnx_text(tensor->name);
    }
}

/* A dense layer: weight [outputs, inputs], or the other way round. */
static int add_dense(struct onnx_reading *reading, const Onnx__NodeProto *node, bool transposed,
                     struct error *error)
{
    if (reading->rank > 2)
        return onnx_refuse_node(node, "multiplies the rows of a picture, not all its values",
                                error);
    if (onnx_append(reading, node, LAYER_DENSE, error) ||
        onnx_load(reading, node, 1, ROLE_WEIGHT, 0, error))
        return -1;
    const struct named_tensor *weight = onnx_loaded(reading, ROLE_WEIGHT);
    struct layer_source *source = &reading->sources[reading->count - 1];
    source->axes = transposed ? AXES_TRANSPOSED : AXES_PYTORCH;
    source->tensors[ROLE_WEIGHT] = weight; /* for the check only: it moves */
    source->name = weight->name;
    if (source_check_dense(source, error)) return -1;
    int64_t inputs = (int64_t)source_inputs(source);
    if (reading->rank == 2 && reading->dims[1] && reading->dims[1] != inputs) {
        char why[120];
        snprintf(why, sizeof why, "takes %lld values, but gets %lld: its weight does not fit",
                 (long long)inputs, (long long)reading->dims[1]);
        return onnx_refuse_node(node, why, error);
    }
    reading->rank = 2;
    reading->dims[1] = (int64_t)source_outputs(source);
    return 0;
}

static int add_bias(struct onnx_reading *reading, const Onnx__NodeProto *node, size_t input,
                    struct error *error)
{
    reading->awaits_bias = false;
    return onnx_load(reading, node, input, ROLE_BIAS, (size_t)reading->dims[1], error);
}

static int take_gemm(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    bool has_bias = node->n_input > 2 && *onnx_word(node->input[2]);
    if (onnx_get_real(node, "alpha", 1) != 1 || (has_bias && onnx_get_real(node, "beta", 1) != 1) ||
        onnx_get_int(node, "transA", 0))
        return onnx_refuse_node(node, "is a Gemm with factors or a transposed input", error);
    if (add_dense(reading, node, !onnx_get_int(node, "transB", 0), error)) return -1;
    reading->awaits_bias = !has_bias;
    return has_bias ? add_bias(reading, node, 2, error) : 0;
}

static int take_matmul(struct onnx_reading *reading, const Onnx__NodeProto *node,
                       struct error *error)
{
    if (add_dense(reading, node, true, error)) return -1;
    reading->awaits_bias = true;
    return 0;
}

static int take_add(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    struct onnx_constant constant;
    if (node->n_input < 2) return onnx_refuse_node(node, "has too few inputs", error);
    if (!reading->awaits_bias) return onnx_take_scaling(reading, node, error);
    return add_bias(reading, node,
                    onnx_constant_find(&reading->values, node->input[0], &constant) ? 0 : 1, error);
}

static void put_dense(struct onnx_writing *writing, uint32_t index, const char *name)
{
    struct onnx_written_node *node = onnx_put_node(writing, "Gemm", name);
    put_inputs(writing, node, index, all_roles, 2);
    onnx_put_int(node, "transB", 1);
}

/* --- layers on maps --------------------------------------------------------------------------- */

static int need_maps(const struct onnx_reading *reading, const Onnx__NodeProto *node,
                     struct error *error)
{
    for (size_t d = 1; reading->rank == 4 && d < 4; d++)
        if (reading->dims[d] < 1)
            return onnx_refuse_node(node, "works on a picture whose size the file does not say",
                                    error);
    return reading->rank == 4
               ? 0
               : onnx_refuse_node(node, "works on something that is not a picture", error);
}

/* What windows have in common. Pads stand as top, left, bottom, right. */
static int get_window(const Onnx__NodeProto *node, struct layer *layer, struct error *error)
{
    uint32_t pads[4] = {0};
    if (onnx_get_ints(node, "kernel_shape", 1, 2, layer->kernel, error) ||
        onnx_get_ints(node, "strides", 1, 2, layer->stride, error) ||
        onnx_get_ints(node, "dilations", 1, 2, layer->dilation, error) ||
        onnx_get_ints(node, "pads", 0, 4, pads, error))
        return -1;
    layer->padding[PAD_TOP] = pads[0];
    layer->padding[PAD_LEFT] = pads[1];
    layer->padding[PAD_BOTTOM] = pads[2];
    layer->padding[PAD_RIGHT] = pads[3];
    layer->same = onnx_is_text(node, "auto_pad", "NOTSET", "SAME_UPPER");
    if (layer->same || onnx_is_text(node, "auto_pad", "NOTSET", "NOTSET") ||
        onnx_is_text(node, "auto_pad", "NOTSET", "VALID"))
        return 0;
    return onnx_refuse_node(node, "pads in a way the studio does not know", error);
}

/* What a Pad before it laid around its input becomes its own. */
static int use_padding(struct onnx_reading *reading, const Onnx__NodeProto *node,
                       struct layer *layer, struct error *error)
{
    if (!reading->padder) return 0;
    if (layer->type == LAYER_AVGPOOL2D || reading->pads_lowest != (layer->type == LAYER_MAXPOOL2D))
        return onnx_refuse_padder(reading, error);
    if (layer->same) return onnx_refuse_node(node, "is padded twice", error);
    for (int side = 0; side < PAD_SIDES; side++) layer->padding[side] += reading->padding[side];
    reading->padder = NULL;
    return 0;
}

static void put_window(struct onnx_written_node *node, const struct layer *layer)
{
    const uint32_t pads[4] = {layer->padding[PAD_TOP], layer->padding[PAD_LEFT],
                              layer->padding[PAD_BOTTOM], layer->padding[PAD_RIGHT]};
    onnx_put_ints(node, "kernel_shape", layer->kernel, 2);
    onnx_put_ints(node, "strides", layer->stride, 2);
    onnx_put_ints(node, "pads", pads, 4);
}

static void slide(struct onnx_reading *reading, const struct layer *layer, int64_t channels)
{
    reading->dims[1] = channels;
    for (int d = 0; d < 2; d++) {
        int64_t extent = reading->dims[2 + d], stride = layer->stride[d];
        int64_t room = extent + layer->padding[2 * d] + layer->padding[2 * d + 1] -
                       ((int64_t)layer->kernel[d] - 1) * layer->dilation[d] - 1;
        reading->dims[2 + d] = layer->same ? (extent + stride - 1) / stride
                               : room < 0  ? 0
                                           : room / stride + 1;
    }
}

static int take_conv(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    if (need_maps(reading, node, error) || onnx_append(reading, node, LAYER_CONV2D, error) ||
        onnx_load(reading, node, 1, ROLE_WEIGHT, 0, error))
        return -1;
    const struct named_tensor *weight = onnx_loaded(reading, ROLE_WEIGHT);
    struct layer *layer = onnx_last_layer(reading);
    int64_t groups = onnx_get_int(node, "group", 1);
    if (weight->rank != 4 || weight->shape[0] > NETWORK_MAX_WIDTH || weight->shape[2] > 1024 ||
        weight->shape[3] > 1024 || groups < 1 || groups > NETWORK_MAX_WIDTH)
        return onnx_refuse_node(node, "is a convolution of another kind than over pictures", error);
    layer->filters = (uint32_t)weight->shape[0];
    layer->kernel[0] = (uint32_t)weight->shape[2];
    layer->kernel[1] = (uint32_t)weight->shape[3];
    layer->groups = (uint32_t)groups;
    if (get_window(node, layer, error) || use_padding(reading, node, layer, error)) return -1;
    slide(reading, layer, layer->filters);
    bool has_bias = node->n_input > 2 && *onnx_word(node->input[2]);
    return has_bias ? onnx_load(reading, node, 2, ROLE_BIAS, layer->filters, error) : 0;
}

static void put_conv(struct onnx_writing *writing, uint32_t index, const char *name)
{
    const struct layer *layer = &writing->network->layers[index];
    struct onnx_written_node *node = onnx_put_node(writing, "Conv", name);
    put_inputs(writing, node, index, all_roles, 2);
    put_window(node, layer);
    onnx_put_ints(node, "dilations", layer->dilation, 2);
    onnx_put_int(node, "group", layer->groups);
}

static int take_pool(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    bool most = strcmp(node->op_type, "MaxPool") == 0;
    if (need_maps(reading, node, error) ||
        onnx_append(reading, node, most ? LAYER_MAXPOOL2D : LAYER_AVGPOOL2D, error))
        return -1;
    struct layer *layer = onnx_last_layer(reading);
    if (get_window(node, layer, error) || use_padding(reading, node, layer, error)) return -1;
    if (onnx_get_int(node, "ceil_mode", 0) || onnx_get_int(node, "storage_order", 0) ||
        (onnx_get_int(node, "count_include_pad", 0) &&
         (layer->same || layer->padding[0] || layer->padding[1] || layer->padding[2] ||
          layer->padding[3])) ||
        layer->dilation[0] != 1 || layer->dilation[1] != 1)
        return onnx_refuse_node(node, "pools in a way the studio does not know", error);
    slide(reading, layer, reading->dims[1]);
    return 0;
}

static void put_maxpool(struct onnx_writing *writing, uint32_t index, const char *name)
{
    put_window(onnx_put_node(writing, "MaxPool", name), &writing->network->layers[index]);
}

static void put_avgpool(struct onnx_writing *writing, uint32_t index, const char *name)
{
    put_window(onnx_put_node(writing, "AveragePool", name), &writing->network->layers[index]);
}

static int take_globalavgpool(struct onnx_reading *reading, const Onnx__NodeProto *node,
                              struct error *error)
{
    if (need_maps(reading, node, error) || onnx_append(reading, node, LAYER_GLOBALAVGPOOL, error))
        return -1;
    reading->dims[2] = reading->dims[3] = 1;
    return 0;
}

static void put_globalavgpool(struct onnx_writing *writing, uint32_t index, const char *name)
{
    char pooled[40];
    snprintf(pooled, sizeof pooled, "%s_maps", writing->network->layers[index].name);
    onnx_put_node(writing, "GlobalAveragePool", pooled);
    onnx_put_node(writing, "Flatten", name);
}

static int take_flatten(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error)
{
    int64_t axis = onnx_get_int(node, "axis", 1);
    if (axis < 0 && reading->rank) axis += (int64_t)reading->rank;
    if (axis != 1) return onnx_refuse_node(node, "flattens the batch as well", error);
    return onnx_flatten(reading, node, error);
}

static void put_flatten(struct onnx_writing *writing, uint32_t index, const char *name)
{
    (void)index;
    onnx_put_node(writing, "Flatten", name);
}

/* --- normalizations and scaling --------------------------------------------------------------- */

static int take_batchnorm(struct onnx_reading *reading, const Onnx__NodeProto *node,
                          struct error *error)
{
    size_t width = (size_t)reading->dims[1];
    if (onnx_get_int(node, "training_mode", 0))
        return onnx_refuse_node(node, "is in training mode", error);
    if (reading->rank < 2 || !width)
        return onnx_refuse_node(node, "works on an unknown shape", error);
    if (onnx_append(reading, node, LAYER_BATCHNORM, error) ||
        onnx_load(reading, node, 1, ROLE_WEIGHT, width, error) ||
        onnx_load(reading, node, 2, ROLE_BIAS, width, error) ||
        onnx_load(reading, node, 3, ROLE_RUNNING_MEAN, width, error) ||
        onnx_load(reading, node, 4, ROLE_RUNNING_VARIANCE, width, error))
        return -1;
    onnx_last_layer(reading)->epsilon = onnx_get_real(node, "epsilon", 1e-5);
    onnx_last_layer(reading)->momentum = 1 - onnx_get_real(node, "momentum", 0.9);
    return 0;
}

static void put_batchnorm(struct onnx_writing *writing, uint32_t index, const char *name)
{
    const struct layer *layer = &writing->network->layers[index];
    struct onnx_written_node *node = onnx_put_node(writing, "BatchNormalization", name);
    put_inputs(writing, node, index, all_roles, ROLE_COUNT);
    onnx_put_real(node, "epsilon", layer->epsilon);
    onnx_put_real(node, "momentum", 1 - layer->momentum);
}

/* Over all values of a sample. */
static int take_layernorm(struct onnx_reading *reading, const Onnx__NodeProto *node,
                          struct error *error)
{
    int64_t axis = onnx_get_int(node, "axis", -1);
    if (axis != 1 && !(reading->rank && axis + (int64_t)reading->rank == 1))
        return onnx_refuse_node(node, "normalizes a part of a sample's values", error);
    if (onnx_append(reading, node, LAYER_LAYERNORM, error) ||
        onnx_load(reading, node, 1, ROLE_WEIGHT, 0, error) ||
        (node->n_input > 2 && *onnx_word(node->input[2]) &&
         onnx_load(reading, node, 2, ROLE_BIAS, 0, error)))
        return -1;
    onnx_last_layer(reading)->epsilon = onnx_get_real(node, "epsilon", 1e-5);
    return 0;
}

static void put_layernorm(struct onnx_writing *writing, uint32_t index, const char *name)
{
    struct onnx_written_node *node = onnx_put_node(writing, "LayerNormalization", name);
    put_inputs(writing, node, index, all_roles, 2);
    onnx_put_int(node, "axis", 1);
    onnx_put_real(node, "epsilon", writing->network->layers[index].epsilon);
}

/* A constant of one number or one for each channel; float32 as ONNX's own tools would write it. */
static void put_constant(struct onnx_writing *writing, struct onnx_written_node *node,
                         const char *name, size_t extra, const double *values, uint32_t channels)
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
    tensor->data_type = onnx_data_type(writing->parameters->dtype);
    tensor->name = onnx_text(name);
    tensor->raw_data = (ProtobufCBinaryData){channels * dtype_size(writing->parameters->dtype),
                                             (uint8_t *)writing->extra[extra]};
    writing->tensor_list[index] = tensor;
    node->inputs[node->proto.n_input++] = onnx_text(name);
}

static void put_rescale(struct onnx_writing *writing, uint32_t index, const char *name)
{
    const struct layer *layer = &writing->network->layers[index];
    put_constant(writing, onnx_put_node(writing, "Mul", "scaled"), "scale", 0, &layer->scale, 1);
    put_constant(writing, onnx_put_node(writing, "Add", name), "offset", 1, &layer->offset, 1);
}

static void put_normalize(struct onnx_writing *writing, uint32_t index, const char *name)
{
    const struct layer *layer = &writing->network->layers[index];
    uint32_t channels = writing->network->channels;
    put_constant(writing, onnx_put_node(writing, "Sub", "centered"), "mean", 0, layer->mean,
                 channels);
    put_constant(writing, onnx_put_node(writing, "Div", name), "std", 1, layer->std, channels);
}

/* --- the table -------------------------------------------------------------------------------- */

/* clang-format off */
const struct onnx_operator onnx_operators[] = {
    {"", "Gemm",               take_gemm,          " alpha beta transA transB "},
    {"", "MatMul",             take_matmul,        ""},
    {"", "Add",                take_add,           ""},
    {"", "Sub",                onnx_take_scaling,       ""},
    {"", "Mul",                take_mul,           ""},
    {"", "Swish",              take_swish,         " alpha "},
    {"", "Div",                onnx_take_scaling,       ""},
    {"", "Relu",               take_plain,         ""},
    {"", "Tanh",               take_plain,         ""},
    {"", "Sigmoid",            take_plain,         ""},
    {"", "Softplus",           take_plain,         ""},
    {"", "LeakyRelu",          take_leaky_relu,    " alpha "},
    {"", "Elu",                take_elu,           " alpha "},
    {"", "Selu",               take_selu,          " alpha gamma "},
    {"", "Gelu",               take_gelu,          " approximate "},
    {"", "Softmax",            onnx_take_softmax,       " axis "},
    {"", "LogSoftmax",         onnx_take_softmax,       " axis "},
    {"", "Flatten",            take_flatten,       " axis "},
    {"", "Reshape",            onnx_take_reshape,       " allowzero "},
    {"", "Transpose",          onnx_take_transpose,     " perm "},
    {"", "Pad",                onnx_take_pad,           " mode "},
    {"", "Identity",           onnx_take_nothing,       ""},
    {"", "Dropout",            onnx_take_dropout,       " seed ratio "},
    {"", "Cast",               onnx_take_cast,          " to saturate "},
    {"", "Conv",               take_conv,
     " auto_pad dilations group kernel_shape pads strides "},
    {"", "MaxPool",            take_pool,
     " auto_pad ceil_mode dilations kernel_shape pads storage_order strides "},
    {"", "AveragePool",        take_pool,
     " auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides "},
    {"", "GlobalAveragePool",  take_globalavgpool, ""},
    {"", "BatchNormalization", take_batchnorm,     " epsilon momentum training_mode spatial "},
    {"", "LayerNormalization", take_layernorm,     " axis epsilon stash_type "},
    {"ai.onnx.ml", "ZipMap",   onnx_take_nothing,       " classlabels_int64s classlabels_strings "},
};
/* clang-format on */
const size_t onnx_operator_count = sizeof onnx_operators / sizeof *onnx_operators;

/* An operator per type; dropout and activation have none of their own. */
static void (*const layer_nodes[LAYER_TYPE_COUNT])(struct onnx_writing *, uint32_t,
                                                   const char *) = {
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

void onnx_put_layer(struct onnx_writing *writing, uint32_t index, const char *name)
{
    enum layer_type type = writing->network->layers[index].type;
    if (layer_nodes[type]) layer_nodes[type](writing, index, name);
}
