/* The handle: opening, transactions, statements. */
#include "store/database.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"

#define BUSY_MS 10000

int store_fail(struct store *store, struct error *error, const char *doing)
{
    int code = sqlite3_errcode(store->db);
    const char *fix = "";
    if (code == SQLITE_FULL) fix = ": free some space on the disk";
    if (code == SQLITE_BUSY) fix = ": another nnstudio is holding it; try again";
    if (code == SQLITE_READONLY)
        fix = ": the folder or the file is not writable: change its mode or use another --home";
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        fix = ": nnstudio runs rebuild makes it anew from the runs' folders and keeps the file "
              "aside";
    return error_set(error, ERROR_IO, "cannot %s the database %s/studio.db: %s%s", doing,
                     store->home, sqlite3_errmsg(store->db), fix);
}

static int set_up(struct store *store, const char *path, struct error *error)
{
    static const char pragmas[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
        "PRAGMA cache_size=-8000; PRAGMA wal_autocheckpoint=1000;"
        "PRAGMA journal_size_limit=16777216;";
    if (sqlite3_open_v2(path, &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return store->db ? store_fail(store, error, "open")
                         : error_set_memory(error, "the database");
    sqlite3_busy_timeout(store->db, BUSY_MS);
    if (sqlite3_exec(store->db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
        return store_fail(store, error, "open");
    return store_migrate(store, path, error);
}

/* What a user trains is nobody else's: the home is closed to others, if it is ours and no folder
 * that had a use before. */
static void keep_private(const char *home, const char *path, bool fresh)
{
    struct stat info;
    char *runs = path_join(home, "runs");
    if ((fresh || (runs && file_exists(runs))) && !stat(home, &info) && info.st_uid == geteuid() &&
        (info.st_mode & 077))
        chmod(home, 0700);
    if (!stat(path, &info) && info.st_uid == geteuid() && (info.st_mode & 077)) chmod(path, 0600);
    free(runs);
}

/* An empty file, or none, would become an empty list beside the folders of its runs. */
static int check_not_lost(const char *home, const char *path, struct error *error)
{
    struct stat info;
    bool there = !stat(path, &info);
    if ((there && info.st_size) || !store_has_runs(home)) return 0;
    /* another process may be making it at this moment */
    for (int i = 0; i < 20 && !stat(path, &info); i++) {
        if (info.st_size) return 0;
        poll(NULL, 0, 10);
    }
    return error_set(error, ERROR_CONFLICT,
                     "the database %s is %s, but the folders of its runs are there: nnstudio runs "
                     "rebuild makes it anew from them",
                     path, there ? "empty" : "gone");
}

static int open_store(const char *home, bool fresh_list, struct store **out, struct error *error)
{
    int status = -1;
    char *path = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (!store) return error_set_memory(error, "the store");
    store->home = strdup(home);
    path = path_join(home, "studio.db");
    if (!store->home || !path) {
        error_set_memory(error, "the store");
        goto out;
    }
    bool fresh = !file_exists(home);
    if (file_check_writable(home, error) || (!fresh_list && check_not_lost(home, path, error)))
        goto out;
    /* SQLite gives the files beside it the mode of this one. Not by open(): to close it would drop
     * the locks of this process's other handles. */
    mknod(path, S_IFREG | 0600, 0);
    status = set_up(store, path, error);
    if (!status) keep_private(home, path, fresh);
out:
    free(path);
    if (status)
        store_close(store);
    else
        *out = store;
    return status;
}

int store_open(const char *home, struct store **out, struct error *error)
{
    return open_store(home, false, out, error);
}

int store_open_new(const char *home, struct store **out, struct error *error)
{
    return open_store(home, true, out, error);
}

/* "ok" in the first row of SQLite's own check. */
static bool is_sound(sqlite3 *db)
{
    sqlite3_stmt *row = NULL;
    bool sound = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &row, NULL) == SQLITE_OK &&
                 sqlite3_step(row) == SQLITE_ROW &&
                 strcmp((const char *)sqlite3_column_text(row, 0), "ok") == 0;
    sqlite3_finalize(row);
    return sound;
}

int store_check_damaged(const char *home, struct error *error)
{
    sqlite3 *db = NULL;
    struct stat info;
    char *path = path_join(home, "studio.db");
    if (!path) return error_set_memory(error, "a path");
    bool sound = !stat(path, &info) && info.st_size &&
                 sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
                 !sqlite3_busy_timeout(db, BUSY_MS) && is_sound(db);
    sqlite3_close(db);
    int status = sound ? error_set(error, ERROR_CONFLICT,
                                   "the database %s is in order: there is nothing to rebuild", path)
                       : 0;
    free(path);
    return status;
}

void store_close(struct store *store)
{
    if (!store) return;
    for (int i = 0; i < store->cached; i++) sqlite3_finalize(store->cache[i].statement);
    sqlite3_close(store->db);
    free(store->home);
    free(store);
}

const char *store_home(const struct store *store)
{
    return store->home;
}

int store_begin(struct store *store, struct error *error)
{
    if (store->depth++) return 0;
    if (sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK) return 0;
    store->depth--;
    return store_fail(store, error, "write to");
}

int store_commit(struct store *store, struct error *error)
{
    CHECK(store->depth > 0);
    if (--store->depth) return 0;
    if (sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) return 0;
    store_fail(store, error, "write to");
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

void store_rollback(struct store *store)
{
    if (!store->depth) return;
    store->depth = 0;
    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

static int prepare(struct store *store, const char *sql, sqlite3_stmt **out, struct error *error)
{
    for (int i = 0; i < store->cached; i++) {
        if (store->cache[i].sql != sql) continue;
        *out = store->cache[i].statement;
        return 0;
    }
    CHECK(store->cached < STATEMENT_CACHE);
    if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
        return store_fail(store, error, "use");
    store->cache[store->cached].sql = sql;
    store->cache[store->cached++].statement = *out;
    return 0;
}

static int bind(sqlite3_stmt *statement, const char *types, va_list arguments)
{
    int index = 1, code = SQLITE_OK;
    for (; *types && code == SQLITE_OK; types++, index++) {
        if (*types == 'i') {
            code = sqlite3_bind_int64(statement, index, va_arg(arguments, int64_t));
        } else if (*types == 'd') {
            double value = va_arg(arguments, double);
            code = isfinite(value) ? sqlite3_bind_double(statement, index, value)
                                   : sqlite3_bind_null(statement, index);
        } else if (*types == 's') {
            code = sqlite3_bind_text(statement, index, va_arg(arguments, const char *), -1,
                                     SQLITE_STATIC);
        } else {
            CHECK(*types == 'b');
            const void *bytes = va_arg(arguments, const void *);
            code = sqlite3_bind_blob64(statement, index, bytes, va_arg(arguments, size_t),
                                       SQLITE_STATIC);
        }
    }
    return code;
}

static int start(struct store *store, const char *sql, sqlite3_stmt **out, struct error *error,
                 const char *types, va_list arguments)
{
    *out = NULL;
    if (prepare(store, sql, out, error)) return -1;
    CHECK((size_t)sqlite3_bind_parameter_count(*out) == strlen(types));
    if (bind(*out, types, arguments) == SQLITE_OK) return 0;
    store_fail(store, error, "use");
    query_end(*out);
    *out = NULL;
    return -1;
}

int query_start(struct store *store, const char *sql, sqlite3_stmt **out, struct error *error,
                const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    int status = start(store, sql, out, error, types, arguments);
    va_end(arguments);
    return status;
}

int query_step(struct store *store, sqlite3_stmt *statement, struct error *error)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) return 1;
    if (code == SQLITE_DONE) return 0;
    return store_fail(store, error, "use");
}

void query_end(sqlite3_stmt *statement)
{
    if (!statement) return;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

int query_run(struct store *store, const char *sql, struct error *error, const char *types, ...)
{
    sqlite3_stmt *statement;
    va_list arguments;
    va_start(arguments, types);
    int status = start(store, sql, &statement, error, types, arguments);
    va_end(arguments);
    if (status) return -1;
    status = query_step(store, statement, error);
    query_end(statement);
    return status < 0 ? -1 : 0;
}

int query_integer(struct store *store, const char *sql, int64_t *out, struct error *error,
                  const char *types, ...)
{
    sqlite3_stmt *statement;
    va_list arguments;
    va_start(arguments, types);
    int status = start(store, sql, &statement, error, types, arguments);
    va_end(arguments);
    if (status) return -1;
    status = query_step(store, statement, error);
    if (status == 1 && sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(statement, 0);
    query_end(statement);
    return status < 0 ? -1 : 0;
}

const char *column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}

json_t *column_real_json(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL
               ? json_null()
               : js_real(sqlite3_column_double(statement, column));
}

json_t *column_integer_json(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL
               ? json_null()
               : json_integer(sqlite3_column_int64(statement, column));
}

json_t *column_text_json(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL
               ? json_null()
               : json_string(column_text(statement, column));
}

json_t *column_parsed_json(sqlite3_stmt *statement, int column)
{
    json_t *value = json_loads(column_text(statement, column), JSON_DECODE_ANY, NULL);
    return value ? value : json_null();
}
