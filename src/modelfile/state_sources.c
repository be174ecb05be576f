/* From a state dict's names to layer sources: "fc1.weight" is the weight of a layer fc1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modelfile/assemble.h"

/* What a tensor's last word says. */
static const struct {
    const char *word;
    enum tensor_role role;
} roles[] = {
    {"weight", ROLE_WEIGHT},
    {"bias", ROLE_BIAS},
    {"running_mean", ROLE_RUNNING_MEAN},
    {"running_var", ROLE_RUNNING_VARIANCE},
};

/* Stems of what a training script keeps beside its network: a loss function's class weights. */
static const char *const not_layers[] = {"criterion", "loss", "loss_fn", "loss_func",
                                         "loss_function"};

/* A layer while its tensors are being gathered. */
struct stem {
    char name[STATE_DICT_MAX_NAME + 1];
    const char *first; /* the name of its first tensor, for messages */
    const struct named_tensor *tensors[ROLE_COUNT];
};

struct stems {
    size_t count;
    struct stem items[NETWORK_MAX_LAYERS];
};

/* How much of every name is a wrapper's: DataParallel's "module.", torch.compile's "_orig_mod.". */
static size_t common_prefix(const struct state_dict *state)
{
    static const char *const prefixes[] = {"module.", "_orig_mod."};
    size_t skip = 0;
    for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
        size_t length = strlen(prefixes[p]), all = 0;
        while (all < state->count &&
               strncmp(state->tensors[all].name + skip, prefixes[p], length) == 0)
            all++;
        if (!state->count || all < state->count) continue;
        skip += length;
        p = (size_t)-1; /* they may be nested either way round */
    }
    return skip;
}

static bool is_no_layer(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof not_layers / sizeof *not_layers; i++)
        if (strlen(not_layers[i]) == length && memcmp(not_layers[i], name, length) == 0)
            return true;
    return false;
}

static int add_tensor(const struct named_tensor *tensor, size_t skip, struct stems *stems,
                      struct error *error)
{
    const char *name = tensor->name + skip, *dot = strrchr(name, '.');
    const char *word = dot ? dot + 1 : name;
    size_t length = dot ? (size_t)(dot - name) : 0, role = 0, i = 0;
    if (is_no_layer(name, length)) return 0;
    while (role < sizeof roles / sizeof *roles && strcmp(roles[role].word, word) != 0) role++;
    if (role == sizeof roles / sizeof *roles)
        return error_set(
            error, ERROR_INPUT,
            "the tensor %s is no dense layer's weight or bias: the studio reads networks of "
            "dense layers",
            tensor->name);
    while (i < stems->count && (strlen(stems->items[i].name) != length ||
                                memcmp(stems->items[i].name, name, length) != 0))
        i++;
    if (i == stems->count) {
        if (i == NETWORK_MAX_LAYERS)
            return error_set(error, ERROR_INPUT,
                             "it has more than %d layers: the studio takes no more",
                             NETWORK_MAX_LAYERS);
        stems->items[i] = (struct stem){.first = tensor->name};
        memcpy(stems->items[i].name, name, length);
        stems->count++;
    }
    stems->items[i].tensors[roles[role].role] = tensor;
    return 0;
}

/* A state dict has tensors and nothing else: of a convolution it knows no stride, of a
 * normalization no place. */
static int refuse_undescribed(const struct stem *stem, struct error *error)
{
    char shape[64];
    const struct named_tensor *weight = stem->tensors[ROLE_WEIGHT];
    const char *what = stem->tensors[ROLE_RUNNING_MEAN] ? "a batch normalization's"
                       : weight->rank == 4              ? "a convolution's"
                                                        : "no dense layer's";
    return error_set(error, ERROR_INPUT,
                     "the tensor %s of the shape %s is %s (a dense layer's weight has two "
                     "dimensions), and a state dict does not say how its layers stand together: "
                     "save the model as .onnx or .keras, which do",
                     weight->name, shape_text(weight->rank, weight->shape, shape), what);
}

static int make_dense(const struct stem *stem, struct layer_source *source, struct error *error)
{
    if (!stem->tensors[ROLE_WEIGHT])
        return error_set(error, ERROR_INPUT,
                         "the tensor %s has no weight beside it: the studio reads networks of "
                         "dense layers",
                         stem->first);
    if (stem->tensors[ROLE_RUNNING_MEAN] || stem->tensors[ROLE_RUNNING_VARIANCE] ||
        stem->tensors[ROLE_WEIGHT]->rank != 2)
        return refuse_undescribed(stem, error);
    *source = (struct layer_source){.name = stem->name};
    layer_init(&source->layer, LAYER_DENSE);
    memcpy(source->tensors, stem->tensors, sizeof source->tensors);
    return source_check_dense(source, error);
}

/* Without a description: dense layers, in the order that their names and sizes tell. */
static int sources_from_names(const struct stems *stems, bool listed,
                              const struct modelfile_options *options, struct layer_source *sources,
                              struct error *error)
{
    if (!stems->count)
        return error_set(error, ERROR_INPUT,
                         "it holds no dense layer: give a file with trained weights");
    for (size_t i = 0; i < stems->count; i++)
        if (make_dense(&stems->items[i], &sources[i], error)) return -1;
    return sources_order(sources, stems->count, listed, options, error);
}

static const struct stem *find_stem(const struct stems *stems, const char *name)
{
    for (size_t i = 0; i < stems->count; i++)
        if (strcmp(stems->items[i].name, name) == 0) return &stems->items[i];
    return NULL;
}

/* The described layers with the tensors that have their names; false when some have not. */
static bool sources_by_name(const struct network *network, const struct stems *stems,
                            struct layer_source *sources)
{
    size_t taken = 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        sources[i] = (struct layer_source){.name = layer->name, .layer = *layer};
        if (!layer_tensors(layer, specs)) continue;
        const struct stem *stem = find_stem(stems, layer->name);
        if (!stem || !stem->tensors[ROLE_WEIGHT]) return false;
        memcpy(sources[i].tensors, stem->tensors, sizeof sources[i].tensors);
        taken++;
    }
    return taken == stems->count;
}

static int unfitting_note(struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the network noted in the file does not fit its tensors: the file is damaged");
}

static bool fits_noted(const struct layer *layer, const struct layer_source *source)
{
    const struct named_tensor *weight = source->tensors[ROLE_WEIGHT];
    return layer->type != LAYER_DENSE ||
           (weight && weight->rank == 2 && layer->inputs == source_inputs(source) &&
            layer->outputs == source_outputs(source));
}

/* The network that was noted beside the tensors knows all layers; it must describe these very
 * tensors. Files whose * tensors were renamed since are still put in order by name and size. */
static int sources_from_note(const json_t *note, const struct stems *stems, bool listed,
                             const struct modelfile_options *options, struct layer_source *sources,
                             size_t *count, struct error *error)
{
    struct network network;
    if (network_from_json(note, &network, error))
        return error_prefix(error, "the network noted in the file");
    if (!sources_by_name(&network, stems, sources)) {
        if (!network_is_dense(&network) || stems->count != network.layer_count)
            return unfitting_note(error);
        if (sources_from_names(stems, listed, options, sources, error)) return -1;
        for (uint32_t i = 0; i < network.layer_count; i++) {
            sources[i].layer.activation = network.layers[i].activation;
            sources[i].layer.slope = network.layers[i].slope;
        }
    }
    for (uint32_t i = 0; i < network.layer_count; i++)
        if (!fits_noted(&network.layers[i], &sources[i])) return unfitting_note(error);
    *count = network.layer_count;
    return 0;
}

static int read_state_dict(const struct state_dict *state, const struct model_note *note,
                           bool listed, const struct modelfile_options *options,
                           struct stems *stems, struct layer_source *sources, struct model *out,
                           struct error *error)
{
    const json_t *described = note ? note->network : NULL;
    size_t skip = common_prefix(state);
    for (size_t i = 0; i < state->count; i++)
        if (add_tensor(&state->tensors[i], skip, stems, error)) return -1;
    size_t count = stems->count;
    if (described ? sources_from_note(described, stems, listed, options, sources, &count, error)
                  : sources_from_names(stems, listed, options, sources, error))
        return -1;
    return model_from_layers(sources, count, NULL, described != NULL, note, options, out, error);
}

int model_from_state_dict(const struct state_dict *state, const struct model_note *note,
                          bool listed, const struct modelfile_options *options, struct model *out,
                          struct error *error)
{
    struct stems *stems = calloc(1, sizeof *stems);
    struct layer_source *sources = calloc(NETWORK_MAX_LAYERS, sizeof *sources);
    int status = stems && sources
                     ? read_state_dict(state, note, listed, options, stems, sources, out, error)
                     : error_set_memory(error, "the layers");
    free(stems);
    free(sources);
    return status;
}
