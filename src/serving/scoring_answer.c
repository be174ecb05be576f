#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "data/preprocess.h"
#include "serving/scoring_impl.h"
#include "train/metrics.h"

const char *const scoring_outputs[OUTPUT_COUNT] = {"logits", "probabilities", "class"};

const char *scoring_datatype(const struct scoring_model *model)
{
    return model->predictor->model->parameters->dtype == DTYPE_FLOAT64 ? "FP64" : "FP32";
}

/* --- numbers as text --- */

/* As many digits as the dtype has; JSON has no infinities. */
static void put_number(const struct scoring_model *model, double value, struct buffer *out)
{
    bool wide = model->predictor->model->parameters->dtype == DTYPE_FLOAT64;
    if (isfinite(value))
        buffer_printf(out, "%.*g", wide ? 17 : 9, value);
    else
        buffer_append_text(out, "null");
}

static void put_rows(const struct scoring_model *model, const double *values, size_t rows,
                     bool nested, struct buffer *out)
{
    uint32_t classes = model->predictor->classes;
    buffer_append_char(out, '[');
    for (size_t s = 0; s < rows; s++) {
        if (s) buffer_append_char(out, ',');
        if (nested) buffer_append_char(out, '[');
        for (uint32_t c = 0; c < classes; c++) {
            if (c) buffer_append_char(out, ',');
            put_number(model, values[s * classes + c], out);
        }
        if (nested) buffer_append_char(out, ']');
    }
    buffer_append_char(out, ']');
}

static void put_json(json_t *value, struct buffer *out)
{
    char *text = js_dump_as(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text)
        buffer_append_text(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(value);
}

/* --- what has to be said beside the numbers --- */

/* The largest value that the model's usual data has, after preprocessing. */
static double usual_most(const struct scoring_model *model)
{
    return fmax(model->of_byte[0], model->of_byte[255]);
}

static json_t *warnings(const struct scoring_model *model, const struct scoring_request *request)
{
    char text[256];
    json_t *list = model->predictor->model->assumed ? json_copy(model->predictor->model->assumed)
                                                    : json_array();
    double usual = usual_most(model);
    if (request->inverted)
        json_array_append_new(list, json_string("the picture was inverted, as the model was "
                                                "trained on pictures of the other kind"));
    if (!request->bytes && model->predictor->form.range > 0 && request->most > 2 * usual + 1) {
        snprintf(text, sizeof text,
                 "the numbers go up to %g, but this model takes values up to %g: bytes are sent as "
                 "UINT8 to /v2/models/%.60s/infer",
                 request->most, usual, model->name);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static void put_warnings(const struct scoring_model *model, const struct scoring_request *request,
                         struct buffer *out)
{
    json_t *list = warnings(model, request);
    if (json_array_size(list)) {
        buffer_append_text(out, ",\"warnings\":");
        put_json(json_incref(list), out);
    }
    json_decref(list);
}

/* --- answers --- */

struct classified {
    double *probabilities; /* [count, classes], owned */
    uint32_t *classes;     /* [count], owned */
};

static int classify(const struct scoring_model *model, const double *logits, size_t count,
                    struct classified *out, struct error *error)
{
    uint32_t classes = model->predictor->classes;
    out->probabilities = malloc(count * classes * sizeof *out->probabilities);
    out->classes = malloc(count * sizeof *out->classes);
    if (!out->probabilities || !out->classes) return error_set_memory(error, "the answer");
    for (size_t s = 0; s < count; s++)
        out->classes[s] = metrics_probabilities(logits + s * classes, classes,
                                                out->probabilities + s * classes);
    return 0;
}

static json_t *class_name(const struct scoring_model *model, uint32_t class)
{
    char number[16];
    return js_shown(predictor_class_name(model->predictor, class, number));
}

/* {"predictions":[[…]]}; a picture is answered for users, too. */
static void put_predictions(const struct scoring_model *model,
                            const struct scoring_request *request, const double *logits,
                            const struct classified *classified, struct buffer *out)
{
    buffer_append_text(out, "{\"predictions\":");
    put_rows(model, logits, request->count, true, out);
    if (request->picture) {
        buffer_append_text(out, ",\"class\":");
        put_json(class_name(model, classified->classes[0]), out);
        buffer_append_text(out, ",\"probabilities\":");
        put_rows(model, classified->probabilities, 1, false, out);
    }
    put_warnings(model, request, out);
    buffer_append_char(out, '}');
}

static void put_output(const struct scoring_model *model, enum scoring_output output,
                       const struct scoring_request *request, const double *logits,
                       const struct classified *classified, struct buffer *out)
{
    bool class = output == OUTPUT_CLASS;
    buffer_printf(out, "{\"name\":\"%s\",\"datatype\":\"%s\",\"shape\":[%zu",
                  scoring_outputs[output], class ? "INT64" : scoring_datatype(model),
                  request->count);
    if (!class) buffer_printf(out, ",%u", model->predictor->classes);
    buffer_append_text(out, "],\"data\":");
    if (!class) {
        put_rows(model, output == OUTPUT_LOGITS ? logits : classified->probabilities,
                 request->count, false, out);
    } else {
        for (size_t s = 0; s < request->count; s++)
            buffer_printf(out, "%c%u", s ? ',' : '[', classified->classes[s]);
        buffer_append_char(out, ']');
    }
    buffer_append_char(out, '}');
}

static void put_outputs(const struct scoring_model *model, const struct scoring_request *request,
                        const double *logits, const struct classified *classified,
                        struct buffer *out)
{
    bool first = true;
    buffer_append_text(out, "{\"model_name\":");
    put_json(json_string(model->name), out);
    buffer_append_text(out, ",\"model_version\":\"1\"");
    if (request->id) {
        buffer_append_text(out, ",\"id\":");
        put_json(json_incref(request->id), out);
    }
    buffer_append_text(out, ",\"outputs\":[");
    for (int i = 0; i < OUTPUT_COUNT; i++) {
        if (request->wanted && !(request->wanted & 1u << i)) continue;
        if (!first) buffer_append_char(out, ',');
        put_output(model, (enum scoring_output)i, request, logits, classified, out);
        first = false;
    }
    buffer_append_char(out, ']');
    put_warnings(model, request, out);
    buffer_append_char(out, '}');
}

int scoring_answer(const struct scoring_model *model, const struct scoring_request *request,
                   const double *logits, struct buffer *out, struct error *error)
{
    struct classified classified = {0};
    int status = classify(model, logits, request->count, &classified, error);
    if (!status) {
        (request->infer ? put_outputs : put_predictions)(model, request, logits, &classified, out);
        status = buffer_check(out, "the answer", error);
    }
    free(classified.probabilities);
    free(classified.classes);
    return status;
}

/* --- the model --- */

static json_t *tensor_json(const char *name, const char *datatype, json_t *shape)
{
    return json_pack("{s:s, s:s, s:o}", "name", name, "datatype", datatype, "shape", shape);
}

static json_t *input_shape(const struct network *network)
{
    return network->channels > 1
               ? json_pack("[i,i,i,i]", -1, network->channels, network->rows, network->columns)
               : json_pack("[i,i]", -1, network_inputs(network));
}

json_t *scoring_metadata(const struct scoring_model *model)
{
    const struct predictor *predictor = model->predictor;
    const struct network *network = &predictor->model->network;
    const char *type = scoring_datatype(model);
    char words[128];
    json_t *names = json_array(), *outputs = json_array();
    for (uint32_t c = 0; c < predictor->classes; c++)
        json_array_append_new(names, class_name(model, c));
    for (int i = 0; i < OUTPUT_COUNT; i++)
        json_array_append_new(outputs,
                              i == OUTPUT_CLASS
                                  ? tensor_json(scoring_outputs[i], "INT64", json_pack("[i]", -1))
                                  : tensor_json(scoring_outputs[i], type,
                                                json_pack("[i,i]", -1, predictor->classes)));
    return json_pack("{s:s, s:[s], s:s, s:[o], s:o, s:o, s:o, s:o, s:I, s:s, s:s, s:s, s:i}",
                     "name", model->name, "versions", "1", "platform", "nnstudio", "inputs",
                     tensor_json("input", type, input_shape(network)), "outputs", outputs,
                     "class_names", names, "assumed",
                     predictor->model->assumed ? json_incref(predictor->model->assumed)
                                               : json_array(),
                     "network", network_to_json(network), "parameters",
                     (json_int_t)network_parameter_count(network), "preprocessing",
                     input_form_words(&predictor->form, words), "engine", model->engine_title,
                     "sha256", model->hash, "samples_max", model->samples_max);
}
