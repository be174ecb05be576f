#include "run/setup.h"

#include "base/memory.h"
#include "net/cost.h"

struct modelfile_options setup_model_options(const struct job *job)
{
    return (struct modelfile_options){.activation_count = 1, .activations = {job->activation}};
}

int setup_dataset(const struct job *job, struct dataset **out, struct error *error)
{
    struct dataset_options options;
    job_dataset_options(job, &options);
    if (dataset_open(job->dataset, &options, out, error)) return -1;
    int status = (*out)->train.count
                     ? 0
                     : error_set(error, ERROR_INPUT, "the data set has no training samples");
    if (!status && job->validation > 0)
        status = dataset_take_validation(*out, job->validation, job->validation_part, job->seed,
                                         error);
    if (!status) return 0;
    dataset_close(*out);
    *out = NULL;
    return -1;
}

/* Less than any engine takes, so that what is refused here could never have worked. */
static int check_memory(const struct job *job, const struct network *network, size_t batch,
                        struct error *error)
{
    uint64_t needed = network_training_bytes(network, batch, optimizer_slot_count(&job->optimizer),
                                             dtype_size(job->dtype)),
             most = memory_limit();
    if (!most || needed <= most) return 0;
    return error_set(error, ERROR_INPUT,
                     "training needs at least %.1f GB of memory (%zu parameters, batches of %zu "
                     "samples), and there are %.1f GB: choose a smaller network or batch size",
                     (double)needed / 1e9, network_parameter_count(network), batch,
                     (double)most / 1e9);
}

/* The training samples that a run has at least; *exact when that is all. */
static size_t foresee_samples(const struct job *job, const struct dataset_entry *data, bool *exact)
{
    size_t given = job->limit && job->limit < data->train ? job->limit : data->train,
           samples = given - dataset_last_part(given, job->validation);
    *exact = !(job->validation > 0) || job->validation_part == DATASET_PART_LAST;
    /* of every class its share is rounded */
    if (!*exact) samples -= samples < DATASET_KNOWN_CLASSES ? samples : DATASET_KNOWN_CLASSES;
    return samples;
}

static int foresee_network(const struct job *job, const struct engine_ops *ops,
                           const struct dataset_entry *data, struct error *error)
{
    struct network network;
    bool exact;
    size_t samples = foresee_samples(job, data, &exact),
           batch = job->batch_size < samples ? job->batch_size : samples;
    return job_network(job, data->rows, data->columns, data->channels, DATASET_KNOWN_CLASSES,
                       &network, error) ||
                   engine_check_network(ops, &network, error) ||
                   (exact && engine_check_batches(&network, job->batch_size, samples, error)) ||
                   check_memory(job, &network, batch, error)
               ? -1
               : 0;
}

int setup_foresee(const struct job *job, struct error *error)
{
    const struct dataset_entry *data = dataset_find(job->dataset);
    const struct engine_ops *ops;
    struct engine_probe found;
    if (engine_need(job->engine, &ops, error)) return -1;
    ops->probe(&found);
    int status = engine_check_device(ops, &found, job->device[0] ? job->device : "cpu", error);
    if (!status && data && !job->from[0]) status = foresee_network(job, ops, data, error);
    if (status) error->code = ERROR_INPUT;
    return status;
}

int setup_check_network(const struct network *network, const struct dataset *dataset,
                        const char *source, struct error *error)
{
    if (network_inputs(network) == dataset_inputs(dataset) &&
        network_classes(network) == dataset->classes)
        return 0;
    return error_set(error, ERROR_INPUT,
                     "%s takes %u inputs and has %u classes, but %s has %zu and %u: use the data "
                     "it was made for",
                     source, network_inputs(network), network_classes(network), dataset->title,
                     dataset_inputs(dataset), dataset->classes);
}

static int draw_parameters(const struct job *job, const struct network *network,
                           struct parameters **out, struct error *error)
{
    if (parameters_create(network, job->dtype, out, error)) return -1;
    parameters_draw(*out, network, job->init, job->seed);
    return 0;
}

/* The model of job->from; the data's pictures say what the file may not. */
static int read_model(const struct job *job, uint32_t rows, uint32_t columns, struct model **out,
                      struct error *error)
{
    struct modelfile_options options = setup_model_options(job);
    options.rows = rows;
    options.columns = columns;
    return modelfile_read(job->from, &options, out, error);
}

int setup_parameters(const struct job *job, const struct dataset *dataset, struct network *network,
                     struct parameters **out, struct error *error)
{
    struct model *model;
    int status = -1;
    *out = NULL;
    if (!job->from[0])
        return job_network(job, dataset->rows, dataset->columns, dataset->channels,
                           dataset->classes, network, error) ||
                       draw_parameters(job, network, out, error)
                   ? -1
                   : 0;
    if (read_model(job, dataset->rows, dataset->columns, &model, error)) return -1;
    *network = model->network;
    if (!setup_check_network(network, dataset, job->from, error))
        status = parameters_convert(model->parameters, network, job->dtype, out, error);
    model_destroy(model);
    return status;
}

int setup_weights(const struct job *job, const struct network *network, struct parameters **out,
                  struct error *error)
{
    struct model *model;
    int status = -1;
    *out = NULL;
    if (!job->from[0]) return draw_parameters(job, network, out, error);
    if (read_model(job, network->rows, network->columns, &model, error)) return -1;
    if (!network_check(&model->network, error))
        status = network_alike(&model->network, network)
                     ? parameters_convert(model->parameters, network, job->dtype, out, error)
                     : error_set(error, ERROR_INPUT,
                                 "%s holds another network: choose the settings it was trained "
                                 "with",
                                 job->from);
    model_destroy(model);
    return status;
}

static int loss_of(const struct job *job, const struct dataset *dataset, struct loss_rules *out,
                   struct error *error)
{
    size_t count;
    *out = (struct loss_rules){.smoothing = job->label_smoothing,
                               .weighted = job->class_weight[0] != 0};
    if (loss_parse_weights(job->class_weight, out->weights, &count, error)) return -1;
    if (loss_is_balanced(job->class_weight))
        loss_balance(dataset->train.labels, dataset->train.count, dataset->classes, out->weights);
    else if (out->weighted && count != dataset->classes)
        return error_set(error, ERROR_INPUT,
                         "there are %zu class weights, and %s has %u classes: give one for each",
                         count, dataset->title, dataset->classes);
    return 0;
}

int setup_engine(const struct job *job, const struct engine_ops *ops, uint32_t threads,
                 const struct network *network, const struct dataset *dataset,
                 const struct parameters *parameters, struct engine **out, struct error *error)
{
    struct loss_rules loss;
    *out = NULL;
    if (loss_of(job, dataset, &loss, error)) return -1;
    const struct engine_config config = {
        .network = *network,
        .loss = loss,
        .dtype = job->dtype,
        .optimizer = job->optimizer,
        .batch_size = job->batch_size,
        .seed = job->seed,
        .threads = threads,
        .device = job->device[0] ? job->device : NULL,
        .preprocess = dataset->preprocess,
    };
    if (engine_open(ops, &config, out, error)) return -1;
    if (!engine_attach(*out, &dataset->train, error) &&
        !engine_set_parameters(*out, parameters, error))
        return 0;
    engine_close(*out);
    *out = NULL;
    return -1;
}
