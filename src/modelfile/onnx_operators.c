#include "modelfile/onnx_operators.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *word(const char *text)
{
    return text ? text : "";
}

static int refuse(const Onnx__NodeProto *node, const char *why, struct error *error)
{
    onnx_refuse(node, why, error);
    return -1;
}

/* --- attributes ------------------------------------------------------------------------------- */

static double get_real(const Onnx__NodeProto *node, const char *name, double usual)
{
    const Onnx__AttributeProto *found = onnx_attribute(node, name);
    return found && found->has_f ? (double)found->f : usual;
}

static int64_t get_int(const Onnx__NodeProto *node, const char *name, int64_t usual)
{
    const Onnx__AttributeProto *found = onnx_attribute(node, name);
    return found && found->has_i ? found->i : usual;
}

static bool is_text(const Onnx__NodeProto *node, const char *name, const char *usual,
                    const char *text)
{
    const Onnx__AttributeProto *found = onnx_attribute(node, name);
    if (!found || !found->has_s) return strcmp(usual, text) == 0;
    return found->s.len == strlen(text) && memcmp(found->s.data, text, found->s.len) == 0;
}

/* `count` whole numbers from `low` to 1024; untouched when they are not there. */
static int get_ints(const Onnx__NodeProto *node, const char *name, uint32_t low, size_t count,
                    uint32_t *out, struct error *error)
{
    const Onnx__AttributeProto *found = onnx_attribute(node, name);
    if (!found || !found->n_ints) return 0;
    for (size_t i = 0; i < count; i++) {
        if (found->n_ints != count || found->ints[i] < low || found->ints[i] > 1024) {
            char why[80];
            snprintf(why, sizeof why, "has an unusable attribute %s", name);
            return refuse(node, why, error);
        }
        out[i] = (uint32_t)found->ints[i];
    }
    return 0;
}

/* --- layers ----------------------------------------------------------------------------------- */

static struct layer *last_layer(struct onnx_reading *reading)
{
    return reading->count ? &reading->sources[reading->count - 1].layer : NULL;
}

static int append_plain(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        enum layer_type type, struct error *error)
{
    if (reading->taken_off) return refuse(node, "comes after softmax", error);
    if (reading->count == NETWORK_MAX_LAYERS) return refuse(node, "is one layer too many", error);
    for (int role = 0; role < ROLE_COUNT; role++)
        reading->tensors[reading->count][role] = ONNX_NO_TENSOR;
    reading->sources[reading->count] = (struct layer_source){.name = onnx_node_name(node)};
    layer_init(&reading->sources[reading->count++].layer, type);
    reading->awaits_bias = false;
    return 0;
}

/* The scaling before the first layer becomes one. */
static int put_scaling(struct onnx_reading *reading, const Onnx__NodeProto *node,
                       struct error *error)
{
    struct onnx_scaling *scaling = &reading->scaling;
    if (!scaling->used || reading->count) return 0;
    bool normalize = scaling->divides || scaling->channels > 1;
    if (append_plain(reading, node, normalize ? LAYER_NORMALIZE : LAYER_RESCALE, error)) return -1;
    struct layer *layer = last_layer(reading);
    layer->scale = scaling->scale;
    layer->offset = scaling->offset;
    memcpy(layer->mean, scaling->mean, sizeof layer->mean);
    memcpy(layer->std, scaling->std, sizeof layer->std);
    return 0;
}

static int append(struct onnx_reading *reading, const Onnx__NodeProto *node, enum layer_type type,
                  struct error *error)
{
    return put_scaling(reading, node, error) ? -1 : append_plain(reading, node, type, error);
}

static int load(struct onnx_reading *reading, const Onnx__NodeProto *node, size_t input,
                enum tensor_role role, size_t width, struct error *error)
{
    struct onnx_constant constant;
    if (input >= node->n_input ||
        !onnx_constant_find(&reading->values, node->input[input], &constant))
        return refuse(node,
                      role == ROLE_BIAS ? "adds something that is no constant"
                                        : "multiplies by something that is no constant",
                      error);
    return onnx_constant_load(&reading->values, &constant, width,
                              &reading->tensors[reading->count - 1][role], error);
}

static const struct named_tensor *loaded(const struct onnx_reading *reading, enum tensor_role role)
{
    size_t index = reading->tensors[reading->count - 1][role];
    return &reading->values.state.tensors[index];
}

/* A dense layer: weight [outputs, inputs], or the other way round. */
static int add_dense(struct onnx_reading *reading, const Onnx__NodeProto *node, bool transposed,
                     struct error *error)
{
    if (reading->rank > 2)
        return refuse(node, "multiplies the rows of a picture, not all its values", error);
    if (append(reading, node, LAYER_DENSE, error) || load(reading, node, 1, ROLE_WEIGHT, 0, error))
        return -1;
    const struct named_tensor *weight = loaded(reading, ROLE_WEIGHT);
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
        return refuse(node, why, error);
    }
    reading->rank = 2;
    reading->dims[1] = (int64_t)source_outputs(source);
    return 0;
}

static int add_bias(struct onnx_reading *reading, const Onnx__NodeProto *node, size_t input,
                    struct error *error)
{
    reading->awaits_bias = false;
    return load(reading, node, input, ROLE_BIAS, (size_t)reading->dims[1], error);
}

static int take_gemm(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    bool has_bias = node->n_input > 2 && *word(node->input[2]);
    if (get_real(node, "alpha", 1) != 1 || (has_bias && get_real(node, "beta", 1) != 1) ||
        get_int(node, "transA", 0))
        return refuse(node, "is a Gemm with factors or a transposed input", error);
    if (add_dense(reading, node, !get_int(node, "transB", 0), error)) return -1;
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

/* --- scaling in front ------------------------------------------------------------------------- */

/* The constant beside what flows, as one number or one for each channel. */
static int scaling_numbers(struct onnx_reading *reading, const Onnx__NodeProto *node, double out[3],
                           uint32_t *count, struct error *error)
{
    struct onnx_constant constant;
    size_t index;
    size_t side = onnx_constant_find(&reading->values, node->input[0], &constant) ? 0 : 1;
    if (side == 0 && strcmp(node->op_type, "Add") != 0 && strcmp(node->op_type, "Mul") != 0)
        return refuse(node, "has the input where its constant belongs", error);
    if (!onnx_constant_find(&reading->values, node->input[side], &constant))
        return refuse(node, "joins two branches", error);
    if (onnx_constant_load(&reading->values, &constant, 0, &index, error)) return -1;
    const struct named_tensor *tensor = &reading->values.state.tensors[index];
    bool by_channel = tensor->count == 3 && tensor->rank >= 3 &&
                      tensor->shape[tensor->rank - 3] == 3;
    if (tensor->count != 1 && !by_channel)
        return refuse(node, "scales every pixel by a number of its own", error);
    *count = (uint32_t)tensor->count;
    for (uint32_t c = 0; c < 3; c++) {
        size_t place = by_channel ? c : 0;
        out[c] = tensor->dtype == DTYPE_FLOAT64 ? ((const double *)tensor->values)[place]
                                                : (double)((const float *)tensor->values)[place];
        if (!isfinite(out[c])) return refuse(node, "scales by no finite number", error);
    }
    return 0;
}

/* x op c, on top of what was scaled before. */
static int take_scaling(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error)
{
    struct onnx_scaling *s = &reading->scaling;
    double number[3];
    uint32_t channels;
    if (reading->count)
        return refuse(node, "scales or moves values between layers, where no bias belongs", error);
    if (scaling_numbers(reading, node, number, &channels, error)) return -1;
    char kind = node->op_type[0];
    bool first = !s->used;
    if (first)
        *s = (struct onnx_scaling){.used = true, .channels = 1, .std = {1, 1, 1}, .scale = 1};
    if (channels > 1) s->channels = channels;
    s->divides = kind == 'S' ? first : kind == 'D' && (first || s->divides) && s->std[0] == 1;
    for (int c = 0; c < 3; c++) {
        if ((kind == 'D' || kind == 'M') && number[c] == 0)
            return refuse(node, "scales by zero", error);
        /* (x - mean) / std: -c, +c, /c, ·c */
        if (kind == 'S') s->mean[c] += number[c] * s->std[c];
        if (kind == 'A') s->mean[c] -= number[c] * s->std[c];
        if (kind == 'D') s->std[c] *= number[c];
        if (kind == 'M') s->std[c] /= number[c];
    }
    if (kind == 'S') s->offset -= number[0];
    if (kind == 'A') s->offset += number[0];
    if (kind == 'D') s->scale /= number[0], s->offset /= number[0];
    if (kind == 'M') s->scale *= number[0], s->offset *= number[0];
    return 0;
}

static int take_add(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    struct onnx_constant constant;
    if (node->n_input < 2) return refuse(node, "has too few inputs", error);
    if (!reading->awaits_bias) return take_scaling(reading, node, error);
    return add_bias(reading, node,
                    onnx_constant_find(&reading->values, node->input[0], &constant) ? 0 : 1, error);
}

/* --- activations ------------------------------------------------------------------------------ */

static int set_activation(struct onnx_reading *reading, const Onnx__NodeProto *node,
                          enum activation activation, double slope, struct error *error)
{
    struct layer *last = last_layer(reading);
    if (reading->taken_off) return refuse(node, "comes after softmax", error);
    if (!last || last->activation != ACTIVATION_NONE || last->type == LAYER_FLATTEN) {
        if (append(reading, node, LAYER_ACTIVATION, error)) return -1;
        last = last_layer(reading);
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
    return set_activation(reading, node, ACTIVATION_LEAKY_RELU, get_real(node, "alpha", 0.01),
                          error);
}

static int take_elu(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    return set_activation(reading, node, ACTIVATION_ELU, get_real(node, "alpha", 1), error);
}

static int take_selu(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    if (fabs(get_real(node, "alpha", 1.67326) - 1.67326) > 1e-4 ||
        fabs(get_real(node, "gamma", 1.0507) - 1.0507) > 1e-4)
        return refuse(node, "is a Selu with numbers of its own", error);
    return set_activation(reading, node, ACTIVATION_SELU, 0, error);
}

static int take_gelu(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    bool exact = is_text(node, "approximate", "none", "none");
    if (!exact && !is_text(node, "approximate", "none", "tanh"))
        return refuse(node, "is approximated in an unknown way", error);
    return set_activation(reading, node, exact ? ACTIVATION_GELU : ACTIVATION_GELU_TANH, 0, error);
}

/* Over the classes of each sample, and nothing else. Before operator set 13 the default axis is
 * 1. */
static int take_softmax(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error)
{
    int64_t axis = get_int(node, "axis", reading->values.opset >= 13 ? -1 : 1);
    if (!reading->count || reading->rank != 2) return refuse(node, "follows no layer", error);
    if (axis != 1 && axis != -1) {
        char why[80];
        snprintf(why, sizeof why, "works along axis %lld, over the samples of a batch",
                 (long long)axis);
        return refuse(node, why, error);
    }
    if (reading->taken_off) return refuse(node, "comes after softmax", error);
    reading->taken_off = "softmax";
    reading->awaits_bias = false;
    return 0;
}

/* --- shapes ----------------------------------------------------------------------------------- */

static int64_t sample_values(const struct onnx_reading *reading)
{
    int64_t values = reading->rank > 1 ? 1 : 0;
    for (size_t d = 1; d < reading->rank && values; d++)
        values = reading->dims[d] > 0 ? values * reading->dims[d] : 0;
    return values;
}

void onnx_note_picture(struct onnx_reading *reading)
{
    const int64_t *d = reading->dims;
    for (size_t i = 1; i < reading->rank; i++)
        if (d[i] < 1 || d[i] > NETWORK_MAX_WIDTH) return;
    if (reading->rank == 3)
        reading->input = (struct source_input){(uint32_t)d[1], (uint32_t)d[2], 1};
    if (reading->rank == 4 && (d[1] == 1 || d[1] == 3))
        reading->input = (struct source_input){(uint32_t)d[2], (uint32_t)d[3], (uint32_t)d[1]};
}

static int flatten(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    int64_t values = sample_values(reading);
    if (reading->rank > 2 && append(reading, node, LAYER_FLATTEN, error)) return -1;
    reading->rank = 2;
    reading->dims[1] = values;
    return 0;
}

static int take_flatten(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error)
{
    int64_t axis = get_int(node, "axis", 1);
    if (axis < 0 && reading->rank) axis += (int64_t)reading->rank;
    if (axis != 1) return refuse(node, "flattens the batch as well", error);
    return flatten(reading, node, error);
}

/* The sizes that follow the batch, with what −1 stands for filled in; -1 when the target would mix
 * samples. */
static int resolve_target(const struct onnx_reading *reading, const struct onnx_ints *target,
                          bool zero_copies, int64_t dims[ONNX_MAX_RANK])
{
    int64_t values = sample_values(reading), known = 1, first = target->values[0];
    size_t open = 0;
    bool batch_open = first == -1;
    bool keeps = first == ONNX_BATCH || (first == 0 && zero_copies) ||
                 (first > 0 && first == reading->dims[0]);
    for (size_t d = 1; d < target->count; d++) {
        dims[d] = target->values[d];
        if (dims[d] == 0 && zero_copies && d < reading->rank) dims[d] = reading->dims[d];
        if (dims[d] == -1 && !open)
            open = d;
        else if (dims[d] < 1 || dims[d] > NETWORK_MAX_WIDTH ||
                 (known *= dims[d]) > (int64_t)NETWORK_MAX_PARAMETERS)
            return -1;
    }
    if (open && (batch_open || !values || values % known)) return open && keeps && !values ? 0 : -1;
    if (open) dims[open] = values / known;
    if (!batch_open && !keeps) return -1;
    return open || !values || known == values ? 0 : -1;
}

static int take_reshape(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error)
{
    struct onnx_ints target;
    int64_t dims[ONNX_MAX_RANK] = {0};
    if (node->n_input < 2 || onnx_ints_find(&reading->values, node->input[1], &target) ||
        target.count < 2)
        return refuse(node, "reshapes to something that is not known beforehand", error);
    if (resolve_target(reading, &target, !get_int(node, "allowzero", 0), dims))
        return refuse(node, "reshapes so that values of one sample do not stay together", error);
    if (target.count == 2) {
        if (flatten(reading, node, error)) return -1;
        if (dims[1] > 0) reading->dims[1] = dims[1];
        return 0;
    }
    bool same = target.count == reading->rank;
    for (size_t d = 1; same && d < target.count; d++) same = dims[d] == reading->dims[d];
    if (same) return 0;
    if (reading->count || target.count > 4)
        return refuse(node, "reshapes between layers in a way the studio does not know", error);
    reading->rank = target.count;
    memcpy(reading->dims + 1, dims + 1, sizeof dims - sizeof *dims);
    onnx_note_picture(reading);
    return 0;
}

/* A transposition that moves nothing but axes of one value. */
static int take_transpose(struct onnx_reading *reading, const Onnx__NodeProto *node,
                          struct error *error)
{
    const Onnx__AttributeProto *order = onnx_attribute(node, "perm");
    int64_t before = -1, dims[ONNX_MAX_RANK] = {0};
    if (!order || !reading->rank || order->n_ints != reading->rank || order->ints[0] != 0)
        return refuse(node, "transposes values", error);
    for (size_t d = 1; d < reading->rank; d++) {
        int64_t from = order->ints[d];
        if (from < 1 || from >= (int64_t)reading->rank)
            return refuse(node, "transposes values", error);
        dims[d] = reading->dims[from];
        if (dims[d] == 1) continue;
        if (from < before) return refuse(node, "transposes values", error);
        before = from;
    }
    memcpy(reading->dims + 1, dims + 1, sizeof dims - sizeof *dims);
    return 0;
}

static int take_nothing(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error)
{
    (void)reading;
    (void)node;
    (void)error;
    return 0;
}

static int take_dropout(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error)
{
    struct onnx_ints mode;
    (void)reading;
    if (node->n_input > 2 && *word(node->input[2]) &&
        (onnx_ints_find(&reading->values, node->input[2], &mode) || mode.values[0]))
        return refuse(node, "is a Dropout in training mode", error);
    return 0;
}

static int take_cast(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    (void)reading;
    int64_t to = get_int(node, "to", 0);
    return onnx_is_floating((int32_t)to) ? 0 : refuse(node, "rounds values to integers", error);
}

/* --- layers on maps --------------------------------------------------------------------------- */

static int need_maps(const struct onnx_reading *reading, const Onnx__NodeProto *node,
                     struct error *error)
{
    for (size_t d = 1; reading->rank == 4 && d < 4; d++)
        if (reading->dims[d] < 1)
            return refuse(node, "works on a picture whose size the file does not say", error);
    return reading->rank == 4 ? 0 : refuse(node, "works on something that is no picture", error);
}

/* What windows have in common. Pads stand as top, left, bottom, right. */
static int get_window(const Onnx__NodeProto *node, struct layer *layer, struct error *error)
{
    uint32_t pads[4] = {0};
    if (get_ints(node, "kernel_shape", 1, 2, layer->kernel, error) ||
        get_ints(node, "strides", 1, 2, layer->stride, error) ||
        get_ints(node, "dilations", 1, 2, layer->dilation, error) ||
        get_ints(node, "pads", 0, 4, pads, error))
        return -1;
    layer->padding[PAD_TOP] = pads[0];
    layer->padding[PAD_LEFT] = pads[1];
    layer->padding[PAD_BOTTOM] = pads[2];
    layer->padding[PAD_RIGHT] = pads[3];
    layer->same = is_text(node, "auto_pad", "NOTSET", "SAME_UPPER");
    if (layer->same || is_text(node, "auto_pad", "NOTSET", "NOTSET") ||
        is_text(node, "auto_pad", "NOTSET", "VALID"))
        return 0;
    return refuse(node, "pads in a way the studio does not know", error);
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
    if (need_maps(reading, node, error) || append(reading, node, LAYER_CONV2D, error) ||
        load(reading, node, 1, ROLE_WEIGHT, 0, error))
        return -1;
    const struct named_tensor *weight = loaded(reading, ROLE_WEIGHT);
    struct layer *layer = last_layer(reading);
    int64_t groups = get_int(node, "group", 1);
    if (weight->rank != 4 || weight->shape[0] > NETWORK_MAX_WIDTH || weight->shape[2] > 1024 ||
        weight->shape[3] > 1024 || groups < 1 || groups > NETWORK_MAX_WIDTH)
        return refuse(node, "is a convolution of another kind than over pictures", error);
    layer->filters = (uint32_t)weight->shape[0];
    layer->kernel[0] = (uint32_t)weight->shape[2];
    layer->kernel[1] = (uint32_t)weight->shape[3];
    layer->groups = (uint32_t)groups;
    if (get_window(node, layer, error)) return -1;
    slide(reading, layer, layer->filters);
    bool has_bias = node->n_input > 2 && *word(node->input[2]);
    return has_bias ? load(reading, node, 2, ROLE_BIAS, layer->filters, error) : 0;
}

static int take_pool(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    bool most = strcmp(node->op_type, "MaxPool") == 0;
    if (need_maps(reading, node, error) ||
        append(reading, node, most ? LAYER_MAXPOOL2D : LAYER_AVGPOOL2D, error))
        return -1;
    struct layer *layer = last_layer(reading);
    if (get_window(node, layer, error)) return -1;
    if (get_int(node, "ceil_mode", 0) || get_int(node, "storage_order", 0) ||
        (get_int(node, "count_include_pad", 0) &&
         (layer->same || layer->padding[0] || layer->padding[1] || layer->padding[2] ||
          layer->padding[3])) ||
        layer->dilation[0] != 1 || layer->dilation[1] != 1)
        return refuse(node, "pools in a way the studio does not know", error);
    slide(reading, layer, reading->dims[1]);
    return 0;
}

static int take_globalavgpool(struct onnx_reading *reading, const Onnx__NodeProto *node,
                              struct error *error)
{
    if (need_maps(reading, node, error) || append(reading, node, LAYER_GLOBALAVGPOOL, error))
        return -1;
    reading->dims[2] = reading->dims[3] = 1;
    return 0;
}

static int take_batchnorm(struct onnx_reading *reading, const Onnx__NodeProto *node,
                          struct error *error)
{
    size_t width = (size_t)reading->dims[1];
    if (get_int(node, "training_mode", 0)) return refuse(node, "is in training mode", error);
    if (reading->rank < 2 || !width) return refuse(node, "works on an unknown shape", error);
    if (append(reading, node, LAYER_BATCHNORM, error) ||
        load(reading, node, 1, ROLE_WEIGHT, width, error) ||
        load(reading, node, 2, ROLE_BIAS, width, error) ||
        load(reading, node, 3, ROLE_RUNNING_MEAN, width, error) ||
        load(reading, node, 4, ROLE_RUNNING_VARIANCE, width, error))
        return -1;
    last_layer(reading)->epsilon = get_real(node, "epsilon", 1e-5);
    last_layer(reading)->momentum = 1 - get_real(node, "momentum", 0.9);
    return 0;
}

/* Over all values of a sample. */
static int take_layernorm(struct onnx_reading *reading, const Onnx__NodeProto *node,
                          struct error *error)
{
    int64_t axis = get_int(node, "axis", -1);
    if (axis != 1 && !(axis == -1 && reading->rank == 2))
        return refuse(node, "normalizes a part of a sample's values", error);
    if (append(reading, node, LAYER_LAYERNORM, error) ||
        load(reading, node, 1, ROLE_WEIGHT, 0, error) ||
        (node->n_input > 2 && *word(node->input[2]) && load(reading, node, 2, ROLE_BIAS, 0, error)))
        return -1;
    last_layer(reading)->epsilon = get_real(node, "epsilon", 1e-5);
    return 0;
}

/* --- the table -------------------------------------------------------------------------------- */

/* An operator, and the attributes that its take() reads, " a b c ". All others are refused. */
/* clang-format off */
static const struct {
    const char *domain, *op_type;
    int (*take)(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error);
    const char *attributes;
} operators[] = {
    {"", "Gemm",               take_gemm,          " alpha beta transA transB "},
    {"", "MatMul",             take_matmul,        ""},
    {"", "Add",                take_add,           ""},
    {"", "Sub",                take_scaling,       ""},
    {"", "Mul",                take_scaling,       ""},
    {"", "Div",                take_scaling,       ""},
    {"", "Relu",               take_plain,         ""},
    {"", "Tanh",               take_plain,         ""},
    {"", "Sigmoid",            take_plain,         ""},
    {"", "Softplus",           take_plain,         ""},
    {"", "LeakyRelu",          take_leaky_relu,    " alpha "},
    {"", "Elu",                take_elu,           " alpha "},
    {"", "Selu",               take_selu,          " alpha gamma "},
    {"", "Gelu",               take_gelu,          " approximate "},
    {"", "Softmax",            take_softmax,       " axis "},
    {"", "LogSoftmax",         take_softmax,       " axis "},
    {"", "Flatten",            take_flatten,       " axis "},
    {"", "Reshape",            take_reshape,       " allowzero "},
    {"", "Transpose",          take_transpose,     " perm "},
    {"", "Identity",           take_nothing,       ""},
    {"", "Dropout",            take_dropout,       " seed ratio "},
    {"", "Cast",               take_cast,          " to saturate "},
    {"", "Conv",               take_conv,
     " auto_pad dilations group kernel_shape pads strides "},
    {"", "MaxPool",            take_pool,
     " auto_pad ceil_mode dilations kernel_shape pads storage_order strides "},
    {"", "AveragePool",        take_pool,
     " auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides "},
    {"", "GlobalAveragePool",  take_globalavgpool, ""},
    {"", "BatchNormalization", take_batchnorm,     " epsilon momentum training_mode spatial "},
    {"", "LayerNormalization", take_layernorm,     " axis epsilon stash_type "},
    {"ai.onnx.ml", "ZipMap",   take_nothing,       " classlabels_int64s classlabels_strings "},
};
/* clang-format on */

static bool is_listed(const char *list, const char *name)
{
    char wanted[80];
    snprintf(wanted, sizeof wanted, " %.70s ", name);
    return strstr(list, wanted) != NULL;
}

int onnx_take_node(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    const char *op_type = word(node->op_type), *domain = word(node->domain);
    char what[120];
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (strcmp(operators[i].op_type, op_type) != 0 || strcmp(operators[i].domain, domain) != 0)
            continue;
        for (size_t a = 0; a < node->n_attribute; a++) {
            if (is_listed(operators[i].attributes, word(node->attribute[a]->name))) continue;
            snprintf(what, sizeof what, "has the attribute %.60s, which the studio does not know",
                     word(node->attribute[a]->name));
            return refuse(node, what, error);
        }
        return operators[i].take(reading, node, error);
    }
    snprintf(what, sizeof what, "is a %.60s", op_type);
    return refuse(node, what, error);
}
