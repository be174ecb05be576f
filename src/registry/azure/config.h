/* Which Azure, which workspace: config.json, flags, environment, and the table of clouds. */
#ifndef NNSTUDIO_REGISTRY_AZURE_CONFIG_H
#define NNSTUDIO_REGISTRY_AZURE_CONFIG_H

#include "registry/web.h"

struct az_workspace {
    char subscription[64], resource_group[384], name[64];
    bool registry; /* it is an Azure ML registry, not a workspace: az_registry_find() fills in the
                      subscription and the group */
    char found_in[1024]; /* the file, "the command line" or "the environment" */
};
/* Finds config.json as Microsoft's clients do: `path` is a file or a folder to start from (NULL:
 * the current folder). From there upwards for .azureml/config.json, then aml_config/config.json,
 * then config.json (and project.json in each): a whole walk to the root per folder name. Both
 * shapes are read: the portal's three keys, and v1's "Scope". */
int az_config_find(const char *path, struct az_workspace *out, struct error *error);
int az_config_read(const char *file, struct az_workspace *out, struct error *error);
/* GUID, lengths, characters: before any request. */
int az_workspace_check(const struct az_workspace *workspace, struct error *error);
/* ^[a-zA-Z0-9][a-zA-Z0-9-_]{2,32}$, as ARM has it. */
int az_registry_name_check(const char *name, struct error *error);
/* ^[a-zA-Z0-9][a-zA-Z0-9-_]{0,254}$, as ARM has it: no dots. */
int az_model_name_check(const char *name, struct error *error);

struct az_cloud {
    char name[64];
    char authority[256];      /* "https://login.microsoftonline.com" */
    char arm[256];            /* "https://management.azure.com" */
    char storage_suffix[128]; /* "core.windows.net" */
    char portal[256];         /* "https://ml.azure.com" */
    char discovery[256];      /* where registries are asked for: "https://eastus.api.azureml.ms" */
};
/* By $AZUREML_CURRENT_CLOUD from the table, or from the metadata at $ARM_CLOUD_METADATA_URL. */
int az_cloud_find(struct web *web, struct az_cloud *out, struct error *error);

#endif
