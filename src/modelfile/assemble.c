#include "modelfile/assemble.h"

#include <stdlib.h>
#include <string.h>

static size_t source_inputs(const struct dense_source *source)
{
    return source->weight->shape[source->transposed ? 0 : 1];
}

static size_t source_outputs(const struct dense_source *source)
{
    return source->weight->shape[source->transposed ? 1 : 0];
}

static bool follows(const struct dense_source *first, const struct dense_source *next)
{
    return source_outputs(first) == source_inputs(next);
}

/* A walk over all orders in which each layer takes what the one before gives. */
struct search {
    const struct dense_source *sources;
    size_t count, found;
    size_t steps; /* taken; capped, as many equal sizes have very many orders */
    size_t order[NETWORK_MAX_LAYERS], answer[NETWORK_MAX_LAYERS];
    bool used[NETWORK_MAX_LAYERS];
};

static void search_orders(struct search *search, size_t depth)
{
    if (search->found > 1 || ++search->steps > 100000) return;
    if (depth == search->count) {
        if (!search->found++) memcpy(search->answer, search->order, sizeof search->answer);
        return;
    }
    for (size_t i = 0; i < search->count; i++) {
        if (search->used[i]) continue;
        if (depth && !follows(&search->sources[search->order[depth - 1]], &search->sources[i]))
            continue;
        search->used[i] = true;
        search->order[depth] = i;
        search_orders(search, depth + 1);
        search->used[i] = false;
    }
}

/* strverscmp() would put "fc01" before "fc1"; else it is the order wanted. */
static int name_compare(const void *left, const void *right)
{
    const struct dense_source *a = left, *b = right;
    return strverscmp(a->name, b->name);
}

void dense_sort(struct dense_source *sources, size_t count)
{
    if (count) qsort(sources, count, sizeof *sources, name_compare);
}

int dense_order(struct dense_source *sources, size_t count, struct error *error)
{
    char a[64], b[64];
    size_t broken = 1;
    while (broken < count && follows(&sources[broken - 1], &sources[broken])) broken++;
    if (broken >= count) return 0;
    struct search search = {.sources = sources, .count = count};
    search_orders(&search, 0);
    if (search.found != 1) {
        const struct named_tensor *first = sources[broken - 1].weight,
                                  *next = sources[broken].weight;
        return error_set(
            error, ERROR_INPUT,
            "the layers do not chain: %s is %s and %s is %s: the studio reads networks "
            "whose dense layers follow one another",
            first->name, shape_text(2, first->shape, a), next->name, shape_text(2, next->shape, b));
    }
    struct dense_source old[NETWORK_MAX_LAYERS];
    memcpy(old, sources, count * sizeof *old);
    for (size_t i = 0; i < count; i++) sources[i] = old[search.answer[i]];
    return 0;
}

static int check_source(const struct dense_source *source, struct error *error)
{
    char a[64], b[64];
    const struct named_tensor *weight = source->weight, *bias = source->bias;
    if (weight->rank != 2)
        return error_set(
            error, ERROR_INPUT,
            "the tensor %s has the shape %s, a dense layer's weight has two dimensions: "
            "the studio reads networks of dense layers",
            weight->name, shape_text(weight->rank, weight->shape, a));
    for (int d = 0; d < 2; d++)
        if (!weight->shape[d] || weight->shape[d] > NETWORK_MAX_WIDTH)
            return error_set(error, ERROR_INPUT,
                             "the tensor %s has the shape %s: each side must be 1 to %d",
                             weight->name, shape_text(2, weight->shape, a), NETWORK_MAX_WIDTH);
    if (bias && (bias->rank != 1 || bias->shape[0] != source_outputs(source)))
        return error_set(
            error, ERROR_INPUT,
            "the tensor %s has the shape %s, which does not fit %s %s: the file is damaged",
            bias->name, shape_text(bias->rank, bias->shape, a), weight->name,
            shape_text(2, weight->shape, b));
    return 0;
}

static double value_at(const struct named_tensor *tensor, size_t index)
{
    return tensor->dtype == DTYPE_FLOAT64 ? ((const double *)tensor->values)[index]
                                          : (double)((const float *)tensor->values)[index];
}

static void fill_layer(struct parameters *parameters, size_t layer,
                       const struct dense_source *source)
{
    struct tensor *weight = parameters_find(parameters, (uint32_t)layer, ROLE_WEIGHT),
                  *bias = parameters_find(parameters, (uint32_t)layer, ROLE_BIAS);
    size_t outputs = weight->shape[0], inputs = weight->shape[1];
    for (size_t o = 0; o < outputs; o++)
        for (size_t i = 0; i < inputs; i++)
            tensor_set(
                parameters, weight, o * inputs + i,
                value_at(source->weight, source->transposed ? i * outputs + o : o * inputs + i));
    for (size_t o = 0; source->bias && o < outputs; o++)
        tensor_set(parameters, bias, o, value_at(source->bias, o));
}

/* The picture's shape: as asked, as noted, a square, a line. */
static void choose_picture(struct network *network, const struct network *noted,
                           const struct modelfile_options *options)
{
    uint64_t inputs = network->layers[0].inputs;
    uint32_t side = 1;
    while ((uint64_t)side * side < inputs) side++;
    if (options && (uint64_t)options->rows * options->columns == inputs) {
        network->rows = options->rows;
        network->columns = options->columns;
    } else if (noted && (uint64_t)noted->rows * noted->columns == inputs) {
        network->rows = noted->rows;
        network->columns = noted->columns;
    } else {
        network->rows = (uint64_t)side * side == inputs ? side : 1;
        network->columns = (uint32_t)(inputs / network->rows);
    }
}

int model_from_dense(const struct dense_source *sources, size_t count, const json_t *note,
                     const struct modelfile_options *options, struct model *out,
                     struct error *error)
{
    enum dtype dtype = DTYPE_FLOAT32;
    struct network noted, *network = &out->network;
    struct error unused;
    if (!count)
        return error_set(error, ERROR_INPUT,
                         "it holds no dense layer: give a file with trained weights");
    if (count > NETWORK_MAX_LAYERS)
        return error_set(error, ERROR_INPUT, "it has %zu layers: the most is %d", count,
                         NETWORK_MAX_LAYERS);
    *network = (struct network){.layer_count = (uint32_t)count};
    for (size_t i = 0; i < count; i++) {
        if (check_source(&sources[i], error)) return -1;
        struct layer *layer = &network->layers[i];
        layer_init(layer, LAYER_DENSE);
        layer->activation = sources[i].activation;
        layer->inputs = (uint32_t)source_inputs(&sources[i]);
        layer->units = (uint32_t)source_outputs(&sources[i]);
        if (sources[i].weight->dtype == DTYPE_FLOAT64 ||
            (sources[i].bias && sources[i].bias->dtype == DTYPE_FLOAT64))
            dtype = DTYPE_FLOAT64;
    }
    bool has_note = note && network_from_json(note, &noted, &unused) == 0;
    choose_picture(network, has_note ? &noted : NULL, options);
    if (network_finish(network, error) || network_check(network, error) ||
        parameters_create(network, dtype, &out->parameters, error))
        return -1;
    for (size_t i = 0; i < count; i++) fill_layer(out->parameters, i, &sources[i]);
    out->activation_known = true;
    return 0;
}

/* One layer of a state dict while its tensors are being gathered. */
struct stem {
    struct dense_source source;
    const char *text; /* within the tensor's name, `length` bytes: "fc1" of "fc1.weight" */
    size_t length;
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

static int gather_tensor(const struct named_tensor *tensor, size_t skip, struct stem *stems,
                         size_t *count, struct error *error)
{
    const char *name = tensor->name + skip, *dot = strrchr(name, '.');
    const char *kind = dot ? dot + 1 : name;
    size_t length = dot ? (size_t)(dot - name) : 0, i = 0;
    bool weight = strcmp(kind, "weight") == 0;
    if (!weight && strcmp(kind, "bias") != 0)
        return error_set(
            error, ERROR_INPUT,
            "the tensor %s is no dense layer's weight or bias: the studio reads networks of "
            "dense layers",
            tensor->name);
    while (i < *count && (stems[i].length != length || memcmp(stems[i].text, name, length) != 0))
        i++;
    if (i == *count) {
        if (i == NETWORK_MAX_LAYERS)
            return error_set(error, ERROR_INPUT,
                             "it has more than %d layers: the studio takes no more",
                             NETWORK_MAX_LAYERS);
        stems[(*count)++] = (struct stem){
            .text = name, .length = length, .source.name = tensor->name};
    }
    *(weight ? &stems[i].source.weight : &stems[i].source.bias) = tensor;
    return 0;
}

/* The network that was noted beside the tensors knows the activations; it must describe these very
 * tensors. */
static int take_note(const json_t *note, struct dense_source *sources, size_t count,
                     struct error *error)
{
    struct network noted;
    if (network_from_json(note, &noted, error))
        return error_prefix(error, "the network noted in the file");
    bool fits = noted.layer_count == count;
    for (size_t i = 0; fits && i < count; i++) {
        fits = noted.layers[i].inputs == source_inputs(&sources[i]) &&
               noted.layers[i].outputs == source_outputs(&sources[i]);
        sources[i].activation = noted.layers[i].activation;
    }
    return fits
               ? 0
               : error_set(
                     error, ERROR_INPUT,
                     "the network noted in the file does not fit its tensors: the file is damaged");
}

/* Checks, order and activations of layers whose file tells none. */
static int arrange(struct dense_source *sources, size_t count, bool ordered,
                   const struct modelfile_options *options, struct error *error)
{
    enum activation usual = options ? options->default_activation : ACTIVATION_NONE;
    if (!count)
        return error_set(error, ERROR_INPUT,
                         "it holds no dense layer: give a file with trained weights");
    for (size_t i = 0; i < count; i++) {
        if (check_source(&sources[i], error)) return -1;
        sources[i].activation = usual == ACTIVATION_NONE ? ACTIVATION_RELU : usual;
    }
    if (!ordered) dense_sort(sources, count);
    if (dense_order(sources, count, error)) return -1;
    sources[count - 1].activation = ACTIVATION_NONE;
    return 0;
}

int model_from_layers(struct dense_source *sources, size_t count, bool ordered,
                      const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    if (arrange(sources, count, ordered, options, error) ||
        model_from_dense(sources, count, NULL, options, out, error))
        return -1;
    out->activation_known = count == 1;
    return 0;
}

int model_from_state_dict(const struct state_dict *state, const json_t *note, bool ordered,
                          const struct modelfile_options *options, struct model *out,
                          struct error *error)
{
    struct stem stems[NETWORK_MAX_LAYERS];
    struct dense_source sources[NETWORK_MAX_LAYERS];
    size_t count = 0, skip = common_prefix(state);
    for (size_t i = 0; i < state->count; i++)
        if (gather_tensor(&state->tensors[i], skip, stems, &count, error)) return -1;
    for (size_t i = 0; i < count; i++) {
        if (!stems[i].source.weight)
            return error_set(
                error, ERROR_INPUT,
                "the tensor %s has no weight beside it: the studio reads networks of dense "
                "layers",
                stems[i].source.name);
        sources[i] = stems[i].source;
        sources[i].name = sources[i].weight->name;
    }
    if (arrange(sources, count, ordered, options, error)) return -1;
    if (note && take_note(note, sources, count, error)) return -1;
    if (model_from_dense(sources, count, note, options, out, error)) return -1;
    out->activation_known = note || count == 1;
    return 0;
}
