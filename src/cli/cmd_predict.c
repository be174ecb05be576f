/* nnstudio predict: which class a picture shows. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/draw.h"
#include "cli/model_words.h"
#include "cli/registry_cli.h"
#include "data/picture.h"
#include "run/job.h"
#include "train/predictor.h"

struct predict_words {
    const char *engine;
    struct model_words model;
    uint32_t threads;
    bool json;
};

/* A picture as the network sees it, and what it says. */
struct answer {
    struct predictor predictor;
    uint8_t *pixels;       /* owned */
    double *probabilities; /* owned */
    uint32_t best;
};

static int predict(const char *path, const char *image, const struct predict_words *words,
                   const struct engine_ops *ops, struct answer *answer, struct error *error)
{
    struct modelfile_options options = {0};
    if (model_words_use(&words->model, &options, error)) return -1;
    uint32_t threads = words->threads ? words->threads : ops->default_threads();
    if (predictor_open(path, &options, ops, threads, &answer->predictor, error) ||
        model_words_check(&options, path, answer->predictor.model, error))
        return -1;
    const struct network *network = &answer->predictor.model->network;
    answer->pixels = malloc(answer->predictor.inputs);
    answer->probabilities = malloc(sizeof *answer->probabilities * answer->predictor.classes);
    if (!answer->pixels || !answer->probabilities) return error_set_memory(error, "the picture");
    if (picture_read_input(image, network->rows, network->columns, answer->pixels, error))
        return -1;
    return predictor_predict(&answer->predictor, answer->pixels, answer->probabilities,
                             &answer->best, error);
}

/* The file of a registered version: downloaded once, its hash checked. malloc'd. */
static int find_registered(const char *from, const char *name, const char *version,
                           const struct registry_cli *place, bool as_json, char **path,
                           struct error *error)
{
    const struct registry_target *target;
    struct registry_options where;
    char *home = NULL;
    int status = registry_target_need(from, &target, error) ||
                         registry_cli_use(place, target, as_json, &where, &home, error) ||
                         registry_cached(target, &where, name, version, path, NULL, error)
                     ? -1
                     : 0;
    free(home);
    return status;
}

static void print_json(const struct answer *answer)
{
    json_t *probabilities = json_array();
    for (uint32_t c = 0; c < answer->predictor.classes; c++)
        json_array_append_new(probabilities, json_real(answer->probabilities[c]));
    const struct model *model = answer->predictor.model;
    cli_print_json(json_pack("{s:I, s:o, s:o}", "class", (json_int_t)answer->best, "probabilities",
                             probabilities, "assumed",
                             model->assumed ? json_incref(model->assumed) : json_array()));
}

static void print_text(const struct answer *answer)
{
    bool utf8 = draw_takes_utf8();
    printf("class %u\n", answer->best);
    for (uint32_t c = 0; c < answer->predictor.classes; c++) {
        printf("%3u %6.2f%% ", c, 100 * answer->probabilities[c]);
        for (int i = 0; i < (int)(answer->probabilities[c] * 40 + 0.5); i++)
            fputs(utf8 ? "█" : "#", stdout);
        putchar('\n');
    }
    model_words_print_assumed(answer->predictor.model);
}

static int run(int argc, char **argv)
{
    struct predict_words words = {.engine = engine_default->id};
    struct registry_cli place = {0};
    const char *from = NULL, *version = NULL;
    const struct cli_option own[] = {
        {"engine", OPTION_TEXT, &words.engine, "ENGINE", "torch, tensorflow or native (native)"},
        MODEL_OPTIONS(words.model),
        {"threads", OPTION_U32, &words.threads, "N",
         "threads of the engine (what is usually fastest)"},
        {"json", OPTION_FLAG, &words.json, NULL, "one JSON object instead of text"},
        {"from", OPTION_TEXT, &from, "TARGET",
         "MODEL is a registered model's name: local, azure or mlflow"},
        {"version", OPTION_TEXT, &version, "V", "of the registered model (the latest)"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_predict, registry_cli_options(&place, own), argc, argv,
                           &arguments);
    if (status != CLI_GO_ON) return status;

    struct answer answer = {0};
    struct error error;
    const struct engine_ops *ops;
    const char *model = arguments.words[0];
    char *pulled = NULL;
    if (engine_need(words.engine, &ops, &error) ||
        (from && find_registered(from, model, version, &place, words.json, &pulled, &error)) ||
        predict(pulled ? pulled : model, arguments.words[1], &words, ops, &answer, &error)) {
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
    .summary = "tell which class a PNG shows",
    .usage = "MODEL IMAGE.png [--engine native] [--from local|azure|mlflow] [--version V] [--json]",
    .details = "The picture may be of any size, dark on light or light on dark: it is brought into "
               "the form of the training data.\n"
               "With --from, MODEL is the name of a registered model: its file is downloaded once "
               "and its hash checked.",
    .arguments_min = 2,
    .arguments_max = 2,
};
