#include <math.h>
#include <stdlib.h>

#include "base/js.h"
#include "base/wanted.h"
#include "diff/diff.h"
#include "train/metrics.h"

#define CHUNK         64
#define CHANGED_SHOWN 20

struct logits {
    struct predictor *predictors[2];
    const struct split *split;
    uint32_t classes;
    double *values[2]; /* owned; [CHUNK, classes] */
    double max_abs, sum;
    size_t agree, correct[2];
    json_t *changed; /* new reference, which the answer takes over */
};

static void compare_sample(struct logits *logits, size_t sample, size_t row)
{
    const double *a = logits->values[0] + row * logits->classes,
                 *b = logits->values[1] + row * logits->classes;
    uint32_t in_a = metrics_class(a, logits->classes), in_b = metrics_class(b, logits->classes);
    uint8_t label = logits->split->labels[sample];
    double most = 0;
    for (uint32_t c = 0; c < logits->classes; c++) {
        double away = fabs(a[c] - b[c]);
        if (isnan(away)) away = (double)INFINITY;
        most = fmax(most, away);
        logits->sum += away;
    }
    logits->max_abs = fmax(logits->max_abs, most);
    logits->agree += in_a == in_b;
    logits->correct[0] += in_a == label;
    logits->correct[1] += in_b == label;
    if (in_a == in_b || json_array_size(logits->changed) == CHANGED_SHOWN) return;
    json_array_append_new(logits->changed,
                          json_pack("{s:I, s:i, s:i, s:i, s:o}", "sample", (json_int_t)sample,
                                    "label", (int)label, "a", (int)in_a, "b", (int)in_b, "by",
                                    js_real(most)));
}

static int compare_all(struct logits *logits, struct error *error)
{
    size_t inputs = logits->predictors[0]->inputs, total = logits->split->count;
    for (size_t first = 0; first < total; first += CHUNK) {
        size_t count = total - first < CHUNK ? total - first : CHUNK;
        if (wanted_check(error)) return -1;
        for (int side = 0; side < 2; side++)
            if (engine_forward(logits->predictors[side]->engine,
                               logits->split->pixels + first * inputs, count, logits->values[side],
                               error))
                return -1;
        for (size_t i = 0; i < count; i++) compare_sample(logits, first + i, i);
    }
    return 0;
}

/* Each model on the engine that is always there, given the data in its own form. */
static int start(struct logits *logits, const struct dataset *dataset, struct error *error)
{
    const struct engine_ops *ops = engine_default;
    for (int side = 0; side < 2; side++) {
        struct predictor *predictor = logits->predictors[side];
        struct preprocess preprocess;
        dataset_preprocess_for(dataset, &predictor->form, &preprocess);
        if (predictor_start(predictor, ops, engine_default_threads(ops), &preprocess, error))
            return -1;
        logits->values[side] = malloc(sizeof(double) * CHUNK * logits->classes);
        if (!logits->values[side]) return error_set_memory(error, "the logits");
    }
    return 0;
}

static json_t *logits_json(struct logits *logits)
{
    double samples = (double)logits->split->count;
    return json_pack("{s:I, s:o, s:o, s:f, s:[f, f], s:O}", "samples",
                     (json_int_t)logits->split->count, "max_abs", js_real(logits->max_abs),
                     "mean_abs", js_real(logits->sum / (samples * logits->classes)), "agree",
                     (double)logits->agree / samples, "accuracy",
                     (double)logits->correct[0] / samples, (double)logits->correct[1] / samples,
                     "changed", logits->changed);
}

int diff_logits(struct predictor *a, struct predictor *b, const struct dataset *dataset,
                json_t **out, struct error *error)
{
    struct logits logits = {.predictors = {a, b},
                            .split = dataset->test.count ? &dataset->test : &dataset->train,
                            .classes = a->classes};
    int status = -1;
    if (a->inputs != b->inputs || a->classes != b->classes)
        return error_set(error, ERROR_INPUT,
                         "A takes %zu values and knows %u classes, B takes %zu and knows %u: their "
                         "logits cannot be compared",
                         a->inputs, a->classes, b->inputs, b->classes);
    if (a->inputs != dataset_inputs(dataset) || a->classes != dataset->classes)
        return error_set(error, ERROR_INPUT,
                         "the models take %zu values and know %u classes, but %s has %zu and %u: "
                         "name the data they were made for",
                         a->inputs, a->classes, dataset->title, dataset_inputs(dataset),
                         dataset->classes);
    logits.changed = json_array();
    if (start(&logits, dataset, error) || compare_all(&logits, error)) goto out;
    *out = logits_json(&logits);
    status = *out ? 0 : error_set_memory(error, "the logits");
out:
    json_decref(logits.changed);
    for (int side = 0; side < 2; side++) free(logits.values[side]);
    return status;
}
