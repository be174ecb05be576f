/* What the studio found on this machine, for doctor, engines and data. */
#ifndef NNSTUDIO_CLI_REPORT_H
#define NNSTUDIO_CLI_REPORT_H

#include <jansson.h>

#include "data/dataset.h"
#include "engine/engine.h"

/* New references. */
json_t *report_engines(void);
json_t *report_datasets(const struct dataset_options *places);
/* A line, or two, of text on standard output. */
void report_print_engine(const struct engine_ops *engine);
void report_print_datasets(const struct dataset_options *places);

#endif
