/* nnstudio doctor: what is here, what is missing and how to get it. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "engine/engine.h"

/* Prints one engine's state; both frameworks must be there for "ready". */
static json_t *engine_to_json(const struct engine_ops *engine, const struct engine_probe *probe)
{
    json_t *devices = json_array();
    for (uint32_t i = 0; i < probe->device_count; i++) json_array_append_new(devices, json_string(probe->devices[i]));
    return json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:o}", "id", engine->id, "title", engine->title, "found",
                     (int)probe->found, "version", probe->version, "path", probe->path, "detail", probe->detail, "missing",
                     probe->missing, "devices", devices);
}

static int run(int argc, char **argv)
{
    bool as_json = false, ready = true;
    const struct cli_option options[] = {
        {"json", OPTION_FLAG, &as_json, NULL, "one JSON object instead of text"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_doctor, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;

    json_t *engines = json_array();
    for (size_t i = 0; i < engine_table_count; i++) {
        struct engine_probe probe;
        engine_table[i]->probe(&probe);
        if (!probe.found) ready = false;
        json_array_append_new(engines, engine_to_json(engine_table[i], &probe));
        if (as_json) continue;
        if (probe.found)
            printf("%-11s %-10s %s%s%s\n", engine_table[i]->title, probe.version, probe.detail, *probe.path ? "  " : "",
                   probe.path);
        else
            printf("%-11s missing    %s\n", engine_table[i]->title, probe.missing);
    }
    if (as_json) {
        cli_print_json(json_pack("{s:b, s:o}", "ready", (int)ready, "engines", engines));
        return ready ? EXIT_OK : EXIT_FAILED;
    }
    json_decref(engines);
    if (ready) puts("Dual-Engine Ready!");
    return ready ? EXIT_OK : EXIT_FAILED;
}

const struct command command_doctor = {
    .name = "doctor",
    .run = run,
    .summary = "show engines, versions, paths, CPU features and data sets, and what is missing",
    .usage = "[--json]",
};
