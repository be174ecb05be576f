/* nnstudio trace: one training step with every tensor of it in a file, started by the step
 * microscope; with --follow one picture's way instead. */
#include "base/child.h"
#include "base/js.h"
#include "cli/cli.h"
#include "run/follow.h"
#include "run/trace.h"

static int run(int argc, char **argv)
{
    uint32_t batch = 0;
    bool follow = false;
    const struct cli_option options[] = {
        {"batch", OPTION_U32, &batch, "N", "number of the batch in the first epoch (0)"},
        {"follow", OPTION_FLAG, &follow, NULL, "follow the picture of REQUEST.safetensors"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_trace, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;

    child_end_with_parent(0); /* whoever asked for the trace waits for it */
    struct error error;
    if (follow)
        return follow_request(arguments.words[0], arguments.words[1], &error) ? cli_fail(&error)
                                                                              : EXIT_OK;
    struct job job;
    json_t *value;
    if (js_read_object(arguments.words[0], 1 << 20, &value, &error)) return cli_fail(&error);
    job_init(&job);
    int failed = job_from_json(value, &job, &error);
    json_decref(value);
    if (!failed && !trace_step(&job, batch, arguments.words[1], &error)) return EXIT_OK;
    status = cli_fail(&error);
    return error.code == ERROR_INPUT ? TRACE_EXIT_INPUT : status;
}

const struct command command_trace = {
    .name = "trace",
    .run = run,
    .usage = "JOB.json OUT.safetensors [--batch N] | REQUEST.safetensors OUT.safetensors --follow "
             "(for the "
             "studio itself)",
    .arguments_min = 2,
    .arguments_max = 2,
};
