/* A model file opened on an engine, for evaluation and prediction. */
#ifndef NNSTUDIO_TRAIN_PREDICTOR_H
#define NNSTUDIO_TRAIN_PREDICTOR_H

#include "engine/engine.h"
#include "modelfile/modelfile.h"

struct predictor {
    struct model *model;   /* owned */
    struct engine *engine; /* owned; holds the model's weights; NULL until predictor_start() */
    uint32_t classes;
    size_t inputs;          /* pixels per picture */
    struct input_form form; /* what the model expects, from its metadata */
    bool infers;            /* for predictor_start(): the engine takes values, too (engine_infer) */
    json_t *class_names;    /* owned array of `classes` strings; NULL when the file has none */
};

/* Reads the file; `options` (may be NULL) tells what it does not say. The caller closes. */
int predictor_read(const char *path, const struct modelfile_options *options, struct predictor *out,
                   struct error *error);
/* Opens the engine for data with this preprocessing, instead of one that was open. NULL: for
 * pictures of bytes, brought to the model's form. */
int predictor_start(struct predictor *predictor, const struct engine_ops *ops, uint32_t threads,
                    const struct preprocess *preprocess, struct error *error);
/* Both in one, for pictures of bytes. */
int predictor_open(const char *path, const struct modelfile_options *options,
                   const struct engine_ops *ops, uint32_t threads, struct predictor *out,
                   struct error *error);
/* The name of a class: the model's own, else its number. Good until the next call with `number`. */
const char *predictor_class_name(const struct predictor *predictor, uint32_t class,
                                 char number[16]);
/* Renumbers the data's labels to the model's classes by name, where the model has names; checks
 * that sizes and classes fit. */
int predictor_match(const struct predictor *predictor, struct dataset *dataset,
                    struct error *error);
/* Probabilities [classes] of one picture [inputs]; returns the most probable class in *best. */
int predictor_predict(struct predictor *predictor, const uint8_t *pixels, double *probabilities,
                      uint32_t *best, struct error *error);
/* Also fine on a zeroed one. */
void predictor_close(struct predictor *predictor);

/* What a model trained on this data has to remember of it, added to its metadata: dataset,
 * dataset_path, dataset_hash, label_column, class_names and the form's members. */
int predictor_describe_data(const struct dataset *dataset, json_t *metadata, struct error *error);

#endif
