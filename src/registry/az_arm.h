/* Azure Resource Manager: one request function, and the few resources of Azure ML that are used
 * (api-version 2024-10-01;
 * Microsoft's OpenAPI description of Microsoft.MachineLearningServices). */
#ifndef NNSTUDIO_REGISTRY_AZ_ARM_H
#define NNSTUDIO_REGISTRY_AZ_ARM_H

#include "registry/az_token.h"

#define ARM_VERSION "2024-10-01"
/* only there does listSecrets take a body that asks for a SAS */
#define ARM_VERSION_SECRETS "2024-10-01-preview"

struct arm {
    struct web *web;                  /* borrowed */
    struct az_credential *credential; /* borrowed */
    struct az_cloud cloud;
    struct az_workspace workspace;
};

/* "/subscriptions/…/workspaces/W" into `out`. */
void arm_workspace_id(const struct arm *arm, char out[512]);

/* METHOD {arm}{path}?api-version=VERSION[&query]; `body` may be NULL. The answer's object in *out
 * (may be NULL for none
 * wanted) and the HTTP status in *http. Statuses 2xx and those in `allowed` (0-ended, may be NULL)
 * are returned; others
 * are an error that says what is wrong and how to mend it. A 401 asks for a fresh token once. */
int arm_call(const struct arm *arm, const char *method, const char *path, const char *version,
             const char *query, const json_t *body, const int *allowed, const char *what, int *http,
             json_t **out, struct error *error);
/* As arm_call with GET for a whole address, such as a nextLink, which must stay on ARM's own host.
 */
int arm_get_url(const struct arm *arm, const char *url, const char *what, int *http, json_t **out,
                struct error *error);

#endif
