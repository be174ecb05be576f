/* nnstudio runs: what was trained, from the terminal or the dashboard. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "base/text.h"
#include "base/zip_new.h"
#include "cli/cli.h"
#include "http/export.h"
#include "store/store.h"

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* --- list --- */

static void print_line(const json_t *run)
{
    char when[32], accuracy[16] = "", speed[24] = "", epochs[32];
    const json_t *progress = json_object_get(run, "progress");
    double right = number(json_object_get(run, "last"), "val_accuracy"),
           rate = number(progress, "samples_per_second");
    clock_format_utc((int64_t)number(run, "created_at"), when);
    if (isfinite(right)) snprintf(accuracy, sizeof accuracy, "%.2f%%", 100 * right);
    if (isfinite(rate)) snprintf(speed, sizeof speed, "%.0f", rate);
    const char *title = js_text(run, "title");
    snprintf(epochs, sizeof epochs, "%.0f/%.0f", number(progress, "epoch"),
             number(progress, "epochs"));
    printf("%-34s %.10s %.5s  %-10s %-11s %-14s %9s %8s %10s  %s\n", js_text(run, "id"), when,
           when + 11, js_text(run, "engine"), js_text(run, "state"),
           text_shown(js_text(json_object_get(run, "settings"), "dataset")), epochs, accuracy,
           speed, text_shown(*title ? title : js_text(run, "name")));
}

static int list(struct store *store, bool as_json, struct error *error)
{
    const struct run_filter filter = {0};
    json_t *runs, *run;
    uint64_t total;
    size_t index;
    if (store_run_list(store, &filter, &runs, &total, error)) return -1;
    if (!as_json && total)
        printf("%-34s %-16s  %-10s %-11s %-14s %9s %8s %10s  %s\n", "run", "begun (UTC)", "engine",
               "state", "data", "epochs", "test acc", "samples/s", "title");
    json_array_foreach(runs, index, run) {
        if (as_json)
            cli_print_json(json_incref(run));
        else
            print_line(run);
    }
    if (!as_json && !total) puts("No runs yet: nnstudio train makes one.");
    json_decref(runs);
    return 0;
}

/* --- show --- */

/* "0.4012    88.10%" or as many blanks. */
static void print_measured(const json_t *epoch, const char *loss, const char *accuracy)
{
    double value = number(epoch, loss);
    if (isfinite(value))
        printf("  %8.4f   %6.2f%%", value, 100 * number(epoch, accuracy));
    else
        printf("  %8s   %7s", "", "");
}

static void print_epochs(const json_t *run)
{
    const json_t *epoch, *epochs = json_object_get(run, "epochs");
    size_t index;
    bool validated = isfinite(number(json_array_get(epochs, 0), "validation_loss"));
    printf("\nepoch  engine          loss  accuracy  %stest loss  test acc  seconds  rate\n",
           validated ? "val. loss  val. acc  " : "");
    json_array_foreach(epochs, index, epoch) {
        char rate[JS_SHORTEST_SIZE];
        printf("%5.0f  %-10s", number(epoch, "epoch"), js_text(epoch, "engine"));
        print_measured(epoch, "loss", "accuracy");
        if (validated) print_measured(epoch, "validation_loss", "validation_accuracy");
        print_measured(epoch, "val_loss", "val_accuracy");
        printf(" %8.2f", number(epoch, "seconds"));
        if (isfinite(number(epoch, "learning_rate")))
            printf("  %s", js_shortest(number(epoch, "learning_rate"), rate));
        putchar('\n');
    }
}

/* "4, 1200 samples/s each, 18 % of the time in communication" */
static void print_ranks(const json_t *progress)
{
    double ranks = number(progress, "ranks"), rate = number(progress, "samples_per_second"),
           share = number(progress, "communication_share");
    if (ranks < 2) return;
    printf("%-15s %.0f", "ranks", ranks);
    if (isfinite(rate)) printf(", %.0f samples/s each", rate / ranks);
    if (isfinite(share)) printf(", %.0f%% of the training time in communication", 100 * share);
    putchar('\n');
}

static void print_run(const json_t *run)
{
    static const char *const shown[] = {"id",    "title", "name",       "engine", "engine_version",
                                        "state", "error", "started_by", "notes"};
    const json_t *file;
    size_t index;
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        if (*js_text(run, shown[i]))
            printf("%-15s %s\n", shown[i], text_shown(js_text(run, shown[i])));
    print_ranks(json_object_get(run, "progress"));
    char *settings = js_dump(json_object_get(run, "settings"));
    if (settings) printf("%-15s %s\n", "settings", text_shown(settings));
    free(settings);
    json_array_foreach(json_object_get(run, "files"), index, file)
        printf("%-15s %s  %.0f bytes  sha256 %s\n", "file", text_shown(js_text(file, "path")),
               number(file, "bytes"), js_text(file, "sha256"));
    if (json_array_size(json_object_get(run, "epochs"))) print_epochs(run);
}

static int show(struct store *store, const char *id, bool as_json, struct error *error)
{
    json_t *run;
    if (store_run_json(store, id, true, &run, error)) return -1;
    if (as_json) {
        cli_print_json(run);
        return 0;
    }
    print_run(run);
    json_decref(run);
    return 0;
}

/* --- export --- */

static int add_model(zip_t *archive, struct store *store, const char *id, const char *name,
                     struct error *error)
{
    char *path;
    if (store_file_path(store, id, name, &path, error)) return -1;
    int status = zip_new_add_file(archive, name, path, error);
    free(path);
    return status;
}

static int add_all(zip_t *archive, struct store *store, const char *id, const json_t *run,
                   const char *settings, const char *curve, const char *whole, struct error *error)
{
    const json_t *file;
    size_t index;
    if (zip_new_add_bytes(archive, "settings.json", settings, strlen(settings), error) ||
        zip_new_add_bytes(archive, "run.json", whole, strlen(whole), error) ||
        zip_new_add_file(archive, "curve.csv", curve, error))
        return -1;
    json_array_foreach(json_object_get(run, "files"), index, file)
        if (add_model(archive, store, id, js_text(file, "name"), error)) return -1;
    return 0;
}

static int write_archive(struct store *store, const char *id, const char *path, const json_t *run,
                         const char *curve, struct error *error)
{
    int status = -1;
    zip_t *archive;
    char *settings = js_dump_as(json_object_get(run, "settings"),
                                JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    char *whole = js_dump_as(run, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (!settings || !whole) {
        error_set_memory(error, "an archive");
    } else if (!zip_new(path, &archive, error)) {
        if (add_all(archive, store, id, run, settings, curve, whole, error))
            zip_discard(archive);
        else
            status = zip_new_finish(archive, path, error);
    }
    free(settings);
    free(whole);
    return status;
}

/* Made beside its place; it gets its name once that is printed. */
static int export(struct store *store, const char *id, const char *path, bool as_json,
                  struct error *error)
{
    struct file_scratch scratch;
    json_t *run = NULL;
    char *place = NULL, *curve = NULL;
    int status = -1;
    if (file_scratch_create(path, &scratch, error)) return -1;
    place = path_join(scratch.folder, path_base(path));
    curve = path_join(scratch.folder, "curve.csv");
    if (!place || !curve) {
        error_set_memory(error, "a path");
        goto out;
    }
    if (store_run_json(store, id, true, &run, error) ||
        export_to_file(store, id, true, curve, error) ||
        write_archive(store, id, place, run, curve, error))
        goto out;
    if (as_json)
        cli_print_json(json_pack("{s:s, s:s}", "run", id, "file", path));
    else
        puts(text_shown(path));
    status = cli_output_failed()
                 ? error_set(
                       error, ERROR_IO,
                       "the file's name cannot be printed, so %s is not kept: make room there",
                       path)
                 : file_scratch_deliver(&scratch, path, error);
out:
    json_decref(run);
    free(place);
    free(curve);
    file_scratch_remove(&scratch);
    return status;
}

static int change_rate(struct store *store, const char *id, const char *text, bool as_json,
                       struct error *error)
{
    char *end;
    double rate = strtod(text, &end);
    if (end == text || *end)
        return error_set(error, ERROR_USAGE, "\"%.40s\" is not a learning rate: use a number",
                         text);
    if (store_run_change_rate(store, id, rate, error)) return -1;
    if (as_json)
        cli_print_json(json_pack("{s:s, s:f}", "run", id, "rate", rate));
    else
        printf("%s goes on with the learning rate %g from its next step.\n", text_shown(id), rate);
    return 0;
}

static int rm(struct store *store, const char *id, bool as_json, struct error *error)
{
    if (store_run_delete(store, id, true, error)) return -1;
    if (as_json) cli_print_json(json_pack("{s:s}", "removed", id));
    return 0;
}

static int rebuild(const char *home, bool as_json, struct error *error)
{
    uint32_t count;
    char *aside;
    if (store_rebuild(home, &aside, &count, error)) return -1;
    if (as_json)
        cli_print_json(json_pack("{s:I, s:s?}", "runs", (json_int_t)count, "kept", aside));
    else
        printf("%u runs are in the list again.%s%s\n", count,
               aside ? " The damaged database is kept as " : "", aside ? text_shown(aside) : "");
    free(aside);
    return 0;
}

/* --- the command --- */

static int perform(struct store *store, const struct cli_arguments *arguments, const char *out,
                   bool as_json, struct error *error)
{
    uint32_t count;
    const char *verb = arguments->words[0], *id = arguments->words[1];
    if (store_mark_interrupted(store, &count, error)) return -1;
    if (strcmp(verb, "list") == 0) return list(store, as_json, error);
    if (strcmp(verb, "show") == 0) return show(store, id, as_json, error);
    if (strcmp(verb, "export") == 0) return export(store, id, out, as_json, error);
    if (strcmp(verb, "rate") == 0)
        return change_rate(store, id, arguments->words[2], as_json, error);
    return rm(store, id, as_json, error);
}

/* 0, or the exit status of a wrong use. */
static int check_words(const struct cli_arguments *arguments, const char *out)
{
    static const char *const verbs[] = {"list", "show", "export", "rate", "rm", "rebuild"};
    const char *verb = arguments->count ? arguments->words[0] : "list";
    bool known = false;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        known = known || strcmp(verb, verbs[i]) == 0;
    if (!known)
        return cli_usage_error(
            "unknown word \"%.40s\": use list, show, export, rate, rm or rebuild", verb);
    bool needs_run = strcmp(verb, "list") != 0 && strcmp(verb, "rebuild") != 0;
    if (needs_run && arguments->count < 2)
        return cli_usage_error("which run? nnstudio runs %s RUN", verb);
    if (!needs_run && arguments->count > 1)
        return cli_usage_error("runs %s takes no run%s", verb,
                               strcmp(verb, "list") == 0 ? ": use show" : "");
    bool rates = strcmp(verb, "rate") == 0;
    if (rates && arguments->count < 3)
        return cli_usage_error("which learning rate? nnstudio runs rate RUN RATE");
    if (!rates && arguments->count > 2)
        return cli_usage_error("runs %s takes no \"%.40s\"", verb, arguments->words[2]);
    bool exports = strcmp(verb, "export") == 0;
    if (exports && !out)
        return cli_usage_error(
            "no file is named to write to: nnstudio runs export RUN --out FILE.zip");
    return 0;
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    const char *home_option = NULL, *out = NULL;
    const struct cli_option options[] = {
        {"out", OPTION_TEXT, &out, "FILE.zip", "export: the archive to write"},
        {"home", OPTION_TEXT, &home_option, "DIR", "where runs are kept"},
        {"json", OPTION_FLAG, &as_json, NULL, "JSON instead of text, one object per line"},
        {0},
    };
    struct cli_arguments arguments;
    struct error error;
    struct store *store = NULL;
    char *home = NULL;
    int status = cli_parse(&command_runs, options, argc, argv, &arguments);
    if (status != CLI_GO_ON) return status;
    status = check_words(&arguments, out);
    if (status) return status;
    if (!arguments.count) arguments.words[0] = "list";
    int failed = path_home(home_option, &home, &error);
    if (!failed && strcmp(arguments.words[0], "rebuild") == 0)
        failed = rebuild(home, as_json, &error);
    else if (!failed)
        failed = store_open(home, &store, &error) ||
                 perform(store, &arguments, out, as_json, &error);
    store_close(store);
    free(home);
    return failed ? cli_fail(&error) : EXIT_OK;
}

const struct command command_runs = {
    .name = "runs",
    .run = run,
    .summary = "list, show, export, steer and remove runs",
    .usage = "[list] | show RUN | export RUN --out FILE.zip | rate RUN RATE | rm RUN | rebuild",
    .details = "An export holds the settings, the curve of every step as CSV, the whole run as "
               "JSON, and the model files. rate changes the learning rate of a run that trains, "
               "from its next step on; its schedule goes on, multiplied by the same factor. "
               "rebuild makes a new list from the runs' folders when the database is damaged, and "
               "keeps the damaged file beside it.",
    .arguments_max = 3,
};
