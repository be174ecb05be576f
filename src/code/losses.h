/* The loss in the two Python programs, label smoothing and class weights in it, and what is watched
 * of it. For this room only. */
#ifndef NNSTUDIO_CODE_LOSSES_H
#define NNSTUDIO_CODE_LOSSES_H

#include "code/text.h"

/* Weights for another number of classes than the network has. */
int losses_check(const struct code_subject *subject, struct error *error);

/* A function of the layers' l1 and l2, `penalty()`, for networks that have some. */
void torch_write_penalty(const struct code_subject *subject, struct code_text *out);
/* Class weights and functions, above the optimizer; then the line `loss_function = …`, if that is
 * no function. */
void torch_write_loss_parts(const struct code_subject *subject, struct code_text *out);
void torch_write_loss(const struct job *job, struct code_text *out);
/* What evaluates: "loss_function" where nothing is smoothed or weighted. */
const char *torch_evaluation_loss(const struct job *job);

/* The labels as rows of zeros and one, where the loss asks for them; below the data. */
void keras_write_labels(const struct code_subject *subject, struct code_text *out);
void keras_write_loss_parts(const struct code_subject *subject, struct code_text *out);
/* Their lines in compile(). */
void keras_write_loss(const struct job *job, struct code_text *out);
void keras_write_metrics(const struct code_subject *subject, struct code_text *out);
/* Whether fit() is given class weights. */
bool keras_weighs(const struct job *job);
/* Whether the program has a loss function of its own, which no other program knows. */
bool keras_has_loss(const struct job *job);
/* Likewise a metric. */
bool keras_has_metric_class(const struct code_subject *subject);
/* The names of the training's and the validation's cross-entropy in the logs: "loss", "entropy";
 * "val_loss", "val_entropy". */
const char *keras_told(const struct code_subject *subject);
const char *keras_watched(const struct code_subject *subject);
/* A callback's monitor, if it is not the usual one. */
void keras_add_monitor(const struct code_subject *subject, struct code_arguments *a);

#endif
