#include "train/schedule.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

/* Where a step lies. */
struct schedule_place {
    double lr;
    double epoch; /* with its fraction where the rate changes with every step */
    double epochs;
    uint64_t step, steps; /* of all epochs */
};

typedef double rate_fn(const struct schedule *schedule, const struct schedule_place *place);

struct schedule_parameter {
    const char *name;
    double usual[MEANING_COUNT]; /* NAN: must be given */
    double low, high;
    bool low_open;
};

/* --- the rates --- */

static double constant_rate(const struct schedule *schedule, const struct schedule_place *place)
{
    (void)schedule;
    return place->lr;
}

enum { STEP_EVERY, STEP_GAMMA };
/* torch.optim.lr_scheduler.StepLR; keras.optimizers.schedules.ExponentialDecay(staircase=True) */
static double step_rate(const struct schedule *s, const struct schedule_place *place)
{
    return place->lr * pow(s->values[STEP_GAMMA], floor(place->epoch / s->values[STEP_EVERY]));
}

/* ExponentialLR; ExponentialDecay */
static double exponential_rate(const struct schedule *s, const struct schedule_place *place)
{
    return place->lr * pow(s->values[0], place->epoch);
}

enum { POLYNOMIAL_POWER, POLYNOMIAL_MIN, POLYNOMIAL_EPOCHS };
/* PolynomialLR; PolynomialDecay */
static double polynomial_rate(const struct schedule *s, const struct schedule_place *place)
{
    double length = s->values[POLYNOMIAL_EPOCHS] > 0 ? s->values[POLYNOMIAL_EPOCHS] : place->epochs;
    double left = place->epoch < length ? 1 - place->epoch / length : 0;
    double low = s->values[POLYNOMIAL_MIN];
    return (place->lr - low) * pow(left, s->values[POLYNOMIAL_POWER]) + low;
}

enum { COSINE_MIN, COSINE_EPOCHS, COSINE_RESTART, COSINE_MULTIPLY };
/* CosineAnnealingLR, which rises again after its end, and CosineAnnealingWarmRestarts; CosineDecay,
 * which stays, and CosineDecayRestarts */
static double cosine_rate(const struct schedule *s, const struct schedule_place *place)
{
    double length = s->values[COSINE_EPOCHS] > 0 ? s->values[COSINE_EPOCHS] : place->epochs;
    double at = place->epoch, low = s->values[COSINE_MIN];
    if (s->values[COSINE_RESTART] > 0)
        for (length = s->values[COSINE_RESTART]; at >= length; length *= s->values[COSINE_MULTIPLY])
            at -= length;
    else if (s->meaning == MEANING_KERAS && at > length)
        at = length;
    return low + (place->lr - low) * (1 + cos(PI * at / length)) / 2;
}

enum { ONECYCLE_MAX, ONECYCLE_SHARE, ONECYCLE_DIV, ONECYCLE_FINAL };
/* torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=False), step by step, over all epochs */
static double onecycle_rate(const struct schedule *s, const struct schedule_place *place)
{
    double top = s->values[ONECYCLE_MAX], first = top / s->values[ONECYCLE_DIV],
           last = first / s->values[ONECYCLE_FINAL], at = (double)place->step;
    double peak = s->values[ONECYCLE_SHARE] * (double)place->steps - 1,
           end = (double)place->steps - 1;
    if (at <= peak && peak > 0) return top + (first - top) * (1 + cos(PI * at / peak)) / 2;
    double share = end > peak ? (at - peak) / (end - peak) : 1;
    return last + (top - last) * (1 + cos(PI * (share < 1 ? share : 1))) / 2;
}

enum { PLATEAU_PATIENCE, PLATEAU_FACTOR, PLATEAU_MIN, PLATEAU_THRESHOLD, PLATEAU_COOLDOWN };

/* --- the table --- */

enum unit { BY_MEANING, PER_STEP, PER_EPOCH };

static const struct kind {
    const char *name;
    enum unit unit; /* what `unit` says if it is not given */
    struct schedule_parameter parameters[SCHEDULE_MAX_PARAMETERS + 1];
    rate_fn *rate;
} kinds[SCHEDULE_KIND_COUNT] = {
    /* clang-format off */
    [SCHEDULE_CONSTANT] = {"constant", BY_MEANING, {{0}}, constant_rate},
    [SCHEDULE_STEP] = {"step", BY_MEANING,
        {{"every", {NAN, NAN}, 0, 1e6, true}, {"gamma", {0.1, 0.1}, 0, 1, true}}, step_rate},
    [SCHEDULE_EXPONENTIAL] = {"exponential", BY_MEANING,
        {{"gamma", {NAN, NAN}, 0, 1, true}}, exponential_rate},
    [SCHEDULE_POLYNOMIAL] = {"polynomial", BY_MEANING,
        {{"power", {1, 1}, 0, 100, true}, {"min", {0, 1e-4}, 0, OPTIMIZER_MAX_LEARNING_RATE, false},
         {"epochs", {0, 0}, 0, 1e6, false}}, polynomial_rate},
    [SCHEDULE_COSINE] = {"cosine", BY_MEANING,
        {{"min", {0, 0}, 0, OPTIMIZER_MAX_LEARNING_RATE, false}, {"epochs", {0, 0}, 0, 1e6, false},
         {"restart", {0, 0}, 0, 1e6, false}, {"multiply", {1, 2}, 1, 100, false}}, cosine_rate},
    [SCHEDULE_ONECYCLE] = {"onecycle", PER_STEP,
        {{"max", {NAN, NAN}, 0, OPTIMIZER_MAX_LEARNING_RATE, true}, {"share", {0.3, 0.3}, 0, 1, true},
         {"div", {25, 25}, 1, 1e9, false}, {"final", {1e4, 1e4}, 1, 1e12, false}}, onecycle_rate},
    [SCHEDULE_PLATEAU] = {"plateau", PER_EPOCH,
        {{"patience", {10, 10}, 0, 1e6, false}, {"factor", {0.1, 0.1}, 0, 1, true},
         {"min", {0, 0}, 0, OPTIMIZER_MAX_LEARNING_RATE, false},
         {"threshold", {1e-4, 1e-4}, 0, 1, false}, {"cooldown", {0, 0}, 0, 1e6, false}},
        constant_rate},
    /* clang-format on */
};

static size_t parameter_count(const struct kind *kind)
{
    size_t count = 0;
    while (kind->parameters[count].name) count++;
    return count;
}

/* --- reading --- */

/* "a, b or c" of a kind's parameters, or of the kinds. */
static const char *list_names(const struct kind *kind, char out[160])
{
    size_t count = kind ? parameter_count(kind) + 1 : SCHEDULE_KIND_COUNT, length = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = !kind            ? kinds[i].name
                           : i + 1 == count ? "unit"
                                            : kind->parameters[i].name;
        length += (size_t)snprintf(out + length, 160 - length, "%s%s",
                                   i == 0           ? ""
                                   : i + 1 == count ? " or "
                                                    : ", ",
                                   name);
    }
    return out;
}

static int read_kind(const char *text, size_t length, struct schedule *out, struct error *error)
{
    char names[160];
    for (int i = 0; i < SCHEDULE_KIND_COUNT; i++) {
        if (strlen(kinds[i].name) != length || strncmp(kinds[i].name, text, length) != 0) continue;
        out->kind = (enum schedule_kind)i;
        return 0;
    }
    return error_set(error, ERROR_INPUT, "unknown schedule \"%.*s\": use %s",
                     length < 40 ? (int)length : 40, text, list_names(NULL, names));
}

static int read_unit(const char *value, size_t length, struct schedule *out, struct error *error)
{
    bool step = length == 4 && strncmp(value, "step", 4) == 0;
    if (out->kind == SCHEDULE_ONECYCLE || out->kind == SCHEDULE_PLATEAU)
        return error_set(error, ERROR_INPUT, "the schedule %s has its own unit: leave unit out",
                         kinds[out->kind].name);
    if (!step && !(length == 5 && strncmp(value, "epoch", 5) == 0))
        return error_set(error, ERROR_INPUT,
                         "the schedule's unit \"%.*s\" is not valid: give step "
                         "or epoch",
                         length < 40 ? (int)length : 40, value);
    out->per_step = step;
    return 0;
}

static int read_number(const struct schedule_parameter *parameter, const char *kind,
                       const char *value, size_t length, double *out, struct error *error)
{
    char *end;
    double number = strtod(value, &end);
    if (!length || end != value + length || !isfinite(number) || *value == ' ' ||
        !(parameter->low_open ? number > parameter->low : number >= parameter->low) ||
        number > parameter->high)
        return error_set(error, ERROR_INPUT,
                         "%s %.*s of the schedule %s is out of range: give a number %s %g to %g",
                         parameter->name, length < 40 ? (int)length : 40, value, kind,
                         parameter->low_open ? "above" : "from", parameter->low, parameter->high);
    *out = number;
    return 0;
}

/* One "name=value". */
static int read_parameter(const char *text, size_t length, struct schedule *out,
                          struct error *error)
{
    const struct kind *kind = &kinds[out->kind];
    char names[160];
    size_t name = 0;
    while (name < length && text[name] != '=') name++;
    if (name < length) {
        const char *value = text + name + 1;
        size_t rest = length - name - 1;
        if (name == 4 && strncmp(text, "unit", 4) == 0) return read_unit(value, rest, out, error);
        for (size_t i = 0; kind->parameters[i].name; i++)
            if (strlen(kind->parameters[i].name) == name &&
                strncmp(kind->parameters[i].name, text, name) == 0)
                return read_number(&kind->parameters[i], kind->name, value, rest, &out->values[i],
                                   error);
    }
    return error_set(error, ERROR_INPUT, "the schedule %s has no \"%.*s\": give NAME=VALUE of %s",
                     kind->name, length < 40 ? (int)length : 40, text, list_names(kind, names));
}

int schedule_parse(const char *text, enum meaning meaning, uint32_t warmup, struct schedule *out,
                   struct error *error)
{
    *out = (struct schedule){.meaning = meaning, .warmup = warmup};
    size_t length = strcspn(text, ":");
    if (read_kind(text, length, out, error)) return -1;
    const struct kind *kind = &kinds[out->kind];
    out->per_step = kind->unit == PER_STEP ||
                    (kind->unit == BY_MEANING && meaning == MEANING_KERAS);
    for (size_t i = 0; kind->parameters[i].name; i++)
        out->values[i] = kind->parameters[i].usual[meaning];
    for (text += length; *text; text += length) {
        text++; /* the colon, or a comma */
        length = strcspn(text, ",");
        if (read_parameter(text, length, out, error)) return -1;
    }
    for (size_t i = 0; kind->parameters[i].name; i++)
        if (isnan(out->values[i]))
            return error_set(error, ERROR_INPUT, "the schedule %s needs %s: give %s:%s=VALUE",
                             kind->name, kind->parameters[i].name, kind->name,
                             kind->parameters[i].name);
    return 0;
}

double schedule_value(const struct schedule *schedule, const char *name)
{
    const struct kind *kind = &kinds[schedule->kind];
    size_t i = 0;
    while (kind->parameters[i].name && strcmp(kind->parameters[i].name, name) != 0) i++;
    CHECK(kind->parameters[i].name);
    return schedule->values[i];
}

/* --- running --- */

bool schedule_is_constant(const struct schedule *schedule)
{
    return schedule->kind == SCHEDULE_CONSTANT && schedule->warmup == 0;
}

double schedule_rate(const struct schedule *schedule, const struct schedule_span *span,
                     const struct schedule_state *state, uint64_t step)
{
    uint64_t each = span->steps_per_epoch;
    struct schedule_place place = {
        .lr = span->learning_rate,
        .epoch = schedule->per_step ? (double)step / (double)each : (double)(step / each),
        .epochs = span->epochs,
        .step = step,
        .steps = each * span->epochs,
    };
    double rate = kinds[schedule->kind].rate(schedule, &place);
    if (state->begun) rate *= state->scale;
    if (step < schedule->warmup) rate *= (double)(step + 1) / schedule->warmup;
    return rate;
}

/* A smaller rate; false where there is none. PyTorch leaves the rate where it would change by less
 * than 1e-8. */
static bool reduce(const struct schedule *s, const struct schedule_span *span,
                   struct schedule_state *state)
{
    double low = s->values[PLATEAU_MIN], now = span->learning_rate * state->scale,
           next = now * s->values[PLATEAU_FACTOR];
    if (next < low) next = low;
    if (s->meaning == MEANING_KERAS ? now <= low : now - next <= 1e-8) return false;
    state->scale = next / span->learning_rate;
    return true;
}

/* torch.optim.lr_scheduler.ReduceLROnPlateau */
static void note_pytorch(const struct schedule *s, const struct schedule_span *span, double loss,
                         struct schedule_state *state)
{
    if (loss < state->best * (1 - s->values[PLATEAU_THRESHOLD])) {
        state->best = loss;
        state->bad = 0;
    } else {
        state->bad++;
    }
    if (state->rest > 0) {
        state->rest--;
        state->bad = 0;
    }
    if (state->bad <= s->values[PLATEAU_PATIENCE]) return;
    reduce(s, span, state);
    state->rest = (uint32_t)s->values[PLATEAU_COOLDOWN];
    state->bad = 0;
}

/* keras.callbacks.ReduceLROnPlateau */
static void note_keras(const struct schedule *s, const struct schedule_span *span, double loss,
                       struct schedule_state *state)
{
    if (state->rest > 0) {
        state->rest--;
        state->bad = 0;
    }
    if (loss < state->best - s->values[PLATEAU_THRESHOLD]) {
        state->best = loss;
        state->bad = 0;
        return;
    }
    if (state->rest > 0 || ++state->bad < s->values[PLATEAU_PATIENCE]) return;
    if (!reduce(s, span, state)) return;
    state->rest = (uint32_t)s->values[PLATEAU_COOLDOWN];
    state->bad = 0;
}

void schedule_note_loss(const struct schedule *schedule, const struct schedule_span *span,
                        double loss, struct schedule_state *state)
{
    static void (*const notes[])(const struct schedule *, const struct schedule_span *, double,
                                 struct schedule_state *) = {
        [MEANING_PYTORCH] = note_pytorch, [MEANING_KERAS] = note_keras};
    if (schedule->kind != SCHEDULE_PLATEAU) return;
    if (!state->begun) *state = (struct schedule_state){.begun = true, .scale = 1, .best = DBL_MAX};
    notes[schedule->meaning](schedule, span, loss, state);
}
