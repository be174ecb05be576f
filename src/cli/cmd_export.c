/* nnstudio export: a model as another system's own files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"
#include "cli/cli.h"
#include "code/code.h"
#include "registry/registry.h"

struct export_words {
    const char *out, *framework, *home;
    bool no_job;
    struct registry_export export;
};

/* The settings of the run that made the file, for the job that trains it again. */
static int find_job(struct export_words *words, struct run_record *record, json_t **run,
                    struct error *error)
{
    const char *id = json_string_value(json_object_get(words->export.tags, "run"));
    struct store *store = NULL;
    char *home = NULL;
    if (words->no_job) return 0;
    if (!id)
        return error_set(error, ERROR_INPUT,
                         "the file does not say which run trained it, so no training job can be "
                         "written: leave it out with --no-job");
    if (!words->export.data)
        return error_set(error, ERROR_USAGE,
                         "where does the training job find its data? Give --data a folder or an "
                         "azureml: address, or leave the job out with --no-job");
    int status = path_home(words->home, &home, error) || store_open(home, &store, error) ? -1 : 0;
    if (!status &&
        (store_run_get(store, id, record, error) || store_run_json(store, id, false, run, error)))
        status = error_set(error, ERROR_NOT_FOUND,
                           "the run %.60s, which trained the file, is not in %.160s: give its "
                           "--home, or leave the job out with --no-job",
                           id, home);
    store_close(store);
    free(home);
    if (status) return -1;
    struct job *job = &record->job;
    const struct code_voice *voice;
    struct error lacks;
    if (words->framework) snprintf(job->engine, sizeof job->engine, "%s", words->framework);
    if (code_voice_need(job->engine, "python", &voice, &lacks))
        return error_set(error, ERROR_USAGE,
                         "the engine \"%.30s\" has no Python program for the training job: give "
                         "--framework torch or tensorflow, or leave the job out with --no-job",
                         job->engine);
    words->export.job = job;
    words->export.engine_version = json_string_value(json_object_get(*run, "engine_version"));
    return 0;
}

/* A folder of this machine is named from the root: Azure's command line would look beside the file
 * of the job. */
static int find_data(struct export_words *words, char **place, struct error *error)
{
    const char *data = words->export.data;
    if (!data || strstr(data, "://") || strncmp(data, "azureml:", 8) == 0) return 0;
    if (!file_is_directory(data))
        return error_set(error, ERROR_USAGE,
                         "--data %.200s is not a folder: give one, or an azureml: address", data);
    words->export.data = *place = path_absolute(data);
    return *place ? 0 : error_set_memory(error, "a path");
}

static int write_azureml(const char *path, struct export_words *words, struct error *error)
{
    struct run_record *record = calloc(1, sizeof *record);
    json_t *tags = NULL, *run = NULL;
    char *place = NULL;
    int status = !record ? error_set_memory(error, "a run")
                         : registry_describe_model(path, &tags, error);
    words->export.model_path = path;
    words->export.tags = tags;
    if (!status && !words->out)
        status = error_set(error, ERROR_USAGE, "where to? Give --out a new folder");
    if (!status)
        status = find_data(words, &place, error) || find_job(words, record, &run, error) ||
                         registry_export_azureml(&words->export, words->out, error)
                     ? -1
                     : 0;
    json_decref(tags);
    json_decref(run);
    free(record);
    free(place);
    return status;
}

static const struct {
    const char *id;
    int (*write)(const char *path, struct export_words *words, struct error *error);
} kinds[] = {{"azureml", write_azureml}};

static int run(int argc, char **argv)
{
    struct export_words words = {.export = {.instance_type = "Standard_DS3_v2", .instances = 1}};
    struct registry_export *export = &words.export;
    const struct cli_option options[] = {
        {"out", OPTION_TEXT, &words.out, "DIR", "a new folder for the files"},
        {"name", OPTION_TEXT, &export->name, "N",
         "the model's name (pytorch_mnist, tensorflow_mnist, …, from the file)"},
        {"description", OPTION_TEXT, &export->description, "D", "the model's description"},
        {"endpoint", OPTION_TEXT, &export->endpoint, "N",
         "the endpoint's name (from the model's name and hash)"},
        {"instance-type", OPTION_TEXT, &export->instance_type, "SIZE",
         "the type of machine (" REGISTRY_INSTANCE_TYPE ")"},
        {"instances", OPTION_U32, &export->instances, "N",
         "number of machines of the deployment (1)"},
        {"data", OPTION_TEXT, &export->data, "PLACE",
         "the job's data: a folder or an azureml: address with the data set's folder in it"},
        {"compute", OPTION_TEXT, &export->compute, "N", "the job's compute cluster (serverless)"},
        {"framework", OPTION_TEXT, &words.framework, "NAME",
         "the job's: torch or tensorflow (the run's engine)"},
        {"no-job", OPTION_FLAG, &words.no_job, NULL, "write no training job"},
        {"home", OPTION_TEXT, &words.home, "DIR",
         "the studio's home, with the run that trained the model"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    int status = cli_parse(&command_export, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(arguments.words[0], kinds[i].id) == 0)
            return kinds[i].write(arguments.words[1], &words, &error) ? cli_fail(&error) : EXIT_OK;
    return cli_usage_error("unknown form \"%.40s\": use azureml", arguments.words[0]);
}

const struct command command_export = {
    .name = "export",
    .run = run,
    .summary =
        "write a model as the files with which Azure ML's command line deploys and trains it",
    .usage = "azureml MODEL --out DIR --data PLACE [options]",
    .details = "Writes YAML for the model, its environment, an endpoint, a deployment and the "
               "training job, with the scoring script and the training program; each file begins "
               "with the `az ml` command that takes it. Nothing is sent.",
    .arguments_min = 2,
    .arguments_max = 2,
};
