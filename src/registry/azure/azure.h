/* Versions of a workspace's models. For this folder only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_AZURE_H
#define NNSTUDIO_REGISTRY_AZURE_AZURE_H

#include "registry/azure/connection.h"

/* a property of a folder's version: where the model file lies in it */
#define AZ_FILE_PROPERTY "nnstudio.file"

/* As registry_target's slots of these names. */
int az_list(const struct registry_options *options, const char *name, json_t **out,
            struct error *error);
int az_show(const struct registry_options *options, const char *name, const char *version,
            json_t **out, struct error *error);
int az_pull(const struct registry_options *options, const char *name, const char *version,
            const char *directory, char **path, struct error *error);
/* The service's answer for a version as the studio tells it; new reference. */
json_t *az_version_json(const struct az_connection *connection, const char *name,
                        const json_t *answer);
/* The service's answer for an exact version; new reference. */
int az_version_get(struct az_connection *connection, const char *name, const char *version,
                   json_t **out, struct error *error);
/* The version's answer in *out (`version` NULL or "": the latest), with an open connection in
 * *connection for what follows. */
int az_find_version(const struct registry_options *options, const char *name, const char *version,
                    struct az_connection **connection, json_t **out, struct error *error);
int az_change(const struct registry_options *options, const struct registry_change *change,
              struct error *error);

#endif
