/* nnstudio inspect: what a model file holds. */
#include <stdio.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/model_words.h"
#include "modelfile/modelfile.h"

static void print_model(const char *path, const struct model *model)
{
    const struct network *network = &model->network;
    const char *key;
    char input[48], output[48];
    json_t *value;
    printf("%s: %s, %s\n", text_shown(path), modelfile_format_find(model->format)->title,
           dtype_name(model->parameters->dtype));
    printf("%-13s %-8s %10s %10s %12s  %s\n", "layer", "name", "input", "output", "parameters",
           "activation");
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        printf("%-13s %-8s %10s %10s %12zu  %s\n", layer_kind(layer->type)->name, layer->name,
               shape_words(&layer->input, input), shape_words(&layer->output, output),
               layer_parameters(layer), activation_name(layer->activation));
    }
    printf("input %u x %u, %zu parameters\n", network->rows, network->columns,
           network_parameter_count(network));
    model_words_print_assumed(model);
    json_object_foreach(model->metadata, key, value) {
        printf("%s: %s\n", text_shown(key), text_shown(json_string_value(value)));
    }
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    struct model_words words = {0};
    const struct cli_option options[] = {
        MODEL_OPTIONS(words),
        {"json", OPTION_FLAG, &as_json, NULL, "one JSON object instead of text"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    struct model *model;
    int status = cli_parse(&command_inspect, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    if (model_words_read(&words, arguments.words[0], &model, &error)) return cli_fail(&error);
    if (as_json)
        cli_print_json(model_describe_json(model));
    else
        print_model(arguments.words[0], model);
    model_destroy(model);
    return EXIT_OK;
}

const struct command command_inspect = {
    .name = "inspect",
    .run = run,
    .summary = "show a model file's layers, shapes, parameter counts and dtype",
    .usage = "MODEL [--activation NAME,...] [--order A,B,C] [--key NAME] [--json]",
    .details =
        "MODEL is a .pth, .h5, .keras, .safetensors or .onnx file. Nothing in it is ever run.",
    .arguments_min = 1,
    .arguments_max = 1,
};
