/* nnstudio worker: the process that trains, started by the studio itself (run/supervisor.c). */
#include "cli/cli.h"
#include "run/worker.h"

static int run(int argc, char **argv)
{
    struct cli_arguments arguments;
    const struct cli_option options[] = {{0}};
    int status = cli_parse(&command_worker, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    worker_main();
}

const struct command command_worker = {
    .name = "worker",
    .run = run,
    .usage =
        "< JOB (for the studio itself: one JSON job on standard input, events on standard output)",
};
