/* A part of a batch by a plan: its gradients, and the update with the sums of all parts. */
#include <string.h>

#include "engine/native/plan_job.h"

/* The sums of all parts. Derivatives are of the part's mean loss here, and added up as those of the
 * sum. */
static int add_parts(const struct plan_job *job, const struct plan_op *op, enum plan_measure what)
{
    bool derivatives = what == MEASURE_DERIVATIVES;
    size_t count = (size_t)op->in->channels * (derivatives ? 2 : 1);
    for (size_t i = 0; derivatives && i < count; i++) op->sums[i] *= job->divisor;
    if (engine_part_add(job->part, op->sums, count, job->error)) return -1;
    for (size_t i = 0; derivatives && i < count; i++) op->sums[i] /= job->divisor;
    return 0;
}

bool plan_measure_parts(struct plan_job *job, const struct plan_batch *batch,
                        const struct plan_op *op, enum plan_measure what, uint32_t worker)
{
    const struct plan *plan = job->plan;
    size_t channels = op->in->channels, from, to;
    plan_items_of(channels, worker, job->workers, &from, &to);
    plan->kernels->measure(op, batch, what, from, to);
    team_barrier(plan->team);
    if (worker == 0) job->failed = add_parts(job, op, what) != 0;
    team_barrier(plan->team);
    return !job->failed;
}

static void export_statistics(const struct plan *plan, const struct engine_part *part,
                              struct parameters *sums)
{
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const struct plan_op *op = &plan->ops[i];
        if (op->layer->type == LAYER_BATCHNORM)
            engine_part_statistics(part, &plan->network, op->number, op->mean, op->squares, sums);
    }
}

int plan_gradients(struct plan *plan, const struct engine_part *part,
                   const struct plan_samples *samples, struct parameters *sums, double *loss,
                   uint32_t *correct, struct error *error)
{
    const uint8_t *labels = samples->split->labels;
    size_t batch = plan->batch_size, count = samples->count;
    struct plan_job job = {.plan = plan,
                           .pixels = samples->split->pixels,
                           .labels = labels,
                           .value = samples->value,
                           .order = samples->order,
                           .count = count,
                           .losses = loss,
                           .correct = correct,
                           .workers = team_threads(plan->team),
                           .part = part,
                           .divisor = loss_divisor(plan->loss, labels, samples->order, count),
                           .error = error};
    plan->batch_size = count;
    team_run(plan->team, job.workers, plan_run_steps, &job);
    plan->batch_size = batch;
    if (job.failed) return -1;
    *loss *= job.divisor;
    plan_export_gradient(plan, sums);
    parameters_multiply(sums, job.divisor);
    export_statistics(plan, part, sums);
    return 0;
}

static void run_update(void *context, uint32_t worker)
{
    const struct plan_job *job = context;
    struct plan *plan = job->plan;
    double numbers[OPTIMIZER_MAX_NUMBERS];
    memcpy(numbers, plan->numbers, sizeof numbers);
    plan_update(job, plan_rate_of(job, 0), plan->steps + 1, numbers, worker);
    if (worker == 0) memcpy(plan->numbers, numbers, sizeof numbers);
}

static void set_number(const struct plan *plan, void *place, size_t i, double value)
{
    if (plan->kernels->size == sizeof(float))
        ((float *)place)[i] = (float)value;
    else
        ((double *)place)[i] = value;
}

/* A running statistic moves towards the batch's. */
static void move_statistic(const struct plan *plan, const struct parameters *sums,
                           const struct tensor *tensor)
{
    const struct layer *layer = &plan->network.layers[tensor->layer];
    void *place = plan_tensor_place(plan, tensor, plan->sets[0]);
    for (size_t i = 0; i < tensor->count; i++) {
        double running = plan->kernels->size == sizeof(float) ? (double)((float *)place)[i]
                                                              : ((double *)place)[i];
        set_number(plan, place, i, engine_part_moved(layer, running, tensor_get(sums, tensor, i)));
    }
}

void plan_apply(struct plan *plan, const struct parameters *sums, double divisor,
                const double *rate)
{
    struct plan_job job = {.plan = plan, .rates = rate, .workers = team_threads(plan->team)};
    for (size_t t = 0; t < sums->tensor_count; t++) {
        const struct tensor *tensor = &sums->tensors[t];
        if (!tensor_role_is_trained(tensor->role)) {
            move_statistic(plan, sums, tensor);
            continue;
        }
        void *place = plan_tensor_place(plan, tensor, plan->gradient);
        for (size_t i = 0; i < tensor->count; i++)
            set_number(plan, place, i, tensor_get(sums, tensor, i) / divisor);
    }
    team_run(plan->team, job.workers, run_update, &job);
    plan->steps++;
}
