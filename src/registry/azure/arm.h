/* Azure Resource Manager: one request function (api-version 2024-10-01; Microsoft's OpenAPI
 * description of Microsoft.MachineLearningServices). For this folder only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_ARM_H
#define NNSTUDIO_REGISTRY_AZURE_ARM_H

#include "registry/azure/token.h"

#define ARM_ID_SIZE 768
#define ARM_VERSION "2024-10-01"
/* only there does listSecrets take a body that asks for a SAS */
#define ARM_VERSION_SECRETS "2024-10-01-preview"
/* of the list of permissions (Microsoft.Authorization) */
#define ARM_VERSION_PERMISSIONS "2022-04-01"
/* of the list of subscriptions */
#define ARM_VERSION_SUBSCRIPTIONS "2022-12-01"

struct arm {
    struct web *web;                  /* borrowed */
    struct az_credential *credential; /* borrowed */
    struct az_cloud cloud;
    struct az_workspace workspace;
    bool workspace_seen; /* it answered: a 404 below it is not about it */
};

/* "/subscriptions/…/workspaces/W" (or "…/registries/R") into `out`, as ids have it. */
void arm_workspace_id(const struct arm *arm, char out[ARM_ID_SIZE]);

/* What a request for the workspace, or the registry, itself is for. */
const char *arm_place_question(const struct arm *arm);

struct arm_request {
    const char *method;  /* NULL: GET */
    const char *path;    /* below the workspace: "/models"; "" the workspace itself */
    const char *root;    /* instead of `path`: from ARM's root, "/subscriptions" */
    const char *url;     /* instead of both: a nextLink, which must stay on ARM's own host */
    const char *version; /* NULL: ARM_VERSION */
    const char *query;   /* "a=b&c=d", encoded, or NULL */
    const json_t *body;  /* borrowed, or NULL */
    bool may_be_absent;  /* a 404 that means this resource, not the workspace, is success */
    const char *what;    /* begins messages: "asking for the workspace" */
};
struct arm_answer {
    int http;     /* the status; 0 before an answer */
    json_t *body; /* an object, owned; NULL when the resource is absent */
    /* of a long operation that the request began: where its state is told, where its result; "" */
    char operation[1024], location[1024];
    double pause; /* seconds the service asks to wait; below 0: it does not say */
};
/* Statuses 2xx, and an absence that is allowed, return 0. Others are an error that says what is
 * wrong and how to fix it. A 401 asks for a fresh token once. `answer->body` is the caller's to
 * release. */
int arm_call(struct arm *arm, const struct arm_request *request, struct arm_answer *answer,
             struct error *error);
/* Calls `row(context, entry)` for each entry of "value", through at most 20 pages. */
int arm_list(struct arm *arm, struct arm_request request,
             int (*row)(void *context, const json_t *entry, struct error *error), void *context,
             struct error *error);

/* What an error object of ARM means: the outer code, and the innermost text of its details (which
 * may be JSON in a string). */
void arm_error_words(const json_t *error, char code[96], char message[400]);

/* Waits for the end of a long operation. */
struct arm_wait {
    const char *path; /* of the resource below the workspace: "/onlineEndpoints/E" */
    const char *what; /* begins messages: "creating the endpoint" */
    bool removal;     /* the end is that the resource is gone */
};
/* Polls what `begun` (a PUT's, a DELETE's or a POST's answer) names, as often as the service asks:
 * Azure-AsyncOperation, else Location, else the resource itself. *resource (unless it is a removal)
 * is the resource as it is then, a new reference. An operation that failed is ERROR_FAILED with the
 * service's code and message; the resource is still there then. */
int arm_finish(struct arm *arm, const struct arm_answer *begun, const struct arm_wait *wait,
               json_t **resource, struct error *error);
/* The resource's provisioningState, "" when it has none. */
const char *arm_state(const json_t *resource);

#endif
