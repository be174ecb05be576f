/* nnstudio job submit azureml, follow, cancel, list: the command job in Azure ML. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/text.h"
#include "cli/job_words.h"
#include "cli/registry_cli.h"

#define COMMAND_LIMIT ((size_t)12 << 10)

struct azure_words {
    struct job_words job;
    struct registry_options where;
    struct cli_arguments given;
    bool yes, json, another;
};

static int agree(void *context, const json_t *plan, struct error *error)
{
    const struct azure_words *words = context;
    char question[500];
    snprintf(question, sizeof question,
             "%s the job %s in %s, on %lld nodes of %s. Azure bills these machines while they "
             "run.",
             json_is_true(json_object_get(plan, "resumes")) ? "This goes on with" : "This sends",
             js_text(plan, "job"), js_text(plan, "workspace"),
             (long long)json_integer_value(json_object_get(plan, "nodes")),
             js_text(plan, "compute"));
    return registry_cli_confirm(words->yes, words->json, question, error);
}

static void show_state(void *context, const char *state, const char *link)
{
    const struct azure_words *words = context;
    if (words->json)
        cli_print_json(json_pack("{s:s, s:s, s:s?}", "event", "state", "state", state, "link",
                                 *link ? link : NULL));
    else
        fprintf(stderr, "    %s%s%s\n", text_shown(state), *link ? "  " : "", text_shown(link));
}

static void print_end(const struct azure_words *words, json_t *end)
{
    static const char *const keys[] = {"job", "state", "run", "model", "link"};
    if (words->json) {
        json_object_set_new(end, "event", json_string("end"));
        cli_print_json(json_incref(end));
        return;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (*js_text(end, keys[i])) printf("%-6s %s\n", keys[i], text_shown(js_text(end, keys[i])));
}

/* The command of all ranks, and what else is sent. The run and the model go into the job's output,
 * wherever that lies on the cluster's machines. */
static int make_command(struct azure_words *words, struct job *job, struct buffer *command,
                        struct registry_cluster_job *out, struct error *error)
{
    struct cluster_arguments arguments;
    struct cluster_file *file = &words->job.file;
    struct script *script = &file->script;
    if (script_kind_need("azureml", &file->kind, error) || job_words_check(&words->job, job, error))
        return -1;
    file->home = REGISTRY_JOB_FOLDER "/home";
    file->model_out = REGISTRY_JOB_FOLDER "/model";
    cluster_arguments(file, &arguments);
    script->arguments = arguments.words;
    script_train(script, command);
    out->name = job->name;
    out->command = command->data;
    out->image = script->image;
    out->compute = script->compute;
    out->nodes = script->nodes;
    out->ranks = script->ranks;
    if (script->time) script_time(script->time, &out->seconds);
    return buffer_check(command, "the job's command", error);
}

static int submit(struct azure_words *words, struct registry_cluster_job *how,
                  const struct registry_watch *watch, json_t **out, struct error *error)
{
    struct buffer command;
    if (strcmp(words->given.words[1], "azureml") != 0)
        return error_set(error, ERROR_USAGE,
                         "a job is sent to azureml only: for the others `nnstudio job %.40s` "
                         "writes the file that the cluster takes",
                         words->given.words[1]);
    if (!words->job.file.script.nodes)
        return error_set(error, ERROR_USAGE, "on how many machines? Give --nodes");
    struct job *job = malloc(sizeof *job);
    if (!job) return error_set_memory(error, "the job");
    buffer_init(&command, COMMAND_LIMIT);
    how->another = words->another;
    int status = make_command(words, job, &command, how, error) ||
                         registry_job_submit(&words->where, how, watch, out, error)
                     ? -1
                     : 0;
    buffer_free(&command);
    free(job);
    return status;
}

static int follow(struct azure_words *words, struct registry_cluster_job *how,
                  const struct registry_watch *watch, json_t **out, struct error *error)
{
    return registry_job_follow(&words->where, words->given.words[1], how, watch, out, error);
}

static int cancel(struct azure_words *words, struct registry_cluster_job *how,
                  const struct registry_watch *watch, json_t **out, struct error *error)
{
    (void)how, (void)watch, (void)out;
    const char *job = words->given.words[1];
    if (registry_job_cancel(&words->where, job, error)) return -1;
    if (words->json)
        cli_print_json(json_pack("{s:s}", "canceled", job));
    else
        printf("%s is asked to end: nnstudio job follow %s sees it\n", text_shown(job),
               text_shown(job));
    return 0;
}

static int list(struct azure_words *words, struct registry_cluster_job *how,
                const struct registry_watch *watch, json_t **out, struct error *error)
{
    json_t *rows, *row;
    size_t i;
    (void)how, (void)watch, (void)out;
    if (registry_job_list(&words->where, &rows, error)) return -1;
    json_array_foreach(rows, i, row) {
        if (words->json)
            cli_print_json(json_incref(row));
        else
            printf("%-32s %-12s %lld × %s  %s\n", text_shown(js_text(row, "job")),
                   text_shown(js_text(row, "state")),
                   (long long)json_integer_value(json_object_get(row, "nodes")),
                   text_shown(js_text(row, "compute")), text_shown(js_text(row, "run")));
    }
    if (!words->json && !json_array_size(rows)) fputs("no job was sent from here\n", stderr);
    json_decref(rows);
    return 0;
}

/* words: how many, with the verb */
static const struct verb {
    const char *id, *usage;
    int words;
    int (*run)(struct azure_words *words, struct registry_cluster_job *how,
               const struct registry_watch *watch, json_t **out, struct error *error);
} verbs[] = {
    {"submit", "azureml --nodes N --image I --compute C", 2, submit},
    {"follow", "JOB", 2, follow},
    {"cancel", "JOB", 2, cancel},
    {"list", "", 1, list},
};

static const struct verb *find_verb(const char *word)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(word, verbs[i].id) == 0) return &verbs[i];
    return NULL;
}

bool job_verb(int argc, char **argv)
{
    return argc > 1 && find_verb(argv[1]);
}

static int run_verb(struct azure_words *words, struct error *error)
{
    const struct verb *verb = find_verb(words->given.words[0]);
    struct registry_showing showing;
    json_t *end = NULL;
    if (!verb || words->given.count != verb->words)
        return error_set(error, ERROR_USAGE, "write `nnstudio job %s%s%s`",
                         verb ? verb->id : "list", verb && *verb->usage ? " " : "",
                         verb ? verb->usage : "");
    struct registry_watch watch = registry_cli_watch(&showing, words->json);
    struct registry_cluster_job how = {.context = words, .agree = agree, .on_state = show_state};
    int status = verb->run(words, &how, &watch, &end, error);
    registry_cli_watched(&showing);
    if (end) print_end(words, end);
    json_decref(end);
    return status;
}

static const struct command command_azure = {
    .name = "job",
    .summary = "send a training to a compute cluster of Azure ML, and bring the run here",
    .usage = "submit azureml --nodes N --image I --compute C [settings]\n"
             "       nnstudio job follow JOB | cancel JOB | list",
    .arguments_min = 1,
    .arguments_max = 2,
    .details = "submit sends a command job that starts `nnstudio train` with MPI on the cluster's "
               "machines, follows it to its end, and puts its run, with the curve and the model, "
               "into the list of runs. Paths are those of the container. The same command goes on "
               "with a job that it sent before and did not see the end of; --another sends one "
               "more. Ctrl-C leaves the job running.",
};

int job_azure(int argc, char **argv)
{
    struct azure_words words = {.job.file.script = {.program = "nnstudio", .ranks = 1}};
    struct script *script = &words.job.file.script;
    struct registry_cli place = {0};
    struct cli_option own[OPTIONS_MAX] = {
        {"nodes", OPTION_U32, &script->nodes, "N", "submit: number of machines"},
        {"ranks-per-node", OPTION_U32, &script->ranks, "N", "submit: processes per machine (1)"},
        {"image", OPTION_TEXT, &script->image, "IMAGE",
         "submit: a container image with nnstudio, Open MPI and the data"},
        {"compute", OPTION_TEXT, &script->compute, "NAME", "submit: the compute cluster"},
        {"time", OPTION_TEXT, &script->time, "HH:MM:SS", "submit: the time limit"},
        {"program", OPTION_TEXT, &script->program, "PATH",
         "submit: where nnstudio is in the image (nnstudio)"},
        {"engine", OPTION_TEXT, &words.job.file.engine, "E",
         "torch, tensorflow or native (native)"},
        {"another", OPTION_FLAG, &words.another, NULL,
         "submit: send it even if the same is under way"},
        {"yes", OPTION_FLAG, &words.yes, NULL, "do not ask whether the cost is accepted"},
        {"json", OPTION_FLAG, &words.json, NULL, "one JSON object per line"},
        {0},
    };
    settings_insert(own, 7, &words.job.settings);
    int status = cli_parse(&command_azure, registry_cli_options(&place, "azure", own), argc, argv,
                           &words.given);
    if (status != CLI_GO_ON) return status;

    struct error error;
    const struct registry_target *azure;
    char *home = NULL;
    int failed = registry_target_need("azure", &azure, &error) ||
                 registry_cli_use(&place, azure, NULL, words.json, &words.where, &home, &error) ||
                 run_verb(&words, &error);
    status = failed ? cli_fail(&error) : EXIT_OK;
    free(home);
    return status;
}
