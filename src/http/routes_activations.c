/* One sample's way through a network: what each layer gives for it, the saliency of a class, the
 * weights of one unit. Of a run's model or checkpoint, or of a design with its initial weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/path.h"
#include "engine/trace_name.h"
#include "http/drawing.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "run/checkpoint.h"
#include "run/follow.h"
#include "run/setup.h"
#include "train/metrics.h"
#include "train/predictor.h"

#define MAPS_SHOWN   128               /* per layer */
#define VALUES_SHOWN ((size_t)1 << 16) /* per layer: all maps that are shown */
#define UNIT_VALUES  ((size_t)1 << 20)

/* --- what is asked --- */

struct activations_question {
    const struct engine_ops *ops;
    char run[64]; /* "": the design of `job` */
    bool checkpoint;
    struct job job;
    bool drawn, test;
    uint32_t index, target; /* ENGINE_NO_CLASS: no saliency */
    uint32_t layer, unit;
    struct drawing drawing;
};

static int read_source(const struct studio *studio, const json_t *body,
                       struct activations_question *asking, struct error *error)
{
    const char *run = NULL;
    const json_t *settings = json_object_get(body, "settings");
    if (js_get_string(body, "run", &run, error) ||
        js_get_bool(body, "checkpoint", &asking->checkpoint, error))
        return -1;
    if (json_is_object(settings) == (run != NULL))
        return error_set(error, ERROR_INPUT,
                         "the request names %s: give either a run or the settings of a design",
                         run ? "a run and settings" : "no network");
    if (asking->checkpoint && !run)
        return error_set(error, ERROR_INPUT, "a design has no checkpoint: name a run");
    if (run) {
        snprintf(asking->run, sizeof asking->run, "%s", run);
        return 0;
    }
    return make_job(studio, studio->store, settings, engine_default->id, NULL, &asking->job, error);
}

static int read_sample(const json_t *body, struct activations_question *asking, struct error *error)
{
    const char *engine = engine_default->id, *split = "test";
    uint32_t target = ENGINE_NO_CLASS;
    bool saliency = false;
    asking->drawn = json_is_string(json_object_get(body, "pixels"));
    if (js_get_string(body, "engine", &engine, error) || engine_need(engine, &asking->ops, error) ||
        js_get_string(body, "split", &split, error) ||
        js_get_u32(body, "index", 0, UINT32_MAX, &asking->index, error) ||
        js_get_bool(body, "saliency", &saliency, error) ||
        js_get_u32(body, "class", 0, DATASET_MAX_CLASSES - 1, &target, error))
        return -1;
    asking->test = strcmp(split, "test") == 0;
    asking->target = saliency && target == ENGINE_NO_CLASS ? FOLLOW_ANSWER : target;
    if (!asking->drawn) return 0;
    return drawing_read(body, &asking->drawing, error);
}

/* --- the network that is looked at --- */

struct activations_subject {
    struct job job;
    struct network network;
    struct parameters *parameters; /* owned */
    struct input_form form;
    json_t *class_names;           /* owned; NULL: the data's, or numbers */
    const struct dataset *dataset; /* borrowed; NULL when the model alone says enough */
};

static int borrow_data(const struct studio *studio, struct activations_subject *subject,
                       struct error *error)
{
    struct dataset_options options;
    job_dataset_options(&subject->job, &options);
    return library_borrow(studio->library, subject->job.dataset, &options, &subject->dataset,
                          error);
}

static int open_design(const struct studio *studio, struct activations_subject *subject,
                       struct error *error)
{
    if (borrow_data(studio, subject, error)) return -1;
    const struct dataset *data = subject->dataset;
    subject->form = data->form;
    if (job_network(&subject->job, data->rows, data->columns, data->channels, data->classes,
                    &subject->network, error))
        return -1;
    return setup_weights(&subject->job, &subject->network, &subject->parameters, error);
}

static int open_checkpoint(const struct studio *studio, struct activations_subject *subject,
                           struct error *error)
{
    struct checkpoint checkpoint;
    char *path = checkpoint_path(&subject->job);
    if (!path) return error_set_memory(error, "a path");
    int status = checkpoint_read(path, &checkpoint, error);
    free(path);
    if (status) return -1;
    subject->network = checkpoint.network;
    subject->parameters = checkpoint.parameters;
    checkpoint.parameters = NULL;
    checkpoint_clear(&checkpoint);
    if (borrow_data(studio, subject, error)) return -1;
    subject->form = subject->dataset->form;
    return 0;
}

static int open_model(struct store *store, const char *run, struct activations_subject *subject,
                      struct error *error)
{
    char *path, sha256[65];
    struct predictor predictor;
    if (store_model_file(store, run, &path, sha256, error)) return -1;
    const struct modelfile_options options = setup_model_options(&subject->job);
    int status = predictor_read(path, &options, &predictor, error);
    free(path);
    if (status) return -1;
    subject->network = predictor.model->network;
    subject->parameters = predictor.model->parameters;
    subject->form = predictor.form;
    subject->class_names = predictor.class_names;
    predictor.model->parameters = NULL;
    predictor.class_names = NULL;
    predictor_close(&predictor);
    return 0;
}

static int open_subject(const struct studio *studio, struct store *store,
                        const struct activations_question *asking,
                        struct activations_subject *subject, struct error *error)
{
    struct run_record record;
    subject->job = asking->job;
    if (!asking->run[0]) return open_design(studio, subject, error);
    if (store_run_get(store, asking->run, &record, error)) return -1;
    subject->job = record.job;
    if (!asking->checkpoint) return open_model(store, asking->run, subject, error);
    if (!record.checkpoint)
        return error_set(error, ERROR_NOT_FOUND,
                         "the run has no checkpoint: look at its model instead");
    return open_checkpoint(studio, subject, error);
}

static void close_subject(const struct studio *studio, struct activations_subject *subject)
{
    library_give_back(studio->library, subject->dataset);
    parameters_destroy(subject->parameters);
    json_decref(subject->class_names);
}

/* --- the picture --- */

struct input {
    const uint8_t *codes; /* what the network is given */
    struct preprocess preprocess;
    uint8_t light[256]; /* of a code, for looking at it */
    uint8_t *drawn;     /* owned; NULL unless it was drawn */
    int label;          /* -1: nobody says */
};

static int take_sample(const struct activations_question *asking,
                       const struct activations_subject *subject, struct input *input,
                       struct error *error)
{
    const struct dataset *data = subject->dataset;
    const struct split *split = asking->test ? &data->test : &data->train;
    size_t inputs = network_inputs(&subject->network);
    CHECK(data && split);
    if (inputs != dataset_inputs(data))
        return error_set(error, ERROR_CONFLICT,
                         "the network takes %zu values but the samples of %s have %zu: choose the "
                         "data it was made for",
                         inputs, data->title, dataset_inputs(data));
    if (asking->index >= split->count)
        return error_set(error, ERROR_NOT_FOUND,
                         "there is no sample %u: the %s split of %s has %zu", asking->index,
                         asking->test ? "test" : "training", data->title, split->count);
    input->codes = split->pixels + asking->index * inputs;
    input->label = split->labels[asking->index];
    dataset_brightness(data, input->light);
    dataset_preprocess_for(data, &subject->form, &input->preprocess);
    return 0;
}

static int take_drawing(const struct activations_question *asking,
                        const struct activations_subject *subject, struct input *input,
                        struct error *error)
{
    const struct network *network = &subject->network;
    if (subject->dataset && subject->dataset->table)
        return error_set(error, ERROR_INPUT,
                         "a network for tables takes no drawing: choose a sample instead");
    input->drawn = malloc(network_inputs(network));
    if (!input->drawn) return error_set_memory(error, "a picture");
    input->codes = input->drawn;
    for (int code = 0; code < 256; code++) input->light[code] = (uint8_t)code;
    input_form_preprocess(&subject->form, NULL, 255, &input->preprocess);
    return drawing_to_input(&asking->drawing, network, &subject->form, input->drawn, error);
}

static int take_input(const struct studio *studio, const struct activations_question *asking,
                      struct activations_subject *subject, struct input *input, struct error *error)
{
    *input = (struct input){.label = -1};
    if (asking->drawn) return take_drawing(asking, subject, input, error);
    if (!subject->dataset && borrow_data(studio, subject, error)) return -1;
    return take_sample(asking, subject, input, error);
}

/* --- the answer --- */

/* The smallest and largest finite value; false when there is none. */
static bool range_of(const double *values, size_t count, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) continue;
        if (values[i] < *low) *low = values[i];
        if (values[i] > *high) *high = values[i];
    }
    return *low <= *high;
}

/* A map as bytes over its own range; what is not finite, and a map of one value, becomes 0. */
static void add_map(const double *values, size_t count, uint8_t *bytes, json_t *lows, json_t *highs)
{
    double low, high;
    bool known = range_of(values, count, &low, &high);
    json_array_append_new(lows, known ? js_real(low) : json_null());
    json_array_append_new(highs, known ? js_real(high) : json_null());
    for (size_t i = 0; i < count; i++)
        bytes[i] = known && isfinite(values[i]) && high > low
                       ? (uint8_t)lround((values[i] - low) / (high - low) * 255)
                       : 0;
}

static json_t *layer_json(const struct layer *layer, const double *values)
{
    const struct shape *shape = &layer->output;
    bool maps = shape->rank == 3;
    uint32_t rows = maps ? shape->sizes[1] : 1, columns = maps ? shape->sizes[2] : layer->outputs;
    uint32_t count = maps ? shape->sizes[0] : 1, shown;
    if (!maps && columns > VALUES_SHOWN) columns = VALUES_SHOWN;
    size_t each = (size_t)rows * columns, room = VALUES_SHOWN / each;
    shown = count < MAPS_SHOWN ? count : MAPS_SHOWN;
    if (shown > room) shown = (uint32_t)(room ? room : 1);
    uint8_t *bytes = malloc(shown * each);
    json_t *lows = json_array(), *highs = json_array(), *value = NULL;
    if (bytes) {
        for (uint32_t m = 0; m < shown; m++)
            add_map(values + m * each, each, bytes + m * each, lows, highs);
        value = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:O, s:O, s:o}", "name", layer->name,
                          "type", layer_kind(layer->type)->name, "activation",
                          activation_name(layer->activation), "rows", (json_int_t)rows, "columns",
                          (json_int_t)columns, "maps", (json_int_t)count, "shown",
                          (json_int_t)shown, "low", lows, "high", highs, "values",
                          base64_json(bytes, shown * each));
    }
    json_decref(lows);
    json_decref(highs);
    free(bytes);
    return value;
}

static json_t *layers_json(const struct network *network, const struct state_dict *tensors)
{
    json_t *layers = json_array();
    for (uint32_t i = 0; i < network->layer_count; i++) {
        char name[TRACE_NAME_SIZE];
        bool last = i + 1 == network->layer_count;
        const struct named_tensor *tensor = state_dict_find(
            tensors, trace_name(name, last ? TRACE_LOGITS : TRACE_AFTER, i + 1, NULL));
        CHECK(tensor && tensor->count == network->layers[i].outputs);
        json_array_append_new(layers, layer_json(&network->layers[i], tensor->values));
    }
    return layers;
}

/* Doubles as base64 of float32, with their range. */
static json_t *floats_json(const double *values, size_t count)
{
    double low, high;
    bool known = range_of(values, count, &low, &high);
    float *narrow = calloc(count, sizeof *narrow);
    json_t *value = NULL;
    if (!narrow) return NULL;
    for (size_t i = 0; i < count; i++) narrow[i] = (float)values[i];
    value = json_pack("{s:o, s:o, s:o}", "low", known ? js_real(low) : json_null(), "high",
                      known ? js_real(high) : json_null(), "values",
                      base64_json(narrow, count * sizeof *narrow));
    free(narrow);
    return value;
}

static json_t *input_json(const struct network *network, const struct input *input)
{
    return json_pack("{s:I, s:I, s:I, s:o?}", "rows", (json_int_t)network->rows, "columns",
                     (json_int_t)network->columns, "channels", (json_int_t)network->channels,
                     "pixels", lit_json(input->light, input->codes, network_inputs(network)));
}

static json_t *names_json(const struct activations_subject *subject, uint32_t classes)
{
    json_t *names = json_array();
    if (subject->class_names) {
        json_array_extend(names, subject->class_names);
        return names;
    }
    for (uint32_t c = 0; c < classes; c++) {
        char number[16];
        bool named = subject->dataset && c < subject->dataset->classes;
        snprintf(number, sizeof number, "%u", c);
        json_array_append_new(names, js_shown(named ? subject->dataset->class_names[c] : number));
    }
    return names;
}

static json_t *reals_json(const double *values, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, js_real(values[i]));
    return list;
}

static json_t *answer_json(const struct activations_question *asking,
                           const struct activations_subject *subject, const struct input *input,
                           const struct state_dict *tensors)
{
    const struct network *network = &subject->network;
    const struct named_tensor *logits = state_dict_find(tensors, "logits"),
                              *saliency = state_dict_find(tensors, "saliency");
    uint32_t classes = network_classes(network);
    double *probabilities = calloc(classes, sizeof *probabilities);
    if (!probabilities) return NULL;
    uint32_t best = metrics_probabilities(logits->values, classes, probabilities);
    json_t *value = json_pack(
        "{s:s, s:o, s:o?, s:o, s:o, s:o, s:o, s:I, s:o?}", "computed_by", asking->ops->id, "input",
        input_json(network, input), "label", input->label < 0 ? NULL : json_integer(input->label),
        "classes", names_json(subject, classes), "layers", layers_json(network, tensors), "logits",
        reals_json(logits->values, classes), "probabilities", reals_json(probabilities, classes),
        "class", (json_int_t)best, "saliency",
        saliency ? floats_json(saliency->values, saliency->count) : NULL);
    free(probabilities);
    return value;
}

static int follow_sample(const struct studio *studio, const struct activations_question *asking,
                         struct activations_subject *subject, json_t **out, struct error *error)
{
    struct state_dict tensors = {0};
    struct input input = {0};
    char *scratch = NULL;
    int status = -1;
    if (take_input(studio, asking, subject, &input, error)) goto out;
    const struct follow follow = {.ops = asking->ops,
                                  .network = &subject->network,
                                  .parameters = subject->parameters,
                                  .preprocess = &input.preprocess,
                                  .pixels = input.codes,
                                  .target = asking->target};
    scratch = path_join(studio->home, "scratch");
    if (!scratch) {
        error_set_memory(error, "a path");
        goto out;
    }
    if (follow_picture(&follow, scratch, &tensors, error)) goto out;
    *out = answer_json(asking, subject, &input, &tensors);
    status = *out ? 0 : error_set_memory(error, "the answer");
out:
    state_dict_clear(&tensors);
    free(input.drawn);
    free(scratch);
    return status;
}

static int compute_activations(const struct studio *studio, struct store *store, void *context,
                               json_t **out, struct error *error)
{
    struct activations_subject *subject = calloc(1, sizeof *subject);
    if (!subject) return error_set_memory(error, "a network");
    int status = open_subject(studio, store, context, subject, error) ||
                         follow_sample(studio, context, subject, out, error)
                     ? -1
                     : 0;
    close_subject(studio, subject);
    free(subject);
    return status;
}

static void post_activations(struct studio *studio, struct call *call)
{
    struct error error;
    struct activations_question *asking = calloc(1, sizeof *asking);
    if (asking && (read_source(studio, call_body(call), asking, &error) ||
                   read_sample(call_body(call), asking, &error))) {
        free(asking);
        call_fail(call, &error);
        return;
    }
    call_compute(studio, call, compute_activations, asking);
}

/* --- what leads into one unit --- */

/* The shape of what a dense layer's weights look at: the picture, or the maps that a flatten made a
 * list of (what stands between the two keeps every value in its place). */
static struct shape seen_by(const struct network *network, uint32_t index)
{
    const struct layer *layer = &network->layers[index];
    if (layer->type == LAYER_CONV2D)
        return shape_maps(layer->input.sizes[0] / layer->groups, layer->kernel[0],
                          layer->kernel[1]);
    if (layer->input.rank == 3) return layer->input;
    for (uint32_t i = index; i-- > 0;) {
        const struct layer *below = &network->layers[i];
        if (below->type == LAYER_FLATTEN && below->input.rank == 3) return below->input;
        if (layer_type_gathers(below->type)) break;
    }
    return shape_maps(1, 1, layer->inputs);
}

static int unit_json(const struct activations_subject *subject, uint32_t index, uint32_t unit,
                     json_t **out, struct error *error)
{
    const struct network *network = &subject->network;
    if (index >= network->layer_count)
        return error_set(error, ERROR_NOT_FOUND, "there is no layer %u: the network has %u",
                         index + 1, network->layer_count);
    const struct layer *layer = &network->layers[index];
    const struct tensor *weight = parameters_get(subject->parameters, index, ROLE_WEIGHT),
                        *bias = parameters_get(subject->parameters, index, ROLE_BIAS);
    if (!weight || (layer->type != LAYER_DENSE && layer->type != LAYER_CONV2D))
        return error_set(error, ERROR_NOT_FOUND,
                         "layer %u, %s, has no unit with weights of its own: choose a dense or "
                         "conv2d layer",
                         index + 1, layer_kind(layer->type)->name);
    if (unit >= weight->shape[0])
        return error_set(error, ERROR_NOT_FOUND, "layer %u has no unit %u: it has %zu", index + 1,
                         unit, weight->shape[0]);
    const struct shape seen = seen_by(network, index);
    size_t count = shape_values(&seen);
    CHECK(count * weight->shape[0] == weight->count);
    if (count > UNIT_VALUES)
        return error_set(error, ERROR_INPUT, "the unit has %zu weights: at most %zu are shown",
                         count, UNIT_VALUES);
    double *values = malloc(count * sizeof *values);
    if (!values) return error_set_memory(error, "the weights");
    for (size_t i = 0; i < count; i++)
        values[i] = tensor_get(subject->parameters, weight, unit * count + i);
    *out = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o?, s:o}", "name", layer->name, "unit",
                     (json_int_t)unit, "channels", (json_int_t)seen.sizes[0], "rows",
                     (json_int_t)seen.sizes[1], "columns", (json_int_t)seen.sizes[2], "bias",
                     bias ? js_real(tensor_get(subject->parameters, bias, unit)) : NULL, "weights",
                     floats_json(values, count));
    free(values);
    return *out ? 0 : error_set_memory(error, "the weights");
}

static int compute_unit(const struct studio *studio, struct store *store, void *context,
                        json_t **out, struct error *error)
{
    const struct activations_question *asking = context;
    struct activations_subject *subject = calloc(1, sizeof *subject);
    if (!subject) return error_set_memory(error, "a network");
    int status = open_subject(studio, store, asking, subject, error) ||
                         unit_json(subject, asking->layer, asking->unit, out, error)
                     ? -1
                     : 0;
    close_subject(studio, subject);
    free(subject);
    return status;
}

static void post_unit(struct studio *studio, struct call *call)
{
    struct error error;
    const json_t *body = call_body(call);
    struct activations_question *asking = calloc(1, sizeof *asking);
    if (asking && (read_source(studio, body, asking, &error) ||
                   js_get_u32(body, "layer", 0, UINT32_MAX, &asking->layer, &error) ||
                   js_get_u32(body, "unit", 0, UINT32_MAX, &asking->unit, &error))) {
        free(asking);
        call_fail(call, &error);
        return;
    }
    call_compute(studio, call, compute_unit, asking);
}

static const struct route routes[] = {
    {"POST", "/api/activations", post_activations,
     "What every layer gives for one sample or drawing, and the saliency of a class", NULL,
     "FlowRequest", "Flow", 200, ROUTE_CHANGES},
    {"POST", "/api/activations/unit", post_unit, "The weights that lead into one unit", NULL,
     "UnitRequest", "UnitWeights", 200, ROUTE_CHANGES},
};
const struct route_group routes_activations = ROUTE_GROUP("activations", routes);
