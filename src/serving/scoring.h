/* What a scoring request says, and what is answered: bytes in, numbers out. No sockets, no threads.
 *
 * Two protocols: MLflow's (/invocations: "inputs", "instances", "dataframe_split",
 * "dataframe_records", CSV with a header; https://mlflow.org/docs/latest/deployment/) and the
 * Open Inference Protocol v2 (/v2/models/NAME/infer;
 * https://github.com/kserve/open-inference-protocol). Numbers are what the network receives,
 * after preprocessing, as in the model's MLflow folder; bytes (v2's UINT8) and pictures are
 * brought to that by the model's own form. */
#ifndef NNSTUDIO_SERVING_SCORING_H
#define NNSTUDIO_SERVING_SCORING_H

#include <jansson.h>

#include "base/buffer.h"
#include "train/predictor.h"

/* The model as requests see it. Nothing in it changes while it serves; several threads read it. */
struct scoring_model {
    const char *name;                  /* in addresses */
    const struct predictor *predictor; /* its engine is not touched here */
    double of_byte[256];               /* what the network receives for a byte */
    char hash[65];                     /* SHA-256 of the file */
    const char *engine_title;
    uint32_t samples_max; /* per request */
};

/* How a request's body is written: a row of scoring_forms. */
struct scoring_form;
/* By the media type (parameters such as charset are ignored) of a request to /invocations; a
 * request to …/infer is `infer` and always JSON. NULL with a message that lists what is taken. */
const struct scoring_form *scoring_form_find(const char *media_type, bool infer,
                                             struct error *error);
/* "application/json, text/csv, …" */
const char *scoring_media_types(char out[256]);

/* A request that was read. */
struct scoring_request {
    size_t count;    /* samples */
    double *values;  /* [count, inputs], owned: what the network receives */
    json_t *id;      /* v2: the request's id; owned, or NULL */
    unsigned wanted; /* v2: bits of scoring_outputs; 0: all */
    bool infer, picture;
    bool inverted; /* the picture was of the other polarity */
    bool bytes;    /* the values came as bytes, so that preprocessing was ours */
    double most;   /* the largest value */
};
/* `body` has a NUL behind its `size` bytes. ERROR_INPUT with one line that names the place in the
 * request. */
int scoring_read(const struct scoring_model *model, const struct scoring_form *form,
                 const char *body, size_t size, struct scoring_request *out, struct error *error);
void scoring_request_free(struct scoring_request *request);

/* The answer as JSON text: {"predictions":[[…logits…]…]}, or v2's outputs. What had to be assumed
 * or looks wrong stands beside it, in "warnings". */
int scoring_answer(const struct scoring_model *model, const struct scoring_request *request,
                   const double *logits, struct buffer *out, struct error *error);

/* The model in the form of v2's metadata, with what else a client may want to know. New
 * reference. */
json_t *scoring_metadata(const struct scoring_model *model);

#endif
