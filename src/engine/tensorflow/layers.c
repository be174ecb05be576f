/* Layers as Keras computes them, one function per type and one row each in the tables. */
#include "engine/tensorflow/layers.h"

#include <math.h>
#include <stdlib.h>

#include "engine/dropout.h"
#include "engine/window.h"

static const struct layer *layer_of(const struct tf_pass *p, uint32_t index)
{
    return &p->t->config->network.layers[index];
}

static TF_Output real(const struct tf_pass *p, double value)
{
    return graph_real(p->g, p->t->real, value);
}

static TF_Output to_real(const struct tf_pass *p, TF_Output x)
{
    return GRAPH_OP_TYPED(p->g, "Cast", "DstT", p->t->real, x);
}

/* A tensor of the layer as it is when the step begins. */
static TF_Output read_tensor(struct tf_pass *p, uint32_t index, enum tensor_role role)
{
    int place = p->t->places[index][role];
    CHECK(place >= 0);
    return p->step->parameters[place] = graph_read(p->g, p->v->values[0][place], p->t->real);
}

/* [layer: dense] */
/* Dense: x · weight + bias. */
static TF_Output apply_dense(struct tf_pass *p, uint32_t index, TF_Output x)
{
    struct graph *g = p->g;
    const struct layer *layer = layer_of(p, index);
    const int32_t list[] = {-1, (int32_t)layer->inputs};
    if (index && layer->input.rank == 3) x = GRAPH_OP(g, "Reshape", x, graph_ints(g, list, 2));
    TF_Output weight = read_tensor(p, index, ROLE_WEIGHT);
    TF_Output z = GRAPH_OP(g, "MatMul", x, weight); /* [layer] */
    if (layer->without_bias) return z;
    return GRAPH_OP(g, "BiasAdd", z, read_tensor(p, index, ROLE_BIAS)); /* [layer] */
}
/* [end] */

/* ---- orders of values ------------------------------------------------------------------------ */

/* A sample's values behind layer `index`, from the studio's order to Keras's: [count · values] in
 * any shape to what the layer puts out here. */
static TF_Output from_studio(const struct tf_pass *p, const struct layout *layout, TF_Output x)
{
    int32_t sizes[1 + LAYOUT_MAX_RANK] = {-1}, order[1 + LAYOUT_MAX_RANK] = {0},
                      keras[1 + SHAPE_MAX_RANK] = {-1};
    for (uint32_t a = 0; a < layout->rank; a++) {
        sizes[1 + a] = (int32_t)layout->sizes[a];
        order[1 + a] = (int32_t)layout->order[a] + 1;
    }
    for (uint32_t d = 0; d < layout->keras.rank; d++)
        keras[1 + d] = (int32_t)layout->keras.sizes[d];
    if (!layout_is_plain(layout)) {
        x = GRAPH_OP(p->g, "Reshape", x, graph_ints(p->g, sizes, 1 + layout->rank));
        x = GRAPH_OP(p->g, "Transpose", x, graph_ints(p->g, order, 1 + layout->rank));
    }
    return GRAPH_OP(p->g, "Reshape", x, graph_ints(p->g, keras, 1 + layout->keras.rank));
}

/* Data sets have [channels, rows, columns] per sample. A first dense layer over one channel takes
 * them as they are. */
static TF_Output order_pictures(const struct tf_pass *p, TF_Output pictures)
{
    const struct layer *first = layer_of(p, 0);
    const struct shape *maps = &first->input;
    struct layout layout = layout_of_maps(maps);
    bool dense = first->type == LAYER_DENSE;
    if (dense && maps->sizes[0] == 1) return pictures;
    if (dense) layout.keras = shape_units(first->inputs);
    return from_studio(p, &layout, pictures);
}

/* ---- windows --------------------------------------------------------------------------------- */

/* Pads rows and columns of x, unless the operator's own "SAME" does (or nothing is to be
 * padded). */
static TF_Output pad_input(const struct tf_pass *p, const struct layer *layer, TF_Output x,
                           double fill)
{
    const uint32_t *pad = layer->padding;
    const int32_t sides[] = {0,
                             0,
                             (int32_t)pad[PAD_TOP],
                             (int32_t)pad[PAD_BOTTOM],
                             (int32_t)pad[PAD_LEFT],
                             (int32_t)pad[PAD_RIGHT],
                             0,
                             0};
    if (layer->same || !(pad[PAD_TOP] | pad[PAD_BOTTOM] | pad[PAD_LEFT] | pad[PAD_RIGHT])) return x;
    return GRAPH_OP(p->g, "PadV2", x, graph_int_matrix(p->g, sides, 8, 2), real(p, fill));
}

static const char *padding_name(const struct layer *layer)
{
    return layer->same ? "SAME" : "VALID";
}

/* A kernel [rows, columns, …] with zeros between its values. The gradient of Conv2D that the C API
 * has does not know dilations; the gradients of these operations do. */
static TF_Output dilate(const struct tf_pass *p, const struct layer *layer, TF_Output kernel,
                        const int32_t rest[2])
{
    struct graph *g = p->g;
    const int32_t rows = (int32_t)layer->kernel[0], columns = (int32_t)layer->kernel[1],
                  down = (int32_t)layer->dilation[0], right = (int32_t)layer->dilation[1];
    const int32_t spread[] = {rows, 1, columns, 1, rest[0], rest[1]},
                  gaps[] = {0, 0, 0, down - 1, 0, 0, 0, right - 1, 0, 0, 0, 0},
                  whole[] = {rows * down, columns * right, rest[0], rest[1]},
                  begin[] = {0, 0, 0, 0},
                  reach[] = {(rows - 1) * down + 1, (columns - 1) * right + 1, rest[0], rest[1]};
    if (down == 1 && right == 1) return kernel;
    kernel = GRAPH_OP(g, "Reshape", kernel, graph_ints(g, spread, 6));
    kernel = GRAPH_OP(g, "Pad", kernel, graph_int_matrix(g, gaps, 12, 2));
    kernel = GRAPH_OP(g, "Reshape", kernel, graph_ints(g, whole, 4));
    return GRAPH_OP(g, "Slice", kernel, graph_ints(g, begin, 4), graph_ints(g, reach, 4));
}

static TF_Output convolve(const struct tf_pass *p, const struct layer *layer, const char *type,
                          TF_Output x, TF_Output kernel)
{
    const int64_t strides[] = {1, layer->stride[0], layer->stride[1], 1};
    return graph_op_with(
        p->g, type, (TF_Output[]){x, kernel}, 2,
        (struct graph_attribute[]){{"strides", strides, 4, NULL, false},
                                   {"padding", NULL, 0, padding_name(layer), false},
                                   {0}});
}

/* Each group of channels by its own filters. */
static TF_Output convolve_groups(const struct tf_pass *p, const struct layer *layer, TF_Output x,
                                 TF_Output kernel)
{
    struct graph *g = p->g;
    const int32_t groups = (int32_t)layer->groups;
    TF_Output *parts = calloc(3 * (size_t)groups, sizeof *parts), result = {0};
    if (!parts) {
        g->failed = true;
        error_set_memory(&g->error, "a convolution");
        return result;
    }
    TF_Output *kernels = parts + groups, *results = kernels + groups;
    graph_split(g, x, 3, groups, parts);
    graph_split(g, kernel, 3, groups, kernels);
    for (int32_t i = 0; i < groups; i++)
        results[i] = convolve(p, layer, "Conv2D", parts[i], kernels[i]);
    result = graph_join(g, "ConcatV2", results, (size_t)groups, graph_int(g, 3));
    free(parts);
    return result;
}

/* [layer: conv2d] */
/* Conv2D, DepthwiseConv2D */
static TF_Output apply_conv2d(struct tf_pass *p, uint32_t index, TF_Output x)
{
    const struct layer *layer = layer_of(p, index);
    struct graph *g = p->g;
    const int32_t channels = (int32_t)layer->input.sizes[0], groups = (int32_t)layer->groups,
                  filters = (int32_t)layer->filters;
    TF_Output kernel = read_tensor(p, index, ROLE_WEIGHT);
    bool depthwise = groups == channels && groups > 1;
    const int32_t each[] = {channels, filters / channels}, all[] = {channels / groups, filters};
    x = pad_input(p, layer, x, 0);
    kernel = dilate(p, layer, kernel, depthwise ? each : all);
    if (depthwise && layer->stride[0] == layer->stride[1]) {
        x = convolve(p, layer, "DepthwiseConv2dNative", x, kernel);
    } else if (groups > 1) {
        int32_t rows = (int32_t)((layer->kernel[0] - 1) * layer->dilation[0] + 1),
                columns = (int32_t)((layer->kernel[1] - 1) * layer->dilation[1] + 1);
        const int32_t shape[] = {rows, columns, channels / groups, filters};
        if (depthwise) kernel = GRAPH_OP(g, "Reshape", kernel, graph_ints(g, shape, 4));
        x = convolve_groups(p, layer, x, kernel);
    } else {
        x = convolve(p, layer, "Conv2D", x, kernel);
    }
    if (layer->without_bias) return x;
    return GRAPH_OP(g, "BiasAdd", x, read_tensor(p, index, ROLE_BIAS));
}
/* [end] */

static TF_Output pool(const struct tf_pass *p, const struct layer *layer, const char *type,
                      TF_Output x)
{
    const int64_t size[] = {1, layer->kernel[0], layer->kernel[1], 1},
                  strides[] = {1, layer->stride[0], layer->stride[1], 1};
    return graph_op_with(
        p->g, type, &x, 1,
        (struct graph_attribute[]){{"ksize", size, 4, NULL, false},
                                   {"strides", strides, 4, NULL, false},
                                   {"padding", NULL, 0, padding_name(layer), false},
                                   {0}});
}

/* [layer: maxpool2d] */
/* MaxPooling2D */
static TF_Output apply_maxpool2d(struct tf_pass *p, uint32_t index, TF_Output x)
{
    const struct layer *layer = layer_of(p, index);
    return pool(p, layer, "MaxPool", pad_input(p, layer, x, -HUGE_VAL));
}
/* [end] */

/* [layer: avgpool2d] */
/* AveragePooling2D */
static TF_Output apply_avgpool2d(struct tf_pass *p, uint32_t index, TF_Output x)
{
    const struct layer *layer = layer_of(p, index);
    TF_Output padded = pad_input(p, layer, x, 0);
    const int64_t places[] = {1, layer->output.sizes[1], layer->output.sizes[2], 1};
    bool counted = padded.oper != x.oper;
    x = pool(p, layer, "AvgPool", padded);
    if (!counted) return x;
    double *corrections = malloc((size_t)(places[1] * places[2]) * sizeof *corrections);
    if (!corrections) {
        p->g->failed = true;
        error_set_memory(&p->g->error, "average pooling");
        return x;
    }
    window_corrections(layer, corrections);
    x = GRAPH_OP(p->g, "Mul", x, graph_real_array(p->g, p->t->real, places, 4, corrections));
    free(corrections);
    return x;
}
/* [end] */

/* [layer: globalavgpool] */
/* GlobalAveragePooling2D */
static TF_Output apply_globalavgpool(struct tf_pass *p, uint32_t index, TF_Output x)
{
    (void)index;
    return GRAPH_OP(p->g, "Mean", x, graph_ints(p->g, (int32_t[]){1, 2}, 2));
}
/* [end] */

/* [layer: flatten] */
/* Flatten: rows, columns, channels */
static TF_Output apply_flatten(struct tf_pass *p, uint32_t index, TF_Output x)
{
    const int32_t shape[] = {-1, (int32_t)layer_of(p, index)->outputs};
    return GRAPH_OP(p->g, "Reshape", x, graph_ints(p->g, shape, 2));
}
/* [end] */

/* ---- normalizations -------------------------------------------------------------------------- */

/* The mean over those axes; they stay, with size 1, when `keep`. */
static TF_Output mean_over(const struct tf_pass *p, TF_Output x, TF_Output axes, bool keep)
{
    return graph_op_with(p->g, "Mean", (TF_Output[]){x, axes}, 2,
                         (struct graph_attribute[]){{"keep_dims", NULL, 0, NULL, keep}, {0}});
}

/* tf.nn.moments. No gradient need pass through the mean inside the variance: it is zero. */
static void moments(const struct tf_pass *p, TF_Output x, TF_Output axes, bool keep,
                    TF_Output *mean, TF_Output *variance)
{
    *mean = mean_over(p, x, axes, keep);
    TF_Output square = GRAPH_OP(p->g, "SquaredDifference", x,
                                GRAPH_OP(p->g, "StopGradient", *mean));
    *variance = mean_over(p, square, axes, keep);
}

/* (x − mean) / √(variance + ε) · weight + bias */
static TF_Output normalize(struct tf_pass *p, uint32_t index, TF_Output x, TF_Output mean,
                           TF_Output variance)
{
    struct graph *g = p->g;
    p->step->below[index] = x;
    TF_Output scale = GRAPH_OP(
        g, "Rsqrt", GRAPH_OP(g, "AddV2", variance, real(p, layer_of(p, index)->epsilon)));
    x = GRAPH_OP(g, "Mul", GRAPH_OP(g, "Sub", x, mean), scale);
    x = GRAPH_OP(g, "Mul", x, read_tensor(p, index, ROLE_WEIGHT));
    return GRAPH_OP(g, "AddV2", x, read_tensor(p, index, ROLE_BIAS));
}

/* running ← (1 − momentum) · running + momentum · value */
static void update_running(struct tf_pass *p, uint32_t index, enum tensor_role role,
                           TF_Output value)
{
    struct graph *g = p->g;
    const int place = p->t->places[index][role];
    const double momentum = layer_of(p, index)->momentum;
    p->step->statistics[place] = value;
    TF_Output kept = GRAPH_OP(g, "Mul", read_tensor(p, index, role), real(p, 1 - momentum));
    TF_Output moved = GRAPH_OP(g, "AddV2", kept, GRAPH_OP(g, "Mul", value, real(p, momentum)));
    p->step->updates[0][place] =
        GRAPH_OP(g, "AssignVariableOp", p->v->values[0][place], moved).oper;
}

/* [layer: batchnorm] */
/* BatchNormalization. PyTorch's meaning: the running variance takes the batch's unbiased one, n /
 * (n − 1) times what it normalizes by. A network of another meaning would be treated here. */
static TF_Output apply_batchnorm(struct tf_pass *p, uint32_t index, TF_Output x)
{
    struct graph *g = p->g;
    const struct layer *layer = layer_of(p, index);
    TF_Output mean, variance;
    if (!p->training) {
        mean = read_tensor(p, index, ROLE_RUNNING_MEAN);
        variance = read_tensor(p, index, ROLE_RUNNING_VARIANCE);
        return normalize(p, index, x, mean, variance);
    }
    moments(p, x, graph_ints(g, (int32_t[]){0, 1, 2}, layer->input.rank == 3 ? 3 : 1), false, &mean,
            &variance);
    TF_Output n = GRAPH_OP(g, "RealDiv", to_real(p, GRAPH_OP(g, "Size", x)),
                           real(p, layer->input.sizes[0]));
    TF_Output unbiased = GRAPH_OP(g, "RealDiv", n, GRAPH_OP(g, "Sub", n, real(p, 1)));
    update_running(p, index, ROLE_RUNNING_MEAN, mean);
    update_running(p, index, ROLE_RUNNING_VARIANCE, GRAPH_OP(g, "Mul", variance, unbiased));
    return normalize(p, index, x, mean, variance);
}
/* [end] */

/* [layer: layernorm] */
/* LayerNormalization over all of a sample */
static TF_Output apply_layernorm(struct tf_pass *p, uint32_t index, TF_Output x)
{
    TF_Output mean, variance;
    moments(p, x, graph_ints(p->g, (int32_t[]){1, 2, 3}, layer_of(p, index)->input.rank), true,
            &mean, &variance);
    return normalize(p, index, x, mean, variance);
}
/* [end] */

/* ---- dropout --------------------------------------------------------------------------------- */

/* The studio's own mask (engine/dropout.h), drawn inside the graph: ones and zeros in the shape of
 * the layer. */
static TF_Output draw_mask(const struct tf_pass *p, uint32_t index, TF_Output x)
{
    enum { PHILOX = 1 };
    struct graph *g = p->g;
    const struct layer *layer = layer_of(p, index);
    struct layout layout = layout_of_output(&p->t->config->network, index);
    TF_Output before = GRAPH_OP(g, "Sub", p->n, graph_real(g, TF_DOUBLE, 1));
    TF_Output stream = GRAPH_OP(
        g, "AddV2",
        GRAPH_OP(g, "Mul", before, graph_real(g, TF_DOUBLE, (double)dropout_stream(1, 0))),
        graph_real(g, TF_DOUBLE, (double)dropout_stream(0, index)));
    TF_Output counter[] = {graph_uint64(g, 0),
                           GRAPH_OP_TYPED(g, "Cast", "DstT", TF_UINT64, stream)};
    TF_Output count = GRAPH_OP(g, "Size", x), before_part = {0};
    if (p->step->first.oper) { /* the batch's masks begin with those of the parts before this one */
        before_part = GRAPH_OP(g, "Mul", p->step->first, graph_int(g, (int32_t)layer->outputs));
        count = GRAPH_OP(g, "AddV2", count, before_part);
    }
    count = GRAPH_OP(g, "Reshape", count, graph_int_vector(g, 1));
    TF_Output words = GRAPH_OP_TYPED(g, "StatelessRandomUniformFullIntV2", "dtype", TF_UINT32,
                                     count, graph_uint64_vector(g, p->t->config->seed),
                                     graph_join(g, "Pack", counter, 2, (TF_Output){0}),
                                     graph_int(g, PHILOX));
    if (before_part.oper)
        words = GRAPH_OP(g, "Slice", words,
                         GRAPH_OP(g, "Reshape", before_part, graph_int_vector(g, 1)),
                         graph_int_vector(g, -1));
    /* Doubles hold every word, and comparing them needs no kernel for unsigned numbers. */
    TF_Output kept = GRAPH_OP(g, "GreaterEqual",
                              GRAPH_OP_TYPED(g, "Cast", "DstT", TF_DOUBLE, words),
                              graph_real(g, TF_DOUBLE, dropout_threshold(layer->rate)));
    return from_studio(p, &layout, to_real(p, kept));
}

/* [layer: dropout] */
/* Dropout */
static TF_Output apply_dropout(struct tf_pass *p, uint32_t index, TF_Output x)
{
    const double rate = layer_of(p, index)->rate;
    if (!p->training || rate == 0) return x;
    x = GRAPH_OP(p->g, "Mul", x, draw_mask(p, index, x));
    return GRAPH_OP(p->g, "RealDiv", x, real(p, 1 - rate));
}
/* [end] */

/* ---- layers that compute by value ------------------------------------------------------------ */

/* [layer: activation] */
static TF_Output apply_activation(struct tf_pass *p, uint32_t index, TF_Output x)
{
    (void)p, (void)index;
    return x;
}
/* [end] */

/* [layer: rescale] */
/* Rescaling */
static TF_Output apply_rescale(struct tf_pass *p, uint32_t index, TF_Output x)
{
    const struct layer *layer = layer_of(p, index);
    return GRAPH_OP(p->g, "AddV2", GRAPH_OP(p->g, "Mul", x, real(p, layer->scale)),
                    real(p, layer->offset));
}
/* [end] */

/* [layer: normalize] */
/* Normalization, with the standard deviation for the variance */
static TF_Output apply_normalize(struct tf_pass *p, uint32_t index, TF_Output x)
{
    const struct layer *layer = layer_of(p, index);
    const int64_t channels = layer->input.sizes[0];
    TF_Output mean = graph_real_array(p->g, p->t->real, &channels, 1, layer->mean),
              std = graph_real_array(p->g, p->t->real, &channels, 1, layer->std);
    return GRAPH_OP(p->g, "RealDiv", GRAPH_OP(p->g, "Sub", x, mean), std);
}
/* [end] */

static TF_Output (*const kinds[LAYER_TYPE_COUNT])(struct tf_pass *p, uint32_t index,
                                                  TF_Output x) = {
    [LAYER_DENSE] = apply_dense,
    [LAYER_CONV2D] = apply_conv2d,
    [LAYER_MAXPOOL2D] = apply_maxpool2d,
    [LAYER_AVGPOOL2D] = apply_avgpool2d,
    [LAYER_GLOBALAVGPOOL] = apply_globalavgpool,
    [LAYER_FLATTEN] = apply_flatten,
    [LAYER_BATCHNORM] = apply_batchnorm,
    [LAYER_LAYERNORM] = apply_layernorm,
    [LAYER_DROPOUT] = apply_dropout,
    [LAYER_ACTIVATION] = apply_activation,
    [LAYER_RESCALE] = apply_rescale,
    [LAYER_NORMALIZE] = apply_normalize,
};

/* ---- activations ----------------------------------------------------------------------------- */

/* x where it is positive, else `low`: there also at 0, as PyTorch's derivatives have it. */
static TF_Output split_at_zero(const struct tf_pass *p, TF_Output x, TF_Output high, TF_Output low)
{
    return GRAPH_OP(p->g, "SelectV2", GRAPH_OP(p->g, "Greater", x, real(p, 0)), high, low);
}

/* The operator LeakyRelu keeps its slope as a float. */
static TF_Output leaky_relu(const struct tf_pass *p, const struct layer *layer, TF_Output x)
{
    return split_at_zero(p, x, x, GRAPH_OP(p->g, "Mul", x, real(p, layer->slope)));
}

static TF_Output elu(const struct tf_pass *p, const struct layer *layer, TF_Output x)
{
    return split_at_zero(p, x, x,
                         GRAPH_OP(p->g, "Mul", GRAPH_OP(p->g, "Elu", x), real(p, layer->slope)));
}

static TF_Output selu(const struct tf_pass *p, const struct layer *layer, TF_Output x)
{
    const double scale = 1.0507009873554804934193349852946,
                 alpha = 1.6732632423543772848170429916717;
    (void)layer;
    return split_at_zero(p, x, GRAPH_OP(p->g, "Mul", x, real(p, scale)),
                         GRAPH_OP(p->g, "Mul", GRAPH_OP(p->g, "Elu", x), real(p, scale * alpha)));
}

/* x / 2 · (1 + y) */
static TF_Output half_of(const struct tf_pass *p, TF_Output x, TF_Output y)
{
    return GRAPH_OP(p->g, "Mul", GRAPH_OP(p->g, "Mul", x, real(p, 0.5)),
                    GRAPH_OP(p->g, "AddV2", y, real(p, 1)));
}

/* x · Φ(x) */
static TF_Output gelu(const struct tf_pass *p, const struct layer *layer, TF_Output x)
{
    (void)layer;
    return half_of(p, x, GRAPH_OP(p->g, "Erf", GRAPH_OP(p->g, "Mul", x, real(p, M_SQRT1_2))));
}

/* with tanh(√(2/π) · (x + 0.044715 · x³)) for the error function */
static TF_Output gelu_tanh(const struct tf_pass *p, const struct layer *layer, TF_Output x)
{
    struct graph *g = p->g;
    (void)layer;
    TF_Output cube = GRAPH_OP(g, "Mul", GRAPH_OP(g, "Square", x), x);
    TF_Output inner = GRAPH_OP(g, "AddV2", x, GRAPH_OP(g, "Mul", cube, real(p, 0.044715)));
    return half_of(
        p, x, GRAPH_OP(g, "Tanh", GRAPH_OP(g, "Mul", inner, real(p, M_SQRT2 * M_2_SQRTPI * 0.5))));
}

static TF_Output silu(const struct tf_pass *p, const struct layer *layer, TF_Output x)
{
    (void)layer;
    return GRAPH_OP(p->g, "Mul", x, GRAPH_OP(p->g, "Sigmoid", x));
}

/* [stage: network, activation] */
/* An activation is one operation, or a function of several. */
static const struct {
    const char *type;
    TF_Output (*compose)(const struct tf_pass *p, const struct layer *layer, TF_Output x);
} activations[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = {"Relu", NULL},       [ACTIVATION_TANH] = {"Tanh", NULL},
    [ACTIVATION_SIGMOID] = {"Sigmoid", NULL}, [ACTIVATION_LEAKY_RELU] = {NULL, leaky_relu},
    [ACTIVATION_ELU] = {NULL, elu},           [ACTIVATION_SELU] = {NULL, selu},
    [ACTIVATION_GELU] = {NULL, gelu},         [ACTIVATION_GELU_TANH] = {NULL, gelu_tanh},
    [ACTIVATION_SILU] = {NULL, silu},         [ACTIVATION_SOFTPLUS] = {"Softplus", NULL},
};
/* [end] */

/* [stage: network] */
static TF_Output activate(const struct tf_pass *p, const struct layer *layer, TF_Output z)
{
    if (activations[layer->activation].compose)
        return activations[layer->activation].compose(p, layer, z); /* [activation] */
    const char *type = activations[layer->activation].type;         /* [activation] */
    return type ? GRAPH_OP(p->g, type, z) : z;
}

/* Each layer and its activation. Returns the logits. */
TF_Output tf_apply_network(struct tf_pass *p, TF_Output pictures)
{
    const struct network *network = &p->t->config->network;
    TF_Output x = order_pictures(p, pictures);
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        p->step->z[i] = kinds[layer->type](p, i, x);           /* [forward] */
        x = p->step->a[i] = activate(p, layer, p->step->z[i]); /* [activation] */
    }
    return x;
}
/* [end] */

bool tf_has_layer(enum layer_type type)
{
    return kinds[type] != NULL;
}

bool tf_has_activation(enum activation activation)
{
    return activation == ACTIVATION_NONE || activations[activation].type ||
           activations[activation].compose;
}
