/* One run on several processes: how the worker of rank 0 brings the others to where it stands, and
 * what the others do. Both sides go through the same steps in the same order: the job, the data,
 * the network, the engines. */
#ifndef NNSTUDIO_RUN_RANK_H
#define NNSTUDIO_RUN_RANK_H

#include "data/dataset.h"
#include "ranks/ranks.h"
#include "run/job.h"

/* Rank 0, when job->ranks is more than 1: joins the others and hands them the job. */
int rank_share_job(const struct job *job, struct ranks **out, struct error *error);
/* All: the data is open everywhere and the same; `status` is how opening it went. */
int rank_agree_on_data(struct ranks *ranks, int status, const char sha256[], struct error *error);
/* Rank 0, with its engine open (or not: `status`): the others open theirs, and *engine becomes one
 * that trains with all. */
int rank_lead(struct ranks *ranks, int status, const struct network *network,
              struct engine **engine, struct error *error);
/* How many threads each rank takes where the job does not say: those of the machine, shared. */
uint32_t rank_threads(uint32_t usual);

/* The whole life of a rank that is not 0. The exit status. */
int rank_follow_main(void);

#endif
