#include "code/microscope_view.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/js.h"
#include "engine/trace_name.h"

#define SHOWS(what) (1U << (what))

#define BINS            48
#define PICTURE_ROWS    64
#define PICTURE_COLUMNS 128
/* The input is shown as the pictures it is made of: fewer rows, each whole. */
#define INPUT_ROWS    32
#define INPUT_COLUMNS 4096

/* The stages of a step in their order; each shows some kinds of tensor. */
static const struct {
    const char *id, *title, *note, *code_stage;
    const char *ideas[4];
    unsigned shows; /* bits: 1 << enum trace_what */
} stages[] = {
    {"batch",
     "The batch",
     "What every engine receives: the same samples in the same order, their values brought to the "
     "network's scale.",
     "data",
     {"scale", "batches"},
     SHOWS(TRACE_INPUT)},
    {"hidden",
     "Hidden layers",
     "Each layer multiplies by its weights, adds its biases (z) and bends the result (a). PyTorch "
     "runs this line by line and remembers; TensorFlow runs the graph that was built before.",
     "network",
     {"layer", "activation", "forward", "forward_pass"},
     SHOWS(TRACE_BEFORE) | SHOWS(TRACE_AFTER)},
    {"logits",
     "Logits",
     "The last layer has no activation: one number per class and sample, the larger the more "
     "likely.",
     "network",
     {"layer", "forward", "forward_pass"},
     SHOWS(TRACE_LOGITS)},
    {"loss",
     "Probabilities and loss",
     "Softmax makes the logits probabilities; the loss is the mean of −log of the "
     "probability of the correct class.",
     "optimizer",
     {"loss", "loss_value", "compile"},
     SHOWS(TRACE_PROBABILITIES) | SHOWS(TRACE_LOSS)},
    {"gradients",
     "Gradients",
     "How the loss would change with each weight. Autograd reads its notes backwards; the graph "
     "holds "
     "nodes for this from the start.",
     "step",
     {"zero_grad", "backward", "callback"},
     SHOWS(TRACE_GRADIENT)},
    {"update",
     "New weights",
     "Each weight takes a small step against its gradient.",
     "step",
     {"update", "optimizer", "callback"},
     SHOWS(TRACE_NEW)},
};
static const size_t stage_count = sizeof stages / sizeof stages[0];

static const char *title_of(const char *name)
{
    struct trace_name read;
    return trace_name_parse(name, &read) ? trace_name_words(&read) : "";
}

static bool belongs(const char *name, size_t stage)
{
    struct trace_name read;
    return trace_name_parse(name, &read) && (stages[stage].shows & SHOWS(read.what));
}

struct range {
    double low, high;
};

static const double *values_of(const struct named_tensor *tensor)
{
    return tensor->values;
}

static struct range range_of(const struct tracing *traces, size_t count, const char *name)
{
    struct range range = {INFINITY, -INFINITY};
    for (size_t t = 0; t < count; t++) {
        const struct named_tensor *tensor = state_dict_find(&traces[t].tensors, name);
        for (size_t i = 0; tensor && i < tensor->count; i++) {
            double value = values_of(tensor)[i];
            if (!isfinite(value)) continue; /* weights that ran away */
            if (value < range.low) range.low = value;
            if (value > range.high) range.high = value;
        }
    }
    if (range.low > range.high) range = (struct range){0, 0};
    return range;
}

static json_t *histogram(const struct tracing *trace, const struct named_tensor *tensor,
                         struct range range)
{
    size_t counts[BINS] = {0}, lost = 0;
    double sum = 0, squares = 0, width = range.high - range.low;
    for (size_t i = 0; i < tensor->count; i++) {
        double value = values_of(tensor)[i];
        if (!isfinite(value)) {
            lost++;
            continue;
        }
        int bin = width > 0 ? (int)((value - range.low) / width * BINS) : 0;
        counts[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]++;
        sum += value;
        squares += value * value;
    }
    double n = tensor->count > lost ? (double)(tensor->count - lost) : 1, mean = sum / n,
           variance = squares / n - mean * mean;
    char digest[HASH_HEX_SIZE];
    hash_bytes(tensor->values, tensor->count * sizeof(double), digest);
    json_t *bins = json_array();
    for (size_t i = 0; i < BINS; i++)
        json_array_append_new(bins, json_integer((json_int_t)counts[i]));
    return json_pack("{s:s, s:o, s:o, s:o, s:I, s:s}", "engine", trace->ops->id, "counts", bins,
                     "mean", js_real(mean), "std", js_real(sqrt(variance > 0 ? variance : 0)),
                     "not_finite", (json_int_t)lost, "sha256", digest);
}

/* A picture of a matrix (a vector is one row), thinned out evenly when it is large. */
static json_t *picture(const struct named_tensor *tensor)
{
    size_t rows = tensor->rank == 2 ? tensor->shape[0] : 1,
           columns = tensor->rank == 2 ? tensor->shape[1] : tensor->count;
    struct trace_name read;
    bool input = trace_name_parse(tensor->name, &read) && read.what == TRACE_INPUT;
    size_t most_rows = input ? INPUT_ROWS : PICTURE_ROWS,
           most_columns = input ? INPUT_COLUMNS : PICTURE_COLUMNS;
    size_t tall = rows < most_rows ? rows : most_rows,
           wide = columns < most_columns ? columns : most_columns;
    size_t bytes = tall * wide * sizeof(float);
    float *values = malloc(bytes ? bytes : 1);
    unsigned char *text = malloc(4 * ((bytes + 2) / 3) + 1);
    json_t *result = NULL;
    if (values && text) {
        for (size_t r = 0; r < tall; r++)
            for (size_t c = 0; c < wide; c++)
                values[r * wide + c] = (float)values_of(
                    tensor)[r * rows / tall * columns + c * columns / wide];
        EVP_EncodeBlock(text, (const unsigned char *)values, (int)bytes);
        result = json_pack("{s:I, s:I, s:s}", "rows", (json_int_t)tall, "columns", (json_int_t)wide,
                           "values", (const char *)text);
    }
    free(values);
    free(text);
    return result;
}

static double largest_difference(const struct named_tensor *a, const struct named_tensor *b)
{
    double most = 0;
    if (a->count != b->count) return INFINITY;
    for (size_t i = 0; i < a->count; i++) {
        double difference = fabs(values_of(a)[i] - values_of(b)[i]);
        if (!(difference <= most)) most = difference; /* a NaN counts as a difference, too */
    }
    return most;
}

static json_t *tensor_to_json(const struct tracing *traces, size_t count,
                              const struct named_tensor *model)
{
    struct range range = range_of(traces, count, model->name);
    json_t *shape = json_array(), *histograms = json_array(), *differences = json_array();
    double most = 0;
    for (uint32_t i = 0; i < model->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)model->shape[i]));
    for (size_t i = 0; i < count; i++) {
        const struct named_tensor *a = state_dict_find(&traces[i].tensors, model->name);
        if (!a) continue;
        json_array_append_new(histograms, histogram(&traces[i], a, range));
        for (size_t j = i + 1; j < count; j++) {
            const struct named_tensor *b = state_dict_find(&traces[j].tensors, model->name);
            if (!b) continue;
            double difference = largest_difference(a, b);
            if (!(difference <= most)) most = difference;
            json_array_append_new(
                differences,
                json_pack("{s:o, s:o}", "pair",
                          json_sprintf("%s/%s", traces[i].ops->id, traces[j].ops->id), "max",
                          isfinite(difference) ? json_real(difference) : json_null()));
        }
    }
    return json_pack("{s:s, s:s, s:o, s:f, s:f, s:o, s:o?, s:o, s:o}", "name", model->name, "title",
                     title_of(model->name), "shape", shape, "low", range.low, "high", range.high,
                     "histogram", histograms, "picture", picture(model), "differences", differences,
                     "max_difference", isfinite(most) ? json_real(most) : json_null());
}

static json_t *stage_to_json(const struct tracing *traces, size_t count,
                             const struct tracing *model, size_t stage)
{
    json_t *tensors = json_array(), *ideas = json_array();
    for (size_t i = 0; i < model->tensors.count; i++)
        if (belongs(model->tensors.tensors[i].name, stage))
            json_array_append_new(tensors,
                                  tensor_to_json(traces, count, &model->tensors.tensors[i]));
    for (size_t i = 0; i < 4 && stages[stage].ideas[i]; i++)
        json_array_append_new(ideas, json_string(stages[stage].ideas[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "id", stages[stage].id, "title",
                     stages[stage].title, "note", stages[stage].note, "code_stage",
                     stages[stage].code_stage, "ideas", ideas, "tensors", tensors);
}

static json_t *metadata_array(const struct tracing *trace, const char *key)
{
    const char *text = json_string_value(json_object_get(trace->metadata, key));
    json_t *value = text ? json_loads(text, 0, NULL) : NULL;
    return value ? value : json_array();
}

int microscope_view(const struct tracing *traces, size_t count, uint32_t batch, json_t **out,
                    struct error *error)
{
    const struct tracing *model = NULL;
    json_t *engines = json_array(), *list = json_array();
    for (size_t i = 0; i < count; i++) {
        bool there = !traces[i].error[0];
        if (there && !model) model = &traces[i];
        json_array_append_new(
            engines,
            json_pack("{s:s, s:s, s:s?, s:s?, s:o}", "id", traces[i].ops->id, "title",
                      traces[i].ops->title, "version",
                      json_string_value(json_object_get(traces[i].metadata, "engine_version")),
                      "error", there ? NULL : traces[i].error, "indices",
                      metadata_array(&traces[i], "indices")));
    }
    if (!model) {
        json_decref(engines);
        json_decref(list);
        const struct tracing *told = &traces[0];
        for (size_t i = count; i-- > 0;)
            if (traces[i].code == ERROR_INPUT) told = &traces[i];
        return error_set(error, told->code, "%s", told->error);
    }
    for (size_t stage = 0; stage < stage_count; stage++) {
        json_t *value = stage_to_json(traces, count, model, stage);
        if (json_array_size(json_object_get(value, "tensors"))) {
            json_array_append_new(list, value);
        } else {
            json_decref(value); /* a network without hidden layers has no such stage */
        }
    }
    *out = json_pack("{s:{s:I, s:o, s:o}, s:o, s:o}", "batch", "number", (json_int_t)batch,
                     "indices", metadata_array(model, "indices"), "labels",
                     metadata_array(model, "labels"), "engines", engines, "stages", list);
    return *out ? 0 : error_set_memory(error, "the step");
}
