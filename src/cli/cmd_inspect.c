/* nnstudio inspect: what a model file holds. */
#include <stdio.h>

#include "base/text.h"
#include "cli/cli.h"
#include "modelfile/modelfile.h"

static void print_model(const char *path, const struct model *model)
{
    const struct network *network = &model->network;
    const char *key;
    json_t *value;
    printf("%s: %s, %s\n", text_shown(path), modelfile_format_find(model->format)->title,
           dtype_name(model->parameters->dtype));
    printf("%-8s %8s %8s %12s  %s\n", "layer", "inputs", "outputs", "parameters", "activation");
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        printf("dense %-2u %8u %8u %12zu  %s\n", i + 1, layer->inputs, layer->outputs,
               ((size_t)layer->inputs + 1) * layer->outputs, activation_name(layer->activation));
    }
    printf("input %u x %u, %zu parameters\n", network->rows, network->columns,
           network_parameter_count(network));
    if (!model->activation_known)
        puts("a state dict knows no activations: relu is taken, unless told with convert "
             "--activation");
    json_object_foreach(model->metadata, key, value) {
        printf("%s: %s\n", text_shown(key), text_shown(json_string_value(value)));
    }
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        {"json", OPTION_FLAG, &as_json, NULL, "one JSON object instead of text"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    struct model *model;
    int status = cli_parse(&command_inspect, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    if (modelfile_read(arguments.words[0], NULL, &model, &error)) return cli_fail(&error);
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
    .usage = "MODEL [--json]",
    .details =
        "MODEL is a .pth, .h5, .safetensors or .onnx file. Nothing that is in it is ever run.",
    .arguments_min = 1,
    .arguments_max = 1,
};
