/* nnstudio endpoint: a registered model as an online endpoint of Azure ML. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/registry_cli.h"

struct endpoint_words {
    struct registry_options where;
    struct cli_arguments given;
    const char *subject; /* a model or an endpoint; NULL for `list` */
    struct registry_deployment deployment;
    struct registry_sample sample;
    bool yes, json;
};

static int confirm(const struct endpoint_words *words, const char *question, struct error *error)
{
    return registry_cli_confirm(words->yes, words->json, question, error);
}

static int agree(void *context, const json_t *plan, struct error *error)
{
    char question[600];
    snprintf(question, sizeof question,
             "%s the endpoint %s in %s for version %s of %s, on %lld × %s. Azure bills each "
             "machine by the hour from now until the endpoint is deleted, used or not, also when "
             "the deployment fails.",
             json_is_true(json_object_get(plan, "resumes")) ? "This goes on with" : "This makes",
             json_string_value(json_object_get(plan, "endpoint")),
             json_string_value(json_object_get(plan, "workspace")),
             json_string_value(json_object_get(plan, "version")),
             json_string_value(json_object_get(plan, "model")),
             (long long)json_integer_value(json_object_get(plan, "instances")),
             json_string_value(json_object_get(plan, "instance_type")));
    return confirm(context, question, error);
}

static void show_logs(void *context, const char *text)
{
    const struct endpoint_words *words = context;
    if (words->json) {
        cli_print_json(json_pack("{s:s, s:o}", "event", "logs", "text", js_shown(text)));
        return;
    }
    for (const char *line = text; *line;) {
        int length = (int)strcspn(line, "\n");
        char shown[400];
        snprintf(shown, sizeof shown, "%.*s", length, line);
        fprintf(stderr, "    %s\n", text_shown(shown));
        line += length + (line[length] == '\n');
    }
}

static void print_test(const json_t *test)
{
    printf("%-10s %s\n", "sample", text_shown(json_string_value(json_object_get(test, "sample"))));
    printf("%-10s %s\n", "class",
           text_shown(json_string_value(json_object_get(test, "class_name"))));
    printf("%-10s %.1f ms\n", "answered", json_real_value(json_object_get(test, "milliseconds")));
    printf("%-10s %s, largest difference of a probability %.1e\n", "here",
           json_is_true(json_object_get(test, "same")) ? "the same" : "another answer",
           json_real_value(json_object_get(test, "max_difference")));
}

/* An endpoint that answers otherwise than its model does here is not to be relied on. */
static int judge(const json_t *test, struct error *error)
{
    if (json_is_true(json_object_get(test, "same"))) return 0;
    return error_set(error, ERROR_FAILED,
                     "the endpoint answers class %lld, the same file on this machine class %lld "
                     "(probabilities differ by up to %.1e): do not use it before you know why",
                     (long long)json_integer_value(json_object_get(test, "class")),
                     (long long)json_integer_value(json_object_get(test, "expected_class")),
                     json_real_value(json_object_get(test, "max_difference")));
}

static int print_made(struct endpoint_words *words, json_t *made, struct error *error)
{
    json_t *test = json_object_get(made, "test");
    json_object_del(test, "picture");
    if (words->json) {
        json_object_set_new(made, "event", json_string("end"));
        cli_print_json(json_incref(made));
    } else {
        printf("%-10s %s\n%-10s %s\n", "endpoint",
               text_shown(json_string_value(json_object_get(made, "endpoint"))), "address",
               text_shown(json_string_value(json_object_get(made, "scoring_uri"))));
        print_test(test);
        fprintf(stderr, "It is billed until it is deleted: nnstudio endpoint delete %s\n",
                text_shown(json_string_value(json_object_get(made, "endpoint"))));
    }
    return judge(test, error);
}

/* At a terminal the end offers what stops the cost. */
static int offer_deletion(const struct endpoint_words *words, const char *endpoint,
                          struct error *error)
{
    struct error kept;
    if (words->yes || words->json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) ||
        confirm(words, "Delete it now?", &kept))
        return 0;
    if (registry_endpoint_delete(&words->where, endpoint, error)) return -1;
    printf("deleted %s\n", text_shown(endpoint));
    return 0;
}

static int create(struct endpoint_words *words, struct error *error)
{
    struct registry_showing showing;
    struct registry_watch watch = registry_cli_watch(&showing, words->json);
    json_t *made = NULL;
    words->deployment.model = words->subject;
    words->deployment.sample = &words->sample;
    words->deployment.agree = agree;
    words->deployment.on_logs = show_logs;
    words->deployment.context = words;
    int status = registry_endpoint_create(&words->where, &words->deployment, &watch, &made, error);
    registry_cli_watched(&showing);
    if (status) return -1;
    status = print_made(words, made, error);
    if (!status)
        status = offer_deletion(words, json_string_value(json_object_get(made, "endpoint")), error);
    json_decref(made);
    return status;
}

static int test(struct endpoint_words *words, struct error *error)
{
    json_t *found;
    if (words->given.count == 3) words->sample.image = words->given.words[2];
    if (registry_endpoint_test(&words->where, words->subject, &words->sample, &found, error))
        return -1;
    json_object_del(found, "picture");
    if (words->json)
        cli_print_json(json_incref(found));
    else
        print_test(found);
    int status = judge(found, error);
    json_decref(found);
    return status;
}

static void print_row(const json_t *row)
{
    const char *model = json_string_value(json_object_get(row, "model")),
               *version = json_string_value(json_object_get(row, "version"));
    json_t *one, *list = json_object_get(row, "deployments");
    size_t i;
    printf("%-32s %-20s %s %s\n", text_shown(json_string_value(json_object_get(row, "endpoint"))),
           text_shown(json_string_value(json_object_get(row, "state"))),
           text_shown(model ? model : "-"), text_shown(version ? version : ""));
    json_array_foreach(list, i, one)
        printf("  %-30s %-20s %lld × %s, %lld%% of the traffic, billed by the hour\n",
               text_shown(json_string_value(json_object_get(one, "name"))),
               text_shown(json_string_value(json_object_get(one, "state"))),
               (long long)json_integer_value(json_object_get(one, "instances")),
               text_shown(json_string_value(json_object_get(one, "instance_type"))),
               (long long)json_integer_value(json_object_get(one, "traffic")));
}

static int list(struct endpoint_words *words, struct error *error)
{
    json_t *rows, *row;
    size_t i;
    if (registry_endpoint_list(&words->where, &rows, error)) return -1;
    json_array_foreach(rows, i, row) {
        if (words->json)
            cli_print_json(json_incref(row));
        else
            print_row(row);
    }
    if (!words->json && !json_array_size(rows)) fputs("no endpoint is there\n", stderr);
    json_decref(rows);
    return 0;
}

static int logs(struct endpoint_words *words, struct error *error)
{
    char *text;
    if (registry_endpoint_logs(&words->where, words->subject, &text, error)) return -1;
    show_logs(words, text);
    free(text);
    return 0;
}

static int delete_endpoint(struct endpoint_words *words, struct error *error)
{
    char question[120];
    snprintf(question, sizeof question, "This deletes the endpoint %.40s and its deployments.",
             words->subject);
    if (confirm(words, question, error) ||
        registry_endpoint_delete(&words->where, words->subject, error))
        return -1;
    if (words->json)
        cli_print_json(json_pack("{s:s}", "deleted", words->subject));
    else
        printf("deleted %s\n", text_shown(words->subject));
    return 0;
}

/* words: how many, with the verb */
static const struct verb {
    const char *id, *usage;
    int least, most;
    int (*run)(struct endpoint_words *words, struct error *error);
} verbs[] = {
    {"create", "MODEL", 2, 2, create},
    {"test", "ENDPOINT [IMAGE]", 2, 3, test},
    {"list", "", 1, 1, list},
    {"logs", "ENDPOINT", 2, 2, logs},
    {"delete", "ENDPOINT", 2, 2, delete_endpoint},
};

static int run_verb(struct endpoint_words *words, struct error *error)
{
    const char *word = words->given.words[0];
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(word, verbs[i].id) != 0) continue;
        if (words->given.count >= verbs[i].least && words->given.count <= verbs[i].most)
            return verbs[i].run(words, error);
        return error_set(error, ERROR_USAGE, "write `nnstudio endpoint %s%s%s`", word,
                         *verbs[i].usage ? " " : "", verbs[i].usage);
    }
    return error_set(error, ERROR_USAGE,
                     "unknown word \"%.40s\": use create, test, list, logs or delete", word);
}

static int run(int argc, char **argv)
{
    struct endpoint_words words = {0};
    struct registry_deployment *deployment = &words.deployment;
    struct registry_cli place = {0};
    const struct cli_option own[] = {
        {"version", OPTION_TEXT, &deployment->version, "V",
         "create: the model's version (the latest)"},
        {"name", OPTION_TEXT, &deployment->endpoint, "N",
         "create: the endpoint's name (the model's name and six random digits)"},
        {"instance-type", OPTION_TEXT, &deployment->instance_type, "SIZE",
         "create: the type of machine (" REGISTRY_INSTANCE_TYPE ")"},
        {"instances", OPTION_U32, &deployment->instances, "N", "create: number of machines (1)"},
        {"image", OPTION_TEXT, &words.sample.image, "FILE",
         "create: a picture for the test (the data set's first test sample)"},
        CLI_DATA_DIR(&words.sample.data_dir),
        {"yes", OPTION_FLAG, &words.yes, NULL, "do not ask whether the cost is accepted"},
        {"json", OPTION_FLAG, &words.json, NULL, "one JSON object per line"},
        {0},
    };
    int status = cli_parse(&command_endpoint, registry_cli_options(&place, "azure", own), argc,
                           argv, &words.given);
    if (status != CLI_GO_ON) return status;

    struct error error;
    const struct registry_target *azure;
    char *home = NULL;
    words.subject = words.given.count > 1 ? words.given.words[1] : NULL;
    int failed = registry_target_need("azure", &azure, &error) ||
                 registry_cli_use(&place, azure, NULL, words.json, &words.where, &home, &error) ||
                 run_verb(&words, &error);
    status = failed ? cli_fail(&error) : EXIT_OK;
    free(home);
    return status;
}

const struct command command_endpoint = {
    .name = "endpoint",
    .run = run,
    .summary =
        "run a registered model as an online endpoint of Azure ML: create, test, list, delete",
    .usage =
        "create MODEL [--version V] [--name N] [--instance-type SIZE] [--instances N] [--yes]\n"
        "       nnstudio endpoint test ENDPOINT [IMAGE] | list | logs ENDPOINT | delete "
        "ENDPOINT [--yes]",
    .details = "create uploads the scoring script, registers its environment, creates the endpoint "
               "and its deployment, sends it the traffic and tests it. Azure bills each machine by "
               "the hour until the endpoint is deleted, so create asks first. If it was "
               "interrupted or has failed, the same command continues it; list shows what exists. "
               "test compares the answer with that of the same file on this machine.",
    .arguments_min = 1,
    .arguments_max = 3,
};
