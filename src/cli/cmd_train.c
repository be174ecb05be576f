/* nnstudio train: one or more engines on the same job. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "cli/cli.h"
#include "cli/race.h"
#include "cli/settings.h"
#include "run/checkpoint.h"
#include "run/rank.h"
#include "store/store.h"

/* The command line's words before they are a job. */
struct train_words {
    struct settings_words settings;
    const char *engine, *out, *resume, *home, *track, *tracking[REGISTRY_KEYS];
    bool parallel, json, accept_changed_data, insecure_http;
};

/* The job of the run that is to go on. */
static int read_run(const char *run, const char *home, struct job *job, uint32_t *epochs_done,
                    struct error *error)
{
    if (!path_is_plain_name(run))
        return error_set(error, ERROR_USAGE,
                         "\"%.60s\" is not the id of a run: see `nnstudio runs list`", run);
    char path[JOB_PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/runs/%s/checkpoint.safetensors", home, run) >=
        sizeof path)
        return error_set(error, ERROR_INPUT, "the path of the home folder is too long");
    if (!file_exists(path))
        return error_set(error, ERROR_NOT_FOUND,
                         "no run %s with a checkpoint is in %s: see `nnstudio runs list`", run,
                         home);
    struct checkpoint checkpoint;
    if (checkpoint_read(path, &checkpoint, error)) return -1;
    *job = checkpoint.job;
    *epochs_done = checkpoint.position.epoch;
    checkpoint_clear(&checkpoint);
    snprintf(job->resume, sizeof job->resume, "%s", path);
    return 0;
}

/* Whether a run has delivered: it is finished in the list of runs, and its file is where it
 * said. */
static bool has_delivered(const struct job *job, const char *run, const char *home)
{
    struct error ignored;
    struct store *store = NULL;
    struct run_record *record = malloc(sizeof *record);
    const struct engine_ops *ops = engine_find(job->engine);
    char *path = NULL;
    bool delivered = record && ops && !store_open(home, &store, &ignored) &&
                     !store_run_get(store, run, record, &ignored) &&
                     record->state == RUN_FINISHED &&
                     asprintf(&path, "%s/%s.%s", job->out_dir, job->name, ops->model_format) > 0 &&
                     file_exists(path);
    free(path);
    free(record);
    store_close(store);
    return delivered;
}

static int make_job(const struct train_words *words, const char *home, struct job *job,
                    struct error *error)
{
    uint32_t epochs_done = 0;
    job_init(job);
    if (words->resume && read_run(words->resume, home, job, &epochs_done, error)) return -1;
    struct job begun = *job;
    if (settings_apply(&words->settings, job, error)) return -1;
    if (words->out &&
        settings_copy_text(job->out_dir, sizeof job->out_dir, words->out, "output folder", error))
        return -1;
    if (!words->resume)
        return words->accept_changed_data
                   ? error_set(error, ERROR_USAGE,
                               "--accept-changed-data is for a run that goes on: give --resume RUN")
                   : 0;
    if (words->accept_changed_data) snprintf(job->changed_data, sizeof job->changed_data, "accept");
    if (settings_same_run(job, &begun, error)) return -1;
    if (job->epochs > epochs_done) return 0;
    /* With nothing left to train, a run that was cut off at its end still writes its model. */
    bool own_engine = !words->engine || strcmp(words->engine, job->engine) == 0;
    if (job->epochs == epochs_done && own_engine && !has_delivered(job, words->resume, home))
        return 0;
    return error_set(error, ERROR_USAGE,
                     "the run %s has done its %u epochs: give a larger --epochs", words->resume,
                     epochs_done);
}

/* A lane for each engine of "torch,native". A run that goes on with its own engine stays the same
 * run; with another engine it is a new one that starts from the checkpoint. */
static int make_lanes(struct race *race, const struct job *job, const char *engines,
                      const char *home, struct error *error)
{
    const char *place = engines;
    while (place) {
        char id[32], ids[ENGINE_IDS_SIZE];
        size_t length = strcspn(place, ",");
        if (!length || length >= sizeof id)
            return error_set(error, ERROR_USAGE,
                             "--engine \"%.60s\" is not valid: give %s, or several with commas",
                             engines, engine_ids(false, ids));
        memcpy(id, place, length);
        id[length] = '\0';
        place = place[length] ? place + length + 1 : NULL;
        struct lane *lane = &race->lanes[race->count];
        if (engine_need(id, &lane->ops, error)) return -1;
        for (size_t i = 0; i < race->count; i++)
            if (race->lanes[i].ops == lane->ops)
                return error_set(error, ERROR_USAGE, "the engine %s is named twice", id);
        bool goes_on = job->resume[0] && strcmp(job->engine, id) == 0;
        lane->job = *job;
        lane->kept = goes_on;
        /* At once, the engines share the cores. */
        if (race->parallel && !job->threads) lane->job.threads = 1;
        snprintf(lane->job.engine, sizeof lane->job.engine, "%s", id);
        if (!goes_on) job_make_id(id, lane->job.run);
        if (job_set_home(&lane->job, home, error)) return -1;
        race->count++;
    }
    return 0;
}

/* The tracking server, from the options that lead there. */
static int use_tracking(const struct train_words *words, struct registry_options *out,
                        struct error *error)
{
    *out = (struct registry_options){.home = words->home};
    memcpy(out->values, words->tracking, sizeof out->values);
    if (words->insecure_http) out->values[REGISTRY_INSECURE_HTTP] = "1";
    bool azure = words->track && strcmp(words->track, "azureml") == 0;
    if (words->track && !azure && strcmp(words->track, "mlflow") != 0)
        return error_set(error, ERROR_USAGE, "unknown tracking \"%.40s\": use mlflow or azureml",
                         words->track);
    if (azure && out->values[REGISTRY_TRACKING_URI])
        return error_set(
            error, ERROR_USAGE,
            "--track azureml is the workspace of config.json: give --tracking-uri with "
            "--track mlflow");
    if (azure) out->values[REGISTRY_TRACKING_URI] = "azureml";
    for (unsigned key = 0; key < REGISTRY_KEYS && !words->track; key++)
        if (out->values[key])
            return error_set(error, ERROR_USAGE, "--%s is for tracking: give --track mlflow, too",
                             registry_option_table[key].flag);
    return !words->track ? 0
           : registry_options_check(out, "mlflow", false, error) || registry_track_check(out, error)
               ? -1
               : 0;
}

/* All that can be known before a worker is started. Returns the exit status or CLI_GO_ON. */
static int prepare(struct race *race, const struct train_words *words)
{
    struct error error;
    struct job job;
    char *home = NULL, *absolute = NULL;
    int status = CLI_GO_ON;
    if (path_home(words->home, &home, &error)) return cli_fail(&error);
    absolute = path_absolute(home);
    if (!absolute) {
        error_set_memory(&error, "a path");
        status = cli_fail(&error);
        goto out;
    }
    if (make_job(words, absolute, &job, &error) ||
        make_lanes(race, &job, words->engine ? words->engine : job.engine, absolute, &error) ||
        job_check(&race->lanes[0].job, &error)) {
        if (error.code == ERROR_INPUT) error.code = ERROR_USAGE;
        status = cli_fail(&error);
        goto out;
    }
    if (file_check_writable(race->lanes[0].job.out_dir, &error) ||
        file_check_writable(absolute, &error))
        status = cli_fail(&error);
out:
    free(home);
    free(absolute);
    return status;
}

/* Rank 0 of several trains with the others, one engine. */
static int set_ranks(struct race *race, const struct launch *launch, struct error *error)
{
    if (launch->size > 1 && race->count > 1)
        return error_set(error, ERROR_USAGE,
                         "%u ranks train one engine at a time: name one with --engine, or leave "
                         "out %s to compare several",
                         launch->size, launch->launcher);
    for (size_t i = 0; i < race->count; i++)
        race->lanes[i].job.ranks = launch->size > 1 ? launch->size : 0;
    return 0;
}

static int run(int argc, char **argv)
{
    struct launch launch;
    struct error error;
    if (launch_read(&launch, &error)) return cli_fail(&error);
    if (launch.rank > 0) return rank_follow_main();
    struct train_words words = {0};
    char engines[ENGINE_IDS_SIZE + 40];
    snprintf(engines, sizeof engines, "%s; several are compared", cli_engine_choice());
    struct cli_option options[OPTIONS_MAX] = {
        {"engine", OPTION_TEXT, &words.engine, "E[,E...]", engines},
        {"parallel", OPTION_FLAG, &words.parallel, NULL,
         "train all engines at once; they share the machine, so speeds compare less well"},
        {"out", OPTION_TEXT, &words.out, "DIR", "the folder for the model files (models)"},
        {"resume", OPTION_TEXT, &words.resume, "RUN",
         "continue a run from its checkpoint, on any engine"},
        {"accept-changed-data", OPTION_FLAG, &words.accept_changed_data, NULL,
         "with --resume: continue although the data set has changed"},
        {"home", OPTION_TEXT, &words.home, "DIR", "where runs are kept"},
        {"json", OPTION_FLAG, &words.json, NULL,
         "events on standard output, one JSON object per line"},
        {"track", OPTION_TEXT, &words.track, "SERVER",
         "mlflow or azureml (config.json's workspace): send settings, each step's loss, each epoch "
         "and the model there, live"},
        {"tracking-uri", OPTION_TEXT, &words.tracking[REGISTRY_TRACKING_URI], "URI",
         "the tracking server's address ($MLFLOW_TRACKING_URI)"},
        {"experiment", OPTION_TEXT, &words.tracking[REGISTRY_EXPERIMENT], "NAME",
         "the experiment on the tracking server (nnstudio)"},
        {"insecure-http", OPTION_FLAG, &words.insecure_http, NULL,
         "the tracking server may be another machine's, without TLS"},
        {"ca-file", OPTION_TEXT, &words.tracking[REGISTRY_CA_FILE], "FILE",
         "additional certificates to trust, for the tracking server (PEM)"},
        {0},
    };
    settings_insert(options, 1, &words.settings);
    struct cli_arguments given;
    int status = cli_parse(&command_train, options, argc, argv, &given);
    if (status != CLI_GO_ON) return status;
    struct race *race = calloc(1, sizeof *race);
    if (!race) {
        error_set_memory(&error, "the training");
        return cli_fail(&error);
    }
    race->parallel = words.parallel;
    race->json = words.json;
    struct registry_options tracking;
    if (use_tracking(&words, &tracking, &error)) {
        free(race);
        return cli_fail(&error);
    }
    if (words.track) race->track = &tracking;
    status = prepare(race, &words);
    if (status == CLI_GO_ON && set_ranks(race, &launch, &error)) status = cli_fail(&error);
    if (status == CLI_GO_ON) status = race_run(race);
    free(race);
    return status;
}

const struct command command_train = {
    .name = "train",
    .run = run,
    .summary = "train with one or several engines and compare them",
    .usage = "--engine torch,tensorflow,native [--dataset mnist] [options]",
    .details = "All engines get the same initial weights and the same batches, so their curves "
               "coincide. Each writes its own kind of file: torch NAME.pth, tensorflow NAME.h5, "
               "native NAME.safetensors. Ctrl-C keeps a checkpoint.\nStarted by mpirun or srun, "
               "the processes train one run together.",
};
