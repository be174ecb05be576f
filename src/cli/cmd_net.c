/* nnstudio net: networks as text, their shapes and what they cost. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/network_words.h"
#include "modelfile/modelfile.h"
#include "net/compact.h"
#include "net/cost.h"

static int read_model(const char *path, struct network *network, struct error *error)
{
    struct model *model;
    if (modelfile_read(path, NULL, &model, error)) return -1;
    *network = model->network;
    model_destroy(model);
    return 0;
}

/* "1,199,882" */
static const char *with_commas(uint64_t number, char out[32])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number), used = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = 0;
    return out;
}

static void print_network(const struct network *network)
{
    struct network_cost cost;
    char shape[48], field[32];
    network_cost(network, &cost);
    const struct shape picture = shape_maps(network->channels, network->rows, network->columns);
    printf("%-10s %-13s %-11s %12s %12s %14s  %s\n", "layer", "type", "activation", "output",
           "parameters", "multiply-adds", "sees");
    printf("%-10s %-13s %-11s %12s\n", "input", "", "", shape_words(&picture, shape));
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        const struct layer_cost *one = &cost.layers[i];
        int wide = (int)strlen(shape_words(&layer->output, shape)), shown = 0;
        for (const char *c = shape; *c; c++) shown += (*c & 0xC0) != 0x80;
        snprintf(field, sizeof field, "%u×%u", one->receptive[0], one->receptive[1]);
        printf("%-10s %-13s %-11s %*s %12zu %14llu  %s\n", layer->name,
               layer_kind(layer->type)->name,
               layer->activation ? activation_name(layer->activation) : "", 12 + wide - shown,
               shape, one->parameters, (unsigned long long)one->multiply_adds, field);
    }
    char parameters[32], adds[32];
    printf("%s parameters, %s multiply-adds per sample; a training step over 32 samples takes at "
           "least %.1f MB (float32, SGD)\n",
           with_commas(cost.total.parameters, parameters),
           with_commas(cost.total.multiply_adds, adds),
           (double)network_training_bytes(network, 32, 0, 4) / 1e6);
}

static int list_presets(bool as_json)
{
    for (size_t i = 0; i < preset_count; i++) {
        const struct preset *preset = &preset_table[i];
        if (as_json)
            cli_print_json(json_pack("{s:s, s:s, s:s, s:s}", "name", preset->name, "title",
                                     preset->title, "about", preset->about, "layers",
                                     preset->layers));
        else
            printf("%-20s %s\n%-20s %s\n", preset->name, preset->about, "", preset->layers);
    }
    return EXIT_OK;
}

static int show(const char *spec, const char *input, bool as_json)
{
    struct network network;
    struct error error;
    int status;
    if (network_words_input(input, &network, &error)) return cli_fail(&error);
    if (network_words_are(spec))
        status = network_words_read(spec, &network, &error) || network_finish(&network, &error);
    else
        status = read_model(spec, &network, &error);
    if (status) return cli_fail(&error);
    if (as_json)
        cli_print_json(network_cost_to_json(&network));
    else
        print_network(&network);
    return EXIT_OK;
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    const char *input = "28x28";
    const struct cli_option options[] = {
        {"input", OPTION_TEXT, &input, "RxC[x3]", "the picture's rows and columns; x3 for color"},
        {"json", OPTION_FLAG, &as_json, NULL, "JSON instead of a table"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    int status = cli_parse(&command_net, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    if (strcmp(arguments.words[0], "list") == 0 && arguments.count == 1)
        return list_presets(as_json);
    if (strcmp(arguments.words[0], "show") == 0 && arguments.count == 2)
        return show(arguments.words[1], input, as_json);
    error_set(&error, ERROR_USAGE,
              "say what to do: `nnstudio net show SPEC` for a network, `nnstudio net list` for the "
              "presets");
    return cli_fail(&error);
}

const struct command command_net = {
    .name = "net",
    .run = run,
    .summary = "show a network's layers, shapes and cost; list the presets",
    .usage = "show SPEC|PRESET|FILE.json|MODEL [--input 28x28] [--json] | list",
    .details =
        "SPEC is a network as text, one layer per comma:\n  conv 32 3x3 relu, maxpool 2, "
        "flatten, dropout 0.5, dense 10\nLayers: dense N, conv N KxK, depthwise KxK, "
        "maxpool N, avgpool N, globalavgpool, flatten, batchnorm, layernorm, dropout RATE, "
        "rescale, normalize, and activations (relu, gelu, …).\nWords behind a layer: same, "
        "stride N, dilation N, groups N, pad T B L R, nobias, and of what has a kernel l1 X, "
        "l2 X: X times the sum of its weights' sizes or squares is added to the loss, as "
        "Keras's kernel_regularizer does; every loss that is shown has it in it.",
    .arguments_min = 1,
    .arguments_max = 2,
};
