#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "modelfile/keras_layers.h"

static const char *name_of(const json_t *config)
{
    return js_text(config, "name");
}

static int refuse_padder(const struct keras_chain *chain, struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" is a ZeroPadding2D with no convolution behind it: the "
                     "studio knows padding of convolutions",
                     chain->padder);
}

int keras_take_layer(const json_t *layer, const char *owner, struct keras_chain *chain,
                     struct error *error)
{
    const json_t *config = json_object_get(layer, "config");
    const char *class_name = js_text(layer, "class_name");
    const struct keras_row *row = keras_row_find(class_name);
    const char *padder = chain->padder;
    size_t before = chain->count;
    if (!row)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" is a %.40s: the studio does not know this layer",
                         name_of(config), *class_name ? class_name : "thing without a class");
    if ((row->take != keras_take_model && keras_check_settings(row, config, error)) ||
        row->take(row, config, chain, error))
        return -1;
    if (padder && chain->padder && row->take != keras_take_model &&
        strcmp(class_name, "InputLayer") != 0)
        return refuse_padder(chain, error);
    if (row->take != keras_take_model) keras_note_regularizers(row, config, chain);
    for (size_t i = before; i < chain->count; i++)
        if (owner) chain->layers[i].owner = owner;
    return 0;
}

/* --- models ----------------------------------------------------------------------------------- */

/* The one layer that a functional model's layer takes its input from, or NULL. Keras 3:
 * [{"args":[{"config":{"keras_history":["flatten",0,0]}}],"kwargs":{}}]; Keras 2:
 * [[["flatten",0,0,{}]]]. */
static const char *inbound_layer(const json_t *layer)
{
    const json_t *nodes = json_object_get(layer, "inbound_nodes"), *node = json_array_get(nodes, 0);
    const json_t *history;
    if (json_array_size(nodes) != 1) return NULL;
    if (json_is_object(node)) {
        const json_t *arguments = json_object_get(node, "args");
        if (json_array_size(arguments) != 1) return NULL;
        history = json_object_get(json_object_get(json_array_get(arguments, 0), "config"),
                                  "keras_history");
    } else {
        if (json_array_size(node) != 1) return NULL;
        history = json_array_get(node, 0);
    }
    return json_string_value(json_array_get(history, 0));
}

static const char *layer_name(const json_t *layer)
{
    const char *name = json_string_value(json_object_get(layer, "name"));
    return name ? name : name_of(json_object_get(layer, "config"));
}

/* "output_layers" is [["mid",0,0],…] or, with one output in Keras 3, ["mid",0,0]. The one output
 * must be what the last * layer gives. */
static int check_output(const json_t *outputs, const char *last, struct error *error)
{
    const json_t *first = json_array_get(outputs, 0);
    bool flat = json_is_string(first);
    if (!json_is_array(outputs)) return 0; /* not said: the last layer it is */
    if (!flat && json_array_size(outputs) != 1) {
        const char *second = json_string_value(json_array_get(json_array_get(outputs, 1), 0));
        return error_set(error, ERROR_INPUT,
                         "it has %zu outputs (\"%.60s\", \"%.60s\" …): the studio reads models "
                         "with one: save one that ends in the class scores",
                         json_array_size(outputs),
                         json_is_array(first) ? json_string_value(json_array_get(first, 0)) : "?",
                         second ? second : "?");
    }
    const char *name = flat ? json_string_value(first)
                            : json_string_value(json_array_get(first, 0));
    if (name && last && strcmp(name, last) == 0) return 0;
    return error_set(error, ERROR_INPUT,
                     "its output is the layer \"%.80s\", which is not the last one: the studio "
                     "reads plain chains of layers",
                     name ? name : "?");
}

/* Functional models list their layers in order of depth, so a plain chain is one where each follows
 * the one before. */
static int check_chain(const json_t *layers, const json_t *outputs, struct error *error)
{
    size_t index;
    json_t *layer;
    const char *before = NULL;
    json_array_foreach(layers, index, layer) {
        const char *from = inbound_layer(layer), *name = layer_name(layer);
        bool first = index == 0 && json_array_size(json_object_get(layer, "inbound_nodes")) == 0;
        if (!first && (!from || !before || strcmp(from, before) != 0))
            return error_set(
                error, ERROR_INPUT,
                "the layer \"%.80s\" does not simply follow the one before it: the studio reads "
                "plain chains of layers",
                name);
        before = name;
    }
    return check_output(outputs, before, error);
}

/* How many layers of this class stand before `index`: Keras numbers their groups so. */
static uint32_t same_class_before(const json_t *layers, size_t index)
{
    const char *class_name = js_text(json_array_get(layers, index), "class_name");
    uint32_t count = 0;
    for (size_t i = 0; i < index; i++)
        if (strcmp(js_text(json_array_get(layers, i), "class_name"), class_name) == 0) count++;
    return count;
}

/* Puts "layers/GROUP/" before the paths of what one layer brought. */
static void set_paths(struct keras_chain *chain, size_t from, const char *group)
{
    for (size_t i = from; i < chain->count; i++) {
        char below[KERAS_MAX_PATH];
        memcpy(below, chain->layers[i].path, sizeof below);
        snprintf(chain->layers[i].path, KERAS_MAX_PATH, "layers/%.60s%s%.520s", group,
                 *below ? "/" : "", below);
    }
}

int keras_take_model(const struct keras_row *row, const json_t *config, struct keras_chain *chain,
                     struct error *error)
{
    size_t index;
    json_t *layer;
    /* The first Keras 2 versions had the list itself as Sequential's configuration. */
    const json_t *layers = json_is_array(config) ? config : json_object_get(config, "layers");
    if (!json_is_array(layers))
        return error_set(error, ERROR_INPUT,
                         "its configuration lists no layers: the file is damaged");
    if (chain->depth++ >= KERAS_DEPTH_MAX)
        return error_set(error, ERROR_INPUT, "its models are nested deeper than %d",
                         KERAS_DEPTH_MAX);
    if (strcmp(row->class_name, "Sequential") != 0 &&
        check_chain(layers, json_object_get(config, "output_layers"), error))
        return -1;
    json_array_foreach(layers, index, layer) {
        char group[64];
        size_t before = chain->count;
        const char *owner = chain->depth == 1 ? layer_name(layer) : NULL;
        if (keras_take_layer(layer, owner, chain, error)) return -1;
        keras_group_name(js_text(layer, "class_name"), same_class_before(layers, index), group);
        set_paths(chain, before, group);
    }
    chain->depth--;
    return 0;
}

/* A sigmoid at the end grows with its logit, so the class found is the same; other activations
 * there cannot be * taken off. */
static void take_off_sigmoid(struct keras_chain *chain)
{
    struct layer *last = &chain->layers[chain->count - 1].source.layer;
    if (last->activation != ACTIVATION_SIGMOID || chain->taken_off) return;
    chain->taken_off = "sigmoid";
    last->activation = ACTIVATION_NONE;
    if (last->type == LAYER_ACTIVATION) chain->count--;
}

int keras_chain_read(const json_t *config, struct keras_chain *out, struct error *error)
{
    const char *class_name = js_text(config, "class_name");
    const struct keras_row *row = keras_row_find(class_name);
    *out = (struct keras_chain){0};
    if (!row || row->take != keras_take_model)
        return error_set(error, ERROR_INPUT,
                         "it is a %.60s: the studio reads Sequential and functional models",
                         *class_name ? class_name : "model without a class");
    if (keras_take_model(row, json_object_get(config, "config"), out, error)) return -1;
    if (out->padder) return refuse_padder(out, error);
    if (out->count) take_off_sigmoid(out);
    return out->count ? 0
                      : error_set(error, ERROR_INPUT,
                                  "it has no dense layer: give a file with trained weights");
}
