/* From traces to what the page shows: for this room only. */
#ifndef NNSTUDIO_CODE_MICROSCOPE_VIEW_H
#define NNSTUDIO_CODE_MICROSCOPE_VIEW_H

#include <jansson.h>

#include "run/tracing.h"

/* The object that microscope.h describes; a new reference. */
/* When no trace is there it fails with the first error, of those at which the request is at fault
 * if there are such. */
int microscope_view(const struct tracing *traces, size_t count, uint32_t batch, json_t **out,
                    struct error *error);

#endif
