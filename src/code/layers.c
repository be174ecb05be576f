/* The layers of the two Python programs: a row per layer type, and per activation, in each
 * language. First PyTorch's, what __init__ makes and how forward() calls it, then Keras's. */
#include "code/layers.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "code/optimizers.h"
#include "code/python.h"
#include "code/text.h"

enum padding_form padding_form(const struct layer *layer)
{
    const uint32_t *pad = layer->padding;
    if (pad[PAD_TOP] != pad[PAD_BOTTOM] || pad[PAD_LEFT] != pad[PAD_RIGHT]) return PADDING_UNEVEN;
    return pad[PAD_TOP] || pad[PAD_LEFT] ? PADDING_EVEN : PADDING_NONE;
}

/* --- activations ------------------------------------------------------------------------------ */

/* Modules without state: one object serves all layers that have it. */
static const struct {
    const char *module, *argument; /* the name of its number, NULL for none */
} torch_activations[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = {"nn.ReLU(", NULL},
    [ACTIVATION_TANH] = {"nn.Tanh(", NULL},
    [ACTIVATION_SIGMOID] = {"nn.Sigmoid(", NULL},
    [ACTIVATION_LEAKY_RELU] = {"nn.LeakyReLU(", "negative_slope"},
    [ACTIVATION_ELU] = {"nn.ELU(", "alpha"},
    [ACTIVATION_SELU] = {"nn.SELU(", NULL},
    [ACTIVATION_GELU] = {"nn.GELU(", NULL},
    [ACTIVATION_GELU_TANH] = {"nn.GELU(approximate=\"tanh\"", NULL},
    [ACTIVATION_SILU] = {"nn.SiLU(", NULL},
    [ACTIVATION_SOFTPLUS] = {"nn.Softplus(", NULL},
};

static bool same_activation(const struct layer *a, const struct layer *b)
{
    return a->activation == b->activation &&
           (!activation_has_slope(a->activation) || a->slope == b->slope);
}

/* The first layer with the same activation: that one's object is used. */
static uint32_t first_of(const struct network *network, uint32_t index)
{
    uint32_t first = 0;
    while (!same_activation(&network->layers[first], &network->layers[index])) first++;
    return first;
}

/* "activation" when the network has only one, else the function's name, with a number when the
 * network has the same function with several slopes. */
static void activation_attribute(const struct network *network, uint32_t index, char out[32])
{
    const struct layer *layer = &network->layers[index];
    bool alone = true;
    unsigned before = 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *other = &network->layers[i];
        if (other->activation != ACTIVATION_NONE && !same_activation(other, layer)) alone = false;
        if (i < first_of(network, index) && other->activation == layer->activation &&
            first_of(network, i) == i)
            before++;
    }
    const char *name = activation_name(layer->activation);
    if (alone)
        snprintf(out, 32, "activation");
    else if (before)
        snprintf(out, 32, "%s_%u", name, before + 1);
    else
        snprintf(out, 32, "%s", name);
}

static void write_activations(const struct network *network, struct code_text *out)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        char attribute[32];
        if (layer->activation == ACTIVATION_NONE || first_of(network, i) != i) continue;
        for (uint32_t j = i; j < network->layer_count; j++)
            if (same_activation(layer, &network->layers[j])) out->layers |= 1ull << j;
        activation_attribute(network, i, attribute);
        if (torch_activations[layer->activation].argument)
            code_line(out, "activation", "        self.%s = %s%s=%s)", attribute,
                      torch_activations[layer->activation].module,
                      torch_activations[layer->activation].argument, code_real(layer->slope));
        else
            code_line(out, "activation", "        self.%s = %s)", attribute,
                      torch_activations[layer->activation].module);
        out->layers = 0;
    }
}

/* --- one row per layer type ------------------------------------------------------------------- */

static void torch_dense_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%u", layer->inputs);
    code_argument(a, "%u", layer->outputs);
    if (layer->without_bias) code_argument(a, "bias=False");
}

static void add_padding(const struct layer *layer, struct code_arguments *a)
{
    if (padding_form(layer) == PADDING_EVEN)
        code_argument(a, "padding=%s",
                      code_pair((uint32_t[]){layer->padding[PAD_TOP], layer->padding[PAD_LEFT]}));
}

static bool is_one(const uint32_t pair[2])
{
    return pair[0] == 1 && pair[1] == 1;
}

static void torch_conv2d_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%u", layer->input.sizes[0]);
    code_argument(a, "%u", layer->filters);
    code_argument(a, "%s", code_pair(layer->kernel));
    if (!is_one(layer->stride)) code_argument(a, "stride=%s", code_pair(layer->stride));
    add_padding(layer, a);
    if (!is_one(layer->dilation)) code_argument(a, "dilation=%s", code_pair(layer->dilation));
    if (layer->groups > 1) code_argument(a, "groups=%u", layer->groups);
    if (layer->without_bias) code_argument(a, "bias=False");
}

static void torch_pool_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%s", code_pair(layer->kernel));
    if (memcmp(layer->stride, layer->kernel, sizeof layer->stride) != 0)
        code_argument(a, "stride=%s", code_pair(layer->stride));
    add_padding(layer, a);
}

static void avgpool_arguments(const struct layer *layer, struct code_arguments *a)
{
    torch_pool_arguments(layer, a);
    if (padding_form(layer) == PADDING_EVEN) code_argument(a, "count_include_pad=False");
}

static void one_argument(const struct layer *layer, struct code_arguments *a)
{
    (void)layer;
    code_argument(a, "1");
}

static void add_epsilon(const struct layer *layer, struct code_arguments *a)
{
    if (layer->epsilon != 1e-5) code_argument(a, "eps=%s", code_real(layer->epsilon));
}

static void torch_batchnorm_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%u", layer->input.sizes[0]);
    add_epsilon(layer, a);
    if (layer->momentum != 0.1) code_argument(a, "momentum=%s", code_real(layer->momentum));
}

static void torch_layernorm_arguments(const struct layer *layer, struct code_arguments *a)
{
    const uint32_t *s = layer->input.sizes;
    if (layer->input.rank == 3)
        code_argument(a, "(%u, %u, %u)", s[0], s[1], s[2]);
    else
        code_argument(a, "%u", s[0]);
    add_epsilon(layer, a);
}

static void torch_dropout_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%s", code_real(layer->rate));
}

static void globalavgpool_call(const struct layer *layer, char *out, size_t size)
{
    snprintf(out, size, "self.%s(x).flatten(1)", layer->name);
}

static void flatten_call(const struct layer *layer, char *out, size_t size)
{
    (void)layer;
    snprintf(out, size, "x.flatten(1)");
}

static void activation_call(const struct layer *layer, char *out, size_t size)
{
    (void)layer;
    snprintf(out, size, "x");
}

static void rescale_call(const struct layer *layer, char *out, size_t size)
{
    int used = snprintf(out, size, "x * %s", code_real(layer->scale));
    if (layer->offset != 0)
        snprintf(out + used, size - (size_t)used, " %c %s", layer->offset < 0 ? '-' : '+',
                 code_real(layer->offset < 0 ? -layer->offset : layer->offset));
}

static void normalize_call(const struct layer *layer, char *out, size_t size)
{
    snprintf(out, size, "(x - %s) / %s", code_real(layer->mean[0]), code_real(layer->std[0]));
}

struct torch_row {
    const char *maps, *values; /* the module for maps and for values; NULL: forward() alone */
    void (*arguments)(const struct layer *layer, struct code_arguments *arguments);
    /* (optional) the expression in x; NULL: self.NAME(x) */
    void (*call)(const struct layer *layer, char *out, size_t size);
    const char *pad;  /* what lays uneven padding around its input: it has no four numbers */
    const char *note; /* a comment above its first */
};

/* clang-format off */
static const struct torch_row torch_rows[LAYER_TYPE_COUNT] = {
    [LAYER_DENSE] = {"nn.Linear", "nn.Linear", torch_dense_arguments, NULL, NULL, NULL},
    [LAYER_CONV2D] = {"nn.Conv2d", NULL, torch_conv2d_arguments, NULL, "nn.ZeroPad2d((%u, %u, %u, %u))", NULL},
    [LAYER_MAXPOOL2D] = {"nn.MaxPool2d", NULL, torch_pool_arguments, NULL,
        "nn.ConstantPad2d((%u, %u, %u, %u), float(\"-inf\"))", NULL},
    [LAYER_AVGPOOL2D] = {"nn.AvgPool2d", NULL, avgpool_arguments, NULL, "nn.ZeroPad2d((%u, %u, %u, %u))", NULL},
    [LAYER_GLOBALAVGPOOL] = {"nn.AdaptiveAvgPool2d", NULL, one_argument, globalavgpool_call, NULL, NULL},
    [LAYER_FLATTEN] = {NULL, NULL, NULL, flatten_call, NULL, NULL},
    [LAYER_BATCHNORM] = {"nn.BatchNorm2d", "nn.BatchNorm1d", torch_batchnorm_arguments, NULL, NULL, NULL},
    [LAYER_LAYERNORM] = {"nn.LayerNorm", "nn.LayerNorm", torch_layernorm_arguments, NULL, NULL, NULL},
    [LAYER_DROPOUT] = {"nn.Dropout", "nn.Dropout", torch_dropout_arguments, NULL, NULL,
        "# PyTorch's generator draws what is dropped; --masks gives it the studio's"},
    [LAYER_ACTIVATION] = {NULL, NULL, NULL, activation_call, NULL, NULL},
    [LAYER_RESCALE] = {NULL, NULL, NULL, rescale_call, NULL, NULL},
    [LAYER_NORMALIZE] = {NULL, NULL, NULL, normalize_call, NULL, NULL},
};
/* clang-format on */

/* --- __init__ --------------------------------------------------------------------------------- */

/* Formats come from the table above: a layer's name, or four numbers in PyTorch's order. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void write_pad(const struct layer *layer, struct code_text *out)
{
    const uint32_t *pad = layer->padding;
    char made[96];
    snprintf(made, sizeof made, torch_rows[layer->type].pad, pad[PAD_LEFT], pad[PAD_RIGHT],
             pad[PAD_TOP], pad[PAD_BOTTOM]);
    code_line(out, "layer", "        self.%s_pad = %s  # left, right, top, bottom", layer->name,
              made);
}

static bool needs_pad(const struct layer *layer)
{
    return torch_rows[layer->type].pad && padding_form(layer) == PADDING_UNEVEN;
}

/* Glorot's for what has a matrix or kernels; normalizations begin with ones in both. */
static void write_keras_init(const struct network *network, struct code_text *out)
{
    bool dense = network_is_dense(network), bias = true;
    const char *indent = dense ? "            " : "                ";
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].without_bias) bias = false;
    code_line(out, "init",
              "        for layer in self.children():  # first values as Keras draws them");
    if (!dense) code_line(out, "init", "            if isinstance(layer, (nn.Linear, nn.Conv2d)):");
    code_line(out, "init", "%snn.init.xavier_uniform_(layer.weight)", indent);
    if (!bias) {
        code_line(out, "init", "%sif layer.bias is not None:", indent);
        indent = dense ? "                " : "                    ";
    }
    code_line(out, "init", "%snn.init.zeros_(layer.bias)", indent);
}

void torch_write_layers(const struct network *network, bool keras_init, struct code_text *out)
{
    bool noted[LAYER_TYPE_COUNT] = {false};
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        const struct torch_row *row = &torch_rows[layer->type];
        const char *module = layer->input.rank == 3 ? row->maps : row->values;
        struct code_arguments arguments = {""};
        if (!module) continue;
        out->layers = 1ull << i;
        if (row->note && !noted[layer->type]) code_line(out, "layer", "        %s", row->note);
        noted[layer->type] = true;
        if (needs_pad(layer)) write_pad(layer, out);
        row->arguments(layer, &arguments);
        code_line(out, "layer", "        self.%s = %s(%s)", layer->name, module, arguments.text);
    }
    out->layers = 0;
    if (keras_init) write_keras_init(network, out);
    write_activations(network, out);
}

/* --- forward() -------------------------------------------------------------------------------- */

/* The lines before a layer's own: padding that its module has no argument for. */
static void write_padding(const struct layer *layer, struct code_text *out)
{
    if (!needs_pad(layer)) return;
    if (layer->type == LAYER_AVGPOOL2D) /* the mean of what is no padding */
        code_line(out, "forward",
                  "        share = self.%s(self.%s_pad(torch.ones_like(x)))  # of a window that is "
                  "no padding",
                  layer->name, layer->name);
    code_line(out, "forward", "        x = self.%s_pad(x)", layer->name);
}

static void layer_call(const struct layer *layer, bool maps, char *out, size_t size)
{
    const char *usual = "self.%s(x)";
    if (torch_rows[layer->type].call) {
        torch_rows[layer->type].call(layer, out, size);
        return;
    }
    if (layer->type == LAYER_AVGPOOL2D && needs_pad(layer)) usual = "self.%s(x) / share";
    /* a picture behind rescale or normalize: the dense layer takes it whole */
    if (layer->type == LAYER_DENSE && layer->input.rank == 3 && maps)
        usual = "self.%s(x.flatten(1))";
    snprintf(out, size, usual, layer->name);
}

void torch_write_forward(const struct network *network, struct code_text *out)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        char call[160], attribute[32];
        out->layers = 1ull << i;
        layer_call(layer, python_takes_maps(network), call, sizeof call);
        write_padding(layer, out);
        if (i + 1 == network->layer_count) {
            code_line(out, "forward", "        return %s  # logits: the loss does the softmax",
                      call);
        } else if (layer->activation != ACTIVATION_NONE) {
            activation_attribute(network, i, attribute);
            code_line(out, "forward", "        x = self.%s(%s)", attribute, call);
        } else if (strcmp(call, "x") != 0) {
            code_line(out, "forward", "        x = %s", call);
        }
    }
    out->layers = 0;
}

/* === Keras ==================================================================================== */

/* --- activations ------------------------------------------------------------------------------ */

/* What stands behind `activation=`; NULL: a layer of its own, with the slope as its argument. */
static const struct {
    const char *value, *layer, *argument;
} keras_activations[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = {"\"relu\"", NULL, NULL},
    [ACTIVATION_TANH] = {"\"tanh\"", NULL, NULL},
    [ACTIVATION_SIGMOID] = {"\"sigmoid\"", NULL, NULL},
    [ACTIVATION_LEAKY_RELU] = {NULL, "LeakyReLU", "negative_slope"},
    [ACTIVATION_ELU] = {NULL, "ELU", "alpha"},
    [ACTIVATION_SELU] = {"\"selu\"", NULL, NULL},
    [ACTIVATION_GELU] = {"\"gelu\"", NULL, NULL},
    [ACTIVATION_GELU_TANH] = {"gelu_tanh", NULL, NULL}, /* a function that the program defines */
    [ACTIVATION_SILU] = {"\"silu\"", NULL, NULL},
    [ACTIVATION_SOFTPLUS] = {"\"softplus\"", NULL, NULL},
};

/* --- one row per layer type ------------------------------------------------------------------- */

/* Whether the padding is what Keras's "same" makes of these shapes. */
static bool pads_as_same(const struct layer *layer)
{
    struct layer copy = *layer;
    struct error ignored;
    copy.same = true;
    return !layer_kind(layer->type)->resolve(&copy, &ignored) &&
           memcmp(copy.padding, layer->padding, sizeof copy.padding) == 0;
}

/* A kernel per channel: Keras's DepthwiseConv2D, as the studio's .h5 has it (net/layout.h). */
static bool is_depthwise(const struct layer *layer)
{
    return layer->type == LAYER_CONV2D && layer->groups > 1 &&
           layer->groups == layer->input.sizes[0];
}

static void keras_dense_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%u", layer->units);
}

static void add_same(const struct layer *layer, struct code_arguments *a)
{
    if (padding_form(layer) != PADDING_NONE && pads_as_same(layer))
        code_argument(a, "padding=\"same\"");
}

static void keras_conv2d_arguments(const struct layer *layer, struct code_arguments *a)
{
    bool depthwise = is_depthwise(layer);
    if (!depthwise) code_argument(a, "%u", layer->filters);
    code_argument(a, "%s", code_pair(layer->kernel));
    if (depthwise && layer->filters > layer->groups)
        code_argument(a, "depth_multiplier=%u", layer->filters / layer->groups);
    if (!is_one(layer->stride)) code_argument(a, "strides=%s", code_pair(layer->stride));
    add_same(layer, a);
    if (!is_one(layer->dilation)) code_argument(a, "dilation_rate=%s", code_pair(layer->dilation));
    if (!depthwise && layer->groups > 1) code_argument(a, "groups=%u", layer->groups);
}

static void keras_pool_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%s", code_pair(layer->kernel));
    if (memcmp(layer->stride, layer->kernel, sizeof layer->stride) != 0)
        code_argument(a, "strides=%s", code_pair(layer->stride));
    add_same(layer, a);
}

static void keras_batchnorm_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "momentum=%s", code_real(1 - layer->momentum));
    code_argument(a, "epsilon=%s", code_real(layer->epsilon));
}

static void keras_layernorm_arguments(const struct layer *layer, struct code_arguments *a)
{
    if (layer->input.rank == 3) code_argument(a, "axis=[1, 2, 3]");
    code_argument(a, "epsilon=%s", code_real(layer->epsilon));
}

static void keras_dropout_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%s", code_real(layer->rate));
}

static void rescale_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%s", code_real(layer->scale));
    if (layer->offset != 0) code_argument(a, "offset=%s", code_real(layer->offset));
}

static void normalize_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "mean=%s", code_real(layer->mean[0]));
    code_argument(a, "variance=%s**2", code_real(layer->std[0]));
}

static int check_conv2d(const struct layer *layer, struct error *error)
{
    if (!is_one(layer->stride) && !is_one(layer->dilation))
        return error_set(error, ERROR_INPUT,
                         "Keras has no convolution with both a stride and a dilation: use stride 1 "
                         "or dilation 1");
    if (is_depthwise(layer) && layer->stride[0] != layer->stride[1])
        return error_set(error, ERROR_INPUT,
                         "Keras's DepthwiseConv2D has one stride for both directions, not %u×%u: "
                         "use equal strides",
                         layer->stride[0], layer->stride[1]);
    return 0;
}

static int check_pool(const struct layer *layer, struct error *error)
{
    if (padding_form(layer) == PADDING_NONE || pads_as_same(layer)) return 0;
    return error_set(error, ERROR_INPUT,
                     "Keras's pooling pads by its rule \"same\" only, not by %u %u %u %u: use "
                     "padding same or none",
                     layer->padding[0], layer->padding[1], layer->padding[2], layer->padding[3]);
}

struct keras_row {
    const char *layer;
    /* (optional) what makes the layer, without its activation, bias and name */
    void (*arguments)(const struct layer *layer, struct code_arguments *arguments);
    bool activates;             /* has `activation` and `use_bias` */
    const char *weight, *shift; /* what its arguments call weight and bias; NULL: it has none */
    int (*check)(const struct layer *layer, struct error *error); /* (optional) */
    const char *note;                                             /* a comment above its first */
};

/* clang-format off */
static const struct keras_row keras_rows[LAYER_TYPE_COUNT] = {
    [LAYER_DENSE] = {"Dense", keras_dense_arguments, true, "kernel", "bias", NULL, NULL},
    [LAYER_CONV2D] = {"Conv2D", keras_conv2d_arguments, true, "kernel", "bias", check_conv2d, NULL},
    [LAYER_MAXPOOL2D] = {"MaxPooling2D", keras_pool_arguments, false, NULL, NULL, check_pool, NULL},
    [LAYER_AVGPOOL2D] = {"AveragePooling2D", keras_pool_arguments, false, NULL, NULL, check_pool, NULL},
    [LAYER_GLOBALAVGPOOL] = {"GlobalAveragePooling2D", NULL, false, NULL, NULL, NULL, NULL},
    [LAYER_FLATTEN] = {"Flatten", NULL, false, NULL, NULL, NULL, NULL},
    [LAYER_BATCHNORM] = {"BatchNormalization", keras_batchnorm_arguments, false, "gamma", "beta", NULL,
        "# momentum is the weight of the old average here, of the new batch in PyTorch"},
    [LAYER_LAYERNORM] = {"LayerNormalization", keras_layernorm_arguments, false, "gamma", "beta", NULL, NULL},
    [LAYER_DROPOUT] = {"Dropout", keras_dropout_arguments, false, NULL, NULL, NULL,
        "# Keras's generator draws what is dropped; --masks gives it the studio's"},
    [LAYER_ACTIVATION] = {NULL, NULL, false, NULL, NULL, NULL, NULL},
    [LAYER_RESCALE] = {"Rescaling", rescale_arguments, false, NULL, NULL, NULL, NULL},
    [LAYER_NORMALIZE] = {"Normalization", normalize_arguments, false, NULL, NULL, NULL, NULL},
};
/* clang-format on */

int keras_check_layers(const struct network *network, struct error *error)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        if (keras_rows[layer->type].check && keras_rows[layer->type].check(layer, error))
            return error_prefix(error, "layer %u (%s)", i + 1, layer->name);
    }
    return 0;
}

/* --- what is defined before the model --------------------------------------------------------- */

static bool has_depthwise(const struct network *network)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (is_depthwise(&network->layers[i])) return true;
    return false;
}

/* PyTorch's default distribution. Two objects: one alone would draw the biases equal to the first
 * weights. */
static void write_torch_init(bool depthwise, struct code_text *out)
{
    const char *kernel = depthwise ? "f\"{kernel}_initializer\"" : "\"kernel_initializer\"";
    code_line(out, NULL, "%s", "");
    code_line(out, "init", "def torch_init(inputs%s):", depthwise ? ", kernel=\"kernel\"" : "");
    code_line(out, "init",
              "    \"\"\"First values as PyTorch draws them: uniform in ±1/sqrt(inputs).\"\"\"");
    code_line(out, "init", "    limit = inputs**-0.5");
    code_line(out, "init", "    return {");
    code_line(out, "init", "        %s: keras.initializers.RandomUniform(-limit, limit),", kernel);
    code_line(out, "init",
              "        \"bias_initializer\": keras.initializers.RandomUniform(-limit, limit),");
    code_line(out, "init", "    }");
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
}

/* PyTorch's L2 term is added to the gradient; Keras's own weight_decay is another thing (AdamW's).
 */
static void write_decay(double weight_decay, struct code_text *out)
{
    code_line(out, "decay",
              "# half of weight decay times w²: its gradient is weight decay times w");
    code_line(out, "decay", "penalty = keras.regularizers.L2(%s)", code_real(weight_decay / 2));
    code_line(out, "decay",
              "decay = {\"kernel_regularizer\": penalty, \"bias_regularizer\": penalty}");
    code_line(out, NULL, "%s", "");
}

static void write_gelu_tanh(struct code_text *out)
{
    code_line(out, NULL, "%s", "");
    code_line(out, "activation", "@keras.utils.register_keras_serializable()");
    code_line(out, "activation", "def gelu_tanh(x):");
    code_line(out, "activation", "    return keras.activations.gelu(x, approximate=True)");
    code_line(out, NULL, "%s", "");
    code_line(out, NULL, "%s", "");
}

static bool has_gelu_tanh(const struct network *network)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].activation == ACTIVATION_GELU_TANH) return true;
    return false;
}

void keras_write_definitions(const struct network *network, const struct job *job,
                             struct code_text *out)
{
    if (has_gelu_tanh(network)) write_gelu_tanh(out);
    if (job->init == INIT_TORCH) write_torch_init(has_depthwise(network), out);
    if (keras_decays_by_layers(job)) write_decay(job->optimizer.weight_decay, out);
}

/* --- the list --------------------------------------------------------------------------------- */

static void add_init(const struct layer *layer, struct code_arguments *a)
{
    struct tensor_spec specs[LAYER_MAX_TENSORS];
    layer_tensors(layer, specs);
    if (!specs[0].fan_in) return; /* ones and zeros in both */
    if (is_depthwise(layer))
        code_argument(a, "**torch_init(%zu, \"depthwise\")", specs[0].fan_in);
    else
        code_argument(a, "**torch_init(%zu)", specs[0].fan_in);
}

static void add_decay(const struct layer *layer, struct code_arguments *a)
{
    const struct keras_row *row = &keras_rows[layer->type];
    const char *weight = is_depthwise(layer) ? "depthwise" : row->weight;
    if (strcmp(weight, "kernel") == 0)
        code_argument(a, "**decay");
    else
        code_argument(a, "%s_regularizer=penalty, %s_regularizer=penalty", weight, row->shift);
}

/* What is written ahead of a layer: padding that it has no argument for, a picture as values. */
static void write_before(const struct layer *layer, bool maps, struct code_text *out)
{
    const uint32_t *pad = layer->padding;
    if (layer->type == LAYER_CONV2D && padding_form(layer) != PADDING_NONE && !pads_as_same(layer))
        code_line(out, "layer",
                  "    keras.layers.ZeroPadding2D(((%u, %u), (%u, %u)), name=\"%s_pad\"),",
                  pad[PAD_TOP], pad[PAD_BOTTOM], pad[PAD_LEFT], pad[PAD_RIGHT], layer->name);
    if (layer->type == LAYER_DENSE && layer->input.rank == 3 && maps)
        code_line(out, "layer", "    keras.layers.Flatten(),");
    if (layer->type == LAYER_FLATTEN && layer->input.rank == 3 && layer->input.sizes[0] > 1)
        code_line(out, "layer",
                  "    # counts rows, columns, channels, as initial.h5 does; PyTorch "
                  "channels first");
}

/* Returns whether the activation is said. */
static bool write_layer(const struct layer *layer, const struct job *job, struct code_text *out)
{
    const struct keras_row *row = &keras_rows[layer->type];
    const char *activation = keras_activations[layer->activation].value;
    bool activated = row->activates && activation;
    struct code_arguments arguments = {""};
    if (!row->layer) return false;
    if (row->arguments) row->arguments(layer, &arguments);
    if (activated) code_argument(&arguments, "activation=%s", activation);
    if (layer->without_bias) code_argument(&arguments, "use_bias=False");
    code_argument(&arguments, "name=\"%s\"", layer->name);
    if (row->weight && job->init == INIT_TORCH) add_init(layer, &arguments);
    if (row->weight && keras_decays_by_layers(job)) add_decay(layer, &arguments);
    code_line(out, activated ? "activation" : "layer", "    keras.layers.%s(%s),",
              is_depthwise(layer) ? "DepthwiseConv2D" : row->layer, arguments.text);
    return activated;
}

static void write_activation(const struct layer *layer, struct code_text *out)
{
    enum activation activation = layer->activation;
    if (keras_activations[activation].value)
        code_line(out, "activation", "    keras.layers.Activation(%s),",
                  keras_activations[activation].value);
    else
        code_line(out, "activation", "    keras.layers.%s(%s=%s),",
                  keras_activations[activation].layer, keras_activations[activation].argument,
                  code_real(layer->slope));
}

void keras_write_layers(const struct network *network, const struct job *job, struct code_text *out)
{
    bool noted[LAYER_TYPE_COUNT] = {false};
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        const char *note = keras_rows[layer->type].note;
        out->layers = 1ull << i;
        if (note && !noted[layer->type]) code_line(out, "layer", "    %s", note);
        noted[layer->type] = true;
        write_before(layer, python_takes_maps(network), out);
        if (i + 1 == network->layer_count)
            code_line(out, "layer", "    # logits: the loss does the softmax");
        bool said = write_layer(layer, job, out);
        if (!said && layer->activation != ACTIVATION_NONE) write_activation(layer, out);
    }
    out->layers = 0;
}
