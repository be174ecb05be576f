#include "serving/scoring.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/js.h"
#include "data/picture.h"
#include "serving/scoring_impl.h"

/* --- numbers out of JSON --- */

int scoring_begin(const struct scoring_model *model, size_t count, struct scoring_request *out,
                  struct error *error)
{
    if (count < 1) return error_set(error, ERROR_INPUT, "the request holds no samples: send some");
    if (count > model->samples_max)
        return error_set(error, ERROR_INPUT,
                         "%zu samples are too many for one request: send at most %u", count,
                         model->samples_max);
    out->count = count;
    out->values = calloc(count * model->predictor->inputs, sizeof *out->values);
    return out->values ? 0 : error_set_memory(error, "the samples");
}

/* The numbers of one sample, however they are nested, go to values[*used …]. */
struct sample_gathering {
    const struct scoring_model *model;
    double *values;
    size_t used, sample;
};

static int gather(struct sample_gathering *g, const json_t *value, int depth, struct error *error)
{
    size_t inputs = g->model->predictor->inputs, index;
    const json_t *item;
    if (json_is_number(value)) {
        double number = json_number_value(value);
        if (g->used < inputs && isfinite(number)) g->values[g->used] = number;
        g->used++;
        return isfinite(number)
                   ? 0
                   : error_set(error, ERROR_INPUT, "sample %zu: a number is too large", g->sample);
    }
    if (!json_is_array(value) || depth == SCORING_DEPTH_MAX)
        return error_set(error, ERROR_INPUT,
                         "sample %zu, value %zu is not a number: send numbers, in lists nested at "
                         "most %d deep",
                         g->sample, g->used, SCORING_DEPTH_MAX);
    json_array_foreach(value, index, item)
        if (gather(g, item, depth + 1, error)) return -1;
    return 0;
}

/* Lists of the shape [rows, columns, channels], as Keras has color pictures. */
static bool channels_last(const struct network *network, const json_t *sample)
{
    const json_t *row = json_array_get(sample, 0);
    return network->channels > 1 && json_array_size(sample) == network->rows &&
           json_array_size(row) == network->columns &&
           json_array_size(json_array_get(row, 0)) == network->channels;
}

static int turn_channels(const struct network *network, double *values, struct error *error)
{
    size_t places = (size_t)network->rows * network->columns, channels = network->channels;
    double *turned = calloc(places * channels, sizeof *turned);
    if (!turned) return error_set_memory(error, "a sample");
    for (size_t p = 0; p < places; p++)
        for (size_t c = 0; c < channels; c++) turned[c * places + p] = values[p * channels + c];
    memcpy(values, turned, places * channels * sizeof *turned);
    free(turned);
    return 0;
}

int scoring_take_sample(const struct scoring_model *model, struct scoring_request *out,
                        size_t sample, const json_t *value, struct error *error)
{
    size_t inputs = model->predictor->inputs;
    const struct network *network = &model->predictor->model->network;
    struct sample_gathering g = {model, out->values + sample * inputs, 0, sample};
    if (gather(&g, value, 0, error)) return -1;
    if (g.used != inputs)
        return error_set(error, ERROR_INPUT,
                         "sample %zu has %zu numbers, but the model takes %zu (%u x %u%s)", sample,
                         g.used, inputs, network->rows, network->columns,
                         network->channels > 1 ? " in color" : "");
    return channels_last(network, value) ? turn_channels(network, g.values, error) : 0;
}

static int take_samples(const struct scoring_model *model, const json_t *list, const char *where,
                        struct scoring_request *out, struct error *error)
{
    if (!json_is_array(list))
        return error_set(error, ERROR_INPUT, "\"%s\" must be a list of samples", where);
    if (scoring_begin(model, json_array_size(list), out, error)) return -1;
    for (size_t s = 0; s < out->count; s++)
        if (scoring_take_sample(model, out, s, json_array_get(list, s), error)) return -1;
    return 0;
}

/* --- MLflow's four forms --- */

/* A tensor may stand under its name: {"input": [[…]…]}. */
static const json_t *only_member(const json_t *value)
{
    return json_is_object(value) && json_object_size(value) == 1
               ? json_object_iter_value(json_object_iter((json_t *)(uintptr_t)value))
               : value;
}

static int read_inputs(const struct scoring_model *model, const json_t *value,
                       struct scoring_request *out, struct error *error)
{
    return take_samples(model, only_member(value), "inputs", out, error);
}

static int read_instances(const struct scoring_model *model, const json_t *value,
                          struct scoring_request *out, struct error *error)
{
    if (!json_is_array(value))
        return error_set(error, ERROR_INPUT, "\"instances\" must be a list of samples");
    if (scoring_begin(model, json_array_size(value), out, error)) return -1;
    for (size_t s = 0; s < out->count; s++)
        if (scoring_take_sample(model, out, s, only_member(json_array_get(value, s)), error))
            return -1;
    return 0;
}

static int read_split(const struct scoring_model *model, const json_t *value,
                      struct scoring_request *out, struct error *error)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
        if (strcmp(key, "columns") != 0 && strcmp(key, "index") != 0 && strcmp(key, "data") != 0)
            return error_set(error, ERROR_INPUT,
                             "\"dataframe_split\" has a member \"%.40s\": it takes columns, index "
                             "and data",
                             key);
    return take_samples(model, json_object_get(value, "data"), "dataframe_split.data", out, error);
}

/* Rows as objects: the first one's order of columns counts for all. */
static int read_records(const struct scoring_model *model, const json_t *value,
                        struct scoring_request *out, struct error *error)
{
    const json_t *first = json_array_get(value, 0);
    if (!json_is_array(value) || !json_is_object(first))
        return error_set(error, ERROR_INPUT, "\"dataframe_records\" must be a list of objects");
    if (scoring_begin(model, json_array_size(value), out, error)) return -1;
    for (size_t s = 0; s < out->count; s++) {
        const json_t *record = json_array_get(value, s);
        json_t *row = json_array(), *ignored;
        const char *key, *missing = NULL;
        json_object_foreach((json_t *)(uintptr_t)first, key, ignored) {
            json_t *cell = json_object_get(record, key);
            if (!cell) missing = key;
            json_array_append(row, cell);
        }
        bool fits = !missing && json_object_size(record) == json_object_size(first);
        int status = fits ? scoring_take_sample(model, out, s, row, error)
                          : error_set(error, ERROR_INPUT,
                                      "record %zu has other columns than the first one: \"%.40s\"",
                                      s, missing ? missing : "more");
        json_decref(row);
        if (status) return -1;
    }
    return 0;
}

static const struct {
    const char *member;
    int (*read)(const struct scoring_model *model, const json_t *value, struct scoring_request *out,
                struct error *error);
} mlflow_members[] = {
    {"inputs", read_inputs},
    {"instances", read_instances},
    {"dataframe_split", read_split},
    {"dataframe_records", read_records},
};
#define MLFLOW_MEMBERS (sizeof mlflow_members / sizeof mlflow_members[0])

/* "params", which models with parameters take, may be there and empty; TensorFlow Serving's
 * "signature_name" says nothing here. */
static bool is_harmless(const char *key, const json_t *value)
{
    return (strcmp(key, "params") == 0 && (json_is_null(value) || !json_object_size(value))) ||
           strcmp(key, "signature_name") == 0;
}

int scoring_read_mlflow(const struct scoring_model *model, const char *body, size_t size,
                        struct scoring_request *out, struct error *error)
{
    json_t *root, *member;
    const char *key;
    int chosen = -1, status = -1;
    if (scoring_read_plain(model, body, size, out)) return 0;
    if (js_parse_object(body, size, "the request", &root, error)) return -1;
    json_object_foreach(root, key, member) {
        size_t i = 0;
        while (i < MLFLOW_MEMBERS && strcmp(mlflow_members[i].member, key) != 0) i++;
        if (i == MLFLOW_MEMBERS && is_harmless(key, member)) continue;
        if (i == MLFLOW_MEMBERS) {
            error_set(error, ERROR_INPUT,
                      "the request has a member \"%.40s\": send inputs, instances, "
                      "dataframe_split or dataframe_records",
                      key);
            goto out;
        }
        if (chosen >= 0) {
            error_set(error, ERROR_INPUT, "the request has both \"%s\" and \"%s\": send one",
                      mlflow_members[chosen].member, key);
            goto out;
        }
        chosen = (int)i;
    }
    if (chosen < 0)
        error_set(error, ERROR_INPUT,
                  "the request names no samples: send inputs, instances, dataframe_split or "
                  "dataframe_records");
    else
        status = mlflow_members[chosen].read(
            model, json_object_get(root, mlflow_members[chosen].member), out, error);
out:
    json_decref(root);
    return status;
}

/* --- pictures --- */

int scoring_read_picture(const struct scoring_model *model, const char *body, size_t size,
                         struct scoring_request *out, struct error *error)
{
    const struct predictor *predictor = model->predictor;
    const struct network *network = &predictor->model->network;
    struct picture picture = {0};
    uint8_t *pixels = malloc(predictor->inputs);
    int status = -1;
    if (!pixels) {
        error_set_memory(error, "the picture");
        goto out;
    }
    if (scoring_begin(model, 1, out, error) ||
        picture_read_bytes(body, size, "the request's body", &picture, error) ||
        picture_make_input(&picture, network->rows, network->columns, network->channels,
                           &predictor->form, pixels, &out->inverted, error))
        goto out;
    for (size_t i = 0; i < predictor->inputs; i++) out->values[i] = model->of_byte[pixels[i]];
    out->picture = out->bytes = true;
    status = 0;
out:
    picture_free(&picture);
    free(pixels);
    return status;
}

/* --- the table of forms --- */

static const struct scoring_form forms[] = {
    {"application/json", scoring_read_mlflow}, {"text/csv", scoring_read_csv},
    {"image/png", scoring_read_picture},       {"image/jpeg", scoring_read_picture},
    {"image/bmp", scoring_read_picture},       {"image/gif", scoring_read_picture},
};
#define FORMS (sizeof forms / sizeof forms[0])
static const struct scoring_form infer_form = {"application/json", scoring_read_infer};

const char *scoring_media_types(char out[256])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < FORMS; i++)
        used += (size_t)snprintf(out + used, 256 - used, "%s%s", i ? ", " : "",
                                 forms[i].media_type);
    return out;
}

static bool is_type(const char *header, const char *type)
{
    size_t length = strlen(type);
    return strncasecmp(header, type, length) == 0 &&
           (!header[length] || strchr("; \t", header[length]));
}

const struct scoring_form *scoring_form_find(const char *media_type, bool infer,
                                             struct error *error)
{
    char known[256];
    if (infer && (!media_type || is_type(media_type, infer_form.media_type))) return &infer_form;
    for (size_t i = 0; !infer && media_type && i < FORMS; i++)
        if (is_type(media_type, forms[i].media_type)) return &forms[i];
    error_set(error, ERROR_INPUT, "the Content-Type \"%.60s\" is not taken: send %s",
              media_type ? media_type : "",
              infer ? infer_form.media_type : scoring_media_types(known));
    return NULL;
}

int scoring_read(const struct scoring_model *model, const struct scoring_form *form,
                 const char *body, size_t size, struct scoring_request *out, struct error *error)
{
    *out = (struct scoring_request){.infer = form == &infer_form, .most = -INFINITY};
    if (form->read(model, body, size, out, error)) {
        scoring_request_free(out);
        return -1;
    }
    for (size_t i = 0; i < out->count * model->predictor->inputs; i++)
        if (out->values[i] > out->most) out->most = out->values[i];
    return 0;
}

void scoring_request_free(struct scoring_request *request)
{
    free(request->values);
    json_decref(request->id);
    *request = (struct scoring_request){0};
}
