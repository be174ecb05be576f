/* nnstudio job: what a cluster's launcher is given to train on several nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/job_words.h"

#define SCRIPT_LIMIT ((size_t)1 << 20)

int job_words_check(struct job_words *words, struct job *job, struct error *error)
{
    struct cluster_file *file = &words->file;
    for (size_t i = 0; i < settings_count; i++)
        file->texts[i] = words->settings.flags[i] ? "true" : words->settings.texts[i];
    return cluster_begin(file, NULL, job, error) || settings_apply(&words->settings, job, error) ||
                   cluster_check(file, job, error)
               ? -1
               : 0;
}

/* To the file or to standard output. */
static int deliver(const struct job_words *words, const struct buffer *text, struct error *error)
{
    struct buffer start;
    if (!words->out) return fwrite(text->data, 1, text->length, stdout) == text->length ? 0 : -1;
    if (file_write(words->out, text->data, text->length, error)) return -1;
    buffer_init(&start, SCRIPT_LIMIT);
    cluster_start(&words->file, words->out, &start);
    if (!buffer_check(&start, "a line", error)) log_line("%s: %s", words->out, start.data);
    buffer_free(&start);
    return 0;
}

static int write_script(const char *launcher, struct job_words *words, struct error *error)
{
    struct buffer text;
    struct job *job = malloc(sizeof *job);
    if (!job) return error_set_memory(error, "the job");
    buffer_init(&text, SCRIPT_LIMIT);
    int status = script_kind_need(launcher, &words->file.kind, error) ||
                         job_words_check(words, job, error) ||
                         cluster_write(&words->file, job, &text, error) ||
                         deliver(words, &text, error)
                     ? -1
                     : 0;
    free(job);
    buffer_free(&text);
    return status;
}

static int run(int argc, char **argv)
{
    if (job_verb(argc, argv)) return job_azure(argc, argv);
    struct job_words words = {.file.script = {.program = "nnstudio", .ranks = 1}};
    struct script *script = &words.file.script;
    struct cli_option options[OPTIONS_MAX] = {
        {"nodes", OPTION_U32, &script->nodes, "N", "number of machines"},
        {"ranks-per-node", OPTION_U32, &script->ranks, "N", "processes per machine (1)"},
        {"time", OPTION_TEXT, &script->time, "HH:MM:SS", "the time limit"},
        {"partition", OPTION_TEXT, &script->partition, "NAME", "slurm: the partition to run in"},
        {"image", OPTION_TEXT, &script->image, "IMAGE",
         "kubeflow, azureml: a container image with nnstudio and Open MPI"},
        {"compute", OPTION_TEXT, &script->compute, "NAME", "azureml: the compute cluster"},
        {"program", OPTION_TEXT, &script->program, "PATH",
         "where nnstudio is on the cluster's machines (nnstudio)"},
        {"engine", OPTION_TEXT, &words.file.engine, "E", "torch, tensorflow or native (native)"},
        {"resume", OPTION_TEXT, &words.file.resume, "RUN", "continue a run from its checkpoint"},
        {"model-out", OPTION_TEXT, &words.file.model_out, "DIR",
         "the folder for the model file on the cluster (models; azureml: outputs)"},
        {"out", OPTION_TEXT, &words.out, "FILE", "the file to write (standard output)"},
        {0},
    };
    settings_insert(options, 8, &words.settings);
    struct cli_arguments given;
    struct error error;
    int status = cli_parse(&command_job, options, argc, argv, &given);
    if (status != CLI_GO_ON) return status;
    if (!script->nodes) return cli_usage_error("on how many machines? Give --nodes");
    return write_script(given.words[0], &words, &error) ? cli_fail(&error) : EXIT_OK;
}

const struct command command_job = {
    .name = "job",
    .run = run,
    .summary = "write the file with which a cluster trains on several machines",
    .usage = "slurm|kubeflow|azureml|torchrun|tensorflow --nodes N --out FILE [settings]\n"
             "       nnstudio job submit azureml --nodes N --image I --compute C [settings]\n"
             "       nnstudio job list | follow JOB | cancel JOB",
    .arguments_min = 1,
    .arguments_max = 1,
    .details = "The script starts `nnstudio train` with MPI: all processes train one run together. "
               "torchrun and tensorflow get a Python program that needs no studio, for several "
               "processes. "
               "These are only written. submit sends the command job to Azure ML, follows it and "
               "brings the run and its model here; Ctrl-C leaves the job running: follow waits for "
               "it again, cancel ends it. What they take: nnstudio job submit --help.",
};
