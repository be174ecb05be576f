/* The Python that loads a model file without the studio, and what pip must bring for it: for
 * MLflow's folder and Azure ML's scoring script. For this room only. */
#ifndef NNSTUDIO_REGISTRY_LOADER_H
#define NNSTUDIO_REGISTRY_LOADER_H

#include "base/buffer.h"
#include "data/preprocess.h"
#include "modelfile/modelfile.h"

struct loader {
    const struct model *model; /* borrowed */
    struct input_form form;    /* what training did to a byte */
    size_t kind;               /* row of the table of formats */
};
/* Refuses a format that has no loader. */
int loader_of(const struct model *model, struct loader *out, struct error *error);
/* A module with `class Model`: Model(path).predict(x) gives logits [N, classes] for pixels [N,
 * inputs], [N, rows, columns] or, in color, [N, rows, columns, channels] or [N, channels, rows,
 * columns], uint8, brought to the model's form, or floats as the network
 * receives them. */
int loader_write(const struct loader *loader, struct buffer *out, struct error *error);
/* A line per package, pinned: `run` ({"engine","engine_version"}, may be NULL) says which version
 * trained the model. */
void loader_write_requirements(const struct loader *loader, const json_t *run, struct buffer *out);

#endif
