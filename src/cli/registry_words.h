/* What `register` and `registry` share: the options of targets, signing in at a terminal,
 * resuming. */
#ifndef NNSTUDIO_CLI_REGISTRY_WORDS_H
#define NNSTUDIO_CLI_REGISTRY_WORDS_H

#include "cli/cli.h"
#include "registry/registry.h"

struct registry_words {
    const char *home, *config, *subscription, *resource_group, *workspace, *tracking_uri,
        *experiment, *ca_file, *sign_in, *tenant, *client_id;
};

/* Entries for a command's table of options. */
#define REGISTRY_OPTIONS(words)                                                                  \
    {"config", OPTION_TEXT, &(words).config, "FILE",                                             \
     "azure: config.json, or a folder to look from"},                                            \
        {"subscription", OPTION_TEXT, &(words).subscription, "ID",                               \
         "azure: instead of config.json"},                                                       \
        {"resource-group", OPTION_TEXT, &(words).resource_group, "NAME",                         \
         "azure: instead of config.json"},                                                       \
        {"workspace", OPTION_TEXT, &(words).workspace, "NAME", "azure: instead of config.json"}, \
        {"sign-in", OPTION_TEXT, &(words).sign_in, "WAY",                                        \
         "azure: auto, service-principal, workload-identity, azure-cli, managed-identity, "      \
         "device-code, browser"},                                                                \
        {"tenant", OPTION_TEXT, &(words).tenant, "ID", "azure: the tenant to sign in to"},       \
        {"client-id", OPTION_TEXT, &(words).client_id, "ID",                                     \
         "azure: the application to sign in as"},                                                \
        {"tracking-uri", OPTION_TEXT, &(words).tracking_uri, "URI",                              \
         "mlflow: the server's address"},                                                        \
        {"experiment", OPTION_TEXT, &(words).experiment, "NAME",                                 \
         "mlflow: the experiment (nnstudio)"},                                                   \
        {"ca-file", OPTION_TEXT, &(words).ca_file, "FILE", "more certificates to trust (PEM)"},  \
    {                                                                                            \
        "home", OPTION_TEXT, &(words).home, "DIR", "the studio's home"                           \
    }

/* The options as the registry takes them. Ctrl-C then stops what is asked for. *home (malloc'd) is
 * what `out` points into.
 * With `as_json` what a person must do to sign in is an event on standard output, else words on
 * standard error. */
int registry_words_use(const struct registry_words *words, bool as_json,
                       struct registry_options *out, char **home, struct error *error);

/* A version as register and registry show it to people, on standard output. */
void registry_print(const json_t *version);

/* Publishes; the store keeps it, and an unfinished try is taken up again. */
int registry_words_publish(const struct registry_target *target,
                           const struct registry_options *options, struct registry_request *request,
                           const struct registry_watch *watch, json_t **out, struct error *error);

#endif
