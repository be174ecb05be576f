/* A sample for an endpoint: the answer, beside what the same file says on this machine. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/js.h"
#include "data/dataset.h"
#include "data/picture.h"
#include "registry/azure/endpoint.h"
#include "train/predictor.h"

#define ANSWER_TRIES 5   /* new traffic takes a moment to arrive at the endpoint */
#define ANSWER_PAUSE 2.0 /* seconds */
#define CLOSE        1e-3

/* A sample on its way. */
struct trial {
    struct az_connection *connection;
    const struct registry_options *options;
    const struct registry_sample *sample;
    struct predictor predictor;
    struct preprocess preprocess;
    char words[400];        /* which sample it is */
    uint8_t *codes;         /* owned: [inputs] */
    double *expected, *got; /* owned: probabilities [classes] */
    uint32_t expected_class;
    double milliseconds;
};

/* The first test sample of the data set that the model was trained on. */
static int from_data(struct trial *own, const char *name, struct error *error)
{
    const struct dataset_options options = {.data_dir = own->sample->data_dir,
                                            .home = own->options->home,
                                            .limit = 1,
                                            .form = &own->predictor.form};
    struct dataset *dataset;
    if (dataset_open(name, &options, &dataset, error)) return -1;
    const struct split *split = dataset->test.count ? &dataset->test : &dataset->train;
    int status = 0;
    if (!split->count || dataset_inputs(dataset) != own->predictor.inputs)
        status = error_set(error, ERROR_INPUT, "%s does not fit the model", dataset->title);
    if (!status) {
        memcpy(own->codes, split->pixels, own->predictor.inputs);
        dataset_preprocess_for(dataset, &own->predictor.form, &own->preprocess);
        snprintf(own->words, sizeof own->words, "the first test sample of %s (class %s)",
                 dataset->title, dataset->class_names[split->labels[0]]);
    }
    dataset_close(dataset);
    return status;
}

static int choose(struct trial *own, struct error *error)
{
    const struct registry_sample *sample = own->sample;
    const struct network *network = &own->predictor.model->network;
    const struct input_form *form = &own->predictor.form;
    const char *data = js_text(own->predictor.model->metadata, "dataset");
    bool inverted;
    input_form_preprocess(form, NULL, 255, &own->preprocess);
    if (sample && sample->gray) {
        if (network->channels != 1)
            return error_set(error, ERROR_INPUT,
                             "only networks for gray pictures take a drawing: choose a picture's "
                             "file");
        snprintf(own->words, sizeof own->words, "the drawing");
        const struct picture drawing = {.width = sample->width,
                                        .height = sample->height,
                                        .gray = (uint8_t *)(uintptr_t)sample->gray};
        return picture_make_input(&drawing, network->rows, network->columns, 1, form, own->codes,
                                  &inverted, error);
    }
    if (sample && sample->image) {
        snprintf(own->words, sizeof own->words, "%.300s", sample->image);
        return picture_read_input(sample->image, network->rows, network->columns, network->channels,
                                  form, own->codes, &inverted, error);
    }
    static const struct registry_sample none = {0};
    struct error reason;
    if (!sample) own->sample = &none;
    if (*data && from_data(own, data, &reason) == 0) return 0;
    memset(own->codes, 0, own->predictor.inputs);
    snprintf(own->words, sizeof own->words, "a blank sample (%.200s)",
             *data ? reason.message : "the file does not say which data set it was trained on");
    return 0;
}

static int prepare(struct trial *own, const char *model_path, struct error *error)
{
    struct predictor *predictor = &own->predictor;
    if (predictor_read(model_path, NULL, predictor, error)) return -1;
    own->codes = malloc(predictor->inputs);
    own->expected = calloc(predictor->classes, sizeof *own->expected);
    own->got = calloc(predictor->classes, sizeof *own->got);
    if (!own->codes || !own->expected || !own->got) return error_set_memory(error, "a sample");
    if (choose(own, error) ||
        predictor_start(predictor, engine_default, engine_default_threads(engine_default),
                        &own->preprocess, error))
        return -1;
    return predictor_predict(predictor, own->codes, own->expected, &own->expected_class, error);
}

/* --- asking the endpoint --- */

struct key_header {
    const char *key;
};

static int add_key(void *context, struct web_headers *headers, struct error *error)
{
    const struct key_header *own = context;
    (void)error;
    web_header(headers, "Authorization: Bearer %s", own->key);
    web_header(headers, "Content-Type: application/json");
    return 0;
}

/* What the scoring host means by a status. */
static int tell_status(const struct web_answer *answer, struct error *error)
{
    static const struct {
        int status;
        const char *fix;
    } table[] = {
        {401, "the key was refused: try again"},
        {404, "no deployment has traffic yet: try again in a minute"},
        {408, "the scoring script took too long: choose a larger machine"},
        {424, "the scoring script failed: look at the logs"},
        {429, "it has too much to do: try again later"},
    };
    const char *fix = "look at the logs";
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == answer->status) fix = table[i].fix;
    int shown = answer->body.data ? (int)strcspn(answer->body.data, "\r\n") : 0;
    return error_set(error, ERROR_UNAVAILABLE, "asking the endpoint: HTTP %d%s%.*s: %s",
                     answer->status, shown ? ": " : "", shown > 300 ? 300 : shown,
                     shown ? answer->body.data : "", fix);
}

/* Logits to probabilities; refuses an answer of another shape. */
static int read_answer(struct trial *own, const struct web_answer *answer, struct error *error)
{
    json_t *all = json_loadb(answer->body.data ? answer->body.data : "", answer->body.length, 0,
                             NULL);
    const json_t *rows = json_is_array(all) ? all : json_object_get(all, "predictions");
    const json_t *row = json_array_get(rows, 0);
    uint32_t classes = own->predictor.classes;
    double largest = -INFINITY, sum = 0;
    bool fits = json_array_size(row) == classes;
    for (uint32_t c = 0; fits && c < classes; c++) {
        fits = json_is_number(json_array_get(row, c));
        own->got[c] = json_number_value(json_array_get(row, c));
        largest = fmax(largest, own->got[c]);
    }
    json_decref(all);
    if (!fits)
        return error_set(error, ERROR_FAILED,
                         "the endpoint did not answer %u numbers for the sample: look at its logs",
                         classes);
    for (uint32_t c = 0; c < classes; c++) sum += own->got[c] = exp(own->got[c] - largest);
    for (uint32_t c = 0; c < classes; c++) own->got[c] /= sum;
    return 0;
}

static char *make_body(const struct trial *own, const char *model_type)
{
    double values[256];
    json_t *row = json_array();
    preprocess_fill_f64(&own->preprocess, values);
    for (size_t i = 0; i < own->predictor.inputs; i++)
        json_array_append_new(row, json_real(values[own->codes[i]]));
    json_t *body = json_pack(
        "{s:[o]}", strcmp(model_type, "mlflow_model") == 0 ? "input_data" : "inputs", row);
    char *text = js_dump(body);
    json_decref(body);
    return text;
}

static int send_sample(struct trial *own, const char *uri, const char *key, const char *body,
                       struct error *error)
{
    struct key_header header = {key};
    const struct web_request request = {.method = "POST",
                                        .url = uri,
                                        .what = "asking the endpoint",
                                        .body = body,
                                        .body_size = strlen(body),
                                        .prepare = add_key,
                                        .context = &header};
    for (int attempt = 0;; attempt++) {
        struct web_answer answer;
        double begun = clock_monotonic();
        int status = web_send(own->connection->web, &request, &answer, error);
        own->milliseconds = 1000 * (clock_monotonic() - begun);
        bool again = !status && answer.status == 404 && attempt + 1 < ANSWER_TRIES;
        if (!status && !again)
            status = answer.status == 200 ? read_answer(own, &answer, error)
                                          : tell_status(&answer, error);
        web_answer_clear(&answer);
        if (!again) return status;
        if (web_wait(own->connection->web, ANSWER_PAUSE, error)) return -1;
    }
}

/* The key stays in memory and goes to the scoring host only. */
static int ask_endpoint(struct trial *own, const json_t *resource, const char *body,
                        struct error *error)
{
    char path[AZ_ENDPOINT_PATH], key[512];
    const char *uri = js_text(json_object_get(resource, "properties"), "scoringUri");
    struct arm_answer answer;
    if (!*uri)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the endpoint has no scoring address yet: try again in a minute");
    snprintf(path, sizeof path, "/onlineEndpoints/%.40s/listKeys", js_text(resource, "name"));
    if (arm_call(&own->connection->arm,
                 &(struct arm_request){
                     .method = "POST", .path = path, .what = "asking for the endpoint's key"},
                 &answer, error))
        return -1;
    json_t *found = json_object_get(answer.body, "primaryKey");
    snprintf(key, sizeof key, "%s", js_text(answer.body, "primaryKey"));
    if (found) explicit_bzero((char *)json_string_value(found), json_string_length(found));
    json_decref(answer.body);
    int status = send_sample(own, uri, key, body, error);
    explicit_bzero(key, sizeof key);
    return status;
}

static json_t *tell(const struct trial *own, const char *endpoint)
{
    const struct network *network = &own->predictor.model->network;
    uint32_t best = 0;
    double difference = 0;
    char number[16];
    json_t *probabilities = json_array(), *picture = json_array();
    for (uint32_t c = 0; c < own->predictor.classes; c++) {
        if (own->got[c] > own->got[best]) best = c;
        difference = fmax(difference, fabs(own->got[c] - own->expected[c]));
        json_array_append_new(probabilities, json_real(own->got[c]));
    }
    for (size_t i = 0; i < own->predictor.inputs; i++)
        json_array_append_new(picture, json_integer(own->codes[i]));
    return json_pack(
        "{s:s, s:s, s:I, s:s, s:o, s:I, s:f, s:b, s:f, s:o, s:I, s:I, s:I}", "endpoint", endpoint,
        "sample", own->words, "class", (json_int_t)best, "class_name",
        predictor_class_name(&own->predictor, best, number), "probabilities", probabilities,
        "expected_class", (json_int_t)own->expected_class, "max_difference", difference, "same",
        (int)(best == own->expected_class && difference <= CLOSE), "milliseconds",
        own->milliseconds, "picture", picture, "rows", (json_int_t)network->rows, "columns",
        (json_int_t)network->columns, "channels", (json_int_t)network->channels);
}

int az_endpoint_try(struct az_connection *connection, const struct registry_options *options,
                    const json_t *resource, const char *model_path, const char *model_type,
                    const struct registry_sample *sample, json_t **out, struct error *error)
{
    struct trial own = {.connection = connection, .options = options, .sample = sample};
    char *body = NULL;
    int status = prepare(&own, model_path, error);
    if (!status) {
        body = make_body(&own, model_type);
        status = body ? ask_endpoint(&own, resource, body, error)
                      : error_set_memory(error, "a request");
    }
    if (!status) {
        *out = tell(&own, js_text(resource, "name"));
        if (!*out) status = error_set_memory(error, "an answer");
    }
    free(body);
    free(own.codes);
    free(own.expected);
    free(own.got);
    predictor_close(&own.predictor);
    return status;
}
