/* What a trained model does: its evaluation, its weights, its answer to a drawing. The default
 * engine computes, from the file that the run's own engine wrote, and says so. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/js.h"
#include "http/drawing.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "run/setup.h"
#include "train/metrics.h"
#include "train/predictor.h"

#define MISTAKES_SHOWN 24
#define ANSWERS_MAX    16

/* --- the model of a run --- */

struct run_model {
    char run[64];
    struct run_record record;
    struct predictor predictor;
    char sha256[65];
};

static int open_model(struct store *store, struct run_model *subject, struct error *error)
{
    char *path;
    if (store_run_get(store, subject->run, &subject->record, error) ||
        store_model_file(store, subject->run, &path, subject->sha256, error))
        return -1;
    const struct modelfile_options options = setup_model_options(&subject->record.job);
    int status = predictor_open(path, &options, engine_default, 1, &subject->predictor, error);
    free(path);
    return status;
}

/* --- evaluation --- */

struct mistake {
    size_t index;
    uint32_t predicted;
    double probability; /* of the predicted class: the surer, the worse */
};

struct evaluation {
    struct metrics metrics;
    struct mistake worst[MISTAKES_SHOWN]; /* the worst first */
    size_t worst_count;
    const uint8_t *labels; /* of the split; borrowed */
    uint32_t classes;
    double *probabilities; /* of the sample that is looked at */
};

static void note_mistake(struct evaluation *evaluation, const struct mistake *mistake)
{
    size_t place = evaluation->worst_count;
    while (place > 0 && evaluation->worst[place - 1].probability < mistake->probability) place--;
    if (place == MISTAKES_SHOWN) return;
    size_t kept = evaluation->worst_count < MISTAKES_SHOWN ? evaluation->worst_count
                                                           : MISTAKES_SHOWN - 1;
    memmove(evaluation->worst + place + 1, evaluation->worst + place,
            (kept - place) * sizeof *mistake);
    evaluation->worst[place] = *mistake;
    if (evaluation->worst_count < MISTAKES_SHOWN) evaluation->worst_count++;
}

/* Looks at one sample's logits. */
static void judge(void *context, size_t sample, const double *logits)
{
    struct evaluation *evaluation = context;
    uint32_t label = evaluation->labels[sample], classes = evaluation->classes;
    double *probabilities = evaluation->probabilities;
    uint32_t best = metrics_probabilities(logits, classes, probabilities);
    /* a network that diverged says nothing */
    if (best == label || label >= classes || !isfinite(probabilities[best])) return;
    const struct mistake mistake = {sample, best, probabilities[best]};
    note_mistake(evaluation, &mistake);
}

static int evaluate(struct predictor *predictor, const struct dataset *dataset,
                    struct evaluation *evaluation, struct error *error)
{
    evaluation->labels = dataset->test.labels;
    evaluation->classes = predictor->classes;
    evaluation->probabilities = malloc(predictor->classes * sizeof *evaluation->probabilities);
    if (!evaluation->probabilities) return error_set_memory(error, "an evaluation");
    int status = evaluate_split(predictor->engine, predictor->classes, &dataset->test,
                                predictor->inputs, judge, evaluation, &evaluation->metrics, error);
    free(evaluation->probabilities);
    return status;
}

static json_t *evaluation_json(const struct evaluation *evaluation, const struct dataset *dataset)
{
    json_t *mistakes = json_array(), *names = json_array();
    size_t image = dataset_inputs(dataset);
    uint8_t light[256];
    dataset_brightness(dataset, light);
    for (size_t i = 0; i < evaluation->worst_count; i++) {
        const struct mistake *mistake = &evaluation->worst[i];
        json_array_append_new(
            mistakes,
            json_pack("{s:I, s:i, s:i, s:f, s:o}", "index", (json_int_t)mistake->index, "label",
                      dataset->test.labels[mistake->index], "predicted", (int)mistake->predicted,
                      "probability", mistake->probability, "pixels",
                      lit_json(light, dataset->test.pixels + mistake->index * image, image)));
    }
    for (uint32_t c = 0; c < dataset->classes; c++)
        json_array_append_new(names, js_shown(dataset->class_names[c]));
    return json_pack("{s:I, s:f, s:f, s:o, s:o, s:o, s:i, s:i, s:i, s:s, s:s}", "samples",
                     (json_int_t)evaluation->metrics.samples, "loss", evaluation->metrics.loss,
                     "accuracy", evaluation->metrics.accuracy, "confusion",
                     metrics_confusion_to_json(evaluation->metrics.confusion, dataset->classes),
                     "classes", names, "mistakes", mistakes, "rows", (int)dataset->rows, "columns",
                     (int)dataset->columns, "channels", (int)dataset->channels, "dataset",
                     dataset->title, "computed_by", engine_default->id);
}

/* The engine again, for this data's values instead of pictures of bytes. */
static int start_for(struct predictor *predictor, const struct dataset *dataset,
                     struct error *error)
{
    struct preprocess preprocess;
    dataset_preprocess_for(dataset, &predictor->form, &preprocess);
    return predictor_start(predictor, engine_default, 1, &preprocess, error);
}

static int evaluate_run(const struct studio *studio, struct run_model *subject, json_t **out,
                        struct error *error)
{
    const struct job *job = &subject->record.job;
    const struct predictor *predictor = &subject->predictor;
    const struct dataset *dataset;
    struct evaluation evaluation = {0};
    struct dataset_options options;
    job_dataset_options(job, &options);
    if (library_borrow(studio->library, job->dataset, &options, &dataset, error)) return -1;
    int status = -1;
    evaluation.metrics.confusion = calloc((size_t)predictor->classes * predictor->classes,
                                          sizeof(uint32_t));
    if (!evaluation.metrics.confusion)
        error_set_memory(error, "the confusion matrix");
    else if (predictor->inputs != dataset_inputs(dataset) || predictor->classes != dataset->classes)
        error_set(error, ERROR_CONFLICT, "the model no longer fits %s: was the data set changed?",
                  dataset->title);
    else
        status = start_for(&subject->predictor, dataset, error) ||
                         evaluate(&subject->predictor, dataset, &evaluation, error)
                     ? -1
                     : 0;
    if (!status) *out = evaluation_json(&evaluation, dataset);
    free(evaluation.metrics.confusion);
    library_give_back(studio->library, dataset);
    return status;
}

static int compute_evaluation(const struct studio *studio, struct store *store, void *context,
                              json_t **out, struct error *error)
{
    struct run_model *subject = context;
    char *path;
    if (store_run_get(store, subject->run, &subject->record, error) ||
        store_model_file(store, subject->run, &path, subject->sha256, error))
        return -1;
    free(path);
    if (store_evaluation_get(store, subject->run, subject->sha256, out, error) || *out)
        return *out ? 0 : -1;
    int status = open_model(store, subject, error) || evaluate_run(studio, subject, out, error) ? -1
                                                                                                : 0;
    predictor_close(&subject->predictor);
    if (!status && *out)
        status = store_evaluation_set(store, subject->run, subject->sha256, *out, error);
    if (status) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

static struct run_model *subject_of(const struct call *call)
{
    struct run_model *subject = calloc(1, sizeof *subject);
    if (subject) snprintf(subject->run, sizeof subject->run, "%s", call_path(call, "id"));
    return subject;
}

static void get_evaluation(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_evaluation, subject_of(call));
}

/* --- weights --- */

static int weights_json(const struct model *model, json_t **out, struct error *error)
{
    const struct layer *layer = NULL;
    const struct tensor *tensor = NULL;
    uint32_t rows, columns;
    for (uint32_t i = 0; i < model->network.layer_count && !tensor; i++) {
        layer = &model->network.layers[i];
        tensor = parameters_get(model->parameters, i, ROLE_WEIGHT);
    }
    /* What looks at the picture itself: a dense layer's units, or a convolution's kernels. */
    if (tensor && layer->type == LAYER_DENSE && layer->inputs == network_inputs(&model->network)) {
        rows = model->network.rows;
        columns = model->network.columns;
    } else if (tensor && layer->type == LAYER_CONV2D && tensor->shape[1] == 1) {
        rows = layer->kernel[0];
        columns = layer->kernel[1];
    } else {
        return error_set(error, ERROR_NOT_FOUND,
                         "the first layer's weights cannot be shown as pictures: look at a network "
                         "that begins with a dense layer or a convolution");
    }
    float *values = malloc(tensor->count * sizeof *values);
    if (!values) return error_set_memory(error, "the weights");
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < tensor->count; i++) {
        double value = tensor_get(model->parameters, tensor, i);
        values[i] = (float)value;
        if (value < low) low = value;
        if (value > high) high = value;
    }
    *out = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "count", (json_int_t)tensor->shape[0],
                     "rows", (json_int_t)rows, "columns", (json_int_t)columns, "low", js_real(low),
                     "high", js_real(high), "values",
                     base64_json(values, tensor->count * sizeof *values));
    free(values);
    return 0;
}

static int compute_weights(const struct studio *studio, struct store *store, void *context,
                           json_t **out, struct error *error)
{
    (void)studio;
    struct run_model *subject = context;
    struct model *model;
    char *path;
    if (store_model_file(store, subject->run, &path, subject->sha256, error)) return -1;
    int status = modelfile_read(path, NULL, &model, error);
    free(path);
    if (status) return -1;
    status = weights_json(model, out, error);
    model_destroy(model);
    return status;
}

static void get_weights(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_weights, subject_of(call));
}

/* --- a drawing --- */

struct drawing_question {
    struct drawing drawing;
    size_t run_count;
    char runs[ANSWERS_MAX][64];
};

/* The newest run of each engine that has a model. */
static int newest_runs(struct store *store, struct drawing_question *asking, struct error *error)
{
    for (size_t i = 0; i < engine_table_count && asking->run_count < ANSWERS_MAX; i++) {
        if (store_newest_model(store, engine_table[i]->id, asking->runs[asking->run_count], error))
            return -1;
        if (asking->runs[asking->run_count][0]) asking->run_count++;
    }
    if (asking->run_count) return 0;
    return error_set(error, ERROR_CONFLICT, "no run has a trained model yet: train one first");
}

static int answer(const struct drawing_question *asking, struct run_model *subject, json_t *answers,
                  json_t **input, struct error *error)
{
    const struct network *network = &subject->predictor.model->network;
    uint8_t *picture = malloc(subject->predictor.inputs);
    json_t *seen = NULL;
    if (!picture) return error_set_memory(error, "a picture");
    int status = drawing_predict(&asking->drawing, &subject->predictor, picture, &seen, error);
    if (!status) {
        json_object_set_new(seen, "run", json_string(subject->run));
        json_object_set_new(seen, "engine", json_string(subject->record.job.engine));
        json_object_set_new(seen, "name", json_string(subject->record.job.name));
        json_array_append_new(answers, seen);
        if (!*input)
            *input = json_pack("{s:o, s:I, s:I}", "pixels",
                               base64_json(picture, subject->predictor.inputs), "rows",
                               (json_int_t)network->rows, "columns", (json_int_t)network->columns);
    }
    free(picture);
    return status;
}

static int compute_answers(const struct studio *studio, struct store *store, void *context,
                           json_t **out, struct error *error)
{
    (void)studio;
    struct drawing_question *asking = context;
    json_t *answers = json_array(), *input = NULL;
    struct run_model *subject = malloc(sizeof *subject);
    int status = subject ? 0 : error_set_memory(error, "an answer");
    bool chosen = asking->run_count > 0;
    if (!status && !chosen) status = newest_runs(store, asking, error);
    for (size_t i = 0; i < asking->run_count && !status; i++) {
        *subject = (struct run_model){0};
        memcpy(subject->run, asking->runs[i], sizeof subject->run);
        /* one whose file is gone has no say */
        if (open_model(store, subject, error))
            status = chosen ? -1 : 0;
        else
            status = answer(asking, subject, answers, &input, error);
        predictor_close(&subject->predictor);
    }
    free(subject);
    if (!status && !input)
        status = error_set(error, ERROR_CONFLICT, "no run has a trained model: train one first");
    if (!status)
        *out = json_pack("{s:O, s:O, s:O, s:O}", "input", json_object_get(input, "pixels"), "rows",
                         json_object_get(input, "rows"), "columns",
                         json_object_get(input, "columns"), "answers", answers);
    json_decref(answers);
    json_decref(input);
    return status;
}

static void read_runs(const json_t *body, struct drawing_question *asking)
{
    const json_t *id;
    size_t i;
    json_array_foreach(json_object_get(body, "runs"), i, id) {
        CHECK(i < ANSWERS_MAX);
        snprintf(asking->runs[i], sizeof asking->runs[i], "%s", json_string_value(id));
        asking->run_count = i + 1;
    }
}

static void post_classify(struct studio *studio, struct call *call)
{
    struct error error;
    const json_t *body = call_body(call);
    struct drawing_question *asking = calloc(1, sizeof *asking);
    if (!asking) error_set_memory(&error, "a drawing");
    if (asking && !drawing_read(body, &asking->drawing, &error)) {
        read_runs(body, asking);
        call_compute(studio, call, compute_answers, asking);
        return;
    }
    free(asking);
    call_fail(call, &error);
}

static const struct route routes[] = {
    {"GET", "/api/runs/{id}/evaluation", get_evaluation,
     "Confusion matrix and worst mistakes on the test split", NULL, NULL, "Evaluation", 200, 0},
    {"GET", "/api/runs/{id}/weights", get_weights, "The first layer's weights as pictures", NULL,
     NULL, "Weights", 200, 0},
    {"POST", "/api/classify", post_classify, "What trained models see in a drawing", NULL,
     "Drawing", "Answers", 200, ROUTE_CHANGES},
};
const struct route_group routes_models = ROUTE_GROUP("models", routes);
