/* Online endpoints: what this home knows of the ones it made. For this folder only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_ENDPOINT_H
#define NNSTUDIO_REGISTRY_AZURE_ENDPOINT_H

#include "registry/azure/azure.h"
#include "registry/azure/scoring.h"

#define AZ_DEPLOYMENT "blue"
#define AZ_MARK_TAG   "nnstudio.mark" /* of an endpoint and its deployment: whose they are */

/* --- the journal: HOME/endpoints/ENDPOINT-WORKSPACE.json, there from before the endpoint is made
 * until it is known to be gone; and HOME/jobs/JOB-WORKSPACE.json of a command job --- */

struct az_journal_kind {
    const char *folder, *what; /* "endpoints", "endpoint" */
};
extern const struct az_journal_kind az_endpoints, az_jobs;

struct az_journal {
    char path[4500];
    int lock;     /* -1: none */
    json_t *data; /* owned: {"endpoint","subscription_id","resource_group","workspace_name","model",
                     "version","instance_type","instances","mark","state","deployed":bool,…} */
};
#define AZ_CREATING "creating"
#define AZ_READY    "ready"
#define AZ_DELETING "deleting"

/* All journals of this home, as an array of their data; new reference. */
int az_journal_list(const char *home, const struct az_journal_kind *kind, json_t **out,
                    struct error *error);
/* True when the journal is of this workspace. */
bool az_journal_in(const json_t *data, const struct az_workspace *workspace);
/* The thing's journal, an empty object when there is none; locked until az_journal_close():
 * ERROR_CONFLICT while another process works on it. */
int az_journal_open(const char *home, const struct az_journal_kind *kind,
                    const struct az_workspace *workspace, const char *name, struct az_journal *out,
                    struct error *error);
/* Sets a text and writes the file. */
int az_journal_note(struct az_journal *journal, const char *key, const char *value,
                    struct error *error);
int az_journal_write(struct az_journal *journal, struct error *error);
void az_journal_remove(struct az_journal *journal);
void az_journal_close(struct az_journal *journal);

/* --- an endpoint in Azure --- */

#define AZ_ENDPOINT_PATH 128
void az_endpoint_path(const char *endpoint, bool deployment, char out[AZ_ENDPOINT_PATH]);
/* Deletes the endpoint or its deployment and waits for it; one that is not there is success. */
int az_endpoint_remove(struct az_connection *connection, const char *path, const char *what,
                       struct error *error);
/* The end of the container's log, malloc'd. */
int az_endpoint_log(struct az_connection *connection, const char *endpoint, const char *deployment,
                    char **text, struct error *error);
/* Sends the sample and compares with the file at `model_path`; see registry_endpoint_test().
 * `resource` is the endpoint as ARM tells it. */
int az_endpoint_try(struct az_connection *connection, const struct registry_options *options,
                    const json_t *resource, const char *model_path, const char *model_type,
                    const struct registry_sample *sample, json_t **out, struct error *error);

#endif
