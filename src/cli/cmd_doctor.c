/* nnstudio doctor: what is here, what is missing and how to get it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "run/install.h"

static bool is_found(const struct engine_ops *engine)
{
    struct engine_probe probe;
    engine->probe(&probe);
    return probe.found;
}

/* "AMD EPYC …"; "unknown" where the kernel does not tell. */
static void processor_name(char out[128])
{
    char line[512];
    snprintf(out, 128, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10) != 0) continue;
        snprintf(out, 128, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    fclose(file);
}

static double memory_gigabytes(void)
{
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1e9;
}

static void print_json(const struct dataset_options *places, const char *home, bool ready)
{
    char processor[128];
    processor_name(processor);
    cli_print_json(json_pack("{s:b, s:b, s:s, s:o, s:o, s:s, s:{s:s, s:I, s:f}}", "ready",
                             (int)ready, "installing", (int)install_runs("."), "version",
                             NNSTUDIO_VERSION, "engines", report_engines(), "datasets",
                             report_datasets(places), "home", home, "machine", "processor",
                             processor, "cores", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
                             "memory_bytes", memory_gigabytes() * 1e9));
}

static void print_text(const struct dataset_options *places, const char *home, bool ready)
{
    char processor[128];
    processor_name(processor);
    printf("Neural Net Studio %s\n\n", NNSTUDIO_VERSION);
    printf("%-12s %s, %ld cores, %.1f GB of memory\n%-12s %s\n\n", "Machine", processor,
           sysconf(_SC_NPROCESSORS_ONLN), memory_gigabytes(), "Home", text_shown(home));
    puts("Engines");
    for (size_t i = 0; i < engine_table_count; i++) report_print_engine(engine_table[i]);
    puts("\nData sets");
    report_print_datasets(places);
    putchar('\n');
    if (ready) puts("Dual-Engine Ready!");
    bool installing = install_runs(".");
    for (size_t i = 0; i < engine_table_count; i++) {
        if (is_found(engine_table[i])) continue;
        if (installing)
            printf("Missing: %s. An installation is running: look again when it has ended\n",
                   engine_table[i]->title);
        else
            printf("Missing: %s. Get it with: nnstudio engines install %s\n",
                   engine_table[i]->title, engine_table[i]->id);
    }
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    const char *data_dir = NULL, *home_option = NULL;
    const struct cli_option options[] = {
        CLI_DATA_DIR(&data_dir),
        {"home", OPTION_TEXT, &home_option, "DIR", "the studio's home"},
        {"json", OPTION_FLAG, &as_json, NULL, "one JSON object instead of text"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_doctor, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;

    char *home;
    struct error error;
    if (path_home(home_option, &home, &error)) return cli_fail(&error);
    const struct dataset_options places = {.data_dir = data_dir, .home = home};
    bool ready = true;
    for (size_t i = 0; i < engine_table_count; i++) ready = ready && is_found(engine_table[i]);
    if (as_json)
        print_json(&places, home, ready);
    else
        print_text(&places, home, ready);
    free(home);
    return EXIT_OK;
}

const struct command command_doctor = {
    .name = "doctor",
    .run = run,
    .summary = "show engines, versions, paths, CPU features and data sets, and what is missing",
    .usage = "[--json]",
};
