/* What the studio is and has; settings and preferences; the stream. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/js.h"
#include "base/memory.h"
#include "code/code.h"
#include "engine/engine.h"
#include "http/hub.h"
#include "http/offload.h"
#include "http/routes.h"
#include "modelfile/modelfile.h"
#include "run/settings.h"

#define PREFERENCES_MAX ((size_t)64 << 10)

static json_t *colors_json(const struct engine_colors *colors)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "line", colors->line, "text", colors->text, "fill",
                     colors->fill, "on", colors->on);
}

static json_t *look_json(const struct engine_look *look)
{
    json_t *dash = json_array();
    for (size_t i = 0; i < ENGINE_MAX_DASHES && look->dashes[i]; i++)
        json_array_append_new(dash, json_integer(look->dashes[i]));
    return json_pack("{s:s, s:o, s:o, s:o, s:i, s:s}", "color", look->light.line, "light",
                     colors_json(&look->light), "dark", colors_json(&look->dark), "dash", dash,
                     "line_width", (int)look->line_width, "mark", look->mark);
}

static json_t *engine_json(const struct engine_ops *engine, bool *found)
{
    struct engine_probe *probe = calloc(1, sizeof *probe);
    if (!probe) return NULL;
    engine->probe(probe);
    *found = probe->found;
    json_t *devices = json_array();
    for (uint32_t i = 0; i < probe->device_count; i++)
        json_array_append_new(devices, json_string(probe->devices[i]));
    json_t *look = look_json(&engine->look);
    json_t *value = json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:s, s:s, s:s, s:s, s:o, s:I}", "id", engine->id,
        "title", engine->title, "paradigm", engine->paradigm, "model_format", engine->model_format,
        "default", engine == engine_default, "installable", engine->package.requirement != NULL,
        "found", (int)probe->found, "version", probe->version, "path", probe->path, "detail",
        probe->detail, "missing", probe->missing, "devices", devices, "default_threads",
        (json_int_t)engine_default_threads(engine));
    json_object_update_missing(value, look);
    json_decref(look);
    free(probe);
    return value;
}

/* The rest of the first line of a file of /proc that starts with `key`, without what stands before
 * the value. */
static void proc_value(const char *path, const char *key, char *out, size_t size)
{
    char line[4096];
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        const char *value = strchr(line, ':');
        value = value ? value + 1 + strspn(value + 1, " \t") : "";
        snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file) fclose(file);
}

static json_t *cpu_json(void)
{
    static const char *const known[] = {"avx",      "avx2",     "fma",         "f16c",  "avx512f",
                                        "avx512bw", "avx512vl", "avx512_vnni", "asimd", "sve"};
    char name[256], flags[4096];
    proc_value("/proc/cpuinfo", "model name", name, sizeof name);
    proc_value("/proc/cpuinfo", "flags", flags, sizeof flags);
    json_t *features = json_array();
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *place = strstr(flags, known[i]);
        size_t length = strlen(known[i]);
        while (place &&
               ((place > flags && place[-1] != ' ') || (place[length] && place[length] != ' ')))
            place = strstr(place + 1, known[i]);
        if (place) json_array_append_new(features, json_string(known[i]));
    }
    return json_pack("{s:s, s:i, s:o}", "name", name, "cores", (int)sysconf(_SC_NPROCESSORS_ONLN),
                     "features", features);
}

static json_t *formats_json(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < modelfile_table_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "id", modelfile_table[i]->id, "title",
                                              modelfile_table[i]->title));
    return list;
}

static json_t *voices_json(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < code_voice_count; i++)
        json_array_append_new(list, code_voice_json(code_voices[i]));
    return list;
}

static int compute_system(const struct studio *studio, struct store *store, void *context,
                          json_t **out, struct error *error)
{
    (void)store;
    (void)context;
    bool ready = true;
    json_t *engines = json_array();
    for (size_t i = 0; i < engine_table_count; i++) {
        bool found = false;
        json_array_append_new(engines, engine_json(engine_table[i], &found));
        ready = ready && found;
    }
    *out = json_pack("{s:s, s:b, s:o, s:o, s:{s:I, s:I}, s:s, s:o, s:o, s:o, s:f}", "version",
                     NNSTUDIO_VERSION, "ready", (int)ready, "engines", engines, "cpu", cpu_json(),
                     "memory", "total_bytes", (json_int_t)memory_total(), "available_bytes",
                     (json_int_t)memory_available(), "home", studio->home, "datasets",
                     datasets_json(studio), "formats", formats_json(), "voices", voices_json(),
                     "uptime_seconds", clock_monotonic() - studio->started);
    return *out ? 0 : error_set_memory(error, "the system's description");
}

static void get_system(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_system, calloc(1, 1));
}

static void get_defaults(struct studio *studio, struct call *call)
{
    (void)studio;
    struct job job;
    job_init(&job);
    call_reply(call, 200, settings_to_json(&job));
}

static void get_settings(struct studio *studio, struct call *call)
{
    (void)studio;
    call_reply(call, 200, settings_describe());
}

static void get_preferences(struct studio *studio, struct call *call)
{
    struct error error;
    json_t *value;
    if (store_preference_get(studio->store, "page", &value, &error))
        call_fail(call, &error);
    else
        call_reply(call, 200, value ? value : json_object());
}

static void put_preferences(struct studio *studio, struct call *call)
{
    struct error error;
    char *text = js_dump(call_body(call));
    bool large = !text || strlen(text) > PREFERENCES_MAX;
    free(text);
    if (large) {
        error_set(&error, ERROR_INPUT, "the preferences are too large: the most is %zu bytes",
                  PREFERENCES_MAX);
        call_fail(call, &error);
    } else if (store_preference_set(studio->store, "page", call_body(call), &error)) {
        call_fail(call, &error);
    } else {
        call_reply(call, 200, json_deep_copy(call_body(call)));
    }
}

static void get_events(struct studio *studio, struct call *call)
{
    hub_listen(studio->hub, call);
}

static void get_openapi(struct studio *studio, struct call *call)
{
    (void)studio;
    call_reply(call, 200, openapi_document());
}

static const struct route routes[] = {
    {"GET", "/api/system", get_system, "Engines, processor, memory, data sets", NULL, NULL,
     "System", 200, 0},
    {"GET", "/api/settings", get_settings,
     "The settings of a run: kinds, ranges, defaults, labels, choices", NULL, NULL,
     "SettingsDescription", 200, 0},
    {"GET", "/api/settings/defaults", get_defaults, "The settings that a run has by default", NULL,
     NULL, "Settings", 200, 0},
    {"GET", "/api/preferences", get_preferences, "What the page keeps", NULL, NULL, "Preferences",
     200, 0},
    {"PUT", "/api/preferences", put_preferences, "Replace what the page keeps; at most 64 KiB",
     NULL, "Preferences", "Preferences", 200, ROUTE_CHANGES},
    {"GET", "/api/events", get_events, "The stream of all that happens, as server-sent events",
     NULL, NULL, "text/event-stream", 200, ROUTE_RAW},
    {"GET", "/api/openapi.json", get_openapi, "This description", NULL, NULL, "Document", 200, 0},
};
const struct route_group routes_system = ROUTE_GROUP("system", routes);
