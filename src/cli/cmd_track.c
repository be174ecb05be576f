/* nnstudio track: sends runs to an MLflow server, and what was not sent while they trained. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/registry_cli.h"

struct track_words {
    struct store *store;
    struct registry_options where; /* as given */
    bool follow, json;
};

static void print_state(const json_t *state, bool as_json)
{
    const char *link = json_string_value(json_object_get(state, "link"));
    if (as_json) {
        cli_print_json(json_incref((json_t *)(uintptr_t)state));
        return;
    }
    printf("%-34s %8lld of %lld steps%s  %s\n", json_string_value(json_object_get(state, "run")),
           (long long)json_integer_value(json_object_get(state, "steps")),
           (long long)json_integer_value(json_object_get(state, "all_steps")),
           json_is_true(json_object_get(state, "complete")) ? ", all sent" : "",
           text_shown(link ? link : ""));
}

/* Where it was sent before, unless the command line says otherwise. */
static int track_one(const struct track_words *words, const char *run, struct error *error)
{
    struct registry_options where = words->where;
    json_t *before = registry_track_state(where.home, run), *result = NULL;
    registry_track_options(before, &where);
    const struct registry_tracking tracking = {
        .store = words->store, .options = &where, .run = run, .follow = words->follow};
    int status = registry_track(&tracking, &result, error);
    if (result) print_state(result, words->json);
    json_decref(result);
    json_decref(before);
    return status;
}

/* Every run that is not sent whole; one that fails does not keep the others back. */
static int track_pending(const struct track_words *words, struct error *error)
{
    json_t *pending = registry_track_pending(words->where.home), *id;
    size_t i;
    int status = 0;
    json_array_foreach(pending, i, id) {
        struct error own;
        if (status && error->code == ERROR_INTERRUPTED) break;
        if (!track_one(words, json_string_value(id), &own)) continue;
        *error = own;
        status = -1;
    }
    if (!json_array_size(pending)) fprintf(stderr, "nothing waits to be sent\n");
    json_decref(pending);
    return status;
}

static int run(int argc, char **argv)
{
    struct registry_cli place = {0};
    struct track_words words = {0};
    const struct cli_option own[] = {
        {"follow", OPTION_FLAG, &words.follow, NULL, "send a run while it trains, until it ends"},
        {"json", OPTION_FLAG, &words.json, NULL, "one JSON object per line"},
        {0},
    };
    struct cli_arguments given;
    int status = cli_parse(&command_track, registry_cli_options(&place, "mlflow", own), argc, argv,
                           &given);
    if (status != CLI_GO_ON) return status;
    struct error error;
    const struct registry_target *mlflow;
    char *home = NULL;
    uint32_t cut;
    int failed = registry_target_need("mlflow", &mlflow, &error) ||
                 registry_cli_use(&place, mlflow, NULL, words.json, &words.where, &home, &error) ||
                 store_open(home, &words.store, &error) ||
                 store_mark_interrupted(words.store, &cut, &error);
    if (!failed)
        failed = given.count ? track_one(&words, given.words[0], &error)
                             : track_pending(&words, &error);
    store_close(words.store);
    free(home);
    return failed ? cli_fail(&error) : EXIT_OK;
}

const struct command command_track = {
    .name = "track",
    .run = run,
    .summary = "send runs to an MLflow server: settings, losses, epochs and the model",
    .usage = "[RUN] [--tracking-uri URI] [--experiment NAME] [--follow] [options]",
    .details =
        "Without RUN: everything that `nnstudio train --track mlflow` could not send. A run is "
        "sent once: the run's folder records what the server has, and only the rest is sent.",
    .arguments_max = 1,
};
