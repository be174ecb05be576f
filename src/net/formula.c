#include "net/formula.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MAX_NAMES (FORMULA_MAX_RESULTS + FORMULA_MAX_NUMBERS)

struct named {
    char name[FORMULA_NAME_SIZE];
    struct formula_place place;
};

/* What compiling carries along. */
struct compiler {
    const char *at; /* the rest of the text */
    struct formula *formula;
    struct named names[MAX_NAMES];
    size_t name_count;
};

static struct formula_place expression(struct compiler *c);

static void skip_blanks(struct compiler *c)
{
    while (*c->at == ' ') c->at++;
}

static bool take(struct compiler *c, char sign)
{
    skip_blanks(c);
    if (*c->at != sign) return false;
    c->at++;
    return true;
}

static bool is_letter(char sign)
{
    return (sign >= 'a' && sign <= 'z') || sign == '_';
}

static size_t word_length(const char *text)
{
    size_t length = 0;
    while (is_letter(text[length]) || (length && text[length] >= '0' && text[length] <= '9'))
        length++;
    return length;
}

/* --- places --- */

static struct formula_place new_number(struct compiler *c, double constant)
{
    struct formula *f = c->formula;
    CHECK(f->number_count < FORMULA_MAX_NUMBERS);
    f->constants[f->number_count] = constant;
    return (struct formula_place){false, (uint8_t)f->number_count++};
}

static struct formula_place new_tensor(struct compiler *c)
{
    CHECK(c->formula->tensor_count < FORMULA_MAX_TENSORS);
    return (struct formula_place){true, (uint8_t)c->formula->tensor_count++};
}

/* A step on tensors counts numbers by their place among those that such steps take. */
static struct formula_place as_operand(struct compiler *c, struct formula_place place)
{
    struct formula *f = c->formula;
    if (place.tensor) return place;
    for (uint32_t i = 0; i < f->used_count; i++)
        if (f->used[i] == place.index) return (struct formula_place){false, (uint8_t)i};
    f->used[f->used_count] = place.index;
    return (struct formula_place){false, (uint8_t)f->used_count++};
}

static struct formula_place operation(struct compiler *c, enum formula_op op,
                                      struct formula_place a, struct formula_place b)
{
    struct formula *f = c->formula;
    if (!a.tensor && !b.tensor) {
        struct formula_place result = new_number(c, 0);
        f->number_steps[f->number_step_count++] = (struct formula_step){op, a, b, result.index};
        return result;
    }
    CHECK(op != FORMULA_POWER);
    struct formula_place result = new_tensor(c);
    f->tensor_steps[f->tensor_step_count++] = (struct formula_step){op, as_operand(c, a),
                                                                    as_operand(c, b), result.index};
    return result;
}

/* --- expressions --- */

static struct formula_place function_call(struct compiler *c, const char *name, size_t length)
{
    static const struct {
        const char *name;
        enum formula_op op;
    } functions[] = {
        {"sqrt", FORMULA_SQUARE_ROOT}, {"abs", FORMULA_ABSOLUTE}, {"max", FORMULA_MAXIMUM}};
    size_t i = 0;
    while (strncmp(functions[i].name, name, length) != 0 || functions[i].name[length]) {
        i++;
        CHECK(i < sizeof functions / sizeof functions[0]);
    }
    struct formula_place a = expression(c), b = a;
    if (!formula_op_is_unary(functions[i].op)) {
        CHECK(take(c, ','));
        b = expression(c);
    }
    CHECK(take(c, ')'));
    return operation(c, functions[i].op, a, b);
}

static struct named *find_name(struct compiler *c, const char *name, size_t length)
{
    for (size_t i = 0; i < c->name_count; i++)
        if (strncmp(c->names[i].name, name, length) == 0 && !c->names[i].name[length])
            return &c->names[i];
    return NULL;
}

/* A number, a name, a function's value or something in parentheses. */
static struct formula_place atom(struct compiler *c)
{
    if (take(c, '(')) {
        struct formula_place inner = expression(c);
        CHECK(take(c, ')'));
        return inner;
    }
    const char *word = c->at;
    size_t length = word_length(word);
    if (!length) {
        char *end;
        double constant = strtod(word, &end);
        CHECK(end != word);
        c->at = end;
        return new_number(c, constant);
    }
    c->at += length;
    if (take(c, '(')) return function_call(c, word, length);
    const struct named *named = find_name(c, word, length);
    CHECK(named);
    return named->place;
}

static struct formula_place power(struct compiler *c)
{
    struct formula_place base = atom(c);
    return take(c, '^') ? operation(c, FORMULA_POWER, base, power(c)) : base;
}

static struct formula_place product(struct compiler *c)
{
    struct formula_place value = power(c);
    for (;;) {
        if (take(c, '*'))
            value = operation(c, FORMULA_MULTIPLY, value, power(c));
        else if (take(c, '/'))
            value = operation(c, FORMULA_DIVIDE, value, power(c));
        else
            return value;
    }
}

static struct formula_place expression(struct compiler *c)
{
    struct formula_place value = product(c);
    for (;;) {
        if (take(c, '+'))
            value = operation(c, FORMULA_ADD, value, product(c));
        else if (take(c, '-'))
            value = operation(c, FORMULA_SUBTRACT, value, product(c));
        else
            return value;
    }
}

/* --- lines --- */

static void bind(struct compiler *c, const char *name, size_t length, struct formula_place place)
{
    struct named *named = find_name(c, name, length);
    if (!named) {
        CHECK(c->name_count < MAX_NAMES && length < FORMULA_NAME_SIZE);
        named = &c->names[c->name_count++];
        memcpy(named->name, name, length);
        named->name[length] = '\0';
    }
    named->place = place;
}

/* Skips "[a !b] "; whether all of it holds. */
static bool conditions_hold(const char **text, const struct formula_words *words)
{
    bool all = true;
    const char *at = *text;
    if (*at != '[') return true;
    for (at++; *at != ']'; at += *at == ' ') {
        bool wanted = *at != '!';
        if (!wanted) at++;
        size_t length = word_length(at);
        CHECK(length);
        all = all && words->holds(words->context, at, length) == wanted;
        at += length;
    }
    *text = at + 1 + (at[1] == ' ');
    return all;
}

bool formula_next_line(const char **text, const struct formula_words *words, const char **line,
                       size_t *length)
{
    while (**text) {
        bool holds = conditions_hold(text, words);
        *line = *text;
        *length = strcspn(*text, "\n");
        *text += *length + ((*text)[*length] == '\n');
        if (holds) return true;
    }
    return false;
}

static void assignment(struct compiler *c)
{
    skip_blanks(c);
    const char *name = c->at;
    size_t length = word_length(name);
    c->at += length;
    CHECK(length && take(c, '='));
    bind(c, name, length, expression(c));
    skip_blanks(c);
    CHECK(*c->at == '\n' || !*c->at);
}

void formula_compile(const char *text, const struct formula_words *words, struct formula *out)
{
    struct compiler compiler = {.formula = out}, *c = &compiler;
    *out = (struct formula){0};
    CHECK(words->tensor_count <= FORMULA_MAX_RESULTS);
    for (size_t i = 0; i < words->tensor_count; i++)
        bind(c, words->tensors[i], strlen(words->tensors[i]), new_tensor(c));
    for (size_t i = 0; i < words->number_count; i++)
        bind(c, words->numbers[i], strlen(words->numbers[i]), new_number(c, 0));
    out->tensor_inputs = out->tensor_count;
    out->number_inputs = out->number_count;
    size_t length;
    while (formula_next_line(&text, words, &c->at, &length)) assignment(c);
    for (size_t i = 0; i < words->tensor_count; i++) out->new_tensors[i] = c->names[i].place.index;
    for (size_t i = 0; i < words->number_count; i++)
        out->new_numbers[i] = c->names[words->tensor_count + i].place.index;
}

static double compute(enum formula_op op, double a, double b)
{
    switch (op) {
    case FORMULA_ADD:
        return a + b;
    case FORMULA_SUBTRACT:
        return a - b;
    case FORMULA_MULTIPLY:
        return a * b;
    case FORMULA_DIVIDE:
        return a / b;
    case FORMULA_MAXIMUM:
        return a > b ? a : b;
    case FORMULA_POWER:
        return pow(a, b);
    case FORMULA_SQUARE_ROOT:
        return sqrt(a);
    case FORMULA_ABSOLUTE:
        return fabs(a);
    }
    return a;
}

void formula_evaluate(const struct formula *formula, const double *inputs,
                      double used[FORMULA_MAX_NUMBERS], double *changed)
{
    double numbers[FORMULA_MAX_NUMBERS];
    memcpy(numbers, formula->constants, sizeof numbers);
    memcpy(numbers, inputs, formula->number_inputs * sizeof *numbers);
    for (uint32_t i = 0; i < formula->number_step_count; i++) {
        const struct formula_step *step = &formula->number_steps[i];
        numbers[step->result] = compute(step->op, numbers[step->a.index], numbers[step->b.index]);
    }
    for (uint32_t i = 0; i < formula->used_count; i++) used[i] = numbers[formula->used[i]];
    for (uint32_t i = 0; i < formula->number_inputs; i++)
        changed[i] = numbers[formula->new_numbers[i]];
}
