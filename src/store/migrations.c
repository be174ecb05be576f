/* The database's form, as a list of steps: step i brings version i to version i + 1. Steps that
 * were released are never changed, only followed by new ones. */
#include <string.h>

#include "store/database.h"

/* "NNSt": marks the file as ours. */
#define APPLICATION_ID 0x4e4e5374

static const char *const migrations[] = {
    "CREATE TABLE runs ("
    "  key INTEGER PRIMARY KEY,"
    "  id TEXT NOT NULL UNIQUE,"
    "  name TEXT NOT NULL,"
    "  engine TEXT NOT NULL,"
    "  engine_version TEXT NOT NULL DEFAULT '',"
    "  state TEXT NOT NULL,"
    "  error TEXT,"
    "  settings TEXT NOT NULL,"               /* JSON, the shape of api.md */
    "  network TEXT NOT NULL DEFAULT 'null'," /* JSON */
    "  parameters INTEGER,"
    "  tags TEXT NOT NULL DEFAULT '[]'," /* JSON */
    "  notes TEXT NOT NULL DEFAULT '',"
    "  showdown TEXT,"
    "  out_dir TEXT NOT NULL DEFAULT '',"
    "  data_dir TEXT NOT NULL DEFAULT '',"
    "  created_at INTEGER NOT NULL,"
    "  started_at INTEGER,"
    "  ended_at INTEGER,"
    "  epoch INTEGER NOT NULL DEFAULT 0," /* epochs finished */
    "  epochs INTEGER NOT NULL,"
    "  steps_per_epoch INTEGER NOT NULL DEFAULT 0,"
    "  global_step INTEGER NOT NULL DEFAULT 0," /* steps finished */
    "  seconds REAL NOT NULL DEFAULT 0,"        /* of training alone, all segments */
    "  samples_per_second REAL,"
    "  loss REAL, accuracy REAL, val_loss REAL, val_accuracy REAL,"
    "  cpu_seconds REAL, rss_bytes INTEGER, peak_rss_bytes INTEGER,"
    /* the process that trains it: see owner.c; NULL: nobody */
    "  owner TEXT,"
    "  owner_kind TEXT,"                       /* 'server' or 'terminal' */
    "  checkpoint INTEGER NOT NULL DEFAULT 0," /* 1: one is on disk */
    "  deleted_at INTEGER"
    ");"
    "CREATE INDEX runs_created ON runs(created_at);"
    "CREATE INDEX runs_showdown ON runs(showdown) WHERE showdown IS NOT NULL;"
    "CREATE TABLE segments ("
    "  run INTEGER NOT NULL REFERENCES runs(key) ON DELETE CASCADE,"
    "  first_step INTEGER NOT NULL, engine TEXT NOT NULL, engine_version TEXT NOT NULL, started_at "
    "INTEGER NOT NULL,"
    "  PRIMARY KEY (run, first_step)"
    ") WITHOUT ROWID;"
    "CREATE TABLE points ("
    "  run INTEGER NOT NULL REFERENCES runs(key) ON DELETE CASCADE,"
    "  first_step INTEGER NOT NULL, count INTEGER NOT NULL,"
    "  seconds REAL NOT NULL," /* training time at the last of them */
    "  losses BLOB NOT NULL,"  /* count float64, this machine's byte order */
    "  PRIMARY KEY (run, first_step)"
    ");"
    "CREATE TABLE epochs ("
    "  run INTEGER NOT NULL REFERENCES runs(key) ON DELETE CASCADE,"
    "  epoch INTEGER NOT NULL, engine TEXT NOT NULL, loss REAL, accuracy REAL, val_loss REAL, "
    "val_accuracy REAL,"
    "  seconds REAL, samples_per_second REAL, global_step INTEGER NOT NULL,"
    "  PRIMARY KEY (run, epoch)"
    ") WITHOUT ROWID;"
    "CREATE TABLE logs ("
    "  id INTEGER PRIMARY KEY,"
    "  run INTEGER NOT NULL REFERENCES runs(key) ON DELETE CASCADE,"
    "  at INTEGER NOT NULL, text TEXT NOT NULL"
    ");"
    "CREATE INDEX logs_run ON logs(run);"
    "CREATE TABLE files ("
    "  run INTEGER NOT NULL REFERENCES runs(key) ON DELETE CASCADE,"
    "  name TEXT NOT NULL, format TEXT NOT NULL, path TEXT NOT NULL, bytes INTEGER NOT NULL, "
    "sha256 TEXT NOT NULL,"
    "  PRIMARY KEY (run, name)"
    ") WITHOUT ROWID;"
    "CREATE TABLE events ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT," /* the id on the wire: never used twice */
    "  kind TEXT NOT NULL, run TEXT, first INTEGER, count INTEGER, data TEXT"
    ");"
    "CREATE TABLE evaluations ("
    "  run INTEGER PRIMARY KEY REFERENCES runs(key) ON DELETE CASCADE,"
    "  sha256 TEXT NOT NULL, result TEXT NOT NULL" /* of the file it was computed from; JSON */
    ");"
    "CREATE TABLE showdowns (id TEXT PRIMARY KEY, mode TEXT NOT NULL, created_at INTEGER NOT NULL);"
    "CREATE TABLE preferences (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "CREATE TABLE registrations ("
    "  id INTEGER PRIMARY KEY, run TEXT, target TEXT NOT NULL, name TEXT NOT NULL, version TEXT, "
    "uri TEXT, sha256 TEXT,"
    "  created_at INTEGER NOT NULL, state TEXT NOT NULL, steps TEXT NOT NULL DEFAULT '[]', data "
    "TEXT NOT NULL DEFAULT '{}'"
    ");",
    /* 2: a run that changed hands has a file of each engine; only the newest is its model. */
    "ALTER TABLE files ADD COLUMN written_at INTEGER NOT NULL DEFAULT 0;",
    /* 3: a sample limit above 2^31 - 1 was written as the negative number of the same 32 bits. */
    "UPDATE runs SET settings = json_set(settings, '$.limit', "
    "json_extract(settings, '$.limit') + 4294967296) "
    "WHERE json_extract(settings, '$.limit') < 0;",
    /* 4: whether a run diverged; what an epoch had cost by its end, over all workers of the run. */
    "ALTER TABLE runs ADD COLUMN spike_step INTEGER;"
    "ALTER TABLE runs ADD COLUMN diverged_at INTEGER;"
    "ALTER TABLE epochs ADD COLUMN cpu_seconds REAL;"
    "ALTER TABLE epochs ADD COLUMN peak_rss_bytes INTEGER;"
    "DELETE FROM evaluations;", /* their worst mistakes were in another order */
    /* 5: what a user calls a run; "name" names its files. */
    "ALTER TABLE runs ADD COLUMN title TEXT NOT NULL DEFAULT '';",
    /* 6: dataset_hash() of what it is trained on */
    "ALTER TABLE runs ADD COLUMN data_sha256 TEXT;",
    /* 7: an epoch's last learning rate, and what was measured on samples taken from training */
    "ALTER TABLE epochs ADD COLUMN learning_rate REAL;"
    "ALTER TABLE epochs ADD COLUMN validation_loss REAL;"
    "ALTER TABLE epochs ADD COLUMN validation_accuracy REAL;",
    /* 8: how many processes trained together, and what their communication took of the training */
    "ALTER TABLE runs ADD COLUMN ranks INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE epochs ADD COLUMN ranks INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE epochs ADD COLUMN communication_seconds REAL;",
};
#define NEWEST ((int64_t)(sizeof migrations / sizeof migrations[0]))

static int read_version(struct store *store, int64_t *version, int64_t *application,
                        struct error *error)
{
    *version = *application = 0;
    return query_integer(store, "PRAGMA user_version", version, error, "") ||
                   query_integer(store, "PRAGMA application_id", application, error, "")
               ? -1
               : 0;
}

static int check_version(int64_t version, int64_t application, const char *path,
                         struct error *error)
{
    if (version > 0 && application != APPLICATION_ID)
        return error_set(error, ERROR_CONFLICT,
                         "%s is not a database of the studio: use another --home", path);
    if (version > NEWEST)
        return error_set(error, ERROR_CONFLICT,
                         "the database %s is from a newer nnstudio (form %lld, this one knows "
                         "%lld): update nnstudio or use "
                         "another --home",
                         path, (long long)version, (long long)NEWEST);
    return 0;
}

int store_migrate(struct store *store, const char *path, struct error *error)
{
    int64_t version, application;
    if (read_version(store, &version, &application, error) ||
        check_version(version, application, path, error))
        return -1;
    if (version == NEWEST) return 0;
    /* Another process may be doing the same: look again once we alone may write. */
    if (store_begin(store, error)) return -1;
    if (read_version(store, &version, &application, error) ||
        check_version(version, application, path, error))
        goto fail;
    for (int64_t i = version; i < NEWEST; i++) {
        char mark[80];
        snprintf(mark, sizeof mark, "PRAGMA user_version=%lld; PRAGMA application_id=%d",
                 (long long)i + 1, APPLICATION_ID);
        if (sqlite3_exec(store->db, migrations[i], NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(store->db, mark, NULL, NULL, NULL) != SQLITE_OK) {
            store_fail(store, error, "bring up to date");
            goto fail;
        }
    }
    return store_commit(store, error);
fail:
    store_rollback(store);
    return -1;
}
