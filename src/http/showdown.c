#include "http/showdown.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "engine/engine.h"
#include "http/showdown_impl.h"

#define CURVE_POINTS 400

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

double showdown_seconds_to(const json_t *epochs, double share, double chance)
{
    const json_t *epoch;
    size_t index;
    double before = chance, clock = 0;
    json_array_foreach(epochs, index, epoch) {
        double after = number(epoch, "val_accuracy"), seconds = number(epoch, "seconds");
        if (!isfinite(after) || !isfinite(seconds)) return NAN;
        if (after >= share)
            return clock + (after > before ? seconds * (share - before) / (after - before) : 0);
        before = after;
        clock += seconds;
    }
    return NAN;
}

/* --- what each engine did --- */

static unsigned whole(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (unsigned)value : 0;
}

static const char *title_of(const char *engine)
{
    const struct engine_ops *ops = engine_find(engine);
    return ops ? ops->title : engine;
}

/* The engine that began, and where another one took over. A run that was stopped and resumed by the
 * same engine is one lane. Returns the step at which the lane ends. */
static uint64_t find_engine(struct showdown_entry *lane)
{
    const json_t *segments = json_object_get(lane->run, "segments"), *segment;
    size_t index;
    lane->engine = js_text(json_array_size(segments) ? json_array_get(segments, 0) : lane->run,
                           "engine");
    lane->title = title_of(lane->engine);
    json_array_foreach(segments, index, segment) {
        if (strcmp(js_text(segment, "engine"), lane->engine) == 0) continue;
        lane->handed_to = title_of(js_text(segment, "engine"));
        return (uint64_t)json_integer_value(json_object_get(segment, "first_step"));
    }
    /* the next one waits for its turn */
    if (strcmp(js_text(lane->run, "engine"), lane->engine) != 0)
        lane->handed_to = title_of(js_text(lane->run, "engine"));
    return UINT64_MAX;
}

static int read_lane(struct store *store, json_t *run, struct showdown_entry *lane,
                     struct error *error)
{
    enum run_state state;
    *lane = (struct showdown_entry){.run = run, .id = js_text(run, "id")};
    uint64_t end = find_engine(lane);
    if (run_state_parse(js_text(run, "state"), &state, error) ||
        store_run_epochs(store, lane->id, &lane->epochs, error) ||
        store_points(store, lane->id, 0, UINT64_MAX, 0, &lane->points, error))
        return -1;
    lane->live = !lane->handed_to && run_state_is_live(state);
    lane->steps = lane->points.count < end ? lane->points.count : (size_t)end;
    for (size_t i = json_array_size(lane->epochs); i-- > 0;)
        if (whole(json_array_get(lane->epochs, i), "global_step") > end)
            json_array_remove(lane->epochs, i);
    return 0;
}

/* Figures after `count` epochs. */
static void measure(struct showdown_entry *lane, size_t count)
{
    const json_t *layers = json_object_get(json_object_get(lane->run, "network"), "layers");
    size_t layer_count = json_array_size(layers);
    double seconds = 0, samples = 0;
    double classes = layer_count ? number(json_array_get(layers, layer_count - 1), "outputs")
                                 : (double)NAN;
    for (size_t i = 0; i < count; i++) {
        const json_t *epoch = json_array_get(lane->epochs, i);
        seconds += number(epoch, "seconds");
        samples += number(epoch, "seconds") * number(epoch, "samples_per_second");
    }
    lane->at = count ? json_array_get(lane->epochs, count - 1) : NULL;
    lane->seconds_per_epoch = count ? seconds / (double)count : (double)NAN;
    lane->speed = seconds > 0 ? samples / seconds : (double)NAN;
    lane->to_90 = showdown_seconds_to(lane->epochs, 0.9, isfinite(classes) ? 1 / classes : 0.1);
    lane->accuracy = lane->at ? number(lane->at, "val_accuracy") : (double)NAN;
}

/* Equal work: all are measured after the last epoch that all did. An engine that ended before its
 * first epoch is not waited for; until the others have one in common, each stands for itself. */
static void measure_all(struct showdown *showdown)
{
    size_t common = SIZE_MAX;
    for (size_t i = 0; i < showdown->count; i++) {
        const struct showdown_entry *lane = &showdown->lanes[i];
        size_t done = json_array_size(lane->epochs);
        if ((done || lane->live) && done < common) common = done;
    }
    showdown->asked = UINT_MAX;
    for (size_t i = 0; i < showdown->count; i++) {
        unsigned asked = whole(json_object_get(showdown->lanes[i].run, "progress"), "epochs");
        if (asked < showdown->asked) showdown->asked = asked;
    }
    showdown->common = common == SIZE_MAX ? 0 : (unsigned)common;
    for (size_t i = 0; i < showdown->count; i++) {
        struct showdown_entry *lane = &showdown->lanes[i];
        size_t done = json_array_size(lane->epochs);
        measure(lane, done && showdown->common ? showdown->common : done);
    }
}

static int read_showdown(struct store *store, const char *group, struct showdown *showdown,
                         struct error *error)
{
    const struct run_filter filter = {
        .showdown = group, .ascending = true, .limit = SHOWDOWN_RUNS_MAX};
    uint64_t total;
    json_t *run;
    size_t index;
    if (store_showdown_mode(store, group, showdown->mode, error) ||
        store_run_list(store, &filter, &showdown->runs, &total, error))
        return -1;
    json_array_foreach(showdown->runs, index, run) {
        if (read_lane(store, run, &showdown->lanes[index], error)) return -1;
        showdown->count = index + 1;
    }
    measure_all(showdown);
    return 0;
}

static void showdown_free(struct showdown *showdown)
{
    for (size_t i = 0; i < SHOWDOWN_RUNS_MAX; i++) {
        json_decref(showdown->lanes[i].epochs);
        points_free(&showdown->lanes[i].points);
    }
    json_decref(showdown->runs);
}

/* A figure that grows with the work: as it was at the epoch of the comparison. Of runs whose epochs
 * do not say it, that of the whole run, where that is the same work. */
static json_t *cost_json(const struct showdown_entry *lane, const char *key)
{
    json_t *value = json_object_get(lane->at, key);
    bool whole_run = !lane->handed_to && lane->at &&
                     whole(lane->at, "epoch") == json_array_size(lane->epochs);
    if (json_is_number(value)) return json_incref(value);
    value = whole_run ? json_object_get(lane->run, key) : NULL;
    return value ? json_incref(value) : json_null();
}

/* The newest file is the run's model; what the lane itself wrote is the oldest once another engine
 * went on. */
static json_t *file_bytes_json(const struct showdown_entry *lane)
{
    const json_t *files = json_object_get(lane->run, "files");
    size_t count = json_array_size(files);
    if (!count) return json_null();
    return json_incref(
        json_object_get(json_array_get(files, lane->handed_to ? count - 1 : 0), "bytes"));
}

static json_t *row_json(const struct showdown_entry *lane, unsigned asked)
{
    json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:i, s:s?, s:o, s:o, s:o}", "run", lane->id,
                            "engine", lane->engine, "state", js_text(lane->run, "state"), "epochs",
                            (json_int_t)json_array_size(lane->epochs), "epochs_asked", (int)asked,
                            "handed_to", lane->handed_to, "seconds_per_epoch",
                            js_real(lane->seconds_per_epoch), "samples_per_second",
                            js_real(lane->speed), "seconds_to_90", js_real(lane->to_90));
    json_object_set_new(row, "cpu_seconds", cost_json(lane, "cpu_seconds"));
    json_object_set_new(row, "peak_rss_bytes", cost_json(lane, "peak_rss_bytes"));
    json_object_set_new(row, "file_bytes", file_bytes_json(lane));
    json_object_set_new(row, "val_accuracy", js_real(lane->accuracy));
    return row;
}

/* The greatest |Δ| of each stretch, for the plot; NULL when the two share no step. */
static json_t *difference_json(const struct showdown_entry *a, const struct showdown_entry *b,
                               double *max)
{
    size_t count = a->steps < b->steps ? a->steps : b->steps, at = 0;
    int64_t first_epoch = json_integer_value(
        json_object_get(json_object_get(a->run, "progress"), "steps_per_epoch"));
    double most = 0, most_first = 0, bucket = 0;
    size_t width = (count + CURVE_POINTS - 1) / CURVE_POINTS;
    json_t *steps = json_array(), *values = json_array();
    char pair[80];
    for (size_t i = 0; i < count; i++) {
        double difference = fabs(a->points.loss[i] - b->points.loss[i]);
        if (difference > most) {
            most = difference;
            at = i;
        }
        if ((int64_t)i < first_epoch && difference > most_first) most_first = difference;
        if (difference > bucket) bucket = difference;
        if ((i + 1) % width && i + 1 < count) continue;
        json_array_append_new(steps, json_integer((json_int_t)a->points.step[i]));
        json_array_append_new(values, js_real(bucket));
        bucket = 0;
    }
    if (count && !(most <= *max)) *max = most;
    snprintf(pair, sizeof pair, "%s/%s", a->engine, b->engine);
    return json_pack("{s:s, s:o, s:o, s:I, s:I, s:{s:o, s:o}}", "pair", pair, "max",
                     count ? js_real(most) : json_null(), "max_first_epoch",
                     count ? js_real(most_first) : json_null(), "at_step", (json_int_t)at, "steps",
                     (json_int_t)count, "curve", "step", steps, "value", values);
}

static const char *state_of(const struct showdown *showdown)
{
    const char *state = "finished";
    for (size_t i = 0; i < showdown->count; i++) {
        const struct showdown_entry *lane = &showdown->lanes[i];
        if (lane->live) return "running";
        if (lane->handed_to || strcmp(js_text(lane->run, "state"), "finished") != 0)
            state = "ended";
    }
    return state;
}

int showdown_json(struct store *store, const char *group, json_t **out, struct error *error)
{
    struct showdown showdown = {.max_difference = (double)NAN};
    struct buffer verdict;
    json_t *rows = json_array(), *differences = json_array();
    buffer_init(&verdict, 4096);
    int status = read_showdown(store, group, &showdown, error);
    for (size_t i = 0; i < showdown.count && !status; i++) {
        json_array_append_new(rows, row_json(&showdown.lanes[i], showdown.asked));
        for (size_t j = i + 1; j < showdown.count; j++)
            json_array_append_new(
                differences,
                difference_json(&showdown.lanes[i], &showdown.lanes[j], &showdown.max_difference));
    }
    if (!status) {
        const char *state = state_of(&showdown);
        if (strcmp(state, "running") != 0) showdown_write_verdict(&showdown, &verdict);
        *out = json_pack("{s:s, s:s, s:s, s:i, s:O, s:O, s:O, s:s?}", "group", group, "mode",
                         showdown.mode, "state", state, "common_epoch", (int)showdown.common,
                         "runs", showdown.runs, "rows", rows, "differences", differences, "verdict",
                         verdict.length ? verdict.data : NULL);
        if (!*out) status = error_set_memory(error, "a showdown");
    }
    json_decref(rows);
    json_decref(differences);
    buffer_free(&verdict);
    showdown_free(&showdown);
    return status;
}
