/* Runs: one row each, and what changes it. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "base/text.h"
#include "run/rate.h"
#include "run/settings.h"
#include "store/database.h"
#include "store/owner.h"
#include "store/points.h"
#include "store/runs.h"

static const char *const state_names[RUN_STATE_COUNT] = {"queued",  "starting", "running",
                                                         "paused",  "stopping", "finished",
                                                         "stopped", "failed",   "interrupted"};

const char *run_state_name(enum run_state state)
{
    CHECK(state < RUN_STATE_COUNT);
    return state_names[state];
}

int run_state_parse(const char *name, enum run_state *out, struct error *error)
{
    for (int i = 0; i < RUN_STATE_COUNT; i++) {
        if (strcmp(name, state_names[i]) != 0) continue;
        *out = (enum run_state)i;
        return 0;
    }
    return error_set(error, ERROR_INPUT, "\"%.40s\" is not a state of a run", name);
}

bool run_state_is_live(enum run_state state)
{
    return state <= RUN_STOPPING;
}

static int not_found(const char *run, struct error *error)
{
    return error_set(error, ERROR_NOT_FOUND, "there is no run \"%.60s\": see nnstudio runs list",
                     run);
}

int store_run_key(struct store *store, const char *run, int64_t *key, struct error *error)
{
    *key = 0;
    if (query_integer(store, "SELECT key FROM runs WHERE id=?", key, error, "s", run)) return -1;
    return *key ? 0 : not_found(run, error);
}

int store_add_event(struct store *store, const char *kind, const char *run, int64_t first,
                    int64_t count, const char *data, struct error *error)
{
    return query_run(store, "INSERT INTO events (kind, run, first, count, data) VALUES (?,?,?,?,?)",
                     error, "ssiis", kind, run, first, count, data);
}

int store_run_create(struct store *store, const struct job *job, const char *showdown,
                     const json_t *tags, bool by_terminal, struct error *error)
{
    char owner[OWNER_SIZE];
    owner_self(owner);
    json_t *settings = settings_to_json(job);
    char *text = js_dump(settings), *tag_text = tags ? js_dump(tags) : strdup("[]");
    int status = text && tag_text ? store_begin(store, error) : error_set_memory(error, "a run");
    if (status) goto out;
    status = query_run(store,
                       "INSERT INTO runs (id, name, engine, state, settings, tags, showdown, "
                       "out_dir, data_dir, created_at,"
                       " epochs, owner, owner_kind) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                       error, "sssssssssiiss", job->run, job->name, job->engine,
                       state_names[RUN_QUEUED], text, tag_text, showdown, job->out_dir,
                       job->data_dir, clock_wall_ms(), (int64_t)job->epochs, owner,
                       by_terminal ? "terminal" : "server") ||
             store_add_event(store, "run", job->run, 0, 0, NULL, error);
    if (status)
        store_rollback(store);
    else
        status = store_commit(store, error);
out:
    json_decref(settings);
    free(text);
    free(tag_text);
    return status ? -1 : 0;
}

static int copy_text(char *out, size_t size, const char *text, struct error *error)
{
    if (strlen(text) >= size)
        return error_set(error, ERROR_INPUT, "a text in the database is too long");
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int fill_job(struct store *store, sqlite3_stmt *row, const char *run, struct job *job,
                    struct error *error)
{
    json_t *settings = column_parsed_json(row, 0);
    int status = settings_from_json(settings, job, error);
    json_decref(settings);
    if (status || copy_text(job->run, sizeof job->run, run, error) ||
        copy_text(job->engine, sizeof job->engine, column_text(row, 1), error) ||
        copy_text(job->name, sizeof job->name, column_text(row, 2), error) ||
        copy_text(job->out_dir, sizeof job->out_dir, column_text(row, 3), error) ||
        copy_text(job->data_dir, sizeof job->data_dir, column_text(row, 4), error) ||
        copy_text(job->home, sizeof job->home, store->home, error))
        return -1;
    job->epochs = (uint32_t)sqlite3_column_int64(row, 5);
    if ((size_t)snprintf(job->run_dir, sizeof job->run_dir, "%s/runs/%s", store->home, run) >=
        sizeof job->run_dir)
        return error_set(error, ERROR_INPUT, "the path of the home folder is too long");
    return 0;
}

int store_run_get(struct store *store, const char *run, struct run_record *out, struct error *error)
{
    sqlite3_stmt *row;
    if (query_start(store,
                    "SELECT settings, engine, name, out_dir, data_dir, epochs, state, owner, "
                    "owner_kind, checkpoint, deleted_at,"
                    " global_step FROM runs WHERE id=?",
                    &row, error, "s", run))
        return -1;
    int status = query_step(store, row, error);
    if (status == 0) status = not_found(run, error);
    if (status == 1) {
        const char *owner = column_text(row, 7);
        *out = (struct run_record){
            .owned = *owner != '\0',
            .owner_pid = owner_pid(owner),
            .by_terminal = strcmp(column_text(row, 8), "terminal") == 0,
            .checkpoint = sqlite3_column_int(row, 9) != 0,
            .deleted = sqlite3_column_type(row, 10) != SQLITE_NULL,
            .global_step = (uint64_t)sqlite3_column_int64(row, 11),
        };
        status = run_state_parse(column_text(row, 6), &out->state, error);
        if (!status) status = fill_job(store, row, run, &out->job, error);
    }
    query_end(row);
    return status ? -1 : 0;
}

int store_run_set_state(struct store *store, const char *run, enum run_state state,
                        const char *message, struct error *error)
{
    int64_t now = clock_wall_ms();
    if (store_begin(store, error)) return -1;
    int status = query_run(store,
                           "UPDATE runs SET state=?1, error=?2, started_at=CASE WHEN ?1='starting' "
                           "AND started_at IS NULL THEN ?3"
                           " ELSE started_at END, ended_at=CASE WHEN ?4 THEN NULL ELSE ?3 END,"
                           " owner=CASE WHEN ?4 THEN owner ELSE NULL END WHERE id=?5",
                           error, "ssiis", state_names[state], message, now,
                           (int64_t)run_state_is_live(state), run) ||
                 store_add_event(store, "run", run, 0, 0, NULL, error);
    if (!status) return store_commit(store, error);
    store_rollback(store);
    return -1;
}

int store_run_change_rate(struct store *store, const char *run, double rate, struct error *error)
{
    struct run_record *record = malloc(sizeof *record);
    if (!record) return error_set_memory(error, "a run");
    int status = store_run_get(store, run, record, error);
    if (!status && record->state != RUN_RUNNING && record->state != RUN_PAUSED)
        status = error_set(
            error, ERROR_CONFLICT,
            "run %.60s is %s: the learning rate can be changed while a run trains or "
            "is paused",
            run, run_state_name(record->state));
    if (!status) status = rate_ask(record->job.run_dir, rate, error);
    free(record);
    return status;
}

int store_run_edit(struct store *store, const char *run, const char *name, const json_t *tags,
                   const char *notes, struct error *error)
{
    int64_t key;
    char *tag_text = tags ? js_dump(tags) : NULL;
    if (tags && !tag_text) return error_set_memory(error, "the tags");
    int status = store_begin(store, error);
    if (status) goto out;
    status = store_run_key(store, run, &key, error) ||
             query_run(store,
                       "UPDATE runs SET name=coalesce(?,name), tags=coalesce(?,tags), "
                       "notes=coalesce(?,notes) WHERE key=?",
                       error, "sssi", name, tag_text, notes, key) ||
             store_add_event(store, "run", run, 0, 0, NULL, error);
    if (status)
        store_rollback(store);
    else
        status = store_commit(store, error);
out:
    free(tag_text);
    return status ? -1 : 0;
}

int store_run_set_title(struct store *store, const char *run, const char *title,
                        struct error *error)
{
    if (strcmp(text_shown(title), title) != 0)
        return error_set(error, ERROR_INPUT,
                         "the title has characters that cannot be shown: use letters, digits, "
                         "spaces and punctuation on one line");
    if (store_begin(store, error)) return -1;
    int status = query_run(store, "UPDATE runs SET title=? WHERE id=?", error, "ss", title, run) ||
                 store_add_event(store, "run", run, 0, 0, NULL, error);
    if (!status) return store_commit(store, error);
    store_rollback(store);
    return -1;
}

/* The worker holds a lock in the run's folder as long as it lives: one whose supervisor died writes
 * a checkpoint first. */
bool store_run_has_worker(struct store *store, const char *run)
{
    char path[JOB_PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/runs/%s/lock", store->home, run) >= sizeof path)
        return false;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return false;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0;
    close(fd);
    return locked;
}

/* 0 when nobody looks after the run; a process that died has left it. */
static int check_unowned(struct store *store, int64_t key, const char *run, struct error *error)
{
    sqlite3_stmt *row;
    bool owned = false;
    if (query_start(store, "SELECT owner FROM runs WHERE key=? AND owner IS NOT NULL", &row, error,
                    "i", key))
        return -1;
    int status = query_step(store, row, error);
    if (status == 1) owned = owner_alive(column_text(row, 0)) || store_run_has_worker(store, run);
    query_end(row);
    if (status < 0) return -1;
    return owned
               ? error_set(error, ERROR_CONFLICT, "run %.60s is being trained: stop it first", run)
               : 0;
}

int store_run_claim(struct store *store, const char *run, const char *engine, uint32_t epochs,
                    bool by_terminal, struct error *error)
{
    char owner[OWNER_SIZE];
    int64_t key;
    owner_self(owner);
    if (store_begin(store, error)) return -1;
    int status = store_run_key(store, run, &key, error) || check_unowned(store, key, run, error) ||
                 query_run(store,
                           "UPDATE runs SET state='queued', error=NULL, ended_at=NULL, engine=?1, "
                           "epochs=?2, settings=json_set(settings, '$.epochs', ?2), owner=?3,"
                           " owner_kind=?4 WHERE key=?5",
                           error, "sissi", engine, (int64_t)epochs, owner,
                           by_terminal ? "terminal" : "server", key) ||
                 store_add_event(store, "run", run, 0, 0, NULL, error);
    if (!status) return store_commit(store, error);
    store_rollback(store);
    return -1;
}

/* Only a folder of ours goes, never one that a wrong id could name. */
static int remove_folder(struct store *store, const char *run, struct error *error)
{
    char *path = NULL;
    if (!path_is_plain_name(run)) return 0;
    if (asprintf(&path, "%s/runs/%s", store->home, run) < 0)
        return error_set_memory(error, "a path");
    int status = file_remove_tree(path, error);
    free(path);
    return status;
}

int store_run_delete(struct store *store, const char *run, bool forever, struct error *error)
{
    struct run_record record;
    if (store_run_get(store, run, &record, error)) return -1;
    if (run_state_is_live(record.state))
        return error_set(error, ERROR_CONFLICT, "run %.60s is %s: stop it first", run,
                         run_state_name(record.state));
    if (store_begin(store, error)) return -1;
    int status = forever ? query_run(store, "DELETE FROM runs WHERE id=?", error, "s", run)
                         : query_run(store, "UPDATE runs SET deleted_at=? WHERE id=?", error, "is",
                                     clock_wall_ms(), run);
    if (!status) status = store_add_event(store, "removed", run, 0, 0, NULL, error);
    if (status) {
        store_rollback(store);
        return -1;
    }
    if (store_commit(store, error)) return -1;
    return forever ? remove_folder(store, run, error) : 0;
}

int store_run_restore(struct store *store, const char *run, struct error *error)
{
    int64_t key;
    if (store_begin(store, error)) return -1;
    int status = store_run_key(store, run, &key, error) ||
                 query_run(store, "UPDATE runs SET deleted_at=NULL WHERE key=?", error, "i", key) ||
                 store_add_event(store, "run", run, 0, 0, NULL, error);
    if (!status) return store_commit(store, error);
    store_rollback(store);
    return -1;
}

/* Hands each id of a query's first column to `each`, after the query has ended, so that `each` may
 * write. */
static int for_each_id(struct store *store, const char *sql, int64_t argument,
                       int (*each)(struct store *, const char *, struct error *), uint32_t *count,
                       struct error *error)
{
    sqlite3_stmt *row;
    json_t *ids = json_array(), *id;
    size_t index;
    *count = 0;
    int status = ids ? query_start(store, sql, &row, error, "i", argument)
                     : error_set_memory(error, "a list of runs");
    if (!status) {
        while ((status = query_step(store, row, error)) == 1)
            json_array_append_new(ids, json_string(column_text(row, 0)));
        query_end(row);
    }
    json_array_foreach(ids, index, id) {
        if (status) break;
        int done = each(store, json_string_value(id), error);
        if (done < 0)
            status = -1;
        else
            *count += (uint32_t)done;
    }
    json_decref(ids);
    return status;
}

static int purge_one(struct store *store, const char *run, struct error *error)
{
    return store_run_delete(store, run, true, error) ? -1 : 1;
}

#define EVENTS_KEPT 50000

int store_purge(struct store *store, int64_t before_ms, struct error *error)
{
    uint32_t count;
    if (for_each_id(store, "SELECT id FROM runs WHERE deleted_at < ?", before_ms, purge_one, &count,
                    error))
        return -1;
    return query_run(store, "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?",
                     error, "i", (int64_t)EVENTS_KEPT);
}

/* Its last words may not have reached the database; the disk knows. */
static int read_remains(struct store *store, const char *run, struct error *error)
{
    char path[JOB_PATH_MAX];
    int64_t key, steps, made = 0;
    double seconds;
    bool checkpoint = (size_t)snprintf(path, sizeof path, "%s/runs/%s/checkpoint.safetensors",
                                       store->home, run) < sizeof path &&
                      file_exists(path);
    if (store_run_key(store, run, &key, error) ||
        query_integer(store, "SELECT global_step FROM runs WHERE key=?", &made, error, "i", key) ||
        store_recover(store, key, run, made, INT64_MAX, error) ||
        points_end(store, key, &steps, &seconds, error))
        return -1;
    return query_run(store, "UPDATE runs SET checkpoint=?, global_step=?, seconds=? WHERE key=?",
                     error, "iidi", (int64_t)checkpoint, steps, seconds, key);
}

static int interrupt_if_dead(struct store *store, const char *run, struct error *error)
{
    sqlite3_stmt *row;
    bool dead = false;
    if (query_start(store, "SELECT owner FROM runs WHERE id=?", &row, error, "s", run)) return -1;
    int status = query_step(store, row, error);
    if (status == 1) dead = !owner_alive(column_text(row, 0)) && !store_run_has_worker(store, run);
    query_end(row);
    if (status < 0) return -1;
    if (!dead) return 0;
    if (store_begin(store, error)) return -1;
    if (read_remains(store, run, error) ||
        store_run_set_state(store, run, RUN_INTERRUPTED,
                            "the process that trained it ended before the run did", error)) {
        store_rollback(store);
        return -1;
    }
    return store_commit(store, error) ? -1 : 1;
}

int store_mark_interrupted(struct store *store, uint32_t *count, struct error *error)
{
    return for_each_id(store, "SELECT id FROM runs WHERE owner IS NOT NULL AND key > ?", 0,
                       interrupt_if_dead, count, error);
}

/* A file outside the home may have been replaced by a later run of the same name: then it is not
 * this run's anymore. */
static int check_file(struct store *store, const char *run, const char *path, const char *sha256,
                      struct error *error)
{
    char found[HASH_HEX_SIZE];
    size_t length = strlen(store->home);
    if (strncmp(path, store->home, length) == 0 && path[length] == '/') return 0;
    if (!hash_file(path, found, NULL, error) && strcmp(found, sha256) == 0) return 0;
    return error_set(
        error, ERROR_CONFLICT,
        "the model file of run %.60s is no longer there: a later run replaced it, or it was "
        "moved",
        run);
}

/* The path and digest of the only row, checked. */
static int take_file(struct store *store, sqlite3_stmt *row, const char *run, char **path,
                     char sha256[65], struct error *error)
{
    int status = query_step(store, row, error);
    if (status == 1) {
        *path = strdup(column_text(row, 0));
        status = *path ? copy_text(sha256, 65, column_text(row, 1), error)
                       : error_set_memory(error, "a path");
        if (!status) status = check_file(store, run, *path, sha256, error);
        if (!status) status = 1;
    }
    query_end(row);
    if (status == 1) return 1;
    free(*path);
    *path = NULL;
    return status;
}

int store_file_path(struct store *store, const char *run, const char *name, char **path,
                    struct error *error)
{
    sqlite3_stmt *row;
    char sha256[65];
    *path = NULL;
    if (query_start(
            store,
            "SELECT path, sha256 FROM files JOIN runs ON key=run WHERE id=? AND files.name=?", &row,
            error, "ss", run, name))
        return -1;
    int status = take_file(store, row, run, path, sha256, error);
    if (status == 0)
        status = error_set(error, ERROR_NOT_FOUND, "run %.60s has no file \"%.60s\"", run, name);
    return status < 0 ? -1 : 0;
}

int store_model_file(struct store *store, const char *run, char **path, char sha256[65],
                     struct error *error)
{
    sqlite3_stmt *row;
    int64_t key;
    *path = NULL;
    if (store_run_key(store, run, &key, error) ||
        query_start(
            store,
            "SELECT path, sha256 FROM files WHERE run=? ORDER BY written_at DESC, name LIMIT 1",
            &row, error, "i", key))
        return -1;
    int status = take_file(store, row, run, path, sha256, error);
    if (status == 0)
        status = error_set(error, ERROR_CONFLICT,
                           "run %.60s has no model file yet: let it finish or stop it", run);
    return status < 0 ? -1 : 0;
}

int store_run_interrupt_owner(struct store *store, const char *run, struct error *error)
{
    sqlite3_stmt *row;
    pid_t pid = 0;
    if (query_start(store, "SELECT owner FROM runs WHERE id=?", &row, error, "s", run)) return -1;
    int status = query_step(store, row, error);
    if (status == 1 && owner_alive(column_text(row, 0))) pid = owner_pid(column_text(row, 0));
    query_end(row);
    if (status < 0) return -1;
    if (!pid || kill(pid, SIGTERM))
        return error_set(error, ERROR_CONFLICT, "the process that trains run %.60s is gone", run);
    return 0;
}

int store_newest_model(struct store *store, const char *engine, char run[64], struct error *error)
{
    sqlite3_stmt *row;
    run[0] = '\0';
    if (query_start(store,
                    "SELECT id FROM runs WHERE engine=? AND deleted_at IS NULL AND diverged_at IS "
                    "NULL AND EXISTS (SELECT 1 FROM files WHERE run=key)"
                    " ORDER BY created_at DESC, key DESC LIMIT 1",
                    &row, error, "s", engine))
        return -1;
    int status = query_step(store, row, error);
    if (status == 1) status = copy_text(run, 64, column_text(row, 0), error);
    query_end(row);
    return status;
}

int store_runs_of_dataset(struct store *store, const char *dataset, uint32_t *count, char live[64],
                          struct error *error)
{
    sqlite3_stmt *row;
    enum run_state state;
    int status;
    *count = 0;
    live[0] = '\0';
    if (query_start(store,
                    "SELECT id, state FROM runs WHERE deleted_at IS NULL AND json_valid(settings) "
                    "AND json_extract(settings, '$.dataset')=?",
                    &row, error, "s", dataset))
        return -1;
    while ((status = query_step(store, row, error)) == 1) {
        ++*count;
        if (run_state_parse(column_text(row, 1), &state, error) ||
            (run_state_is_live(state) && copy_text(live, 64, column_text(row, 0), error))) {
            status = -1;
            break;
        }
    }
    query_end(row);
    return status;
}
