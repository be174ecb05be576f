/* nnstudio registry: what is registered, getting it back, and working with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/registry_cli.h"

struct registry_words {
    const struct registry_target *target;
    struct registry_options where;
    struct registry_cli *place;
    struct cli_arguments given;
    /* `from` and `to` as they were given, and the registries that they name, or NULL */
    const char *name, *version, *out, *from, *from_registry, *to, *to_registry, *confirm;
    bool remove, json;
};

static void print_version(const json_t *version)
{
    const char *sha256 = json_string_value(json_object_get(version, "sha256"));
    const char *accuracy = json_string_value(
        json_object_get(json_object_get(version, "tags"), "accuracy"));
    char when[32] = "-";
    json_int_t at = json_integer_value(json_object_get(version, "created_at"));
    if (at) clock_format_utc(at, when);
    printf("%-24s %-8s %-24s  %-12.12s  %s%s",
           text_shown(json_string_value(json_object_get(version, "name"))),
           text_shown(json_string_value(json_object_get(version, "version"))), when,
           text_shown(sha256 ? sha256 : "-"), accuracy ? "accuracy " : "", text_shown(accuracy));
    json_t *alias;
    size_t i;
    json_array_foreach(json_object_get(version, "aliases"), i, alias)
        printf("  @%s", text_shown(json_string_value(alias)));
    puts(json_is_true(json_object_get(version, "archived")) ? "  archived" : "");
}

static int list_versions(const struct registry_words *words, struct error *error)
{
    json_t *list, *version;
    size_t i;
    if (words->target->list(&words->where, words->name, &list, error)) return -1;
    json_array_foreach(list, i, version) {
        if (words->json) {
            cli_print_json(json_incref(version));
        } else {
            print_version(version);
        }
    }
    if (!words->json && json_array_size(list) == 0)
        fprintf(stderr, "no %s%s is registered %s\n", words->name ? "version of " : "model",
                words->name ? text_shown(words->name) : "", words->target->where);
    json_decref(list);
    return 0;
}

static void print_found(const struct registry_words *words, json_t *found)
{
    if (words->json) {
        cli_print_json(found);
        return;
    }
    registry_cli_print(found);
    json_decref(found);
}

static int show_version(const struct registry_words *words, struct error *error)
{
    json_t *found;
    if (words->target->show(&words->where, words->name, words->version, &found, error)) return -1;
    print_found(words, found);
    return 0;
}

static int pull_version(const struct registry_words *words, struct error *error)
{
    char *path;
    if (words->target->pull(&words->where, words->name, words->version, words->out, &path, error))
        return -1;
    if (words->json) {
        cli_print_json(json_pack("{s:s}", "path", path));
    } else {
        puts(text_shown(path));
    }
    free(path);
    return 0;
}

static void print_difference(const json_t *row)
{
    const char *a = json_string_value(json_object_get(row, "a")),
               *b = json_string_value(json_object_get(row, "b"));
    printf("%-8s %-20s %-28s %s\n", json_string_value(json_object_get(row, "group")),
           text_shown(json_string_value(json_object_get(row, "key"))), text_shown(a ? a : "-"),
           text_shown(b ? b : "-"));
}

static int compare_versions(const struct registry_words *words, struct error *error)
{
    struct store *store = NULL;
    json_t *found, *row;
    size_t i;
    if (store_open(words->where.home, &store, error)) return -1;
    int status = registry_compare(words->target, &words->where, store, words->name,
                                  words->given.words[2], words->given.words[3], &found, error);
    store_close(store);
    if (status) return -1;
    if (words->json) {
        cli_print_json(found);
        return 0;
    }
    json_t *list = json_object_get(found, "differences");
    printf("%-8s %-20s %-28s %s\n", "", "", words->given.words[2], words->given.words[3]);
    json_array_foreach(list, i, row) print_difference(row);
    if (json_is_true(json_object_get(found, "same_file"))) puts("the same file");
    if (!json_is_true(json_object_get(found, "runs_known")))
        puts("settings and metrics are not compared: the runs of both are not in this home");
    json_decref(found);
    return 0;
}

/* --- changes --- */

static int change_version(const struct registry_words *words, enum registry_change_kind kind,
                          const char *key, const char *value, struct error *error)
{
    const struct registry_change change = {.kind = kind,
                                           .name = words->name,
                                           .version = words->version,
                                           .key = key,
                                           .value = value,
                                           .confirmed = words->confirm};
    json_t *found;
    if (registry_change(words->target, &words->where, &change, &found, error)) return -1;
    if (found) {
        print_found(words, found);
    } else if (words->json) {
        cli_print_json(json_pack("{s:s}", "deleted", words->confirm));
    } else {
        printf("deleted %s\n", text_shown(words->confirm));
    }
    return 0;
}

static int set_alias(const struct registry_words *words, struct error *error)
{
    return change_version(words, words->remove ? REGISTRY_DROP_ALIAS : REGISTRY_ALIAS,
                          words->given.words[2], NULL, error);
}

static int set_tag(const struct registry_words *words, struct error *error)
{
    const char *text = words->given.words[2], *equals = strchr(text, '=');
    char key[256];
    if (words->remove) return change_version(words, REGISTRY_DROP_TAG, text, NULL, error);
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof key)
        return error_set(error, ERROR_USAGE,
                         "the tag \"%.60s\" is not valid: write it as name=value, or give its "
                         "name and --remove",
                         text);
    snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
    return change_version(words, REGISTRY_TAG, key, equals + 1, error);
}

static int set_description(const struct registry_words *words, struct error *error)
{
    return change_version(words, REGISTRY_DESCRIPTION, NULL, words->given.words[2], error);
}

static int archive(const struct registry_words *words, struct error *error)
{
    return change_version(words, words->remove ? REGISTRY_RESTORE : REGISTRY_ARCHIVE, NULL, NULL,
                          error);
}

static int restore(const struct registry_words *words, struct error *error)
{
    return change_version(words, REGISTRY_RESTORE, NULL, NULL, error);
}

static int delete_version(const struct registry_words *words, struct error *error)
{
    return change_version(words, REGISTRY_DELETE, NULL, NULL, error);
}

/* The same file, its hash checked, becomes a version in another place. */
static int promote(const struct registry_words *words, struct error *error)
{
    const struct registry_target *to;
    struct registry_options where;
    char *home = NULL, *path = NULL, from[400];
    json_t *found = NULL, *tags = NULL, *made = NULL;
    int status = -1;
    if (!words->to)
        return error_set(error, ERROR_USAGE,
                         "where to? Give --to local, azure, azureml://registries/NAME or mlflow");
    to = words->place->other;
    if (strcmp(words->to, words->from) == 0)
        return error_set(error, ERROR_USAGE,
                         "%s is where it is already: give another --to, or an alias", to->title);
    words->place->other = words->target;
    if (registry_cli_use(words->place, to, words->to_registry, words->json, &where, &home, error) ||
        registry_cached(words->target, &words->where, words->name, words->version, &path, &found,
                        error) ||
        registry_describe_model(path, &tags, error))
        goto out;
    json_object_update(tags, json_object_get(found, "tags"));
    snprintf(from, sizeof from, "%s %s:%s", words->from, words->name,
             json_string_value(json_object_get(found, "version")));
    json_object_set_new(tags, "promoted_from", json_string(from));
    struct registry_request request = {
        .model_path = path,
        .name = words->name,
        .description = json_string_value(json_object_get(found, "description")),
        .tags = tags};
    status = registry_cli_publish(to, &where, &request, NULL, &made, error);
    if (!status) print_found(words, made);
out:
    json_decref(found);
    json_decref(tags);
    free(path);
    free(home);
    return status;
}

/* words: how many, with the verb and the model's name */
static const struct verb {
    const char *id, *usage;
    int least, most;
    int (*run)(const struct registry_words *words, struct error *error);
} verbs[] = {
    {"list", "[NAME]", 1, 2, list_versions},
    {"show", "NAME", 2, 2, show_version},
    {"pull", "NAME", 2, 2, pull_version},
    {"compare", "NAME A B", 4, 4, compare_versions},
    {"alias", "NAME ALIAS [--version V | --remove]", 3, 3, set_alias},
    {"tag", "NAME KEY=VALUE | KEY --remove", 3, 3, set_tag},
    {"describe", "NAME TEXT", 3, 3, set_description},
    {"archive", "NAME", 2, 2, archive},
    {"restore", "NAME --version V", 2, 2, restore},
    {"delete", "NAME --version V --confirm NAME:V", 2, 2, delete_version},
    {"promote", "NAME --to TARGET", 2, 2, promote},
};
#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static int find_verb(const struct registry_words *words, const struct verb **out,
                     struct error *error)
{
    const char *word = words->given.words[0];
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(word, verbs[i].id) == 0) *out = &verbs[i];
    if (!*out) {
        char list[160];
        size_t at = 0;
        for (size_t i = 0; i < VERB_COUNT; i++)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s",
                                   !i                    ? ""
                                   : i + 1 == VERB_COUNT ? " or "
                                                         : ", ",
                                   verbs[i].id);
        return error_set(error, ERROR_USAGE, "unknown word \"%.40s\": use %s", word, list);
    }
    if (words->given.count == 1 && (*out)->least > 1)
        return error_set(
            error, ERROR_USAGE,
            "which model? `nnstudio registry %.10s %s`; `nnstudio registry list` names "
            "them",
            word, (*out)->usage);
    if (words->given.count < (*out)->least || words->given.count > (*out)->most)
        return error_set(error, ERROR_USAGE, "write `nnstudio registry %s %s`", word,
                         (*out)->usage);
    return 0;
}

static int run(int argc, char **argv)
{
    struct registry_words words = {.out = ".", .from = "local"};
    struct registry_cli place = {0};
    const struct cli_option own[] = {
        {"from", OPTION_TEXT, &words.from, "TARGET",
         "local, azure, azureml://registries/NAME or mlflow (local)"},
        {"version", OPTION_TEXT, &words.version, "V", "the version, or @ALIAS (the latest)"},
        {"out", OPTION_TEXT, &words.out, "DIR", "where pull writes the file (.)"},
        {"remove", OPTION_FLAG, &words.remove, NULL, "alias and tag: remove it"},
        {"confirm", OPTION_TEXT, &words.confirm, "NAME:V",
         "delete: the model and version, named again"},
        {"to", OPTION_TEXT, &words.to, "TARGET", "promote: where to, as --from"},
        {"json", OPTION_FLAG, &words.json, NULL, "one JSON object per line"},
        {0},
    };
    int status = cli_parse(&command_registry, registry_cli_options(&place, NULL, own), argc, argv,
                           &words.given);
    if (status != CLI_GO_ON) return status;

    struct error error;
    const struct verb *verb = NULL;
    char *home = NULL;
    words.place = &place;
    words.name = words.given.count > 1 ? words.given.words[1] : NULL;
    int failed = find_verb(&words, &verb, &error) ||
                 registry_place_need(words.from, &words.target, &words.from_registry, &error) ||
                 (words.to &&
                  registry_place_need(words.to, &place.other, &words.to_registry, &error)) ||
                 registry_cli_use(&place, words.target, words.from_registry, words.json,
                                  &words.where, &home, &error) ||
                 verb->run(&words, &error);
    status = failed ? cli_fail(&error) : EXIT_OK;
    free(home);
    return status;
}

const struct command command_registry = {
    .name = "registry",
    .run = run,
    .summary = "registered models: list, show, pull, compare, alias, tag, archive, delete, promote",
    .usage = "list [NAME] | show NAME | pull NAME | compare NAME A B\n"
             "       nnstudio registry alias NAME ALIAS | tag NAME KEY=VALUE | describe NAME TEXT\n"
             "       nnstudio registry archive NAME | restore NAME | delete NAME | promote NAME\n"
             "       [--from local|azure|azureml://registries/NAME|mlflow] [--version V] [options]",
    .details = "list shows the latest version of each model; with NAME, all versions of that one. "
               "show reads one version from where it is registered. pull downloads its file and "
               "refuses one whose SHA-256 is not the registered one. compare shows what differs: "
               "files, tags, and the settings and metrics of their runs. An archived version is "
               "not the latest. delete needs --confirm, which names the version again. promote "
               "registers the same file with another target.",
    .arguments_min = 1,
    .arguments_max = 4,
};
