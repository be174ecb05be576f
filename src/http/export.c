#include "http/export.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/wanted.h"

/* A spreadsheet cuts the line at its commas, and would compute a cell that begins with one of these
 * signs: within a JSON string they are written by their number there. */
static void write_json_line(const char *name, const char *json, FILE *out)
{
    bool quoted = false, escaped = false, begins = false;
    fprintf(out, "# %s: ", name);
    for (const char *c = json; *c; c++) {
        if (*c == '"' && !escaped) quoted = !quoted;
        escaped = *c == '\\' && !escaped;
        if (quoted && begins && strchr("=+-@", *c))
            fprintf(out, "\\u%04x", (unsigned)*c);
        else
            fputc(*c, out);
        begins = *c == ',' || (begins && strchr("\" ", *c));
    }
    fputc('\n', out);
}

static void write_comments(const json_t *run, FILE *out)
{
    static const char *const shown[] = {"id",    "name",       "engine",   "engine_version",
                                        "state", "parameters", "settings", "tags"};
    const json_t *epoch;
    size_t index;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        char *text = js_dump(json_object_get(run, shown[i]));
        if (text) write_json_line(shown[i], text, out);
        free(text);
    }
    json_array_foreach(json_object_get(run, "epochs"), index, epoch) {
        char *text = js_dump(epoch);
        if (text) write_json_line("epoch", text, out);
        free(text);
    }
}

/* Who trained a step: the last segment that begins at or before it. */
static const char *engine_at(const json_t *segments, uint64_t step)
{
    const json_t *segment;
    const char *engine = "";
    size_t index;
    json_array_foreach(segments, index, segment) {
        if ((uint64_t)json_integer_value(json_object_get(segment, "first_step")) > step) break;
        engine = json_string_value(json_object_get(segment, "engine"));
    }
    return engine;
}

/* Steps read at once. */
#define WINDOW 65536

typedef void point_fn(FILE *out, const struct points *points, size_t index, const void *context);

/* Hands on every step below `end`, in order. */
static int each_point(struct store *store, const char *run, uint64_t end, FILE *out, point_fn *fn,
                      const void *context, struct error *error)
{
    for (uint64_t from = 0; from < end && !ferror(out); from += WINDOW) {
        uint64_t last = end - from < WINDOW ? end - 1 : from + WINDOW - 1;
        struct points points;
        if (wanted_check(error) || store_points(store, run, from, last, 0, &points, error))
            return -1;
        for (size_t i = 0; i < points.count; i++) fn(out, &points, i, context);
        points_free(&points);
    }
    return 0;
}

/* Steps there are now: a run that is in training gets more while it is written out. */
static int count_points(struct store *store, const char *run, uint64_t *count, struct error *error)
{
    struct points points;
    if (store_points(store, run, 0, 0, 0, &points, error)) return -1;
    *count = points.total;
    points_free(&points);
    return 0;
}

static void write_row(FILE *out, const struct points *points, size_t i, const void *context)
{
    const json_t *run = context;
    int64_t per_epoch = json_integer_value(
        json_object_get(json_object_get(run, "progress"), "steps_per_epoch"));
    unsigned long long step = points->step[i];
    fprintf(out, "%llu,%llu,%s,%.9g,%.17g\n", step,
            per_epoch > 0 ? step / (unsigned long long)per_epoch + 1 : 0,
            engine_at(json_object_get(run, "segments"), step), points->seconds[i], points->loss[i]);
}

int export_csv(struct store *store, const char *run, FILE *out, struct error *error)
{
    json_t *value;
    uint64_t count;
    if (store_run_json(store, run, true, &value, error)) return -1;
    int status = count_points(store, run, &count, error);
    if (!status) {
        write_comments(value, out);
        fputs("step,epoch,engine,seconds,loss\n", out);
        status = each_point(store, run, count, out, write_row, value, error);
    }
    json_decref(value);
    return status;
}

static void write_step(FILE *out, const struct points *points, size_t i, const void *context)
{
    (void)context;
    unsigned long long step = points->step[i];
    fprintf(out, step ? ",%llu" : "%llu", step);
}

static void write_seconds(FILE *out, const struct points *points, size_t i, const void *context)
{
    (void)context;
    fprintf(out, points->step[i] ? ",%.9g" : "%.9g", points->seconds[i]);
}

static void write_loss(FILE *out, const struct points *points, size_t i, const void *context)
{
    (void)context;
    fprintf(out, points->step[i] ? ",%.17g" : "%.17g", points->loss[i]);
}

int export_json(struct store *store, const char *run, FILE *out, struct error *error)
{
    static const struct {
        const char *name;
        point_fn *fn;
    } lists[] = {{"step", write_step}, {"seconds", write_seconds}, {"loss", write_loss}};
    json_t *value;
    uint64_t count;
    if (store_run_json(store, run, true, &value, error)) return -1;
    char *text = js_dump(value);
    json_decref(value);
    if (!text) return error_set_memory(error, "the export");
    int status = count_points(store, run, &count, error);
    text[strlen(text) - 1] = '\0'; /* its closing brace comes after the points */
    fprintf(out, "%s,\"points\":{", text);
    free(text);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && !status; i++) {
        fprintf(out, "%s\"%s\":[", i ? "," : "", lists[i].name);
        status = each_point(store, run, count, out, lists[i].fn, NULL, error);
        fputc(']', out);
    }
    fputs("}}\n", out);
    return status;
}

int export_to_file(struct store *store, const char *run, bool csv, const char *path,
                   struct error *error)
{
    struct file_writer writer;
    if (file_create(path, &writer, error)) return -1;
    if (!(csv ? export_csv : export_json)(store, run, writer.stream, error))
        return file_commit(&writer, error);
    file_abort(&writer);
    return -1;
}
