#include "modelfile/onnx_values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modelfile/onnx_external.h"

#define DEPTH_MAX 16 /* of constants made of constants */

static const char *word(const char *text)
{
    return text ? text : "";
}

/* --- nodes ------------------------------------------------------------------------------------ */

const char *onnx_node_name(const Onnx__NodeProto *node)
{
    return *word(node->name) ? node->name : node->n_output ? word(node->output[0]) : "";
}

int onnx_refuse(const Onnx__NodeProto *node, const char *why, struct error *error)
{
    error_set(error, ERROR_INPUT,
              "the node \"%.80s\" %s: the studio reads plain chains of the layers it knows",
              onnx_node_name(node), why);
    return -1;
}

const Onnx__AttributeProto *onnx_attribute(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(word(node->attribute[i]->name), name) == 0) return node->attribute[i];
    return NULL;
}

const Onnx__NodeProto *onnx_producer(const struct onnx_values *values, const char *name)
{
    for (size_t i = 0; i < values->graph->n_node; i++) {
        const Onnx__NodeProto *node = values->graph->node[i];
        for (size_t o = 0; o < node->n_output; o++)
            if (*word(node->output[o]) && strcmp(node->output[o], name) == 0) return node;
    }
    return NULL;
}

const char *onnx_gated(const struct onnx_values *values, const Onnx__NodeProto *node)
{
    if (strcmp(word(node->op_type), "Mul") != 0 || node->n_input != 2) return NULL;
    for (size_t side = 0; side < 2; side++) {
        const char *from = word(node->input[side]);
        const Onnx__NodeProto *gate = onnx_producer(values, word(node->input[1 - side]));
        if (*from && gate && strcmp(word(gate->op_type), "Sigmoid") == 0 && gate->n_input == 1 &&
            strcmp(word(gate->input[0]), from) == 0)
            return from;
    }
    return NULL;
}

static bool is_op(const Onnx__NodeProto *node, const char *op_type)
{
    return strcmp(word(node->op_type), op_type) == 0 &&
           (!*word(node->domain) || strcmp(node->domain, "ai.onnx") == 0);
}

int onnx_values_open(struct onnx_values *values, const Onnx__ModelProto *model, const char *path,
                     struct error *error)
{
    *values = (struct onnx_values){.graph = model->graph, .path = path, .opset = 1};
    for (size_t i = 0; i < model->n_opset_import; i++)
        if (!*word(model->opset_import[i]->domain) ||
            strcmp(model->opset_import[i]->domain, "ai.onnx") == 0)
            values->opset = model->opset_import[i]->version;
    values->shape_room = model->graph->n_node + 1;
    values->shapes = calloc(values->shape_room, sizeof *values->shapes);
    return values->shapes ? 0 : error_set_memory(error, "the graph");
}

void onnx_values_close(struct onnx_values *values)
{
    free(values->shapes);
    state_dict_clear(&values->state);
}

void onnx_values_note(struct onnx_values *values, const char *name, size_t rank,
                      const int64_t *dims)
{
    if (values->shape_count == values->shape_room) return;
    struct onnx_shape *shape = &values->shapes[values->shape_count++];
    *shape = (struct onnx_shape){.name = name, .rank = rank};
    memcpy(shape->dims, dims, sizeof shape->dims);
}

/* --- constants -------------------------------------------------------------------------------- */

static const Onnx__TensorProto *find_initializer(const struct onnx_values *values, const char *name)
{
    for (size_t i = 0; i < values->graph->n_initializer; i++)
        if (strcmp(word(values->graph->initializer[i]->name), name) == 0)
            return values->graph->initializer[i];
    return NULL;
}

static bool take_constant_node(const Onnx__NodeProto *node, struct onnx_constant *out)
{
    static const char *const lists[] = {"value_float", "value_floats", "value_int", "value_ints"};
    const Onnx__AttributeProto *value = onnx_attribute(node, "value");
    out->tensor = value ? value->t : NULL;
    for (size_t i = 0; i < sizeof lists / sizeof *lists && !out->list; i++)
        out->list = onnx_attribute(node, lists[i]);
    return out->tensor || out->list;
}

/* A matrix with its two axes exchanged. */
static bool exchanges(const Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *order = onnx_attribute(node, "perm");
    return !order || (order->n_ints == 2 && order->ints[0] == 1 && order->ints[1] == 0);
}

bool onnx_constant_find(const struct onnx_values *values, const char *name,
                        struct onnx_constant *out)
{
    *out = (struct onnx_constant){0};
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        out->tensor = find_initializer(values, word(name));
        if (out->tensor) return true;
        const Onnx__NodeProto *node = onnx_producer(values, word(name));
        if (!node) return false;
        if (is_op(node, "Constant")) return take_constant_node(node, out);
        const Onnx__AttributeProto *to = onnx_attribute(node, "to");
        bool cast = is_op(node, "Cast") && to && onnx_is_floating((int32_t)to->i);
        bool turn = is_op(node, "Transpose") && exchanges(node);
        if (!node->n_input || !(is_op(node, "Identity") || cast || turn)) return false;
        if (turn) out->turned = !out->turned;
        name = node->input[0];
    }
    return false;
}

/* The types of numbers that can be weights. */
static const struct {
    int32_t data_type;
    enum stored_type stored;
} data_types[] = {
    {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, STORED_FLOAT32},
    {ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, STORED_FLOAT64},
    {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, STORED_FLOAT16},
    {ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, STORED_BFLOAT16},
};

static int find_type(int32_t data_type, enum stored_type *out)
{
    for (size_t i = 0; i < sizeof data_types / sizeof *data_types; i++) {
        if (data_types[i].data_type != data_type) continue;
        *out = data_types[i].stored;
        return 0;
    }
    return -1;
}

bool onnx_is_floating(int32_t data_type)
{
    enum stored_type unused;
    return find_type(data_type, &unused) == 0;
}

/* A constant's numbers where they lie; `owned` is to be freed. */
struct numbers {
    char name[STATE_DICT_MAX_NAME];
    enum stored_type stored;
    size_t rank, shape[STATE_DICT_MAX_RANK], count;
    const void *values;
    void *owned;
};

static bool is_external(const Onnx__TensorProto *tensor)
{
    return tensor->n_external_data ||
           (tensor->has_data_location &&
            tensor->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL);
}

/* Half-precision numbers may stand one by one in a list of integers. */
static int unpack_halves(const Onnx__TensorProto *tensor, struct numbers *out, struct error *error)
{
    uint16_t *halves = malloc((tensor->n_int32_data + 1) * sizeof *halves);
    if (!halves) return error_set_memory(error, "a tensor");
    for (size_t i = 0; i < tensor->n_int32_data; i++) halves[i] = (uint16_t)tensor->int32_data[i];
    out->values = out->owned = halves;
    return 0;
}

/* Where the values lie: another file, raw_data, or the list for the type. */
static int find_values(const struct onnx_values *values, const Onnx__TensorProto *tensor,
                       struct numbers *out, struct error *error)
{
    size_t size = stored_type_size(out->stored), have;
    bool half = out->stored == STORED_FLOAT16 || out->stored == STORED_BFLOAT16;
    if (is_external(tensor)) {
        if (onnx_external_read(values->path, tensor, out->count * size, &out->owned, error))
            return -1;
        out->values = out->owned;
        return 0;
    }
    if (tensor->has_raw_data) {
        out->values = tensor->raw_data.data;
        have = tensor->raw_data.len % size ? SIZE_MAX : tensor->raw_data.len / size;
    } else {
        have = half                            ? tensor->n_int32_data
               : out->stored == STORED_FLOAT64 ? tensor->n_double_data
                                               : tensor->n_float_data;
        out->values = out->stored == STORED_FLOAT64 ? (const void *)tensor->double_data
                                                    : tensor->float_data;
    }
    if (have != out->count)
        return error_set(
            error, ERROR_INPUT,
            "the shape and the data of the tensor %.80s do not agree: the file is damaged",
            out->name);
    return !tensor->has_raw_data && half ? unpack_halves(tensor, out, error) : 0;
}

static int take_tensor(const struct onnx_values *values, const Onnx__TensorProto *tensor,
                       struct numbers *out, struct error *error)
{
    if (find_type(tensor->data_type, &out->stored))
        return error_set(error, ERROR_INPUT,
                         "the tensor %.80s has the data type %d: save it as float32 or float64",
                         out->name, tensor->data_type);
    if (tensor->segment || tensor->n_dims > STATE_DICT_MAX_RANK)
        return error_set(error, ERROR_INPUT,
                         "the tensor %.80s is stored in a way the studio does not know", out->name);
    for (size_t d = 0; d < tensor->n_dims; d++) {
        if (tensor->dims[d] < 0)
            return error_set(error, ERROR_INPUT,
                             "the shape of the tensor %.80s is odd: the file is damaged",
                             out->name);
        out->shape[out->rank++] = (size_t)tensor->dims[d];
    }
    if (shape_count((uint32_t)out->rank, out->shape, NETWORK_MAX_PARAMETERS, &out->count))
        return error_set(
            error, ERROR_INPUT,
            "the shape and the data of the tensor %.80s do not agree: the file is damaged",
            out->name);
    return find_values(values, tensor, out, error);
}

/* value_float or value_floats of a Constant node. */
static int take_list(const Onnx__AttributeProto *list, struct numbers *out, struct error *error)
{
    out->stored = STORED_FLOAT32;
    if (list->n_floats) {
        out->rank = 1;
        out->shape[0] = out->count = list->n_floats;
        out->values = list->floats;
        return 0;
    }
    if (!list->has_f)
        return error_set(error, ERROR_INPUT, "a constant of integers stands where weights belong");
    out->count = 1;
    out->values = &list->f;
    return 0;
}

/* As a list of `width` values. */
static void become_list(struct numbers *numbers, size_t width, size_t *stride)
{
    size_t rank = 0;
    for (size_t d = 0; d < numbers->rank; d++)
        if (numbers->shape[d] != 1) numbers->shape[rank++] = numbers->shape[d];
    numbers->rank = rank;
    if (numbers->count == 1) {
        numbers->rank = 1;
        numbers->shape[0] = width;
        *stride = 0;
    }
}

/* Two layers may share a tensor, and a Constant node has none's name. */
static void choose_name(const struct onnx_values *values, const struct onnx_constant *constant,
                        char out[STATE_DICT_MAX_NAME])
{
    const char *name = constant->tensor ? word(constant->tensor->name) : "";
    snprintf(out, STATE_DICT_MAX_NAME, "%s", name);
    if (!*name || state_dict_find(&values->state, out))
        snprintf(out, STATE_DICT_MAX_NAME, "constant %zu", values->state.count);
}

static void fill(struct named_tensor *out, const struct numbers *numbers, size_t stride,
                 bool turned)
{
    size_t size = stored_type_size(numbers->stored);
    const char *from = numbers->values;
    if (!turned) {
        named_tensor_fill(out, 0, numbers->stored, from, stride, out->count);
        return;
    }
    size_t rows = out->shape[0], columns = out->shape[1];
    for (size_t r = 0; r < rows; r++)
        named_tensor_fill(out, r * columns, numbers->stored, from + r * size, rows, columns);
}

int onnx_constant_load(struct onnx_values *values, const struct onnx_constant *constant,
                       size_t width, size_t *index, struct error *error)
{
    struct numbers numbers = {.rank = 0};
    struct named_tensor *out;
    size_t stride = 1;
    int status = -1;
    choose_name(values, constant, numbers.name);
    if (constant->tensor ? take_tensor(values, constant->tensor, &numbers, error)
                         : take_list(constant->list, &numbers, error))
        goto out;
    if (width) become_list(&numbers, width, &stride);
    bool turned = constant->turned && numbers.rank == 2;
    if (turned) {
        size_t rows = numbers.shape[0];
        numbers.shape[0] = numbers.shape[1];
        numbers.shape[1] = rows;
    }
    *index = values->state.count;
    if (state_dict_add(&values->state, numbers.name, stored_type_dtype(numbers.stored),
                       (uint32_t)numbers.rank, numbers.shape, &out, error))
        goto out;
    fill(out, &numbers, stride, turned);
    status = 0;
out:
    free(numbers.owned);
    return status;
}

/* --- whole numbers ---------------------------------------------------------------------------- */

static int ints_of_tensor(const Onnx__TensorProto *tensor, struct onnx_ints *out)
{
    size_t wide = sizeof(int64_t), narrow = sizeof(int32_t);
    bool is_wide = tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    bool is_bool = tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    if ((!is_wide && !is_bool && tensor->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__INT32) ||
        is_external(tensor) || tensor->n_dims > 1)
        return -1;
    size_t size = is_wide ? wide : is_bool ? 1 : narrow;
    out->count = tensor->has_raw_data ? tensor->raw_data.len / size
                 : is_wide            ? tensor->n_int64_data
                                      : tensor->n_int32_data;
    if (!out->count || out->count > ONNX_MAX_RANK) return -1;
    for (size_t i = 0; i < out->count; i++) {
        int32_t number = 0;
        if (!tensor->has_raw_data)
            out->values[i] = is_wide ? tensor->int64_data[i] : tensor->int32_data[i];
        else if (is_wide)
            memcpy(&out->values[i], tensor->raw_data.data + i * wide, wide);
        else
            memcpy(&number, tensor->raw_data.data + i * size, size), out->values[i] = number;
    }
    return 0;
}

static int ints_of_list(const Onnx__AttributeProto *list, struct onnx_ints *out)
{
    out->count = list->n_ints ? list->n_ints : (size_t)(list->has_i != 0);
    if (!out->count || out->count > ONNX_MAX_RANK) return -1;
    for (size_t i = 0; i < out->count; i++) out->values[i] = list->n_ints ? list->ints[i] : list->i;
    return 0;
}

static int find_ints(const struct onnx_values *values, const char *name, int depth,
                     struct onnx_ints *out);

/* Of a value on the chain that was reached before. */
static int ints_of_shape(const struct onnx_values *values, const Onnx__NodeProto *node, int depth,
                         struct onnx_ints *out)
{
    (void)depth;
    if (onnx_attribute(node, "start") || onnx_attribute(node, "end")) return -1;
    for (size_t i = 0; i < values->shape_count; i++) {
        const struct onnx_shape *shape = &values->shapes[i];
        if (strcmp(shape->name, word(node->input[0])) != 0 || !shape->rank) continue;
        out->count = shape->rank;
        memcpy(out->values, shape->dims, sizeof shape->dims);
        out->values[0] = ONNX_BATCH;
        for (size_t d = 1; d < shape->rank; d++)
            if (shape->dims[d] < 1) return -1;
        return 0;
    }
    return -1;
}

static int ints_of_gather(const struct onnx_values *values, const Onnx__NodeProto *node, int depth,
                          struct onnx_ints *out)
{
    struct onnx_ints from, places;
    if (node->n_input < 2 || find_ints(values, node->input[0], depth, &from) ||
        find_ints(values, node->input[1], depth, &places))
        return -1;
    *out = (struct onnx_ints){.count = places.count};
    for (size_t i = 0; i < places.count; i++) {
        int64_t place = places.values[i];
        if (place < 0 && place >= -(int64_t)from.count) place += (int64_t)from.count;
        if (place < 0 || place >= (int64_t)from.count) return -1;
        out->values[i] = from.values[place];
    }
    return 0;
}

static int ints_of_concat(const struct onnx_values *values, const Onnx__NodeProto *node, int depth,
                          struct onnx_ints *out)
{
    out->count = 0;
    for (size_t i = 0; i < node->n_input; i++) {
        struct onnx_ints part;
        if (find_ints(values, node->input[i], depth, &part) ||
            out->count + part.count > ONNX_MAX_RANK)
            return -1;
        memcpy(out->values + out->count, part.values, part.count * sizeof *part.values);
        out->count += part.count;
    }
    out->columns = 0;
    return out->count ? 0 : -1;
}

/* Zeros, as many as its input says; -1 for anything else. */
static int ints_of_fill(const struct onnx_values *values, const Onnx__NodeProto *node, int depth,
                        struct onnx_ints *out)
{
    const Onnx__AttributeProto *value = onnx_attribute(node, "value");
    struct onnx_ints count, number = {.count = 0};
    if (find_ints(values, node->input[0], depth, &count) || count.count != 1 ||
        count.values[0] < 1 || count.values[0] > ONNX_MAX_RANK)
        return -1;
    if (value && (!value->t || ints_of_tensor(value->t, &number) || number.values[0])) return -1;
    *out = (struct onnx_ints){.count = (size_t)count.values[0]};
    return 0;
}

/* A list becomes a table of so many columns, or the other way round. */
static int ints_of_reshape(const struct onnx_values *values, const Onnx__NodeProto *node, int depth,
                           struct onnx_ints *out)
{
    struct onnx_ints target;
    if (node->n_input < 2 || find_ints(values, node->input[0], depth, out) ||
        find_ints(values, node->input[1], depth, &target) || target.count < 1 || target.count > 2 ||
        target.values[0] != -1)
        return -1;
    out->columns = 0;
    if (target.count == 1) return 0;
    if (target.values[1] < 1 || out->count % (size_t)target.values[1]) return -1;
    out->columns = (size_t)target.values[1];
    return 0;
}

static int ints_of_transpose(const struct onnx_values *values, const Onnx__NodeProto *node,
                             int depth, struct onnx_ints *out)
{
    struct onnx_ints from;
    if (find_ints(values, node->input[0], depth, &from) || !from.columns) return -1;
    size_t rows = from.count / from.columns;
    *out = (struct onnx_ints){.count = from.count, .columns = rows};
    for (size_t i = 0; i < from.count; i++)
        out->values[i % from.columns * rows + i / from.columns] = from.values[i];
    return 0;
}

/* The rows of a table, or the numbers of a list, from the last to the first. */
static int reverse(const struct onnx_ints *from, int64_t start, int64_t end, struct onnx_ints *out)
{
    size_t width = from->columns ? from->columns : 1, rows = from->count / width;
    if (start != -1 || end >= -(int64_t)rows) return -1;
    *out = *from;
    for (size_t i = 0; i < from->count; i++)
        out->values[(rows - 1 - i / width) * width + i % width] = from->values[i];
    return 0;
}

/* From `start` up to `end`, one by one; or all of it backwards. */
static int ints_of_slice(const struct onnx_values *values, const Onnx__NodeProto *node, int depth,
                         struct onnx_ints *out)
{
    struct onnx_ints from, start, end, step = {1, {1}};
    if (node->n_input < 3 || find_ints(values, node->input[0], depth, &from) ||
        find_ints(values, node->input[1], depth, &start) ||
        find_ints(values, node->input[2], depth, &end) ||
        (node->n_input > 4 && find_ints(values, node->input[4], depth, &step)))
        return -1;
    if (step.values[0] == -1) return reverse(&from, start.values[0], end.values[0], out);
    if (step.values[0] != 1 || from.columns) return -1;
    int64_t count = (int64_t)from.count, low = start.values[0], high = end.values[0];
    if (low < 0) low += count;
    if (high < 0) high += count;
    if (high > count) high = count;
    if (low < 0 || low >= high) return -1;
    *out = (struct onnx_ints){.count = (size_t)(high - low)};
    memcpy(out->values, from.values + low, out->count * sizeof *out->values);
    return 0;
}

static int find_ints(const struct onnx_values *values, const char *name, int depth,
                     struct onnx_ints *out)
{
    static const struct {
        const char *op_type;
        int (*find)(const struct onnx_values *values, const Onnx__NodeProto *node, int depth,
                    struct onnx_ints *out);
    } rules[] = {
        {"Shape", ints_of_shape},          {"Gather", ints_of_gather},
        {"Concat", ints_of_concat},        {"Slice", ints_of_slice},
        {"Reshape", ints_of_reshape},      {"Transpose", ints_of_transpose},
        {"ConstantOfShape", ints_of_fill},
    };
    struct onnx_constant constant;
    *out = (struct onnx_ints){.count = 0};
    if (depth > DEPTH_MAX) return -1;
    if (onnx_constant_find(values, name, &constant))
        return constant.tensor ? ints_of_tensor(constant.tensor, out)
                               : ints_of_list(constant.list, out);
    const Onnx__NodeProto *node = onnx_producer(values, word(name));
    if (!node || !node->n_input) return -1;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (is_op(node, rules[i].op_type)) return rules[i].find(values, node, depth + 1, out);
    /* these change how many axes the list has, or its type, and not the numbers */
    if (is_op(node, "Unsqueeze") || is_op(node, "Squeeze") || is_op(node, "Cast") ||
        is_op(node, "Identity"))
        return find_ints(values, node->input[0], depth + 1, out);
    return -1;
}

int onnx_ints_find(const struct onnx_values *values, const char *name, struct onnx_ints *out)
{
    return find_ints(values, name, 0, out) || out->columns ? -1 : 0;
}
