/* nnstudio data: list, fetch, show and export data sets. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/rng.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/data_words.h"
#include "cli/draw.h"
#include "cli/report.h"
#include "data/export.h"
#include "data/fetch.h"

struct data_words {
    const char *data_dir, *home, *out;
    uint32_t count, label;
    uint64_t seed;
    bool any_label, json;
    struct input_words data;
};

static int list(const struct data_words *words, const struct dataset_options *places,
                const char *name, struct error *error)
{
    (void)error;
    (void)name;
    if (words->json)
        cli_print_json_each(report_datasets(places));
    else
        report_print_datasets(places);
    return 0;
}

/* Draws `count` samples of the training split, all of one class when a label is given. */
static int show_samples(const struct dataset *dataset, const struct data_words *words,
                        struct error *error)
{
    size_t total = dataset->train.count, chosen = 0;
    if (!words->any_label && words->label >= dataset->classes)
        return error_set(error, ERROR_USAGE, "there is no label %u: the labels are 0 to %u",
                         words->label, dataset->classes - 1);
    uint32_t *order = malloc(sizeof *order * (total ? total : 1));
    if (!order) return error_set_memory(error, "the samples");
    struct rng rng;
    rng_seed(&rng, words->seed, RNG_SAMPLES, 0);
    rng_permutation(&rng, order, total);
    for (size_t i = 0; i < total; i++)
        if (words->any_label || dataset->train.labels[order[i]] == words->label)
            order[chosen++] = order[i];
    /* One line of them unless told otherwise: with what is said above, one screen. */
    size_t count = words->count ? words->count : draw_across(dataset);
    draw_samples(dataset, &dataset->train, order, chosen < count ? chosen : count);
    free(order);
    if (dataset->synthetic) puts("(synthetic: drawn by the studio, not handwritten)");
    return 0;
}

/* Samples per class, as many side by side as the line takes. */
static void print_classes(const struct dataset *dataset)
{
    size_t counts[DATASET_MAX_CLASSES] = {0}, width = 0;
    for (size_t i = 0; i < dataset->train.count; i++) counts[dataset->train.labels[i]]++;
    printf("classes (training samples):");
    for (uint32_t c = 0; c < dataset->classes; c++) {
        char text[DATASET_NAME_MAX + 32];
        int length = snprintf(text, sizeof text, "%s %zu", dataset->class_names[c], counts[c]);
        bool wraps = width + (size_t)length + 2 > 90;
        if (c == 0 || wraps) width = 0;
        printf("%s%s", c == 0 || wraps ? "\n  " : ", ", text);
        width += (size_t)length + 2;
    }
    putchar('\n');
}

static void print_notes(const char *title, const struct dataset_note *notes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) printf("%s: %s\n", title, notes[i].what);
}

/* What the studio makes of the data, for someone who opens it for the first time. */
static void print_description(const struct dataset *dataset)
{
    char words[128];
    printf("%s\n", dataset->title);
    if (dataset->source[0]) printf("  %s\n", dataset->source);
    printf("samples: %zu to train, %zu to test\n", dataset->train.count, dataset->test.count);
    if (dataset->table)
        printf("each sample: %u number%s\n", dataset->columns, dataset->columns == 1 ? "" : "s");
    else
        printf("each sample: a %spicture of %u x %u pixels\n",
               dataset->channels > 1 ? "color " : "", dataset->rows, dataset->columns);
    printf("values: %g to %g, %s for the network\n", dataset->low, dataset->high,
           input_form_words(&dataset->form, words));
    if (dataset->label_column[0]) printf("label column: %s\n", dataset->label_column);
    print_classes(dataset);
    print_notes("assumed", dataset->assumed, dataset->assumed_count);
    print_notes("skipped", dataset->skipped, dataset->skipped_count);
    putchar('\n');
}

static int show(const struct data_words *words, const struct dataset_options *places,
                const char *name, struct error *error)
{
    struct dataset *dataset;
    int status = 0;
    if (dataset_open(name, places, &dataset, error)) return -1;
    if (words->json) {
        cli_print_json(dataset_describe(dataset));
    } else {
        print_description(dataset);
        if (!dataset->table) status = show_samples(dataset, words, error);
    }
    dataset_close(dataset);
    return status;
}

/* OUT/NAME/ with four IDX files, which the programs of `nnstudio code` read as --data-dir OUT. */
static int export(const struct data_words *words, const struct dataset_options *places,
                  const char *name, struct error *error)
{
    struct dataset *dataset;
    if (!words->out)
        return error_set(error, ERROR_USAGE,
                         "data export needs a folder: nnstudio data export %.60s --out data", name);
    if (dataset_open(name, places, &dataset, error)) return -1;
    char *folder = path_join(words->out, dataset->name);
    int status = folder ? dataset_export(dataset, folder, error)
                        : error_set_memory(error, "a path");
    if (!status)
        printf("%s: %s, %zu training and %zu test samples, %u x %u pixels, %u classes\n",
               text_shown(folder), text_shown(dataset->title), dataset->train.count,
               dataset->test.count, dataset->rows, dataset->columns, dataset->classes);
    free(folder);
    dataset_close(dataset);
    return status;
}

/* Set by Ctrl-C; what has come is kept. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* What was shown last, so that it is not shown again. */
struct shown_progress {
    double time;
    int tenths;
    bool whole; /* all of it: what is told after that (the next file is checked) is no news */
};

static bool show_progress(void *context, const char *file, uint64_t done, uint64_t total)
{
    struct shown_progress *shown = context;
    if (shown->whole) return !interrupted;
    shown->whole = total && done == total;
    double share = total ? (double)done / (double)total : 0, now = clock_monotonic();
    if (isatty(STDERR_FILENO)) {
        if (now - shown->time > 0.1 || shown->whole) {
            fprintf(stderr, "\r\033[K");
            draw_bar(NULL, share, 30);
            fprintf(stderr, "  %.1f of %.1f MB  %s", (double)done / 1e6, (double)total / 1e6, file);
            if (shown->whole) fputc('\n', stderr);
            shown->time = now;
        }
    } else if ((int)(share * 10) > shown->tenths) {
        shown->tenths = (int)(share * 10);
        log_line("%.1f of %.1f MB", (double)done / 1e6, (double)total / 1e6);
    }
    return !interrupted;
}

/* Into the folder of --data-dir when one is given, else into the studio's home. */
static int fetch_to(const char *name, const struct dataset_options *places, struct error *error)
{
    struct shown_progress shown = {0};
    const struct fetch_set *set = fetch_find(name);
    if (!places->data_dir || !set)
        return data_fetch(name, places->home, show_progress, &shown, error);
    char *folder = path_join(places->data_dir, name);
    if (!folder) return error_set_memory(error, "a path");
    int status = fetch_into(set, folder, show_progress, &shown, error);
    free(folder);
    return status;
}

static int fetch(const struct data_words *words, const struct dataset_options *places,
                 const char *name, struct error *error)
{
    (void)words;
    struct sigaction action = {.sa_handler = on_interrupt}, before;
    sigaction(SIGINT, &action, &before);
    int status = fetch_to(name, places, error);
    sigaction(SIGINT, &before, NULL);
    if (status && isatty(STDERR_FILENO)) fputc('\n', stderr);
    const struct dataset_entry *entry = dataset_find(name);
    char *where = NULL;
    if (!status && !dataset_locate(entry, places, &where, error))
        printf("%s is in %s\n", entry->title, text_shown(where));
    free(where);
    return status;
}

static const struct verb {
    const char *name;
    bool needs_name;
    int (*run)(const struct data_words *words, const struct dataset_options *places,
               const char *name, struct error *error);
} verbs[] = {
    {"list", false, list}, {"fetch", true, fetch}, {"show", true, show}, {"export", true, export}};

static int run(int argc, char **argv)
{
    struct data_words words = {.any_label = true};
    const struct cli_option options[] = {
        {"count", OPTION_U32, &words.count, "N", "show: number of samples (as fit in one line)"},
        {"seed", OPTION_U64, &words.seed, "N", "show: which samples are drawn (0)"},
        {"label", OPTION_U32, &words.label, "L", "show: only samples of this class"},
        {"out", OPTION_TEXT, &words.out, "DIR",
         "export: where the folder NAME/ with four IDX files is written"},
        CLI_DATA_DIR(&words.data_dir),
        {"home", OPTION_TEXT, &words.home, "DIR", "the studio's home, whose data/ is searched"},
        DATA_OPTIONS(words.data),
        {"json", OPTION_FLAG, &words.json, NULL, "list and show: JSON, one object per line"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_data, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    words.any_label = !cli_given(&arguments, options, "label");

    const struct verb *verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].name, arguments.words[0]) == 0) verb = &verbs[i];
    if (!verb)
        return cli_usage_error(
            "unknown word \"%.40s\": use list, fetch NAME, show NAME or export NAME",
            arguments.words[0]);
    if (verb->needs_name && arguments.count < 2)
        return cli_usage_error("data %s needs a name: nnstudio data %s mnist", verb->name,
                               verb->name);

    struct error error;
    char *home = NULL;
    if (path_home(words.home, &home, &error)) return cli_fail(&error);
    struct dataset_options places = {.data_dir = words.data_dir, .home = home};
    status = data_words_use(&words.data, &places, &error) ||
                     verb->run(&words, &places, arguments.count > 1 ? arguments.words[1] : NULL,
                               &error)
                 ? cli_fail(&error)
                 : EXIT_OK;
    free(home);
    return status;
}

const struct command command_data = {
    .name = "data",
    .run = run,
    .summary = "list, fetch, look at and export data sets",
    .usage = "list | fetch NAME | show NAME|PATH [--count N] [--seed S] [--label L] [--json]\n"
             "       nnstudio data export NAME --out DIR",
    .arguments_min = 1,
    .arguments_max = 2,
};
