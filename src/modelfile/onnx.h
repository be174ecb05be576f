/* The two halves of .onnx. Private to this room. */
#ifndef NNSTUDIO_MODELFILE_ONNX_H
#define NNSTUDIO_MODELFILE_ONNX_H

#include "modelfile/modelfile.h"

#define ONNX_NETWORK_KEY "nnstudio.network" /* in metadata_props, beside the model's own metadata */
#define ONNX_ASSUMED_KEY "nnstudio.assumed" /* a list, one text a line */

int onnx_write_model(const char *path, const struct model *model, struct error *error);
/* Whether the bytes of a ModelProto can be unpacked without deep recursion or very many small
 * pieces: protobuf-c itself has no such bounds. */
int onnx_check_wire(const unsigned char *bytes, size_t size, struct error *error);

#endif
