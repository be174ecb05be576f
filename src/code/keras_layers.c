/* The layers of Keras's program: a row per layer type, and per activation. */
#include "code/layers.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "code/optimizers.h"
#include "code/python.h"
#include "code/text.h"

/* --- activations ------------------------------------------------------------------------------ */

static const char *const gelu_tanh_lines[] = {
    "@keras.utils.register_keras_serializable()",
    "def gelu_tanh(x):",
    "    return keras.activations.gelu(x, approximate=True)",
    NULL,
};
/* TensorFlow casts the numbers inside its gelu from float32. A function of Keras's name is saved
 * as Keras's own. */
static const char *const exact_gelu_lines[] = {
    "def gelu(x):  # TensorFlow's own has 1/√2 rounded to float32",
    "    return x * keras.ops.erfc(-x * np.float64(0.5**0.5)) / 2",
    NULL,
};
static const char *const exact_gelu_tanh_lines[] = {
    "@keras.utils.register_keras_serializable()",
    "def gelu_tanh(x):  # Keras's approximate gelu has its numbers rounded to float32",
    "    inner = (x + x * x * x * np.float64(0.044715)) * np.float64((2 / np.pi) ** 0.5)",
    "    return x * (1 + keras.ops.tanh(inner)) / 2",
    NULL,
};

/* What stands behind `activation=`; NULL: a layer of its own, with the slope as its argument. A
 * function that the program defines has its lines here, those for float64 apart. */
static const struct keras_activation {
    const char *value, *layer, *argument;
    const char *const *lines, *const *exact_lines;
    const char *exact_value; /* (optional) `value` in float64 */
} keras_activations[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = {.value = "\"relu\""},
    [ACTIVATION_TANH] = {.value = "\"tanh\""},
    [ACTIVATION_SIGMOID] = {.value = "\"sigmoid\""},
    [ACTIVATION_LEAKY_RELU] = {.layer = "LeakyReLU", .argument = "negative_slope"},
    [ACTIVATION_ELU] = {.layer = "ELU", .argument = "alpha"},
    [ACTIVATION_SELU] = {.value = "\"selu\""},
    [ACTIVATION_GELU] = {.value = "\"gelu\"",
                         .exact_value = "gelu",
                         .exact_lines = exact_gelu_lines},
    [ACTIVATION_GELU_TANH] = {.value = "gelu_tanh",
                              .lines = gelu_tanh_lines,
                              .exact_lines = exact_gelu_tanh_lines},
    [ACTIVATION_SILU] = {.value = "\"silu\""},
    [ACTIVATION_SOFTPLUS] = {.value = "\"softplus\""},
};

static bool is_exact(const struct job *job)
{
    return job->dtype == DTYPE_FLOAT64;
}

static const char *activation_value(enum activation activation, const struct job *job)
{
    const struct keras_activation *row = &keras_activations[activation];
    return is_exact(job) && row->exact_value ? row->exact_value : row->value;
}

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
    if (!pair_is_one(layer->stride)) code_argument(a, "strides=%s", code_pair(layer->stride));
    add_same(layer, a);
    if (!pair_is_one(layer->dilation))
        code_argument(a, "dilation_rate=%s", code_pair(layer->dilation));
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
    code_argument(a, "%s", code_keras_real(layer->scale, a->exact));
    if (layer->offset != 0) code_argument(a, "offset=%s", code_keras_real(layer->offset, a->exact));
}

static void normalize_arguments(const struct layer *layer, struct code_arguments *a)
{
    code_argument(a, "mean=%s", code_keras_real(layer->mean[0], a->exact));
    code_argument(a, "variance=%s**2", code_keras_real(layer->std[0], a->exact));
}

static int check_conv2d(const struct layer *layer, struct error *error)
{
    if (!pair_is_one(layer->stride) && !pair_is_one(layer->dilation))
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

struct keras_code_row {
    const char *layer;
    /* (optional) what makes the layer, without its activation, bias and name */
    void (*arguments)(const struct layer *layer, struct code_arguments *arguments);
    bool activates;             /* has `activation` and `use_bias` */
    const char *weight, *shift; /* what its arguments call weight and bias; NULL: it has none */
    int (*check)(const struct layer *layer, struct error *error); /* (optional) */
    const char *note;                                             /* a comment above its first */
};

/* clang-format off */
static const struct keras_code_row keras_rows[LAYER_TYPE_COUNT] = {
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

static bool has_activation(const struct network *network, enum activation activation)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].activation == activation) return true;
    return false;
}

static bool write_functions(const struct network *network, const struct job *job,
                            struct code_text *out)
{
    bool any = false;
    for (enum activation i = 0; i < ACTIVATION_COUNT; i++) {
        const struct keras_activation *row = &keras_activations[i];
        const char *const *lines = is_exact(job) && row->exact_lines ? row->exact_lines
                                                                     : row->lines;
        if (!lines || !has_activation(network, i)) continue;
        code_line(out, NULL, "%s", "");
        for (; *lines; lines++) code_line(out, "activation", "%s", *lines);
        code_line(out, NULL, "%s", "");
        any = true;
    }
    return any;
}

void keras_write_definitions(const struct code_subject *subject, struct code_text *out)
{
    const struct network *network = &subject->network;
    const struct job *job = subject->job;
    bool functions = write_functions(network, job, out);
    if (job->init == INIT_TORCH) write_torch_init(has_depthwise(network), out);
    if (functions || job->init == INIT_TORCH) code_line(out, NULL, "%s", "");
    if (keras_decays_by_layers(subject)) write_decay(job->optimizer.weight_decay, out);
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
    const struct keras_code_row *row = &keras_rows[layer->type];
    const char *weight = is_depthwise(layer) ? "depthwise" : row->weight;
    if (strcmp(weight, "kernel") == 0)
        code_argument(a, "**decay");
    else
        code_argument(a, "%s_regularizer=penalty, %s_regularizer=penalty", weight, row->shift);
}

/* Of Keras's three classes the one that keeps its numbers as they are given. */
static void add_penalty(const struct layer *layer, struct code_arguments *a)
{
    struct code_arguments numbers = {""};
    if (layer->l1 > 0) code_argument(&numbers, "l1=%s", code_real(layer->l1));
    if (layer->l2 > 0) code_argument(&numbers, "l2=%s", code_real(layer->l2));
    code_argument(a, "%s_regularizer=keras.regularizers.L1L2(%s)",
                  is_depthwise(layer) ? "depthwise" : "kernel", numbers.text);
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
                  "    # counts rows, columns, channels, as initial.keras does; PyTorch "
                  "channels first");
}

/* Returns whether the activation is said. */
static bool write_layer(const struct layer *layer, const struct code_subject *subject,
                        struct code_text *out)
{
    const struct job *job = subject->job;
    const struct keras_code_row *row = &keras_rows[layer->type];
    const char *activation = activation_value(layer->activation, job);
    bool activated = row->activates && activation;
    struct code_arguments arguments = {.exact = is_exact(job)};
    if (!row->layer) return false;
    if (row->arguments) row->arguments(layer, &arguments);
    if (activated) code_argument(&arguments, "activation=%s", activation);
    if (layer->without_bias) code_argument(&arguments, "use_bias=False");
    code_argument(&arguments, "name=\"%s\"", layer->name);
    if (row->weight && job->init == INIT_TORCH) add_init(layer, &arguments);
    if (row->weight && keras_decays_by_layers(subject)) add_decay(layer, &arguments);
    if (layer_is_penalized(layer)) add_penalty(layer, &arguments);
    code_line(out, activated ? "activation" : "layer", "    keras.layers.%s(%s),",
              is_depthwise(layer) ? "DepthwiseConv2D" : row->layer, arguments.text);
    return activated;
}

static void write_activation(const struct layer *layer, const struct job *job,
                             struct code_text *out)
{
    enum activation activation = layer->activation;
    const char *value = activation_value(activation, job);
    if (value)
        code_line(out, "activation", "    keras.layers.Activation(%s),", value);
    else
        code_line(out, "activation", "    keras.layers.%s(%s=%s),",
                  keras_activations[activation].layer, keras_activations[activation].argument,
                  code_real(layer->slope));
}

void keras_write_layers(const struct code_subject *subject, struct code_text *out)
{
    const struct network *network = &subject->network;
    const struct job *job = subject->job;
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
        bool said = write_layer(layer, subject, out);
        if (!said && layer->activation != ACTIVATION_NONE) write_activation(layer, job, out);
    }
    out->layers = 0;
}

/* LeakyRelu of TensorFlow keeps its slope as a float32, whatever its input is. */
static bool slope_is_rounded(const struct layer *layer)
{
    return layer->activation == ACTIVATION_LEAKY_RELU && (float)layer->slope != layer->slope;
}

/* The layers for which `holds` is true, a bit for each. */
static uint64_t layers_that(const struct network *network, bool (*holds)(const struct layer *layer))
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (holds(&network->layers[i])) bits |= 1ull << i;
    return bits;
}

static void write_exact_slopes(const struct network *network, struct code_text *out)
{
    out->layers = layers_that(network, slope_is_rounded);
    if (!out->layers) return;
    code_line(out, "activation", "for layer in model.layers:");
    code_line(
        out, "activation",
        "    if isinstance(layer, keras.layers.LeakyReLU):  # its slope is rounded to float32");
    code_line(out, "activation", "        slope = np.float64(layer.negative_slope)");
    code_line(out, "activation",
              "        layer.call = lambda x, slope=slope: keras.ops.where(x > 0, x, x * slope)");
    out->layers = 0;
}

/* The layers keep their L1L2, which is what is saved. */
static void write_exact_penalties(const struct network *network, struct code_text *out)
{
    static const char *const lines[] = {
        "def exact(penalty):  # L1L2 of Keras rounds its numbers to float32 when it is called",
        "    return lambda w: (",
        "        keras.ops.sum(keras.ops.abs(w)) * np.float64(penalty.l1)",
        "        + keras.ops.sum(keras.ops.square(w)) * np.float64(penalty.l2)",
        "    )",
    };
    out->layers = layers_that(network, layer_is_penalized);
    if (!out->layers) return;
    code_blank(out, 2);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        code_line(out, "penalty", "%s", lines[i]);
    code_blank(out, 2);
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        if (!layer_is_penalized(layer)) continue;
        out->layers = 1ull << i;
        code_line(out, "penalty", "layer = model.get_layer(\"%s\")", layer->name);
        code_line(out, "penalty", "layer.kernel.regularizer = exact(layer.%s_regularizer)",
                  is_depthwise(layer) ? "depthwise" : "kernel");
    }
    out->layers = 0;
}

void keras_write_exact(const struct network *network, const struct job *job, struct code_text *out)
{
    if (!is_exact(job)) return;
    write_exact_slopes(network, out);
    write_exact_penalties(network, out);
}
