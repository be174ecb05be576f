#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas.h"
#include "base/file.h"
#include "base/js.h"
#include "diff/diff.h"
#include "diff/runs_impl.h"
#include "run/replay.h"

struct runs {
    struct side sides[2];
    bool differ[SETTINGS_MAX];
    uint64_t common;   /* steps that both have */
    uint64_t recorded; /* the first whose recorded losses part; NO_STEP: none */
    double max_loss;   /* the largest difference of recorded losses, up to there */
    enum dtype dtype;  /* the coarser */
    struct parting parting;
    struct cause cause;
};

/* --- what was recorded ------------------------------------------------------------------------ */

static int read_side(struct store *store, const char *id, struct side *side, struct error *error)
{
    struct run_record record;
    side->id = id;
    if (store_run_get(store, id, &record, error) ||
        store_points(store, id, 0, UINT64_MAX, 0, &side->points, error) ||
        rate_changes(record.job.run_dir, INT64_MAX, &side->rates, &side->rate_count, error))
        return -1;
    side->job = record.job;
    if (side->points.count) return 0;
    return error_set(error, ERROR_INPUT,
                     "the run %s has no steps yet: compare it when it has trained", id);
}

/* Names and places are no part of a training. */
static bool matters(const struct setting *setting)
{
    return strcmp(setting->key, "name") != 0 && strcmp(setting->key, "data_dir") != 0;
}

/* Whether the job's training depends on the setting at all. */
static bool has_setting(const struct job *job, const struct setting *setting)
{
    bool dense = strcmp(setting->key, "hidden") == 0 || strcmp(setting->key, "activation") == 0;
    return setting_belongs(setting, job->optimizer.type) && !(dense && job->net[0]);
}

static void compare_settings(struct runs *runs)
{
    const struct job *a = &runs->sides[0].job, *b = &runs->sides[1].job;
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        json_t *x = setting_value(setting, a), *y = setting_value(setting, b);
        runs->differ[i] = matters(setting) &&
                          (has_setting(a, setting) || has_setting(b, setting)) && !json_equal(x, y);
        json_decref(x);
        json_decref(y);
    }
}

/* Both have a point for every step from 0 on. */
static void compare_losses(struct runs *runs)
{
    const struct points *a = &runs->sides[0].points, *b = &runs->sides[1].points;
    runs->common = a->count < b->count ? a->count : b->count;
    runs->dtype = runs->sides[0].job.dtype == DTYPE_FLOAT64 &&
                          runs->sides[1].job.dtype == DTYPE_FLOAT64
                      ? DTYPE_FLOAT64
                      : DTYPE_FLOAT32;
    runs->recorded = NO_STEP;
    for (uint64_t i = 0; i < runs->common && runs->recorded == NO_STEP; i++) {
        runs->max_loss = fmax(runs->max_loss, fabs(a->loss[i] - b->loss[i]));
        if (!again_near(a->loss[i], b->loss[i], again_tolerance(runs->dtype))) runs->recorded = i;
    }
}

/* --- trained again ---------------------------------------------------------------------------- */

/* Whether a run's recorded losses are those that its settings give, in its own dtype. */
static bool is_reproduced(const struct side *side, const struct state_dict *marks, uint64_t steps,
                          struct cause *out)
{
    for (uint64_t step = 0; step < steps; step++) {
        double loss = again_mark(marks, "loss", step);
        /* Engines may add up in another order from time to time. */
        if (again_near(loss, side->points.loss[step], 10 * again_tolerance(side->job.dtype)))
            continue;
        out->id = "unexplained";
        snprintf(out->evidence, sizeof out->evidence,
                 "the run %s recorded a loss of %.9g at step %llu, and its settings give %.9g now: "
                 "its data, its engine or the run itself was another",
                 side->id, side->points.loss[step], (unsigned long long)step, loss);
        return false;
    }
    return true;
}

/* In float64 both are the same: so rounding parted them, if each is what its settings give. */
static int tell_rounding(struct runs *runs, uint32_t steps, const char *folder, struct error *error)
{
    const struct job *const jobs[2] = {&runs->sides[0].job, &runs->sides[1].job};
    struct state_dict marks[2] = {{0}, {0}};
    if (again_marks(jobs, steps, folder, marks, error)) return -1;
    if (is_reproduced(&runs->sides[0], &marks[0], steps, &runs->cause) &&
        is_reproduced(&runs->sides[1], &marks[1], steps, &runs->cause)) {
        runs->cause.id = "rounding";
        snprintf(runs->cause.evidence, sizeof runs->cause.evidence,
                 "trained again in float64, every tensor of both is the same in all %u steps: what "
                 "parts them is the rounding of %s, in sums of another order or where an "
                 "activation bends",
                 steps, dtype_name(runs->dtype));
    }
    for (int side = 0; side < 2; side++) state_dict_clear(&marks[side]);
    return 0;
}

static int find_cause(struct runs *runs, const char *folder, struct error *error)
{
    struct job exact[2] = {runs->sides[0].job, runs->sides[1].job};
    const struct job *const jobs[2] = {&exact[0], &exact[1]};
    struct state_dict marks[2] = {{0}, {0}};
    uint64_t wanted = runs->recorded + 1;
    uint32_t steps = wanted > REPLAY_MAX_STEPS ? REPLAY_MAX_STEPS : (uint32_t)wanted;
    int status = -1;
    exact[0].dtype = exact[1].dtype = DTYPE_FLOAT64;
    if (again_marks(jobs, steps, folder, marks, error)) return -1;
    double tolerance = again_tolerance(DTYPE_FLOAT64);
    uint64_t first = again_first(marks, steps, tolerance);
    if (first == NO_STEP) {
        status = tell_rounding(runs, steps, folder, error);
    } else if (!again_step(jobs, first, tolerance, folder, &runs->parting, error)) {
        struct side sides[2] = {runs->sides[0], runs->sides[1]};
        sides[0].job = exact[0];
        sides[1].job = exact[1];
        status = cause_find(sides, runs->differ, &runs->parting, &marks[1], folder, &runs->cause,
                            error);
    }
    for (int side = 0; side < 2; side++) state_dict_clear(&marks[side]);
    return status;
}

static int train_again(struct runs *runs, const char *scratch, struct error *error)
{
    struct file_scratch work;
    struct error failed;
    if (file_scratch_create_in(scratch, "diff", &work, error)) return -1;
    int status = find_cause(runs, work.folder, &failed);
    file_scratch_remove(&work);
    if (!status) return 0;
    if (failed.code == ERROR_INTERRUPTED || failed.code == ERROR_MEMORY) {
        *error = failed;
        return -1;
    }
    cause_guess(runs->sides, runs->differ, failed.message, &runs->cause);
    return 0;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void add_settings(const struct runs *runs, json_t *answer)
{
    json_t *keys = json_array(), *values = json_array();
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (!runs->differ[i]) continue;
        json_array_append_new(keys, json_string(setting->key));
        json_array_append_new(values, json_pack("{s:s, s:s, s:o, s:o}", "key", setting->key,
                                                "label", setting->label, "a",
                                                setting_value(setting, &runs->sides[0].job), "b",
                                                setting_value(setting, &runs->sides[1].job)));
    }
    json_object_set_new(answer, "settings", keys);
    json_object_set_new(answer, "setting_values", values);
}

static json_t *parting_json(const struct parting *parting)
{
    if (parting->step == NO_STEP || !parting->tensor[0]) return json_null();
    json_t *value = json_pack("{s:I, s:s, s:o}", "step", (json_int_t)parting->step, "tensor",
                              parting->tensor, "max_abs",
                              parting->measured ? js_real(parting->max_abs) : json_null());
    if (!parting->at) return value;
    json_object_set(value, "at", parting->at);
    json_object_set_new(
        value, "values",
        json_pack("[o, o]", js_real(parting->values[0]), js_real(parting->values[1])));
    return value;
}

static json_t *recorded_json(const struct runs *runs)
{
    uint64_t step = runs->recorded;
    if (step == NO_STEP) return json_null();
    return json_pack("{s:I, s:[o, o]}", "step", (json_int_t)step, "losses",
                     js_real(runs->sides[0].points.loss[step]),
                     js_real(runs->sides[1].points.loss[step]));
}

/* So many steps of both curves are shown, and the one at which they part. */
#define CURVE_STEPS 240

static json_t *curve_json(const struct runs *runs)
{
    json_t *curve = json_object(), *steps = json_array(), *losses[2] = {json_array(), json_array()};
    uint64_t stride = runs->common / CURVE_STEPS + 1;
    for (uint64_t step = 0; step < runs->common; step++) {
        if (step % stride && step != runs->recorded && step + 1 != runs->common) continue;
        json_array_append_new(steps, json_integer((json_int_t)step));
        for (int side = 0; side < 2; side++)
            json_array_append_new(losses[side], js_real(runs->sides[side].points.loss[step]));
    }
    json_object_set_new(curve, "step", steps);
    json_object_set_new(curve, "a", losses[0]);
    json_object_set_new(curve, "b", losses[1]);
    return curve;
}

static json_t *side_json(const struct side *side)
{
    return json_pack("{s:s, s:s, s:s, s:I}", "run", side->id, "engine", side->job.engine, "dtype",
                     dtype_name(side->job.dtype), "steps", (json_int_t)side->points.count);
}

static json_t *verdict(const struct runs *runs)
{
    unsigned long long step = runs->recorded, common = runs->common;
    const char *cause = runs->cause.id;
    if (runs->recorded == NO_STEP)
        return runs->max_loss > 0
                   ? json_sprintf("Same training: the losses of %llu steps are equal but for "
                                  "rounding (at most %.2g apart)",
                                  common, runs->max_loss)
                   : json_sprintf("Same training: the losses of %llu steps are equal", common);
    if (strcmp(cause, "rounding") == 0)
        return json_sprintf("Same training but for rounding: the losses part at step %llu, and in "
                            "float64 they do not",
                            step);
    if (strcmp(cause, "unexplained") == 0)
        return json_sprintf("Different: the losses part at step %llu, and the settings do not "
                            "explain it",
                            step);
    return json_sprintf("Different: the losses part at step %llu. Cause: %s (%s)", step,
                        strcmp(cause, "initialization") == 0 ? "initial values" : cause,
                        runs->cause.what);
}

static json_t *answer_json(const struct runs *runs)
{
    char row[16] = "";
    bool same = runs->recorded == NO_STEP || strcmp(runs->cause.id, "rounding") == 0;
    if (runs->cause.row) snprintf(row, sizeof row, "%u", runs->cause.row);
    json_t *answer = json_pack(
        "{s:s, s:b, s:o, s:o, s:o, s:I, s:o, s:o, s:s, s:s?, s:s}", "kind", "runs", "same", same,
        "verdict", verdict(runs), "a", side_json(&runs->sides[0]), "b", side_json(&runs->sides[1]),
        "steps", (json_int_t)runs->common, "parted", recorded_json(runs), "first_difference",
        parting_json(&runs->parting), "cause", runs->cause.id, "row", row[0] ? row : NULL,
        "evidence", runs->cause.evidence);
    const struct atlas_row *entry = row[0] ? atlas_find(row) : NULL;
    json_object_set_new(answer, "row_title", entry ? json_string(entry->title) : json_null());
    json_object_set_new(answer, "curve", curve_json(runs));
    add_settings(runs, answer);
    return answer;
}

int diff_runs(struct store *store, const char *a, const char *b, const char *scratch, json_t **out,
              struct error *error)
{
    struct runs *runs = calloc(1, sizeof *runs);
    int status = -1;
    if (!runs) return error_set_memory(error, "the comparison");
    runs->parting.step = NO_STEP;
    if (read_side(store, a, &runs->sides[0], error) || read_side(store, b, &runs->sides[1], error))
        goto out;
    compare_settings(runs);
    compare_losses(runs);
    runs->cause = (struct cause){.id = "none"};
    if (runs->recorded != NO_STEP && train_again(runs, scratch, error)) goto out;
    *out = answer_json(runs);
    status = *out ? 0 : error_set_memory(error, "the comparison");
out:
    for (int side = 0; side < 2; side++) {
        points_free(&runs->sides[side].points);
        free(runs->sides[side].rates);
    }
    json_decref(runs->parting.at);
    free(runs);
    return status;
}
