/* An optimizer's formula as text, and compiled: a list of operations on numbers, which are the same
 * for all elements of a step, and one on tensors, element by element. Every engine evaluates the
 * second with its own arithmetic, so that a formula is written once.
 *
 *   [amsgrad] max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq)
 *   w = w - lr/(1 - beta1^t) * exp_avg
 *
 * A line assigns a value to a name, which it keeps until it is assigned another; it may begin with
 * conditions in brackets, all of which must hold ("!amsgrad": must not). Operators are + - * / and
 * ^ (of numbers), functions sqrt, abs and max. */
#ifndef NNSTUDIO_NET_FORMULA_H
#define NNSTUDIO_NET_FORMULA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORMULA_MAX_NUMBERS 64
#define FORMULA_MAX_TENSORS 40
#define FORMULA_MAX_RESULTS 8
#define FORMULA_NAME_SIZE   20

enum formula_op {
    FORMULA_ADD,
    FORMULA_SUBTRACT,
    FORMULA_MULTIPLY,
    FORMULA_DIVIDE,
    FORMULA_MAXIMUM,
    FORMULA_POWER, /* of numbers alone */
    FORMULA_SQUARE_ROOT,
    FORMULA_ABSOLUTE, /* from here on: of `a` alone */
};
static inline bool formula_op_is_unary(enum formula_op op)
{
    return op >= FORMULA_SQUARE_ROOT;
}

/* A place in the list of tensors, or of numbers. */
struct formula_place {
    bool tensor;
    uint8_t index;
};

/* place `result` = a op b; at least one operand of a step on tensors is a tensor. */
struct formula_step {
    enum formula_op op;
    struct formula_place a, b;
    uint8_t result;
};

struct formula {
    /* numbers: first those that are given, then constants and results */
    uint32_t number_inputs, number_count, number_step_count;
    double constants[FORMULA_MAX_NUMBERS]; /* by place; 0 where there is none */
    struct formula_step number_steps[FORMULA_MAX_NUMBERS];
    /* the numbers that steps on tensors take, in order: as such an operand, `index` counts here */
    uint32_t used_count;
    uint8_t used[FORMULA_MAX_NUMBERS];
    /* tensors: first those that are given, then results */
    uint32_t tensor_inputs, tensor_count, tensor_step_count;
    struct formula_step tensor_steps[FORMULA_MAX_TENSORS];
    /* the places of the inputs' new values: the input's own where it was not assigned */
    uint8_t new_tensors[FORMULA_MAX_RESULTS];
    uint8_t new_numbers[FORMULA_MAX_NUMBERS];
};

/* What a text may name. */
struct formula_words {
    const char *const *tensors; /* the inputs' names, in order; at most FORMULA_MAX_RESULTS */
    size_t tensor_count;
    const char *const *numbers;
    size_t number_count;
    /* whether a condition holds; `word` is not terminated */
    bool (*holds)(const void *context, const char *word, size_t length);
    const void *context;
};

/* The next line whose conditions hold, without them; false after the last. */
bool formula_next_line(const char **text, const struct formula_words *words, const char **line,
                       size_t *length);

/* The texts are the program's own (net/optimizer.c): a mistake in one is a CHECK. */
void formula_compile(const char *text, const struct formula_words *words, struct formula *out);

/* Evaluates the numbers of one step: inputs[number_inputs]; `used` receives those that the steps on
 * tensors take, `changed` (which may be `inputs`) the inputs' new values. */
void formula_evaluate(const struct formula *formula, const double *inputs,
                      double used[FORMULA_MAX_NUMBERS], double *changed);

#endif
