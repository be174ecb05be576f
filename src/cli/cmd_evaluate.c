/* nnstudio evaluate: loss, accuracy and confusion matrix of a model on a test split. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/model_words.h"
#include "run/job.h"
#include "train/metrics.h"
#include "train/predictor.h"

/* A wider matrix is no picture any more. */
#define MATRIX_MAX_CLASSES 26

/* The words of the command line. */
struct evaluate_words {
    const char *engine, *dataset, *data_dir, *home;
    struct model_words model;
    uint32_t limit, threads;
    bool json;
};

/* What was evaluated. */
struct result {
    struct predictor predictor;
    struct dataset *dataset;
    struct metrics metrics;
};

static void print_matrix(const struct result *result)
{
    uint32_t classes = result->predictor.classes;
    if (classes > MATRIX_MAX_CLASSES) {
        printf("\nThe confusion matrix of %u classes is too wide to print: see --json.\n", classes);
        return;
    }
    printf("\nconfusion (rows: true class, columns: predicted)\n%-14s", "");
    for (uint32_t c = 0; c < classes; c++) printf(" %5u", c);
    puts("  correct");
    for (uint32_t r = 0; r < classes; r++) {
        uint64_t total = 0;
        char number[16];
        snprintf(number, sizeof number, "%u", r);
        bool named = strcmp(number, result->dataset->class_names[r]) != 0;
        printf("%3u %-10.10s", r, named ? text_shown(result->dataset->class_names[r]) : "");
        for (uint32_t c = 0; c < classes; c++) {
            uint32_t count = result->metrics.confusion[(size_t)r * classes + c];
            total += count;
            if (count)
                printf(" %5u", count);
            else
                printf(" %5s", ".");
        }
        uint32_t correct = result->metrics.confusion[(size_t)r * classes + r];
        if (total) printf(" %6.2f%%", 100.0 * correct / (double)total);
        putchar('\n');
    }
}

static void print_result(const struct result *result, const struct evaluate_words *words,
                         const struct engine_ops *ops)
{
    const struct metrics *metrics = &result->metrics;
    if (words->json) {
        const struct model *model = result->predictor.model;
        json_t *assumed = model->assumed ? json_incref(model->assumed) : json_array();
        cli_print_json(json_pack(
            "{s:f, s:f, s:I, s:o, s:O}", "loss", metrics->loss, "accuracy", metrics->accuracy,
            "samples", (json_int_t)metrics->samples, "confusion",
            metrics_confusion_to_json(result->metrics.confusion, result->predictor.classes),
            "assumed", assumed));
        json_decref(assumed);
        return;
    }
    printf("%s, test split, on %s%s\n", text_shown(result->dataset->title), ops->title,
           result->dataset->synthetic ? " (synthetic data)" : "");
    printf("loss      %.6f\naccuracy  %.2f%% of %zu samples\n", metrics->loss,
           100 * metrics->accuracy, metrics->samples);
    model_words_print_assumed(result->predictor.model);
    print_matrix(result);
}

/* The data set asked for, else the one the model says it was trained on, else the built-in one. */
static int open_dataset(const struct evaluate_words *words, const char *home, struct result *result,
                        struct error *error)
{
    const char *name = words->dataset;
    if (!name)
        name = json_string_value(json_object_get(result->predictor.model->metadata, "dataset"));
    const struct dataset_options options = {
        .data_dir = words->data_dir, .home = home, .limit = words->limit};
    if (dataset_open(name ? name : "synthetic", &options, &result->dataset, error)) return -1;
    const struct dataset *dataset = result->dataset;
    if (result->predictor.inputs == (size_t)dataset->rows * dataset->columns &&
        result->predictor.classes == dataset->classes)
        return 0;
    return error_set(
        error, ERROR_INPUT,
        "the model takes %zu pixels and knows %u classes, but %s has %u and %u: name the data it "
        "was made for with --dataset",
        result->predictor.inputs, result->predictor.classes, dataset->title,
        dataset->rows * dataset->columns, dataset->classes);
}

static int evaluate(const char *path, const struct evaluate_words *words,
                    const struct engine_ops *ops, const char *home, struct result *result,
                    struct error *error)
{
    struct modelfile_options options = {0};
    if (model_words_use(&words->model, &options, error)) return -1;
    uint32_t threads = words->threads ? words->threads : ops->default_threads();
    if (predictor_open(path, &options, ops, threads, &result->predictor, error) ||
        model_words_check(&options, path, result->predictor.model, error) ||
        open_dataset(words, home, result, error))
        return -1;
    uint32_t classes = result->predictor.classes;
    result->metrics.confusion = calloc((size_t)classes * classes,
                                       sizeof *result->metrics.confusion);
    if (!result->metrics.confusion) return error_set_memory(error, "the confusion matrix");
    return evaluate_split(result->predictor.engine, classes, &result->dataset->test,
                          result->predictor.inputs, NULL, NULL, &result->metrics, error);
}

static int run(int argc, char **argv)
{
    struct evaluate_words words = {.engine = engine_default->id};
    const struct cli_option options[] = {
        {"engine", OPTION_TEXT, &words.engine, "ENGINE", "torch, tensorflow or native (native)"},
        {"dataset", OPTION_TEXT, &words.dataset, "NAME|PATH",
         "whose test split is used (the model's own)"},
        {"data-dir", OPTION_TEXT, &words.data_dir, "DIR", "a folder with one folder a data set"},
        {"limit", OPTION_U32, &words.limit, "N", "at most so many samples (all)"},
        MODEL_OPTIONS(words.model),
        {"threads", OPTION_U32, &words.threads, "N",
         "threads of the engine (what is usually fastest)"},
        {"home", OPTION_TEXT, &words.home, "DIR", "whose data/ is searched"},
        {"json", OPTION_FLAG, &words.json, NULL, "one JSON object instead of text"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_evaluate, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;

    struct result result = {0};
    struct error error;
    const struct engine_ops *ops;
    char *home = NULL;
    if (engine_need(words.engine, &ops, &error) || path_home(words.home, &home, &error) ||
        evaluate(arguments.words[0], &words, ops, home, &result, &error)) {
        status = cli_fail(&error);
    } else {
        print_result(&result, &words, ops);
        status = EXIT_OK;
    }
    free(home);
    free(result.metrics.confusion);
    predictor_close(&result.predictor);
    dataset_close(result.dataset);
    return status;
}

const struct command command_evaluate = {
    .name = "evaluate",
    .run = run,
    .summary = "loss, accuracy and confusion matrix of a model file",
    .usage = "MODEL [--engine native] [--dataset mnist] [options]",
    .arguments_min = 1,
    .arguments_max = 1,
};
