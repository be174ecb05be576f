#include "net/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

/* --- the fields --- */

enum {
    LEARNING_RATE = 128,
    WEIGHT_DECAY = 256,
    CLIPPING = 512
}; /* beside enum optimizer_field: belong to all */

static const struct field {
    unsigned field;
    const char *key, *words;
    const char *symbol; /* in formulas; NULL: a condition of this field's key */
    size_t offset;
    double low, high;
    bool low_open, high_open;
    const char *range;
} fields[] = {
#define MEMBER(name) offsetof(struct optimizer, name)
    {LEARNING_RATE, "lr", "the learning rate", "lr", MEMBER(learning_rate), 0,
     OPTIMIZER_MAX_LEARNING_RATE, true, false, "a number above 0, such as 0.01"},
    {WEIGHT_DECAY, "weight_decay", "the weight decay", "wd", MEMBER(weight_decay), 0,
     OPTIMIZER_MAX_WEIGHT_DECAY, false, false, "0 to 100"},
    {OPTIMIZER_MOMENTUM, "momentum", "the momentum", "mu", MEMBER(momentum), 0, 1, false, true,
     "0 up to, but not including, 1"},
    {OPTIMIZER_BETAS, "beta1", "beta1", "beta1", MEMBER(beta1), 0, 1, false, true,
     "0 up to, but not including, 1"},
    {OPTIMIZER_BETAS, "beta2", "beta2", "beta2", MEMBER(beta2), 0, 1, false, true,
     "0 up to, but not including, 1"},
    {OPTIMIZER_RHO, "rho", "rho", "rho", MEMBER(rho), 0, 1, false, true,
     "0 up to, but not including, 1"},
    {OPTIMIZER_EPSILON, "epsilon", "epsilon", "eps", MEMBER(epsilon), OPTIMIZER_MIN_EPSILON, 1,
     false, false, "a small number, 1e-30 to 1"},
    {CLIPPING, "clip_value", "the clip value", "clip_value", MEMBER(clip_value), 0,
     OPTIMIZER_MAX_CLIP, false, false, "0 (off) to 1e9"},
    {CLIPPING, "clip_norm", "the clip norm", "clip_norm", MEMBER(clip_norm), 0, OPTIMIZER_MAX_CLIP,
     false, false, "0 (off) to 1e9"},
    {CLIPPING, "clip_global_norm", "the global clip norm", "clip_global_norm",
     MEMBER(clip_global_norm), 0, OPTIMIZER_MAX_CLIP, false, false, "0 (off) to 1e9"},
    {OPTIMIZER_NESTEROV, "nesterov", NULL, NULL, MEMBER(nesterov), 0, 0, 0, 0, ""},
    {OPTIMIZER_AMSGRAD, "amsgrad", NULL, NULL, MEMBER(amsgrad), 0, 0, 0, 0, ""},
    {OPTIMIZER_CENTERED, "centered", NULL, NULL, MEMBER(centered), 0, 0, 0, 0, ""},
#undef MEMBER
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static double *number_of(const struct field *field, const struct optimizer *optimizer)
{
    return (double *)((char *)(uintptr_t)optimizer + field->offset);
}

static bool *flag_of(const struct field *field, const struct optimizer *optimizer)
{
    return (bool *)((char *)(uintptr_t)optimizer + field->offset);
}

/* --- the formulas --- */

#define L2_DECAY        "[wd] g = g + wd*w\n"
#define DECOUPLED_DECAY "[wd] w = w - lr*wd*w\n"
#define MOMENTS                                 \
    "exp_avg = beta1*exp_avg + (1 - beta1)*g\n" \
    "exp_avg_sq = beta2*exp_avg_sq + (1 - beta2)*g*g\n"

/* torch.optim.Adam: epsilon is added to the corrected root. */
#define PYTORCH_ADAM                                               \
    MOMENTS                                                        \
    "[!amsgrad] s = exp_avg_sq\n"                                  \
    "[amsgrad] max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq)\n" \
    "[amsgrad] s = max_exp_avg_sq\n"                               \
    "w = w - lr/(1 - beta1^t) * exp_avg / (sqrt(s)/sqrt(1 - beta2^t) + eps)\n"

/* keras.optimizers.Adam: both corrections are in the rate, epsilon is added to the plain root. */
#define KERAS_ADAM                                                     \
    DECOUPLED_DECAY MOMENTS                                            \
        "[!amsgrad] s = exp_avg_sq\n"                                  \
        "[amsgrad] max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq)\n" \
        "[amsgrad] s = max_exp_avg_sq\n"                               \
        "w = w - lr*sqrt(1 - beta2^t)/(1 - beta1^t) * exp_avg / (sqrt(s) + eps)\n"

#define ADADELTA                                               \
    "square_avg = rho*square_avg + (1 - rho)*g*g\n"            \
    "d = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g\n" \
    "acc_delta = rho*acc_delta + (1 - rho)*d*d\n"              \
    "w = w - lr*d\n"

/* Keras's momentum decays 250 times as fast: PyTorch's momentum_decay is 0.004. */
#define NADAM(decay)                                                                        \
    "mu_now = beta1*(1 - 0.5*0.96^(t*" decay "))\n"                                         \
    "mu_next = beta1*(1 - 0.5*0.96^((t + 1)*" decay "))\n"                                  \
    "mu_product = mu_product*mu_now\n" MOMENTS "d = sqrt(exp_avg_sq/(1 - beta2^t)) + eps\n" \
    "w = w - lr*(1 - mu_now)/(1 - mu_product) * g / d\n"                                    \
    "w = w - lr*mu_next/(1 - mu_product*mu_next) * exp_avg / d\n"

/* --- the optimizers --- */

#define MAX_NUMBERS_OF_A_FORMULA 16

static const struct kind {
    const char *name, *title;
    unsigned fields; /* enum optimizer_field */
    struct slot {
        const char *name;
        const char *when; /* the condition it is there under; NULL: always */
        double start[MEANING_COUNT];
    } slots[OPTIMIZER_MAX_SLOTS];
    struct {
        const char *name;
        double start;
    } numbers[OPTIMIZER_MAX_NUMBERS];
    struct {
        double learning_rate, weight_decay, beta1, beta2, rho, epsilon; /* 0: neutral */
    } defaults[MEANING_COUNT];
    const char *formula[MEANING_COUNT];
} kinds[OPTIMIZER_TYPE_COUNT] = {
    [OPTIMIZER_SGD] =
        {
            .name = "sgd",
            .title = "SGD",
            .fields = OPTIMIZER_MOMENTUM | OPTIMIZER_NESTEROV,
            .slots = {{"momentum", "mu", {0}}},
            .defaults = {{.learning_rate = 0.01}, {.learning_rate = 0.01}},
            .formula = {L2_DECAY "[mu] momentum = mu*momentum + g\n"
                                 "[nesterov] g = g + mu*momentum\n"
                                 "[mu !nesterov] g = momentum\n"
                                 "w = w - lr*g\n",
                        /* the rate is inside the buffer */
                        DECOUPLED_DECAY "[mu] momentum = mu*momentum - lr*g\n"
                                        "[nesterov] w = w + (mu*momentum - lr*g)\n"
                                        "[mu !nesterov] w = w + momentum\n"
                                        "[!mu] w = w - lr*g\n"},
        },
    [OPTIMIZER_ADAM] =
        {
            .name = "adam",
            .title = "Adam",
            .fields = OPTIMIZER_BETAS | OPTIMIZER_AMSGRAD | OPTIMIZER_EPSILON,
            .slots = {{"exp_avg", NULL, {0}},
                      {"exp_avg_sq", NULL, {0}},
                      {"max_exp_avg_sq", "amsgrad", {0}}},
            .defaults = {{.learning_rate = 0.001, .epsilon = 1e-8},
                         {.learning_rate = 0.001, .epsilon = 1e-7}},
            .formula = {L2_DECAY PYTORCH_ADAM, KERAS_ADAM},
        },
    [OPTIMIZER_ADAMW] =
        {
            .name = "adamw",
            .title = "AdamW",
            .fields = OPTIMIZER_BETAS | OPTIMIZER_AMSGRAD | OPTIMIZER_EPSILON,
            .slots = {{"exp_avg", NULL, {0}},
                      {"exp_avg_sq", NULL, {0}},
                      {"max_exp_avg_sq", "amsgrad", {0}}},
            .defaults = {{.learning_rate = 0.001, .weight_decay = 0.01, .epsilon = 1e-8},
                         {.learning_rate = 0.001, .weight_decay = 0.004, .epsilon = 1e-7}},
            .formula = {DECOUPLED_DECAY PYTORCH_ADAM, KERAS_ADAM},
        },
    [OPTIMIZER_RMSPROP] =
        {
            .name = "rmsprop",
            .title = "RMSprop",
            .fields = OPTIMIZER_MOMENTUM | OPTIMIZER_RHO | OPTIMIZER_EPSILON | OPTIMIZER_CENTERED,
            .slots = {{"square_avg", NULL, {0}},
                      {"grad_avg", "centered", {0}},
                      {"momentum", "mu", {0}}},
            .defaults = {{.learning_rate = 0.01, .rho = 0.99, .epsilon = 1e-8},
                         {.learning_rate = 0.001, .rho = 0.9, .epsilon = 1e-7}},
            .formula = {L2_DECAY "square_avg = rho*square_avg + (1 - rho)*g*g\n"
                                 "[!centered] s = square_avg\n"
                                 "[centered] grad_avg = grad_avg + (1 - rho)*(g - grad_avg)\n"
                                 "[centered] s = square_avg - grad_avg*grad_avg\n"
                                 "d = g / (sqrt(s) + eps)\n"
                                 "[mu] momentum = mu*momentum + d\n"
                                 "[mu] d = momentum\n"
                                 "w = w - lr*d\n",
                        /* epsilon is under the root, the rate inside the buffer */
                        DECOUPLED_DECAY "square_avg = rho*square_avg + (1 - rho)*(g*g)\n"
                                        "[!centered] s = square_avg\n"
                                        "[centered] grad_avg = rho*grad_avg + (1 - rho)*g\n"
                                        "[centered] s = square_avg - grad_avg*grad_avg\n"
                                        "d = lr*g / sqrt(s + eps)\n"
                                        "[mu] momentum = mu*momentum + d\n"
                                        "[mu] d = momentum\n"
                                        "w = w - d\n"},
        },
    [OPTIMIZER_ADAGRAD] =
        {
            .name = "adagrad",
            .title = "Adagrad",
            .fields = OPTIMIZER_EPSILON,
            .slots = {{"sum", NULL, {0, 0.1}}},
            .defaults = {{.learning_rate = 0.01, .epsilon = 1e-10},
                         {.learning_rate = 0.001, .epsilon = 1e-7}},
            .formula = {L2_DECAY "sum = sum + g*g\n"
                                 "w = w - lr*g / (sqrt(sum) + eps)\n",
                        DECOUPLED_DECAY "sum = sum + g*g\n"
                                        "w = w - lr*g / sqrt(sum + eps)\n"},
        },
    [OPTIMIZER_ADADELTA] =
        {
            .name = "adadelta",
            .title = "Adadelta",
            .fields = OPTIMIZER_RHO | OPTIMIZER_EPSILON,
            .slots = {{"square_avg", NULL, {0}}, {"acc_delta", NULL, {0}}},
            .defaults = {{.learning_rate = 1, .rho = 0.9, .epsilon = 1e-6},
                         {.learning_rate = 0.001, .rho = 0.95, .epsilon = 1e-7}},
            .formula = {L2_DECAY ADADELTA, DECOUPLED_DECAY ADADELTA},
        },
    [OPTIMIZER_ADAMAX] =
        {
            .name = "adamax",
            .title = "Adamax",
            .fields = OPTIMIZER_BETAS | OPTIMIZER_EPSILON,
            .slots = {{"exp_avg", NULL, {0}}, {"exp_inf", NULL, {0}}},
            .defaults = {{.learning_rate = 0.002, .epsilon = 1e-8},
                         {.learning_rate = 0.001, .epsilon = 1e-7}},
            .formula = {L2_DECAY "exp_avg = beta1*exp_avg + (1 - beta1)*g\n"
                                 "exp_inf = max(beta2*exp_inf, abs(g) + eps)\n"
                                 "w = w - lr/(1 - beta1^t) * exp_avg / exp_inf\n",
                        DECOUPLED_DECAY "exp_avg = beta1*exp_avg + (1 - beta1)*g\n"
                                        "exp_inf = max(beta2*exp_inf, abs(g))\n"
                                        "w = w - lr/(1 - beta1^t) * exp_avg / (exp_inf + eps)\n"},
        },
    [OPTIMIZER_NADAM] =
        {
            .name = "nadam",
            .title = "NAdam",
            .fields = OPTIMIZER_BETAS | OPTIMIZER_EPSILON,
            .slots = {{"exp_avg", NULL, {0}}, {"exp_avg_sq", NULL, {0}}},
            .numbers = {{"mu_product", 1}},
            .defaults = {{.learning_rate = 0.002, .epsilon = 1e-8},
                         {.learning_rate = 0.001, .epsilon = 1e-7}},
            .formula = {L2_DECAY NADAM("0.004"), DECOUPLED_DECAY NADAM("1")},
        },
};

static const char *const meaning_names[] = {"pytorch", "keras"};
static const char *const meaning_titles[] = {"PyTorch", "Keras"};

const char *meaning_name(enum meaning meaning)
{
    return meaning_names[meaning];
}

const char *meaning_title(enum meaning meaning)
{
    return meaning_titles[meaning];
}

const char *optimizer_type_name(enum optimizer_type type)
{
    return kinds[type].name;
}

const char *optimizer_type_title(enum optimizer_type type)
{
    return kinds[type].title;
}

bool optimizer_has(enum optimizer_type type, enum optimizer_field field)
{
    return (kinds[type].fields & field) != 0;
}

static bool has_field(const struct optimizer *optimizer, const struct field *field)
{
    return ((kinds[optimizer->type].fields | LEARNING_RATE | WEIGHT_DECAY | CLIPPING) &
            field->field) != 0;
}

/* --- values --- */

void optimizer_defaults(enum optimizer_type type, enum meaning meaning, struct optimizer *out)
{
    const struct kind *kind = &kinds[type];
    *out = (struct optimizer){.type = type,
                              .meaning = meaning,
                              .learning_rate = kind->defaults[meaning].learning_rate,
                              .weight_decay = kind->defaults[meaning].weight_decay,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .rho = 0.9,
                              .epsilon = 1e-8};
    if (kind->defaults[meaning].rho > 0) out->rho = kind->defaults[meaning].rho;
    if (kind->defaults[meaning].epsilon > 0) out->epsilon = kind->defaults[meaning].epsilon;
}

/* "sgd, adam or adamw" */
static const char *type_names(char out[160])
{
    size_t length = 0;
    for (int type = 0; type < OPTIMIZER_TYPE_COUNT; type++)
        length += (size_t)snprintf(out + length, 160 - length, "%s%s",
                                   type == 0                          ? ""
                                   : type == OPTIMIZER_TYPE_COUNT - 1 ? " or "
                                                                      : ", ",
                                   kinds[type].name);
    return out;
}

int optimizer_init(struct optimizer *optimizer, const char *type_name, struct error *error)
{
    char names[160];
    for (int type = 0; type < OPTIMIZER_TYPE_COUNT; type++) {
        if (strcmp(kinds[type].name, type_name) != 0) continue;
        optimizer_defaults((enum optimizer_type)type, MEANING_PYTORCH, optimizer);
        return 0;
    }
    return error_set(error, ERROR_INPUT, "unknown optimizer \"%.40s\": use %s", type_name,
                     type_names(names));
}

/* "momentum belongs to sgd, rmsprop: leave it out with adam" */
static int refuse_field(const struct optimizer *optimizer, const struct field *field,
                        struct error *error)
{
    char names[160] = "";
    size_t length = 0;
    for (int type = 0; type < OPTIMIZER_TYPE_COUNT; type++)
        if (kinds[type].fields & field->field)
            length += (size_t)snprintf(names + length, sizeof names - length, "%s%s",
                                       length ? ", " : "", kinds[type].name);
    return error_set(error, ERROR_INPUT, "%s belongs to %s: leave it out with %s", field->key,
                     names, kinds[optimizer->type].name);
}

/* A field that the optimizer does not have: on, where it can be. */
static bool is_given(const struct optimizer *optimizer, const struct field *field)
{
    if (!field->symbol) return *flag_of(field, optimizer);
    return field->field == OPTIMIZER_MOMENTUM && *number_of(field, optimizer) != 0;
}

int optimizer_check(const struct optimizer *optimizer, struct error *error)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field *field = &fields[i];
        bool has = has_field(optimizer, field);
        if (!has && is_given(optimizer, field)) return refuse_field(optimizer, field, error);
        if (!has || !field->symbol) continue;
        double value = *number_of(field, optimizer);
        if (!(field->low_open ? value > field->low : value >= field->low) ||
            !(field->high_open ? value < field->high : value <= field->high))
            return error_set(error, ERROR_INPUT, "%s %g is out of range: give %s", field->words,
                             value, field->range);
    }
    if ((optimizer->clip_value > 0) + (optimizer->clip_norm > 0) +
            (optimizer->clip_global_norm > 0) >
        1)
        return error_set(error, ERROR_INPUT,
                         "gradients are clipped in one way: give one of clip value, clip norm and "
                         "global clip norm");
    if (optimizer->nesterov && !(optimizer->momentum > 0))
        return error_set(error, ERROR_INPUT,
                         "Nesterov momentum needs a momentum above 0: give one, such as 0.9");
    return 0;
}

/* --- state --- */

static bool condition_holds(const void *context, const char *word, size_t length)
{
    const struct optimizer *optimizer = context;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const char *name = fields[i].symbol ? fields[i].symbol : fields[i].key;
        if (strncmp(name, word, length) == 0 && !name[length])
            return fields[i].symbol ? *number_of(&fields[i], optimizer) > 0
                                    : *flag_of(&fields[i], optimizer);
    }
    CHECK(false); /* a condition that no field has */
    return false;
}

/* Slot `number` of those that the optimizer's options ask for; NULL past the last. */
static const struct slot *find_slot(const struct optimizer *optimizer, uint32_t number)
{
    const struct slot *slots = kinds[optimizer->type].slots;
    for (uint32_t i = 0; i < OPTIMIZER_MAX_SLOTS && slots[i].name; i++) {
        if (slots[i].when && !condition_holds(optimizer, slots[i].when, strlen(slots[i].when)))
            continue;
        if (number-- == 0) return &slots[i];
    }
    return NULL;
}

uint32_t optimizer_slot_count(const struct optimizer *optimizer)
{
    uint32_t count = 0;
    while (find_slot(optimizer, count)) count++;
    return count;
}

const char *optimizer_slot_name(const struct optimizer *optimizer, uint32_t slot)
{
    const struct slot *found = find_slot(optimizer, slot);
    CHECK(found);
    return found->name;
}

double optimizer_slot_start(const struct optimizer *optimizer, uint32_t slot)
{
    const struct slot *found = find_slot(optimizer, slot);
    CHECK(found);
    return found->start[optimizer->meaning];
}

uint32_t optimizer_number_count(const struct optimizer *optimizer)
{
    uint32_t count = 0;
    while (count < OPTIMIZER_MAX_NUMBERS && kinds[optimizer->type].numbers[count].name) count++;
    return count;
}

const char *optimizer_number_name(const struct optimizer *optimizer, uint32_t number)
{
    CHECK(number < optimizer_number_count(optimizer));
    return kinds[optimizer->type].numbers[number].name;
}

static void fill(struct parameters *parameters, double value)
{
    for (size_t t = 0; t < parameters->tensor_count; t++)
        for (size_t i = 0; i < parameters->tensors[t].count; i++)
            if (tensor_role_is_trained(parameters->tensors[t].role))
                tensor_set(parameters, &parameters->tensors[t], i, value);
}

int optimizer_state_create(const struct optimizer *optimizer, const struct network *network,
                           enum dtype dtype, struct optimizer_state **out, struct error *error)
{
    struct optimizer_state *state = calloc(1, sizeof *state);
    if (!state) return error_set_memory(error, "the optimizer's state");
    for (; state->slot_count < optimizer_slot_count(optimizer); state->slot_count++) {
        struct parameters **slot = &state->slots[state->slot_count];
        double start = optimizer_slot_start(optimizer, state->slot_count);
        if (parameters_create(network, dtype, slot, error)) {
            optimizer_state_destroy(state);
            return -1;
        }
        if (start != 0) fill(*slot, start);
    }
    for (uint32_t i = 0; i < optimizer_number_count(optimizer); i++)
        state->numbers[i] = kinds[optimizer->type].numbers[i].start;
    *out = state;
    return 0;
}

void optimizer_state_destroy(struct optimizer_state *state)
{
    if (!state) return;
    for (uint32_t i = 0; i < state->slot_count; i++) parameters_destroy(state->slots[i]);
    free(state);
}

/* --- JSON --- */

json_t *optimizer_to_json(const struct optimizer *optimizer)
{
    json_t *value = json_pack("{s:s, s:f, s:f, s:f, s:s}", "type", kinds[optimizer->type].name,
                              "lr", optimizer->learning_rate, "momentum", optimizer->momentum,
                              "weight_decay", optimizer->weight_decay, "meaning",
                              meaning_name(optimizer->meaning));
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field *field = &fields[i];
        if (!has_field(optimizer, field) || json_object_get(value, field->key)) continue;
        if (field->field == CLIPPING && *number_of(field, optimizer) == 0) continue;
        json_object_set_new(value, field->key,
                            field->symbol ? json_real(*number_of(field, optimizer))
                                          : json_boolean(*flag_of(field, optimizer)));
    }
    return value;
}

static int read_meaning(const json_t *value, enum meaning *out, struct error *error)
{
    const char *name = meaning_name(MEANING_PYTORCH); /* what older versions computed */
    if (js_get_string(value, "meaning", &name, error)) return -1;
    for (int meaning = 0; meaning < MEANING_COUNT; meaning++) {
        if (strcmp(meaning_names[meaning], name) != 0) continue;
        *out = (enum meaning)meaning;
        return 0;
    }
    return error_set(error, ERROR_INPUT, "unknown meaning \"%.40s\": use pytorch or keras", name);
}

int optimizer_from_json(const json_t *value, struct optimizer *out, struct error *error)
{
    const char *type = "sgd";
    enum meaning meaning;
    if (!json_is_object(value))
        return error_set(error, ERROR_INPUT, "\"optimizer\" must be an object");
    if (js_get_string(value, "type", &type, error) || optimizer_init(out, type, error) ||
        read_meaning(value, &meaning, error))
        return -1;
    optimizer_defaults(out->type, meaning, out);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].symbol ? js_get_real(value, fields[i].key, -1e300, 1e300,
                                           number_of(&fields[i], out), error)
                             : js_get_bool(value, fields[i].key, flag_of(&fields[i], out), error))
            return -1;
    return optimizer_check(out, error);
}

/* --- for engines --- */

const char *optimizer_formula_text(const struct optimizer *optimizer)
{
    return kinds[optimizer->type].formula[optimizer->meaning];
}

bool optimizer_formula_line(const struct optimizer *optimizer, const char **rest, const char **line,
                            size_t *length)
{
    const struct formula_words words = {.holds = condition_holds, .context = optimizer};
    return formula_next_line(rest, &words, line, length);
}

double optimizer_symbol(const struct optimizer *optimizer, const char *symbol)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].symbol && strcmp(fields[i].symbol, symbol) == 0)
            return *number_of(&fields[i], optimizer);
    return NAN;
}

const char *optimizer_symbol_name(size_t number)
{
    return number < FIELD_COUNT ? fields[number].symbol : NULL;
}

/* The numbers a formula may name, in this order: the fields with a symbol, `t`, the state's. */
static size_t number_names(const struct optimizer *optimizer,
                           const char *names[MAX_NUMBERS_OF_A_FORMULA])
{
    size_t count = 0;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].symbol) names[count++] = fields[i].symbol;
    names[count++] = "t";
    for (uint32_t i = 0; i < optimizer_number_count(optimizer); i++)
        names[count++] = optimizer_number_name(optimizer, i);
    CHECK(count <= MAX_NUMBERS_OF_A_FORMULA);
    return count;
}

void optimizer_formula(const struct optimizer *optimizer, struct formula *out)
{
    const char *tensors[2 + OPTIMIZER_MAX_SLOTS] = {"w", "g"};
    const char *numbers[MAX_NUMBERS_OF_A_FORMULA];
    uint32_t slots = optimizer_slot_count(optimizer);
    for (uint32_t i = 0; i < slots; i++) tensors[2 + i] = optimizer_slot_name(optimizer, i);
    const struct formula_words words = {
        .tensors = tensors,
        .tensor_count = 2 + slots,
        .numbers = numbers,
        .number_count = number_names(optimizer, numbers),
        .holds = condition_holds,
        .context = optimizer,
    };
    formula_compile(optimizer_formula_text(optimizer), &words, out);
}

void optimizer_numbers(const struct optimizer *optimizer, const struct formula *formula,
                       double rate, uint64_t step, double state[OPTIMIZER_MAX_NUMBERS],
                       double used[FORMULA_MAX_NUMBERS])
{
    double inputs[MAX_NUMBERS_OF_A_FORMULA], changed[MAX_NUMBERS_OF_A_FORMULA];
    size_t count = 0, own = optimizer_number_count(optimizer);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].symbol)
            inputs[count++] = fields[i].field == LEARNING_RATE ? rate
                                                               : *number_of(&fields[i], optimizer);
    inputs[count++] = (double)step;
    memcpy(&inputs[count], state, own * sizeof *state);
    formula_evaluate(formula, inputs, used, changed);
    memcpy(state, &changed[count], own * sizeof *state);
}

enum optimizer_clip optimizer_clip(const struct optimizer *o, double *bound)
{
    const struct {
        double bound;
        enum optimizer_clip kind;
    } ways[] = {
        {o->clip_value, OPTIMIZER_CLIP_VALUES},
        {o->clip_norm, o->meaning == MEANING_KERAS ? OPTIMIZER_CLIP_EACH : OPTIMIZER_CLIP_ALL},
        {o->clip_global_norm, OPTIMIZER_CLIP_ALL}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        *bound = ways[i].bound;
        if (*bound > 0) return ways[i].kind;
    }
    return OPTIMIZER_CLIP_NONE;
}

double optimizer_clip_epsilon(const struct optimizer *o)
{
    return o->meaning == MEANING_KERAS ? 0 : 1e-6;
}

double optimizer_clip_factor(const struct optimizer *o, double norm)
{
    double bound, length = norm + optimizer_clip_epsilon(o);
    optimizer_clip(o, &bound);
    return length > bound ? bound / length : 1;
}

enum optimizer_fused optimizer_fused(const struct optimizer *o)
{
    bool keras = o->meaning == MEANING_KERAS;
    double bound;
    /* what is clipped must be there as a whole first */
    if (optimizer_clip(o, &bound) != OPTIMIZER_CLIP_NONE) return OPTIMIZER_NOT_FUSED;
    if (o->type == OPTIMIZER_SGD && !o->nesterov &&
        !(keras && (o->momentum > 0 || o->weight_decay > 0)))
        return OPTIMIZER_FUSED_SGD;
    if (o->type == OPTIMIZER_ADAM && !o->amsgrad && !(keras && o->weight_decay > 0))
        return OPTIMIZER_FUSED_ADAM;
    return OPTIMIZER_NOT_FUSED;
}

struct optimizer_adam optimizer_adam(const struct optimizer *o, double rate, uint64_t step)
{
    double first = 1 - pow(o->beta1, (double)step), second = 1 - pow(o->beta2, (double)step);
    if (o->meaning == MEANING_KERAS)
        return (struct optimizer_adam){.size = rate * sqrt(second) / first, .root = 1};
    return (struct optimizer_adam){.size = rate / first, .root = 1 / sqrt(second)};
}
