#include "base/text.h"
#include "cli/report.h"

#include <stdio.h>
#include <stdlib.h>

json_t *report_engines(void)
{
    json_t *engines = json_array();
    for (size_t i = 0; i < engine_table_count; i++) {
        const struct engine_ops *engine = engine_table[i];
        struct engine_probe probe;
        engine->probe(&probe);
        json_t *devices = json_array();
        for (uint32_t d = 0; d < probe.device_count; d++)
            json_array_append_new(devices, json_string(probe.devices[d]));
        json_array_append_new(engines, json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:o}", "id",
                                                 engine->id, "title", engine->title, "found",
                                                 (int)probe.found, "version", probe.version, "path",
                                                 probe.path, "detail", probe.detail, "missing",
                                                 probe.missing, "devices", devices));
    }
    return engines;
}

void report_print_engine(const struct engine_ops *engine)
{
    struct engine_probe probe;
    engine->probe(&probe);
    if (!probe.found) {
        printf("%-12s not found: %s\n", engine->title, text_shown(probe.missing));
        return;
    }
    printf("%-12s %s", engine->title, text_shown(probe.version));
    if (probe.detail[0]) printf(", %s", text_shown(probe.detail));
    for (uint32_t i = 0; i < probe.device_count; i++)
        printf("%s%s", i ? " " : ", on ", text_shown(probe.devices[i]));
    putchar('\n');
    if (probe.path[0]) printf("%-12s %s\n", "", text_shown(probe.path));
}

/* Where a data set lies: malloc'd, NULL for a built-in one and for one that is not here. */
static bool find_dataset(const struct dataset_entry *entry, const struct dataset_options *places,
                         char **where)
{
    struct error ignored;
    *where = NULL;
    return entry->built_in || !dataset_locate(entry, places, where, &ignored);
}

json_t *report_datasets(const struct dataset_options *places)
{
    size_t count;
    const struct dataset_entry *entries = dataset_list(&count);
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        char *where;
        bool found = find_dataset(&entries[i], places, &where);
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:b, s:b, s:s}", "name", entries[i].name,
                                        "title", entries[i].title, "found", (int)found, "synthetic",
                                        (int)entries[i].built_in, "path", where ? where : ""));
        free(where);
    }
    return all;
}

void report_print_datasets(const struct dataset_options *places)
{
    size_t count;
    const struct dataset_entry *entries = dataset_list(&count);
    for (size_t i = 0; i < count; i++) {
        char *where;
        bool found = find_dataset(&entries[i], places, &where);
        printf("%-13s  %-25s  ", entries[i].name, entries[i].title);
        if (found)
            puts(where ? text_shown(where) : "built in");
        else
            puts("not here: see nnstudio data fetch");
        free(where);
    }
}
