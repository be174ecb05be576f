/* nnstudio evaluate: loss, accuracy and confusion matrix of a model on a test split. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/data_words.h"
#include "cli/model_words.h"
#include "cli/predict_table.h"
#include "cli/scaling_hint.h"
#include "run/job.h"
#include "train/metrics.h"
#include "train/predictor.h"

/* A wider matrix is no picture anymore. */
#define MATRIX_MAX_CLASSES 26

/* The words of the command line. */
struct evaluate_words {
    const char *engine, *dataset, *data_dir, *home;
    struct model_words model;
    uint32_t limit, threads;
    bool json;
    struct input_words data;
};

/* What was evaluated. */
struct result {
    struct predictor predictor;
    struct dataset *dataset;
    struct metrics metrics;
    bool changed; /* the data is not what the model was trained on anymore */
    /* trained on at most so many samples, and evaluated on another number; 0: no */
    uint32_t trained_limit;
    struct scaling_hint hint;
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

/* All that the model's file and the data did not say. */
static json_t *assumed_json(const struct result *result)
{
    json_t *assumed = predict_assumed(&result->predictor);
    for (uint32_t i = 0; i < result->dataset->assumed_count; i++)
        json_array_append_new(assumed, json_sprintf("data: %s", result->dataset->assumed[i].what));
    if (result->changed)
        json_array_append_new(assumed, json_string("data: the file has changed since the model was "
                                                   "trained on it"));
    if (result->trained_limit)
        json_array_append_new(assumed, json_sprintf("data: trained with --limit %u, evaluated with "
                                                    "another",
                                                    result->trained_limit));
    return assumed;
}

static void print_result(const struct result *result, const struct evaluate_words *words,
                         const struct engine_ops *ops)
{
    const struct metrics *metrics = &result->metrics;
    if (words->json) {
        cli_print_json(json_pack(
            "{s:f, s:f, s:I, s:o, s:o, s:o, s:o}", "loss", metrics->loss, "accuracy",
            metrics->accuracy, "samples", (json_int_t)metrics->samples, "confusion",
            metrics_confusion_to_json(result->metrics.confusion, result->predictor.classes),
            "assumed", assumed_json(result), "hint", scaling_hint_json(&result->hint),
            "preprocessing", predict_preprocessing(&result->predictor)));
        return;
    }
    printf("%s, test split, on %s%s\n", text_shown(result->dataset->title), ops->title,
           result->dataset->synthetic ? " (synthetic data)" : "");
    printf("loss      %.6f\naccuracy  %.2f%% of %zu samples\n", metrics->loss,
           100 * metrics->accuracy, metrics->samples);
    predict_print_assumed(&result->predictor, stdout);
    for (uint32_t i = 0; i < result->dataset->assumed_count; i++)
        printf("assumed   data: %s\n", text_shown(result->dataset->assumed[i].what));
    if (result->changed) puts("note      the data has changed since the model was trained on it");
    if (result->trained_limit)
        printf(
            "note      the model was trained with --limit %u, and is evaluated on another part\n",
            result->trained_limit);
    scaling_hint_print(&result->hint);
    print_matrix(result);
}

/* What the model's file says of the data it was trained on, or NULL. */
static const char *recorded(const struct result *result, const char *key)
{
    const char *text = json_string_value(json_object_get(result->predictor.model->metadata, key));
    return text && *text ? text : NULL;
}

/* The data set asked for, else the very one that the model says it was trained on. */
static int choose_dataset(const struct evaluate_words *words, const struct result *result,
                          const char **name, struct error *error)
{
    const char *path = recorded(result, "dataset_path"), *known = recorded(result, "dataset");
    *name = words->dataset ? words->dataset : path ? path : known;
    if (words->dataset) return 0;
    bool unsaid = !*name;
    if (unsaid) *name = "synthetic"; /* told by print_result() */
    if (path && !file_exists(path))
        return error_set(error, ERROR_NOT_FOUND,
                         "the model was trained on %s, which is not there: name other data with "
                         "--dataset",
                         path);
    if (!unsaid && !path && !dataset_find(known))
        return error_set(error, ERROR_NOT_FOUND,
                         "the model was trained on \"%.60s\", and the file does not say where that "
                         "is: name it with --dataset",
                         known);
    return 0;
}

/* The same data as in training? Told when the file has changed since. */
static int compare_with_training(const struct evaluate_words *words, struct result *result,
                                 struct error *error)
{
    char hash[HASH_HEX_SIZE];
    const char *trained = recorded(result, "dataset_hash");
    const char *limit = recorded(result, "dataset_limit");
    uint32_t part = limit ? (uint32_t)strtoul(limit, NULL, 10) : 0;
    if (words->dataset) return 0;
    if (words->limit != part) {
        result->trained_limit = part;
        return 0;
    }
    if (!trained || !recorded(result, "dataset_path")) return 0;
    if (dataset_hash(result->dataset, hash, error)) return -1;
    result->changed = strcmp(hash, trained) != 0;
    return 0;
}

static int open_dataset(const struct evaluate_words *words, const char *home, struct result *result,
                        struct error *error)
{
    const char *name;
    struct predictor *predictor = &result->predictor;
    const struct network *network = &predictor->model->network;
    struct dataset_options options = {.data_dir = words->data_dir,
                                      .home = home,
                                      .limit = words->limit,
                                      .label_column = recorded(result, "label_column"),
                                      .form = &predictor->form,
                                      .rows = network->rows,
                                      .columns = network->columns,
                                      .channels = network->channels};
    if (words->dataset) options.label_column = NULL;
    if (choose_dataset(words, result, &name, error) ||
        data_words_use(&words->data, &options, error) ||
        dataset_open(name, &options, &result->dataset, error) ||
        compare_with_training(words, result, error))
        return -1;
    return predictor_match(predictor, result->dataset, error);
}

static int evaluate(const char *path, const struct evaluate_words *words,
                    const struct engine_ops *ops, const char *home, struct result *result,
                    struct error *error)
{
    struct modelfile_options options = {0};
    if (model_words_use(&words->model, &options, error)) return -1;
    uint32_t threads = words->threads ? words->threads : engine_default_threads(ops);
    if (predictor_read(path, &options, &result->predictor, error) ||
        model_words_check(&options, path, result->predictor.model, error) ||
        open_dataset(words, home, result, error) ||
        predictor_start(&result->predictor, ops, threads, &result->dataset->preprocess, error))
        return -1;
    uint32_t classes = result->predictor.classes;
    result->metrics.confusion = calloc((size_t)classes * classes,
                                       sizeof *result->metrics.confusion);
    if (!result->metrics.confusion) return error_set_memory(error, "the confusion matrix");
    if (evaluate_split(result->predictor.engine, classes, &result->dataset->test,
                       result->predictor.inputs, NULL, NULL, &result->metrics, error))
        return -1;
    const struct input_words *said = &words->data;
    if (said->scale || said->mean != 0 || said->std != 0) return 0;
    return scaling_hint_find(&result->predictor, ops, threads, result->dataset, &result->hint,
                             error);
}

static int run(int argc, char **argv)
{
    struct evaluate_words words = {.engine = engine_default->id};
    const struct cli_option options[] = {
        CLI_ENGINE(&words.engine),
        {"dataset", OPTION_TEXT, &words.dataset, "NAME|PATH",
         "the data set whose test samples are used (the model's own)"},
        CLI_DATA_DIR(&words.data_dir),
        {"limit", OPTION_U32, &words.limit, "N", "at most this many samples (all)"},
        MODEL_OPTIONS(words.model),
        {"threads", OPTION_U32, &words.threads, "N", "threads of the engine (engine default)"},
        {"home", OPTION_TEXT, &words.home, "DIR", "the studio's home, whose data/ is searched"},
        DATA_OPTIONS(words.data),
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
    .summary = "show loss, accuracy and confusion matrix of a model file",
    .usage = "MODEL [--engine native] [--dataset mnist] [options]",
    .arguments_min = 1,
    .arguments_max = 1,
};
