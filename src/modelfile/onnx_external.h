/* ONNX's external data: tensors in files beside the model. Private to this room. */
#ifndef NNSTUDIO_MODELFILE_ONNX_EXTERNAL_H
#define NNSTUDIO_MODELFILE_ONNX_EXTERNAL_H

#include "modelfile/onnx.pb-c.h"
#include "modelfile/state_dict.h"

/* The `size` bytes of a tensor, malloc'd. Its file must lie in the model's own folder under a plain
 * name, be a regular * file of one name, and hold them all; a cache's symbolic links are followed
 * when model and data really lie in one * folder. */
int onnx_external_read(const char *model_path, const Onnx__TensorProto *tensor, size_t size,
                       void **out, struct error *error);

#endif
