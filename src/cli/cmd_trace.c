/* nnstudio trace: one training step with every tensor of it in a file, started by the step
 * microscope; with --follow one picture's way instead, with --step and --marks a run trained
 * again. */
#include "base/child.h"
#include "base/js.h"
#include "cli/cli.h"
#include "run/follow.h"
#include "run/replay.h"
#include "run/trace.h"

/* What is asked of a job's training. */
struct trace_words {
    uint32_t batch, marks;
    uint64_t step;
    bool replay, follow;
};

static int trace_job(const struct job *job, const struct trace_words *words, const char *path,
                     struct error *error)
{
    if (words->marks) return replay_marks(job, words->marks, path, error);
    if (words->replay) return replay_step(job, words->step, path, error);
    return trace_step(job, words->batch, path, error);
}

static int fail(const struct error *error)
{
    int status = cli_fail(error);
    return error->code == ERROR_INPUT ? TRACE_EXIT_INPUT : status;
}

static int run(int argc, char **argv)
{
    struct trace_words words = {0};
    const struct cli_option options[] = {
        {"batch", OPTION_U32, &words.batch, "N", "number of the batch in the first epoch (0)"},
        {"step", OPTION_U64, &words.step, "N", "a step of the whole training, from 0"},
        {"marks", OPTION_U32, &words.marks, "N", "marks of the first N steps instead"},
        {"follow", OPTION_FLAG, &words.follow, NULL, "follow the picture of REQUEST.safetensors"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_trace, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;

    child_end_with_parent(0); /* whoever asked for the trace waits for it */
    struct error error;
    words.replay = cli_given(&arguments, options, "step");
    if (words.follow)
        return follow_request(arguments.words[0], arguments.words[1], &error) ? fail(&error)
                                                                              : EXIT_OK;
    struct job job;
    json_t *value;
    if (js_read_object(arguments.words[0], 1 << 20, &value, &error)) return cli_fail(&error);
    job_init(&job);
    int failed = job_from_json(value, &job, &error);
    json_decref(value);
    if (!failed && !trace_job(&job, &words, arguments.words[1], &error)) return EXIT_OK;
    return fail(&error);
}

const struct command command_trace = {
    .name = "trace",
    .run = run,
    .usage = "JOB.json OUT.safetensors [--batch N | --step N | --marks N] | REQUEST.safetensors "
             "OUT.safetensors --follow (for the studio itself)",
    .arguments_min = 2,
    .arguments_max = 2,
};
