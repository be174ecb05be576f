#include "net/layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "net/activation_impl.h"
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

/* --- fields ----------------------------------------------------------------------------------- */

const struct layer_field *layer_field_find(enum layer_type type, const char *name)
{
    for (const struct layer_field *field = layer_kind(type)->fields; field->name; field++)
        if (strcmp(field->name, name) == 0) return field;
    return NULL;
}

const struct layer_field *layer_field_of_kind(enum layer_type type, enum field_kind kind)
{
    for (const struct layer_field *field = layer_kind(type)->fields; field->name; field++)
        if (field->kind == kind) return field;
    return NULL;
}

static void *place_of(struct layer *layer, const struct layer_field *field)
{
    return (char *)layer + field->offset;
}

static const void *value_of(const struct layer *layer, const struct layer_field *field)
{
    return (const char *)layer + field->offset;
}

void layer_init(struct layer *layer, enum layer_type type)
{
    *layer = (struct layer){
        .type = type, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
    for (const struct layer_field *field = kinds[type].fields; field->name; field++) {
        double *reals = place_of(layer, field);
        if (field->kind == FIELD_REAL) *reals = field->usual;
        for (int c = 0; field->kind == FIELD_CHANNELS && c < 3; c++) reals[c] = field->usual;
    }
}

bool layer_field_equal(const struct layer *a, const struct layer *b,
                       const struct layer_field *field)
{
    static const size_t sizes[] = {[FIELD_COUNT] = sizeof(uint32_t),
                                   [FIELD_PAIR] = 2 * sizeof(uint32_t),
                                   [FIELD_REAL] = sizeof(double),
                                   [FIELD_CHANNELS] = 3 * sizeof(double),
                                   [FIELD_PADDING] = PAD_SIDES * sizeof(uint32_t),
                                   [FIELD_BIAS] = sizeof(bool)};
    return memcmp(value_of(a, field), value_of(b, field), sizes[field->kind]) == 0;
}

bool layer_equal(const struct layer *a, const struct layer *b)
{
    if (a->type != b->type || a->activation != b->activation || a->slope != b->slope ||
        !shape_equal(&a->input, &b->input) || !shape_equal(&a->output, &b->output))
        return false;
    for (const struct layer_field *field = kinds[a->type].fields; field->name; field++)
        if (!layer_field_equal(a, b, field)) return false;
    return true;
}

static bool real_alike(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

bool layer_alike(const struct layer *a, const struct layer *b)
{
    if (a->type != b->type || a->activation != b->activation || !real_alike(a->slope, b->slope) ||
        a->inputs != b->inputs || !shape_equal(&a->output, &b->output))
        return false;
    for (const struct layer_field *field = kinds[a->type].fields; field->name; field++) {
        const double *x = value_of(a, field), *y = value_of(b, field);
        if (field->trains_only) continue;
        size_t reals = field->kind == FIELD_REAL ? 1 : field->kind == FIELD_CHANNELS ? 3 : 0;
        for (size_t i = 0; i < reals; i++)
            if (!real_alike(x[i], y[i])) return false;
        if (!reals && !layer_field_equal(a, b, field)) return false;
    }
    return true;
}

static json_t *counts_to_json(const uint32_t *counts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, json_integer(counts[i]));
    return list;
}

static json_t *padding_to_json(const struct layer *layer)
{
    static const uint32_t none[PAD_SIDES];
    if (layer->same) return json_string("same");
    if (memcmp(layer->padding, none, sizeof none) == 0) return NULL;
    return counts_to_json(layer->padding, PAD_SIDES);
}

/* A field's value; NULL when it is the usual one. */
static json_t *field_to_json(const struct layer *layer, const struct layer_field *field)
{
    const uint32_t *counts = value_of(layer, field);
    const double *reals = value_of(layer, field);
    const uint32_t *usual_pair = field->usual < 0
                                     ? layer->kernel
                                     : (uint32_t[]){(uint32_t)field->usual, (uint32_t)field->usual};
    switch (field->kind) {
    case FIELD_COUNT:
        return counts[0] == field->usual ? NULL : json_integer(counts[0]);
    case FIELD_PAIR:
        return memcmp(counts, usual_pair, 2 * sizeof *counts) == 0 ? NULL
                                                                   : counts_to_json(counts, 2);
    case FIELD_REAL:
        return reals[0] == field->usual ? NULL : json_real(reals[0]);
    case FIELD_CHANNELS:
        return json_pack("[f,f,f]", reals[0], reals[1], reals[2]);
    case FIELD_PADDING:
        return padding_to_json(layer);
    case FIELD_BIAS:
        return layer->without_bias ? json_false() : NULL;
    }
    return NULL;
}

json_t *layer_to_json(const struct layer *layer)
{
    const struct activation_kind *activation = &activation_kinds[layer->activation];
    json_t *value = json_object();
    json_object_set_new(value, "type", json_string(kinds[layer->type].name));
    if (layer->type == LAYER_DENSE)
        json_object_set_new(value, "inputs", json_integer(layer->inputs));
    for (const struct layer_field *field = kinds[layer->type].fields; field->name; field++) {
        json_t *member = field_to_json(layer, field);
        if (member) json_object_set_new(value, field->name, member);
    }
    if (layer->activation || layer->type == LAYER_DENSE)
        json_object_set_new(value, "activation", json_string(activation->name));
    if (activation->member && layer->slope != activation->usual)
        json_object_set_new(value, activation->member, json_real(layer->slope));
    return value;
}

static json_t *usual_to_json(const struct layer_field *field)
{
    switch (field->kind) {
    case FIELD_COUNT:
    case FIELD_PAIR:
        return field->usual > 0 ? json_integer((json_int_t)field->usual) : json_null();
    case FIELD_REAL:
    case FIELD_CHANNELS:
        return json_real(field->usual);
    case FIELD_PADDING:
        return json_string("valid");
    case FIELD_BIAS:
        return json_true();
    }
    return NULL;
}

static const char *const field_kind_names[] = {
    [FIELD_COUNT] = "count",       [FIELD_PAIR] = "pair",       [FIELD_REAL] = "real",
    [FIELD_CHANNELS] = "channels", [FIELD_PADDING] = "padding", [FIELD_BIAS] = "bias"};

json_t *layer_fields_to_json(enum layer_type type)
{
    json_t *list = json_array();
    for (const struct layer_field *field = layer_kind(type)->fields; field->name; field++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:o, s:b}", "name",
                                              field->name, "label", field->label, "kind",
                                              field_kind_names[field->kind], "low", field->low,
                                              "high", field->high, "default", usual_to_json(field),
                                              "as_size", field->usual < 0));
    return list;
}

json_t *activations_to_json(void)
{
    json_t *list = json_array();
    for (int i = 0; i < ACTIVATION_COUNT; i++)
        json_array_append_new(list, json_pack("{s:s, s:s?, s:f}", "name", activation_kinds[i].name,
                                              "member", activation_kinds[i].member, "default",
                                              activation_kinds[i].usual));
    return list;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int read_list(const json_t *value, const struct layer_field *field, size_t count,
                     uint32_t *out, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        if ((json_is_array(value) && json_array_size(value) != count) || !json_is_integer(item) ||
            json_number_value(item) < field->low || json_number_value(item) > field->high)
            return error_set(error, ERROR_INPUT,
                             "\"%s\" must be a whole number from %.0f to %.0f, or %zu of them",
                             field->name, field->low, field->high, count);
        out[i] = (uint32_t)json_integer_value(item);
    }
    return 0;
}

static int read_reals(const json_t *value, const struct layer_field *field, size_t count,
                      double *out, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        double number = json_number_value(item);
        if ((json_is_array(value) && json_array_size(value) != count) || !json_is_number(item) ||
            !(number >= field->low && number <= field->high))
            return error_set(error, ERROR_INPUT, "\"%s\" must be a number from %g to %g",
                             field->name, field->low, field->high);
        out[i] = number;
    }
    return 0;
}

static int read_padding(const json_t *value, const struct layer_field *field, struct layer *layer,
                        struct error *error)
{
    const char *word = json_string_value(value);
    if (!word) return read_list(value, field, PAD_SIDES, layer->padding, error);
    layer->same = strcmp(word, "same") == 0;
    if (layer->same || strcmp(word, "valid") == 0) return 0;
    return error_set(
        error, ERROR_INPUT,
        "padding \"%.40s\" is not known: use valid, same or [top, bottom, left, right]", word);
}

static int read_field(const json_t *value, const struct layer_field *field, struct layer *layer,
                      struct error *error)
{
    const json_t *member = json_object_get(value, field->name);
    if (!member && field->usual == 0 && (field->kind == FIELD_COUNT || field->kind == FIELD_PAIR))
        return error_set(error, ERROR_INPUT, "\"%s\" is missing", field->name);
    if (!member) {
        uint32_t *counts = place_of(layer, field);
        if (field->kind == FIELD_PAIR && field->usual < 0)
            memcpy(counts, layer->kernel, sizeof layer->kernel);
        return 0;
    }
    switch (field->kind) {
    case FIELD_COUNT:
        return read_list(member, field, 1, place_of(layer, field), error);
    case FIELD_PAIR:
        return read_list(member, field, 2, place_of(layer, field), error);
    case FIELD_REAL:
        return read_reals(member, field, 1, place_of(layer, field), error);
    case FIELD_CHANNELS:
        return read_reals(member, field, 3, place_of(layer, field), error);
    case FIELD_PADDING:
        return read_padding(member, field, layer, error);
    case FIELD_BIAS:
        if (!json_is_boolean(member))
            return error_set(error, ERROR_INPUT, "\"%s\" must be true or false", field->name);
        layer->without_bias = json_is_false(member);
        return 0;
    }
    return 0;
}

static int refuse_unknown(const json_t *value, const struct layer *layer, struct error *error)
{
    static const char *const everywhere[] = {"type", "name", "activation"};
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) {
        bool known = layer->type == LAYER_DENSE && strcmp(key, "inputs") == 0;
        for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
            if (strcmp(key, everywhere[i]) == 0) known = true;
        if (layer_field_find(layer->type, key)) known = true;
        const char *number = activation_kinds[layer->activation].member;
        if (number && strcmp(key, number) == 0) known = true;
        if (!known)
            return error_set(error, ERROR_INPUT, "%s has no member \"%.40s\": leave it out",
                             kinds[layer->type].name, key);
    }
    return 0;
}

static int read_activation(const json_t *value, struct layer *layer, struct error *error)
{
    const char *name = "none";
    if (js_get_string(value, "activation", &name, error) ||
        activation_parse(name, &layer->activation, error))
        return -1;
    const struct activation_kind *kind = &activation_kinds[layer->activation];
    layer->slope = kind->usual;
    return kind->member ? js_get_real(value, kind->member, -ACTIVATION_MAX_SLOPE,
                                      ACTIVATION_MAX_SLOPE, &layer->slope, error)
                        : 0;
}

/* networks.md's word for a dense layer's width, beside the one that files have. */
static json_t *with_outputs(const json_t *value)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)value), *units = json_object_get(copy, "units");
    if (units && !json_object_get(copy, "outputs")) {
        json_object_set(copy, "outputs", units);
        json_object_del(copy, "units");
    }
    return copy;
}

int layer_from_json(const json_t *value, struct layer *out, struct error *error)
{
    const char *name = "dense", *stem = "";
    enum layer_type type;
    if (!json_is_object(value)) return error_set(error, ERROR_INPUT, "a layer must be an object");
    if (js_get_string(value, "type", &name, error) || js_get_string(value, "name", &stem, error) ||
        layer_type_parse(name, &type, error))
        return -1;
    layer_init(out, type);
    if (strlen(stem) >= sizeof out->name)
        return error_set(error, ERROR_INPUT, "the name \"%.40s\" is too long: use at most %d bytes",
                         stem, LAYER_NAME_MAX - 1);
    memcpy(out->name, stem, strlen(stem) + 1);
    json_t *members = type == LAYER_DENSE ? with_outputs(value)
                                          : json_incref((json_t *)(uintptr_t)value);
    int status = read_activation(members, out, error);
    if (!status) status = refuse_unknown(members, out, error);
    for (const struct layer_field *field = kinds[type].fields; field->name && !status; field++)
        status = read_field(members, field, out, error);
    if (!status && type == LAYER_DENSE)
        status = js_get_u32(members, "inputs", 1, 1U << 28, &out->inputs, error);
    json_decref(members);
    return status;
}
