/* Two models, or two runs, set side by side: what differs, by how much, where first, and why.
 *
 * What is returned is JSON as docs/internals/diff.md has it; `verdict` is its line for users. */
#ifndef NNSTUDIO_DIFF_DIFF_H
#define NNSTUDIO_DIFF_DIFF_H

#include <jansson.h>

#include "data/dataset.h"
#include "modelfile/modelfile.h"
#include "store/store.h"
#include "train/predictor.h"

/* Networks, every tensor, what the files say of their input and classes. Values count as the same
 * when they are equal, or equal but for rounding. New reference. */
int diff_models(const struct model *a, const struct model *b, json_t **out, struct error *error);

/* The logits of both for the test samples of `dataset` (its training samples when there are none):
 * {"samples","max_abs","mean_abs","agree","accuracy":[a,b],"changed":[{"sample","label","a","b",
 * "by"},…]}. Each is given the data in the form that its own file asks for. The labels are
 * numbers of the classes of `a` (predictor_match()). ERROR_INPUT when the data does not fit
 * both. New reference. */
int diff_logits(struct predictor *a, struct predictor *b, const struct dataset *dataset,
                json_t **out, struct error *error);
/* Adds them, or why there are none, to what diff_models() made. */
void diff_add_logits(json_t *models, json_t *logits, const char *reason);

/* The settings and the recorded losses of two runs, and, when these part, both trained again from
 * their beginning in processes of their own to find the first tensor that parts. `scratch` is a
 * folder for their files, which are removed. New reference. */
int diff_runs(struct store *store, const char *a, const char *b, const char *scratch, json_t **out,
              struct error *error);

#endif
