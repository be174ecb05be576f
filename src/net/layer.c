#include "net/layer.h"

#include <stdio.h>
#include <string.h>

#include "net/layer_impl.h"

const char *tensor_role_name(enum tensor_role role)
{
    static const char *const names[ROLE_COUNT] = {"weight", "bias", "running_mean", "running_var"};
    CHECK(role >= 0 && role < ROLE_COUNT);
    return names[role];
}

bool tensor_role_is_trained(enum tensor_role role)
{
    return role == ROLE_WEIGHT || role == ROLE_BIAS;
}

/* --- what the types do ------------------------------------------------------------------------ */

static int need_maps(const struct layer *layer, struct error *error)
{
    char words[48];
    if (layer->input.rank == 3) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s takes pictures or feature maps, but gets %s values: put it before flatten "
                     "and dense layers",
                     layer_kind(layer->type)->name, shape_words(&layer->input, words));
}

static int resolve_dense(struct layer *layer, struct error *error)
{
    if (!layer->units || layer->units > LAYER_MAX_WIDTH)
        return error_set(error, ERROR_INPUT, "%u units are out of range: use 1 to %d", layer->units,
                         LAYER_MAX_WIDTH);
    layer->output = shape_units(layer->units);
    return 0;
}

static uint32_t weight_and_bias(const struct layer *layer, struct shape weight, size_t receptive,
                                struct tensor_spec out[LAYER_MAX_TENSORS])
{
    size_t fan_in = weight.sizes[1] * receptive, fan_out = weight.sizes[0] * receptive;
    out[0] = (struct tensor_spec){ROLE_WEIGHT, weight, fan_in, fan_out, 0};
    out[1] = (struct tensor_spec){ROLE_BIAS, shape_units(weight.sizes[0]), fan_in, fan_out, 0};
    return layer->without_bias ? 1 : 2;
}

static uint32_t tensors_of_dense(const struct layer *layer,
                                 struct tensor_spec out[LAYER_MAX_TENSORS])
{
    return weight_and_bias(layer, (struct shape){2, {layer->outputs, layer->inputs}}, 1, out);
}

static uint64_t cost_of_dense(const struct layer *layer)
{
    return (uint64_t)layer->inputs * layer->outputs;
}

/* What a window of `size` leaves of `extent` and its padding; 0 when it does not fit. */
static uint32_t windows(uint32_t extent, uint32_t before, uint32_t after, uint32_t size,
                        uint32_t stride, uint32_t dilation)
{
    uint64_t padded = (uint64_t)extent + before + after,
             reach = (uint64_t)(size - 1) * dilation + 1;
    return padded < reach ? 0 : (uint32_t)((padded - reach) / stride + 1);
}

/* "same": ⌈extent / stride⌉ windows, what is odd goes behind (TensorFlow's rule; PyTorch has "same"
 * for stride 1 only, where both agree). */
static void pad_same(struct layer *layer)
{
    for (int d = 0; d < 2; d++) {
        uint32_t extent = layer->input.sizes[1 + d], stride = layer->stride[d];
        uint64_t count = (extent + stride - 1) / stride;
        uint64_t reach = (count - 1) * stride +
                         (uint64_t)(layer->kernel[d] - 1) * layer->dilation[d] + 1;
        uint32_t padding = reach > extent ? (uint32_t)(reach - extent) : 0;
        layer->padding[2 * d] = padding / 2;
        layer->padding[2 * d + 1] = padding - padding / 2;
    }
}

bool layer_pads_same(const struct layer *layer)
{
    struct layer ruled = *layer;
    if (!layer_type_slides(layer->type)) return false;
    pad_same(&ruled);
    return memcmp(ruled.padding, layer->padding, sizeof ruled.padding) == 0;
}

/* The output of a window that slides over maps; `channels` come out. */
static int slide(struct layer *layer, uint32_t channels, struct error *error)
{
    char words[48];
    if (need_maps(layer, error)) return -1;
    if (layer->same) pad_same(layer);
    const uint32_t *in = layer->input.sizes, *pad = layer->padding;
    uint32_t rows = windows(in[1], pad[PAD_TOP], pad[PAD_BOTTOM], layer->kernel[0],
                            layer->stride[0], layer->dilation[0]);
    uint32_t columns = windows(in[2], pad[PAD_LEFT], pad[PAD_RIGHT], layer->kernel[1],
                               layer->stride[1], layer->dilation[1]);
    if (!rows || !columns)
        return error_set(error, ERROR_INPUT,
                         "the window of %u×%u does not fit its input of %s: use a smaller one, or "
                         "padding same",
                         layer->kernel[0], layer->kernel[1], shape_words(&layer->input, words));
    layer->output = shape_maps(channels, rows, columns);
    return 0;
}

static int resolve_conv2d(struct layer *layer, struct error *error)
{
    if (need_maps(layer, error)) return -1;
    uint32_t channels = layer->input.sizes[0];
    if (!layer->groups) layer->groups = layer->filters = channels; /* depthwise, whatever comes */
    if (channels % layer->groups || layer->filters % layer->groups)
        return error_set(error, ERROR_INPUT,
                         "%u groups must divide its %u input channels and its %u filters",
                         layer->groups, channels, layer->filters);
    return slide(layer, layer->filters, error);
}

static uint32_t tensors_of_conv2d(const struct layer *layer,
                                  struct tensor_spec out[LAYER_MAX_TENSORS])
{
    struct shape weight = {4,
                           {layer->filters, layer->input.sizes[0] / layer->groups, layer->kernel[0],
                            layer->kernel[1]}};
    return weight_and_bias(layer, weight, (size_t)layer->kernel[0] * layer->kernel[1], out);
}

static uint64_t cost_of_conv2d(const struct layer *layer)
{
    uint64_t window = (uint64_t)layer->kernel[0] * layer->kernel[1];
    return window * (layer->input.sizes[0] / layer->groups) * layer->outputs;
}

static int resolve_pool(struct layer *layer, struct error *error)
{
    for (int d = 0; d < 2; d++)
        if (layer->padding[2 * d] > layer->kernel[d] / 2)
            return error_set(error, ERROR_INPUT, "padding %u is more than half its size of %u",
                             layer->padding[2 * d], layer->kernel[d]);
    return need_maps(layer, error) ? -1 : slide(layer, layer->input.sizes[0], error);
}

static int resolve_globalavgpool(struct layer *layer, struct error *error)
{
    if (need_maps(layer, error)) return -1;
    layer->output = shape_units(layer->input.sizes[0]);
    return 0;
}

static int resolve_flatten(struct layer *layer, struct error *error)
{
    if (shape_values(&layer->input) > LAYER_MAX_WIDTH)
        return error_set(error, ERROR_INPUT, "flatten makes %zu values: the most is %d",
                         shape_values(&layer->input), LAYER_MAX_WIDTH);
    layer->output = shape_units((uint32_t)shape_values(&layer->input));
    return 0;
}

static int resolve_same_shape(struct layer *layer, struct error *error)
{
    (void)error;
    layer->output = layer->input;
    return 0;
}

static uint32_t scale_and_shift(struct shape shape, struct tensor_spec out[LAYER_MAX_TENSORS])
{
    out[0] = (struct tensor_spec){ROLE_WEIGHT, shape, 0, 0, 1};
    out[1] = (struct tensor_spec){ROLE_BIAS, shape, 0, 0, 0};
    return 2;
}

static uint32_t tensors_of_batchnorm(const struct layer *layer,
                                     struct tensor_spec out[LAYER_MAX_TENSORS])
{
    struct shape shape = shape_units(layer->input.sizes[0]);
    uint32_t count = scale_and_shift(shape, out);
    out[count++] = (struct tensor_spec){ROLE_RUNNING_MEAN, shape, 0, 0, 0};
    out[count++] = (struct tensor_spec){ROLE_RUNNING_VARIANCE, shape, 0, 0, 1};
    return count;
}

static uint32_t tensors_of_layernorm(const struct layer *layer,
                                     struct tensor_spec out[LAYER_MAX_TENSORS])
{
    return scale_and_shift(layer->input, out);
}

/* --- the table -------------------------------------------------------------------------------- */

#define AT(member)       offsetof(struct layer, member)
#define LAYER_MAX_WINDOW 1024
/* clang-format off */
/* Of whatever has a kernel: Keras's L1L2 of its weight, not of its bias. */
#define PENALTY_FIELDS \
    {"l1", "L1", FIELD_REAL, AT(l1), 0, LAYER_MAX_PENALTY, 0, true}, \
    {"l2", "L2", FIELD_REAL, AT(l2), 0, LAYER_MAX_PENALTY, 0, true}
static const struct layer_field dense_fields[] = {
    {"outputs", "Units", FIELD_COUNT,  AT(units),        1, LAYER_MAX_WIDTH, 0},
    {"bias", "Bias", FIELD_BIAS,   AT(without_bias), 0, 0, 0},
    PENALTY_FIELDS,
    {0},
};
static const struct layer_field conv2d_fields[] = {
    {"filters", "Filters", FIELD_COUNT,   AT(filters),      1, LAYER_MAX_WIDTH, 0},
    {"kernel", "Kernel", FIELD_PAIR,    AT(kernel),       1, LAYER_MAX_WINDOW, 0},
    {"stride", "Stride", FIELD_PAIR,    AT(stride),       1, LAYER_MAX_WINDOW, 1},
    {"padding", "Padding", FIELD_PADDING, AT(padding),      0, LAYER_MAX_WINDOW, 0},
    {"dilation", "Dilation", FIELD_PAIR,    AT(dilation),     1, LAYER_MAX_WINDOW, 1},
    {"groups", "Groups", FIELD_COUNT,   AT(groups),       0, LAYER_MAX_WIDTH, 1},
    {"bias", "Bias", FIELD_BIAS,    AT(without_bias), 0, 0, 0},
    PENALTY_FIELDS,
    {0},
};
static const struct layer_field pool_fields[] = {
    {"size", "Window", FIELD_PAIR,    AT(kernel),  1, LAYER_MAX_WINDOW, 0},
    {"stride", "Stride", FIELD_PAIR,    AT(stride),  1, LAYER_MAX_WINDOW, -1}, /* usual: its size */
    {"padding", "Padding", FIELD_PADDING, AT(padding), 0, LAYER_MAX_WINDOW, 0},
    {0},
};
static const struct layer_field batchnorm_fields[] = {
    {"epsilon", "Epsilon", FIELD_REAL, AT(epsilon),  1e-12, 1, 1e-5},
    {"momentum", "Momentum", FIELD_REAL, AT(momentum), 0,     1, 0.1},
    {0},
};
static const struct layer_field layernorm_fields[] = {
    {"epsilon", "Epsilon", FIELD_REAL, AT(epsilon), 1e-12, 1, 1e-5},
    {0},
};
static const struct layer_field dropout_fields[] = {
    {"rate", "Rate", FIELD_REAL, AT(rate), 0, 0.99, 0.5},
    {0},
};
static const struct layer_field rescale_fields[] = {
    {"scale", "Scale", FIELD_REAL, AT(scale),  -1e6, 1e6, 1},
    {"offset", "Offset", FIELD_REAL, AT(offset), -1e6, 1e6, 0},
    {0},
};
static const struct layer_field normalize_fields[] = {
    {"mean", "Mean", FIELD_CHANNELS, AT(mean), -1e6, 1e6, 0},
    {"std", "Deviation", FIELD_CHANNELS, AT(std),  1e-6, 1e6, 1},
    {0},
};
static const struct layer_field no_fields[] = {{0}};

static const struct layer_kind kinds[LAYER_TYPE_COUNT] = {
    [LAYER_DENSE] = {"dense", "fc", "Dense",
        "Every output is a weighted sum of all inputs plus a bias.",
        "It can relate any value to any other, at the price of one weight for each pair.",
        false, dense_fields, resolve_dense, tensors_of_dense, cost_of_dense, true},
    [LAYER_CONV2D] = {"conv2d", "conv", "Convolution",
        "Slides small kernels over the picture, the same weights at every place.",
        "What it learns in one corner it finds in every other, with few weights.",
        false, conv2d_fields, resolve_conv2d, tensors_of_conv2d, cost_of_conv2d},
    [LAYER_MAXPOOL2D] = {"maxpool2d", "pool", "Max pooling",
        "Keeps the largest value of each window.",
        "A feature may move a little within its window, and less is left to compute.",
        false, pool_fields, resolve_pool, NULL, NULL},
    [LAYER_AVGPOOL2D] = {"avgpool2d", "pool", "Average pooling",
        "Keeps the mean of each window; padding is not counted.",
        "It shrinks the maps and keeps how strong a feature is on the whole.",
        false, pool_fields, resolve_pool, NULL, NULL},
    [LAYER_GLOBALAVGPOOL] = {"globalavgpool", "gap", "Global average",
        "Replaces each feature map by its mean.",
        "What remains is how much of each feature there is, no matter where; it has no weights.",
        false, no_fields, resolve_globalavgpool, NULL, NULL, true},
    [LAYER_FLATTEN] = {"flatten", "flatten", "Flatten",
        "Lays feature maps out as one list of values.",
        "Nothing is computed: it only stands between windows and dense layers.",
        false, no_fields, resolve_flatten, NULL, NULL},
    [LAYER_BATCHNORM] = {"batchnorm", "bn", "Batch norm",
        "Normalizes each channel by the mean and variance of the batch.",
        "Training is steadier and takes larger steps; in evaluation running averages stand in for the batch.",
        false, batchnorm_fields, resolve_same_shape, tensors_of_batchnorm, NULL},
    [LAYER_LAYERNORM] = {"layernorm", "ln", "Layer norm",
        "Normalizes each sample by its own mean and variance.",
        "It does the same in training and evaluation, whatever the size of the batch.",
        false, layernorm_fields, resolve_same_shape, tensors_of_layernorm, NULL},
    [LAYER_DROPOUT] = {"dropout", "dropout", "Dropout",
        "Sets a random share of the values to zero while training.",
        "No value can rely on a single other one, which curbs overfitting; in evaluation nothing is dropped.",
        false, dropout_fields, resolve_same_shape, NULL, NULL},
    [LAYER_ACTIVATION] = {"activation", "act", "Activation",
        "Applies a function to every value.",
        "Without one between them, two layers compute no more than one could.",
        false, no_fields, resolve_same_shape, NULL, NULL},
    [LAYER_RESCALE] = {"rescale", "rescale", "Rescale",
        "Multiplies every input value and adds an offset.",
        "It belongs to the model, so that whoever uses the file feeds it the same values as in training.",
        true, rescale_fields, resolve_same_shape, NULL, NULL},
    [LAYER_NORMALIZE] = {"normalize", "normalize", "Normalize",
        "Subtracts a mean and divides by a standard deviation, per channel.",
        "Values around zero with a spread of one are what initial weights are made for.",
        true, normalize_fields, resolve_same_shape, NULL, NULL},
};
/* clang-format on */

const struct layer_kind *layer_kind(enum layer_type type)
{
    CHECK(type >= 0 && type < LAYER_TYPE_COUNT);
    return &kinds[type];
}

int layer_type_parse(const char *name, enum layer_type *out, struct error *error)
{
    char known[256] = "";
    size_t used = 0;
    for (int i = 0; i < LAYER_TYPE_COUNT; i++) {
        if (strcmp(name, kinds[i].name) == 0) {
            *out = (enum layer_type)i;
            return 0;
        }
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                 i == 0                      ? ""
                                 : i == LAYER_TYPE_COUNT - 1 ? " or "
                                                             : ", ",
                                 kinds[i].name);
    }
    return error_set(error, ERROR_INPUT, "unknown layer type \"%.40s\": use %s", name, known);
}

uint32_t layer_tensors(const struct layer *layer, struct tensor_spec out[LAYER_MAX_TENSORS])
{
    const struct layer_kind *kind = layer_kind(layer->type);
    return kind->tensors ? kind->tensors(layer, out) : 0;
}

bool layer_type_activates(enum layer_type type)
{
    return type != LAYER_FLATTEN && type != LAYER_DROPOUT && !layer_kind(type)->first_only;
}

bool layer_type_gathers(enum layer_type type)
{
    return layer_kind(type)->gathers;
}

bool layer_type_slides(enum layer_type type)
{
    return type == LAYER_CONV2D || type == LAYER_MAXPOOL2D || type == LAYER_AVGPOOL2D;
}

bool layer_takes_activation(const struct layer *layer)
{
    return layer->activation == ACTIVATION_NONE && layer_type_activates(layer->type);
}

size_t layer_parameters(const struct layer *layer)
{
    struct tensor_spec specs[LAYER_MAX_TENSORS];
    size_t total = 0;
    for (uint32_t i = 0, count = layer_tensors(layer, specs); i < count; i++)
        if (tensor_role_is_trained(specs[i].role)) total += shape_values(&specs[i].shape);
    return total;
}

bool layer_is_penalized(const struct layer *layer)
{
    return layer->l1 > 0 || layer->l2 > 0;
}

uint64_t layer_multiply_adds(const struct layer *layer)
{
    const struct layer_kind *kind = layer_kind(layer->type);
    return kind->multiply_adds ? kind->multiply_adds(layer) : 0;
}
