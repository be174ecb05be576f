/* What the workers of a plan run: shared by plan.c and plan_parts.c. */
#ifndef NNSTUDIO_ENGINE_NATIVE_PLAN_JOB_H
#define NNSTUDIO_ENGINE_NATIVE_PLAN_JOB_H

#include "engine/native/plan.h"

struct plan_job {
    struct plan *plan;
    const uint8_t *pixels, *labels; /* labels NULL: a forward pass of all at once */
    const void *value;
    const double *inputs; /* instead of pixels: values as they are; for a forward pass */
    const uint32_t *order;
    size_t count;
    const double *rates; /* of every step; NULL: the optimizer's */
    double *losses;
    uint32_t *correct;
    uint32_t workers;
    const struct engine_part *part; /* one part of a batch, and no step of the optimizer */
    double divisor;                 /* of the part's losses and of their derivatives */
    bool failed;                    /* another part has; `error` says so */
    struct error *error;
};

/* This worker's items of `count`. */
static inline void plan_items_of(size_t count, uint32_t worker, uint32_t workers, size_t *from,
                                 size_t *to)
{
    *from = count * worker / workers;
    *to = count * (worker + 1) / workers;
}

/* A tensor's numbers in one of the plan's flat blocks. */
void *plan_tensor_place(const struct plan *plan, const struct tensor *tensor, void *set);
double plan_rate_of(const struct plan_job *job, size_t step);
/* Step `step`, counted from 1, of the optimizer: one stretch of all values, a part for each worker;
 * `numbers` are the optimizer's, this worker's copy. */
void plan_update(const struct plan_job *job, double rate, uint64_t step, double *numbers,
                 uint32_t worker);
/* The job's steps, by one of its workers: a team_job_fn. */
void plan_run_steps(void *context, uint32_t worker);
/* Batch normalization of a part: this one's sums, of which the first worker makes those of all
 * parts. False when a part has failed, to all workers alike. */
bool plan_measure_parts(struct plan_job *job, const struct plan_batch *batch,
                        const struct plan_op *op, enum plan_measure what, uint32_t worker);

#endif
