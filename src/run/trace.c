#include "run/trace.h"

#include <stdlib.h>

#include "base/js.h"
#include "run/setup.h"
#include "run/trace_impl.h"
#include "train/fit.h"

/* 256 MiB of doubles: past that the microscope is the wrong tool */
#define TRACE_MAX_VALUES ((size_t)1 << 25)

int trace_keep(void *context, const char *name, const size_t *shape, uint32_t rank,
               const double *values)
{
    struct trace *trace = context;
    if (state_dict_keep(&trace->tensors, name, rank, shape, values, trace->error)) return -1;
    if (trace->tensors.value_count <= TRACE_MAX_VALUES) return 0;
    return error_set(trace->error, ERROR_INPUT,
                     "the network is too large to be looked at step by step: use smaller layers");
}

int trace_write(const struct trace *trace, const struct engine_ops *ops,
                const struct dataset *dataset, const uint32_t *indices, size_t count,
                const char *path, struct error *error)
{
    struct engine_probe probe;
    json_t *metadata = json_object(), *samples = json_array(), *labels = json_array();
    int status = -1;
    ops->probe(&probe);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(samples, json_integer(indices[i]));
        json_array_append_new(labels, json_integer(dataset->train.labels[indices[i]]));
    }
    char *samples_text = js_dump_as(samples, JSON_COMPACT),
         *labels_text = js_dump_as(labels, JSON_COMPACT);
    if (!samples_text || !labels_text) {
        error_set_memory(error, "the trace");
        goto out;
    }
    json_object_set_new(metadata, "engine", json_string(ops->id));
    json_object_set_new(metadata, "engine_version", json_string(probe.version));
    json_object_set_new(metadata, "indices", json_string(samples_text));
    json_object_set_new(metadata, "labels", json_string(labels_text));
    status = safetensors_write_state(path, &trace->tensors, metadata, error);
out:
    free(samples_text);
    free(labels_text);
    json_decref(samples);
    json_decref(labels);
    json_decref(metadata);
    return status;
}

/* Which samples batch number `batch` of the first epoch has: the caller frees *order; they begin at
 * order[*first]. */
static int find_batch(const struct job *job, const struct dataset *dataset, uint32_t batch,
                      uint32_t **order, size_t *first, size_t *count, struct error *error)
{
    size_t samples = dataset->train.count,
           batches = (samples + job->batch_size - 1) / job->batch_size;
    if (batch >= batches)
        return error_set(error, ERROR_INPUT,
                         "batch %u is out of range: the data has %zu batches of %u samples, "
                         "numbered from 0 to %zu",
                         batch, batches, job->batch_size, batches - 1);
    *order = malloc(samples * sizeof **order);
    if (!*order) return error_set_memory(error, "the order of the samples");
    fit_order(job->seed, 0, *order, samples);
    *first = (size_t)batch * job->batch_size;
    *count = samples - *first < job->batch_size ? samples - *first : job->batch_size;
    return 0;
}

/* The rate that the run has at that batch of its first epoch. */
static int set_rate(const struct job *job, const struct dataset *dataset, uint32_t batch,
                    struct engine *engine, struct error *error)
{
    const struct schedule_span span = {job->optimizer.learning_rate,
                                       fit_steps_per_epoch(dataset->train.count, job->batch_size),
                                       job->epochs};
    const struct schedule_state state = {0};
    struct schedule schedule;
    if (job_schedule(job, &schedule, error)) return -1;
    if (schedule_is_constant(&schedule)) return 0;
    return engine_set_learning_rate(engine, schedule_rate(&schedule, &span, &state, batch), error);
}

int trace_step(const struct job *job, uint32_t batch, const char *path, struct error *error)
{
    struct trace trace = {.error = error};
    struct dataset *dataset = NULL;
    struct parameters *parameters = NULL;
    struct engine *engine = NULL;
    uint32_t *order = NULL;
    size_t first, count;
    const struct engine_ops *ops;
    struct network network;
    int status = -1;
    if (job_check(job, error) || engine_need(job->engine, &ops, error) ||
        setup_dataset(job, &dataset, error) ||
        job_network(job, dataset->rows, dataset->columns, dataset->channels, dataset->classes,
                    &network, error) ||
        setup_weights(job, &network, &parameters, error) ||
        find_batch(job, dataset, batch, &order, &first, &count, error) ||
        setup_engine(job, ops, 1, &network, dataset, parameters, &engine, error) ||
        set_rate(job, dataset, batch, engine, error) ||
        engine_trace(engine, order + first, count, trace_keep, &trace, error))
        goto out;
    status = trace_write(&trace, ops, dataset, order + first, count, path, error);
out:
    engine_close(engine);
    parameters_destroy(parameters);
    free(order);
    dataset_close(dataset);
    state_dict_clear(&trace.tensors);
    return status;
}
