/* Azure ML registries, which workspaces share: finding one, and its files. For this folder only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_SHARED_H
#define NNSTUDIO_REGISTRY_AZURE_SHARED_H

#include "registry/azure/connection.h"

/* Fills in the subscription and the group of the registry that `arm` names: asked of the cloud's
 * discovery service, as Microsoft's client does. */
int az_registry_find(struct arm *arm, struct error *error);
/* Access to a version's files, in connection->account: a SAS for the container that `uri` (of the
 * version) lies in. *path (borrowed from `uri`) is what follows the container. */
int az_registry_access(struct az_connection *connection, const char *name, const char *version,
                       const char *uri, const char **path, struct error *error);

#endif
