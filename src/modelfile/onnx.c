/* Reading .onnx: a graph that is a plain chain of layers from its input to one output. Constants,
 * and the integers that * exporters compute shapes with, are worked out beforehand (onnx_values.c).
 * * https://onnx.ai/onnx/operators says what each node means. */
#include "modelfile/onnx.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/assemble.h"
#include "modelfile/formats.h"
#include "modelfile/onnx_operators.h"

#define FILE_MAX       (NETWORK_MAX_PARAMETERS * sizeof(double) + ((size_t)16 << 20))
#define NODES_MAX      4096
#define PATH_MAX_NODES 512

static const char *word(const char *text)
{
    return text ? text : "";
}

static struct layer *last_layer(struct onnx_reading *reading)
{
    return reading->count ? &reading->sources[reading->count - 1].layer : NULL;
}

/* The one input that is no constant (older files list the constants among the inputs as well). */
static const Onnx__ValueInfoProto *find_input(const struct onnx_reading *reading,
                                              struct error *error)
{
    const Onnx__GraphProto *graph = reading->values.graph;
    const Onnx__ValueInfoProto *found = NULL;
    struct onnx_constant constant;
    for (size_t i = 0; i < graph->n_input; i++) {
        if (onnx_constant_find(&reading->values, word(graph->input[i]->name), &constant)) continue;
        if (found) {
            error_set(error, ERROR_INPUT,
                      "it has more than one input: the studio reads plain chains of layers");
            return NULL;
        }
        found = graph->input[i];
    }
    if (!found) error_set(error, ERROR_INPUT, "it has no input: the studio reads networks");
    return found;
}

static const Onnx__TensorShapeProto *shape_of(const Onnx__ValueInfoProto *value)
{
    const Onnx__TypeProto *type = value->type;
    return type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
               ? type->tensor_type->shape
               : NULL;
}

static void take_input(struct onnx_reading *reading, const Onnx__ValueInfoProto *input)
{
    const Onnx__TensorShapeProto *shape = shape_of(input);
    if (!shape || shape->n_dim < 2 || shape->n_dim > ONNX_MAX_RANK) return;
    reading->rank = shape->n_dim;
    for (size_t d = 0; d < shape->n_dim; d++)
        if (shape->dim[d]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
            shape->dim[d]->dim_value > 0)
            reading->dims[d] = shape->dim[d]->dim_value;
    onnx_note_picture(reading);
}

static bool is_floating_output(const Onnx__ValueInfoProto *output)
{
    const Onnx__TypeProto *type = output->type;
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return !type;
    return !type->tensor_type->has_elem_type || onnx_is_floating(type->tensor_type->elem_type);
}

/* The first output of floating-point numbers: beside it a classifier may have its labels. `others`
 * counts the further * ones of that kind. */
static const Onnx__ValueInfoProto *find_output(const Onnx__GraphProto *graph, size_t *others)
{
    const Onnx__ValueInfoProto *found = NULL;
    *others = 0;
    for (size_t i = 0; i < graph->n_output; i++) {
        if (!is_floating_output(graph->output[i])) continue;
        if (found)
            ++*others;
        else
            found = graph->output[i];
    }
    return found ? found : graph->n_output ? graph->output[graph->n_output - 1] : NULL;
}

/* The output that was asked for. */
static int find_named_output(const Onnx__GraphProto *graph, const char *name,
                             const Onnx__ValueInfoProto **out, struct error *error)
{
    char names[160] = "";
    size_t length = 0;
    for (size_t i = 0; i < graph->n_output; i++) {
        *out = graph->output[i];
        if (strcmp(word((*out)->name), name) == 0) return 0;
        if (length < sizeof names - 60)
            length += (size_t)snprintf(names + length, sizeof names - length, "%s%.40s",
                                       i ? ", " : "", word((*out)->name));
    }
    return error_set(error, ERROR_INPUT,
                     "it has no output \"%.80s\" (its outputs: %s): name one of them with --key",
                     name, names);
}

/* The nodes from the input to the value `name`, in path[] from the last to the first. */
static int find_path(const struct onnx_reading *reading, const char *input, const char *name,
                     const Onnx__NodeProto *path[PATH_MAX_NODES], size_t *count,
                     struct error *error)
{
    *count = 0;
    while (strcmp(name, input) != 0) {
        const Onnx__NodeProto *node = onnx_producer(&reading->values, name);
        struct onnx_constant constant;
        const char *from = NULL;
        if (!node)
            return error_set(error, ERROR_INPUT,
                             "its output does not come from its input: nothing gives \"%.80s\"",
                             name);
        if (*count == PATH_MAX_NODES) return onnx_refuse(node, "is one node too many", error);
        if (strcmp(word(node->output[0]), name) != 0)
            return onnx_refuse(node, "is used by its second output", error);
        path[(*count)++] = node;
        const char *gated = onnx_gated(&reading->values, node);
        if (gated) {
            name = gated;
            continue;
        }
        bool one = strcmp(word(node->op_type), "Reshape") == 0 ||
                   strcmp(word(node->op_type), "Pad") == 0; /* the others may be computed */
        size_t data = one && node->n_input ? 1 : node->n_input;
        for (size_t i = 0; i < data; i++) {
            if (!*word(node->input[i]) ||
                onnx_constant_find(&reading->values, node->input[i], &constant))
                continue;
            if (from)
                return onnx_refuse(node, "joins two branches or multiplies by no constant", error);
            from = node->input[i];
        }
        if (!from) return onnx_refuse(node, "does not follow from the input", error);
        name = from;
    }
    return 0;
}

/* No value may have two meanings. */
static int check_names(const Onnx__GraphProto *graph, struct error *error)
{
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t o = 0; o < graph->node[i]->n_output; o++)
            for (size_t j = 0; j < i; j++)
                for (size_t p = 0; p < graph->node[j]->n_output; p++)
                    if (*word(graph->node[i]->output[o]) &&
                        strcmp(graph->node[i]->output[o], word(graph->node[j]->output[p])) == 0)
                        return onnx_refuse(graph->node[i],
                                           "gives a value that another node gives too", error);
    return 0;
}

/* What the graph says of its output's size must be so. */
static int check_output(const struct onnx_reading *reading, const Onnx__ValueInfoProto *output,
                        struct error *error)
{
    const Onnx__TensorShapeProto *shape = shape_of(output);
    if (!shape || shape->n_dim != 2 || reading->rank != 2 || reading->dims[1] < 1 ||
        shape->dim[1]->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
        shape->dim[1]->dim_value < 1 || shape->dim[1]->dim_value == reading->dims[1])
        return 0;
    return error_set(error, ERROR_INPUT,
                     "its output \"%.80s\" is declared with %lld values, but has %lld: the file is "
                     "damaged",
                     word(output->name), (long long)shape->dim[1]->dim_value,
                     (long long)reading->dims[1]);
}

static void end_chain(struct onnx_reading *reading)
{
    struct layer *last = last_layer(reading);
    if (!last || reading->taken_off || last->activation != ACTIVATION_SIGMOID) return;
    reading->taken_off = "sigmoid";
    last->activation = ACTIVATION_NONE;
    if (last->type == LAYER_ACTIVATION) reading->count--;
}

static int say_output(struct onnx_reading *reading, const Onnx__ValueInfoProto *output,
                      size_t others, struct model *out, struct error *error)
{
    if (others && model_assume(out, error, "output: %.80s (the first of %zu)", word(output->name),
                               others + 1))
        return -1;
    if (!reading->taken_off || strcmp(reading->taken_off, "softmax") == 0) return 0;
    return model_assume(out, error,
                        "%s at the end: taken off; this is not a softmax classifier, its loss is "
                        "computed as if it were one",
                        reading->taken_off);
}

static int read_graph(struct onnx_reading *reading, const struct model_note *note,
                      const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    const Onnx__GraphProto *graph = reading->values.graph;
    const Onnx__NodeProto *path[PATH_MAX_NODES];
    size_t count, others;
    if (graph->n_node > NODES_MAX)
        return error_set(error, ERROR_INPUT, "it has %zu nodes: the most is %d", graph->n_node,
                         NODES_MAX);
    const Onnx__ValueInfoProto *input = find_input(reading, error),
                               *output = find_output(graph, &others);
    if (!input) return -1;
    if (options && options->key) {
        if (find_named_output(graph, options->key, &output, error)) return -1;
        others = 0;
    }
    if (!output)
        return error_set(error, ERROR_INPUT, "it has no output: the studio reads networks");
    if (check_names(graph, error)) return -1;
    if (find_path(reading, word(input->name), word(output->name), path, &count, error)) return -1;
    take_input(reading, input);
    onnx_values_note(&reading->values, word(input->name), reading->rank, reading->dims);
    for (size_t i = count; i-- > 0;) {
        if (onnx_take_node(reading, path[i], error)) return -1;
        onnx_values_note(&reading->values, path[i]->output[0], reading->rank, reading->dims);
    }
    if (reading->padder) return onnx_refuse_padder(reading, error);
    if (check_output(reading, output, error)) return -1;
    end_chain(reading);
    for (size_t i = 0; i < reading->count; i++)
        for (int role = 0; role < ROLE_COUNT; role++)
            reading->sources[i].tensors[role] =
                reading->tensors[i][role] == ONNX_NO_TENSOR
                    ? NULL
                    : &reading->values.state.tensors[reading->tensors[i][role]];
    for (size_t i = 0; i < reading->count; i++)
        if (reading->sources[i].layer.type == LAYER_DENSE)
            reading->sources[i].name = reading->sources[i].tensors[ROLE_WEIGHT]->name;
    if (model_from_layers(reading->sources, reading->count, &reading->input, true, note, options,
                          out, error))
        return -1;
    return say_output(reading, output, others, out, error);
}

/* metadata_props without the network; *note gets that, parsed. What is no text is left out. */
static json_t *read_metadata(const Onnx__ModelProto *model, json_t **note, json_t **assumed)
{
    struct error unused;
    json_t *metadata = json_object();
    *note = *assumed = NULL;
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const char *key = word(model->metadata_props[i]->key),
                   *value = word(model->metadata_props[i]->value);
        if (strcmp(key, ONNX_ASSUMED_KEY) == 0) {
            if (!*assumed) *assumed = note_lines(value);
        } else if (strcmp(key, ONNX_NETWORK_KEY) != 0)
            json_object_set_new(metadata, key, json_string(value));
        else if (!*note && js_parse_object(value, strlen(value), "the network", note, &unused))
            *note = NULL;
    }
    return metadata;
}

static int read_message(const Onnx__ModelProto *message, const char *path,
                        const struct modelfile_options *options, struct model *out,
                        struct error *error)
{
    struct onnx_reading *reading = calloc(1, sizeof *reading);
    json_t *metadata = NULL, *note = NULL, *assumed = NULL;
    int status = -1;
    if (!reading) return error_set_memory(error, "the graph");
    if (!message->graph) {
        error_set(error, ERROR_INPUT, "it is not an ONNX model, or damaged or cut short");
        goto out;
    }
    metadata = read_metadata(message, &note, &assumed);
    const struct model_note noted = {.network = json_is_object(note) ? note : NULL,
                                     .assumed = assumed};
    if (onnx_values_open(&reading->values, message, path, error) ||
        read_graph(reading, &noted, options, out, error))
        goto out;
    if (reading->taken_off && strcmp(reading->taken_off, "softmax") == 0)
        json_object_set_new(metadata, "note",
                            json_string("the file ends in softmax, which was taken off: the "
                                        "studio's networks end in logits"));
    out->metadata = json_incref(metadata);
    status = 0;
out:
    onnx_values_close(&reading->values);
    free(reading);
    json_decref(metadata);
    json_decref(note);
    json_decref(assumed);
    return status;
}

static int read_model(const char *path, const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    char *data;
    size_t size;
    if (file_read(path, FILE_MAX, &data, &size, error)) return -1;
    int status = onnx_check_wire((const unsigned char *)data, size, error);
    Onnx__ModelProto *message = status
                                    ? NULL
                                    : onnx__model_proto__unpack(NULL, size, (const uint8_t *)data);
    free(data);
    if (message)
        status = read_message(message, path, options, out, error);
    else if (!status)
        status = error_set(error, ERROR_INPUT, "it is not an ONNX model, or damaged or cut short");
    if (message) onnx__model_proto__free_unpacked(message, NULL);
    return status ? error_prefix(error, "%s", path) : 0;
}

const struct modelfile_format modelfile_onnx = {
    .id = "onnx",
    .title = "ONNX model",
    .extensions = "onnx",
    .read = read_model,
    .write = onnx_write_model,
};
