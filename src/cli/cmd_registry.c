/* nnstudio registry: what is registered, and getting it back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/registry_cli.h"

static void print_version(const json_t *version)
{
    const char *sha256 = json_string_value(json_object_get(version, "sha256"));
    const char *accuracy = json_string_value(
        json_object_get(json_object_get(version, "tags"), "accuracy"));
    char when[32] = "-";
    json_int_t at = json_integer_value(json_object_get(version, "created_at"));
    if (at) clock_format_utc(at, when);
    printf("%-24s %-8s %-24s  %-12.12s  %s%s\n",
           text_shown(json_string_value(json_object_get(version, "name"))),
           text_shown(json_string_value(json_object_get(version, "version"))), when,
           text_shown(sha256 ? sha256 : "-"), accuracy ? "accuracy " : "", text_shown(accuracy));
}

static int list_versions(const struct registry_target *target, const struct registry_options *where,
                         const char *name, bool as_json, struct error *error)
{
    json_t *list, *version;
    size_t i;
    if (target->list(where, name, &list, error)) return -1;
    json_array_foreach(list, i, version) {
        if (as_json) {
            cli_print_json(json_incref(version));
        } else {
            print_version(version);
        }
    }
    if (!as_json && json_array_size(list) == 0)
        fprintf(stderr, "no %s%s is registered %s\n", name ? "version of " : "model",
                name ? text_shown(name) : "", target->where);
    json_decref(list);
    return 0;
}

static int show_version(const struct registry_target *target, const struct registry_options *where,
                        const char *name, const char *version, bool as_json, struct error *error)
{
    json_t *found;
    if (target->show(where, name, version, &found, error)) return -1;
    if (as_json) {
        cli_print_json(found);
        return 0;
    }
    registry_cli_print(found);
    json_decref(found);
    return 0;
}

static int pull_version(const struct registry_target *target, const struct registry_options *where,
                        const char *name, const char *version, const char *directory, bool as_json,
                        struct error *error)
{
    char *path;
    if (target->pull(where, name, version, directory, &path, error)) return -1;
    if (as_json) {
        cli_print_json(json_pack("{s:s}", "path", path));
    } else {
        puts(text_shown(path));
    }
    free(path);
    return 0;
}

static int run(int argc, char **argv)
{
    const char *from = "local", *version = NULL, *out = ".";
    bool as_json = false;
    struct registry_cli place = {0};
    const struct cli_option own[] = {
        {"from", OPTION_TEXT, &from, "TARGET", "local, azure or mlflow (local)"},
        {"version", OPTION_TEXT, &version, "V", "this version (the latest)"},
        {"out", OPTION_TEXT, &out, "DIR", "where a pulled file goes (.)"},
        {"json", OPTION_FLAG, &as_json, NULL, "one JSON object per line"},
        {0},
    };
    struct cli_arguments arguments;
    int status = cli_parse(&command_registry, registry_cli_options(&place, own), argc, argv,
                           &arguments);
    if (status != CLI_GO_ON) return status;

    struct error error;
    const struct registry_target *target;
    struct registry_options where;
    char *home = NULL;
    const char *verb = arguments.words[0], *name = arguments.count > 1 ? arguments.words[1] : NULL;
    int failed = registry_target_need(from, &target, &error) ||
                         registry_cli_use(&place, target, as_json, &where, &home, &error)
                     ? -1
                     : 0;
    if (!failed) {
        if (strcmp(verb, "list") != 0 && arguments.count < 2) {
            failed = error_set(
                &error, ERROR_USAGE,
                "which model? `nnstudio registry %.10s NAME`; `nnstudio registry list` names them",
                verb);
        } else if (strcmp(verb, "list") == 0) {
            failed = list_versions(target, &where, name, as_json, &error);
        } else if (strcmp(verb, "show") == 0) {
            failed = show_version(target, &where, name, version, as_json, &error);
        } else if (strcmp(verb, "pull") == 0) {
            failed = pull_version(target, &where, name, version, out, as_json, &error);
        } else {
            failed = error_set(&error, ERROR_USAGE,
                               "unknown word \"%.40s\": use list, show or pull", verb);
        }
    }
    status = failed ? cli_fail(&error) : EXIT_OK;
    free(home);
    return status;
}

const struct command command_registry = {
    .name = "registry",
    .run = run,
    .summary = "list, show or pull registered models, the hash checked",
    .usage = "list [NAME] | show NAME | pull NAME [--from local|azure|mlflow] [--version V] [--out "
             "DIR] [options]",
    .details = "list tells each model's latest version, with NAME all versions of that one. show "
               "reads one version from where it is\n"
               "registered. pull downloads its file and refuses one whose SHA-256 is not the "
               "registered one.",
    .arguments_min = 1,
    .arguments_max = 2,
};
