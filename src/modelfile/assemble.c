#include "modelfile/assemble.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "net/layout.h"

size_t source_inputs(const struct layer_source *source)
{
    const struct named_tensor *weight = source->tensors[ROLE_WEIGHT];
    return weight->rank == 2 ? weight->shape[source->axes == AXES_PYTORCH ? 1 : 0] : 0;
}

size_t source_outputs(const struct layer_source *source)
{
    const struct named_tensor *weight = source->tensors[ROLE_WEIGHT];
    return weight->rank == 2 ? weight->shape[source->axes == AXES_PYTORCH ? 0 : 1] : 0;
}

int model_assume(struct model *model, struct error *error, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!model->assumed) model->assumed = json_array();
    json_t *value = json_string(text);
    if (!value) value = json_string("something whose name is not text");
    return json_array_append_new(model->assumed, value)
               ? error_set_memory(error, "what was assumed")
               : 0;
}

int need_picture(const struct network *told, struct error *error)
{
    return error_set(error, ERROR_USAGE,
                     "--net begins with %s, which needs the size of the pictures: give it, as in "
                     "--input 28x28",
                     layer_kind(told->layers[0].type)->name);
}

char *note_text(const json_t *assumed)
{
    struct buffer text;
    size_t index;
    json_t *line;
    buffer_init(&text, 1 << 20);
    json_array_foreach(assumed, index, line)
        buffer_printf(&text, "%s%s", index ? "\n" : "", json_string_value(line));
    if (!text.failed) return text.data;
    buffer_free(&text);
    return NULL;
}

json_t *note_lines(const char *text)
{
    json_t *lines = json_array();
    while (*text) {
        size_t length = strcspn(text, "\n");
        json_array_append_new(lines, json_stringn(text, length));
        text += length + (text[length] == '\n');
    }
    return lines;
}

/* --- tensors ---------------------------------------------------------------------------------- */

int source_check_dense(const struct layer_source *source, struct error *error)
{
    char a[64], b[64];
    const struct named_tensor *weight = source->tensors[ROLE_WEIGHT],
                              *bias = source->tensors[ROLE_BIAS];
    if (weight->rank != 2)
        return error_set(
            error, ERROR_INPUT,
            "the tensor %s has the shape %s, a dense layer's weight has two dimensions, and the "
            "file does not say its layers: say them, as in --net \"conv 8 3x3 relu, flatten, dense "
            "10\" --input 28x28",
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

/* Where the values of `to` lie in a source of these axes, and the shape that the source must
 * have. */
static struct layout source_layout(const struct network *network, const struct tensor *to,
                                   enum axes axes)
{
    if (axes == AXES_KERAS) return layout_of(network, to);
    struct layout layout = {.rank = to->rank, .keras = {.rank = to->rank}};
    bool turned = axes == AXES_TRANSPOSED && to->rank == 2;
    for (uint32_t d = 0; d < to->rank; d++) {
        layout.sizes[d] = to->shape[d];
        layout.order[d] = turned ? to->rank - 1 - d : d;
    }
    for (uint32_t d = 0; d < to->rank; d++)
        layout.keras.sizes[d] = (uint32_t)to->shape[layout.order[d]];
    return layout;
}

static bool has_shape(const struct named_tensor *tensor, const struct shape *shape)
{
    if (tensor->rank != shape->rank) return false;
    for (uint32_t d = 0; d < shape->rank; d++)
        if (tensor->shape[d] != shape->sizes[d]) return false;
    return true;
}

/* The source's values in the dtype that is wanted; *owned is to be freed. */
static const void *values_as(const struct named_tensor *tensor, enum dtype dtype, double **owned)
{
    *owned = NULL;
    if (tensor->dtype == dtype) return tensor->values;
    CHECK(dtype == DTYPE_FLOAT64);
    double *wide = malloc((tensor->count + 1) * sizeof *wide);
    for (size_t i = 0; wide && i < tensor->count; i++) wide[i] = ((const float *)tensor->values)[i];
    return *owned = wide;
}

/* Keras's Conv2D with a group for each channel has [rows, columns, 1, filters] where its
 * DepthwiseConv2D has [rows, columns, channels, filters of each]: the same values in a row. */
static bool is_grouped_kernel(const struct named_tensor *tensor, const struct shape *shape)
{
    return tensor->rank == 4 && shape->rank == 4 && tensor->shape[0] == shape->sizes[0] &&
           tensor->shape[1] == shape->sizes[1] && tensor->shape[2] == 1 &&
           tensor->shape[3] == (size_t)shape->sizes[2] * shape->sizes[3];
}

static int fill_tensor(const struct network *network, struct parameters *parameters,
                       struct tensor *to, const struct layer_source *source, struct error *error)
{
    const struct named_tensor *from = source->tensors[to->role];
    struct layout layout = source_layout(network, to, source->axes);
    if (!has_shape(from, &layout.keras) &&
        !(source->axes == AXES_KERAS && is_grouped_kernel(from, &layout.keras))) {
        char have[64], want[64];
        size_t sizes[SHAPE_MAX_RANK];
        for (uint32_t d = 0; d < layout.keras.rank; d++) sizes[d] = layout.keras.sizes[d];
        return error_set(error, ERROR_INPUT,
                         "the tensor %s has the shape %s, but its layer \"%.80s\" needs %s: the "
                         "file is damaged",
                         from->name, shape_text(from->rank, from->shape, have), source->name,
                         shape_text(layout.keras.rank, sizes, want));
    }
    double *owned;
    const void *values = values_as(from, parameters->dtype, &owned);
    if (!values) return error_set_memory(error, "the parameters");
    layout_from_keras(&layout, values, to->values, dtype_size(parameters->dtype));
    free(owned);
    return 0;
}

static void fill_initial(struct parameters *parameters, struct tensor *to, double value)
{
    for (size_t i = 0; i < to->count; i++) tensor_set(parameters, to, i, value);
}

/* A layer's tensors; one that the file leaves out (a bias, a scale) has the value that changes
 * nothing. */
static int fill_layer(const struct network *network, uint32_t index, struct parameters *parameters,
                      const struct layer_source *source, struct error *error)
{
    struct tensor_spec specs[LAYER_MAX_TENSORS];
    for (uint32_t k = 0, n = layer_tensors(&network->layers[index], specs); k < n; k++) {
        struct tensor *to = parameters_find(parameters, index, specs[k].role);
        if (!source->tensors[specs[k].role]) {
            if (specs[k].role != ROLE_BIAS && specs[k].fan_in)
                return error_set(error, ERROR_INPUT, "the layer \"%.80s\" has no weights",
                                 source->name);
            fill_initial(parameters, to, specs[k].initial);
        } else if (fill_tensor(network, parameters, to, source, error)) {
            return -1;
        }
    }
    return 0;
}

static bool has_weights(const struct layer_source *source)
{
    return source->layer.type == LAYER_DENSE || source->layer.type == LAYER_CONV2D;
}

/* --- the network ------------------------------------------------------------------------------ */

/* An activation in a layer of its own, where the layer before can carry it: it is put there. */
static bool joins_layer_before(const struct layer *layer, struct layer_source *out, size_t kept)
{
    struct layer *before = kept ? &out[kept - 1].layer : NULL;
    if (layer->type != LAYER_ACTIVATION || !before || !layer_takes_activation(before)) return false;
    before->activation = layer->activation;
    before->slope = layer->slope;
    return true;
}

/* Layers that do nothing when a trained network is used, or nothing in their place, are left out;
 * where feature maps * meet a dense layer, a flatten is put in. Returns how many there are in
 * out[]. */
static int canonical(const struct layer_source *sources, size_t count,
                     struct layer_source out[NETWORK_MAX_LAYERS], size_t *kept, struct error *error)
{
    bool maps = true, flatten = false;
    *kept = 0;
    for (size_t i = 0; i < count; i++) {
        enum layer_type type = sources[i].layer.type;
        if (type == LAYER_FLATTEN) {
            flatten = maps;
            continue;
        }
        bool needs = type == LAYER_DENSE ? maps && *kept : flatten;
        if (*kept + needs >= NETWORK_MAX_LAYERS)
            return error_set(error, ERROR_INPUT, "it has %zu layers: the most is %d", count,
                             NETWORK_MAX_LAYERS);
        if (needs) {
            out[*kept] = (struct layer_source){.name = "flatten"};
            layer_init(&out[(*kept)++].layer, LAYER_FLATTEN);
        }
        if (joins_layer_before(&sources[i].layer, out, *kept)) continue;
        out[(*kept)++] = sources[i];
        if (layer_type_gathers(type) || flatten) maps = false;
        flatten = false;
    }
    return *kept ? 0
                 : error_set(error, ERROR_INPUT,
                             "it holds no dense layer: give a file with trained weights");
}

static bool fits(uint64_t values, uint32_t rows, uint32_t columns, uint32_t channels)
{
    return rows && columns &&
           (!values || (uint64_t)rows * columns * (channels ? channels : 1) == values);
}

/* The picture's shape: as asked, as the file says, as noted, a square, a line. `values` is 0 when
 * no layer says it. */
static int choose_picture(struct network *network, uint64_t values,
                          const struct source_input *input, const struct network *noted,
                          const struct modelfile_options *options, struct error *error)
{
    uint32_t side = 1;
    while ((uint64_t)side * side < values) side++;
    if (options && fits(values, options->rows, options->columns, 1)) {
        network->rows = options->rows;
        network->columns = options->columns;
    } else if (input && fits(values, input->rows, input->columns, input->channels)) {
        network->rows = input->rows;
        network->columns = input->columns;
        network->channels = input->channels;
    } else if (noted && fits(values, noted->rows, noted->columns, noted->channels)) {
        network->rows = noted->rows;
        network->columns = noted->columns;
        network->channels = noted->channels;
    } else if (!values) {
        return error_set(error, ERROR_INPUT,
                         "the file does not say the size of its pictures: save it with an input "
                         "of a fixed shape");
    } else {
        network->rows = (uint64_t)side * side == values ? side : 1;
        network->columns = (uint32_t)(values / network->rows);
    }
    return 0;
}

/* Whether a layer leaves the number of values as it is. */
static bool keeps_values(enum layer_type type)
{
    return !layer_type_slides(type) && !layer_type_gathers(type);
}

/* The values of a picture as the first dense layer tells them; 0 when layers before it change their
 * number. */
static uint64_t picture_values(const struct layer_source *sources, size_t count)
{
    size_t i = 0;
    while (i < count && keeps_values(sources[i].layer.type)) i++;
    return i < count && sources[i].layer.type == LAYER_DENSE ? source_inputs(&sources[i]) : 0;
}

static int build_network(const struct layer_source *sources, size_t count,
                         const struct source_input *input, const struct network *noted,
                         const struct modelfile_options *options, struct network *network,
                         struct error *error)
{
    *network = (struct network){.layer_count = (uint32_t)count};
    for (size_t i = 0; i < count; i++) {
        struct layer *layer = &network->layers[i];
        *layer = sources[i].layer;
        if (has_weights(&sources[i]) && !sources[i].tensors[ROLE_BIAS]) layer->without_bias = true;
        if (layer->type != LAYER_DENSE) continue;
        if (!sources[i].tensors[ROLE_WEIGHT])
            return error_set(error, ERROR_INPUT, "the layer \"%.80s\" has no weights",
                             sources[i].name);
        if (source_check_dense(&sources[i], error)) return -1;
        layer->inputs = (uint32_t)source_inputs(&sources[i]);
        layer->units = (uint32_t)source_outputs(&sources[i]);
    }
    if (choose_picture(network, picture_values(sources, count), input, noted, options, error))
        return -1;
    return network_finish(network, error);
}

static enum dtype widest(const struct layer_source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int role = 0; role < ROLE_COUNT; role++)
            if (sources[i].tensors[role] && sources[i].tensors[role]->dtype == DTYPE_FLOAT64)
                return DTYPE_FLOAT64;
    return DTYPE_FLOAT32;
}

/* --- activations ------------------------------------------------------------------------------ */

/* What the file does not say: each hidden layer's activation, as told or else relu. */
static int tell_activations(struct layer_source *sources, size_t count,
                            const struct modelfile_options *options, struct error *error)
{
    size_t hidden = 0, given = options ? options->activation_count : 0;
    for (size_t i = 0; i < count; i++) hidden += has_weights(&sources[i]);
    if (hidden) hidden--;
    if (given > 1 && given != hidden)
        return error_set(error, ERROR_USAGE,
                         "--activation names %zu activations, but the network has %zu hidden "
                         "layers: name one for all or one for each",
                         given, hidden);
    for (size_t i = 0, n = 0; i < count; i++) {
        if (!has_weights(&sources[i])) continue;
        sources[i].layer.activation = n == hidden ? ACTIVATION_NONE
                                      : given     ? options->activations[given > 1 ? n : 0]
                                                  : ACTIVATION_RELU;
        n++;
    }
    return 0;
}

static int note_activations(struct model *model, struct error *error)
{
    for (uint32_t i = 0; i + 1 < model->network.layer_count; i++)
        if (model_assume(model, error, "activation of layer %u: %s", i + 1,
                         activation_name(model->network.layers[i].activation)))
            return -1;
    return 0;
}

/* What the studio itself noted as assumed stays so, unless it is told this time. */
static int settle_activations(struct layer_source *sources, size_t count, bool said,
                              const struct model_note *note,
                              const struct modelfile_options *options, struct model *out,
                              struct error *error)
{
    bool assumed = note && json_array_size(note->assumed),
         told = options && options->activation_count;
    if (said && assumed && !told) {
        out->assumed = json_deep_copy(note->assumed);
        return out->assumed ? 0 : error_set_memory(error, "what was assumed");
    }
    return said && !assumed ? 0 : tell_activations(sources, count, options, error);
}

int model_from_layers(struct layer_source *sources, size_t count, const struct source_input *input,
                      bool activations_said, const struct model_note *note,
                      const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    struct network noted, *network = &out->network;
    struct error unused;
    struct layer_source *kept = calloc(NETWORK_MAX_LAYERS, sizeof *kept);
    int status = -1;
    size_t used;
    bool told = options && options->activation_count;
    if (!kept) return error_set_memory(error, "the layers");
    if (settle_activations(sources, count, activations_said, note, options, out, error) ||
        canonical(sources, count, kept, &used, error))
        goto out;
    bool has_note = note && note->network && !network_from_json(note->network, &noted, &unused);
    if (build_network(kept, used, input, has_note ? &noted : NULL, options, network, error) ||
        parameters_create(network, widest(kept, used), &out->parameters, error))
        goto out;
    for (uint32_t i = 0; i < used; i++)
        if (fill_layer(network, i, out->parameters, &kept[i], error)) goto out;
    status = !activations_said && !told ? note_activations(out, error) : 0;
out:
    free(kept);
    return status;
}
