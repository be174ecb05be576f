/* Loss and accuracy from logits. */
#include <math.h>
#include <stdlib.h>

#include "train/fit.h"

/* Pictures a forward() call: enough to keep a framework busy, little enough to cost no memory. */
#define EVALUATION_BATCH 1000

void metrics_add(struct metrics *metrics, const double *logits, size_t count, uint32_t classes,
                 const uint8_t *labels)
{
    double loss = 0, right = 0;
    for (size_t i = 0; i < count; i++) {
        const double *row = logits + i * classes;
        uint32_t best = 0;
        for (uint32_t c = 1; c < classes; c++)
            if (row[c] > row[best]) best = c;
        double sum = 0; /* relative to the largest, so that exp() cannot overflow */
        for (uint32_t c = 0; c < classes; c++) sum += exp(row[c] - row[best]);
        loss += log(sum) + row[best] - row[labels[i]];
        right += best == labels[i];
        if (metrics->confusion) metrics->confusion[(size_t)labels[i] * classes + best]++;
    }
    size_t total = metrics->samples + count;
    if (!total) return;
    metrics->loss = (metrics->loss * (double)metrics->samples + loss) / (double)total;
    metrics->accuracy = (metrics->accuracy * (double)metrics->samples + right) / (double)total;
    metrics->samples = total;
}

int evaluate_split(struct engine *engine, uint32_t classes, const struct split *split,
                   size_t pixels_per_sample, uint32_t *confusion, struct metrics *out,
                   struct error *error)
{
    *out = (struct metrics){.confusion = confusion};
    double *logits = malloc(sizeof *logits * EVALUATION_BATCH * classes);
    if (!logits) return error_set_memory(error, "the logits");
    int status = 0;
    for (size_t i = 0; i < split->count && !status; i += EVALUATION_BATCH) {
        size_t count = split->count - i < EVALUATION_BATCH ? split->count - i : EVALUATION_BATCH;
        status = engine_forward(engine, split->pixels + i * pixels_per_sample, count, logits,
                                error);
        if (!status) metrics_add(out, logits, count, classes, split->labels + i);
    }
    free(logits);
    return status;
}
