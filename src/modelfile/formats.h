/* The formats, one file each; modelfile.c has the table. Private to this room. */
#ifndef NNSTUDIO_MODELFILE_FORMATS_H
#define NNSTUDIO_MODELFILE_FORMATS_H

#include "modelfile/modelfile.h"

extern const struct modelfile_format modelfile_h5;
extern const struct modelfile_format modelfile_keras;
extern const struct modelfile_format modelfile_onnx;
extern const struct modelfile_format modelfile_pth;
extern const struct modelfile_format modelfile_safetensors;

#endif
