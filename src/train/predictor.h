/* A model file opened on an engine, for evaluation and prediction. */
#ifndef NNSTUDIO_TRAIN_PREDICTOR_H
#define NNSTUDIO_TRAIN_PREDICTOR_H

#include "engine/engine.h"
#include "modelfile/modelfile.h"

struct predictor {
    struct model *model;   /* owned */
    struct engine *engine; /* owned; holds the model's weights */
    uint32_t classes;
    size_t inputs; /* pixels a picture */
};

/* `options` (may be NULL) tells what the file does not. The caller closes. */
int predictor_open(const char *path, const struct modelfile_options *options,
                   const struct engine_ops *ops, uint32_t threads, struct predictor *out,
                   struct error *error);
/* Probabilities [classes] of one picture [inputs]; returns the most probable class in *best. */
int predictor_predict(struct predictor *predictor, const uint8_t *pixels, double *probabilities,
                      uint32_t *best, struct error *error);
/* Also fine on a zeroed one. */
void predictor_close(struct predictor *predictor);

#endif
