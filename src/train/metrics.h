/* Classes, probabilities, loss and accuracy from logits. */
#ifndef NNSTUDIO_TRAIN_METRICS_H
#define NNSTUDIO_TRAIN_METRICS_H

#include <jansson.h>

#include "data/dataset.h"
#include "engine/engine.h"

struct metrics {
    double loss;     /* mean cross-entropy from logits, natural logarithm */
    double accuracy; /* 0 … 1 */
    size_t samples;
    /* [classes, classes], row: true class; NULL when not asked for; owned by the caller */
    uint32_t *confusion;
};

/* The class that one sample's logits [classes] name: the largest, of equal ones the first. */
uint32_t metrics_class(const double *logits, uint32_t classes);
/* Softmax of one sample's logits, in the same place when both are one. Returns the class. */
uint32_t metrics_probabilities(const double *logits, uint32_t classes, double *probabilities);
/* Adds `count` samples. Stable log-sum-exp. */
void metrics_add(struct metrics *metrics, const double *logits, size_t count, uint32_t classes,
                 const uint8_t *labels);
/* [[…]…], rows: true class. New reference. */
json_t *metrics_confusion_to_json(const uint32_t *confusion, uint32_t classes);

/* Each sample of an evaluation, in order, with its logits. */
typedef void metrics_sample_fn(void *context, size_t sample, const double *logits);
/* Adds all of `split` to *metrics by the engine's forward(); `each` may be NULL. */
int evaluate_split(struct engine *engine, uint32_t classes, const struct split *split,
                   size_t pixels_per_sample, metrics_sample_fn *each, void *context,
                   struct metrics *metrics, struct error *error);

#endif
