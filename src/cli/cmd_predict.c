/* nnstudio predict: which class a picture shows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/path.h"
#include "cli/cli.h"
#include "cli/data_words.h"
#include "cli/draw.h"
#include "cli/model_words.h"
#include "cli/predict_table.h"
#include "cli/registry_cli.h"
#include "data/picture.h"
#include "run/job.h"
#include "train/predictor.h"

struct predict_words {
    const char *engine, *out;
    struct model_words model;
    uint32_t threads;
    bool json, submission;
    struct input_words data;
};

/* A picture as the network sees it, and what it says. */
struct predict_answer {
    struct predictor predictor;
    uint8_t *pixels;       /* owned */
    double *probabilities; /* owned */
    uint32_t best;
    bool inverted;
};

static int open_model(const char *path, const struct predict_words *words,
                      struct predictor *predictor, struct dataset_options *data,
                      struct error *error)
{
    struct modelfile_options options = {0};
    if (model_words_use(&words->model, &options, error) ||
        data_words_use(&words->data, data, error) ||
        predictor_read(path, &options, predictor, error) ||
        model_words_check(&options, path, predictor->model, error))
        return -1;
    data->form = &predictor->form;
    return 0;
}

/* One picture. */
static int predict(const char *image, const struct predict_words *words,
                   const struct engine_ops *ops, const struct dataset_options *data,
                   struct predict_answer *answer, struct error *error)
{
    struct predictor *predictor = &answer->predictor;
    uint32_t threads = words->threads ? words->threads : engine_default_threads(ops);
    data_words_change_form(data, &predictor->form);
    if (predictor_start(predictor, ops, threads, NULL, error)) return -1;
    const struct network *network = &predictor->model->network;
    answer->pixels = malloc(predictor->inputs);
    answer->probabilities = malloc(sizeof *answer->probabilities * predictor->classes);
    if (!answer->pixels || !answer->probabilities) return error_set_memory(error, "the picture");
    struct input_form form = predictor->form;
    if (data->invert != DATASET_INVERT_AUTO) {
        form.known = true;
        form.polarity = POLARITY_UNKNOWN;
    }
    if (picture_read_input(image, network->rows, network->columns, network->channels, &form,
                           answer->pixels, &answer->inverted, error))
        return -1;
    answer->inverted |= data->invert == DATASET_INVERT_YES;
    for (size_t i = 0; data->invert == DATASET_INVERT_YES && i < predictor->inputs; i++)
        answer->pixels[i] = (uint8_t)(255 - answer->pixels[i]);
    return predictor_predict(predictor, answer->pixels, answer->probabilities, &answer->best,
                             error);
}

static void print_json(const struct predict_answer *answer)
{
    json_t *probabilities = json_array();
    for (uint32_t c = 0; c < answer->predictor.classes; c++)
        json_array_append_new(probabilities, json_real(answer->probabilities[c]));
    char number[16];
    json_t *assumed = predict_assumed(&answer->predictor);
    if (answer->inverted)
        json_array_append_new(assumed, json_string("the picture was inverted, as the model was "
                                                   "trained on pictures of the other kind"));
    cli_print_json(json_pack(
        "{s:I, s:o, s:s, s:o, s:o}", "class", (json_int_t)answer->best, "probabilities",
        probabilities, "class_name", predictor_class_name(&answer->predictor, answer->best, number),
        "assumed", assumed, "preprocessing", predict_preprocessing(&answer->predictor)));
}

static void print_text(const struct predict_answer *answer)
{
    bool utf8 = draw_takes_utf8();
    const struct predictor *predictor = &answer->predictor;
    char number[16], best[16];
    snprintf(best, sizeof best, "%u", answer->best);
    const char *name = predictor_class_name(predictor, answer->best, number);
    if (strcmp(name, best) != 0)
        printf("class %s (%u)\n", name, answer->best);
    else
        printf("class %u\n", answer->best);
    int width = 3;
    for (uint32_t c = 0; c < predictor->classes; c++) {
        int length = (int)strlen(predictor_class_name(predictor, c, number));
        if (length > width) width = length;
    }
    for (uint32_t c = 0; c < predictor->classes; c++) {
        printf("%*s %6.2f%% ", width, predictor_class_name(predictor, c, number),
               100 * answer->probabilities[c]);
        for (int i = 0; i < (int)(answer->probabilities[c] * 40 + 0.5); i++)
            fputs(utf8 ? "█" : "#", stdout);
        putchar('\n');
    }
    if (answer->inverted) puts("(inverted: the model was trained on pictures of the other kind)");
    predict_print_assumed(predictor, stdout);
}

/* A folder or a file of samples makes a table, or is refused as one; the rest is one picture. */
static bool is_table(const char *path)
{
    static const char *const tables[] = {"csv", "tsv", "npy", "npz", "parquet"};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (!strcasecmp(path_extension(path), tables[i])) return true;
    return file_is_directory(path);
}

static int run(int argc, char **argv)
{
    struct predict_words words = {.engine = engine_default->id};
    struct registry_cli place = {0};
    const char *from = NULL, *version = NULL;
    const struct cli_option own[] = {
        CLI_ENGINE(&words.engine),
        MODEL_OPTIONS(words.model),
        {"threads", OPTION_U32, &words.threads, "N", "threads of the engine (engine default)"},
        {"out", OPTION_TEXT, &words.out, "FILE",
         "the table's file, for a folder or CSV file (standard output)"},
        {"submission", OPTION_FLAG, &words.submission, NULL,
         "the table has only ImageId and Label, as Kaggle expects"},
        DATA_OPTIONS(words.data),
        {"json", OPTION_FLAG, &words.json, NULL, "JSON instead of text, one object per sample"},
        {"from", OPTION_TEXT, &from, "TARGET",
         "MODEL is a registered model's name: local, azure or mlflow"},
        {"version", OPTION_TEXT, &version, "V", "the registered model's version (the latest)"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_predict, registry_cli_options(&place, NULL, own), argc, argv,
                           &arguments);
    if (status != CLI_GO_ON) return status;

    struct predict_answer answer = {0};
    struct dataset_options data = {0};
    struct error error;
    const struct engine_ops *ops;
    const char *model = arguments.words[0];
    char *pulled = NULL;
    if (engine_need(words.engine, &ops, &error) ||
        (from && registry_cli_find(&place, from, model, version, words.json, &pulled, &error)) ||
        open_model(pulled ? pulled : model, &words, &answer.predictor, &data, &error)) {
        status = cli_fail(&error);
    } else if (is_table(arguments.words[1])) {
        const struct predict_table table = {.predictor = &answer.predictor,
                                            .ops = ops,
                                            .threads = words.threads,
                                            .data = data,
                                            .path = arguments.words[1],
                                            .out = words.out,
                                            .json = words.json,
                                            .submission = words.submission};
        status = predict_write_table(&table, &error) ? cli_fail(&error) : EXIT_OK;
    } else if (predict(arguments.words[1], &words, ops, &data, &answer, &error)) {
        status = cli_fail(&error);
    } else {
        if (words.json)
            print_json(&answer);
        else
            print_text(&answer);
        status = EXIT_OK;
    }
    free(pulled);
    free(answer.pixels);
    free(answer.probabilities);
    predictor_close(&answer.predictor);
    return status;
}

const struct command command_predict = {
    .name = "predict",
    .run = run,
    .summary = "classify a picture, or every sample of a folder or CSV file",
    .usage = "MODEL IMAGE|FOLDER|FILE.csv [--out FILE] [--from "
             "local|azure|mlflow] [--version V] [--json]",
    .details =
        "A picture (PNG, JPEG, BMP, GIF) may be of any size, dark on light or light on dark: it is "
        "brought into the form of the model's training data.\nA folder or a CSV file gives a table "
        "in CSV: id, class, and the probability of every class.\nWith --from, MODEL is the name of "
        "a registered model: its file is downloaded once and its hash checked.",
    .arguments_min = 2,
    .arguments_max = 2,
};
