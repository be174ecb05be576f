/* The two halves of .pth. Private to this room. */
#ifndef NNSTUDIO_MODELFILE_PTH_H
#define NNSTUDIO_MODELFILE_PTH_H

#include "modelfile/modelfile.h"

/* PyTorch keeps a user's own records under extra/ and passes over them. */
#define PTH_NOTE_RECORD "extra/nnstudio.json"

int pth_write_model(const char *path, const struct model *model, struct error *error);

#endif
