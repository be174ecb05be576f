/* For the files scoring*.c only. */
#ifndef NNSTUDIO_SERVING_SCORING_IMPL_H
#define NNSTUDIO_SERVING_SCORING_IMPL_H

#include "serving/scoring.h"

typedef int scoring_reader(const struct scoring_model *model, const char *body, size_t size,
                           struct scoring_request *out, struct error *error);
struct scoring_form {
    const char *media_type;
    scoring_reader *read; /* into *out, which is zeroed; scoring_request_free() follows a failure */
};
scoring_reader scoring_read_mlflow, scoring_read_csv, scoring_read_picture, scoring_read_infer;

#define SCORING_DEPTH_MAX 4 /* of a sample's lists */

/* Reads a body that is the usual form and nothing else, NUL behind it; false, with *out zeroed,
 * when it is not, or when anything is wrong. */
bool scoring_read_plain(const struct scoring_model *model, const char *body, size_t size,
                        struct scoring_request *out);
/* Room for `count` samples, 1 to the model's most. */
int scoring_begin(const struct scoring_model *model, size_t count, struct scoring_request *out,
                  struct error *error);
/* One sample's numbers, nested as they come. */
int scoring_take_sample(const struct scoring_model *model, struct scoring_request *out,
                        size_t sample, const json_t *value, struct error *error);

/* What v2 can ask for, by name. */
enum scoring_output { OUTPUT_LOGITS, OUTPUT_PROBABILITIES, OUTPUT_CLASS, OUTPUT_COUNT };
extern const char *const scoring_outputs[OUTPUT_COUNT];
/* "FP32" or "FP64": the model's own numbers. */
const char *scoring_datatype(const struct scoring_model *model);

#endif
