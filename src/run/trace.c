#include "run/trace.h"

#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "engine/engine.h"
#include "modelfile/modelfile.h"
#include "modelfile/safetensors.h"
#include "train/fit.h"

/* 256 MiB of doubles: past that the microscope is the wrong tool */
#define TRACE_MAX_VALUES ((size_t)1 << 25)

struct trace {
    struct state_dict tensors;
    struct error *error;
};

static int keep_tensor(void *context, const char *name, const size_t *shape, uint32_t rank,
                       const double *values)
{
    struct trace *trace = context;
    struct named_tensor *tensor;
    if (state_dict_add(&trace->tensors, name, DTYPE_FLOAT64, rank, shape, &tensor, trace->error))
        return -1;
    if (trace->tensors.value_count > TRACE_MAX_VALUES)
        return error_set(
            trace->error, ERROR_INPUT,
            "the network is too large to be looked at step by step: use smaller layers");
    memcpy(tensor->values, values, tensor->count * sizeof *values);
    return 0;
}

int trace_weights(const struct job *job, const struct network *network, struct parameters **out,
                  struct error *error)
{
    struct model *model = NULL;
    int status = -1;
    *out = NULL;
    if (job->from[0]) {
        struct modelfile_options options = {.activation_count = 1,
                                            .activations = {job->activation},
                                            .rows = network->rows,
                                            .columns = network->columns};
        if (modelfile_read(job->from, &options, &model, error) ||
            network_check(&model->network, error))
            goto out;
        if (!network_alike(&model->network, network)) {
            error_set(error, ERROR_INPUT,
                      "%s holds another network: choose the settings it was trained with",
                      job->from);
            goto out;
        }
        if (parameters_convert(model->parameters, network, job->dtype, out, error)) goto out;
    } else {
        if (parameters_create(network, job->dtype, out, error)) goto out;
        parameters_draw(*out, network, job->init, job->seed);
    }
    status = 0;
out:
    model_destroy(model);
    return status;
}

static int set_weights(struct engine *engine, const struct job *job, const struct network *network,
                       struct error *error)
{
    struct parameters *parameters;
    if (trace_weights(job, network, &parameters, error)) return -1;
    int status = engine_set_parameters(engine, parameters, error);
    parameters_destroy(parameters);
    return status;
}

static int write_trace(const struct trace *trace, const struct engine_ops *ops,
                       const struct dataset *dataset, const uint32_t *indices, size_t count,
                       const char *path, struct error *error)
{
    struct engine_probe probe;
    struct safetensors_entry *entries = calloc(trace->tensors.count ? trace->tensors.count : 1,
                                               sizeof *entries);
    json_t *metadata = json_object(), *samples = json_array(), *labels = json_array();
    int status = -1;
    ops->probe(&probe);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(samples, json_integer(indices[i]));
        json_array_append_new(labels, json_integer(dataset->train.labels[indices[i]]));
    }
    char *samples_text = json_dumps(samples, JSON_COMPACT),
         *labels_text = json_dumps(labels, JSON_COMPACT);
    if (!entries || !samples_text || !labels_text) {
        error_set_memory(error, "the trace");
        goto out;
    }
    json_object_set_new(metadata, "engine", json_string(ops->id));
    json_object_set_new(metadata, "engine_version", json_string(probe.version));
    json_object_set_new(metadata, "indices", json_string(samples_text));
    json_object_set_new(metadata, "labels", json_string(labels_text));
    for (size_t i = 0; i < trace->tensors.count; i++) {
        const struct named_tensor *tensor = &trace->tensors.tensors[i];
        entries[i] = (struct safetensors_entry){.name = tensor->name,
                                                .dtype = tensor->dtype,
                                                .rank = tensor->rank,
                                                .shape = tensor->shape,
                                                .values = tensor->values};
    }
    status = safetensors_write(path, entries, trace->tensors.count, metadata, error);
out:
    free(samples_text);
    free(labels_text);
    json_decref(samples);
    json_decref(labels);
    json_decref(metadata);
    free(entries);
    return status;
}

int trace_step(const struct job *job, uint32_t batch, const char *path, struct error *error)
{
    struct trace trace = {.error = error};
    struct dataset *dataset = NULL;
    struct engine *engine = NULL;
    uint32_t *order = NULL;
    const struct engine_ops *ops;
    int status = -1;
    struct dataset_options where;
    job_dataset_options(job, &where);
    if (job_check(job, error) || engine_need(job->engine, &ops, error) ||
        dataset_open(job->dataset, &where, &dataset, error))
        goto out;
    struct engine_config config = {.dtype = job->dtype,
                                   .optimizer = job->optimizer,
                                   .batch_size = job->batch_size,
                                   .seed = job->seed,
                                   .threads = 1,
                                   .device = job->device,
                                   .preprocess = dataset->preprocess};
    if (job_network(job, dataset->rows, dataset->columns, dataset->classes, &config.network, error))
        goto out;
    size_t first = (size_t)batch * job->batch_size, count = job->batch_size;
    if (first >= dataset->train.count) {
        error_set(error, ERROR_INPUT, "there is no batch %u: the data set has %zu", batch,
                  (dataset->train.count + job->batch_size - 1) / job->batch_size);
        goto out;
    }
    if (count > dataset->train.count - first) count = dataset->train.count - first;
    order = malloc(dataset->train.count * sizeof *order);
    if (!order) {
        error_set_memory(error, "the order of the samples");
        goto out;
    }
    fit_order(job->seed, 0, order, dataset->train.count);
    if (engine_open(ops, &config, &engine, error) ||
        engine_attach(engine, &dataset->train, error) ||
        set_weights(engine, job, &config.network, error) ||
        engine_trace(engine, order + first, count, keep_tensor, &trace, error))
        goto out;
    status = write_trace(&trace, ops, dataset, order + first, count, path, error);
out:
    engine_close(engine);
    free(order);
    dataset_close(dataset);
    state_dict_clear(&trace.tensors);
    return status;
}
