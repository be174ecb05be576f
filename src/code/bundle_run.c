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

/* How many samples one epoch has. 0 when the data set is gone: the bundle then has no order. */
static size_t look_at_data(const struct job *job, bool *coded)
{
    struct dataset_options places;
    struct dataset *dataset;
    struct error ignored;
    job_dataset_options(job, &places);
    if (dataset_open(job->dataset, &places, &dataset, &ignored)) return 0;
    size_t count = dataset->train.count;
    *coded = dataset->coded;
    dataset_close(dataset);
    return count;
}

int code_bundle_run(struct store *store, const char *run, const char *path, struct error *error)
{
    struct run_record *record = malloc(sizeof *record);
    struct model *model = NULL;
    struct buffer curve;
    char sha256[65], *file = NULL;
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
    bundle.train_samples = look_at_data(&record->job, &bundle.coded);
    status = code_bundle_write(&bundle, path, error);
out:
    model_destroy(model);
    buffer_free(&curve);
    free(file);
    free(record);
    return status;
}
