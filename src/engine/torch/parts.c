/* A part of a batch: the stages of loop.c with the sum of the losses in place of their mean, and
 * the optimizer's step with gradients that come from outside.
 *
 * PyTorch's own batch normalization cannot wait for the sums of the other parts. So the network is
 * cut there: what is below and what is above are two graphs of autograd, and between them the
 * normalization is computed by part_norm (engine/part.h), forward and backward. */
#include <stdlib.h>
#include <string.h>

#include "engine/torch/loop.h"

/* A batch normalization and what lies around it. */
struct cut {
    uint32_t index;
    torch_tensor below; /* the layer's input: the end of the graph below */
    torch_tensor leaf;  /* its output: the beginning of the graph above; owned */
    torch_tensor slope; /* the derivative by `below`; owned */
    struct part_norm norm;
    double *values; /* of its inputs, one after another its outputs and their derivatives */
};

struct cuts {
    struct torch_model *model;
    const struct engine_part *part;
    struct parameters *sums;
    uint32_t count;
    struct cut *each; /* [NETWORK_MAX_LAYERS] */
};

static void cuts_free(struct cuts *cuts)
{
    for (uint32_t i = 0; i < cuts->count; i++) {
        torch_release(cuts->model->torch, cuts->each[i].leaf);
        torch_release(cuts->model->torch, cuts->each[i].slope);
        part_norm_destroy(&cuts->each[i].norm);
        free(cuts->each[i].values);
    }
    free(cuts->each);
}

/* A tensor's values become those; `tensor` has that shape. */
static void write(struct torch_model *model, torch_tensor tensor, const double *values,
                  const struct shape *shape)
{
    torch_tensor source = torch_constant_from(model->torch, shape, values);
    torch_copy(model->torch, tensor, source);
    torch_release(model->torch, source);
}

/* Weight or bias, and what becomes of them, as doubles: one value per channel. */
static void read_channels(struct torch_model *model, const struct cut *cut, enum tensor_role role,
                          double *out)
{
    const struct shape shape = {1, {(uint32_t)cut->norm.channels}};
    torch_read_f64(model->torch, model->layers[cut->index].tensors[role], out, &shape);
}

/* The output of batch normalization `index` as a leaf; NULL on a failure, of PyTorch's or told. */
static torch_tensor normalize(struct cuts *cuts, uint32_t index, torch_tensor x, size_t count,
                              struct error *error)
{
    struct torch_model *model = cuts->model;
    const struct layer *layer = &model->network.layers[index];
    const struct shape shape = torch_batch_shape(count, &layer->input);
    struct cut *cut = &cuts->each[cuts->count];
    if (part_norm_create(&cut->norm, layer, count, false, error)) return NULL;
    cuts->count++;
    cut->index = index;
    cut->below = x;
    size_t channels = cut->norm.channels;
    cut->values = malloc((shape_values(&shape) + 2 * channels) * sizeof *cut->values);
    if (!cut->values) {
        error_set_memory(error, "batch normalization");
        return NULL;
    }
    double *weight = cut->values + shape_values(&shape), *bias = weight + channels;
    torch_read_f64(model->torch, x, cut->values, &shape);
    read_channels(model, cut, ROLE_WEIGHT, weight);
    read_channels(model, cut, ROLE_BIAS, bias);
    if (torch_check(model->torch, error) ||
        part_norm_forward(&cut->norm, cuts->part, weight, bias, cut->values, error))
        return NULL;
    cut->leaf = torch_parameter(model->torch, &shape, TORCH_BY_ROWS);
    write(model, cut->leaf, cut->values, &shape);
    return torch_check(model->torch, error) ? NULL : cut->leaf;
}

static torch_tensor forward(struct cuts *cuts, torch_tensor x, const struct torch_pass *pass,
                            struct error *error)
{
    struct torch_model *model = cuts->model;
    for (uint32_t i = 0; i < model->network.layer_count && x; i++) {
        struct torch_layer *module = &model->layers[i];
        if (module->layer->type != LAYER_BATCHNORM) {
            x = torch_layer_forward(model->torch, module, x, pass);
            continue;
        }
        x = normalize(cuts, i, x, pass->count, error);
        if (x) x = torch_layer_activate(model->torch, module, x);
    }
    return x;
}

static bool trains_below(const struct torch_model *model, uint32_t index)
{
    size_t below = 0;
    for (uint32_t i = 0; i < index; i++) below += layer_parameters(&model->network.layers[i]);
    return below > 0;
}

static void set_gradient(struct cuts *cuts, const struct cut *cut, enum tensor_role role,
                         const double *values)
{
    struct torch_session *torch = cuts->model->torch;
    const struct shape shape = {1, {(uint32_t)cut->norm.channels}};
    torch_tensor gradient = torch_constant_from(torch, &shape, values);
    torch_set_grad(torch, cuts->model->layers[cut->index].tensors[role], gradient);
    torch_release(torch, gradient);
}

/* From the derivative by the leaf to those by the layer's weight and bias and by what is below. */
static int go_back(struct cuts *cuts, struct cut *cut, size_t count, struct error *error)
{
    struct torch_model *model = cuts->model;
    struct torch_session *torch = model->torch;
    const struct shape shape = torch_batch_shape(count, &model->network.layers[cut->index].input);
    torch_read_f64(torch, torch_grad(torch, cut->leaf), cut->values, &shape);
    if (torch_check(torch, error) || part_norm_backward(&cut->norm, cuts->part, cut->values, error))
        return -1;
    set_gradient(cuts, cut, ROLE_BIAS, cut->norm.sums);
    set_gradient(cuts, cut, ROLE_WEIGHT, cut->norm.sums + cut->norm.channels);
    if (!trains_below(model, cut->index)) return torch_check(torch, error);
    /* the sum of x · dx has dx as its derivative by x */
    cut->slope = torch_constant_from(torch, &shape, cut->values);
    torch_backward(torch, torch_sum(torch, torch_apply_both(torch, "aten::mul", "Tensor",
                                                            cut->below, cut->slope)));
    return torch_check(torch, error);
}

static int compute(struct cuts *cuts, const uint32_t *order, size_t count, double *loss,
                   uint32_t *correct, struct error *error)
{
    struct torch_model *model = cuts->model;
    struct torch_session *torch = model->torch;
    struct torch_pass pass = torch_training_pass(model, count);
    torch_tensor x, y;
    pass.first = cuts->part->first;
    torch_load_batch(model, order, count, &x, &y);
    torch_zero_grad(model);
    torch_tensor logits = forward(cuts, x, &pass, error);
    /* a failure of PyTorch waits in the session, another one has been told */
    if (!logits) return torch->failed ? torch_check(torch, error) : -1;
    torch_tensor sum = torch_loss(model, logits, y, true);
    torch_backward(torch, sum);
    *loss = torch_item(torch, sum);
    if (correct) *correct = torch_count_correct(model, logits);
    if (torch_check(torch, error)) return -1;
    for (uint32_t i = cuts->count; i-- > 0;)
        if (go_back(cuts, &cuts->each[i], count, error)) return -1;
    torch_release_temporaries(torch);
    if (torch_tensors_read(model, TORCH_GRADIENTS, cuts->sums, error)) return -1;
    for (uint32_t i = 0; i < cuts->count; i++)
        engine_part_statistics(cuts->part, &model->network, cuts->each[i].index,
                               cuts->each[i].norm.mean, cuts->each[i].norm.squares, cuts->sums);
    return 0;
}

int torch_gradients(struct torch_model *model, const struct engine_part *part,
                    const uint32_t *order, size_t count, struct parameters *sums, double *loss,
                    uint32_t *correct, struct error *error)
{
    struct cuts cuts = {.model = model, .part = part, .sums = sums};
    cuts.each = calloc(NETWORK_MAX_LAYERS, sizeof *cuts.each);
    if (!cuts.each) return error_set_memory(error, "a part of a batch");
    int result = compute(&cuts, order, count, loss, correct, error);
    torch_release_temporaries(model->torch);
    cuts_free(&cuts);
    return result;
}

/* Running statistics move towards the batch's. */
static int move_statistic(struct torch_model *model, const struct parameters *sums,
                          const struct tensor *tensor, struct error *error)
{
    torch_tensor running = model->layers[tensor->layer].tensors[tensor->role];
    const struct shape shape = {1, {(uint32_t)tensor->count}};
    double *values = malloc(tensor->count * sizeof *values);
    if (!values) return error_set_memory(error, "the running statistics");
    torch_read_f64(model->torch, running, values, &shape);
    for (size_t i = 0; i < tensor->count; i++)
        values[i] = engine_part_moved(&model->network.layers[tensor->layer], values[i],
                                      tensor_get(sums, tensor, i));
    write(model, running, values, &shape);
    free(values);
    torch_release_temporaries(model->torch);
    return torch_check(model->torch, error);
}

static int move_statistics(struct torch_model *model, const struct parameters *sums,
                           struct error *error)
{
    for (size_t t = 0; t < sums->tensor_count; t++)
        if (!tensor_role_is_trained(sums->tensors[t].role) &&
            move_statistic(model, sums, &sums->tensors[t], error))
            return -1;
    return 0;
}

int torch_apply_gradients(struct torch_model *model, const struct parameters *sums, double divisor,
                          struct error *error)
{
    struct torch_session *torch = model->torch;
    torch_tensor gradients[TORCH_MAX_PARAMETERS] = {NULL};
    int result = -1;
    for (size_t i = 0; i < model->parameter_count; i++) {
        gradients[i] = torch_zeros_like(torch, model->parameters[i]);
        torch_set_grad(torch, model->parameters[i], gradients[i]);
    }
    if (torch_check(torch, error) || torch_tensors_write(model, TORCH_GRADIENTS, sums, error))
        goto out;
    for (size_t i = 0; i < model->parameter_count; i++) {
        torch_divide(torch, gradients[i], divisor);
        torch_release_temporaries(torch);
    }
    torch_optimizer_step(model);
    torch_release_temporaries(torch);
    if (torch_check(torch, error)) goto out;
    result = move_statistics(model, sums, error);
out:
    for (size_t i = 0; i < model->parameter_count; i++) torch_release(torch, gradients[i]);
    return result;
}
