/* Two runs set side by side: their trainings, and their models; those may also be kept ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/path.h"
#include "diff/diff.h"
#include "http/kept.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "run/setup.h"

#define NAME_SIZE 256 /* of a kept model or a data set, as file systems have it */

struct model_pair {
    char names[2][NAME_SIZE];
    char dataset[NAME_SIZE]; /* whose samples both classify; "": those that A was trained on */
};

/* Plain memory for a thread; NULL when the call has failed. */
static struct model_pair *pair_of(struct call *call)
{
    struct error error;
    const char *a = call_text(call, "a"), *b = call_text(call, "b");
    struct model_pair *pair = a && b ? calloc(1, sizeof *pair) : NULL;
    if (pair) {
        snprintf(pair->names[0], NAME_SIZE, "%s", a);
        snprintf(pair->names[1], NAME_SIZE, "%s", b);
        return pair;
    }
    if (a && b)
        error_set_memory(&error, "a comparison");
    else
        error_set(&error, ERROR_INPUT, "\"%s\" is missing: name what is compared as a and b",
                  a ? "b" : "a");
    call_fail(call, &error);
    return NULL;
}

static int compare_runs(const struct studio *studio, struct store *store, void *context,
                        json_t **out, struct error *error)
{
    const struct model_pair *pair = context;
    char *scratch = path_join(studio->home, "scratch");
    if (!scratch) return error_set_memory(error, "a path");
    int status = diff_runs(store, pair->names[0], pair->names[1], scratch, out, error);
    free(scratch);
    return status;
}

/* --- models ----------------------------------------------------------------------------------- */

struct model_side {
    bool is_run;
    struct job job; /* of a run */
    struct predictor predictor;
};

/* The file of a run, or of a model that was kept. */
static int find_file(const struct studio *studio, struct store *store, const char *name,
                     struct model_side *side, char **path, struct error *error)
{
    struct run_record record;
    char sha256[65];
    int status = store_run_get(store, name, &record, error);
    if (status)
        return error->code == ERROR_NOT_FOUND ? kept_model_find(studio->home, name, path, error)
                                              : -1;
    side->is_run = true;
    side->job = record.job;
    return store_model_file(store, name, path, sha256, error);
}

static int open_side(const struct studio *studio, struct store *store, const char *name,
                     struct model_side *side, struct error *error)
{
    char *path;
    if (find_file(studio, store, name, side, &path, error)) return -1;
    struct modelfile_options options = {0};
    if (side->is_run) options = setup_model_options(&side->job);
    int status = predictor_read(path, &options, &side->predictor, error);
    free(path);
    return status;
}

/* Samples of the data that A was trained on, opened as its run did. */
static int logits_of_run(const struct studio *studio, struct model_side sides[2], json_t **out,
                         struct error *reason)
{
    const struct job *job = &sides[0].job;
    struct dataset_options options;
    const struct dataset *dataset;
    job_dataset_options(job, &options);
    if (library_borrow(studio->library, job->dataset, &options, &dataset, reason)) return -1;
    int status = diff_logits(&sides[0].predictor, &sides[1].predictor, dataset, out, reason);
    library_give_back(studio->library, dataset);
    return status;
}

/* Samples of the data that was chosen, or that A's file names. Its labels become the numbers of A's
 * classes, so it is opened for this alone. */
static int logits_of_data(const struct studio *studio, const char *chosen,
                          struct model_side sides[2], json_t **out, struct error *reason)
{
    struct predictor *predictor = &sides[0].predictor;
    const struct network *network = &predictor->model->network;
    const json_t *metadata = predictor->model->metadata;
    const char *name = *chosen ? chosen : js_text(metadata, "dataset"),
               *label = js_text(metadata, "label_column");
    struct dataset_options options = {.home = studio->home,
                                      .label_column = *chosen || !*label ? NULL : label,
                                      .rows = network->rows,
                                      .columns = network->columns,
                                      .channels = network->channels};
    struct dataset *dataset = NULL;
    char *path = NULL;
    int status = -1;
    if (!*name)
        return error_set(reason, ERROR_INPUT,
                         "A does not say what it was trained on: choose a data set");
    if (!library_resolve(studio->home, name, &path, reason) &&
        !dataset_open(path, &options, &dataset, reason) &&
        !predictor_match(predictor, dataset, reason))
        status = diff_logits(predictor, &sides[1].predictor, dataset, out, reason);
    dataset_close(dataset);
    free(path);
    return status;
}

/* What stands against it is told, and no failure. */
static void add_logits(const struct studio *studio, const char *chosen, struct model_side sides[2],
                       json_t *answer)
{
    struct error reason;
    json_t *logits = NULL;
    int status = sides[0].is_run && !*chosen
                     ? logits_of_run(studio, sides, &logits, &reason)
                     : logits_of_data(studio, chosen, sides, &logits, &reason);
    diff_add_logits(answer, status ? NULL : logits, status ? reason.message : NULL);
}

static int compare_models(const struct studio *studio, struct store *store, void *context,
                          json_t **out, struct error *error)
{
    const struct model_pair *pair = context;
    struct model_side *sides = calloc(2, sizeof *sides);
    int status = -1;
    if (!sides) return error_set_memory(error, "the comparison");
    for (int i = 0; i < 2; i++)
        if (open_side(studio, store, pair->names[i], &sides[i], error)) goto out;
    if (diff_models(sides[0].predictor.model, sides[1].predictor.model, out, error)) goto out;
    add_logits(studio, pair->dataset, sides, *out);
    status = 0;
out:
    for (int i = 0; i < 2; i++) predictor_close(&sides[i].predictor);
    free(sides);
    return status;
}

static void get_runs(struct studio *studio, struct call *call)
{
    struct model_pair *pair = pair_of(call);
    if (pair) call_compute(studio, call, compare_runs, pair);
}

static void get_models(struct studio *studio, struct call *call)
{
    struct model_pair *pair = pair_of(call);
    if (!pair) return;
    const char *dataset = call_text(call, "dataset");
    snprintf(pair->dataset, NAME_SIZE, "%s", dataset ? dataset : "");
    call_compute(studio, call, compare_models, pair);
}

static const struct parameter run_parameters[] = {
    {"a", PARAMETER_TEXT, 0, 63, 0, NULL, "a run"},
    {"b", PARAMETER_TEXT, 0, 63, 0, NULL, "another"},
    {0},
};
static const struct parameter model_parameters[] = {
    {"a", PARAMETER_TEXT, 0, NAME_SIZE - 1, 0, NULL, "a run, or a model that was kept"},
    {"b", PARAMETER_TEXT, 0, NAME_SIZE - 1, 0, NULL, "another"},
    {"dataset", PARAMETER_TEXT, 0, NAME_SIZE - 1, 0, NULL,
     "whose test samples both classify; left out: what A was trained on"},
    {0},
};

static const struct route routes[] = {
    {"GET", "/api/diff/runs", get_runs, "What differs between two trainings, where first, and why",
     run_parameters, NULL, "RunsDiff", 200, 0},
    {"GET", "/api/diff/models", get_models, "What differs between two models, of runs or kept",
     model_parameters, NULL, "ModelsDiff", 200, 0},
};
const struct route_group routes_diff = ROUTE_GROUP("diff", routes);
