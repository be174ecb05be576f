/* From traces to what the page shows: for this room only. */
#ifndef NNSTUDIO_CODE_MICROSCOPE_VIEW_H
#define NNSTUDIO_CODE_MICROSCOPE_VIEW_H

#include <jansson.h>

#include "modelfile/safetensors.h"

struct microscope_trace {
    const char *id, *title; /* of the engine */
    struct state_dict tensors;
    json_t *metadata;     /* as trace_step wrote it; NULL when there is an error */
    char error[1024];     /* "" when the trace is there */
    enum error_code code; /* of the error: ERROR_INPUT when what was asked is at fault */
};

/* The object that microscope.h describes; a new reference. */
/* When no trace is there it fails with the first error, of those at which the request is at fault
 * if there are such. */
int microscope_view(const struct microscope_trace *traces, size_t count, uint32_t batch,
                    json_t **out, struct error *error);

#endif
