#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "base/wanted.h"

/* Pictures per forward() call: enough to keep a framework busy, little enough to cost no memory. */
#define EVALUATION_BATCH 1000

uint32_t metrics_class(const double *logits, uint32_t classes)
{
    uint32_t best = 0;
    for (uint32_t c = 1; c < classes; c++)
        if (logits[c] > logits[best]) best = c;
    return best;
}

/* Relative to the largest, so that exp() cannot overflow. */
uint32_t metrics_probabilities(const double *logits, uint32_t classes, double *probabilities)
{
    uint32_t best = metrics_class(logits, classes);
    double sum = 0, most = logits[best];
    for (uint32_t c = 0; c < classes; c++) sum += probabilities[c] = exp(logits[c] - most);
    for (uint32_t c = 0; c < classes; c++) probabilities[c] /= sum;
    return best;
}

void metrics_add(struct metrics *metrics, const double *logits, size_t count, uint32_t classes,
                 const uint8_t *labels)
{
    double loss = 0, correct = 0;
    for (size_t i = 0; i < count; i++) {
        const double *row = logits + i * classes;
        uint32_t best = metrics_class(row, classes);
        double sum = 0; /* relative to the largest, so that exp() cannot overflow */
        for (uint32_t c = 0; c < classes; c++) sum += exp(row[c] - row[best]);
        loss += log(sum) + row[best] - row[labels[i]];
        correct += best == labels[i];
        if (metrics->confusion) metrics->confusion[(size_t)labels[i] * classes + best]++;
    }
    size_t total = metrics->samples + count;
    if (!total) return;
    metrics->loss = (metrics->loss * (double)metrics->samples + loss) / (double)total;
    metrics->accuracy = (metrics->accuracy * (double)metrics->samples + correct) / (double)total;
    metrics->samples = total;
}

json_t *metrics_confusion_to_json(const uint32_t *confusion, uint32_t classes)
{
    json_t *rows = json_array();
    for (uint32_t r = 0; r < classes; r++) {
        json_t *row = json_array();
        for (uint32_t c = 0; c < classes; c++)
            json_array_append_new(row, json_integer(confusion[(size_t)r * classes + c]));
        json_array_append_new(rows, row);
    }
    return rows;
}

/* As Keras does, whose losses have the penalty in them. */
static int add_penalty(struct engine *engine, struct metrics *metrics, struct error *error)
{
    const struct engine_config *config = &engine->config;
    struct parameters *parameters = NULL;
    if (!network_is_penalized(&config->network) || !metrics->samples) return 0;
    int status = parameters_create(&config->network, config->dtype, &parameters, error);
    if (!status) status = engine_get_parameters(engine, parameters, error);
    if (!status) metrics->loss += parameters_penalty(parameters, &config->network);
    parameters_destroy(parameters);
    return status;
}

int evaluate_split(struct engine *engine, uint32_t classes, const struct split *split,
                   size_t pixels_per_sample, metrics_sample_fn *each, void *context,
                   struct metrics *metrics, struct error *error)
{
    double *logits = malloc(sizeof *logits * EVALUATION_BATCH * classes);
    if (!logits) return error_set_memory(error, "the logits");
    int status = 0;
    for (size_t i = 0; i < split->count && !status; i += EVALUATION_BATCH) {
        size_t count = split->count - i < EVALUATION_BATCH ? split->count - i : EVALUATION_BATCH;
        const uint8_t *pixels = split->pixels + i * pixels_per_sample;
        status = wanted_check(error) || engine_forward(engine, pixels, count, logits, error) ? -1
                                                                                             : 0;
        if (status) break;
        metrics_add(metrics, logits, count, classes, split->labels + i);
        for (size_t j = 0; j < count && each; j++) each(context, i + j, logits + j * classes);
    }
    free(logits);
    return status ? status : add_penalty(engine, metrics, error);
}
