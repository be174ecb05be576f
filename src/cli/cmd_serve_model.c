/* nnstudio serve-model: a model behind HTTP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "cli/cli.h"
#include "cli/model_words.h"
#include "cli/registry_cli.h"
#include "cli/token_words.h"
#include "serving/model_server.h"
#include "serving/scorer.h"

#define NAME_SIZE 101

struct serving_words {
    uint32_t port, threads, samples_max, queue_max;
    const char *host, *engine, *name, *from, *version;
    struct token_words token;
    struct model_words model;
};

/* The file's own name, without its ending. */
static void name_of_file(const char *path, char out[NAME_SIZE])
{
    const char *base = path_base(path), *dot = strrchr(base, '.');
    size_t length = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    snprintf(out, NAME_SIZE, "%.*s", (int)(length < NAME_SIZE ? length : NAME_SIZE - 1), base);
    for (char *c = out; *c; c++)
        if (!strchr("._-", *c) && !((*c | 32) >= 'a' && (*c | 32) <= 'z') &&
            !(*c >= '0' && *c <= '9'))
            *c = '_';
}

static int check_name(const char *name, struct error *error)
{
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (*name && !name[good] && strlen(name) < NAME_SIZE) return 0;
    return error_set(error, ERROR_USAGE,
                     "--name \"%.40s\" cannot stand in an address: give 1 to %d letters, digits, "
                     "'.', '_' or '-'",
                     name, NAME_SIZE - 1);
}

static int check_range(const char *option, uint32_t value, uint32_t high, struct error *error)
{
    if (value >= 1 && value <= high) return 0;
    return error_set(error, ERROR_USAGE, "--%s %u is out of range: give 1 to %u", option, value,
                     high);
}

static void on_ready(void *context, const char *address, const char *token)
{
    const struct model_server_options *options = context;
    printf("Serving %s at %s\n", options->name, address);
    printf("  score     POST %sinvocations   (MLflow's protocol, CSV, or a picture)\n", address);
    printf("            POST %sv2/models/%s/infer\n", address, options->name);
    printf("  look      GET  %smetadata, %smetrics, %sping\n", address, address, address);
    if (token) printf("  token     Authorization: Bearer %s\n", token);
    fflush(stdout);
}

static int check(const struct serving_words *words, const struct engine_ops *ops,
                 struct error *error)
{
    if (words->port > 65535)
        return error_set(error, ERROR_USAGE, "--port %u is out of range: give 0 to 65535",
                         words->port);
    if (!ops->infer)
        return error_set(error, ERROR_USAGE,
                         "%s takes pictures of bytes alone, and requests hold numbers: serve with "
                         "--engine %s",
                         ops->title, engine_default->id);
    return check_range("threads", words->threads, SCORER_THREADS_MAX, error) ||
                   check_range("max-samples", words->samples_max, 1 << 16, error) ||
                   check_range("max-queue", words->queue_max, 1 << 16, error) ||
                   (words->name && check_name(words->name, error))
               ? -1
               : 0;
}

static int serve_file(const char *path, const char *name, struct serving_words *words,
                      const struct engine_ops *ops, struct error *error)
{
    struct predictor predictor = {0};
    struct modelfile_options told = {0};
    const char *token;
    int status = -1;
    if (!token_words_use(&words->token, &token, error) &&
        !model_words_use(&words->model, &told, error) &&
        !predictor_read(path, &told, &predictor, error) &&
        !model_words_check(&told, path, predictor.model, error) &&
        !engine_check_network(ops, &predictor.model->network, error)) {
        struct model_server_options options = {.host = words->host,
                                               .port = (uint16_t)words->port,
                                               .token = token,
                                               .name = name,
                                               .path = path,
                                               .predictor = &predictor,
                                               .ops = ops,
                                               .threads = words->threads,
                                               .samples_max = words->samples_max,
                                               .queue_max = words->queue_max,
                                               .on_ready = on_ready};
        options.context = &options;
        model_words_print_assumed(predictor.model);
        status = model_server_run(&options, error);
    }
    predictor_close(&predictor);
    token_words_free(&words->token);
    return status;
}

static uint32_t usual_threads(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > 4 ? 4 : (uint32_t)count;
}

static int run(int argc, char **argv)
{
    struct serving_words words = {.port = 8502,
                                  .threads = usual_threads(),
                                  .samples_max = 1024,
                                  .queue_max = 1024,
                                  .host = "127.0.0.1",
                                  .engine = engine_default->id};
    struct registry_cli place = {0};
    const struct cli_option own[] = {
        {"host", OPTION_TEXT, &words.host, "ADDRESS",
         "the address to listen on (127.0.0.1); other machines need a token"},
        {"port", OPTION_U32, &words.port, "N", "the port (8502); 0: any free one"},
        {"name", OPTION_TEXT, &words.name, "NAME",
         "the model's name in addresses (the file's name)"},
        CLI_ENGINE(&words.engine),
        {"threads", OPTION_U32, &words.threads, "N",
         "requests computed at once (number of processors, at most 4)"},
        {"max-samples", OPTION_U32, &words.samples_max, "N", "samples per request (1024)"},
        {"max-queue", OPTION_U32, &words.queue_max, "N", "waiting requests (1024)"},
        TOKEN_OPTIONS(words.token),
        MODEL_OPTIONS(words.model),
        {"from", OPTION_TEXT, &words.from, "TARGET",
         "MODEL is a registered model's name: local, azure or mlflow"},
        {"version", OPTION_TEXT, &words.version, "V",
         "the registered model's version (the latest)"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_serve_model, registry_cli_options(&place, NULL, own), argc,
                           argv, &arguments);
    if (status != CLI_GO_ON) return status;
    struct error error;
    const struct engine_ops *ops;
    const char *model = arguments.words[0];
    char *pulled = NULL, name[NAME_SIZE];
    name_of_file(model, name);
    if (engine_need(words.engine, &ops, &error) || check(&words, ops, &error) ||
        (words.from &&
         registry_cli_find(&place, words.from, model, words.version, false, &pulled, &error)) ||
        serve_file(pulled ? pulled : model, words.name ? words.name : name, &words, ops, &error))
        status = cli_fail(&error);
    else
        status = EXIT_OK;
    free(pulled);
    return status;
}

const struct command command_serve_model = {
    .name = "serve-model",
    .run = run,
    .summary = "serve a model for other programs: MLflow's scoring protocol, Open Inference v2",
    .usage = "MODEL [--port 8502] [--host ADDRESS] [--name NAME] [--from local|azure|mlflow]",
    .details = "POST /invocations takes what MLflow's own server takes: JSON (inputs, instances, "
               "dataframe_split, dataframe_records) and CSV with a header; a PNG, JPEG, BMP or GIF "
               "as the body is brought into the form of the model's training data. The answer is "
               "{\"predictions\": [[the logits], ...]}.\nNumbers are what the network receives "
               "(for MNIST: 0 to 1). Bytes 0 to 255 are sent as UINT8 to POST "
               "/v2/models/NAME/infer, which also gives probabilities and classes.\nGET /metrics "
               "is for Prometheus. Ctrl-C or SIGTERM answers pending requests, then ends.",
    .arguments_min = 1,
    .arguments_max = 1,
};
