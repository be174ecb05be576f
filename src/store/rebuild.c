/* The list of runs made anew from the runs' folders, when the database is damaged. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/log.h"
#include "base/path.h"
#include "run/journal.h"
#include "store/points.h"
#include "store/runs.h"

#define JOB_MAX ((size_t)1 << 20)

/* What a run's folder tells. */
struct remains {
    struct job job;
    char folder[JOB_PATH_MAX];
    int64_t written_at; /* of job.json: when the run was last started */
    json_t *starts, *epochs, *ends, *errors;
    struct journal_losses losses;
};

static void remains_free(struct remains *remains)
{
    json_decref(remains->starts);
    json_decref(remains->epochs);
    json_decref(remains->ends);
    json_decref(remains->errors);
    free(remains->losses.losses);
    free(remains);
}

static const json_t *last_of(const json_t *events)
{
    return json_array_get(events, json_array_size(events) - 1);
}

static int64_t time_of(const json_t *event)
{
    return json_integer_value(json_object_get(event, "at"));
}

static int read_job(const char *run, struct remains *remains, struct error *error)
{
    struct stat info;
    json_t *value = NULL;
    char *path = path_join(remains->folder, "job.json");
    if (!path) return error_set_memory(error, "a path");
    job_init(&remains->job);
    int status = js_read_object(path, JOB_MAX, &value, error) ||
                         job_from_json(value, &remains->job, error)
                     ? -1
                     : 0;
    if (!status && strcmp(remains->job.run, run) != 0)
        status = error_set(error, ERROR_INPUT, "%s is of the run \"%.60s\"", path,
                           remains->job.run);
    if (!status && !stat(path, &info)) remains->written_at = (int64_t)info.st_mtime * 1000;
    json_decref(value);
    free(path);
    return status;
}

static int read_remains(const char *home, const char *run, struct remains *remains,
                        struct error *error)
{
    if ((size_t)snprintf(remains->folder, sizeof remains->folder, "%s/runs/%s", home, run) >=
        sizeof remains->folder)
        return error_set(error, ERROR_INPUT, "the path of the home folder is too long");
    if (read_job(run, remains, error)) return -1;
    const char *folder = remains->folder;
    remains->starts = journal_read_events(folder, "start", UINT64_MAX >> 1);
    remains->epochs = journal_read_events(folder, "epoch", UINT64_MAX >> 1);
    remains->ends = journal_read_events(folder, "end", UINT64_MAX >> 1);
    remains->errors = journal_read_events(folder, "error", UINT64_MAX >> 1);
    if (!remains->starts || !remains->epochs || !remains->ends || !remains->errors)
        return error_set_memory(error, "a run's journal");
    return journal_read_losses(folder, 0, UINT64_MAX >> 1, &remains->losses, error);
}

/* The curve, with the training time that each epoch took; what came after the last one took as long
 * as those before. */
static int put_points(struct store *store, int64_t key, const struct remains *remains,
                      double *seconds, struct error *error)
{
    const json_t *event;
    size_t index, done = 0, count = remains->losses.count;
    *seconds = 0;
    json_array_foreach(remains->epochs, index, event) {
        const json_t *next = json_array_get(remains->epochs, index + 1);
        int64_t end = json_integer_value(json_object_get(event, "global_step"));
        /* an epoch that was trained again has a later line */
        if (next && json_integer_value(json_object_get(next, "global_step")) <= end) continue;
        if (end <= (int64_t)done || (size_t)end > count) continue;
        *seconds += json_number_value(json_object_get(event, "seconds"));
        if (points_append(store, key, (int64_t)done, remains->losses.losses + done,
                          (size_t)end - done, *seconds, error))
            return -1;
        done = (size_t)end;
    }
    if (done) *seconds += *seconds / (double)done * (double)(count - done);
    return points_append(store, key, (int64_t)done, remains->losses.losses + done, count - done,
                         *seconds, error);
}

static int put_file(struct store *store, int64_t key, const char *path, int64_t at,
                    struct error *error)
{
    char sha256[HASH_HEX_SIZE];
    uint64_t bytes;
    struct error ignored;
    if (!file_exists(path) || hash_file(path, sha256, &bytes, &ignored)) return 0;
    return query_run(store,
                     "INSERT OR REPLACE INTO files (run, name, format, path, bytes, sha256, "
                     "written_at) VALUES (?,?,?,?,?,?,?)",
                     error, "isssisi", key, path_base(path), path_extension(path), path,
                     (int64_t)bytes, sha256, at);
}

/* The models it wrote. One that another run has replaced since has another digest. */
static int put_files(struct store *store, int64_t key, const struct remains *remains,
                     struct error *error)
{
    const json_t *event;
    size_t index;
    json_array_foreach(remains->ends, index, event) {
        const char *path = js_text(event, "model_path"), *said = js_text(event, "sha256");
        char found[HASH_HEX_SIZE];
        struct error ignored;
        if (path[0] != '/' || hash_file(path, found, NULL, &ignored) || strcmp(found, said) != 0)
            continue;
        if (put_file(store, key, path, time_of(event), error)) return -1;
    }
    if (json_array_size(remains->ends)) return 0;
    /* written by a version that kept no such line */
    static const char *const endings[] = {"safetensors", "pth", "h5"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char path[2 * JOB_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s.%s", remains->job.out_dir, remains->job.name,
                 endings[i]);
        if (strncmp(path, remains->folder, strlen(remains->folder)) == 0 &&
            put_file(store, key, path, remains->written_at, error))
            return -1;
    }
    return 0;
}

/* How it ended, by its last words; one that said none since it was last started was interrupted. */
static enum run_state last_state(struct store *store, int64_t key, const struct remains *remains,
                                 const char **message, struct error *error)
{
    const json_t *start = last_of(remains->starts), *end = last_of(remains->ends),
                 *failure = last_of(remains->errors);
    int64_t files = 0, epochs = 0;
    *message = NULL;
    if (failure && time_of(failure) >= time_of(start) && time_of(failure) > time_of(end)) {
        *message = js_text(failure, "message");
        return RUN_FAILED;
    }
    if (end && time_of(end) >= time_of(start))
        return strcmp(js_text(end, "state"), "finished") == 0 ? RUN_FINISHED : RUN_STOPPED;
    if (!start && /* an older version's */
        !query_integer(store, "SELECT count(*) FROM files WHERE run=?", &files, error, "i", key) &&
        !query_integer(store, "SELECT max(epoch) FROM epochs WHERE run=?", &epochs, error, "i",
                       key) &&
        files && epochs >= remains->job.epochs)
        return RUN_FINISHED;
    *message = "the process that trained it ended before the run did";
    return RUN_INTERRUPTED;
}

static int put_figures(struct store *store, int64_t key, const struct remains *remains,
                       double seconds, struct error *error)
{
    const json_t *first = json_array_get(remains->starts, 0), *last = last_of(remains->starts),
                 *end = last_of(remains->ends), *epoch = last_of(remains->epochs);
    char *network = js_dump(json_object_get(last, "network"));
    char *checkpoint = path_join(remains->folder, "checkpoint.safetensors");
    int64_t begun = first ? time_of(first) : remains->written_at;
    size_t count = remains->losses.count;
    const json_t *loss = json_object_get(epoch, "loss"), *cpu = json_object_get(end, "cpu_seconds");
    int status = query_run(
        store,
        "UPDATE runs SET created_at=?1, started_at=?1, engine_version=?2, "
        "network=coalesce(?3,network), parameters=?4, steps_per_epoch=?5, data_sha256=?6, "
        "global_step=?7, seconds=?8, loss=?9, cpu_seconds=?10, checkpoint=?11, ranks=?13,"
        " samples_per_second=(SELECT sum(samples_per_second*seconds)/sum(seconds) FROM epochs"
        " WHERE run=?12 AND seconds>0 AND samples_per_second>0) WHERE key=?12",
        error, "issiisidddiii", begun, js_text(last, "engine_version"), network,
        (int64_t)json_integer_value(json_object_get(last, "parameters")),
        (int64_t)json_integer_value(json_object_get(last, "steps_per_epoch")),
        json_string_value(json_object_get(last, "data_sha256")), (int64_t)count, seconds,
        loss    ? json_number_value(loss)
        : count ? remains->losses.losses[count - 1]
                : (double)NAN,
        cpu ? json_number_value(cpu) : (double)NAN,
        (int64_t)(checkpoint && file_exists(checkpoint)), key, store_ranks_of(last));
    free(network);
    free(checkpoint);
    return status;
}

static int put_run(struct store *store, const char *run, const struct remains *remains,
                   struct error *error)
{
    int64_t key, at;
    double seconds;
    const char *message;
    if (store_run_create(store, &remains->job, NULL, NULL, false, error) ||
        store_run_key(store, run, &key, error) ||
        put_points(store, key, remains, &seconds, error) ||
        store_recover(store, key, run, (int64_t)remains->losses.count, INT64_MAX, error) ||
        put_files(store, key, remains, error) || put_figures(store, key, remains, seconds, error))
        return -1;
    enum run_state state = last_state(store, key, remains, &message, error);
    const json_t *end = state == RUN_FAILED ? last_of(remains->errors) : last_of(remains->ends);
    at = end ? time_of(end) : remains->written_at;
    return store_run_set_state(store, run, state, message, error) ||
                   query_run(store, "UPDATE runs SET ended_at=?, owner_kind=NULL WHERE key=?",
                             error, "ii", at, key) ||
                   store_add_log(store, key, run, "taken from the run's folder", error)
               ? -1
               : 0;
}

/* 1: the run is in the list; 0: its folder does not tell enough, which is said. */
static int rebuild_run(struct store *store, const char *run, struct error *error)
{
    struct remains *remains = calloc(1, sizeof *remains);
    struct error why;
    if (!remains) return error_set_memory(error, "a run");
    if (store_run_has_worker(store, run)) {
        remains_free(remains);
        return error_set(error, ERROR_CONFLICT,
                         "run %.60s is being trained: wait for it, or stop it first", run);
    }
    int status = read_remains(store->home, run, remains, &why);
    if (status) {
        log_line("nnstudio: the run %s is left out: %s", run, why.message);
        remains_free(remains);
        return 0;
    }
    status = store_begin(store, error);
    if (!status) {
        status = put_run(store, run, remains, error);
        if (status)
            store_rollback(store);
        else
            status = store_commit(store, error);
    }
    remains_free(remains);
    return status ? -1 : 1;
}

int store_take_run(struct store *store, const char *run, const char *model, struct error *error)
{
    int64_t there = 0, key;
    struct remains *remains;
    if (query_integer(store, "SELECT count(*) FROM runs WHERE id=?", &there, error, "s", run))
        return -1;
    if (there) return 0;
    remains = calloc(1, sizeof *remains);
    if (!remains) return error_set_memory(error, "a run");
    int status = read_remains(store->home, run, remains, error);
    if (!status && !(status = store_begin(store, error))) {
        status = put_run(store, run, remains, error) || store_run_key(store, run, &key, error) ||
                         (model && put_file(store, key, model, remains->written_at, error))
                     ? -1
                     : 0;
        if (status)
            store_rollback(store);
        else
            status = store_commit(store, error);
    }
    remains_free(remains);
    return status;
}

static int is_run(const struct dirent *entry)
{
    return path_is_plain_name(entry->d_name);
}

static int rebuild_all(struct store *store, uint32_t *count, struct error *error)
{
    struct dirent **entries = NULL;
    char *runs = path_join(store->home, "runs");
    if (!runs) return error_set_memory(error, "a path");
    int found = scandir(runs, &entries, is_run, alphasort), status = 0;
    for (int i = 0; i < found; i++) {
        char *folder = path_join(runs, entries[i]->d_name),
             *job = folder ? path_join(folder, "job.json") : NULL;
        int done = status || !job || !file_exists(job)
                       ? 0
                       : rebuild_run(store, entries[i]->d_name, error);
        if (done < 0)
            status = -1;
        else
            *count += (uint32_t)done;
        free(job);
        free(folder);
        free(entries[i]);
    }
    free(entries);
    free(runs);
    return status;
}

bool store_has_runs(const char *home)
{
    char *runs = path_join(home, "runs");
    DIR *entries = runs ? opendir(runs) : NULL;
    bool found = false;
    for (struct dirent *entry; entries && !found && (entry = readdir(entries));) {
        char path[JOB_PATH_MAX];
        found = path_is_plain_name(entry->d_name) &&
                (size_t)snprintf(path, sizeof path, "%s/%s/job.json", runs, entry->d_name) <
                    sizeof path &&
                file_exists(path);
    }
    if (entries) closedir(entries);
    free(runs);
    return found;
}

/* What SQLite keeps beside a database, and itself. */
static const char *const database_endings[] = {"-wal", "-shm", ""};
#define ENDINGS (sizeof database_endings / sizeof database_endings[0])

/* Renames the database and what SQLite keeps beside it. */
static int move_all(const char *from, const char *to, struct error *error)
{
    for (size_t i = 0; i < ENDINGS; i++) {
        char *old = NULL, *new = NULL;
        int status = asprintf(&old, "%s%s", from, database_endings[i]) < 0 ||
                             asprintf(&new, "%s%s", to, database_endings[i]) < 0
                         ? error_set_memory(error, "a path")
                         : 0;
        if (!status && file_exists(old) && rename(old, new))
            status = error_set(error, ERROR_IO,
                               "cannot move %s aside: fix the permissions of its folder", old);
        free(old);
        free(new);
        if (status) return -1;
    }
    return 0;
}

static void remove_all(const char *path)
{
    for (size_t i = 0; i < ENDINGS; i++) {
        char *file = NULL;
        if (asprintf(&file, "%s%s", path, database_endings[i]) >= 0) unlink(file);
        free(file);
    }
}

int store_rebuild(const char *home, char **aside, uint32_t *count, struct error *error)
{
    struct store *store = NULL;
    char *path = path_join(home, "studio.db"), when[32];
    time_t now = time(NULL);
    struct tm parts;
    int status = -1;
    *count = 0;
    *aside = NULL;
    gmtime_r(&now, &parts);
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", &parts);
    if (!path || asprintf(aside, "%s.damaged-%s", path, when) < 0) {
        *aside = NULL;
        error_set_memory(error, "a path");
        goto out;
    }
    if (store_check_damaged(home, error)) goto out;
    if (!store_has_runs(home)) {
        error_set(error, ERROR_NOT_FOUND, "there are no runs in %s to make the list from", home);
        goto out;
    }
    bool there = file_exists(path);
    if (there && move_all(path, *aside, error)) goto out;
    status = store_open_new(home, &store, error) || rebuild_all(store, count, error) ? -1 : 0;
    store_close(store);
    if (status) { /* as it was */
        struct error ignored;
        remove_all(path);
        if (there) move_all(*aside, path, &ignored);
    }
    if (!there || status) {
        free(*aside);
        *aside = NULL;
    }
out:
    if (status) {
        free(*aside);
        *aside = NULL;
    }
    free(path);
    return status;
}
