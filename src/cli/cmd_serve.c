/* nnstudio serve: the dashboard. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <spawn.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/log.h"
#include "base/path.h"
#include "cli/cli.h"
#include "cli/token_words.h"
#include "http/serve.h"

#define SHELL_SECONDS 5

extern char **environ;

/* The desktop's own way to open an address; its words are nobody's concern, and a shell between us
 * leaves its end to the system. */
static void open_browser(const char *address)
{
    pid_t pid = 0;
    posix_spawn_file_actions_t actions;
    char *const argv[] = {(char[]){"sh"}, (char[]){"-c"},
                          (char[]){"command -v xdg-open && { xdg-open \"$0\" & }"},
                          (char *)(uintptr_t)address, NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) ||
        child_reap(pid, SHELL_SECONDS))
        log_line("cannot open a browser: open the address yourself");
    posix_spawn_file_actions_destroy(&actions);
}

static void on_ready(void *context, const char *address, const char *token)
{
    const bool *open_it = context;
    printf("Neural Net Studio is at %s\n", address);
    if (token) puts("Whoever has this address may use the studio: the token in it is its key.");
    fflush(stdout);
    if (*open_it) open_browser(address);
}

static int run(int argc, char **argv)
{
    uint32_t port = 8501;
    const char *host = "127.0.0.1", *home_option = NULL, *data_dir = NULL, *token;
    struct token_words words = {0};
    bool open_it = false, install = false;
    const struct cli_option options[] = {
        {"host", OPTION_TEXT, &host, "ADDRESS",
         "the address to listen on (127.0.0.1); other machines need a token"},
        {"port", OPTION_U32, &port, "N", "the port (8501); 0: any free one"},
        {"home", OPTION_TEXT, &home_option, "DIR", "where runs, models and data are kept"},
        CLI_DATA_DIR(&data_dir),
        {"open", OPTION_FLAG, &open_it, NULL, "open the page in the browser"},
        {"install", OPTION_FLAG, &install, NULL,
         "install missing frameworks while the studio is open"},
        TOKEN_OPTIONS(words),
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    char *home;
    int status = cli_parse(&command_serve, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    if (port > 65535) return cli_usage_error("--port %u is out of range: give 0 to 65535", port);
    if (token_words_use(&words, &token, &error) || path_home(home_option, &home, &error)) {
        token_words_free(&words);
        return cli_fail(&error);
    }
    const struct serve_options serving = {.host = host,
                                          .port = (uint16_t)port,
                                          .home = home,
                                          .data_dir = data_dir,
                                          .token = token,
                                          .install = install,
                                          .on_ready = on_ready,
                                          .context = &open_it};
    status = serve(&serving, &error) ? cli_fail(&error) : EXIT_OK;
    free(home);
    token_words_free(&words);
    return status;
}

const struct command command_serve = {
    .name = "serve",
    .run = run,
    .summary = "serve the dashboard at http://127.0.0.1:8501",
    .usage = "[--host ADDRESS] [--port N] [--home DIR] [--open] [--install]",
};
