/* Keras's .h5 files, read and written. Private to this room. */
#ifndef NNSTUDIO_MODELFILE_H5_H
#define NNSTUDIO_MODELFILE_H5_H

#include "modelfile/modelfile.h"

#define H5_NOTE_ATTRIBUTE "nnstudio" /* {"network":…,"metadata":…} at the root */

/* A whole model, a file of weights alone, or, when `config` is given, the weights of a .keras
 * archive that belong to * that configuration. Runs in a confined child. */
int h5_read_image(const char *data, size_t size, const json_t *config,
                  const struct modelfile_options *options, struct model *out, struct error *error);

int h5_write_model(const char *path, const struct model *model, struct error *error);
/* The file that Keras 3 keeps weights in, "model.weights.h5" of a .keras archive, malloc'd. */
int h5_make_weights(const struct model *model, char **out, size_t *size, struct error *error);

#endif
