#include "cli/scaling_hint.h"

#include <stdio.h>

#include "train/metrics.h"

/* Enough to see a difference of two percent, few enough to be no wait. */
#define HINT_SAMPLES 1000
#define HINT_GAIN    0.02

/* What tutorials do to pictures of bytes before a network sees them. */
static const struct {
    const char *words;
    struct input_form form;
} usual[] = {
    {"--scale 1", {false, 255, 1, 0, 1, POLARITY_UNKNOWN, false}},
    {"--mean 0.1307 --std 0.3081", {false, 255, 255, 0.1307, 0.3081, POLARITY_UNKNOWN, false}},
    {"--mean 0.286 --std 0.353", {false, 255, 255, 0.286, 0.353, POLARITY_UNKNOWN, false}},
    {"--mean 0.5 --std 0.5", {false, 255, 255, 0.5, 0.5, POLARITY_UNKNOWN, false}},
};

static int try_form(struct predictor *predictor, const struct engine_ops *ops, uint32_t threads,
                    const struct dataset *dataset, const struct preprocess *preprocess,
                    struct metrics *metrics, struct error *error)
{
    struct split part = dataset->test;
    if (part.count > HINT_SAMPLES) part.count = HINT_SAMPLES;
    *metrics = (struct metrics){0};
    if (predictor_start(predictor, ops, threads, preprocess, error)) return -1;
    return evaluate_split(predictor->engine, predictor->classes, &part, predictor->inputs, NULL,
                          NULL, metrics, error);
}

int scaling_hint_find(struct predictor *predictor, const struct engine_ops *ops, uint32_t threads,
                      const struct dataset *dataset, struct scaling_hint *out, struct error *error)
{
    struct metrics metrics;
    *out = (struct scaling_hint){0};
    /* Measurements have no usual scaling. */
    if (predictor->form.known || dataset->full <= 0) return 0;
    if (try_form(predictor, ops, threads, dataset, &dataset->preprocess, &metrics, error))
        return -1;
    out->now = metrics.accuracy;
    out->samples = metrics.samples;
    double best = out->now + HINT_GAIN;
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        struct preprocess preprocess;
        dataset_preprocess_for(dataset, &usual[i].form, &preprocess);
        if (try_form(predictor, ops, threads, dataset, &preprocess, &metrics, error)) return -1;
        if (metrics.accuracy <= best) continue;
        best = out->accuracy = metrics.accuracy;
        out->words = usual[i].words;
        out->form = usual[i].form;
    }
    return 0;
}

json_t *scaling_hint_json(const struct scaling_hint *hint)
{
    if (!hint->words) return json_null();
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:I}", "options", hint->words, "scale",
                     hint->form.scale, "mean", hint->form.mean, "std", hint->form.std, "accuracy",
                     hint->accuracy, "accuracy_now", hint->now, "samples",
                     (json_int_t)hint->samples);
}

void scaling_hint_print(const struct scaling_hint *hint)
{
    if (!hint->words) return;
    printf("hint      with %s %.1f%% of the first %zu samples are correct instead of %.1f%%:\n"
           "          if the model was trained so, give these options\n",
           hint->words, 100 * hint->accuracy, hint->samples, 100 * hint->now);
}
