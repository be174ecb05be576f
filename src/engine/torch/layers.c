/* Layers as torch.nn's modules compute them, one function per type and one row each in the
 * tables. */
#include "engine/torch/layers.h"

#include <math.h>
#include <stdlib.h>

#include "engine/dropout.h"
#include "engine/window.h"

/* [layer: dense] */
/* nn.Linear: x [count, inputs] (of a picture: its values in a row), weight [outputs, inputs], bias
 * [outputs]. */
static torch_tensor forward_dense(struct torch_session *torch, struct torch_layer *module,
                                  torch_tensor x, const struct torch_pass *pass)
{
    (void)pass;
    if (module->index && module->layer->input.rank == 3)
        x = torch_flatten(torch, x); /* the picture */
    return torch_linear(torch, x, module->tensors[ROLE_WEIGHT],
                        module->tensors[ROLE_BIAS]); /* [layer] */
}
/* [end] */

/* What an operator pads by itself: `around`, the same on both sides. Where the sides differ, x is
 * padded with `fill` before. */
static torch_tensor pad_input(struct torch_session *torch, const struct layer *layer,
                              torch_tensor x, double fill, uint32_t around[2])
{
    bool symmetric = window_is_symmetric(layer);
    around[0] = symmetric ? layer->padding[PAD_TOP] : 0;
    around[1] = symmetric ? layer->padding[PAD_LEFT] : 0;
    return symmetric ? x : torch_pad(torch, x, layer->padding, fill);
}

/* [layer: conv2d] */
/* nn.Conv2d */
static torch_tensor forward_conv2d(struct torch_session *torch, struct torch_layer *module,
                                   torch_tensor x, const struct torch_pass *pass)
{
    const struct layer *layer = module->layer;
    uint32_t around[2];
    (void)pass;
    x = pad_input(torch, layer, x, 0, around);
    return torch_conv2d(torch, x, module->tensors[ROLE_WEIGHT], module->tensors[ROLE_BIAS],
                        layer->stride, around, layer->dilation, layer->groups);
}
/* [end] */

/* [layer: maxpool2d] */
/* nn.MaxPool2d */
static torch_tensor forward_maxpool2d(struct torch_session *torch, struct torch_layer *module,
                                      torch_tensor x, const struct torch_pass *pass)
{
    const struct layer *layer = module->layer;
    uint32_t around[2];
    (void)pass;
    x = pad_input(torch, layer, x, -INFINITY, around);
    return torch_max_pool2d(torch, x, layer->kernel, layer->stride, around);
}
/* [end] */

/* Where the sides differ, the padding of pad_input() is counted by the operator: constants[0] puts
 * it right. */
static int create_avgpool2d(struct torch_session *torch, struct torch_layer *module,
                            size_t batch_size, struct error *error)
{
    const struct shape places = {2,
                                 {module->layer->output.sizes[1], module->layer->output.sizes[2]}};
    (void)batch_size;
    if (window_is_symmetric(module->layer)) return 0;
    double *values = malloc(shape_values(&places) * sizeof *values);
    if (!values) return error_set_memory(error, "average pooling");
    window_corrections(module->layer, values);
    module->constants[0] = torch_constant_from(torch, &places, values);
    free(values);
    return 0;
}

/* [layer: avgpool2d] */
/* nn.AvgPool2d(count_include_pad=False) */
static torch_tensor forward_avgpool2d(struct torch_session *torch, struct torch_layer *module,
                                      torch_tensor x, const struct torch_pass *pass)
{
    const struct layer *layer = module->layer;
    uint32_t around[2];
    (void)pass;
    x = pad_input(torch, layer, x, 0, around);
    x = torch_avg_pool2d(torch, x, layer->kernel, layer->stride, around);
    return module->constants[0]
               ? torch_apply_both(torch, "aten::mul", "Tensor", x, module->constants[0])
               : x;
}
/* [end] */

/* [layer: globalavgpool] */
/* nn.AdaptiveAvgPool2d(1), nn.Flatten() */
static torch_tensor forward_globalavgpool(struct torch_session *torch, struct torch_layer *module,
                                          torch_tensor x, const struct torch_pass *pass)
{
    (void)module, (void)pass;
    return torch_flatten(torch, torch_global_avg_pool2d(torch, x));
}
/* [end] */

/* [layer: flatten] */
/* nn.Flatten() */
static torch_tensor forward_flatten(struct torch_session *torch, struct torch_layer *module,
                                    torch_tensor x, const struct torch_pass *pass)
{
    (void)module, (void)pass;
    return torch_flatten(torch, x);
}
/* [end] */

/* [layer: batchnorm] */
/* nn.BatchNorm1d, nn.BatchNorm2d. PyTorch's meaning: the running variance takes the batch's
 * unbiased one. A network of another meaning would be treated here. */
static torch_tensor forward_batchnorm(struct torch_session *torch, struct torch_layer *module,
                                      torch_tensor x, const struct torch_pass *pass)
{
    const torch_tensor *tensors = module->tensors;
    const struct torch_batch_norm norm = {
        .weight = tensors[ROLE_WEIGHT],
        .bias = tensors[ROLE_BIAS],
        .running_mean = tensors[ROLE_RUNNING_MEAN],
        .running_variance = tensors[ROLE_RUNNING_VARIANCE],
        .training = pass->training,
        .momentum = module->layer->momentum,
        .epsilon = module->layer->epsilon,
    };
    return torch_batch_norm(torch, x, &norm);
}
/* [end] */

/* [layer: layernorm] */
/* nn.LayerNorm(all of a sample) */
static torch_tensor forward_layernorm(struct torch_session *torch, struct torch_layer *module,
                                      torch_tensor x, const struct torch_pass *pass)
{
    (void)pass;
    return torch_layer_norm(torch, x, &module->layer->input, module->tensors[ROLE_WEIGHT],
                            module->tensors[ROLE_BIAS], module->layer->epsilon);
}
/* [end] */

static int create_dropout(struct torch_session *torch, struct torch_layer *module,
                          size_t batch_size, struct error *error)
{
    size_t count = batch_size * module->layer->outputs;
    module->constants[0] = torch_constant(torch, NULL, 1 - module->layer->rate);
    module->mask = calloc(count, torch->float64 ? sizeof(double) : sizeof(float));
    module->kept = malloc(count);
    return module->mask && module->kept ? 0 : error_set_memory(error, "dropout's mask");
}

/* The mask of this pass, as ones and zeros. */
static torch_tensor draw_mask(struct torch_session *torch, struct torch_layer *module,
                              const struct torch_pass *pass)
{
    const size_t width = module->layer->outputs, count = pass->count * width;
    struct shape shape = torch_batch_shape(pass->count, &module->layer->output);
    dropout_mask(pass->seed, dropout_stream(pass->step, module->index), module->layer->rate,
                 pass->first * width, count, module->kept);
    for (size_t i = 0; i < count; i++) {
        if (torch->float64)
            ((double *)module->mask)[i] = module->kept[i];
        else
            ((float *)module->mask)[i] = module->kept[i];
    }
    return torch_to_device(torch, torch_view(torch, module->mask, &shape), &shape);
}

/* [layer: dropout] */
/* nn.Dropout, with the studio's own masks (engine/dropout.h). */
static torch_tensor forward_dropout(struct torch_session *torch, struct torch_layer *module,
                                    torch_tensor x, const struct torch_pass *pass)
{
    if (!pass->training || module->layer->rate == 0) return x;
    x = torch_apply_both(torch, "aten::mul", "Tensor", x, draw_mask(torch, module, pass));
    return torch_apply_both(torch, "aten::div", "Tensor", x, module->constants[0]);
}
/* [end] */

/* [layer: activation] */
static torch_tensor forward_activation(struct torch_session *torch, struct torch_layer *module,
                                       torch_tensor x, const struct torch_pass *pass)
{
    (void)torch, (void)module, (void)pass;
    return x;
}
/* [end] */

/* x + shift, a number per channel. aten::add takes a Scalar, which the stable ABI cannot pass; a
 * convolution with one weight of 1 per channel adds its bias, and rounds once as add does. */
enum { CONSTANT_FACTOR, CONSTANT_ONES, CONSTANT_SHIFT };

static torch_tensor add_per_channel(struct torch_session *torch, const struct torch_layer *module,
                                    torch_tensor x)
{
    static const uint32_t one[2] = {1, 1}, none[2] = {0, 0};
    return torch_conv2d(torch, x, module->constants[CONSTANT_ONES],
                        module->constants[CONSTANT_SHIFT], one, none, one,
                        module->layer->input.sizes[0]);
}

static int create_per_channel(struct torch_session *torch, struct torch_layer *module,
                              const double factor[3], const double shift[3])
{
    uint32_t channels = module->layer->input.sizes[0];
    const struct shape ones = {4, {channels, 1, 1, 1}}, list = {1, {channels}},
                       planes = {3, {channels, 1, 1}};
    CHECK(channels <= 3); /* these layers stand first */
    module->constants[CONSTANT_FACTOR] = torch_constant_from(torch, &planes, factor);
    module->constants[CONSTANT_ONES] = torch_constant(torch, &ones, 1);
    module->constants[CONSTANT_SHIFT] = torch_constant_from(torch, &list, shift);
    return 0;
}

static int create_rescale(struct torch_session *torch, struct torch_layer *module,
                          size_t batch_size, struct error *error)
{
    (void)batch_size;
    double scale = module->layer->scale, offset = module->layer->offset;
    (void)error;
    return create_per_channel(torch, module, (double[]){scale, scale, scale},
                              (double[]){offset, offset, offset});
}

/* [layer: rescale] */
/* x · scale + offset */
static torch_tensor forward_rescale(struct torch_session *torch, struct torch_layer *module,
                                    torch_tensor x, const struct torch_pass *pass)
{
    (void)pass;
    x = torch_apply_both(torch, "aten::mul", "Tensor", x, module->constants[CONSTANT_FACTOR]);
    return add_per_channel(torch, module, x);
}
/* [end] */

static int create_normalize(struct torch_session *torch, struct torch_layer *module,
                            size_t batch_size, struct error *error)
{
    (void)batch_size;
    const double *mean = module->layer->mean;
    (void)error;
    return create_per_channel(torch, module, module->layer->std,
                              (double[]){-mean[0], -mean[1], -mean[2]});
}

/* [layer: normalize] */
/* transforms.Normalize: (x − mean) / std */
static torch_tensor forward_normalize(struct torch_session *torch, struct torch_layer *module,
                                      torch_tensor x, const struct torch_pass *pass)
{
    (void)pass;
    x = add_per_channel(torch, module, x);
    return torch_apply_both(torch, "aten::div", "Tensor", x, module->constants[CONSTANT_FACTOR]);
}
/* [end] */

static const struct torch_layer_kind {
    torch_tensor (*forward)(struct torch_session *torch, struct torch_layer *module, torch_tensor x,
                            const struct torch_pass *pass);
    /* (optional) what it needs beside its tensors */
    int (*create)(struct torch_session *torch, struct torch_layer *module, size_t batch_size,
                  struct error *error);
} kinds[LAYER_TYPE_COUNT] = {
    [LAYER_DENSE] = {forward_dense, NULL},
    [LAYER_CONV2D] = {forward_conv2d, NULL},
    [LAYER_MAXPOOL2D] = {forward_maxpool2d, NULL},
    [LAYER_AVGPOOL2D] = {forward_avgpool2d, create_avgpool2d},
    [LAYER_GLOBALAVGPOOL] = {forward_globalavgpool, NULL},
    [LAYER_FLATTEN] = {forward_flatten, NULL},
    [LAYER_BATCHNORM] = {forward_batchnorm, NULL},
    [LAYER_LAYERNORM] = {forward_layernorm, NULL},
    [LAYER_DROPOUT] = {forward_dropout, create_dropout},
    [LAYER_ACTIVATION] = {forward_activation, NULL},
    [LAYER_RESCALE] = {forward_rescale, create_rescale},
    [LAYER_NORMALIZE] = {forward_normalize, create_normalize},
};

/* ---- activations ----------------------------------------------------------------------------- */

/* F.leaky_relu, by an operator that needs no Scalar */
static torch_tensor leaky_relu(struct torch_session *torch, const struct torch_layer *module,
                               torch_tensor x)
{
    return torch_apply_both(torch, "aten::prelu", "", x, module->slope);
}

/* F.elu: alpha · (e^x − 1) where x ≤ 0, and there its derivative at 0, too */
static torch_tensor elu(struct torch_session *torch, const struct torch_layer *module,
                        torch_tensor x)
{
    torch_tensor positive = torch_apply_both(torch, "aten::gt", "Tensor", x, module->zero);
    torch_tensor low = torch_apply_both(torch, "aten::clamp_max", "Tensor", x, module->zero);
    low = torch_apply(torch, "aten::expm1", low);
    low = torch_apply_both(torch, "aten::mul", "Tensor", low, module->slope);
    return torch_where(torch, positive, x, low);
}

static torch_tensor gelu(struct torch_session *torch, const struct torch_layer *module,
                         torch_tensor x)
{
    (void)module;
    return torch_gelu(torch, x, "none");
}

static torch_tensor gelu_tanh(struct torch_session *torch, const struct torch_layer *module,
                              torch_tensor x)
{
    (void)module;
    return torch_gelu(torch, x, "tanh");
}

/* F.softplus: ln(e^x + e^0) */
static torch_tensor softplus(struct torch_session *torch, const struct torch_layer *module,
                             torch_tensor x)
{
    return torch_apply_both(torch, "aten::logaddexp", "", x, module->zero);
}

/* [stage: network, activation] */
/* F.relu and the others: the name of an operator, or a function of several. */
static const struct torch_activation {
    const char *op;
    torch_tensor (*compose)(struct torch_session *torch, const struct torch_layer *module,
                            torch_tensor x);
} activations[ACTIVATION_COUNT] = {
    [ACTIVATION_RELU] = {"aten::relu", NULL},
    [ACTIVATION_TANH] = {"aten::tanh", NULL},
    [ACTIVATION_SIGMOID] = {"aten::sigmoid", NULL},
    [ACTIVATION_LEAKY_RELU] = {NULL, leaky_relu},
    [ACTIVATION_ELU] = {NULL, elu},
    [ACTIVATION_SELU] = {"aten::selu", NULL},
    [ACTIVATION_GELU] = {NULL, gelu},
    [ACTIVATION_GELU_TANH] = {NULL, gelu_tanh},
    [ACTIVATION_SILU] = {"aten::silu", NULL},
    [ACTIVATION_SOFTPLUS] = {NULL, softplus},
};
/* [end] */

/* [stage: network] */
/* A layer and the activation behind it. */
torch_tensor torch_layer_activate(struct torch_session *torch, struct torch_layer *module,
                                  torch_tensor x)
{
    const struct torch_activation *activation = &activations[module->layer->activation];
    module->before = x;
    if (activation->op) x = torch_apply(torch, activation->op, x);      /* [activation] */
    if (activation->compose) x = activation->compose(torch, module, x); /* [activation] */
    return module->after = x;
}

torch_tensor torch_layer_forward(struct torch_session *torch, struct torch_layer *module,
                                 torch_tensor x, const struct torch_pass *pass)
{
    x = kinds[module->layer->type].forward(torch, module, x, pass); /* [layer] */
    return torch_layer_activate(torch, module, x);
}
/* [end] */

/* ---- set-up ---------------------------------------------------------------------------------- */

bool torch_has_layer(enum layer_type type)
{
    return kinds[type].forward != NULL;
}

bool torch_has_activation(enum activation activation)
{
    return activation == ACTIVATION_NONE || activations[activation].op ||
           activations[activation].compose;
}

struct shape torch_batch_shape(size_t count, const struct shape *sample)
{
    struct shape shape = {sample->rank + 1, {(uint32_t)count}};
    CHECK(shape.rank <= SHAPE_MAX_RANK && count <= UINT32_MAX);
    for (uint32_t d = 0; d < sample->rank; d++) shape.sizes[d + 1] = sample->sizes[d];
    return shape;
}

/* [stage: network] */
/* A module's parameters and buffers. x · weightᵀ is quickest over a weight that lies by columns;
 * from the second layer on backward() needs weight itself as much, and it lies by rows as in
 * Python. */
static void create_tensors(struct torch_session *torch, struct torch_layer *module)
{
    struct tensor_spec specs[LAYER_MAX_TENSORS];
    uint32_t count = layer_tensors(module->layer, specs);
    enum torch_layout layout = module->index == 0 ? TORCH_BY_COLUMNS : TORCH_BY_ROWS;
    for (uint32_t k = 0; k < count; k++)
        module->tensors[specs[k].role] = tensor_role_is_trained(specs[k].role)
                                             ? torch_parameter(torch, &specs[k].shape, layout)
                                             : torch_buffer(torch, &specs[k].shape); /* [layer] */
}
/* [end] */

int torch_layer_create(struct torch_session *torch, struct torch_layer *module,
                       const struct layer *layer, uint32_t index, size_t batch_size,
                       struct error *error)
{
    *module = (struct torch_layer){.layer = layer, .index = index};
    create_tensors(torch, module);
    if (activations[layer->activation].compose) {
        module->slope = torch_constant(torch, &(struct shape){1, {1}}, layer->slope);
        module->zero = torch_constant(torch, NULL, 0);
    }
    const struct torch_layer_kind *kind = &kinds[layer->type];
    return kind->create ? kind->create(torch, module, batch_size, error) : 0;
}

void torch_layer_destroy(struct torch_session *torch, struct torch_layer *module)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        torch_release(torch, module->tensors[role]);
        for (int slot = 0; slot < OPTIMIZER_MAX_SLOTS; slot++)
            torch_release(torch, module->slots[slot][role]);
    }
    for (size_t i = 0; i < sizeof module->constants / sizeof *module->constants; i++)
        torch_release(torch, module->constants[i]);
    torch_release(torch, module->slope);
    torch_release(torch, module->zero);
    free(module->mask);
    free(module->kept);
    *module = (struct torch_layer){0};
}
