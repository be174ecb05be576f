/* What `register`, `registry` and `predict` share: the options of targets, signing in at a
 * terminal, resuming. */
#ifndef NNSTUDIO_CLI_REGISTRY_CLI_H
#define NNSTUDIO_CLI_REGISTRY_CLI_H

#include "cli/cli.h"
#include "registry/registry.h"

#define REGISTRY_CLI_OPTIONS CLI_OPTIONS_MAX

struct registry_cli {
    const char *home, *values[REGISTRY_KEYS];
    bool switches[REGISTRY_KEYS];
    /* NULL, or a second target that the command works with: its options are no mistake */
    const struct registry_target *other;
    struct cli_option options[REGISTRY_CLI_OPTIONS];
    char help[REGISTRY_KEYS][160];
};
/* The command's own options (ended by {0}), followed by those of registry_option_table that are for
 * `target` (an id; NULL: for any) and --home: for cli_parse(), which writes into *cli. */
const struct cli_option *registry_cli_options(struct registry_cli *cli, const char *target,
                                              const struct cli_option *own);

/* The options as the registry takes them, checked for the target. `registry` is what
 * registry_place_need() found, or NULL. Ctrl-C then cancels what runs.
 * *home (malloc'd) is what `out` points into. With `as_json` what a user must do to sign in is an
 * event on standard output, else text on standard error. */
int registry_cli_use(const struct registry_cli *cli, const struct registry_target *target,
                     const char *registry, bool as_json, struct registry_options *out, char **home,
                     struct error *error);

/* Asked at a terminal only; anywhere else --yes must have been given. */
int registry_cli_confirm(bool yes, bool as_json, const char *question, struct error *error);

/* A version as register and registry show it, on standard output. */
void registry_cli_print(const json_t *version);

/* The file of a registered version: downloaded once, its hash checked. *path is malloc'd. */
int registry_cli_find(const struct registry_cli *cli, const char *from, const char *name,
                      const char *version, bool as_json, char **path, struct error *error);

/* Shows the steps of something long: lines and a bar on standard error, or events on standard
 * output. */
struct registry_showing {
    bool json, terminal;
    unsigned step; /* the last one shown */
    bool bar;      /* below it stands how much has been sent */
};
struct registry_watch registry_cli_watch(struct registry_showing *showing, bool as_json);
void registry_cli_watched(struct registry_showing *showing); /* at the end */

/* Publishes; the store keeps it, and an unfinished try is taken up again. */
int registry_cli_publish(const struct registry_target *target,
                         const struct registry_options *options, struct registry_request *request,
                         const struct registry_watch *watch, json_t **out, struct error *error);

#endif
