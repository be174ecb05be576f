/* nnstudio engines: which there are, and fetching the frameworks. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "run/install.h"

/* A bar that is drawn over itself in a terminal. */
static bool bar_stands;

static void end_bar(void)
{
    if (bar_stands) fputc('\n', stderr);
    bar_stands = false;
}

static void print_line(void *context, const char *line)
{
    (void)context;
    end_bar();
    log_line("  %s", line);
}

static void draw_bar(void *context, uint64_t done, uint64_t total)
{
    static const char full[] = "##############################",
                      none[] = "..............................";
    (void)context;
    if (!total || done > total) return;
    int width = (int)(sizeof full - 1), filled = (int)(done * (uint64_t)width / total);
    fprintf(stderr, "\r  [%.*s%.*s] %.1f of %.1f MB ", filled, full, width - filled, none,
            (double)done / 1e6, (double)total / 1e6);
    fflush(stderr);
    bar_stands = true;
}

static bool ask(void *context, const char *question)
{
    char answer[16];
    (void)context;
    fprintf(stderr, "  %s [y/N] ", question);
    fflush(stderr);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Hears the installation out; a Ctrl-C ends it. */
static int hear_out(struct install *install, struct error *error)
{
    sigset_t wanted, before;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    /* A shell starts what runs behind it with SIGINT ignored: a Ctrl-C is for this, too. */
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_BLOCK, &wanted, &before);
    int signals = signalfd(-1, &wanted, SFD_CLOEXEC), status = 1;
    while (status == 1) {
        struct pollfd sources[] = {{.fd = install_fd(install), .events = POLLIN},
                                   {.fd = signals, .events = POLLIN}};
        if (poll(sources, 2, -1) < 0) continue;
        if (sources[1].revents)
            status = error_set(error, ERROR_INTERRUPTED,
                               "the installation was interrupted: start it again");
        else
            status = install_read(install);
    }
    end_bar();
    close(signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status ? -1 : install_result(install, error);
}

/* The engines named, or all that are missing. */
static size_t choose(const struct cli_arguments *arguments, const char *chosen[],
                     struct error *error)
{
    size_t count = 0;
    error->code = ERROR_NONE;
    for (int i = 1; i < arguments->count; i++) {
        char ids[ENGINE_IDS_SIZE];
        if (!install_note(arguments->words[i]))
            error_set(error, ERROR_USAGE, "nothing is to be installed for \"%.40s\": use %s",
                      arguments->words[i], engine_ids(true, ids));
        chosen[count++] = arguments->words[i];
    }
    for (size_t i = 0; i < engine_table_count && arguments->count == 1; i++) {
        struct engine_probe probe;
        engine_table[i]->probe(&probe);
        if (!probe.found && install_note(engine_table[i]->id))
            chosen[count++] = engine_table[i]->id;
    }
    return count;
}

static int install(const struct cli_arguments *arguments)
{
    const char *chosen[CLI_ARGUMENTS_MAX];
    struct error error;
    size_t count = choose(arguments, chosen, &error);
    if (error.code) return cli_fail(&error);
    if (!count) {
        puts("Both frameworks are here: nothing to do.");
        return EXIT_OK;
    }
    log_line("Installing with pip into .venv of the current folder:");
    for (size_t i = 0; i < count; i++) log_line("  %s", install_note(chosen[i]));
    struct install *installation;
    bool shown = isatty(STDERR_FILENO), asks = shown && isatty(STDIN_FILENO);
    const struct install_watch watch = {print_line, shown ? draw_bar : NULL, asks ? ask : NULL,
                                        NULL};
    if (install_start(".", chosen, count, &watch, &installation, &error)) return cli_fail(&error);
    int failed = hear_out(installation, &error);
    install_destroy(installation);
    if (failed) return cli_fail(&error);
    for (size_t i = 0; i < count; i++) report_print_engine(engine_find(chosen[i]));
    return EXIT_OK;
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        {"json", OPTION_FLAG, &as_json, NULL, "list: one JSON object per line instead of text"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_engines, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    const char *verb = arguments.count ? arguments.words[0] : "list";
    if (strcmp(verb, "install") == 0) return install(&arguments);
    if (strcmp(verb, "list") != 0)
        return cli_usage_error("unknown word \"%.40s\": use list or install", verb);
    if (as_json) {
        cli_print_json_each(report_engines());
    } else {
        for (size_t i = 0; i < engine_table_count; i++) report_print_engine(engine_table[i]);
    }
    return EXIT_OK;
}

const struct command command_engines = {
    .name = "engines",
    .run = run,
    .summary = "list the engines, install PyTorch and TensorFlow",
    .usage = "[list] | install [torch] [tensorflow]",
    .details = "install creates the virtual environment .venv in the current folder if there is "
               "none, and fetches the wheels with pip: PyTorch from its index of CPU builds "
               "(NNSTUDIO_TORCH_INDEX names another). A larger build, over 1 GB, is downloaded "
               "only when you agree (or with NNSTUDIO_ALLOW_CUDA=1). An installed PyTorch from "
               "2.10 or TensorFlow from 2.10 is found as well: see `nnstudio doctor`.",
    .arguments_max = 3,
};
