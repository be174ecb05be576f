#include "modelfile/onnx_layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *onnx_word(const char *text)
{
    return text ? text : "";
}

int onnx_refuse_node(const Onnx__NodeProto *node, const char *why, struct error *error)
{
    onnx_refuse(node, why, error);
    return -1;
}

/* --- attributes ------------------------------------------------------------------------------- */

double onnx_get_real(const Onnx__NodeProto *node, const char *name, double usual)
{
    const Onnx__AttributeProto *found = onnx_attribute(node, name);
    return found && found->has_f ? (double)found->f : usual;
}

int64_t onnx_get_int(const Onnx__NodeProto *node, const char *name, int64_t usual)
{
    const Onnx__AttributeProto *found = onnx_attribute(node, name);
    return found && found->has_i ? found->i : usual;
}

bool onnx_is_text(const Onnx__NodeProto *node, const char *name, const char *usual,
                  const char *text)
{
    const Onnx__AttributeProto *found = onnx_attribute(node, name);
    if (!found || !found->has_s) return strcmp(usual, text) == 0;
    return found->s.len == strlen(text) && memcmp(found->s.data, text, found->s.len) == 0;
}

/* `count` whole numbers from `low` to 1024; untouched when they are not there. */
int onnx_get_ints(const Onnx__NodeProto *node, const char *name, uint32_t low, size_t count,
                  uint32_t *out, struct error *error)
{
    const Onnx__AttributeProto *found = onnx_attribute(node, name);
    if (!found || !found->n_ints) return 0;
    for (size_t i = 0; i < count; i++) {
        if (found->n_ints != count || found->ints[i] < low || found->ints[i] > 1024) {
            char why[80];
            snprintf(why, sizeof why, "has an unusable attribute %s", name);
            return onnx_refuse_node(node, why, error);
        }
        out[i] = (uint32_t)found->ints[i];
    }
    return 0;
}

/* --- layers ----------------------------------------------------------------------------------- */

struct layer *onnx_last_layer(struct onnx_reading *reading)
{
    return reading->count ? &reading->sources[reading->count - 1].layer : NULL;
}

static int append_plain(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        enum layer_type type, struct error *error)
{
    if (reading->taken_off) return onnx_refuse_node(node, "comes after softmax", error);
    if (reading->count == NETWORK_MAX_LAYERS)
        return onnx_refuse_node(node, "is one layer too many", error);
    for (int role = 0; role < ROLE_COUNT; role++)
        reading->tensors[reading->count][role] = ONNX_NO_TENSOR;
    reading->sources[reading->count] = (struct layer_source){.name = onnx_node_name(node)};
    layer_init(&reading->sources[reading->count++].layer, type);
    reading->awaits_bias = false;
    return 0;
}

/* The scaling before the first layer becomes one. */
static int put_scaling(struct onnx_reading *reading, const Onnx__NodeProto *node,
                       struct error *error)
{
    struct onnx_scaling *scaling = &reading->scaling;
    if (!scaling->used || reading->count) return 0;
    bool normalize = scaling->divides || scaling->channels > 1;
    if (append_plain(reading, node, normalize ? LAYER_NORMALIZE : LAYER_RESCALE, error)) return -1;
    struct layer *layer = onnx_last_layer(reading);
    layer->scale = scaling->scale;
    layer->offset = scaling->offset;
    memcpy(layer->mean, scaling->mean, sizeof layer->mean);
    memcpy(layer->std, scaling->std, sizeof layer->std);
    return 0;
}

int onnx_append(struct onnx_reading *reading, const Onnx__NodeProto *node, enum layer_type type,
                struct error *error)
{
    return put_scaling(reading, node, error) ? -1 : append_plain(reading, node, type, error);
}

int onnx_load(struct onnx_reading *reading, const Onnx__NodeProto *node, size_t input,
              enum tensor_role role, size_t width, struct error *error)
{
    struct onnx_constant constant;
    if (input >= node->n_input ||
        !onnx_constant_find(&reading->values, node->input[input], &constant))
        return onnx_refuse_node(node,
                                role == ROLE_BIAS
                                    ? "adds something that is not a constant"
                                    : "multiplies by something that is not a constant",
                                error);
    return onnx_constant_load(&reading->values, &constant, width,
                              &reading->tensors[reading->count - 1][role], error);
}

const struct named_tensor *onnx_loaded(const struct onnx_reading *reading, enum tensor_role role)
{
    size_t index = reading->tensors[reading->count - 1][role];
    return &reading->values.state.tensors[index];
}

/* --- scaling in front ------------------------------------------------------------------------- */

/* The constant beside what flows, as one number or one for each channel. */
static int scaling_numbers(struct onnx_reading *reading, const Onnx__NodeProto *node, double out[3],
                           uint32_t *count, struct error *error)
{
    struct onnx_constant constant;
    size_t index;
    size_t side = onnx_constant_find(&reading->values, node->input[0], &constant) ? 0 : 1;
    if (side == 0 && strcmp(node->op_type, "Add") != 0 && strcmp(node->op_type, "Mul") != 0)
        return onnx_refuse_node(node, "has the input where its constant belongs", error);
    if (!onnx_constant_find(&reading->values, node->input[side], &constant))
        return onnx_refuse_node(node, "joins two branches", error);
    if (onnx_constant_load(&reading->values, &constant, 0, &index, error)) return -1;
    const struct named_tensor *tensor = &reading->values.state.tensors[index];
    bool by_channel = tensor->count == 3 && tensor->rank >= 3 &&
                      tensor->shape[tensor->rank - 3] == 3;
    if (tensor->count != 1 && !by_channel)
        return onnx_refuse_node(node, "scales every pixel by a number of its own", error);
    *count = (uint32_t)tensor->count;
    for (uint32_t c = 0; c < 3; c++) {
        size_t place = by_channel ? c : 0;
        out[c] = tensor->dtype == DTYPE_FLOAT64 ? ((const double *)tensor->values)[place]
                                                : (double)((const float *)tensor->values)[place];
        if (!isfinite(out[c])) return onnx_refuse_node(node, "scales by no finite number", error);
    }
    return 0;
}

/* x op c, on top of what was scaled before. */
int onnx_take_scaling(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error)
{
    struct onnx_scaling *s = &reading->scaling;
    double number[3];
    uint32_t channels;
    if (reading->count)
        return onnx_refuse_node(
            node, "scales or moves values between layers, where no bias belongs", error);
    if (scaling_numbers(reading, node, number, &channels, error)) return -1;
    char kind = node->op_type[0];
    bool first = !s->used;
    if (first)
        *s = (struct onnx_scaling){.used = true, .channels = 1, .std = {1, 1, 1}, .scale = 1};
    if (channels > 1) s->channels = channels;
    s->divides = kind == 'S' ? first : kind == 'D' && (first || s->divides) && s->std[0] == 1;
    for (int c = 0; c < 3; c++) {
        if ((kind == 'D' || kind == 'M') && number[c] == 0)
            return onnx_refuse_node(node, "scales by zero", error);
        /* (x - mean) / std: -c, +c, /c, ·c */
        if (kind == 'S') s->mean[c] += number[c] * s->std[c];
        if (kind == 'A') s->mean[c] -= number[c] * s->std[c];
        if (kind == 'D') s->std[c] *= number[c];
        if (kind == 'M') s->std[c] /= number[c];
    }
    if (kind == 'S') s->offset -= number[0];
    if (kind == 'A') s->offset += number[0];
    if (kind == 'D') s->scale /= number[0], s->offset /= number[0];
    if (kind == 'M') s->scale *= number[0], s->offset *= number[0];
    return 0;
}

/* --- softmax ---------------------------------------------------------------------------------- */

/* Over the classes of each sample, and nothing else. Before operator set 13 the default axis is
 * 1. */
int onnx_take_softmax(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error)
{
    int64_t axis = onnx_get_int(node, "axis", reading->values.opset >= 13 ? -1 : 1);
    if (!reading->count || reading->rank != 2)
        return onnx_refuse_node(node, "follows no layer", error);
    if (axis != 1 && axis != -1) {
        char why[80];
        snprintf(why, sizeof why, "works along axis %lld, over the samples of a batch",
                 (long long)axis);
        return onnx_refuse_node(node, why, error);
    }
    if (reading->taken_off) return onnx_refuse_node(node, "comes after softmax", error);
    reading->taken_off = "softmax";
    reading->awaits_bias = false;
    return 0;
}

/* --- shapes ----------------------------------------------------------------------------------- */

static int64_t sample_values(const struct onnx_reading *reading)
{
    int64_t values = reading->rank > 1 ? 1 : 0;
    for (size_t d = 1; d < reading->rank && values; d++)
        values = reading->dims[d] > 0 ? values * reading->dims[d] : 0;
    return values;
}

void onnx_note_picture(struct onnx_reading *reading)
{
    const int64_t *d = reading->dims;
    for (size_t i = 1; i < reading->rank; i++)
        if (d[i] < 1 || d[i] > NETWORK_MAX_WIDTH) return;
    if (reading->rank == 3)
        reading->input = (struct source_input){(uint32_t)d[1], (uint32_t)d[2], 1};
    if (reading->rank == 4 && (d[1] == 1 || d[1] == 3))
        reading->input = (struct source_input){(uint32_t)d[2], (uint32_t)d[3], (uint32_t)d[1]};
}

int onnx_flatten(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    int64_t values = sample_values(reading);
    if (reading->rank > 2 && onnx_append(reading, node, LAYER_FLATTEN, error)) return -1;
    reading->rank = 2;
    reading->dims[1] = values;
    return 0;
}

/* The sizes that follow the batch, with what −1 stands for filled in; -1 when the target would mix
 * samples. */
static int resolve_target(const struct onnx_reading *reading, const struct onnx_ints *target,
                          bool zero_copies, int64_t dims[ONNX_MAX_RANK])
{
    int64_t values = sample_values(reading), known = 1, first = target->values[0];
    size_t open = 0;
    bool batch_open = first == -1;
    bool keeps = first == ONNX_BATCH || (first == 0 && zero_copies) ||
                 (first > 0 && first == reading->dims[0]);
    for (size_t d = 1; d < target->count; d++) {
        dims[d] = target->values[d];
        if (dims[d] == 0 && zero_copies && d < reading->rank) dims[d] = reading->dims[d];
        if (dims[d] == -1 && !open)
            open = d;
        else if (dims[d] < 1 || dims[d] > NETWORK_MAX_WIDTH ||
                 (known *= dims[d]) > (int64_t)NETWORK_MAX_PARAMETERS)
            return -1;
    }
    if (open && (batch_open || !values || values % known)) return open && keeps && !values ? 0 : -1;
    if (open) dims[open] = values / known;
    if (!batch_open && !keeps) return -1;
    return open || !values || known == values ? 0 : -1;
}

int onnx_take_reshape(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error)
{
    struct onnx_ints target;
    int64_t dims[ONNX_MAX_RANK] = {0};
    if (node->n_input < 2 || onnx_ints_find(&reading->values, node->input[1], &target) ||
        target.count < 2)
        return onnx_refuse_node(node, "reshapes to something that is not known beforehand", error);
    if (resolve_target(reading, &target, !onnx_get_int(node, "allowzero", 0), dims))
        return onnx_refuse_node(node, "reshapes so that values of one sample do not stay together",
                                error);
    if (target.count == 2) {
        if (onnx_flatten(reading, node, error)) return -1;
        if (dims[1] > 0) reading->dims[1] = dims[1];
        return 0;
    }
    bool same = target.count == reading->rank;
    for (size_t d = 1; same && d < target.count; d++) same = dims[d] == reading->dims[d];
    if (same) return 0;
    if (reading->count || target.count > 4)
        return onnx_refuse_node(node, "reshapes between layers in a way the studio does not know",
                                error);
    reading->rank = target.count;
    memcpy(reading->dims + 1, dims + 1, sizeof dims - sizeof *dims);
    onnx_note_picture(reading);
    return 0;
}

/* A transposition that moves nothing but axes of one value. */
int onnx_take_transpose(struct onnx_reading *reading, const Onnx__NodeProto *node,
                        struct error *error)
{
    const Onnx__AttributeProto *order = onnx_attribute(node, "perm");
    int64_t before = -1, dims[ONNX_MAX_RANK] = {0};
    if (!order || !reading->rank || order->n_ints != reading->rank || order->ints[0] != 0)
        return onnx_refuse_node(node, "transposes values", error);
    for (size_t d = 1; d < reading->rank; d++) {
        int64_t from = order->ints[d];
        if (from < 1 || from >= (int64_t)reading->rank)
            return onnx_refuse_node(node, "transposes values", error);
        dims[d] = reading->dims[from];
        if (dims[d] == 1) continue;
        if (from < before) return onnx_refuse_node(node, "transposes values", error);
        before = from;
    }
    memcpy(reading->dims + 1, dims + 1, sizeof dims - sizeof *dims);
    return 0;
}

/* Rows and columns around maps, of zeros or, before a maximum, of minus infinity. */
int onnx_take_pad(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    struct onnx_ints pads;
    struct onnx_constant constant;
    double value = 0;
    size_t index;
    if (!onnx_is_text(node, "mode", "constant", "constant") || reading->rank != 4 ||
        node->n_input < 2 || node->n_input > 3)
        return onnx_refuse_node(node, "pads in a way the studio does not know", error);
    if (onnx_ints_find(&reading->values, node->input[1], &pads) || pads.count != 8 ||
        pads.values[0] || pads.values[1] || pads.values[4] || pads.values[5])
        return onnx_refuse_node(node, "pads by numbers that the file does not say", error);
    if (node->n_input > 2 && *onnx_word(node->input[2])) {
        if (!onnx_constant_find(&reading->values, node->input[2], &constant))
            return onnx_refuse_node(node, "pads with something that is not a constant", error);
        if (onnx_constant_load(&reading->values, &constant, 1, &index, error)) return -1;
        const struct named_tensor *tensor = &reading->values.state.tensors[index];
        value = tensor->dtype == DTYPE_FLOAT64 ? *(const double *)tensor->values
                                               : (double)*(const float *)tensor->values;
    }
    static const size_t places[PAD_SIDES] = {
        [PAD_TOP] = 2, [PAD_LEFT] = 3, [PAD_BOTTOM] = 6, [PAD_RIGHT] = 7};
    for (size_t side = 0; side < PAD_SIDES; side++) {
        int64_t pad = pads.values[places[side]];
        if (pad < 0 || pad > 1024)
            return onnx_refuse_node(node, "pads by less than 0 or more than 1024", error);
        reading->padding[side] = (uint32_t)pad;
    }
    if (value != 0 && !(isinf(value) && value < 0))
        return onnx_refuse_node(node, "pads with other numbers than zeros", error);
    reading->pads_lowest = value != 0;
    reading->padder = node;
    return 0;
}

int onnx_refuse_padder(const struct onnx_reading *reading, struct error *error)
{
    return onnx_refuse_node(reading->padder,
                            "pads what no convolution takes (or, with minus infinity, no MaxPool)",
                            error);
}

int onnx_take_nothing(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error)
{
    (void)reading;
    (void)node;
    (void)error;
    return 0;
}

int onnx_take_dropout(struct onnx_reading *reading, const Onnx__NodeProto *node,
                      struct error *error)
{
    struct onnx_ints mode;
    (void)reading;
    if (node->n_input > 2 && *onnx_word(node->input[2]) &&
        (onnx_ints_find(&reading->values, node->input[2], &mode) || mode.values[0]))
        return onnx_refuse_node(node, "is a Dropout in training mode", error);
    return 0;
}

int onnx_take_cast(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    (void)reading;
    int64_t to = onnx_get_int(node, "to", 0);
    return onnx_is_floating((int32_t)to)
               ? 0
               : onnx_refuse_node(node, "rounds values to integers", error);
}

static bool is_listed(const char *list, const char *name)
{
    char wanted[80];
    snprintf(wanted, sizeof wanted, " %.70s ", name);
    return strstr(list, wanted) != NULL;
}

int onnx_take_node(struct onnx_reading *reading, const Onnx__NodeProto *node, struct error *error)
{
    const char *op_type = onnx_word(node->op_type), *domain = onnx_word(node->domain);
    char what[120];
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (size_t i = 0; i < onnx_operator_count; i++) {
        if (strcmp(onnx_operators[i].op_type, op_type) != 0 ||
            strcmp(onnx_operators[i].domain, domain) != 0)
            continue;
        for (size_t a = 0; a < node->n_attribute; a++) {
            if (is_listed(onnx_operators[i].attributes, onnx_word(node->attribute[a]->name)))
                continue;
            snprintf(what, sizeof what, "has the attribute %.60s, which the studio does not know",
                     onnx_word(node->attribute[a]->name));
            return onnx_refuse_node(node, what, error);
        }
        bool padded = reading->padder != NULL;
        if (onnx_operators[i].take(reading, node, error)) return -1;
        return padded && reading->padder ? onnx_refuse_padder(reading, error) : 0;
    }
    snprintf(what, sizeof what, "is a %.60s", op_type);
    return onnx_refuse_node(node, what, error);
}
