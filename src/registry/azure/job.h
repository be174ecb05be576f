/* Command jobs: for this folder only. */
#ifndef NNSTUDIO_REGISTRY_AZURE_JOB_H
#define NNSTUDIO_REGISTRY_AZURE_JOB_H

#include "registry/azure/connection.h"

/* Of a job's output, in its datastore. */
#define AZ_JOB_PLACE "nnstudio-jobs"
#define AZ_JOB_LIMIT 120 /* characters of a job's name */

/* What the job left: its run's folder becomes one of this home and is listed there, with its model.
 * *run and *model are malloc'd; NULL when there is none. */
int az_job_results(struct az_connection *connection, const struct registry_options *options,
                   const char *job, const char *datastore,
                   void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                   char **run, char **model, struct error *error);

#endif
