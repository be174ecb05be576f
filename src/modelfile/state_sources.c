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
    size_t place;      /* among the stems as the file lists them */
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
            "the tensor %s is not a dense layer's weight or bias: the studio reads networks of "
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
        stems->items[i] = (struct stem){.first = tensor->name, .place = i};
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
                                                        : "not a dense layer's";
    return error_set(error, ERROR_INPUT,
                     "the tensor %s of the shape %s is %s, and a state dict does not say how its "
                     "layers stand together: say it, as in --net \"conv 8 3x3 relu, flatten, dense "
                     "10\" --input 28x28, or save the model as .onnx",
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
 * tensors. Files whose tensors were renamed since are still put in order by name and size. */
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

/* --- with a network that the user tells ------------------------------------------------------- */

static bool has_role(const struct tensor_spec *specs, uint32_t count, enum tensor_role role)
{
    for (uint32_t k = 0; k < count; k++)
        if (specs[k].role == role) return true;
    return false;
}

/* Whether the stem has what the layer needs, in its shapes; a bias or scale may be left out. */
static bool stem_fits(const struct stem *stem, const struct layer *layer)
{
    struct tensor_spec specs[LAYER_MAX_TENSORS];
    uint32_t count = layer_tensors(layer, specs);
    for (int role = 0; role < ROLE_COUNT; role++)
        if (stem->tensors[role] && !has_role(specs, count, (enum tensor_role)role)) return false;
    for (uint32_t k = 0; k < count; k++) {
        const struct named_tensor *tensor = stem->tensors[specs[k].role];
        if (!tensor && specs[k].role != ROLE_BIAS) return false;
        if (!tensor) continue;
        if (tensor->rank != specs[k].shape.rank) return false;
        for (uint32_t d = 0; d < tensor->rank; d++)
            if (tensor->shape[d] != specs[k].shape.sizes[d]) return false;
    }
    return true;
}

/* What of a told network was given which stem: by index, SIZE_MAX for layers without tensors. */
struct assignment {
    size_t stems[NETWORK_MAX_LAYERS];
    bool used[NETWORK_MAX_LAYERS];
};

static int refuse_layer(const struct layer *layer, uint32_t index, struct error *error)
{
    char shape[64];
    struct tensor_spec specs[LAYER_MAX_TENSORS];
    size_t sizes[SHAPE_MAX_RANK];
    layer_tensors(layer, specs);
    for (uint32_t d = 0; d < specs[0].shape.rank; d++) sizes[d] = specs[0].shape.sizes[d];
    return error_set(
        error, ERROR_INPUT,
        "--net does not fit the file: for its layer %u (%s), whose weight is %s, there "
        "are no tensors",
        index + 1, layer_kind(layer->type)->name, shape_text(specs[0].shape.rank, sizes, shape));
}

/* Each layer takes the first stem that fits and is not taken. */
static int assign(const struct network *network, const struct stems *stems,
                  struct assignment *assignment, struct error *error)
{
    *assignment = (struct assignment){0};
    size_t taken = 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct layer *layer = &network->layers[i];
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        size_t s = 0;
        assignment->stems[i] = SIZE_MAX;
        if (!layer_tensors(layer, specs)) continue;
        while (s < stems->count && (assignment->used[s] || !stem_fits(&stems->items[s], layer)))
            s++;
        if (s == stems->count) return refuse_layer(layer, i, error);
        assignment->used[s] = true;
        assignment->stems[i] = s;
        taken++;
    }
    for (size_t s = 0; taken < stems->count && s < stems->count; s++)
        if (!assignment->used[s])
            return error_set(error, ERROR_INPUT,
                             "--net does not fit the file: no layer of it takes the tensor %s",
                             stems->items[s].first);
    return 0;
}

/* Stems that could change places must have names that say which comes first, and a file that lists
 * its layers must not contradict them. */
static int check_certain(const struct network *network, const struct stems *stems,
                         const struct assignment *assignment, bool listed, struct error *error)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        for (uint32_t j = i + 1; j < network->layer_count; j++) {
            size_t a = assignment->stems[i], b = assignment->stems[j];
            if (a == SIZE_MAX || b == SIZE_MAX ||
                !stem_fits(&stems->items[b], &network->layers[i]) ||
                !stem_fits(&stems->items[a], &network->layers[j]) ||
                (name_is_before(stems->items[a].name, stems->items[b].name) &&
                 (!listed || stems->items[a].place < stems->items[b].place)))
                continue;
            return error_set(
                error, ERROR_INPUT,
                "the layers \"%.60s\" and \"%.60s\" have the same shapes, and the file "
                "does not say which runs first: give all layers with weights in the order in "
                "which they run, separated by commas, with --order",
                stems->items[a].name, stems->items[b].name);
        }
    return 0;
}

/* --order: the stems as it names them. */
static int order_stems(struct stems *stems, const char *told, struct error *error)
{
    struct stems *old = malloc(sizeof *old);
    size_t count = 0;
    int status = 0;
    if (!old) return error_set_memory(error, "the layers");
    *old = *stems;
    for (const char *word = told; !status && *word; word += *word == ',') {
        size_t length = strcspn(word, ","), s = 0;
        while (s < old->count && (strlen(old->items[s].name) != length ||
                                  memcmp(old->items[s].name, word, length) != 0))
            s++;
        if (s == old->count || count == old->count)
            status = error_set(error, ERROR_USAGE, "--order names no layer of the file: \"%.*s\"",
                               (int)(length < 80 ? length : 80), word);
        else
            stems->items[count++] = old->items[s];
        word += length;
    }
    if (!status && count != old->count)
        status = error_set(error, ERROR_USAGE, "--order names %zu of %zu layers", count,
                           old->count);
    free(old);
    return status;
}

static int compare_stems(const void *a, const void *b)
{
    const struct stem *x = a, *y = b;
    if (name_is_before(x->name, y->name)) return -1;
    if (name_is_before(y->name, x->name)) return 1;
    return strcmp(x->name, y->name);
}

/* Fits the network, whose picture is known or made of `inputs` values in a line. */
static int fit(struct network *network, uint32_t inputs, const struct stems *stems,
               struct assignment *assignment, struct error *error)
{
    if (inputs) {
        network->rows = 1;
        network->columns = inputs;
    }
    return network_finish(network, error) || assign(network, stems, assignment, error) ? -1 : 0;
}

/* Without a picture, the values that a dense layer in front takes are what one of the matrices
 * takes. */
static int fit_unknown(struct network *network, const struct stems *stems,
                       struct assignment *assignment, struct error *error)
{
    const struct network told = *network;
    if (told.layers[0].type != LAYER_DENSE) return need_picture(&told, error);
    struct error first = {0};
    for (size_t s = 0; s < stems->count; s++) {
        const struct named_tensor *weight = stems->items[s].tensors[ROLE_WEIGHT];
        if (!weight || weight->rank != 2 || weight->shape[1] > NETWORK_MAX_WIDTH) continue;
        *network = told;
        if (!fit(network, (uint32_t)weight->shape[1], stems, assignment, error)) return 0;
        if (!first.code) first = *error;
    }
    if (!first.code)
        return error_set(error, ERROR_INPUT,
                         "--net does not fit the file: it holds no dense layer");
    *error = first;
    return -1;
}

/* Whether the stems of the layers' own names have their shapes. */
static bool all_fit(const struct network *network, const struct stems *stems)
{
    for (uint32_t i = 0; i < network->layer_count; i++) {
        struct tensor_spec specs[LAYER_MAX_TENSORS];
        const struct layer *layer = &network->layers[i];
        if (layer_tensors(layer, specs) && !stem_fits(find_stem(stems, layer->name), layer))
            return false;
    }
    return true;
}

static int sources_from_told(struct network *network, struct stems *stems, bool listed,
                             const struct modelfile_options *options, struct layer_source *sources,
                             struct error *error)
{
    struct assignment assignment = {0};
    bool known = network->rows != 0;
    if (options->order ? order_stems(stems, options->order, error) : 0) return -1;
    if (!options->order) qsort(stems->items, stems->count, sizeof *stems->items, compare_stems);
    if (known ? fit(network, 0, stems, &assignment, error)
              : fit_unknown(network, stems, &assignment, error))
        return -1;
    if (!options->order && check_certain(network, stems, &assignment, listed, error)) return -1;
    if (!options->order && sources_by_name(network, stems, sources) && all_fit(network, stems))
        return 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        const struct stem *stem = assignment.stems[i] == SIZE_MAX
                                      ? NULL
                                      : &stems->items[assignment.stems[i]];
        sources[i] = (struct layer_source){.name = stem ? stem->name : network->layers[i].name,
                                           .layer = network->layers[i]};
        if (stem) memcpy(sources[i].tensors, stem->tensors, sizeof sources[i].tensors);
    }
    return 0;
}

static int read_told(struct stems *stems, bool listed, const struct modelfile_options *options,
                     struct layer_source *sources, struct model *out, struct error *error)
{
    struct network network = options->network;
    struct source_input input = {network.rows, network.columns, network.channels};
    if (sources_from_told(&network, stems, listed, options, sources, error)) return -1;
    return model_from_layers(sources, network.layer_count, &input, true, NULL, options, out, error);
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
    if (options && options->network.layer_count && !described)
        return read_told(stems, listed, options, sources, out, error);
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
