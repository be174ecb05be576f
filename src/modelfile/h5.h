/* The two halves of .h5. Private to this room. */
#ifndef NNSTUDIO_MODELFILE_H5_H
#define NNSTUDIO_MODELFILE_H5_H

#include "modelfile/modelfile.h"

/* The root attribute with what the studio knows and Keras does not:
 * {"network":{…},"metadata":{…}}. */
#define H5_NOTE_ATTRIBUTE "nnstudio"

int h5_write_model(const char *path, const struct model *model, struct error *error);

#endif
