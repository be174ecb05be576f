/* What the sub-commands share: the table they stand in, the option parser, exit statuses.
 *
 * Adding a command: a file cmd_NAME.c here with a `const struct command command_NAME`, its line
 * below, and its line in cli.c's table and in meson.build. A command's function parses its options
 * first with cli_parse(). */
#ifndef NNSTUDIO_CLI_CLI_H
#define NNSTUDIO_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum exit_status { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

struct command {
    const char *name;
    /* argv[0] is the command's name. Returns the exit status. */
    int (*run)(int argc, char **argv);
    /* one line for `nnstudio --help`; NULL hides the command (and its prefixes) */
    const char *summary;
    const char *usage; /* what follows the name: "MODEL IMAGE.png [options]" */
    /* (optional) paragraphs for `nnstudio NAME --help`, below the summary; wrapped when printed */
    const char *details;
    int arguments_min, arguments_max; /* how many words that are not options */
};

extern const struct command command_atlas;
extern const struct command command_bench;
extern const struct command command_code;
extern const struct command command_convert;
extern const struct command command_data;
extern const struct command command_diff;
extern const struct command command_doctor;
extern const struct command command_endpoint;
extern const struct command command_engines;
extern const struct command command_evaluate;
extern const struct command command_export;
extern const struct command command_inspect;
extern const struct command command_job;
extern const struct command command_net;
extern const struct command command_predict;
extern const struct command command_register;
extern const struct command command_registry;
extern const struct command command_trace;
extern const struct command command_runs;
extern const struct command command_serve;
extern const struct command command_serve_model;
extern const struct command command_track;
extern const struct command command_train;
extern const struct command command_worker;

/* Runs the program: finds the command by its name or a unique beginning of it. */
int cli_main(int argc, char **argv);

/* The options of a command: an array ended by an entry without a name. The value at `target` is the
 * default and stays as it is when the option is not given. */
enum cli_option_type {
    OPTION_FLAG, /* bool */
    OPTION_TEXT, /* const char *, pointing into argv */
    OPTION_U32,  /* uint32_t */
    OPTION_U64,  /* uint64_t */
    OPTION_REAL, /* double; nan and infinities pass, for the check that knows the range */
    OPTION_LIST, /* struct cli_list: may be given several times */
};
struct cli_option {
    const char *name; /* without the dashes */
    enum cli_option_type type;
    void *target;
    const char *argument; /* the value's name in the help, "N"; NULL for a flag */
    const char *help;     /* one line */
};

/* Options that several commands have. */
#define CLI_DATA_DIR(place)                                                            \
    {                                                                                  \
        "data-dir", OPTION_TEXT, place, "DIR", "a folder with one folder per data set" \
    }
#define CLI_ENGINE(place)                                           \
    {                                                               \
        "engine", OPTION_TEXT, place, "ENGINE", cli_engine_choice() \
    }
const char *cli_engine_choice(void); /* "torch, tensorflow or native (native)" */

#define OPTION_LIST_MAX 64
struct cli_list {
    size_t count;
    const char *items[OPTION_LIST_MAX]; /* pointing into argv */
};

#define CLI_ARGUMENTS_MAX 16
#define CLI_OPTIONS_MAX   96 /* with the one that ends them */
struct cli_arguments {
    int count; /* words that are not options */
    const char *words[CLI_ARGUMENTS_MAX];
    bool given[CLI_OPTIONS_MAX]; /* by the option's place */
};

/* Takes `--name value` and `--name=value`; `--` ends the options; `--help` prints the help. Returns
 * CLI_GO_ON, else the exit status to end with, everything having been said. */
#define CLI_GO_ON (-1)
int cli_parse(const struct command *command, const struct cli_option *options, int argc,
              char **argv, struct cli_arguments *arguments);
bool cli_given(const struct cli_arguments *arguments, const struct cli_option *options,
               const char *name);

/* Prints the error, returns the exit status that fits its code: 2 for ERROR_USAGE, 130 for
 * ERROR_INTERRUPTED, else 1. */
int cli_fail(const struct error *error);
/* "nnstudio: MESSAGE" on standard error; returns 2. */
int cli_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line of JSON on standard output, flushed; takes the reference. Trouble with the output is
 * told once, by cli_main() at the end; long work asks cli_output_lost() now and then. */
void cli_print_json(json_t *value);
void cli_print_json_each(json_t *values); /* an array: a line each */
bool cli_output_lost(void);
/* What was printed could not be written, and not because its reader went away. */
bool cli_output_failed(void);

/* The one of `count` names closest to `word`, or NULL when none is near: for "did you mean". */
const char *cli_nearest(const char *word, const char *const *names, size_t count);

#endif
