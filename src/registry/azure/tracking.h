/* An Azure ML workspace as an MLflow tracking server: where it is, tokens for it, and where a run's
 * files go. For this room only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_TRACKING_H
#define NNSTUDIO_REGISTRY_AZURE_TRACKING_H

#include "registry/registry.h"
#include "registry/web.h"

#define AZ_TRACKING_ADDRESS 512

/* True for "azureml" and what begins with "azureml:". */
bool az_tracking_is(const char *text);
/* What `text` names, as "azureml:" and the workspace's id: "azureml" alone is the workspace of the
 * environment or config.json; else the id is in it, as in the address that Azure gives
 * ("azureml://REGION.api.azureml.ms/mlflow/v1.0/subscriptions/…"). Asks no server. */
int az_tracking_address(const struct registry_options *options, const char *text,
                        char out[AZ_TRACKING_ADDRESS], struct error *error);

struct az_tracking;
/* Copies `options`, whose texts stay borrowed. Asks no server. */
int az_tracking_create(const struct registry_options *options, const char *address,
                       struct az_tracking **out, struct error *error);
void az_tracking_destroy(struct az_tracking *tracking);
/* Asks the workspace where its server is, before all that follows: the host in an address that a
 * user gave is not believed, since tokens go there. May be tried again. */
int az_tracking_connect(struct az_tracking *tracking, struct error *error);
/* "https://…", before "/api/2.0/mlflow". */
const char *az_tracking_base(const struct az_tracking *tracking);
/* Borrowed until the next call; renewed before it ends, or at once when it is to be `fresh`. */
int az_tracking_token(struct az_tracking *tracking, bool fresh, const char **token,
                      struct error *error);
/* The run's page; new reference. */
json_t *az_tracking_link(const struct az_tracking *tracking, const char *run_id);

struct az_artifact {
    const char *root; /* the run's artifact_uri, as the server told it */
    const char *path; /* below that */
    const void *data;
    size_t size;
    void (*progress)(void *context, uint64_t done, uint64_t total); /* may be NULL */
    void *context;
};
/* One file of a run: the run's history gives the place for it, the storage takes it. */
int az_tracking_put(struct az_tracking *tracking, const struct az_artifact *artifact,
                    struct error *error);

#endif
