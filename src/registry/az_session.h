/* A connection to one Azure ML workspace, and its storage: for this room only. */
#ifndef NNSTUDIO_REGISTRY_AZ_SESSION_H
#define NNSTUDIO_REGISTRY_AZ_SESSION_H

#include "registry/az_arm.h"
#include "registry/az_blob.h"
#include "registry/registry.h"

struct az_session {
    struct web *web;
    struct az_credential *credential;
    struct arm arm;
    char datastore[128];
    struct blob_account account; /* after az_session_storage() */
    bool bearer_only;            /* the datastore keeps no secrets */
};

/* The workspace from the options, the environment or config.json. Asks no server. */
int az_session_workspace(const struct registry_options *options, struct az_workspace *out,
                         struct error *error);
/* Connects to nothing yet but the cloud's metadata, if that is needed. `need_workspace` false
 * leaves the workspace empty. */
int az_session_open(const struct registry_options *options, bool need_workspace,
                    struct az_session **out, struct error *error);
void az_session_close(struct az_session *session);
/* GET workspace: tests token, ids and rights in one go. */
int az_session_check(struct az_session *session, struct error *error);
/* The default datastore (or the named one): where its blobs are. */
int az_session_datastore(struct az_session *session, const char *name, struct error *error);
/* A SAS for it (or its key, or the token itself when it keeps no secrets). May be asked again when
 * a SAS has run out. */
int az_session_access(struct az_session *session, struct error *error);

/* The subscriptions and workspaces one may see, for choosers:
 * [{"subscription_id","resource_group","workspace_name","location"}]. */
int az_list_workspaces(const struct registry_options *options, json_t **out, struct error *error);

#endif
