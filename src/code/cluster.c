#include "code/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "code/code.h"
#include "engine/engine.h"

void cluster_arguments(const struct cluster_file *file, struct cluster_arguments *out)
{
    size_t count = 0;
    const struct {
        const char *option, *value;
    } own[] = {{"--engine", file->engine},
               {"--resume", file->resume},
               {"--home", file->home},
               {"--out", file->model_out}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (!own[i].value) continue;
        out->words[count++] = own[i].option;
        out->words[count++] = own[i].value;
    }
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings_table[i];
        bool flag = setting->kind == SETTING_FLAG;
        if (!file->texts[i] || !setting->option || (flag && strcmp(file->texts[i], "true") != 0))
            continue;
        snprintf(out->names[i], sizeof out->names[i], "--%s", setting->option);
        out->words[count++] = out->names[i];
        if (!flag) out->words[count++] = file->texts[i];
    }
    out->words[count] = NULL;
}

static int take_home(const char *home, struct job *job, struct error *error)
{
    if ((size_t)snprintf(job->home, sizeof job->home, "%s", home) < sizeof job->home) return 0;
    return error_set(error, ERROR_INPUT, "the path of the home folder is too long");
}

int cluster_begin(const struct cluster_file *file, const char *home, struct job *job,
                  struct error *error)
{
    const struct engine_ops *ops;
    job_init(job);
    if (home && take_home(home, job, error)) return -1;
    if (file->engine && strchr(file->engine, ','))
        return error_set(error, ERROR_USAGE,
                         "several ranks train one engine: name one with --engine");
    if (file->resume && !path_is_plain_name(file->resume))
        return error_set(error, ERROR_USAGE,
                         "\"%.60s\" is not the id of a run: see `nnstudio runs list`",
                         file->resume);
    if (!file->engine) return 0;
    if (engine_need(file->engine, &ops, error)) return -1;
    snprintf(job->engine, sizeof job->engine, "%s", ops->id);
    return 0;
}

int cluster_check(struct cluster_file *file, const struct job *job, struct error *error)
{
    file->script.name = job->name;
    file->script.threads = job->threads;
    return job_check(job, error) || script_check(file->kind, &file->script, error) ? -1 : 0;
}

/* A program reads its data from files, so it is MNIST unless another set is named. */
static int write_program(struct cluster_file *file, struct job *job, struct buffer *out,
                         struct error *error)
{
    const struct script_kind *kind = file->kind;
    const struct code_voice *voice;
    struct code_subject subject;
    char *home;
    if (file->engine && strcmp(file->engine, kind->framework) != 0)
        return error_set(error, ERROR_USAGE, "%s trains with %s: leave out --engine %.40s",
                         kind->id, kind->framework, file->engine);
    if (strcmp(kind->framework, "tensorflow") == 0 && file->script.ranks > 1)
        return error_set(error, ERROR_USAGE,
                         "%s starts one worker on each machine: leave out --ranks-per-node",
                         kind->id);
    if (file->resume || file->model_out)
        return error_set(error, ERROR_USAGE,
                         "%s gets a Python program, which starts anew and saves the model beside "
                         "itself: leave out --resume and --model-out",
                         kind->id);
    if (!file->texts[setting_find("dataset") - settings_table])
        snprintf(job->dataset, sizeof job->dataset, "mnist");
    if (!job->home[0]) {
        if (path_home(NULL, &home, error)) return -1;
        int status = take_home(home, job, error);
        free(home);
        if (status) return -1;
    }
    if (code_voice_need(kind->framework, "python", &voice, error)) return -1;
    snprintf(job->engine, sizeof job->engine, "%s", voice->engine->id);
    return code_subject_of(job, &subject, error) ? -1 : code_parallel(voice, &subject, out, error);
}

int cluster_write(struct cluster_file *file, struct job *job, struct buffer *out,
                  struct error *error)
{
    struct cluster_arguments arguments;
    if (!file->kind->write) return write_program(file, job, out, error);
    if (!file->model_out) file->model_out = file->kind->out;
    cluster_arguments(file, &arguments);
    file->script.arguments = arguments.words;
    file->kind->write(&file->script, out);
    file->script.arguments = NULL;
    return buffer_check(out, "the script", error);
}

void cluster_start(const struct cluster_file *file, const char *name, struct buffer *out)
{
    const struct script *script = &file->script;
    if (file->kind->write)
        buffer_printf(out, "%s; hand it in with: %s %s", file->kind->summary, file->kind->submit,
                      name);
    else if (strcmp(file->kind->submit, "torchrun") == 0)
        buffer_printf(out,
                      "%s; on every machine: torchrun --nnodes=%u --nproc-per-node=%u "
                      "--rdzv-backend=c10d --rdzv-endpoint=HOST:29500 %s --data-dir DIR",
                      file->kind->summary, script->nodes, script->ranks, name);
    else
        buffer_printf(out, "%s; on %u machines, each with its TF_CONFIG: python %s --data-dir DIR",
                      file->kind->summary, script->nodes, name);
}
