/* The fused optimizers, one row of gradient at a time, spread over vectors. Included by kernels.c
 * only, after vector.h. */
#ifndef NNSTUDIO_ENGINE_NATIVE_RULE_H
#define NNSTUDIO_ENGINE_NATIVE_RULE_H

#include "engine/native/kernels.h"

enum rule_type { RULE_PLAIN, RULE_MOMENTUM, RULE_ADAM };

/* What the optimizer does, spread over vectors before the first value is touched: stores to
 * parameters could otherwise change it as far as the compiler knows. */
struct rule {
    vec decay, rate, momentum;
    vec beta1, rest1, beta2, rest2, size, root, epsilon;
};

INLINE enum rule_type rule_type_of(const struct native_target *target,
                                   const struct native_update *u)
{
    if (u->type == OPTIMIZER_ADAM) return RULE_ADAM;
    return target->slots[0] ? RULE_MOMENTUM : RULE_PLAIN;
}

INLINE struct rule rule_of(const struct native_update *u)
{
    return (struct rule){
        .decay = splat((real)u->weight_decay),
        .rate = splat((real)u->learning_rate),
        .momentum = splat((real)u->momentum),
        .beta1 = splat((real)u->beta1),
        .rest1 = splat((real)(1 - u->beta1)),
        .beta2 = splat((real)u->beta2),
        .rest2 = splat((real)(1 - u->beta2)),
        .size = splat((real)u->step_size),
        .root = splat((real)u->root_scale),
        .epsilon = splat((real)u->epsilon),
    };
}

/* Calls FUNCTION(type, …) with the type as a constant. */
#define BY_RULE(type, FUNCTION, ...)              \
    do {                                          \
        switch (type) {                           \
        case RULE_PLAIN:                          \
            FUNCTION(RULE_PLAIN, __VA_ARGS__);    \
            break;                                \
        case RULE_MOMENTUM:                       \
            FUNCTION(RULE_MOMENTUM, __VA_ARGS__); \
            break;                                \
        case RULE_ADAM:                           \
            FUNCTION(RULE_ADAM, __VA_ARGS__);     \
            break;                                \
        }                                         \
    } while (0)

/* Hands `width` vectors of gradient at `at` (counted from the target's first value) to the
 * optimizer. */
INLINE void apply(enum rule_type type, const struct rule *rule, const struct native_target *target,
                  size_t at, const vec *gradient, size_t width)
{
    real *w = (real *)target->values + at;
    if (target->gradient) UNROLL
    for (size_t v = 0; v < width; v++)
        store((real *)target->gradient + at + v * LANES, gradient[v]);
    if (type == RULE_ADAM) {
        real *first = (real *)target->slots[0] + at, *second = (real *)target->slots[1] + at;
        UNROLL
        for (size_t v = 0; v < width; v++) {
            vec old = load(w + v * LANES), g = gradient[v] + rule->decay * old;
            vec m = rule->beta1 * load(first + v * LANES) + rule->rest1 * g;
            vec s = rule->beta2 * load(second + v * LANES) + rule->rest2 * (g * g);
            store(first + v * LANES, m);
            store(second + v * LANES, s);
            store(w + v * LANES,
                  old - rule->size * m / (square_root(s) * rule->root + rule->epsilon));
        }
        return;
    }
    if (type == RULE_MOMENTUM) {
        real *velocity = (real *)target->slots[0] + at;
        UNROLL
        for (size_t v = 0; v < width; v++) {
            vec old = load(w + v * LANES), g = gradient[v] + rule->decay * old;
            vec speed = rule->momentum * load(velocity + v * LANES) + g;
            store(velocity + v * LANES, speed);
            store(w + v * LANES, old - rule->rate * speed);
        }
        return;
    }
    UNROLL
    for (size_t v = 0; v < width; v++) {
        vec old = load(w + v * LANES);
        store(w + v * LANES, old - rule->rate * (gradient[v] + rule->decay * old));
    }
}

#endif
