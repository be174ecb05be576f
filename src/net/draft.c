#include "net/draft.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "net/compact.h"
#include "net/cost.h"

#define FIXES_MAX 3
#define LABEL_MAX 48

/* network_finish_at(), and that the network ends in as many values as there are classes. */
static int finish_draft(struct network *network, uint32_t classes, uint32_t *at,
                        struct error *error)
{
    if (network_finish_at(network, at, error)) return -1;
    uint32_t ends = network_classes(network);
    *at = NETWORK_NO_LAYER;
    if (!classes || ends == classes) return 0;
    *at = network->layer_count - 1;
    return error_set(error, ERROR_INPUT,
                     "the network ends in %u units, but the data set has %u classes: end it with "
                     "dense %u",
                     ends, classes, classes);
}

/* --- fixes ------------------------------------------------------------------------------------ */

/* What may be changed: the network as it was read, where it does not fit, and the same layer as far
 * as it was resolved (its input is known). */
struct patient {
    struct network network;
    uint32_t at, classes;
    struct layer seen;
    char label[LABEL_MAX];
};

static bool insert_layer(struct patient *patient, uint32_t at, enum layer_type type)
{
    struct network *network = &patient->network;
    if (network->layer_count == NETWORK_MAX_LAYERS) return false;
    memmove(&network->layers[at + 1], &network->layers[at],
            (network->layer_count++ - at) * sizeof *network->layers);
    layer_init(&network->layers[at], type);
    return true;
}

static struct layer take_layer(struct network *network, uint32_t at)
{
    struct layer taken = network->layers[at];
    memmove(&network->layers[at], &network->layers[at + 1],
            (--network->layer_count - at) * sizeof *network->layers);
    return taken;
}

/* How many layers more there are before the one that did not fit; -1: not a fix here. */
typedef int fix_fn(struct patient *patient);

static int insert_flatten(struct patient *patient)
{
    bool dense = patient->network.layers[patient->at].type == LAYER_DENSE;
    return dense && insert_layer(patient, patient->at, LAYER_FLATTEN) ? 1 : -1;
}

static int pad_same(struct patient *patient)
{
    struct layer *layer = &patient->network.layers[patient->at];
    if (!layer_type_slides(layer->type) || layer->same) return -1;
    memset(layer->padding, 0, sizeof layer->padding);
    layer->same = true;
    return 0;
}

static int shrink_window(struct patient *patient)
{
    struct layer *layer = &patient->network.layers[patient->at];
    bool stepped = memcmp(layer->stride, layer->kernel, sizeof layer->stride) == 0;
    if (!layer_type_slides(layer->type) || patient->seen.input.rank != 3) return -1;
    for (int d = 0; d < 2; d++)
        if (layer->kernel[d] > patient->seen.input.sizes[1 + d])
            layer->kernel[d] = patient->seen.input.sizes[1 + d];
    if (layer->type != LAYER_CONV2D && stepped)
        memcpy(layer->stride, layer->kernel, sizeof layer->stride);
    snprintf(patient->label, LABEL_MAX, "Window %u×%u", layer->kernel[0], layer->kernel[1]);
    return 0;
}

static int pad_nothing(struct patient *patient)
{
    struct layer *layer = &patient->network.layers[patient->at];
    static const uint32_t none[PAD_SIDES];
    if (!layer_type_slides(layer->type) || memcmp(layer->padding, none, sizeof none) == 0)
        return -1;
    memset(layer->padding, 0, sizeof layer->padding);
    return 0;
}

static int one_group(struct patient *patient)
{
    struct layer *layer = &patient->network.layers[patient->at];
    if (layer->type != LAYER_CONV2D || layer->groups == 1) return -1;
    layer->groups = 1;
    return 0;
}

static int depthwise(struct patient *patient)
{
    struct layer *layer = &patient->network.layers[patient->at];
    if (layer->type != LAYER_CONV2D || layer->groups < 2) return -1;
    layer->groups = 0;
    return 0;
}

/* A layer that takes maps goes before what made values of them. */
static int move_to_maps(struct patient *patient)
{
    struct network *network = &patient->network;
    uint32_t to = 0;
    while (to < patient->at && network->layers[to].type != LAYER_FLATTEN &&
           !layer_type_gathers(network->layers[to].type))
        to++;
    bool first = layer_kind(network->layers[patient->at].type)->first_only;
    if (to >= patient->at || patient->seen.input.rank == 3 || first) return -1;
    struct layer layer = take_layer(network, patient->at);
    insert_layer(patient, to, layer.type);
    network->layers[to] = layer;
    return 1;
}

static int move_to_front(struct patient *patient)
{
    struct network *network = &patient->network;
    if (!patient->at || !layer_kind(network->layers[patient->at].type)->first_only) return -1;
    struct layer layer = take_layer(network, patient->at);
    insert_layer(patient, 0, layer.type);
    network->layers[0] = layer;
    return 1;
}

static int drop_activation(struct patient *patient)
{
    struct network *network = &patient->network;
    struct layer *last = &network->layers[network->layer_count - 1];
    if (patient->at + 1 != network->layer_count || last->activation == ACTIVATION_NONE) return -1;
    if (last->type == LAYER_ACTIVATION && network->layer_count > 1)
        network->layer_count--;
    else
        last->activation = ACTIVATION_NONE;
    return 0;
}

/* The last dense layer gets the data's number of units; another last layer one behind it. */
static int end_in_classes(struct patient *patient)
{
    struct network *network = &patient->network;
    struct layer *last = &network->layers[network->layer_count - 1];
    if (!patient->classes || patient->at + 1 != network->layer_count) return -1;
    if (last->type == LAYER_DENSE) {
        last->units = patient->classes;
        last->activation = ACTIVATION_NONE;
    } else {
        if (patient->seen.output.rank == 3 &&
            !insert_layer(patient, network->layer_count, LAYER_FLATTEN))
            return -1;
        if (!insert_layer(patient, network->layer_count, LAYER_DENSE)) return -1;
        network->layers[network->layer_count - 1].units = patient->classes;
    }
    snprintf(patient->label, LABEL_MAX, "End with dense %u", patient->classes);
    return 0;
}

static int remove_it(struct patient *patient)
{
    if (patient->network.layer_count < 2) return -1;
    take_layer(&patient->network, patient->at);
    return -2; /* the next layer stands in its place: only a network that fits counts */
}

static const struct {
    const char *label;
    fix_fn *apply;
} fixes[] = {
    {"Insert flatten", insert_flatten},
    {"Padding same", pad_same},
    {"Smaller window", shrink_window},
    {"No padding", pad_nothing},
    {"One group", one_group},
    {"A group per channel", depthwise},
    {"Move before flatten", move_to_maps},
    {"Move to the front", move_to_front},
    {"Remove its activation", drop_activation},
    {"End with dense", end_in_classes},
    {"Remove the layer", remove_it},
};

/* Fixes that lead on: everything fits, or what does not comes later. */
static bool leads_on(const struct patient *patient, int more)
{
    struct network copy = patient->network;
    struct error error;
    uint32_t at;
    if (!finish_draft(&copy, patient->classes, &at, &error)) return true;
    return more >= 0 && at != NETWORK_NO_LAYER && at > patient->at + (uint32_t)more;
}

static json_t *fixes_to_json(const struct network *read, const struct network *finished,
                             uint32_t at, uint32_t classes)
{
    json_t *list = json_array();
    if (at == NETWORK_NO_LAYER || at >= read->layer_count) return list;
    for (size_t i = 0; i < sizeof fixes / sizeof *fixes && json_array_size(list) < FIXES_MAX; i++) {
        struct patient patient = {
            .network = *read, .at = at, .classes = classes, .seen = finished->layers[at]};
        snprintf(patient.label, LABEL_MAX, "%s", fixes[i].label);
        int more = fixes[i].apply(&patient);
        if (more == -1 || !leads_on(&patient, more)) continue;
        json_array_append_new(list, json_pack("{s:s, s:o}", "label", patient.label, "net",
                                              network_compact_json(&patient.network)));
    }
    return list;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* As a form edits it: what follows from the layers before it is left out. */
static json_t *plain_layer(const struct layer *layer)
{
    json_t *value = layer_to_json(layer);
    json_object_del(value, "inputs");
    /* A group per channel whose number is not known: filters follow, too. */
    if (layer->type == LAYER_CONV2D && !layer->groups)
        json_object_set_new(value, "filters", json_integer(1));
    return value;
}

/* How a window slides, once the layer is resolved: "same" has become numbers. */
static json_t *window_to_json(const struct layer *layer)
{
    const uint32_t *k = layer->kernel, *d = layer->dilation;
    if (!layer_type_slides(layer->type)) return json_null();
    return json_pack("{s:[I, I], s:[I, I], s:[I, I]}", "reach", (json_int_t)(k[0] - 1) * d[0] + 1,
                     (json_int_t)(k[1] - 1) * d[1] + 1, "stride", (json_int_t)layer->stride[0],
                     (json_int_t)layer->stride[1], "before", (json_int_t)layer->padding[PAD_TOP],
                     (json_int_t)layer->padding[PAD_LEFT]);
}

static json_t *layer_draft(const struct layer *read, const struct layer *layer,
                           const struct layer_cost *cost)
{
    struct buffer text;
    buffer_init(&text, COMPACT_MAX_LENGTH);
    layer_to_compact(layer, &text);
    const uint32_t *s = layer->output.sizes;
    json_t *output = !cost                     ? json_null()
                     : layer->output.rank == 1 ? json_pack("[I]", (json_int_t)s[0])
                                               : json_pack("[I, I, I]", (json_int_t)s[1],
                                                           (json_int_t)s[2], (json_int_t)s[0]);
    json_t *value = json_pack("{s:o, s:s, s:s, s:o, s:o, s:I, s:I}", "layer", plain_layer(read),
                              "text", text.data ? text.data : "", "name",
                              layer->name[0] ? layer->name : layer_kind(layer->type)->stem,
                              "output", output, "window",
                              cost ? window_to_json(layer) : json_null(), "parameters",
                              (json_int_t)(cost ? cost->parameters : 0), "multiply_adds",
                              (json_int_t)(cost ? cost->multiply_adds : 0));
    buffer_free(&text);
    return value;
}

static json_t *draft_layers(const struct network *read, const struct network *finished)
{
    struct network_cost cost;
    struct network fitting = *finished;
    fitting.layer_count = 0;
    while (fitting.layer_count < finished->layer_count &&
           finished->layers[fitting.layer_count].outputs)
        fitting.layer_count++;
    network_cost(&fitting, &cost);
    json_t *list = json_array();
    for (uint32_t i = 0; i < finished->layer_count; i++)
        json_array_append_new(list, layer_draft(&read->layers[i], &finished->layers[i],
                                                i < fitting.layer_count ? &cost.layers[i] : NULL));
    return list;
}

json_t *network_draft_to_json(const struct network *read, uint32_t classes)
{
    struct network finished = *read;
    struct error error, whole;
    uint32_t at;
    bool bad = finish_draft(&finished, classes, &at, &error) != 0;
    whole = error;
    if (bad && at != NETWORK_NO_LAYER && !finished.layers[at].outputs)
        error_prefix(&whole, "layer %u", at + 1);
    json_t *draft = json_pack("{s:o, s:o}", "compact", network_compact_json(&finished), "layers",
                              draft_layers(read, &finished));
    return json_pack("{s:s?, s:s?, s:o, s:o, s:o, s:o}", "problem", bad ? whole.message : NULL,
                     "reason", bad ? error.message : NULL, "at",
                     bad && at != NETWORK_NO_LAYER ? json_integer(at) : json_null(), "fixes",
                     bad ? fixes_to_json(read, &finished, at, classes) : json_array(), "draft",
                     draft, "cost", bad ? json_null() : network_cost_to_json(&finished));
}

json_t *network_unread_to_json(uint32_t at, const struct error *error)
{
    return json_pack("{s:s, s:s, s:i, s:[], s:n, s:n}", "problem", error->message, "reason",
                     error->message, "at", (int)at, "fixes", "draft", "cost");
}

/* --- what there is ---------------------------------------------------------------------------- */

/* A layer as its form writes it. */
static json_t *example_of(enum layer_type type)
{
    struct network network = {.rows = 28, .columns = 28};
    struct error error;
    CHECK(!network_read(layer_compact_form(type), &network, &error));
    return plain_layer(&network.layers[0]);
}

json_t *network_layer_table(void)
{
    json_t *list = json_array();
    for (int type = 0; type < LAYER_TYPE_COUNT; type++) {
        const struct layer_kind *kind = layer_kind((enum layer_type)type);
        const char *form = layer_compact_form((enum layer_type)type);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:o, s:o}",
                                              "type", kind->name, "title", kind->title, "form",
                                              form, "help", kind->help, "why", kind->why,
                                              "first_only", kind->first_only, "activates",
                                              layer_type_activates((enum layer_type)type), "layer",
                                              example_of((enum layer_type)type), "fields",
                                              layer_fields_to_json((enum layer_type)type)));
    }
    return json_pack("{s:o, s:o}", "layers", list, "activations", activations_to_json());
}
