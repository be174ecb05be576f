#include "cli/cli.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "base/log.h"

/* Sorted by name. */
/* clang-format off */
static const struct command *const commands[] = {
    &command_atlas,
    &command_bench,
    &command_code,
    &command_convert,
    &command_data,
    &command_diff,
    &command_doctor,
    &command_endpoint,
    &command_engines,
    &command_evaluate,
    &command_export,
    &command_inspect,
    &command_job,
    &command_net,
    &command_predict,
    &command_register,
    &command_registry,
    &command_runs,
    &command_serve,
    &command_serve_model,
    &command_trace,
    &command_track,
    &command_train,
    &command_worker,
};
/* clang-format on */
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static const char intro[] = "Neural Net Studio: one network, trained by PyTorch, TensorFlow and a "
                            "native engine, side by side, from C.\n"
                            "\n"
                            "usage: nnstudio COMMAND [options]\n"
                            "       nnstudio COMMAND --help\n"
                            "\n"
                            "A command may be shortened while it stays unique.\n"
                            "\n";

static int print_help(void)
{
    fputs(intro, stdout);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i]->summary) printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
    return EXIT_OK;
}

static int unknown_command(const char *word)
{
    const char *names[COMMAND_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i]->summary) names[count++] = commands[i]->name;
    const char *near = cli_nearest(word, names, count);
    if (near) return cli_usage_error("unknown command \"%.40s\": did you mean \"%s\"?", word, near);
    return cli_usage_error("unknown command \"%.40s\": see nnstudio --help", word);
}

/* The whole name wins over prefixes of others, and is the only way to a hidden command. */
static const struct command *find(const char *word, int *status)
{
    const struct command *found = NULL, *second = NULL;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i]->name, word) == 0) return commands[i];
        if (!commands[i]->summary || !*word || strncmp(commands[i]->name, word, strlen(word)) != 0)
            continue;
        if (found)
            second = commands[i];
        else
            found = commands[i];
    }
    if (found && !second) return found;
    *status = second ? cli_usage_error("\"%.40s\" may mean %s or %s: write more of it", word,
                                       found->name, second->name)
                     : unknown_command(word);
    return NULL;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (strcmp(argv[1], "help") == 0) {
        if (argc < 3) return print_help();
        int status;
        const struct command *command = find(argv[2], &status);
        char *help[] = {argv[2], (char[]){"--help"}, NULL};
        return command ? command->run(2, help) : status;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        puts("nnstudio " NNSTUDIO_VERSION);
        return EXIT_OK;
    }
    int status;
    const struct command *command = find(argv[1], &status);
    return command ? command->run(argc - 1, argv + 1) : status;
}

/* A reader that went away (`nnstudio … | head`) is no failure worth a word; a full disk is. */
bool cli_output_failed(void)
{
    if (!fflush(stdout) && !ferror(stdout)) return false;
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return !(poll(&output, 1, 0) == 1 && (output.revents & POLLERR));
}

static int check_output(int status)
{
    if (!cli_output_failed()) return status;
    fputs("nnstudio: cannot write to standard output: is the disk full?\n", stderr);
    return status ? status : EXIT_FAILED;
}

int cli_main(int argc, char **argv)
{
    /* A closed pipe and a file that may grow no further are answers of write(), not the end of the
     * process: workers must still be told to stop, half-written files taken away. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    js_begin();
    return check_output(dispatch(argc, argv));
}

int cli_fail(const struct error *error)
{
    fflush(stdout);
    log_error(error);
    if (error->code == ERROR_USAGE) return EXIT_USAGE;
    return error->code == ERROR_INTERRUPTED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

int cli_usage_error(const char *format, ...)
{
    struct error error;
    va_list arguments;
    va_start(arguments, format);
    error_set_v(&error, ERROR_USAGE, format, arguments);
    va_end(arguments);
    return cli_fail(&error);
}

void cli_print_json(json_t *value)
{
    struct error ignored; /* ferror(stdout) remembers */
    if (value) js_print_line(value, &ignored);
    json_decref(value);
}

void cli_print_json_each(json_t *values)
{
    size_t index;
    json_t *value;
    json_array_foreach(values, index, value) cli_print_json(json_incref(value));
    json_decref(values);
}

bool cli_output_lost(void)
{
    return ferror(stdout) != 0;
}
