/* Reading .h5: whole Keras models (attribute model_config, weights under model_weights/), Keras
 * 2's save_weights
 * (attribute layer_names at the root) and Keras 3's .weights.h5 (groups .../vars with data sets 0,
 * 1).
 * keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py are the formats'
 * source. */
#include "modelfile/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/assemble.h"
#include "modelfile/confine.h"
#include "modelfile/formats.h"
#include "modelfile/h5_file.h"
#include "modelfile/keras_config.h"

/* A model with its optimizer's state. */
#define FILE_MAX (STATE_DICT_MAX_VALUES * sizeof(double))

/* All tensors of a file and which of them are layers. Sources name tensors by index until all are
 * read, as the state
 * dict moves while it grows. */
struct reading {
    hid_t file;
    struct state_dict state;
    size_t count;
    struct {
        size_t weight, bias;
        bool has_bias;
        enum activation activation;
    } layers[NETWORK_MAX_LAYERS];
};

static int add_layer(struct reading *reading, hid_t group, const char *kernel, const char *bias,
                     const char *stem, struct error *error)
{
    char name[STATE_DICT_MAX_NAME];
    if (reading->count == NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT,
                         "it has more than %d layers with weights: the studio takes no more",
                         NETWORK_MAX_LAYERS);
    snprintf(name, sizeof name, "%.400s/kernel", stem);
    reading->layers[reading->count].weight = reading->state.count;
    if (h5_dataset(group, kernel, name, &reading->state, error)) return -1;
    reading->layers[reading->count].bias = reading->state.count;
    reading->layers[reading->count].has_bias = bias != NULL;
    snprintf(name, sizeof name, "%.400s/bias", stem);
    if (bias && h5_dataset(group, bias, name, &reading->state, error)) return -1;
    reading->count++;
    return 0;
}

/* "…/kernel", "…/kernel:0" or "kernel" is a kernel. */
static bool is_called(const char *name, const char *kind)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    size_t length = strlen(kind);
    return strncmp(last, kind, length) == 0 && (!last[length] || last[length] == ':');
}

/* One layer in Keras 2's form: a group named as the layer, whose attribute weight_names lists data
 * sets below it. */
static int read_named_layer(struct reading *reading, hid_t weights, const char *layer,
                            struct error *error)
{
    int status = -1;
    hid_t group;
    bool found;
    const char *kernel = NULL, *bias = NULL;
    struct h5_names names = {0};
    if (h5_group(weights, layer, &group, error)) return -1;
    if (group < 0)
        return error_set(error, ERROR_INPUT,
                         "the weights of the layer \"%.80s\" are missing: the file is damaged",
                         layer);
    if (h5_attribute_names(group, "weight_names", &names, &found, error)) goto out;
    for (size_t i = 0; i < names.count; i++) {
        const char **place = is_called(names.items[i], "kernel") ? &kernel
                             : is_called(names.items[i], "bias") ? &bias
                                                                 : NULL;
        if (!place || *place) {
            error_set(error, ERROR_INPUT,
                      "the layer \"%.80s\" has the weight \"%.80s\": the studio reads networks of "
                      "dense layers",
                      layer, names.items[i]);
            goto out;
        }
        *place = names.items[i];
    }
    if (names.count && !kernel) {
        error_set(error, ERROR_INPUT, "the layer \"%.80s\" has no kernel: the file is damaged",
                  layer);
        goto out;
    }
    status = kernel ? add_layer(reading, group, kernel, bias, layer, error) : 0;
out:
    h5_names_free(&names);
    H5Gclose(group);
    return status;
}

/* Whether the tensors of layer `i` are those that the configuration announces. */
static bool agrees(const struct reading *reading, size_t i, const struct keras_chain *chain)
{
    const struct named_tensor *kernel = &reading->state.tensors[reading->layers[i].weight];
    if (kernel->rank != 2 || kernel->shape[1] != chain->layers[i].units) return false;
    if (i == 0 && chain->inputs && kernel->shape[0] != chain->inputs) return false;
    return reading->layers[i].has_bias == chain->layers[i].use_bias;
}

/* The dense layers of the configuration, with the weights kept under their names. */
static int read_whole_model(struct reading *reading, const struct keras_chain *chain,
                            struct error *error)
{
    int status = 0;
    hid_t weights;
    if (h5_group(reading->file, "model_weights", &weights, error)) return -1;
    if (weights < 0)
        return error_set(
            error, ERROR_INPUT,
            "it holds a configuration but no weights: save it with model.save(\"model.h5\")");
    for (size_t i = 0; !status && i < chain->count; i++) {
        const char *name = chain->layers[i].name;
        if (!*name || strchr(name, '/'))
            status = error_set(error, ERROR_INPUT, "a layer's name is \"%.80s\": rename it", name);
        if (!status) status = read_named_layer(reading, weights, name, error);
        if (!status && reading->count != i + 1)
            status = error_set(error, ERROR_INPUT,
                               "the layer \"%.80s\" has no weights: the file is damaged", name);
        if (!status && !agrees(reading, i, chain))
            status = error_set(error, ERROR_INPUT,
                               "the configuration and the weights of the layer \"%.80s\" do not "
                               "agree: the file is damaged",
                               name);
        if (!status) reading->layers[i].activation = chain->layers[i].activation;
    }
    H5Gclose(weights);
    return status;
}

/* Keras 3's .weights.h5: every group "vars" with a data set 0 is a layer's. What belongs to the
 * optimizer is left out.
 */
static int read_vars(struct reading *reading, hid_t group, const char *path, int depth,
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
        if (depth == 0 && strcmp(names.items[i], "optimizer") == 0) continue;
        if (!h5_may_be_group(group, names.items[i])) continue;
        snprintf(below, sizeof below, "%.250s%s%.250s", path, *path ? "/" : "", names.items[i]);
        status = h5_group(group, names.items[i], &member, error);
        if (status || member < 0) break;
        struct h5_names vars = {0};
        if (strcmp(names.items[i], "vars") != 0)
            status = read_vars(reading, member, below, depth + 1, error);
        else if (!(status = h5_members(member, &vars, error)) && vars.count > 2)
            status = error_set(
                error, ERROR_INPUT,
                "\"%.80s\" has %zu weights: the studio reads networks of dense layers", below,
                vars.count);
        else if (!status && vars.count)
            status = add_layer(reading, member, "0", vars.count == 2 ? "1" : NULL, path, error);
        h5_names_free(&vars);
        H5Gclose(member);
    }
    h5_names_free(&names);
    return status;
}

static int read_weights_alone(struct reading *reading, bool *ordered, struct error *error)
{
    struct h5_names layers;
    if (h5_attribute_names(reading->file, "layer_names", &layers, ordered, error)) return -1;
    int status = 0;
    for (size_t i = 0; !status && i < layers.count; i++)
        status = read_named_layer(reading, reading->file, layers.items[i], error);
    h5_names_free(&layers);
    if (!status && !*ordered) status = read_vars(reading, reading->file, "", 0, error);
    if (!status && !reading->count)
        return error_set(
            error, ERROR_INPUT,
            "it holds no Keras weights: save it in Python with model.save(\"model.h5\")");
    return status;
}

static void make_sources(const struct reading *reading, struct dense_source *sources)
{
    for (size_t i = 0; i < reading->count; i++)
        sources[i] = (struct dense_source){
            .name = reading->state.tensors[reading->layers[i].weight].name,
            .weight = &reading->state.tensors[reading->layers[i].weight],
            .bias = reading->layers[i].has_bias ? &reading->state.tensors[reading->layers[i].bias]
                                                : NULL,
            .transposed = true,
            .activation = reading->layers[i].activation,
        };
}

/* The configuration, or with weights alone what was told, decides the activations. */
static int read_layers(struct reading *reading, const json_t *config, const json_t *note,
                       const struct modelfile_options *options, struct model *out,
                       struct error *error)
{
    struct keras_chain chain = {0};
    struct modelfile_options wanted = options ? *options : (struct modelfile_options){0};
    struct dense_source sources[NETWORK_MAX_LAYERS];
    bool ordered = true;
    if (config ? keras_chain_read(config, &chain, error) || read_whole_model(reading, &chain, error)
               : read_weights_alone(reading, &ordered, error))
        return -1;
    make_sources(reading, sources);
    if (config) {
        if (!wanted.rows && chain.rows)
            wanted = (struct modelfile_options){.rows = chain.rows, .columns = chain.columns};
        if (model_from_dense(sources, reading->count, note, &wanted, out, error)) return -1;
        if (!chain.ends_in_softmax) return 0;
        out->metadata = json_pack(
            "{s:s}", "note",
            "the file ends in softmax, which was taken off: the studio's networks end in logits");
        return 0;
    }
    return model_from_layers(sources, reading->count, ordered, options, out, error);
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

/* Runs in the confined child. */
static int read_image(const char *data, size_t size, const struct modelfile_options *options,
                      struct model *out, struct error *error)
{
    struct reading reading = {0};
    json_t *config = NULL, *note = NULL;
    if (h5_open(data, size, &reading.file, error)) return -1;
    int status = parse_attribute(reading.file, "model_config", &config, error) ||
                         parse_attribute(reading.file, H5_NOTE_ATTRIBUTE, &note, error)
                     ? -1
                     : read_layers(&reading, config, json_object_get(note, "network"), options, out,
                                   error);
    const json_t *metadata = json_object_get(note, "metadata");
    if (!status && json_is_object(metadata) && !out->metadata)
        out->metadata = json_incref((json_t *)metadata);
    H5Fclose(reading.file);
    json_decref(config);
    json_decref(note);
    state_dict_clear(&reading.state);
    return status;
}

static int read_model(const char *path, const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    char *data;
    size_t size;
    if (file_read(path, FILE_MAX, &data, &size, error)) return -1;
    h5_lock(); /* no other thread is inside the library while the child is split off */
    int status = confined_read(read_image, data, size, options, out, error);
    h5_unlock();
    free(data);
    return status ? error_prefix(error, "%s", path) : 0;
}

const struct modelfile_format modelfile_h5 = {
    .id = "h5",
    .title = "Keras model",
    .extensions = "h5 hdf5",
    .read = read_model,
    .write = h5_write_model,
};
