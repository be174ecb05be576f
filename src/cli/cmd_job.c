/* nnstudio job: what a cluster's launcher is given to train on several nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "cli/job_words.h"
#include "code/code.h"
#include "engine/engine.h"

#define SCRIPT_LIMIT ((size_t)1 << 20)
/* As the user gave them: paths are the cluster's, where another folder may be the current one. */
void job_words_arguments(const struct job_words *words, struct job_arguments *out)
{
    size_t count = 0;
    const struct {
        const char *option, *value;
    } own[] = {{"--engine", words->engine},
               {"--resume", words->resume},
               {"--home", words->home},
               {"--out", words->model_out}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (!own[i].value) continue;
        out->words[count++] = own[i].option;
        out->words[count++] = own[i].value;
    }
    for (size_t i = 0; i < settings_count; i++) {
        if (!words->settings.texts[i]) continue;
        snprintf(out->names[i], sizeof out->names[i], "--%s", settings_table[i].option);
        out->words[count++] = out->names[i];
        out->words[count++] = words->settings.texts[i];
    }
    out->words[count] = NULL;
}

/* What `train` would refuse is refused here, as far as it can be known on another machine. */
int job_words_check(struct job_words *words, struct job *job, struct error *error)
{
    const struct engine_ops *ops;
    job_init(job);
    if (words->engine && strchr(words->engine, ','))
        return error_set(error, ERROR_USAGE,
                         "several ranks train one engine: name one with --engine");
    if (words->engine) {
        if (engine_need(words->engine, &ops, error)) return -1;
        snprintf(job->engine, sizeof job->engine, "%s", ops->id);
    }
    if (words->resume && !path_is_plain_name(words->resume))
        return error_set(error, ERROR_USAGE,
                         "\"%.60s\" is not the id of a run: see `nnstudio runs list`",
                         words->resume);
    if (settings_apply(&words->settings, job, error) || job_check(job, error)) return -1;
    words->script.name = job->name;
    words->script.threads = job->threads;
    return 0;
}

/* A program reads its data from files, so it is MNIST unless another set is named. */
static int write_program(const struct script_kind *kind, struct job_words *words, struct job *job,
                         struct buffer *out, struct error *error)
{
    const struct code_voice *voice;
    struct code_subject subject;
    char *home;
    if (words->engine && strcmp(words->engine, kind->framework) != 0)
        return error_set(error, ERROR_USAGE, "%s trains with %s: leave out --engine %.40s",
                         kind->id, kind->framework, words->engine);
    if (strcmp(kind->framework, "tensorflow") == 0 && words->script.ranks > 1)
        return error_set(error, ERROR_USAGE,
                         "%s starts one worker on each machine: leave out --ranks-per-node",
                         kind->id);
    if (words->resume || words->model_out)
        return error_set(error, ERROR_USAGE,
                         "%s gets a Python program, which starts anew and saves the model beside "
                         "itself: leave out --resume and --model-out",
                         kind->id);
    if (!settings_given(&words->settings, "dataset"))
        snprintf(job->dataset, sizeof job->dataset, "mnist");
    if (path_home(NULL, &home, error)) return -1;
    int status = settings_copy_text(job->home, sizeof job->home, home, "home folder's path", error);
    free(home);
    if (status || code_voice_need(kind->framework, "python", &voice, error)) return -1;
    snprintf(job->engine, sizeof job->engine, "%s", voice->engine->id);
    return code_subject_of(job, &subject, error) ? -1 : code_parallel(voice, &subject, out, error);
}

/* How it is started, in one line. */
static void tell(const struct script_kind *kind, const struct job_words *words)
{
    const struct script *script = &words->script;
    if (kind->write)
        log_line("%s: %s; hand it in with: %s %s", words->out, kind->summary, kind->submit,
                 words->out);
    else if (strcmp(kind->submit, "torchrun") == 0)
        log_line("%s: %s; on every machine: torchrun --nnodes=%u --nproc-per-node=%u "
                 "--rdzv-backend=c10d --rdzv-endpoint=HOST:29500 %s --data-dir DIR",
                 words->out, kind->summary, script->nodes, script->ranks, words->out);
    else
        log_line("%s: %s; on %u machines, each with its TF_CONFIG: python %s --data-dir DIR",
                 words->out, kind->summary, script->nodes, words->out);
}

static int write_script(const char *launcher, struct job_words *words, struct error *error)
{
    const struct script_kind *kind;
    struct job_arguments arguments;
    struct buffer text;
    struct job *job = malloc(sizeof *job);
    int status = -1;
    buffer_init(&text, SCRIPT_LIMIT);
    if (!job) {
        error_set_memory(error, "the job");
        goto out;
    }
    if (script_kind_need(launcher, &kind, error) || job_words_check(words, job, error) ||
        script_check(kind, &words->script, error))
        goto out;
    if (!words->model_out && kind->write) words->model_out = kind->out;
    job_words_arguments(words, &arguments);
    words->script.arguments = arguments.words;
    if (kind->write)
        kind->write(&words->script, &text);
    else if (write_program(kind, words, job, &text, error))
        goto out;
    if (buffer_check(&text, "the script", error)) goto out;
    status = words->out ? file_write(words->out, text.data, text.length, error)
             : fwrite(text.data, 1, text.length, stdout) == text.length ? 0
                                                                        : -1;
    if (!status && words->out) tell(kind, words);
out:
    free(job);
    buffer_free(&text);
    return status;
}

static int run(int argc, char **argv)
{
    if (job_verb(argc, argv)) return job_azure(argc, argv);
    struct job_words words = {.script = {.program = "nnstudio", .nodes = 0, .ranks = 1}};
    struct script *script = &words.script;
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
        {"engine", OPTION_TEXT, &words.engine, "E", "torch, tensorflow or native (native)"},
        {"resume", OPTION_TEXT, &words.resume, "RUN", "continue a run from its checkpoint"},
        {"model-out", OPTION_TEXT, &words.model_out, "DIR",
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
