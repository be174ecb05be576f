#include "cli/model_words.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/network_words.h"

/* --net and --input. */
static int use_network(const struct model_words *words, struct modelfile_options *out,
                       struct error *error)
{
    if (!words->net && words->input)
        return error_set(error, ERROR_USAGE,
                         "--input says the picture of --net: leave it out, or give both");
    if (!words->net) return 0;
    if (words->activation)
        return error_set(error, ERROR_USAGE,
                         "--net says the activations, too: leave --activation out");
    if ((!words->input || !network_words_input(words->input, &out->network, error)) &&
        !network_words_read(words->net, &out->network, error))
        return 0;
    error->code = ERROR_USAGE;
    return -1;
}

int model_words_use(const struct model_words *words, struct modelfile_options *out,
                    struct error *error)
{
    out->order = words->order;
    out->key = words->key;
    if (use_network(words, out, error)) return -1;
    for (const char *word = words->activation; word; word = strchr(word, ',')) {
        char name[40];
        if (*word == ',') word++;
        size_t length = strcspn(word, ",");
        if (out->activation_count == NETWORK_MAX_LAYERS)
            return error_set(error, ERROR_USAGE, "--activation names more than %d activations",
                             NETWORK_MAX_LAYERS);
        snprintf(name, sizeof name, "%.*s", (int)(length < 39 ? length : 39), word);
        if (activation_parse(name, &out->activations[out->activation_count++], error)) {
            error->code = ERROR_USAGE;
            return -1;
        }
    }
    return 0;
}

/* A file that knows its layers itself must have been told the same. */
static int check_network(const struct network *told, const char *path,
                         const struct network *network, struct error *error)
{
    struct network finished = *told;
    struct error unused;
    if (!finished.rows) {
        finished.rows = network->rows;
        finished.columns = network->columns;
        finished.channels = network->channels;
    }
    if (!network_finish(&finished, &unused) && network_alike(&finished, network)) return 0;
    return error_set(error, ERROR_USAGE,
                     "%s itself says its layers, and they are not those of --net: leave --net out",
                     path);
}

int model_words_check(const struct modelfile_options *told, const char *path,
                      const struct model *model, struct error *error)
{
    const struct network *network = &model->network;
    if (told->network.layer_count && check_network(&told->network, path, network, error)) return -1;
    for (uint32_t i = 0, n = 0; told->activation_count && i + 1 < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        if (layer->type != LAYER_DENSE && layer->type != LAYER_CONV2D) continue;
        uint32_t place = told->activation_count > 1 ? n++ : 0;
        if (place < told->activation_count && layer->activation == told->activations[place])
            continue;
        return error_set(error, ERROR_USAGE,
                         "%s itself says that layer %u has %s: leave --activation out", path, i + 1,
                         activation_name(layer->activation));
    }
    return 0;
}

int model_words_read(const struct model_words *words, const char *path, struct model **out,
                     struct error *error)
{
    struct modelfile_options told = {0};
    if (model_words_use(words, &told, error) || modelfile_read(path, &told, out, error)) return -1;
    if (!model_words_check(&told, path, *out, error)) return 0;
    model_destroy(*out);
    return -1;
}

void model_words_print_assumed(const struct model *model)
{
    size_t index;
    json_t *text;
    json_array_foreach(model->assumed, index, text)
        printf("assumed   %s\n", text_shown(json_string_value(text)));
    if (!model_activation_known(model))
        puts("          (the file does not say: set it with --activation)");
}
