/* nnstudio atlas: where PyTorch and Keras mean different things by the same word, shown by
 * experiments on the engines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas.h"
#include "base/child.h"
#include "base/file.h"
#include "base/js.h"
#include "cli/cli.h"

/* What was asked. */
struct asked {
    const struct atlas_row *rows[64];
    size_t count; /* of rows */
    const struct engine_ops *engines[8];
    size_t engine_count;
    bool as_json;
};

/* "3" or "3,adam-decay" */
static int choose_named(const char *names, struct asked *asked, struct error *error)
{
    for (size_t length; *names; names += length + (names[length] == ',')) {
        char name[64];
        length = strcspn(names, ",");
        snprintf(name, sizeof name, "%.*s", length < 63 ? (int)length : 63, names);
        if (asked->count == sizeof asked->rows / sizeof *asked->rows)
            return error_set(error, ERROR_USAGE, "more rows than there are: name each once");
        if (atlas_need(name, &asked->rows[asked->count++], error)) return -1;
    }
    return 0;
}

static int choose_rows(const struct cli_arguments *arguments, bool with_experiment,
                       struct asked *asked, struct error *error)
{
    CHECK(atlas_row_count <= sizeof asked->rows / sizeof *asked->rows);
    for (int i = 0; i < arguments->count; i++)
        if (choose_named(arguments->words[i], asked, error)) return -1;
    for (size_t i = 0; i < atlas_row_count && !arguments->count; i++)
        if (!with_experiment || atlas_rows[i].experiment)
            asked->rows[asked->count++] = &atlas_rows[i];
    return 0;
}

/* Those named, or all that are installed; the studio's own comes first, for the others are compared
 * with it. */
static int choose_engines(const char *names, struct asked *asked, struct error *error)
{
    asked->engines[asked->engine_count++] = engine_default;
    for (size_t i = 0; i < engine_table_count && !names; i++) {
        struct engine_probe probe;
        engine_table[i]->probe(&probe);
        if (probe.found && engine_table[i] != engine_default)
            asked->engines[asked->engine_count++] = engine_table[i];
    }
    for (size_t length; names && *names; names += length + (names[length] == ',')) {
        char name[32];
        const struct engine_ops *ops;
        length = strcspn(names, ",");
        snprintf(name, sizeof name, "%.*s", length < 31 ? (int)length : 31, names);
        if (engine_need(name, &ops, error)) return -1;
        bool there = false;
        for (size_t i = 0; i < asked->engine_count; i++) there |= asked->engines[i] == ops;
        if (!there) asked->engines[asked->engine_count++] = ops;
    }
    return 0;
}

/* --- without experiments --- */

static void list_rows(const struct asked *asked)
{
    printf("%4s  %-9s  %-24s  %s\n", "row", "subject", "name", "what");
    for (size_t i = 0; i < asked->count; i++)
        printf("%4u  %-9s  %-24s  %s\n", asked->rows[i]->number, asked->rows[i]->subject,
               asked->rows[i]->id, asked->rows[i]->title);
}

static void print_side(const char *title, const json_t *side)
{
    const char *line = js_text(side, "formula");
    printf("\n%s\n", title);
    while (*line) {
        int length = (int)strcspn(line, "\n");
        printf("    %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
    printf("  defaults: %s\n", js_text(side, "defaults"));
}

static void print_row(const struct atlas_row *row)
{
    json_t *text = atlas_row_to_json(row);
    printf("Row %u: %s\n", row->number, row->title);
    for (enum meaning meaning = 0; meaning < MEANING_COUNT; meaning++)
        print_side(meaning_title(meaning), json_object_get(text, meaning_name(meaning)));
    printf("\nWho meets it: %s\nWhat to do:   %s\n", row->affects, row->migrate);
    if (row->experiment)
        printf("Experiment:   %s\n", js_text(text, "experiment"));
    else
        printf("No experiment: %s.\n", row->without);
    json_decref(text);
}

static int show(const struct asked *asked, bool listed)
{
    if (asked->as_json)
        for (size_t i = 0; i < asked->count; i++) cli_print_json(atlas_row_to_json(asked->rows[i]));
    else if (listed)
        list_rows(asked);
    else
        for (size_t i = 0; i < asked->count; i++) print_row(asked->rows[i]);
    return EXIT_OK;
}

/* --- with experiments --- */

/* {engine id: [result, …]} of all engines asked. */
static int run_all(const struct asked *asked, json_t *results, struct error *error)
{
    const char *scratch = getenv("TMPDIR");
    for (size_t i = 0; i < asked->engine_count; i++) {
        json_t *list;
        if (atlas_run_apart(asked->rows, asked->count, asked->engines[i],
                            scratch && *scratch ? scratch : "/tmp", &list, error))
            return -1;
        json_object_set_new(results, asked->engines[i]->id, list);
    }
    return 0;
}

static json_t *result_of(const struct asked *asked, const json_t *results, size_t engine,
                         size_t row)
{
    return json_array_get(json_object_get(results, asked->engines[engine]->id), row);
}

/* The row with its results: {…, "results":[…], "apart":{"torch":1e-16}}. */
static void print_result_json(const struct asked *asked, const json_t *results, size_t row)
{
    json_t *value = atlas_row_to_json(asked->rows[row]), *list = json_array(),
           *apart = json_object();
    for (size_t e = 0; e < asked->engine_count; e++) {
        json_array_append(list, result_of(asked, results, e, row));
        if (e)
            json_object_set_new(apart, asked->engines[e]->id,
                                js_real(atlas_apart(result_of(asked, results, 0, row),
                                                    result_of(asked, results, e, row))));
    }
    json_object_set_new(value, "results", list);
    json_object_set_new(value, "apart", apart);
    cli_print_json(value);
}

static void print_result(const struct asked *asked, const json_t *results, size_t row)
{
    const json_t *own = result_of(asked, results, 0, row),
                 *curve = json_array_get(json_object_get(own, "curves"), 0);
    double largest = json_number_value(json_object_get(curve, "largest"));
    printf("%4u  %-52s %9.3g  %-13s", asked->rows[row]->number, asked->rows[row]->title, largest,
           js_text(curve, "what"));
    for (size_t e = 1; e < asked->engine_count; e++) {
        double apart = atlas_apart(own, result_of(asked, results, e, row));
        printf("  %s %s %.1g", asked->engines[e]->title, apart <= ATLAS_AGREE ? "agrees" : "APART",
               apart);
    }
    putchar('\n');
}

/* "Computed in float64 by Native 0.1.0, PyTorch 2.13.0." */
static void print_engines(const struct asked *asked, const json_t *results)
{
    printf("Computed in float64 by");
    for (size_t e = 0; e < asked->engine_count; e++)
        printf("%s %s %s", e ? "," : "", asked->engines[e]->title,
               js_text(result_of(asked, results, e, 0), "version"));
    puts(".");
}

/* 1 when an engine disagrees with the studio's own. */
static int print_results(const struct asked *asked, const json_t *results, bool listed)
{
    int status = EXIT_OK;
    if (!listed && !asked->as_json) {
        show(asked, false);
        putchar('\n');
    }
    if (!asked->as_json) {
        print_engines(asked, results);
        printf("%4s  %-52s %9s  %s\n", "row", "what", "largest", "difference of a");
    }
    for (size_t i = 0; i < asked->count; i++) {
        if (asked->as_json)
            print_result_json(asked, results, i);
        else
            print_result(asked, results, i);
        for (size_t e = 1; e < asked->engine_count; e++)
            if (!(atlas_apart(result_of(asked, results, 0, i), result_of(asked, results, e, i)) <=
                  ATLAS_AGREE))
                status = EXIT_FAILED;
    }
    return status;
}

static int write_document(const json_t *results, const char *path, struct error *error)
{
    char *text = atlas_document(results);
    int status = text ? file_write(path, text, strlen(text), error)
                      : error_set_memory(error, "the document");
    free(text);
    return status;
}

static int run_and_print(const struct asked *asked, bool listed, const char *document)
{
    struct error error;
    json_t *results = json_object();
    int status = run_all(asked, results, &error) ||
                         (document && write_document(results, document, &error))
                     ? cli_fail(&error)
                     : print_results(asked, results, listed);
    json_decref(results);
    return status;
}

/* For the studio itself: one engine, in this process, into a file. */
static int run_to_file(const struct asked *asked, const char *engine, const char *path)
{
    struct error error;
    const struct engine_ops *ops;
    child_end_with_parent(0); /* whoever asked waits for it */
    if (engine_need(engine ? engine : engine_default->id, &ops, &error) ||
        atlas_run_to_file(asked->rows, asked->count, ops, path, &error))
        return cli_fail(&error);
    return EXIT_OK;
}

static int run(int argc, char **argv)
{
    bool runs = false;
    const char *engines = NULL, *path = NULL, *document = NULL;
    struct asked asked = {0};
    const struct cli_option options[] = {
        {"run", OPTION_FLAG, &runs, NULL, "run the experiments"},
        {"engine", OPTION_TEXT, &engines, "E[,E...]",
         "engines beside the studio's own (all that are installed)"},
        {"json", OPTION_FLAG, &asked.as_json, NULL, "one JSON object per row"},
        {"document", OPTION_TEXT, &document, "FILE.md", "with --run: write the whole atlas there"},
        {"out", OPTION_TEXT, &path, "FILE", "with --run: one engine's results (for the studio)"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    int status = cli_parse(&command_atlas, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    if (!runs && (document || path || engines))
        return cli_usage_error("--%s belongs to the experiments: add --run", document ? "document"
                                                                             : path   ? "out"
                                                                                      : "engine");
    if (document && arguments.count)
        return cli_usage_error("--document is about all rows: leave out \"%.40s\"",
                               arguments.words[0]);
    if (choose_rows(&arguments, runs, &asked, &error)) return cli_fail(&error);
    if (path) return run_to_file(&asked, engines, path);
    bool listed = !arguments.count;
    if (!runs) return show(&asked, listed);
    if (choose_engines(engines, &asked, &error)) return cli_fail(&error);
    return run_and_print(&asked, listed, document);
}

const struct command command_atlas = {
    .name = "atlas",
    .run = run,
    .summary = "where PyTorch and Keras mean different things by the same word",
    .usage = "[ROW…] [--run] [--engine ENGINE,…] [--json]",
    .details = "Without ROW: the list of the differences. With ROW, a number or a name from the "
               "list: both formulas and defaults, who is affected and what to do. --run trains or "
               "evaluates a tiny network in both meanings, in float64, and prints the largest "
               "difference; every installed engine has to compute the same curves within 1e-12 "
               "(exit status 1 when one does not).",
    .arguments_max = CLI_ARGUMENTS_MAX,
};
