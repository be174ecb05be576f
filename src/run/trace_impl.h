/* A traced step's tensors on their way into a file. For this room only. */
#ifndef NNSTUDIO_RUN_TRACE_IMPL_H
#define NNSTUDIO_RUN_TRACE_IMPL_H

#include "engine/engine.h"
#include "modelfile/safetensors.h"

struct trace {
    struct state_dict tensors; /* cleared by whoever made it */
    struct error *error;
};
/* An engine_trace_fn: keeps the tensor; a struct trace is the context. */
int trace_keep(void *context, const char *name, const size_t *shape, uint32_t rank,
               const double *values);
/* The file that trace.h describes, of a step on the training samples `indices`. */
int trace_write(const struct trace *trace, const struct engine_ops *ops,
                const struct dataset *dataset, const uint32_t *indices, size_t count,
                const char *path, struct error *error);

#endif
