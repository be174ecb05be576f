/* Everything of a run in one .zip: models in all formats, the programs, the numbers to start from.
 */
#ifndef NNSTUDIO_CODE_BUNDLE_H
#define NNSTUDIO_CODE_BUNDLE_H

#include "base/error.h"
#include "modelfile/modelfile.h"
#include "run/job.h"
#include "store/store.h"

struct code_bundle {
    const struct job *job;
    const struct model *model; /* the trained one */
    const char *curve_csv;     /* "step,loss\n…"; NULL leaves it out */
    /* how many samples an epoch has, those taken for validation apart: the length of a row of
     * order.npy; 0 leaves it out */
    size_t train_samples;
    /* the places of the samples that were drawn for validation; NULL: none were */
    const uint32_t *validation;
    size_t validation_samples;
    bool coded; /* the data is no bytes but other numbers, which the programs do not read */
};

/* Writes PATH whole or not at all: README.md, settings.json, model.py, model_tf.py, model.ipynb,
 * model_tf.ipynb, requirements.txt, NAME.pth .h5 .keras .safetensors .onnx, initial.pth,
 * initial.keras, order.npy (int32 [epochs, samples]), validation.npy (int32 [1, samples]),
 * masks.npz (uint8 [epochs · samples, values] per dropout layer), curve.csv. */
int code_bundle_write(const struct code_bundle *bundle, const char *path, struct error *error);
/* The same of a run that the store remembers. */
int code_bundle_run(struct store *store, const char *run, const char *path, struct error *error);

#endif
