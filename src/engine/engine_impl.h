/* For the engines' own files only: the table's entries. */
#ifndef NNSTUDIO_ENGINE_ENGINE_IMPL_H
#define NNSTUDIO_ENGINE_ENGINE_IMPL_H

#include "engine/engine.h"

extern const struct engine_ops engine_torch;
extern const struct engine_ops engine_tensorflow;
extern const struct engine_ops engine_native;

#endif
