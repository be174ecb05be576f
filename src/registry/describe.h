/* What is known of a model file, as the tags of its registration. */
#ifndef NNSTUDIO_REGISTRY_DESCRIBE_H
#define NNSTUDIO_REGISTRY_DESCRIBE_H

#include <jansson.h>

#include "base/error.h"

/* *tags (a new reference, string → string): framework, format, parameters, sha256, and what the
 * studio wrote into the file
 * when it was trained: dataset, epochs, accuracy, run. */
int registry_describe_model(const char *path, json_t **tags, struct error *error);

#endif
