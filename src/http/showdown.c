#include "http/showdown.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/js.h"
#include "engine/engine.h"

#define RUNS_MAX     8
#define CURVE_POINTS 400

struct entry {
    json_t *run;          /* borrowed from the list */
    json_t *epochs;       /* owned */
    struct points points; /* owned */
    const char *id, *engine, *title, *state;
    double seconds_per_epoch, speed, to_90, accuracy; /* NAN when unknown */
};

struct showdown {
    char mode[16];
    json_t *runs; /* owned */
    size_t count;
    struct entry entries[RUNS_MAX];
    double max_difference; /* over all pairs; NAN when there is none */
};

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

static void measure(struct entry *entry)
{
    const json_t *epoch,
        *layers = json_object_get(json_object_get(entry->run, "network"), "layers");
    size_t index, count = json_array_size(entry->epochs), layer_count = json_array_size(layers);
    double seconds = 0, samples = 0;
    double classes = layer_count ? number(json_array_get(layers, layer_count - 1), "outputs") : 10;
    json_array_foreach(entry->epochs, index, epoch) {
        seconds += number(epoch, "seconds");
        samples += number(epoch, "seconds") * number(epoch, "samples_per_second");
    }
    entry->seconds_per_epoch = count ? seconds / (double)count : (double)NAN;
    entry->speed = seconds > 0 ? samples / seconds : (double)NAN;
    entry->to_90 = showdown_seconds_to(entry->epochs, 0.9, 1 / classes);
    entry->accuracy = number(json_object_get(entry->run, "last"), "val_accuracy");
}

static int read_entry(struct store *store, json_t *run, struct entry *entry, struct error *error)
{
    *entry = (struct entry){.run = run};
    entry->id = json_string_value(json_object_get(run, "id"));
    entry->engine = json_string_value(json_object_get(run, "engine"));
    entry->state = json_string_value(json_object_get(run, "state"));
    const struct engine_ops *engine = engine_find(entry->engine);
    entry->title = engine ? engine->title : entry->engine;
    if (store_run_epochs(store, entry->id, &entry->epochs, error) ||
        store_points(store, entry->id, 0, UINT64_MAX, 0, &entry->points, error))
        return -1;
    measure(entry);
    return 0;
}

static int read_showdown(struct store *store, const char *group, struct showdown *showdown,
                         struct error *error)
{
    const struct run_filter filter = {.showdown = group, .ascending = true, .limit = RUNS_MAX};
    uint64_t total;
    json_t *run;
    size_t index;
    if (store_showdown_mode(store, group, showdown->mode, error) ||
        store_run_list(store, &filter, &showdown->runs, &total, error))
        return -1;
    json_array_foreach(showdown->runs, index, run) {
        if (read_entry(store, run, &showdown->entries[index], error)) return -1;
        showdown->count = index + 1;
    }
    return 0;
}

static void showdown_free(struct showdown *showdown)
{
    for (size_t i = 0; i < RUNS_MAX; i++) {
        json_decref(showdown->entries[i].epochs);
        points_free(&showdown->entries[i].points);
    }
    json_decref(showdown->runs);
}

static json_t *row_json(const struct entry *entry)
{
    const json_t *file = json_array_get(json_object_get(entry->run, "files"), 0);
    json_t *row = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "run", entry->id, "engine",
                            entry->engine, "state", entry->state, "seconds_per_epoch",
                            js_real(entry->seconds_per_epoch), "samples_per_second",
                            js_real(entry->speed), "seconds_to_90", js_real(entry->to_90));
    json_object_set(row, "cpu_seconds", json_object_get(entry->run, "cpu_seconds"));
    json_object_set(row, "peak_rss_bytes", json_object_get(entry->run, "peak_rss_bytes"));
    json_object_set_new(row, "file_bytes",
                        file ? json_incref(json_object_get(file, "bytes")) : json_null());
    json_object_set_new(row, "val_accuracy", js_real(entry->accuracy));
    return row;
}

/* The greatest |Δ| of each stretch, for the plot; NULL when the two share no step. */
static json_t *difference_json(const struct entry *a, const struct entry *b, double *max)
{
    size_t count = a->points.count < b->points.count ? a->points.count : b->points.count, at = 0;
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

/* --- the verdict --- */

static void machine_words(char *out, size_t size)
{
    char line[512] = "";
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    FILE *file = fopen("/proc/cpuinfo", "re");
    const char *name = "";
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "model name", 10) != 0 || !strchr(line, ':')) continue;
        line[strcspn(line, "\n")] = '\0';
        name = strchr(line, ':') + 1;
        name += strspn(name, " ");
        break;
    }
    if (file) fclose(file);
    snprintf(out, size, "%s%s%ld core%s", name, *name ? ", " : "", cores, cores == 1 ? "" : "s");
}

static int faster_first(const void *a, const void *b)
{
    const struct entry *const *one = a, *const *two = b;
    return ((*one)->speed < (*two)->speed) - ((*one)->speed > (*two)->speed);
}

/* "PyTorch", "PyTorch and TensorFlow", … of the ones with figures, the fastest first. */
static size_t rank(const struct showdown *showdown, const struct entry *ranked[RUNS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < showdown->count; i++)
        if (isfinite(showdown->entries[i].speed)) ranked[count++] = &showdown->entries[i];
    qsort(ranked, count, sizeof ranked[0], faster_first);
    return count;
}

/* 238 thousand, 1.29 million: as one would say it. */
static void write_count(double value, struct buffer *out)
{
    if (value >= 1e6)
        buffer_printf(out, "%.2f million", value / 1e6);
    else if (value >= 1e4)
        buffer_printf(out, "%.0f thousand", value / 1e3);
    else
        buffer_printf(out, "%.0f", value);
}

/* 2.4 × 10⁻⁵ */
static void write_scientific(double value, struct buffer *out)
{
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char text[32];
    if (value == 0) {
        buffer_append_text(out, "0");
        return;
    }
    snprintf(text, sizeof text, "%.1e", value);
    char *exponent = strchr(text, 'e');
    *exponent++ = '\0';
    buffer_printf(out, "%s × 10%s", text, *exponent == '-' ? "⁻" : "");
    for (exponent += 1 + strspn(exponent + 1, "0"); *exponent; exponent++)
        buffer_append_text(out, raised[*exponent - '0']);
}

static void write_speeds(const struct entry *const *ranked, size_t count, struct buffer *out)
{
    buffer_printf(out, "%s trained fastest, ", ranked[0]->title);
    write_count(ranked[0]->speed, out);
    buffer_append_text(out, " samples per second");
    for (size_t i = 1; i < count; i++)
        buffer_printf(out, "%s %.2f times as fast as %s",
                      i == 1           ? ":"
                      : i + 1 == count ? " and"
                                       : ",",
                      ranked[0]->speed / ranked[i]->speed, ranked[i]->title);
    buffer_append_text(out, ". ");
}

static void write_accuracy(const struct entry *const *ranked, size_t count, struct buffer *out)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(ranked[i]->accuracy)) return;
        low = fmin(low, ranked[i]->accuracy);
        high = fmax(high, ranked[i]->accuracy);
    }
    if (high - low < 5e-5)
        buffer_printf(out, "All reached %.2f %% test accuracy", 100 * high);
    else
        buffer_printf(out, "Test accuracy lies between %.2f %% and %.2f %%", 100 * low, 100 * high);
}

static void write_verdict(const struct showdown *showdown, struct buffer *out)
{
    char machine[600];
    const struct entry *ranked[RUNS_MAX];
    size_t count = rank(showdown, ranked);
    if (count < 2) return;
    machine_words(machine, sizeof machine);
    buffer_printf(out, "On this machine (%s) ", machine);
    write_speeds(ranked, count, out);
    write_accuracy(ranked, count, out);
    if (isfinite(showdown->max_difference)) {
        buffer_append_text(out, "; the loss curves differ by at most ");
        write_scientific(showdown->max_difference, out);
        buffer_append_text(out, " at any step");
    }
    buffer_append_text(out, ". ");
    buffer_append_text(out, strcmp(showdown->mode, "sequence") == 0
                                ? "They trained one after another, each with the machine to itself."
                                : "They trained at once and shared the processor: train them in "
                                  "turn to compare speeds.");
}

static const char *state_of(const struct showdown *showdown)
{
    const char *state = "finished";
    for (size_t i = 0; i < showdown->count; i++) {
        enum run_state run;
        struct error ignored;
        if (run_state_parse(showdown->entries[i].state, &run, &ignored)) continue;
        if (run_state_is_live(run)) return "running";
        if (run != RUN_FINISHED) state = "ended";
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
        json_array_append_new(rows, row_json(&showdown.entries[i]));
        for (size_t j = i + 1; j < showdown.count; j++)
            json_array_append_new(differences,
                                  difference_json(&showdown.entries[i], &showdown.entries[j],
                                                  &showdown.max_difference));
    }
    if (!status) {
        const char *state = state_of(&showdown);
        if (strcmp(state, "running") != 0) write_verdict(&showdown, &verdict);
        *out = json_pack("{s:s, s:s, s:s, s:O, s:O, s:O, s:s?}", "group", group, "mode",
                         showdown.mode, "state", state, "runs", showdown.runs, "rows", rows,
                         "differences", differences, "verdict",
                         verdict.length ? verdict.data : NULL);
        if (!*out) status = error_set_memory(error, "a showdown");
    }
    json_decref(rows);
    json_decref(differences);
    buffer_free(&verdict);
    showdown_free(&showdown);
    return status;
}
