/* nnstudio diff: two model files, or two runs, set side by side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/data_words.h"
#include "cli/model_words.h"
#include "diff/diff.h"

#define USUAL_LIMIT   1000
#define TENSORS_SHOWN 16
#define CHANGED_SHOWN 3

/* The words of the command line. */
struct diff_words {
    const char *dataset, *data_dir, *home;
    struct model_words model;
    struct input_words data;
    uint32_t limit;
    bool json;
};

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : 0;
}

static void print_texts(const json_t *list, const char *title, const char *member)
{
    size_t index;
    json_t *entry;
    json_array_foreach(list, index, entry)
        printf("%-9s %s\n", index ? "" : title,
               text_shown(member ? js_text(entry, member) : json_string_value(entry)));
}

/* --- models ----------------------------------------------------------------------------------- */

static void print_side(const json_t *answer, const char *side, const char *title, const char *path)
{
    const json_t *model = json_object_get(answer, side);
    printf("%-9s %s: %s, %s, %.0f parameters\n", title, text_shown(path), js_text(model, "format"),
           js_text(model, "dtype"), number(model, "parameters"));
    print_texts(json_object_get(model, "assumed"), "  assumed", NULL);
}

static const char *list_words(const json_t *list, char out[48])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(list) && used < 48; i++)
        used += (size_t)snprintf(out + used, 48 - used, "%s%lld", i ? "," : "",
                                 (long long)json_integer_value(json_array_get(list, i)));
    return out;
}

static void print_tensor(const json_t *tensor)
{
    char shape[48], at[48], most[32] = "", relative[32] = "", from[64] = "";
    const json_t *values = json_object_get(tensor, "values");
    if (json_is_number(json_object_get(tensor, "max_abs"))) {
        snprintf(most, sizeof most, "%.3g", number(tensor, "max_abs"));
        snprintf(relative, sizeof relative, "%.1e", number(tensor, "relative"));
    }
    if (values)
        snprintf(from, sizeof from, "%.6g -> %.6g", json_number_value(json_array_get(values, 0)),
                 json_number_value(json_array_get(values, 1)));
    printf("  %-18.18s %-12s %-17s %9s %9s  %-12s %s\n", js_text(tensor, "name"),
           list_words(json_object_get(tensor, "shape"), shape), js_text(tensor, "difference"), most,
           relative, list_words(json_object_get(tensor, "at"), at), from);
}

/* Those that differ; how many are left out. */
static void print_tensors(const json_t *answer)
{
    size_t shown = 0, same = 0, left = 0, index;
    const json_t *tensors = json_object_get(answer, "tensors");
    json_t *tensor;
    json_array_foreach(tensors, index, tensor) {
        bool equal = strcmp(js_text(tensor, "difference"), "equal") == 0;
        same += equal;
        left += !equal && shown == TENSORS_SHOWN;
        if (equal || shown == TENSORS_SHOWN) continue;
        if (!shown++)
            printf("\n  %-18s %-12s %-17s %9s %9s  %-12s %s\n", "tensor", "shape", "difference",
                   "largest", "relative", "at", "A -> B");
        print_tensor(tensor);
    }
    if (left) printf("  %zu more tensors differ: see --json\n", left);
    printf("\n%zu of %zu tensors are equal\n", same, json_array_size(tensors));
    print_texts(json_object_get(answer, "only_in_a"), "only in A", NULL);
    print_texts(json_object_get(answer, "only_in_b"), "only in B", NULL);
}

static void print_logits(const json_t *answer)
{
    const json_t *logits = json_object_get(answer, "logits"),
                 *accuracy = json_object_get(logits, "accuracy");
    size_t index;
    json_t *changed;
    if (!json_is_object(logits)) {
        printf("logits    not compared: %s\n", text_shown(js_text(answer, "logits_missing")));
        return;
    }
    printf("logits    %.0f samples: at most %.3g apart; the same class for %.2f%%; accuracy "
           "%.2f%% and %.2f%%\n",
           number(logits, "samples"), number(logits, "max_abs"), 100 * number(logits, "agree"),
           100 * json_number_value(json_array_get(accuracy, 0)),
           100 * json_number_value(json_array_get(accuracy, 1)));
    json_array_foreach(json_object_get(logits, "changed"), index, changed) {
        if (index == CHANGED_SHOWN) break;
        printf("          sample %.0f (class %.0f): A says %.0f, B says %.0f\n",
               number(changed, "sample"), number(changed, "label"), number(changed, "a"),
               number(changed, "b"));
    }
}

static void print_models(const json_t *answer, const char *const paths[2])
{
    puts(text_shown(js_text(answer, "verdict")));
    print_side(answer, "a", "A", paths[0]);
    print_side(answer, "b", "B", paths[1]);
    print_texts(json_object_get(answer, "findings"), "differs", "text");
    print_tensors(answer);
    print_logits(answer);
}

/* The data asked for, else that which A says it was trained on; *out NULL and *reason: none. */
static int open_data(const struct diff_words *words, const char *home,
                     const struct predictor *predictor, struct dataset **out, struct error *reason,
                     struct error *error)
{
    const json_t *metadata = predictor->model->metadata;
    const struct network *network = &predictor->model->network;
    const char *path = js_text(metadata, "dataset_path"), *known = js_text(metadata, "dataset");
    const char *name = words->dataset ? words->dataset : *path ? path : known;
    const char *label = js_text(metadata, "label_column");
    struct dataset_options options = {.data_dir = words->data_dir,
                                      .home = home,
                                      .limit = words->limit,
                                      .label_column = words->dataset || !*label ? NULL : label,
                                      .rows = network->rows,
                                      .columns = network->columns,
                                      .channels = network->channels};
    *out = NULL;
    if (data_words_use(&words->data, &options, error)) return -1;
    if (!*name) {
        error_set(reason, ERROR_NOT_FOUND,
                  "A does not say what it was trained on: name data with "
                  "--dataset");
        return 0;
    }
    if (words->dataset) return dataset_open(name, &options, out, error);
    if (dataset_open(name, &options, out, reason)) *out = NULL;
    return 0;
}

static int compare_logits(const struct diff_words *words, const char *home,
                          struct predictor predictors[2], json_t *answer, struct error *error)
{
    struct dataset *dataset;
    struct error reason = {0};
    json_t *logits = NULL;
    if (open_data(words, home, &predictors[0], &dataset, &reason, error)) return -1;
    int status = 0;
    if (dataset)
        status = predictor_match(&predictors[0], dataset, &reason) ||
                         diff_logits(&predictors[0], &predictors[1], dataset, &logits, &reason)
                     ? -1
                     : 0;
    dataset_close(dataset);
    if (status && words->dataset && predictors[0].inputs == predictors[1].inputs &&
        predictors[0].classes == predictors[1].classes) {
        *error = reason;
        return -1;
    }
    diff_add_logits(answer, logits, logits ? NULL : reason.message);
    return 0;
}

static int compare_models(const struct diff_words *words, const char *home,
                          const char *const paths[2], json_t **out, struct error *error)
{
    struct modelfile_options options = {0};
    struct predictor predictors[2] = {{0}, {0}};
    int status = -1;
    *out = NULL;
    if (model_words_use(&words->model, &options, error)) return -1;
    for (int side = 0; side < 2; side++)
        if (predictor_read(paths[side], &options, &predictors[side], error)) goto out;
    if (diff_models(predictors[0].model, predictors[1].model, out, error)) goto out;
    status = compare_logits(words, home, predictors, *out, error);
out:
    for (int side = 0; side < 2; side++) predictor_close(&predictors[side]);
    return status;
}

/* --- runs ------------------------------------------------------------------------------------- */

static void print_parting(const json_t *answer)
{
    const json_t *parted = json_object_get(answer, "parted"),
                 *losses = json_object_get(parted, "losses"),
                 *first = json_object_get(answer, "first_difference"),
                 *values = json_object_get(first, "values");
    char at[48];
    if (!json_is_object(parted)) return;
    printf("losses    part at step %.0f: %.9g and %.9g\n", number(parted, "step"),
           json_number_value(json_array_get(losses, 0)),
           json_number_value(json_array_get(losses, 1)));
    if (json_is_object(first)) {
        printf("first     step %.0f, %s", number(first, "step"), js_text(first, "tensor"));
        if (values)
            printf(" [%s]: %.9g and %.9g", list_words(json_object_get(first, "at"), at),
                   json_number_value(json_array_get(values, 0)),
                   json_number_value(json_array_get(values, 1)));
        puts("  (both trained again, in float64)");
    }
    printf("cause     %s\nevidence  %s\n", js_text(answer, "cause"),
           text_shown(js_text(answer, "evidence")));
    if (*js_text(answer, "row"))
        printf("atlas     row %s: %s\n", js_text(answer, "row"), js_text(answer, "row_title"));
}

static void print_runs(const json_t *answer)
{
    static const char *const sides[2] = {"a", "b"};
    size_t index;
    json_t *setting;
    puts(text_shown(js_text(answer, "verdict")));
    for (size_t side = 0; side < 2; side++) {
        const json_t *run = json_object_get(answer, sides[side]);
        printf("%-9s %s: %s, %s, %.0f steps\n", side ? "B" : "A", js_text(run, "run"),
               js_text(run, "engine"), js_text(run, "dtype"), number(run, "steps"));
    }
    json_array_foreach(json_object_get(answer, "setting_values"), index, setting) {
        char *a = js_dump_as(json_object_get(setting, "a"),
                             JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)),
             *b = js_dump_as(json_object_get(setting, "b"),
                             JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        printf("%-9s %s: %s in A, %s in B\n", index ? "" : "settings", js_text(setting, "label"),
               text_shown(a), text_shown(b));
        free(a);
        free(b);
    }
    print_parting(answer);
}

static int compare_runs(const char *home, const char *const ids[2], json_t **out,
                        struct error *error)
{
    struct store *store;
    char *scratch = path_join(home, "scratch");
    if (!scratch) return error_set_memory(error, "a path");
    int status = store_open(home, &store, error);
    if (!status) {
        status = diff_runs(store, ids[0], ids[1], scratch, out, error);
        store_close(store);
    }
    free(scratch);
    return status;
}

/* --- both ------------------------------------------------------------------------------------- */

/* Runs are called "20261124-142233-torch-9f3a"; anything else is meant as a file. */
static bool looks_like_run(const char *word)
{
    return strspn(word, "0123456789") == 8 && word[8] == '-' && !strchr(word, '/') &&
           !file_exists(word);
}

static int is_run(const char *home, const char *word, bool *out, struct error *error)
{
    struct store *store;
    struct run_record record;
    *out = false;
    if (!looks_like_run(word)) return 0;
    if (store_open(home, &store, error)) return -1;
    int status = store_run_get(store, word, &record, error);
    store_close(store);
    *out = !status;
    return status && error->code != ERROR_NOT_FOUND ? -1 : 0;
}

static int compare(const struct diff_words *words, const char *home, const char *const given[2],
                   json_t **out, struct error *error)
{
    bool run[2];
    *out = NULL;
    for (int side = 0; side < 2; side++)
        if (is_run(home, given[side], &run[side], error)) return -1;
    if (run[0] != run[1] && file_exists(given[run[0] ? 1 : 0]))
        return error_set(error, ERROR_USAGE,
                         "%s is a run and %s is a model file: name two runs, or two files",
                         given[run[0] ? 0 : 1], given[run[0] ? 1 : 0]);
    if (run[0] && run[1]) return compare_runs(home, given, out, error);
    if (run[0] != run[1])
        return error_set(error, ERROR_NOT_FOUND,
                         "there is no run %s: see nnstudio runs for those that are there",
                         given[run[0] ? 1 : 0]);
    return compare_models(words, home, given, out, error);
}

static int run(int argc, char **argv)
{
    struct diff_words words = {.limit = USUAL_LIMIT};
    const struct cli_option options[] = {
        {"dataset", OPTION_TEXT, &words.dataset, "NAME|PATH",
         "models: the data set whose test samples both classify (A's own)"},
        CLI_DATA_DIR(&words.data_dir),
        {"limit", OPTION_U32, &words.limit, "N",
         "models: at most this many samples; 0: all (1000)"},
        MODEL_OPTIONS(words.model),
        {"home", OPTION_TEXT, &words.home, "DIR", "the studio's home, with its runs and data/"},
        DATA_OPTIONS(words.data),
        {"json", OPTION_FLAG, &words.json, NULL, "one JSON object instead of text"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    char *home = NULL;
    json_t *answer = NULL;
    int status = cli_parse(&command_diff, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    const char *const words_given[2] = {arguments.words[0], arguments.words[1]};
    if (path_home(words.home, &home, &error) ||
        compare(&words, home, words_given, &answer, &error)) {
        status = cli_fail(&error);
    } else {
        status = json_is_true(json_object_get(answer, "same")) ? EXIT_OK : EXIT_FAILED;
        if (words.json)
            cli_print_json(json_incref(answer));
        else if (strcmp(js_text(answer, "kind"), "runs") == 0)
            print_runs(answer);
        else
            print_models(answer, words_given);
    }
    json_decref(answer);
    free(home);
    return status;
}

const struct command command_diff = {
    .name = "diff",
    .run = run,
    .summary = "show what differs between two model files or two runs, and why",
    .usage = "A B [--dataset mnist] [options]",
    .details = "A and B are two model files, or the ids of two runs. Options that say what a model "
               "file does not say hold for every file that does not say it. The exit status is 0 "
               "when both are the same except for rounding, else 1.",
    .arguments_min = 2,
    .arguments_max = 2,
};
