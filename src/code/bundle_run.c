/* A run that the store remembers, as a bundle. */
#include "code/bundle.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "data/dataset.h"
#include "run/setup.h"

#define CURVE_LIMIT ((size_t)256 << 20)

/* "step,loss,seconds" and a line per step, all digits. */
static int write_curve(struct store *store, const char *run, struct buffer *out,
                       struct error *error)
{
    struct points points;
    if (store_points(store, run, 0, UINT64_MAX, 0, &points, error)) return -1;
    buffer_append_text(out, "step,loss,seconds\n");
    for (size_t i = 0; i < points.count; i++)
        buffer_printf(out, "%llu,%.17g,%.17g\n", (unsigned long long)points.step[i], points.loss[i],
                      points.seconds[i]);
    points_free(&points);
    return buffer_check(out, "the curve", error);
}

/* The places of the samples that the run drew for validation; the last ones need no list. */
static int list_validation(const struct job *job, const struct split *train,
                           struct code_bundle *bundle, uint32_t **places, struct error *error)
{
    bool *taken = malloc(train->count * sizeof *taken);
    size_t count = 0, listed = 0;
    int status = -1;
    *places = NULL;
    if (!taken) return error_set_memory(error, "the validation samples");
    if (dataset_mark_validation(train, job->validation, job->validation_part, job->seed, taken,
                                &count, error))
        goto out;
    bundle->train_samples -= count;
    status = 0;
    if (job->validation_part == DATASET_PART_LAST) goto out;
    *places = malloc(count * sizeof **places);
    if (!*places) {
        status = error_set_memory(error, "the validation samples");
        goto out;
    }
    for (size_t i = 0; i < train->count; i++)
        if (taken[i]) (*places)[listed++] = (uint32_t)i;
    bundle->validation = *places;
    bundle->validation_samples = count;
out:
    free(taken);
    return status;
}

/* How many samples one epoch has, and which are not in it. When the data set is gone the bundle has
 * neither. The caller frees *places. */
static int look_at_data(const struct job *job, struct code_bundle *bundle, uint32_t **places,
                        struct error *error)
{
    struct dataset_options options;
    struct dataset *dataset;
    struct error ignored;
    int status = 0;
    *places = NULL;
    job_dataset_options(job, &options);
    if (dataset_open(job->dataset, &options, &dataset, &ignored)) return 0;
    bundle->train_samples = dataset->train.count;
    bundle->coded = dataset->coded;
    if (job->validation > 0) status = list_validation(job, &dataset->train, bundle, places, error);
    dataset_close(dataset);
    return status;
}

int code_bundle_run(struct store *store, const char *run, const char *path, struct error *error)
{
    struct run_record *record = malloc(sizeof *record);
    struct model *model = NULL;
    struct buffer curve;
    char sha256[65], *file = NULL;
    uint32_t *validation = NULL;
    int status = -1;
    buffer_init(&curve, CURVE_LIMIT);
    if (!record) {
        error_set_memory(error, "the bundle");
        goto out;
    }
    if (store_run_get(store, run, record, error) ||
        store_model_file(store, run, &file, sha256, error))
        goto out;
    const struct modelfile_options options = setup_model_options(&record->job);
    if (modelfile_read(file, &options, &model, error) || write_curve(store, run, &curve, error))
        goto out;
    struct code_bundle bundle = {.job = &record->job, .model = model, .curve_csv = curve.data};
    if (!look_at_data(&record->job, &bundle, &validation, error))
        status = code_bundle_write(&bundle, path, error);
out:
    model_destroy(model);
    buffer_free(&curve);
    free(validation);
    free(file);
    free(record);
    return status;
}
