#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *numbers(size_t count)
{
    double *values = calloc(count ? count : 1, sizeof *values);
    CHECK(values);
    return values;
}

static double *values_of(struct parameters *parameters, uint32_t layer, enum tensor_role role)
{
    struct tensor *tensor = parameters_find(parameters, layer, role);
    CHECK(tensor);
    return tensor->values;
}

/* ---- activations: a row of the table each, a = f(z) and its derivative, by z and a ---- */

#define SELU_ALPHA \
    1.6732632423543772848170429916717 /* Klambauer et al. 2017, "Self-Normalizing" … */
#define SELU_SCALE 1.0507009873554804934193349852946
#define SQRT_2     1.4142135623730950488016887242097
#define PI         3.1415926535897932384626433832795

static double sigmoid(double z)
{
    return 1 / (1 + exp(-z));
}

static double none(double z, double parameter)
{
    (void)parameter;
    return z;
}

static double none_slope(double z, double a, double parameter)
{
    (void)z, (void)a, (void)parameter;
    return 1;
}

static double relu(double z, double parameter)
{
    (void)parameter;
    return z > 0 ? z : 0;
}

static double relu_slope(double z, double a, double parameter)
{
    (void)a, (void)parameter;
    return z > 0 ? 1 : 0;
}

static double tangent(double z, double parameter)
{
    (void)parameter;
    return tanh(z);
}

static double tangent_slope(double z, double a, double parameter)
{
    (void)z, (void)parameter;
    return 1 - a * a;
}

static double logistic(double z, double parameter)
{
    (void)parameter;
    return sigmoid(z);
}

static double logistic_slope(double z, double a, double parameter)
{
    (void)z, (void)parameter;
    return a * (1 - a);
}

static double leaky_relu(double z, double slope)
{
    return z > 0 ? z : slope * z;
}

static double leaky_relu_slope(double z, double a, double slope)
{
    (void)a;
    return z > 0 ? 1 : slope;
}

static double elu(double z, double alpha)
{
    return z > 0 ? z : alpha * expm1(z);
}

static double elu_slope(double z, double a, double alpha)
{
    (void)a;
    return z > 0 ? 1 : alpha * exp(z);
}

static double selu(double z, double parameter)
{
    (void)parameter;
    return SELU_SCALE * elu(z, SELU_ALPHA);
}

static double selu_slope(double z, double a, double parameter)
{
    (void)parameter;
    return SELU_SCALE * elu_slope(z, a, SELU_ALPHA);
}

static double gelu(double z, double parameter)
{
    (void)parameter;
    return z * (1 + erf(z / SQRT_2)) / 2;
}

static double gelu_slope(double z, double a, double parameter)
{
    (void)a, (void)parameter;
    return (1 + erf(z / SQRT_2)) / 2 + z * exp(-z * z / 2) / sqrt(2 * PI);
}

static double gelu_tanh(double z, double parameter)
{
    (void)parameter;
    return z / 2 * (1 + tanh(sqrt(2 / PI) * (z + 0.044715 * z * z * z)));
}

static double gelu_tanh_slope(double z, double a, double parameter)
{
    double t = tanh(sqrt(2 / PI) * (z + 0.044715 * z * z * z));
    (void)a, (void)parameter;
    return (1 + t) / 2 + z / 2 * (1 - t * t) * sqrt(2 / PI) * (1 + 3 * 0.044715 * z * z);
}

static double silu(double z, double parameter)
{
    (void)parameter;
    return z * sigmoid(z);
}

static double silu_slope(double z, double a, double parameter)
{
    (void)a, (void)parameter;
    return sigmoid(z) * (1 + z * (1 - sigmoid(z)));
}

static double softplus(double z, double parameter)
{
    (void)parameter;
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

static double softplus_slope(double z, double a, double parameter)
{
    (void)a, (void)parameter;
    return sigmoid(z);
}

static const struct {
    double (*value)(double z, double parameter);
    double (*slope)(double z, double a, double parameter);
} activations[ACTIVATION_COUNT] = {
    [ACTIVATION_NONE] = {none, none_slope},
    [ACTIVATION_RELU] = {relu, relu_slope},
    [ACTIVATION_TANH] = {tangent, tangent_slope},
    [ACTIVATION_SIGMOID] = {logistic, logistic_slope},
    [ACTIVATION_LEAKY_RELU] = {leaky_relu, leaky_relu_slope},
    [ACTIVATION_ELU] = {elu, elu_slope},
    [ACTIVATION_SELU] = {selu, selu_slope},
    [ACTIVATION_GELU] = {gelu, gelu_slope},
    [ACTIVATION_GELU_TANH] = {gelu_tanh, gelu_tanh_slope},
    [ACTIVATION_SILU] = {silu, silu_slope},
    [ACTIVATION_SOFTPLUS] = {softplus, softplus_slope},
};

/* ---- layers: a row of the table per type, each on one sample ---- */

/* z = weight · x + bias */
static void dense_forward(struct reference *r, uint32_t n, const double *x, double *z)
{
    const struct layer *layer = &r->network.layers[n];
    const double *weight = values_of(r->parameters, n, ROLE_WEIGHT), /* [outputs, inputs] */
        *bias = values_of(r->parameters, n, ROLE_BIAS);
    for (size_t o = 0; o < layer->outputs; o++) {
        z[o] = bias[o];
        for (size_t i = 0; i < layer->inputs; i++) z[o] += weight[o * layer->inputs + i] * x[i];
    }
}

/* Adds d loss / d (weight, bias) to the gradients, given d loss / d z, and sets d loss / d x unless
 * that is NULL. */
static void dense_backward(struct reference *r, uint32_t n, const double *x, const double *dz,
                           double *dx)
{
    const struct layer *layer = &r->network.layers[n];
    const double *weight = values_of(r->parameters, n, ROLE_WEIGHT);
    double *weight_gradient = values_of(r->gradients, n, ROLE_WEIGHT),
           *bias_gradient = values_of(r->gradients, n, ROLE_BIAS);
    for (size_t o = 0; o < layer->outputs; o++) {
        bias_gradient[o] += dz[o];
        for (size_t i = 0; i < layer->inputs; i++)
            weight_gradient[o * layer->inputs + i] += dz[o] * x[i];
    }
    for (size_t i = 0; dx && i < layer->inputs; i++) {
        dx[i] = 0;
        for (size_t o = 0; o < layer->outputs; o++) dx[i] += dz[o] * weight[o * layer->inputs + i];
    }
}

/* A network with a layer that has no row is not for this reference. */
static const struct {
    void (*forward)(struct reference *r, uint32_t n, const double *x, double *z);
    void (*backward)(struct reference *r, uint32_t n, const double *x, const double *dz,
                     double *dx);
} layer_types[LAYER_TYPE_COUNT] = {
    [LAYER_DENSE] = {dense_forward, dense_backward},
};

/* ---- set-up ---- */

void reference_open(struct reference *reference, const struct network *network,
                    const struct optimizer *optimizer, const struct parameters *initial)
{
    struct error error;
    *reference = (struct reference){.network = *network, .optimizer = *optimizer};
    for (uint32_t n = 0; n < network->layer_count; n++)
        CHECK(layer_types[network->layers[n].type].forward);
    CHECK(!parameters_convert(initial, network, DTYPE_FLOAT64, &reference->parameters, &error));
    CHECK(!parameters_create(network, DTYPE_FLOAT64, &reference->gradients, &error));
    CHECK(!optimizer_state_create(optimizer, network, DTYPE_FLOAT64, &reference->state, &error));
}

static void forget_batch(struct reference *reference)
{
    free(reference->input);
    free(reference->probabilities);
    for (uint32_t n = 0; n < reference->network.layer_count; n++) {
        free(reference->z[n]);
        free(reference->a[n]);
    }
}

void reference_close(struct reference *reference)
{
    forget_batch(reference);
    parameters_destroy(reference->parameters);
    parameters_destroy(reference->gradients);
    optimizer_state_destroy(reference->state);
    *reference = (struct reference){0};
}

/* ---- forward ---- */

static void begin_batch(struct reference *r, size_t count)
{
    forget_batch(r);
    r->count = count;
    r->input = numbers(count * network_inputs(&r->network));
    r->probabilities = numbers(count * network_classes(&r->network));
    for (uint32_t n = 0; n < r->network.layer_count; n++) {
        r->z[n] = numbers(count * r->network.layers[n].outputs);
        r->a[n] = numbers(count * r->network.layers[n].outputs);
    }
}

/* What layer n is given of sample `s` of the batch. */
static const double *input_of(const struct reference *r, uint32_t n, size_t s)
{
    return (n == 0 ? r->input : r->a[n - 1]) + s * r->network.layers[n].inputs;
}

static void forward_sample(struct reference *r, size_t s)
{
    for (uint32_t n = 0; n < r->network.layer_count; n++) {
        const struct layer *layer = &r->network.layers[n];
        double *z = r->z[n] + s * layer->outputs, *a = r->a[n] + s * layer->outputs;
        layer_types[layer->type].forward(r, n, input_of(r, n, s), z);
        for (size_t o = 0; o < layer->outputs; o++)
            a[o] = activations[layer->activation].value(z[o], layer->slope);
    }
}

/* The first of the largest. */
static size_t largest(const double *values, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (values[i] > values[best]) best = i;
    return best;
}

const double *reference_logits(const struct reference *reference)
{
    return reference->a[reference->network.layer_count - 1];
}

/* Softmax of sample `s`, and its cross-entropy with `label` added to the loss. */
static void answer_sample(struct reference *r, size_t s, const uint8_t *label)
{
    size_t classes = network_classes(&r->network);
    const double *logits = reference_logits(r) + s * classes;
    double *probabilities = r->probabilities + s * classes;
    size_t best = largest(logits, classes);
    double sum = 0;
    for (size_t c = 0; c < classes; c++) sum += exp(logits[c] - logits[best]);
    for (size_t c = 0; c < classes; c++) probabilities[c] = exp(logits[c] - logits[best]) / sum;
    if (!label) return;
    r->loss += (log(sum) + logits[best] - logits[*label]) / (double)r->count;
    r->correct += best == *label;
}

/* l1 · Σ|w| + l2 · Σw² of every layer's weight. */
static double penalty(const struct reference *r)
{
    double total = 0;
    for (uint32_t n = 0; n < r->network.layer_count; n++) {
        const struct layer *layer = &r->network.layers[n];
        const double *weight = values_of(r->parameters, n, ROLE_WEIGHT);
        for (size_t i = 0; i < (size_t)layer->outputs * layer->inputs; i++)
            total += layer->l1 * fabs(weight[i]) + layer->l2 * weight[i] * weight[i];
    }
    return total;
}

/* Its gradient: l1 · sign(w) + 2 · l2 · w. */
static void add_penalty_gradient(struct reference *r)
{
    for (uint32_t n = 0; n < r->network.layer_count; n++) {
        const struct layer *layer = &r->network.layers[n];
        const double *weight = values_of(r->parameters, n, ROLE_WEIGHT);
        double *gradient = values_of(r->gradients, n, ROLE_WEIGHT);
        for (size_t i = 0; i < (size_t)layer->outputs * layer->inputs; i++)
            gradient[i] += layer->l1 * (weight[i] > 0   ? 1
                                        : weight[i] < 0 ? -1
                                                        : 0) +
                           2 * layer->l2 * weight[i];
    }
}

void reference_forward(struct reference *reference, const uint8_t *pixels, const uint8_t *labels,
                       const uint32_t *order, size_t count)
{
    struct reference *r = reference;
    size_t inputs = network_inputs(&r->network);
    begin_batch(r, count);
    r->loss = labels ? penalty(r) : 0;
    r->correct = 0;
    for (size_t s = 0; s < count; s++) {
        size_t sample = order ? order[s] : s;
        for (size_t i = 0; i < inputs; i++)
            r->input[s * inputs + i] = pixels[sample * inputs + i] / 255.0;
        forward_sample(r, s);
        answer_sample(r, s, labels ? &labels[sample] : NULL);
    }
}

/* ---- backward ---- */

static void backward_sample(struct reference *r, size_t s, size_t label)
{
    size_t classes = network_classes(&r->network);
    double *da = numbers(classes), *dx;
    for (size_t c = 0; c < classes; c++)
        da[c] = (r->probabilities[s * classes + c] - (c == label)) / (double)r->count;
    for (uint32_t n = r->network.layer_count; n-- > 0; da = dx) {
        const struct layer *layer = &r->network.layers[n];
        const double *z = r->z[n] + s * layer->outputs, *a = r->a[n] + s * layer->outputs;
        dx = n ? numbers(layer->inputs) : NULL;
        for (size_t o = 0; o < layer->outputs; o++)
            da[o] *= activations[layer->activation].slope(z[o], a[o], layer->slope);
        layer_types[layer->type].backward(r, n, input_of(r, n, s), da, dx);
        free(da);
    }
    free(da);
}

void reference_gradient(struct reference *reference, const struct split *split,
                        const uint32_t *order, size_t count)
{
    struct parameters *gradients = reference->gradients;
    reference_forward(reference, split->pixels, split->labels, order, count);
    memset(gradients->values, 0, gradients->value_count * sizeof(double));
    for (size_t s = 0; s < count; s++) backward_sample(reference, s, split->labels[order[s]]);
    add_penalty_gradient(reference);
}

/* ---- the optimizers ---- */

/* Each on one number: its value, the gradient with weight decay, its slots. */
static void update_sgd(const struct reference *r, double *w, double g, double *const slots[])
{
    double *velocity = slots[0];
    if (velocity) g = *velocity = r->optimizer.momentum * *velocity + g;
    *w -= r->optimizer.learning_rate * g;
}

static void update_adam(const struct reference *r, double *w, double g, double *const slots[])
{
    const struct optimizer *o = &r->optimizer;
    double *m = slots[0], *v = slots[1], t = (double)r->state->steps;
    *m = o->beta1 * *m + (1 - o->beta1) * g;
    *v = o->beta2 * *v + (1 - o->beta2) * g * g;
    *w -= o->learning_rate / (1 - pow(o->beta1, t)) * *m /
          (sqrt(*v) / sqrt(1 - pow(o->beta2, t)) + o->epsilon);
}

static void (*const updates[])(const struct reference *r, double *w, double g,
                               double *const slots[]) = {
    [OPTIMIZER_FUSED_SGD] = update_sgd,
    [OPTIMIZER_FUSED_ADAM] = update_adam,
};

/* Any other by its formula, which tests/python/test_optimizers.py holds against the frameworks'. */
static void update_by_formula(const struct formula *formula, const double *numbers, double *w,
                              double g, double *const slots[])
{
    double values[FORMULA_MAX_TENSORS] = {*w, g};
    for (uint32_t i = 2; i < formula->tensor_inputs; i++) values[i] = *slots[i - 2];
    for (uint32_t i = 0; i < formula->tensor_step_count; i++) {
        const struct formula_step *s = &formula->tensor_steps[i];
        double a = s->a.tensor ? values[s->a.index] : numbers[s->a.index],
               b = s->b.tensor ? values[s->b.index] : numbers[s->b.index];
        const double results[] = {
            [FORMULA_ADD] = a + b,          [FORMULA_SUBTRACT] = a - b,
            [FORMULA_MULTIPLY] = a * b,     [FORMULA_DIVIDE] = a / b,
            [FORMULA_MAXIMUM] = fmax(a, b), [FORMULA_SQUARE_ROOT] = sqrt(a),
            [FORMULA_ABSOLUTE] = fabs(a),
        };
        values[s->result] = results[s->op];
    }
    *w = values[formula->new_tensors[0]];
    for (uint32_t i = 2; i < formula->tensor_inputs; i++)
        *slots[i - 2] = values[formula->new_tensors[i]];
}

void reference_update(struct reference *reference)
{
    const struct optimizer *optimizer = &reference->optimizer;
    const double *gradients = reference->gradients->values;
    double *w = reference->parameters->values, numbers[FORMULA_MAX_NUMBERS];
    enum optimizer_fused fused = optimizer_fused(optimizer);
    struct formula formula;
    optimizer_formula(optimizer, &formula);
    reference->state->steps++; /* Adam counts from 1 */
    if (!fused)
        optimizer_numbers(optimizer, &formula, optimizer->learning_rate, reference->state->steps,
                          reference->state->numbers, numbers);
    for (size_t i = 0; i < reference->parameters->value_count; i++) {
        double *slots[OPTIMIZER_MAX_SLOTS] = {NULL};
        for (uint32_t k = 0; k < reference->state->slot_count; k++)
            slots[k] = (double *)reference->state->slots[k]->values + i;
        if (fused)
            updates[fused](reference, &w[i], gradients[i] + optimizer->weight_decay * w[i], slots);
        else
            update_by_formula(&formula, numbers, &w[i], gradients[i], slots);
    }
}

void reference_step(struct reference *reference, const struct split *split, const uint32_t *order,
                    size_t count)
{
    reference_gradient(reference, split, order, count);
    reference_update(reference);
}
