/* Two runs set side by side: their trainings, and the models that came of them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/path.h"
#include "diff/diff.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "run/setup.h"

struct pair {
    char runs[2][64];
};

static struct pair *pair_of(const struct call *call)
{
    struct pair *pair = calloc(1, sizeof *pair);
    if (!pair) return NULL;
    snprintf(pair->runs[0], sizeof pair->runs[0], "%s", call_text(call, "a"));
    snprintf(pair->runs[1], sizeof pair->runs[1], "%s", call_text(call, "b"));
    return pair;
}

static int compare_runs(const struct studio *studio, struct store *store, void *context,
                        json_t **out, struct error *error)
{
    const struct pair *pair = context;
    char *scratch = path_join(studio->home, "scratch");
    if (!scratch) return error_set_memory(error, "a path");
    int status = diff_runs(store, pair->runs[0], pair->runs[1], scratch, out, error);
    free(scratch);
    return status;
}

static int open_side(struct store *store, const char *run, struct job *job,
                     struct predictor *predictor, struct error *error)
{
    struct run_record record;
    char *path, sha256[65];
    if (store_run_get(store, run, &record, error) ||
        store_model_file(store, run, &path, sha256, error))
        return -1;
    *job = record.job;
    struct modelfile_options options = setup_model_options(job);
    int status = predictor_read(path, &options, predictor, error);
    free(path);
    return status;
}

/* The samples are those of A's data; what stands against it is told, and no failure. */
static void add_logits(const struct studio *studio, const struct job *job,
                       struct predictor predictors[2], json_t *answer)
{
    struct dataset_options options;
    const struct dataset *dataset;
    struct error reason;
    json_t *logits = NULL;
    job_dataset_options(job, &options);
    if (!library_borrow(studio->library, job->dataset, &options, &dataset, &reason)) {
        if (diff_logits(&predictors[0], &predictors[1], dataset, &logits, &reason)) logits = NULL;
        library_give_back(studio->library, dataset);
    }
    diff_add_logits(answer, logits, logits ? NULL : reason.message);
}

static int compare_models(const struct studio *studio, struct store *store, void *context,
                          json_t **out, struct error *error)
{
    const struct pair *pair = context;
    struct predictor predictors[2] = {{0}, {0}};
    struct job *jobs = calloc(2, sizeof *jobs);
    int status = -1;
    if (!jobs) return error_set_memory(error, "the comparison");
    for (int side = 0; side < 2; side++)
        if (open_side(store, pair->runs[side], &jobs[side], &predictors[side], error)) goto out;
    if (diff_models(predictors[0].model, predictors[1].model, out, error)) goto out;
    add_logits(studio, &jobs[0], predictors, *out);
    status = 0;
out:
    for (int side = 0; side < 2; side++) predictor_close(&predictors[side]);
    free(jobs);
    return status;
}

static void get_runs(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compare_runs, pair_of(call));
}

static void get_models(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compare_models, pair_of(call));
}

static const struct parameter pair_parameters[] = {
    {"a", PARAMETER_TEXT, 0, 63, 0, NULL, "a run"},
    {"b", PARAMETER_TEXT, 0, 63, 0, NULL, "another"},
    {0},
};

static const struct route routes[] = {
    {"GET", "/api/diff/runs", get_runs, "What differs between two trainings, where first, and why",
     pair_parameters, NULL, "RunsDiff", 200, 0},
    {"GET", "/api/diff/models", get_models, "What differs between two runs' models",
     pair_parameters, NULL, "ModelsDiff", 200, 0},
};
const struct route_group routes_diff = ROUTE_GROUP("diff", routes);
