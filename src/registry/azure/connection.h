/* A connection to one Azure ML workspace, and its storage, or to a registry: for this room only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_CONNECTION_H
#define NNSTUDIO_REGISTRY_AZURE_CONNECTION_H

#include "registry/azure/arm.h"
#include "registry/azure/blob.h"
#include "registry/registry.h"

struct az_connection {
    struct web *web;
    struct az_credential *credential;
    struct arm arm;
    char datastore[128];
    struct blob_account account; /* after az_connection_datastore() */
    bool bearer_only;            /* the datastore keeps no secrets, or they are not allowed */
    char location[64];           /* the workspace's region, after az_connection_check() */
};

/* The workspace from the options, the environment or config.json, or the registry that the options
 * name. Asks no server. */
int az_connection_workspace(const struct registry_options *options, struct az_workspace *out,
                            struct error *error);
/* What was found of a workspace and of ways to sign in, as registry_target.describe tells it. */
json_t *az_connection_describe(const struct registry_options *options);
/* Connects to nothing yet but the cloud's metadata, if that is needed; a registry is asked for,
 * since its name does not say where it is. `need_workspace` false leaves the workspace empty. */
int az_connection_open(const struct registry_options *options, bool need_workspace,
                       struct az_connection **out, struct error *error);
void az_connection_close(struct az_connection *connection);
/* GET workspace: tests token, ids and rights in one go. */
int az_connection_check(struct az_connection *connection, struct error *error);
/* Refuses what the user's roles on the workspace do not allow, as far as they can be asked:
 * `action` is below "Microsoft.MachineLearningServices/workspaces/", such as
 * "models/versions/write". Roles that cannot be read are no refusal: the action itself tells. */
int az_connection_may(struct az_connection *connection, const char *action, struct error *error);
/* True when a role's pattern, '*' standing for anything, allows the action; in any case. */
bool az_action_matches(const char *pattern, const char *action);
/* The default datastore (or the named one): where its blobs are. */
int az_connection_datastore(struct az_connection *connection, const char *name,
                            struct error *error);
/* A SAS for it (or its key, or the token itself when it keeps no secrets). May be asked again when
 * a SAS has run out. */
int az_connection_access(struct az_connection *connection, struct error *error);
/* True when the storage has just refused keys as such (KeyBasedAuthenticationNotPermitted): from
 * then on access is by the user's own token. */
bool az_connection_refused_keys(struct az_connection *connection);

#endif
