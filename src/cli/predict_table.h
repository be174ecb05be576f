/* Predictions for many samples, as a table; and what was assumed about a model. */
#ifndef NNSTUDIO_CLI_PREDICT_TABLE_H
#define NNSTUDIO_CLI_PREDICT_TABLE_H

#include <stdio.h>

#include "data/dataset.h"
#include "train/predictor.h"

struct predict_table {
    struct predictor *predictor; /* read, not started */
    const struct engine_ops *ops;
    uint32_t threads; /* 0: what is usually fastest */
    struct dataset_options data;
    const char *path, *out; /* out NULL: standard output */
    bool json, submission;
};

/* CSV "id,class,NAME,…" (a probability per class), or "ImageId,Label", or JSON lines. A file is
 * written whole or not at all. */
int predict_write_table(const struct predict_table *table, struct error *error);

/* What the model's file did not say and was taken for granted: an array of texts; new reference. */
json_t *predict_assumed(const struct predictor *predictor);
/* {"done":"divided by 255","known":false}: what becomes of the pixels, and whether the file says
 * so; new reference. */
json_t *predict_preprocessing(const struct predictor *predictor);
/* Both, a line each. */
void predict_print_assumed(const struct predictor *predictor, FILE *stream);

#endif
