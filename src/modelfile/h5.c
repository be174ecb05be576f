/* Reading .h5: whole Keras models (attribute model_config, weights under model_weights/), Keras 2's
 * save_weights (attribute layer_names at the root) and Keras 3's .weights.h5 (groups .../vars with
 * data sets 0, 1). keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py
 * are the formats' source. */
#include "modelfile/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/assemble.h"
#include "modelfile/formats.h"
#include "modelfile/h5_file.h"
#include "modelfile/keras_config.h"

#define NAME_MAX_HERE 128
#define NONE          SIZE_MAX

/* All tensors of a file and which of them are whose. Sources name tensors by index until all are
 * read, as the state dict moves while it grows. */
struct h5_reading {
    hid_t file;
    struct state_dict state;
    struct keras_chain chain;
    struct network told; /* of a file of weights alone; no layers when nobody says */
    size_t count;
    struct layer_source sources[NETWORK_MAX_LAYERS];
    size_t tensors[NETWORK_MAX_LAYERS][ROLE_COUNT];
    char names[NETWORK_MAX_LAYERS][NAME_MAX_HERE]; /* of layers whose configuration is not there */
};

static int add_tensor(struct h5_reading *reading, size_t layer, enum tensor_role role, hid_t group,
                      const char *path, const char *stem, const char *what, struct error *error)
{
    char name[STATE_DICT_MAX_NAME];
    snprintf(name, sizeof name, "%.400s/%.60s", stem, what);
    reading->tensors[layer][role] = reading->state.count;
    return h5_dataset(group, path, name, &reading->state, error);
}

static int add_layer(struct h5_reading *reading, const struct layer_source *source,
                     struct error *error)
{
    if (reading->count == NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT,
                         "it has more than %d layers with weights: the studio takes no more",
                         NETWORK_MAX_LAYERS);
    for (int role = 0; role < ROLE_COUNT; role++) reading->tensors[reading->count][role] = NONE;
    reading->sources[reading->count++] = *source;
    return 0;
}

/* A dense layer of a file that holds weights alone. */
static int add_dense(struct h5_reading *reading, hid_t group, const char *kernel, const char *bias,
                     const char *stem, struct error *error)
{
    struct layer_source source = {.axes = AXES_KERAS};
    layer_init(&source.layer, LAYER_DENSE);
    if (add_layer(reading, &source, error)) return -1;
    size_t index = reading->count - 1;
    snprintf(reading->names[index], NAME_MAX_HERE, "%.120s", stem);
    reading->sources[index].name = reading->names[index];
    if (add_tensor(reading, index, ROLE_WEIGHT, group, kernel, stem, "kernel", error)) return -1;
    return bias ? add_tensor(reading, index, ROLE_BIAS, group, bias, stem, "bias", error) : 0;
}

/* "…/kernel", "…/kernel:0" or "kernel" is a kernel. */
static bool is_called(const char *name, const char *kind)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    static const char depthwise[] = "depthwise_"; /* what Keras 2 has before DepthwiseConv2D's */
    if (strncmp(last, depthwise, sizeof depthwise - 1) == 0) last += sizeof depthwise - 1;
    size_t length = strlen(kind);
    return strncmp(last, kind, length) == 0 && (!last[length] || last[length] == ':');
}

static int open_layer(hid_t weights, const char *layer, hid_t *group, struct error *error)
{
    if (h5_group(weights, layer, group, error)) return -1;
    if (*group < 0)
        return error_set(error, ERROR_INPUT,
                         "the weights of the layer \"%.80s\" are missing: the file is damaged",
                         layer);
    return 0;
}

static int refuse_weight(const char *layer, const char *weight, struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the layer \"%.80s\" has the weight \"%.80s\", which the studio does not know",
                     layer, weight);
}

/* One layer in Keras 2's form: a group named as the layer, whose attribute weight_names lists data
 * sets below it. */
static int read_named_layer(struct h5_reading *reading, hid_t weights, const char *layer,
                            struct error *error)
{
    int status = -1;
    hid_t group;
    bool found;
    const char *kernel = NULL, *bias = NULL;
    struct h5_names names = {0};
    if (open_layer(weights, layer, &group, error)) return -1;
    if (h5_attribute_names(group, "weight_names", &names, &found, error)) goto out;
    for (size_t i = 0; i < names.count; i++) {
        const char **place = is_called(names.items[i], "kernel") ? &kernel
                             : is_called(names.items[i], "bias") ? &bias
                                                                 : NULL;
        if (!place || *place) {
            refuse_weight(layer, names.items[i], error);
            goto out;
        }
        *place = names.items[i];
    }
    if (names.count && !kernel) {
        error_set(error, ERROR_INPUT, "the layer \"%.80s\" has no kernel: the file is damaged",
                  layer);
        goto out;
    }
    status = kernel ? add_dense(reading, group, kernel, bias, layer, error) : 0;
out:
    h5_names_free(&names);
    H5Gclose(group);
    return status;
}

/* --- with a configuration --------------------------------------------------------------------- */

/* The first name of this kind that is not taken yet; takes it (its text becomes empty). */
static int take_name(struct h5_reading *reading, hid_t group, struct h5_names *names, size_t index,
                     const struct keras_weight *weight, struct error *error)
{
    const char *layer = reading->sources[index].name;
    size_t i = 0;
    while (i < names->count && !(*names->items[i] && is_called(names->items[i], weight->name))) i++;
    for (size_t other = 0; i == names->count && other < names->count; other++)
        if (*names->items[other]) return refuse_weight(layer, names->items[other], error);
    if (i == names->count)
        return error_set(error, ERROR_INPUT,
                         "the layer \"%.80s\" has no %s, which its configuration and the weights "
                         "do not agree on: the file is damaged",
                         layer, weight->name);
    if (weight->role != KERAS_ROLE_UNUSED &&
        add_tensor(reading, index, weight->role, group, names->items[i], layer, weight->name,
                   error))
        return -1;
    *names->items[i] = '\0';
    return 0;
}

/* The weights of the outermost model's layer `owner`, which may be a model of several layers. */
static int read_owner(struct h5_reading *reading, hid_t weights, const char *owner,
                      struct error *error)
{
    struct keras_chain *chain = &reading->chain;
    struct h5_names names = {0};
    hid_t group;
    bool found;
    int status = 0;
    if (!*owner || strchr(owner, '/'))
        return error_set(error, ERROR_INPUT, "a layer's name is \"%.80s\": rename it", owner);
    if (open_layer(weights, owner, &group, error)) return -1;
    if (h5_attribute_names(group, "weight_names", &names, &found, error)) status = -1;
    for (size_t i = 0; !status && i < chain->count; i++)
        for (uint32_t w = 0;
             !status && chain->layers[i].owner && strcmp(chain->layers[i].owner, owner) == 0 &&
             w < chain->layers[i].weight_count;
             w++)
            status = take_name(reading, group, &names, i, &chain->layers[i].weights[w], error);
    for (size_t i = 0; !status && i < names.count; i++)
        if (*names.items[i]) status = refuse_weight(owner, names.items[i], error);
    h5_names_free(&names);
    H5Gclose(group);
    return status;
}

/* Whether the owner's weights were read with a layer before `index`. */
static bool is_read(const struct keras_chain *chain, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (chain->layers[i].weight_count && chain->layers[i].owner &&
            strcmp(chain->layers[i].owner, chain->layers[index].owner) == 0)
            return true;
    return false;
}

/* Keras's own .h5: the weights lie under the names of the outermost model's layers. */
static int read_by_name(struct h5_reading *reading, struct error *error)
{
    const struct keras_chain *chain = &reading->chain;
    int status = 0;
    hid_t weights;
    if (h5_group(reading->file, "model_weights", &weights, error)) return -1;
    if (weights < 0)
        return error_set(
            error, ERROR_INPUT,
            "it holds a configuration but no weights: save it with model.save(\"model.h5\")");
    for (size_t i = 0; !status && i < chain->count; i++) {
        const struct keras_layer *layer = &chain->layers[i];
        if (layer->weight_count && layer->owner && !is_read(chain, i))
            status = read_owner(reading, weights, layer->owner, error);
    }
    H5Gclose(weights);
    return status;
}

/* Keras 3's weights: data sets 0, 1, … in the group "vars" of the layer's path. */
static int read_by_path(struct h5_reading *reading, struct error *error)
{
    const struct keras_chain *chain = &reading->chain;
    int status = 0;
    for (size_t i = 0; !status && i < chain->count; i++) {
        const struct keras_layer *layer = &chain->layers[i];
        char path[KERAS_MAX_PATH + 8], number[16];
        hid_t group;
        if (!layer->weight_count) continue;
        snprintf(path, sizeof path, "%s/vars", layer->path);
        if (open_layer(reading->file, path, &group, error)) return -1;
        for (uint32_t w = 0; !status && w < layer->weight_count; w++) {
            if (layer->weights[w].role == KERAS_ROLE_UNUSED) continue;
            snprintf(number, sizeof number, "%u", w);
            status = add_tensor(reading, i, layer->weights[w].role, group, number,
                                layer->source.name, layer->weights[w].name, error);
        }
        H5Gclose(group);
    }
    return status;
}

/* Whether a dense layer's kernel is what the configuration announces. */
static int check_agreement(const struct h5_reading *reading, size_t i, bool first,
                           struct error *error)
{
    const struct keras_layer *layer = &reading->chain.layers[i];
    const struct named_tensor *kernel = &reading->state.tensors[reading->tensors[i][ROLE_WEIGHT]];
    bool agrees = kernel->rank == 2 && kernel->shape[1] == layer->source.layer.units &&
                  (!first || !reading->chain.inputs || kernel->shape[0] == reading->chain.inputs);
    return agrees ? 0
                  : error_set(error, ERROR_INPUT,
                              "the configuration and the weights of the layer \"%.80s\" do not "
                              "agree: the file is damaged",
                              layer->source.name);
}

/* Whether only layers come before `index` that leave the number of values as it is. */
static bool sees_input(const struct keras_chain *chain, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (chain->layers[i].weight_count || chain->layers[i].source.layer.kernel[0] != 1)
            return false;
    return true;
}

/* A dense layer behind a Normalization may have to take its means over: zeros where it has no
 * bias. */
static int give_bias(struct h5_reading *reading, struct error *error)
{
    bool normalized = false;
    for (size_t i = 0; i < reading->count; i++) {
        enum layer_type type = reading->sources[i].layer.type;
        struct named_tensor *bias;
        char name[STATE_DICT_MAX_NAME];
        if (type == LAYER_NORMALIZE && reading->tensors[i][ROLE_RUNNING_MEAN] != NONE)
            normalized = true;
        if (!normalized || type != LAYER_DENSE) continue;
        if (reading->tensors[i][ROLE_BIAS] != NONE) return 0;
        const struct named_tensor *kernel =
            &reading->state.tensors[reading->tensors[i][ROLE_WEIGHT]];
        snprintf(name, sizeof name, "%.400s/bias", reading->sources[i].name);
        reading->tensors[i][ROLE_BIAS] = reading->state.count;
        return state_dict_add(&reading->state, name, kernel->dtype, 1, &kernel->shape[1], &bias,
                              error);
    }
    return 0;
}

static int read_whole_model(struct h5_reading *reading, const json_t *config, bool by_path,
                            struct error *error)
{
    struct keras_chain *chain = &reading->chain;
    if (keras_chain_read(config, chain, error)) return -1;
    for (size_t i = 0; i < chain->count; i++)
        if (add_layer(reading, &chain->layers[i].source, error)) return -1;
    if (by_path ? read_by_path(reading, error) : read_by_name(reading, error)) return -1;
    for (size_t i = 0; i < chain->count; i++)
        if (chain->layers[i].source.layer.type == LAYER_DENSE &&
            check_agreement(reading, i, sees_input(chain, i), error))
            return -1;
    return give_bias(reading, error);
}

/* --- weights alone ---------------------------------------------------------------------------- */

/* What Keras keeps beside the layers. */
static bool is_beside(const char *name, int depth)
{
    static const char *const beside[] = {"optimizer", "metrics", "compile_metrics", "loss_tracker"};
    if (strcmp(name, "seed_generator") == 0) return true; /* a Dropout's state */
    for (size_t i = 0; depth == 0 && i < sizeof beside / sizeof *beside; i++)
        if (strcmp(beside[i], name) == 0) return true;
    return false;
}

/* Keras 3's .weights.h5: every group "vars" with a data set 0 is a layer's. */
static int read_vars(struct h5_reading *reading, hid_t group, const char *path, int depth,
                     struct error *error)
{
    struct h5_names names;
    int status = 0;
    if (depth > H5_MAX_DEPTH)
        return error_set(error, ERROR_INPUT, "its groups are nested too deep: the file is damaged");
    if (h5_members(group, &names, error)) return -1;
    for (size_t i = 0; !status && i < names.count; i++) {
        char below[STATE_DICT_MAX_NAME];
        hid_t member;
        if (is_beside(names.items[i], depth) || !h5_may_be_group(group, names.items[i])) continue;
        snprintf(below, sizeof below, "%.250s%s%.250s", path, *path ? "/" : "", names.items[i]);
        status = h5_group(group, names.items[i], &member, error);
        if (status || member < 0) break;
        struct h5_names vars = {0};
        if (strcmp(names.items[i], "vars") != 0)
            status = read_vars(reading, member, below, depth + 1, error);
        else if (!(status = h5_members(member, &vars, error)) && vars.count > 2)
            status = error_set(error, ERROR_INPUT,
                               "\"%.80s\" has %zu weights, so it is not a dense layer, and weights "
                               "alone do not say what it is: say all layers with --net, or save "
                               "the model with model.save(\"model.keras\")",
                               below, vars.count);
        else if (!status && vars.count)
            status = add_dense(reading, member, "0", vars.count == 2 ? "1" : NULL,
                               strncmp(path, "layers/", 7) == 0 ? path + 7 : path, error);
        h5_names_free(&vars);
        H5Gclose(member);
    }
    h5_names_free(&names);
    return status;
}

/* The next group of `names` from *at on that holds weights; -1 when there is none. */
static int next_with_weights(hid_t file, const struct h5_names *names, size_t *at,
                             struct error *error)
{
    for (; *at < names->count; (*at)++) {
        struct h5_names weights = {0};
        hid_t group;
        bool found;
        if (open_layer(file, names->items[*at], &group, error)) return -1;
        int status = h5_attribute_names(group, "weight_names", &weights, &found, error);
        size_t count = weights.count;
        h5_names_free(&weights);
        H5Gclose(group);
        if (status) return -1;
        if (count) return 0;
    }
    return error_set(
        error, ERROR_INPUT,
        "the given network has more layers with weights than the file: give the network that "
        "the file holds");
}

/* Keras 2's weights: its layers' names in the order of the model. */
static int read_told_names(struct h5_reading *reading, struct h5_names *names, struct error *error)
{
    struct keras_chain *chain = &reading->chain;
    size_t at = 0;
    for (size_t i = 0; i < chain->count; i++) {
        if (!chain->layers[i].weight_count) continue;
        if (next_with_weights(reading->file, names, &at, error)) return -1;
        chain->layers[i].owner = names->items[at++];
        if (read_owner(reading, reading->file, chain->layers[i].owner, error)) return -1;
    }
    return at == names->count || next_with_weights(reading->file, names, &at, error)
               ? 0
               : refuse_weight(names->items[at], "a weight", error);
}

/* Keras 3's: "layers/conv2d_1" in models of Keras's own classes, the attribute's name in others. */
static int read_told_groups(struct h5_reading *reading, struct error *error)
{
    for (size_t i = 0; i < reading->chain.count; i++) {
        struct keras_layer *layer = &reading->chain.layers[i];
        hid_t group;
        if (h5_group(reading->file, layer->path, &group, error)) return -1;
        if (group >= 0)
            H5Gclose(group);
        else
            snprintf(layer->path, sizeof layer->path, "%s", layer->source.name);
    }
    return read_by_path(reading, error);
}

/* Weights alone of a network that is known. */
static int read_told_weights(struct h5_reading *reading, struct error *error)
{
    struct keras_chain *chain = &reading->chain;
    struct h5_names names = {0};
    bool listed;
    if (keras_chain_of(&reading->told, chain, error)) return -1;
    for (size_t i = 0; i < chain->count; i++)
        if (add_layer(reading, &chain->layers[i].source, error)) return -1;
    if (h5_attribute_names(reading->file, "layer_names", &names, &listed, error)) return -1;
    int status = listed ? read_told_names(reading, &names, error)
                        : read_told_groups(reading, error);
    for (size_t i = 0; i < chain->count; i++) chain->layers[i].owner = NULL;
    h5_names_free(&names);
    return status;
}

static int read_weights_alone(struct h5_reading *reading, bool *listed, struct error *error)
{
    struct h5_names layers;
    if (h5_attribute_names(reading->file, "layer_names", &layers, listed, error)) return -1;
    int status = 0;
    for (size_t i = 0; !status && i < layers.count; i++)
        status = read_named_layer(reading, reading->file, layers.items[i], error);
    h5_names_free(&layers);
    if (!status && !*listed) status = read_vars(reading, reading->file, "", 0, error);
    if (!status && !reading->count)
        return error_set(
            error, ERROR_INPUT,
            "it holds no Keras weights: save it in Python with model.save(\"model.h5\")");
    return status;
}

/* --- all of it -------------------------------------------------------------------------------- */

static void resolve_tensors(struct h5_reading *reading)
{
    for (size_t i = 0; i < reading->count; i++)
        for (int role = 0; role < ROLE_COUNT; role++)
            if (reading->tensors[i][role] != NONE)
                reading->sources[i].tensors[role] =
                    &reading->state.tensors[reading->tensors[i][role]];
}

/* Behind what was noted before it. */
static int say_note(struct model *out, const char *text, struct error *error)
{
    if (!out->metadata) out->metadata = json_object();
    const char *before = js_text(out->metadata, "note");
    json_t *note = json_sprintf("%s%s%s", before, *before ? "; " : "", text);
    return json_object_set_new(out->metadata, "note", note)
               ? error_set_memory(error, "the metadata")
               : 0;
}

static int say_unpenalized(const char *layer, struct model *out, struct error *error)
{
    char text[200];
    snprintf(text, sizeof text,
             "the layer %.80s has a regularizer that the studio does not train with (it knows L1 "
             "and L2 of kernels): it is left out",
             layer);
    return say_note(out, text, error);
}

static int say_taken_off(const char *what, struct model *out, struct error *error)
{
    if (strcmp(what, "softmax") != 0)
        return model_assume(
            out, error,
            "%s at the end: taken off; this is not a softmax classifier, its loss is "
            "computed as if it were one",
            what);
    return say_note(out,
                    "the file ends in softmax, which was taken off: the studio's networks end in "
                    "logits",
                    error);
}

/* Of weights alone: the network that the user or the studio's own note tells. Without a picture,
 * which a dense layer in front allows, the weights say how many values it takes. */
static int find_told(struct h5_reading *reading, const struct model_note *note,
                     const struct modelfile_options *options, struct error *error)
{
    struct network *told = &reading->told;
    if (!options || !options->network.layer_count)
        return note->network && network_from_json(note->network, told, error)
                   ? error_prefix(error, "the network noted in the file")
                   : 0;
    *told = options->network;
    if (told->rows) return network_finish(told, error);
    if (told->layers[0].type != LAYER_DENSE) return need_picture(told, error);
    told->rows = told->columns = 1;
    if (network_finish(told, error)) return -1;
    told->rows = told->columns = 0;
    return 0;
}

/* Dense layers of which the file says no order. */
static int order_alone(struct h5_reading *reading, bool listed,
                       const struct modelfile_options *options, struct error *error)
{
    for (size_t i = 0; i < reading->count; i++)
        if (source_check_dense(&reading->sources[i], error)) return -1;
    return sources_order(reading->sources, reading->count, listed, options, error);
}

/* The configuration, or with weights alone what was told, decides the activations. */
static int read_layers(struct h5_reading *reading, const json_t *config, bool by_path,
                       const struct model_note *note, const struct modelfile_options *options,
                       struct model *out, struct error *error)
{
    bool worked_in = false, listed = true;
    if (!config && find_told(reading, note, options, error)) return -1;
    bool told = reading->told.layer_count != 0;
    if (config ? read_whole_model(reading, config, by_path, error)
        : told ? read_told_weights(reading, error)
               : read_weights_alone(reading, &listed, error))
        return -1;
    resolve_tensors(reading);
    if ((config &&
         keras_settle(&reading->chain, reading->sources, &reading->count, &worked_in, error)) ||
        (!config && !told && order_alone(reading, listed, options, error)) ||
        model_from_layers(reading->sources, reading->count, &reading->chain.input, config || told,
                          note, options, out, error))
        return -1;
    if (worked_in && say_note(out,
                              "the Normalization or Permute in front is worked into the weights of "
                              "the first dense layer",
                              error))
        return -1;
    if (reading->chain.unpenalized && say_unpenalized(reading->chain.unpenalized, out, error))
        return -1;
    return reading->chain.taken_off ? say_taken_off(reading->chain.taken_off, out, error) : 0;
}

static int parse_attribute(hid_t file, const char *name, json_t **out, struct error *error)
{
    char *text;
    *out = NULL;
    if (h5_attribute_text(file, name, &text, error)) return -1;
    int status = text ? js_parse_object(text, strlen(text), name, out, error) : 0;
    free(text);
    return status;
}

int h5_read_image(const char *data, size_t size, const json_t *config,
                  const struct modelfile_options *options, struct model *out, struct error *error)
{
    struct h5_reading *reading = calloc(1, sizeof *reading);
    json_t *own = NULL, *noted = NULL;
    int status = -1;
    if (!reading) return error_set_memory(error, "the model");
    if (h5_open(data, size, &reading->file, error)) {
        free(reading);
        return -1;
    }
    if ((!config && parse_attribute(reading->file, "model_config", &own, error)) ||
        parse_attribute(reading->file, H5_NOTE_ATTRIBUTE, &noted, error))
        goto out;
    struct model_note note = {.network = json_object_get(noted, "network"),
                              .metadata = json_object_get(noted, "metadata"),
                              .assumed = json_object_get(noted, "assumed")};
    if (json_is_object(note.metadata)) out->metadata = json_deep_copy(note.metadata);
    status = read_layers(reading, config ? config : own, config != NULL, &note, options, out,
                         error);
out:
    H5Fclose(reading->file);
    json_decref(own);
    json_decref(noted);
    state_dict_clear(&reading->state);
    free(reading);
    return status;
}

static int read_whole_file(const char *data, size_t size, const struct modelfile_options *options,
                           struct model *out, struct error *error)
{
    return h5_read_image(data, size, NULL, options, out, error);
}

static int read_model(const char *path, const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    return h5_read_confined(path, read_whole_file, options, out, error);
}

const struct modelfile_format modelfile_h5 = {
    .id = "h5",
    .title = "Keras model",
    .extensions = "h5 hdf5",
    .read = read_model,
    .write = h5_write_model,
    .carries = h5_carries,
};
