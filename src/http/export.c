#include "http/export.h"

#include <stdlib.h>
#include <string.h>

#include "base/js.h"

static void write_comments(const json_t *run, struct buffer *out)
{
    static const char *const shown[] = {"id",    "name",       "engine",   "engine_version",
                                        "state", "parameters", "settings", "tags"};
    const json_t *epoch;
    size_t index;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        char *text = js_dump(json_object_get(run, shown[i]));
        if (text) buffer_printf(out, "# %s: %s\n", shown[i], text);
        free(text);
    }
    json_array_foreach(json_object_get(run, "epochs"), index, epoch) {
        char *text = js_dump(epoch);
        if (text) buffer_printf(out, "# epoch: %s\n", text);
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

int export_csv(struct store *store, const char *run, struct buffer *out, struct error *error)
{
    struct points points;
    json_t *value;
    if (store_run_json(store, run, true, &value, error)) return -1;
    if (store_points(store, run, 0, UINT64_MAX, 0, &points, error)) {
        json_decref(value);
        return -1;
    }
    int64_t per_epoch = json_integer_value(
        json_object_get(json_object_get(value, "progress"), "steps_per_epoch"));
    write_comments(value, out);
    buffer_append_text(out, "step,epoch,engine,seconds,loss\n");
    for (size_t i = 0; i < points.count; i++)
        buffer_printf(
            out, "%llu,%llu,%s,%.9g,%.17g\n", (unsigned long long)points.step[i],
            (unsigned long long)(per_epoch > 0 ? points.step[i] / (uint64_t)per_epoch + 1 : 0),
            engine_at(json_object_get(value, "segments"), points.step[i]), points.seconds[i],
            points.loss[i]);
    points_free(&points);
    json_decref(value);
    return buffer_check(out, "the export", error);
}

int export_json(struct store *store, const char *run, struct buffer *out, struct error *error)
{
    struct points points;
    json_t *value;
    if (store_run_json(store, run, true, &value, error)) return -1;
    if (store_points(store, run, 0, UINT64_MAX, 0, &points, error)) {
        json_decref(value);
        return -1;
    }
    char *text = js_dump(value);
    json_decref(value);
    /* A million steps as a tree of JSON would be large: they are written into the text. */
    if (text) buffer_append(out, text, strlen(text) - 1);
    buffer_append_text(out, ",\"points\":{\"step\":[");
    for (size_t i = 0; i < points.count; i++)
        buffer_printf(out, i ? ",%llu" : "%llu", (unsigned long long)points.step[i]);
    buffer_append_text(out, "],\"seconds\":[");
    for (size_t i = 0; i < points.count; i++)
        buffer_printf(out, i ? ",%.9g" : "%.9g", points.seconds[i]);
    buffer_append_text(out, "],\"loss\":[");
    for (size_t i = 0; i < points.count; i++)
        buffer_printf(out, i ? ",%.17g" : "%.17g", points.loss[i]);
    buffer_append_text(out, "]}}\n");
    points_free(&points);
    free(text);
    return text ? buffer_check(out, "the export", error) : error_set_memory(error, "the export");
}
