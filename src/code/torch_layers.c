/* The layers of PyTorch's program: a row per layer type, and per activation; what __init__ makes
 * and how forward() calls it. */
#include "code/layers.h"

#include <stdio.h>
#include <string.h>

#include "code/python.h"
#include "code/text.h"

enum padding_form padding_form(const struct layer *layer)
{
    const uint32_t *pad = layer->padding;
    if (pad[PAD_TOP] != pad[PAD_BOTTOM] || pad[PAD_LEFT] != pad[PAD_RIGHT]) return PADDING_UNEVEN;
    return pad[PAD_TOP] || pad[PAD_LEFT] ? PADDING_EVEN : PADDING_NONE;
}

bool pair_is_one(const uint32_t pair[2])
{
    return pair[0] == 1 && pair[1] == 1;
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

static void torch_conv2d_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "%u", layer->input.sizes[0]);
    code_argument(a, "%u", layer->filters);
    code_argument(a, "%s", code_pair(layer->kernel));
    if (!pair_is_one(layer->stride)) code_argument(a, "stride=%s", code_pair(layer->stride));
    add_padding(layer, a);
    if (!pair_is_one(layer->dilation)) code_argument(a, "dilation=%s", code_pair(layer->dilation));
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
