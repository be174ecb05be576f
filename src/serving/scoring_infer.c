/* The Open Inference Protocol's request. */
#include <string.h>

#include "base/js.h"
#include "serving/scoring_impl.h"

/* The datatypes that are taken: values as they are, bytes by the model's form. */
static const struct {
    const char *name;
    bool bytes;
} datatypes[] = {{"FP32", false}, {"FP64", false}, {"UINT8", true}};
#define DATATYPES (sizeof datatypes / sizeof datatypes[0])

static int find_datatype(const char *name, bool *bytes, struct error *error)
{
    for (size_t i = 0; i < DATATYPES; i++) {
        if (strcmp(datatypes[i].name, name) != 0) continue;
        *bytes = datatypes[i].bytes;
        return 0;
    }
    return error_set(error, ERROR_INPUT,
                     "the datatype \"%.20s\" is not taken: send UINT8 for bytes 0 to 255, or FP32 "
                     "or FP64 for what the network receives",
                     name);
}

/* shape[0] samples whose other sizes make up the model's inputs. */
static int read_shape(const struct scoring_model *model, const json_t *shape, size_t *count,
                      struct error *error)
{
    const json_t *size;
    size_t index, each = 1, inputs = model->predictor->inputs;
    if (json_array_size(shape) < 2 || json_array_size(shape) > 4)
        return error_set(error, ERROR_INPUT, "\"shape\" must be [samples, %zu] or nested", inputs);
    json_array_foreach(shape, index, size) {
        json_int_t value = json_integer_value(size);
        if (value < 1 || value > (1 << 24))
            return error_set(error, ERROR_INPUT, "\"shape\" must hold sizes from 1");
        if (index)
            each *= (size_t)value;
        else
            *count = (size_t)value;
        if (each > inputs) break;
    }
    if (each == inputs) return 0;
    return error_set(error, ERROR_INPUT, "\"shape\" has another size per sample than %zu", inputs);
}

/* Data may be flat or nested as the shape says. */
static int read_data(const struct scoring_model *model, const json_t *tensor, size_t count,
                     struct scoring_request *out, struct error *error)
{
    const json_t *data = json_object_get(tensor, "data"), *shape = json_object_get(tensor, "shape");
    size_t inputs = model->predictor->inputs;
    if (!json_is_array(data)) return error_set(error, ERROR_INPUT, "\"data\" must be a list");
    if (scoring_begin(model, count, out, error)) return -1;
    if (json_is_array(json_array_get(data, 0))) {
        if (json_array_size(data) != count)
            return error_set(error, ERROR_INPUT, "\"data\" holds %zu samples, \"shape\" says %zu",
                             json_array_size(data), count);
        for (size_t s = 0; s < count; s++)
            if (scoring_take_sample(model, out, s, json_array_get(data, s), error)) return -1;
        return 0;
    }
    const struct network *network = &model->predictor->model->network;
    if (network->channels > 1 && json_array_size(shape) == 4 &&
        json_integer_value(json_array_get(shape, 1)) != network->channels)
        return error_set(error, ERROR_INPUT,
                         "\"shape\" must be [samples, %u, %u, %u]: channels first",
                         network->channels, network->rows, network->columns);
    if (json_array_size(data) != count * inputs)
        return error_set(error, ERROR_INPUT, "\"data\" holds %zu numbers, \"shape\" says %zu",
                         json_array_size(data), count * inputs);
    for (size_t i = 0; i < count * inputs; i++) {
        const json_t *value = json_array_get(data, i);
        if (!json_is_number(value))
            return error_set(error, ERROR_INPUT, "\"data\", value %zu is not a number", i);
        out->values[i] = json_number_value(value);
    }
    return 0;
}

static int use_bytes(const struct scoring_model *model, struct scoring_request *out,
                     struct error *error)
{
    for (size_t i = 0; i < out->count * model->predictor->inputs; i++) {
        double value = out->values[i];
        if (!(value >= 0 && value <= 255) || value != (double)(int)value)
            return error_set(error, ERROR_INPUT, "UINT8 data holds %g: bytes are 0 to 255", value);
        out->values[i] = model->of_byte[(int)value];
    }
    out->bytes = true;
    return 0;
}

static int read_outputs(const json_t *outputs, struct scoring_request *out, struct error *error)
{
    const json_t *output;
    size_t index;
    json_array_foreach(outputs, index, output) {
        const char *name = js_text(output, "name");
        int i = 0;
        while (i < OUTPUT_COUNT && strcmp(scoring_outputs[i], name) != 0) i++;
        if (i == OUTPUT_COUNT)
            return error_set(error, ERROR_INPUT,
                             "there is no output \"%.40s\": ask for %s, %s or %s", name,
                             scoring_outputs[0], scoring_outputs[1], scoring_outputs[2]);
        out->wanted |= 1u << i;
    }
    return 0;
}

int scoring_read_infer(const struct scoring_model *model, const char *body, size_t size,
                       struct scoring_request *out, struct error *error)
{
    json_t *root;
    size_t count = 0;
    bool bytes = false;
    int status = -1;
    if (js_parse_object(body, size, "the request", &root, error)) return -1;
    const json_t *inputs = json_object_get(root, "inputs"), *tensor = json_array_get(inputs, 0);
    json_t *id = json_object_get(root, "id");
    if (json_array_size(inputs) != 1)
        error_set(error, ERROR_INPUT, "\"inputs\" must be a list of one tensor, the samples");
    else if (id && !json_is_string(id))
        error_set(error, ERROR_INPUT, "\"id\" must be a text");
    else if (!find_datatype(js_text(tensor, "datatype"), &bytes, error) &&
             !read_shape(model, json_object_get(tensor, "shape"), &count, error) &&
             !read_data(model, tensor, count, out, error) &&
             !read_outputs(json_object_get(root, "outputs"), out, error) &&
             (!bytes || !use_bytes(model, out, error)))
        status = 0;
    out->id = json_incref(id);
    json_decref(root);
    return status;
}
