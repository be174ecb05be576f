/* nnstudio register: a model file becomes a registered, versioned model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/registry_cli.h"

static int add_tags(json_t *tags, const struct cli_list *given, struct error *error)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *equals = strchr(given->items[i], '=');
        if (!equals || equals == given->items[i])
            return error_set(error, ERROR_USAGE,
                             "the tag \"%.60s\" is not valid: write it as name=value",
                             given->items[i]);
        json_t *value = json_string(equals + 1);
        if (!value)
            return error_set(error, ERROR_USAGE, "the tag \"%.60s\" is not UTF-8", given->items[i]);
        json_object_setn_new(tags, given->items[i], (size_t)(equals - given->items[i]), value);
    }
    return 0;
}

static int run(int argc, char **argv)
{
    const char *to = "local", *name = NULL, *description = NULL, *version = NULL;
    bool as_json = false;
    struct cli_list tags_given = {0};
    struct registry_cli place = {0};
    const struct cli_option own[] = {
        {"to", OPTION_TEXT, &to, "TARGET",
         "local, azure, azureml://registries/NAME or mlflow (local)"},
        {"name", OPTION_TEXT, &name, "N",
         "the model's name (pytorch_mnist, tensorflow_mnist, …, from the file)"},
        {"version", OPTION_TEXT, &version, "V", "azure: this version instead of the next"},
        {"description", OPTION_TEXT, &description, "D", "the model's description"},
        {"tag", OPTION_LIST, &tags_given, "K=V", "an additional tag; may be given several times"},
        {"json", OPTION_FLAG, &as_json, NULL,
         "events on standard output, one JSON object per line"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_register, registry_cli_options(&place, NULL, own), argc, argv,
                           &arguments);
    if (status != CLI_GO_ON) return status;

    struct error error;
    const struct registry_target *target;
    const char *registry;
    struct registry_options where;
    char *home = NULL;
    json_t *tags = NULL, *result = NULL;
    struct registry_showing showing;
    struct registry_watch watch = registry_cli_watch(&showing, as_json);
    int failed = registry_place_need(to, &target, &registry, &error) ||
                 registry_cli_use(&place, target, registry, as_json, &where, &home, &error) ||
                 registry_describe_model(arguments.words[0], &tags, &error) ||
                 add_tags(tags, &tags_given, &error);
    if (!failed) {
        struct registry_request request = {.model_path = arguments.words[0],
                                           .name = name,
                                           .version = version,
                                           .description = description,
                                           .tags = tags};
        failed = registry_cli_publish(target, &where, &request, &watch, &result, &error);
    }
    registry_cli_watched(&showing);
    if (failed) {
        status = cli_fail(&error);
    } else if (as_json) {
        json_object_set_new(result, "event", json_string("end"));
        cli_print_json(json_incref(result));
        status = EXIT_OK;
    } else {
        registry_cli_print(result);
        status = EXIT_OK;
    }
    json_decref(result);
    json_decref(tags);
    free(home);
    return status;
}

const struct command command_register = {
    .name = "register",
    .run = run,
    .summary =
        "register a model file as a versioned model: on this machine, in Azure ML, in MLflow",
    .usage = "MODEL --to local|azure|azureml://registries/NAME|mlflow [options]",
    .details =
        "Azure: the workspace comes from config.json (searched as Microsoft's clients do), from "
        "the options or the environment; --sign-in chooses how to sign in (auto: service "
        "principal, workload identity, Azure CLI, managed identity; device-code and browser need a "
        "user). If a registration was interrupted, the same command continues it.",
    .arguments_min = 1,
    .arguments_max = 1,
};
