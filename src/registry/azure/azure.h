/* Versions of a workspace's models. For this folder only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_AZURE_H
#define NNSTUDIO_REGISTRY_AZURE_AZURE_H

#include "registry/azure/connection.h"

/* The version's answer in *out (`version` NULL or "": the latest), with an open connection in
 * *connection for what follows. */
int az_find_version(const struct registry_options *options, const char *name, const char *version,
                    struct az_connection **connection, json_t **out, struct error *error);
int az_change(const struct registry_options *options, const struct registry_change *change,
              struct error *error);

#endif
