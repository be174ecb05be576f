/* Activations and their derivatives, a line at a time. */
#include "engine/native/plan_lines.h"

#define SELU_SCALE ((real)1.0507009873554804934193349852946)
#define SELU_ALPHA ((real)1.6732632423543772848170429916717)

#if NATIVE_FLOAT64
#define EXACT(name) name
#else
#define EXACT(name) name##f
#endif
LANEWISE(less_one, EXACT(expm1))
LANEWISE(error_function, EXACT(erf))
LANEWISE(log_plus_one, EXACT(log1p))

INLINE vec minimum(vec a, vec b)
{
    return select_where(a < b, a, b);
}

INLINE vec exponential_unit(vec z, vec alpha)
{
    return select_where(z > (vec){0}, z, alpha * less_one(minimum(z, (vec){0})));
}

#define GELU_ROOT ((real)0.79788456080286535587989211986876) /* sqrt(2 / π) */
#define GELU_CUBE ((real)0.044715)
#define ROOT_HALF ((real)0.70710678118654752440084436210485)
#define ROOT_2PI  ((real)0.39894228040143267793994605993438) /* 1 / sqrt(2 π) */

INLINE vec activated(const struct layer *layer, vec z)
{
    switch (layer->activation) {
    case ACTIVATION_RELU:
        return (vec)((ivec)z & ~(ivec)(z <= (vec){0})); /* a NaN stays */
    case ACTIVATION_TANH:
        return hyperbolic_tangent(z);
    case ACTIVATION_SIGMOID:
        return logistic(z);
    case ACTIVATION_LEAKY_RELU:
        return select_where(z < (vec){0}, z * splat((real)layer->slope), z);
    case ACTIVATION_ELU:
        return exponential_unit(z, splat((real)layer->slope));
    case ACTIVATION_SELU:
        return splat(SELU_SCALE) * exponential_unit(z, splat(SELU_ALPHA));
    case ACTIVATION_GELU:
        return splat((real)0.5) * z * (splat(1) + error_function(z * splat(ROOT_HALF)));
    case ACTIVATION_GELU_TANH: {
        vec inner = splat(GELU_ROOT) * (z + splat(GELU_CUBE) * z * z * z);
        return splat((real)0.5) * z * (splat(1) + hyperbolic_tangent(inner));
    }
    case ACTIVATION_SILU:
        return z * logistic(z);
    case ACTIVATION_SOFTPLUS: {
        vec size = absolute(z);
        return select_where(z > (vec){0}, z, (vec){0}) + log_plus_one(exponential(-size));
    }
    default:
        return z;
    }
}

/* The derivative where the activation took z and gave y. */
INLINE vec slope_of(const struct layer *layer, vec z, vec y)
{
    const vec one = splat(1), zero = {0};
    switch (layer->activation) {
    case ACTIVATION_RELU:
        return select_where(y > zero, one, zero);
    case ACTIVATION_TANH:
        return one - y * y;
    case ACTIVATION_SIGMOID:
        return y * (one - y);
    case ACTIVATION_LEAKY_RELU:
        return select_where(z > zero, one, splat((real)layer->slope));
    case ACTIVATION_ELU: {
        vec alpha = splat((real)layer->slope);
        return select_where(z > zero, one, alpha * less_one(minimum(z, zero)) + alpha);
    }
    case ACTIVATION_SELU: {
        vec tail = splat(SELU_SCALE) *
                   (splat(SELU_ALPHA) * less_one(minimum(z, zero)) + splat(SELU_ALPHA));
        return select_where(z > zero, splat(SELU_SCALE), tail);
    }
    case ACTIVATION_GELU: {
        vec share = splat((real)0.5) * (one + error_function(z * splat(ROOT_HALF)));
        return share + z * splat(ROOT_2PI) * exponential(z * z * splat((real)-0.5));
    }
    case ACTIVATION_GELU_TANH: {
        vec t = hyperbolic_tangent(splat(GELU_ROOT) * (z + splat(GELU_CUBE) * z * z * z));
        vec inner = splat(GELU_ROOT) * (one + splat(3 * GELU_CUBE) * z * z);
        return splat((real)0.5) * (one + t) + splat((real)0.5) * z * (one - t * t) * inner;
    }
    case ACTIVATION_SILU: {
        vec s = logistic(z);
        return s * (one + z * (one - s));
    }
    case ACTIVATION_SOFTPLUS:
        return logistic(z);
    default:
        return one;
    }
}

void NATIVE_NAME(activate_maps)(const struct plan_op *op, size_t block, uint32_t from, uint32_t to)
{
    const struct grid *out = op->out;
    if (op->layer->activation == ACTIVATION_NONE && !out->before) return;
    for (uint32_t c = from; c < to; c++)
        for (uint32_t r = 0; r < out->rows; r++) {
            size_t at = map_line(out, c, r, 0), count = (size_t)out->columns * PLACES;
            real *values = line_at(out, out->values, block, at);
            if (out->before)
                memcpy(line_at(out, out->before, block, at), values, count * sizeof *values);
            for (size_t i = 0; i < count; i += LANES)
                store(values + i, activated(op->layer, load(values + i)));
        }
}

void NATIVE_NAME(activate_backward)(const struct plan_op *op, size_t block, uint32_t from,
                                    uint32_t to)
{
    const struct grid *out = op->out;
    if (op->layer->activation == ACTIVATION_NONE) return;
    for (uint32_t c = from; c < to; c++)
        for (uint32_t r = 0; r < out->rows; r++) {
            size_t at = map_line(out, c, r, 0), count = (size_t)out->columns * PLACES;
            const real *y = line_at(out, out->values, block, at);
            const real *z = out->before ? line_at(out, out->before, block, at) : y;
            real *delta = line_at(out, out->delta, block, at);
            for (size_t i = 0; i < count; i += LANES)
                store(delta + i, load(delta + i) * slope_of(op->layer, load(z + i), load(y + i)));
        }
}
