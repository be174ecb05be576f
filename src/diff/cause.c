#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "diff/runs_impl.h"
#include "run/replay.h"

/* What a setting can part, in the order in which they are suspected. */
static const struct suspect {
    const char *key;
    unsigned stages;
    const char *cause;
} suspects[] = {
    {"dataset", STAGE_ORDER | STAGE_INPUT | STAGE_INITIAL, "data"},
    {"limit", STAGE_ORDER | STAGE_INPUT, "data"},
    {"validation", STAGE_ORDER | STAGE_INPUT, "data"},
    {"validation_part", STAGE_ORDER | STAGE_INPUT, "data"},
    {"label_column", STAGE_ORDER | STAGE_INPUT | STAGE_FORWARD | STAGE_INITIAL, "data"},
    {"scale", STAGE_INPUT, "data"},
    {"mean", STAGE_INPUT, "data"},
    {"std", STAGE_INPUT, "data"},
    {"invert", STAGE_INPUT, "data"},
    {"net", STAGE_INITIAL | STAGE_FORWARD, "settings"},
    {"hidden", STAGE_INITIAL | STAGE_FORWARD, "settings"},
    {"activation", STAGE_FORWARD, "settings"},
    {"from", STAGE_INITIAL, "initialization"},
    {"init", STAGE_INITIAL, "initialization"},
    {"seed", STAGE_INITIAL, "initialization"},
    {"seed", STAGE_ORDER, "data"},
    {"seed", STAGE_FORWARD, "settings"}, /* the masks of dropout */
    {"batch_size", STAGE_ORDER, "settings"},
    {"meaning", STAGE_FORWARD | STAGE_UPDATE, "meaning"},
    {"optimizer", STAGE_UPDATE, "settings"},
    {"lr", STAGE_UPDATE, "settings"},
    {"schedule", STAGE_UPDATE, "settings"},
    {"warmup", STAGE_UPDATE, "settings"},
    {"epochs", STAGE_UPDATE, "settings"}, /* over which a schedule stretches */
    {"momentum", STAGE_UPDATE, "settings"},
    {"nesterov", STAGE_UPDATE, "settings"},
    {"weight_decay", STAGE_UPDATE, "settings"},
    {"beta1", STAGE_UPDATE, "settings"},
    {"beta2", STAGE_UPDATE, "settings"},
    {"amsgrad", STAGE_UPDATE, "settings"},
    {"rho", STAGE_UPDATE, "settings"},
    {"epsilon", STAGE_UPDATE, "settings"},
    {"centered", STAGE_UPDATE, "settings"},
};
#define SUSPECT_COUNT (sizeof suspects / sizeof *suspects)

static size_t setting_index(const char *key)
{
    size_t i = 0;
    while (strcmp(settings_table[i].key, key) != 0) i++;
    return i;
}

/* --- the atlas' row that a change of the meaning is about ------------------------------------- */

/* Numbers of rows of the table of meanings (docs/internals/diff.md). */
enum {
    ROW_MOMENTUM = 1,
    ROW_MOMENTUM_RATE = 2,
    ROW_ADAM_EPSILON = 3,
    ROW_ADAMW_DECAY = 4,
    ROW_ADAM_DECAY = 5,
    ROW_SGD_DECAY = 6,
    ROW_MOMENTUM_DECAY = 7,
    ROW_RMSPROP = 9,
    ROW_RMSPROP_MOMENTUM = 10,
    ROW_ADAGRAD = 11,
    ROW_ADADELTA = 12,
    ROW_ADAMAX = 13,
    ROW_NADAM = 14,
    ROW_BATCHNORM_EPSILON = 16,
    ROW_BATCHNORM_VARIANCE = 17,
    ROW_SCHEDULE_UNIT = 34,
};

static uint32_t row_of_sgd(const struct job *job)
{
    bool decay = job->optimizer.weight_decay != 0, momentum = job->optimizer.momentum != 0;
    if (decay) return momentum ? ROW_MOMENTUM_DECAY : ROW_SGD_DECAY;
    if (!momentum) return ROW_SCHEDULE_UNIT;
    return strcmp(job->schedule, "constant") == 0 ? ROW_MOMENTUM : ROW_MOMENTUM_RATE;
}

static uint32_t row_of_meaning(const struct job *job, const struct parting *parting)
{
    static const uint32_t rows[OPTIMIZER_TYPE_COUNT] = {
        [OPTIMIZER_ADAM] = ROW_ADAM_EPSILON, [OPTIMIZER_ADAMW] = ROW_ADAM_EPSILON,
        [OPTIMIZER_RMSPROP] = ROW_RMSPROP,   [OPTIMIZER_ADAGRAD] = ROW_ADAGRAD,
        [OPTIMIZER_ADADELTA] = ROW_ADADELTA, [OPTIMIZER_ADAMAX] = ROW_ADAMAX,
        [OPTIMIZER_NADAM] = ROW_NADAM,
    };
    const struct optimizer *optimizer = &job->optimizer;
    if (parting->stage == STAGE_FORWARD) return ROW_BATCHNORM_EPSILON;
    if (strstr(parting->tensor, "running_var")) return ROW_BATCHNORM_VARIANCE;
    if (optimizer->type == OPTIMIZER_SGD) return row_of_sgd(job);
    if (optimizer->type == OPTIMIZER_ADAM && optimizer->weight_decay != 0) return ROW_ADAM_DECAY;
    if (optimizer->type == OPTIMIZER_RMSPROP && optimizer->momentum != 0)
        return ROW_RMSPROP_MOMENTUM;
    return rows[optimizer->type];
}

/* --- evidence --------------------------------------------------------------------------------- */

static void append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    if (used < size) snprintf(text + used, size - used, "%s", more);
}

/* "momentum 0 and 0.9" */
static void append_values(const struct side sides[2], const struct setting *setting, char *text,
                          size_t size)
{
    char words[2][96], line[280], number[JS_SHORTEST_SIZE];
    for (int side = 0; side < 2; side++) {
        json_t *value = setting_value(setting, &sides[side].job);
        char *dumped = js_dump_as(value, JSON_COMPACT | JSON_ENCODE_ANY);
        snprintf(words[side], sizeof words[side], "%s",
                 json_is_real(value)     ? js_shortest(json_real_value(value), number)
                 : json_is_string(value) ? json_string_value(value)
                 : dumped                ? dumped
                                         : "");
        free(dumped);
        json_decref(value);
    }
    snprintf(line, sizeof line, "%s %s and %s", setting->label, words[0], words[1]);
    append(text, size, line);
}

/* --- the search ------------------------------------------------------------------------------- */

static void take_setting(struct job *job, const struct job *from, const struct setting *setting)
{
    memcpy((char *)job + setting->offset, (const char *)from + setting->offset, setting->size);
    if (setting->kind == SETTING_WIDTHS) job->hidden_count = from->hidden_count;
}

/* The settings that may have done it, by their place among the suspects. */
static size_t find_suspects(const bool differ[SETTINGS_MAX], const struct parting *parting,
                            size_t out[SUSPECT_COUNT])
{
    size_t count = 0;
    for (size_t s = 0; s < SUSPECT_COUNT; s++)
        if ((suspects[s].stages & parting->stage) && differ[setting_index(suspects[s].key)])
            out[count++] = s;
    return count;
}

static const struct setting *setting_of(size_t suspect)
{
    return &settings_table[setting_index(suspects[suspect].key)];
}

/* Whether the learning rate was changed by hand otherwise. */
static bool rates_differ(const struct side sides[2])
{
    size_t count = sides[0].rate_count;
    return count != sides[1].rate_count ||
           memcmp(sides[0].rates, sides[1].rates, count * sizeof *sides[0].rates) != 0;
}

static void append_rates(const struct side sides[2], char *text, size_t size)
{
    char line[120];
    append(text, size, "Learning rate by hand");
    for (int side = 0; side < 2; side++) {
        append(text, size, side ? " and" : "");
        if (!sides[side].rate_count) append(text, size, " none");
        for (size_t i = 0; i < sides[side].rate_count && i < 3; i++) {
            const struct fit_change *change = &sides[side].rates[i];
            snprintf(line, sizeof line, "%s %g from step %llu", i ? "," : "", change->rate,
                     (unsigned long long)change->step);
            append(text, size, line);
        }
    }
}

/* Settings of B's that A gets, and with `rates` B's changes of the learning rate. */
struct replay_attempt {
    const size_t *tried; /* of the suspects */
    size_t count;
    bool rates;
};

/* Whether A, so changed, is B, as far as the two are the same and one stage on. */
static int try_settings(const struct side sides[2], const struct replay_attempt *attempt,
                        const struct parting *parting, const struct state_dict *marks_b,
                        const char *folder, bool *out, struct error *error)
{
    struct job job = sides[0].job;
    const struct job *const jobs[2] = {&job, NULL};
    uint32_t steps = (uint32_t)parting->step + 1;
    struct state_dict made[2] = {{0}, {0}};
    for (size_t i = 0; i < attempt->count; i++)
        take_setting(&job, &sides[1].job, setting_of(attempt->tried[i]));
    /* the changes are in the run's folder */
    if (attempt->rates) memcpy(job.run_dir, sides[1].job.run_dir, sizeof job.run_dir);
    *out = false;
    if (again_marks(jobs, steps, folder, made, error)) return error->code == ERROR_INPUT ? 0 : -1;
    const struct state_dict marks[2] = {made[0], *marks_b};
    *out = again_first(marks, steps - 1, again_tolerance(DTYPE_FLOAT64)) == NO_STEP &&
           again_same_step(marks, parting->step, parting->stage, again_tolerance(DTYPE_FLOAT64));
    state_dict_clear(&made[0]);
    return 0;
}

static void tell_tried(const struct side sides[2], const struct replay_attempt *attempt,
                       const struct parting *parting, struct cause *out)
{
    const size_t *tried = attempt->tried, count = attempt->count;
    bool rates = attempt->rates;
    char line[160];
    out->id = count ? suspects[tried[0]].cause : "settings";
    if (rates) append_rates(sides, out->what, sizeof out->what);
    for (size_t i = 0; i < count; i++) {
        append(out->what, sizeof out->what, i || rates ? ", " : "");
        append_values(sides, setting_of(tried[i]), out->what, sizeof out->what);
        if (strcmp(suspects[tried[i]].key, "meaning") != 0) continue;
        out->id = "meaning";
        out->row = row_of_meaning(&sides[0].job, parting);
    }
    snprintf(line, sizeof line,
             ": with %s of B, A trained again gives the values of B at step %llu",
             count + rates > 1 ? "these settings" : "this setting alone",
             (unsigned long long)parting->step);
    append(out->evidence, sizeof out->evidence, out->what);
    append(out->evidence, sizeof out->evidence, line);
}

int cause_find(const struct side sides[2], const bool differ[SETTINGS_MAX],
               const struct parting *parting, const struct state_dict *marks_b, const char *folder,
               struct cause *out, struct error *error)
{
    size_t found[SUSPECT_COUNT], count = find_suspects(differ, parting, found);
    bool is_b = false, rates = parting->stage == STAGE_UPDATE && rates_differ(sides);
    *out = (struct cause){.id = "unexplained"};
    struct replay_attempt attempts[SUSPECT_COUNT + 2];
    size_t attempt_count = 0;
    if (rates) attempts[attempt_count++] = (struct replay_attempt){found, 0, true};
    for (size_t i = 0; i < count; i++)
        attempts[attempt_count++] = (struct replay_attempt){&found[i], 1, false};
    if (count + rates > 1) attempts[attempt_count++] = (struct replay_attempt){found, count, rates};
    for (size_t t = 0; t < attempt_count && !is_b; t++) {
        if (try_settings(sides, &attempts[t], parting, marks_b, folder, &is_b, error)) return -1;
        if (is_b) tell_tried(sides, &attempts[t], parting, out);
    }
    if (is_b) return 0;
    snprintf(out->evidence, sizeof out->evidence,
             "%s parts at step %llu in float64, and no setting that differs explains it%s%s%s",
             parting->tensor, (unsigned long long)parting->step,
             strcmp(sides[0].job.engine, sides[1].job.engine) ? ": a fault of " : "",
             strcmp(sides[0].job.engine, sides[1].job.engine) ? sides[0].job.engine : "",
             strcmp(sides[0].job.engine, sides[1].job.engine) ? " or of the other engine" : "");
    return 0;
}

void cause_guess(const struct side sides[2], const bool differ[SETTINGS_MAX], const char *why,
                 struct cause *out)
{
    *out = (struct cause){.id = "unexplained"};
    for (size_t s = 0; s < SUSPECT_COUNT && !out->what[0]; s++) {
        if (!differ[setting_index(suspects[s].key)]) continue;
        out->id = suspects[s].cause;
        append_values(sides, setting_of(s), out->what, sizeof out->what);
    }
    append(out->evidence, sizeof out->evidence, "not trained again: ");
    append(out->evidence, sizeof out->evidence, why);
}
