#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/path.h"
#include "registry/registry.h"

/* A registration on its way, as a row of the store. */
struct record {
    struct store *store;
    const struct registry_watch *watch;
    int64_t id;
    int lock;      /* of what is registered: freed by the kernel when the process dies */
    json_t *data;  /* owned: {"request","journal","result","error"} */
    json_t *steps; /* owned: [{"title","begun_at"}] */
    unsigned step; /* the last that was written */
};

/* A store that cannot be written is told to the log: what is registered outside matters more. */
static void write_row(struct record *record, json_t *changes)
{
    struct error error;
    json_object_set(changes, "data", record->data);
    json_object_set(changes, "steps", record->steps);
    if (store_registration_update(record->store, record->id, changes, &error)) log_error(&error);
    json_decref(changes);
}

static void on_step(void *context, unsigned step, unsigned steps, const char *title, uint64_t done,
                    uint64_t total)
{
    struct record *record = context;
    if (step != record->step) {
        record->step = step;
        json_array_append_new(record->steps, json_pack("{s:s, s:i, s:i, s:I}", "title", title,
                                                       "step", (int)step + 1, "steps", (int)steps,
                                                       "begun_at", (json_int_t)clock_wall_ms()));
        write_row(record, json_object());
    }
    if (record->watch && record->watch->on_step)
        record->watch->on_step(record->watch->context, step, steps, title, done, total);
}

static void on_journal(void *context, const json_t *journal)
{
    struct record *record = context;
    json_object_set_new(record->data, "journal", json_deep_copy(journal));
    write_row(record, json_object());
    if (record->watch && record->watch->on_journal)
        record->watch->on_journal(record->watch->context, journal);
}

/* Where the lock of a registration lies: of one file under one name with one target. */
static void lock_path(const char *home, const char *target, const char *name, const char *sha256,
                      char out[4200])
{
    char key[512], hex[HASH_HEX_SIZE];
    snprintf(key, sizeof key, "%s %s %s", target, name, sha256);
    hash_bytes(key, strlen(key), hex);
    snprintf(out, 4200, "%s/registrations/%.16s.lock", home, hex);
}

static int take_lock(struct record *record, const char *home, const char *target, const char *name,
                     const char *sha256, struct error *error)
{
    char path[4200];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(path, sizeof path, "%s/registrations", home);
    if (file_make_directories(path, error)) return -1;
    lock_path(home, target, name, sha256, path);
    record->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (record->lock < 0) return error_set_errno(error, errno, "cannot write %s", path);
    if (fcntl(record->lock, F_OFD_SETLK, &whole) == 0) return 0;
    return error_set(
        error, ERROR_CONFLICT,
        "this file is already being registered under this name: wait until that has ended");
}

/* The unfinished row of the same thing, if there is one; its journal goes into record->data. */
static int find_unfinished(struct record *record, const char *target, const char *name,
                           const char *sha256, struct error *error)
{
    json_t *list, *row;
    size_t i;
    if (store_registration_list(record->store, NULL, 0, &list, error)) return -1;
    json_array_foreach(list, i, row) {
        const char *state = json_string_value(json_object_get(row, "state")),
                   *hash = json_string_value(json_object_get(row, "sha256"));
        if (strcmp(json_string_value(json_object_get(row, "target")), target) != 0 || !hash ||
            strcmp(hash, sha256) != 0 ||
            strcmp(json_string_value(json_object_get(row, "name")), name) != 0)
            continue;
        if (strcmp(state, "finished") == 0) break;
        record->id = json_integer_value(json_object_get(row, "id"));
        json_object_set(record->data, "journal",
                        json_object_get(json_object_get(row, "data"), "journal"));
        break;
    }
    json_decref(list);
    return 0;
}

static int begin(struct record *record, const char *run, const char *target, const char *name,
                 const char *sha256, struct error *error)
{
    if (find_unfinished(record, target, name, sha256, error)) return -1;
    if (record->id) {
        write_row(record, json_pack("{s:s}", "state", "running"));
        return 0;
    }
    json_t *row = json_pack("{s:s?, s:s, s:s, s:s, s:s, s:O}", "run", run, "target", target, "name",
                            name, "sha256", sha256, "state", "running", "data", record->data);
    int status = row ? store_registration_add(record->store, row, &record->id, error)
                     : error_set_memory(error, "a registration");
    json_decref(row);
    return status;
}

static void end(struct record *record, const json_t *result, const struct error *error)
{
    json_t *changes = json_object();
    const char *state = !error                             ? "finished"
                        : error->code == ERROR_INTERRUPTED ? "cancelled"
                                                           : "failed";
    json_object_set_new(changes, "state", json_string(state));
    json_object_del(record->data, "error");
    if (error) {
        json_object_set_new(record->data, "error", json_string(error->message));
    } else {
        static const char *const kept[] = {"name", "version", "uri", "sha256"};
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
            json_object_set(changes, kept[i], json_object_get(result, kept[i]));
        json_object_del(record->data, "journal");
        json_object_set_new(record->data, "result", json_deep_copy(result));
    }
    write_row(record, changes);
}

/* Adds to the tags what the store knows of the run and the file does not tell. */
static void add_run_tags(json_t *tags, const json_t *run)
{
    const json_t *settings = json_object_get(run, "settings"), *last = json_object_get(run, "last");
    const json_t *accuracy = json_object_get(last, "val_accuracy"),
                 *epochs = json_object_get(json_object_get(run, "progress"), "epoch");
    if (!json_object_get(tags, "run")) json_object_set(tags, "run", json_object_get(run, "id"));
    if (!json_object_get(tags, "engine"))
        json_object_set(tags, "engine", json_object_get(run, "engine"));
    if (!json_object_get(tags, "dataset") && json_is_string(json_object_get(settings, "dataset")))
        json_object_set_new(
            tags, "dataset",
            json_string(path_base(json_string_value(json_object_get(settings, "dataset")))));
    if (!json_object_get(tags, "accuracy") && json_is_number(accuracy))
        json_object_set_new(tags, "accuracy", json_sprintf("%.4f", json_number_value(accuracy)));
    if (!json_object_get(tags, "epochs") && json_is_integer(epochs))
        json_object_set_new(tags, "epochs",
                            json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(epochs)));
}

int registry_record_publish(const struct registry_job *job, struct registry_request *request,
                            json_t **out, struct error *error)
{
    struct record record = {.store = job->store,
                            .watch = job->watch,
                            .lock = -1,
                            .step = UINT32_MAX,
                            .data = json_object(),
                            .steps = json_array()};
    const struct registry_watch own = {
        .context = &record, .on_step = on_step, .on_journal = on_journal};
    const struct registry_target *target = job->target;
    const struct registry_options *options = job->options;
    char fallback[128], sha256[HASH_HEX_SIZE];
    json_t *tags = request->tags ? json_copy((json_t *)(uintptr_t)request->tags) : json_object(),
           *of_run = NULL;
    struct error ignored;
    int status = -1;
    const char *id = job->run ? job->run : json_string_value(json_object_get(tags, "run"));
    if (job->ask) json_object_set_new(record.data, "request", json_deep_copy(job->ask));
    if (id && store_run_json(job->store, id, true, &of_run, &ignored) == 0)
        add_run_tags(tags, of_run);
    request->tags = tags;
    request->run = of_run;
    registry_default_name(request, fallback);
    const char *name = request->name && *request->name ? request->name : fallback;
    if (target->check(options, request, error) ||
        hash_file(request->model_path, sha256, NULL, error))
        goto out;
    if (take_lock(&record, options->home, target->id, name, sha256, error) ||
        begin(&record, of_run ? id : NULL, target->id, name, sha256, error))
        goto out;
    request->journal = json_object_get(record.data, "journal");
    status = target->publish(options, request, &own, out, error);
    end(&record, status ? NULL : *out, status ? error : NULL);
    if (!status) json_object_set_new(*out, "registration", json_integer(record.id));
out:
    request->tags = request->run = request->journal = NULL;
    if (record.lock >= 0) close(record.lock);
    json_decref(record.data);
    json_decref(record.steps);
    json_decref(tags);
    json_decref(of_run);
    return status;
}

void registry_record_tell_cut(const char *home, json_t *rows)
{
    static const char words[] =
        "it was cut off before its end: try again, which goes on from there";
    json_t *row;
    size_t i;
    json_array_foreach(rows, i, row) {
        char path[4200];
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        const char *sha256 = json_string_value(json_object_get(row, "sha256"));
        if (!sha256 || strcmp(json_string_value(json_object_get(row, "state")), "running") != 0)
            continue;
        lock_path(home, json_string_value(json_object_get(row, "target")),
                  json_string_value(json_object_get(row, "name")), sha256, path);
        int lock = open(path, O_RDWR | O_CLOEXEC);
        bool held = lock >= 0 && fcntl(lock, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
        if (lock >= 0) close(lock);
        if (held) continue;
        json_object_set_new(row, "state", json_string("failed"));
        json_object_set_new(json_object_get(row, "data"), "error", json_string(words));
    }
}

/* The model file in a cache folder whose content has the hash; malloc'd, NULL when there is none.
 */
static char *find_cached(const char *folder, const char *sha256)
{
    char *found = NULL;
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && !found && (entry = readdir(directory))) {
        char hex[HASH_HEX_SIZE];
        struct error ignored;
        if (!path_is_plain_name(entry->d_name)) continue;
        found = path_join(folder, entry->d_name);
        if (found && hash_file(found, hex, NULL, &ignored) == 0 && strcmp(hex, sha256) == 0)
            continue;
        free(found);
        found = NULL;
    }
    if (directory) closedir(directory);
    return found;
}

int registry_cached(const struct registry_target *target, const struct registry_options *options,
                    const char *name, const char *version, char **path, json_t **found,
                    struct error *error)
{
    char folder[4200];
    json_t *shown;
    if (target->show(options, name, version, &shown, error)) return -1;
    const char *sha256 = json_string_value(json_object_get(shown, "sha256"));
    const char *exact = json_string_value(json_object_get(shown, "version"));
    bool known = sha256 && strlen(sha256) == HASH_HEX_SIZE - 1 && path_is_plain_name(sha256);
    /* One registered elsewhere tells no hash of its file: it is fetched each time. */
    snprintf(folder, sizeof folder, "%s/models/%.64s", options->home, known ? sha256 : "unknown");
    *path = known ? find_cached(folder, sha256) : NULL;
    int status = *path ? 0 : target->pull(options, name, exact, folder, path, error);
    if (!status && found) *found = json_incref(shown);
    json_decref(shown);
    return status;
}
