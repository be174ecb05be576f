/* nnstudio register: a model file becomes a registered, versioned model. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/registry_cli.h"

struct showing {
    bool json, terminal;
    unsigned step; /* the last one shown */
    bool bar;      /* below it stands how much has been sent */
};

static void remove_bar(struct showing *showing)
{
    if (showing->bar) fputs("\r\033[K", stderr);
    showing->bar = false;
}

/* A bar of 32 places, redrawn in its line. */
static void draw_bar(struct showing *showing, uint64_t done, uint64_t total)
{
    static const char full[] = "################################";
    double part = (double)done / (double)total;
    fprintf(stderr, "\r    [%-32.*s] %3.0f%%\033[K", (int)(32 * part), full, 100 * part);
    showing->bar = true;
}

static void show_step(void *context, unsigned step, unsigned steps, const char *title,
                      uint64_t done, uint64_t total)
{
    struct showing *showing = context;
    bool same = showing->step == step;
    showing->step = step;
    if (showing->json) {
        if (same && done != total) return;
        cli_print_json(json_pack("{s:s, s:i, s:i, s:s, s:I, s:I}", "event", "step", "step",
                                 (int)step + 1, "steps", (int)steps, "title", title, "done_bytes",
                                 (json_int_t)done, "total_bytes", (json_int_t)total));
        return;
    }
    if (!same) {
        remove_bar(showing);
        fprintf(stderr, "%u/%u %s\n", step + 1, steps, text_shown(title));
    }
    if (showing->terminal && total) draw_bar(showing, done, total);
}

static int add_tags(json_t *tags, const struct cli_list *given, struct error *error)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *equals = strchr(given->items[i], '=');
        if (!equals || equals == given->items[i])
            return error_set(error, ERROR_USAGE,
                             "the tag \"%.60s\" is not usable: write it as name=value",
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
        {"to", OPTION_TEXT, &to, "TARGET", "local, azure or mlflow (local)"},
        {"name", OPTION_TEXT, &name, "N",
         "of the model (pytorch_mnist, tensorflow_mnist … by the file)"},
        {"version", OPTION_TEXT, &version, "V", "azure: this version instead of the next"},
        {"description", OPTION_TEXT, &description, "D", "a text for readers"},
        {"tag", OPTION_LIST, &tags_given, "K=V", "a further tag; may be given several times"},
        {"json", OPTION_FLAG, &as_json, NULL,
         "events on standard output, one JSON object per line"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_register, registry_cli_options(&place, own), argc, argv,
                           &arguments);
    if (status != CLI_GO_ON) return status;

    struct error error;
    const struct registry_target *target;
    struct registry_options where;
    char *home = NULL;
    json_t *tags = NULL, *result = NULL;
    struct showing showing = {
        .json = as_json, .terminal = isatty(STDERR_FILENO), .step = UINT32_MAX};
    struct registry_watch watch = {.context = &showing, .on_step = show_step};
    int failed = registry_target_need(to, &target, &error) ||
                 registry_cli_use(&place, target, as_json, &where, &home, &error) ||
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
    remove_bar(&showing);
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
    .usage = "MODEL --to local|azure|mlflow [options]",
    .details =
        "Azure: the workspace comes from config.json (as Microsoft's clients look for it), "
        "from the options or the\n"
        "environment; --sign-in chooses how to sign in (auto: service principal, workload "
        "identity, Azure CLI, managed\n"
        "identity; device-code and browser need a user). What was interrupted is taken up again "
        "by the same command.",
    .arguments_min = 1,
    .arguments_max = 1,
};
