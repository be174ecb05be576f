/* For the files of this room only: the handle, and SQLite with our errors. */
#ifndef NNSTUDIO_STORE_DATABASE_H
#define NNSTUDIO_STORE_DATABASE_H

#include <sqlite3.h>
#include <stdint.h>

#include "store/store.h"

#define STATEMENT_CACHE 128

struct store {
    sqlite3 *db;
    char *home;
    /* Prepared statements, found again by the address of their text (a string literal). */
    struct {
        const char *sql;
        sqlite3_stmt *statement;
    } cache[STATEMENT_CACHE];
    int cached;
    int depth; /* of nested store_begin() */
};

/* Binds by `types`, one letter an argument: 'i' int64_t, 'd' double (nan and infinities become
 * NULL), 's' const char * (NULL is NULL), 'b' a blob: const void * and size_t. Text and blobs must
 * stay until query_end(). */
int query_start(struct store *store, const char *sql, sqlite3_stmt **out, struct error *error,
                const char *types, ...);
/* 1: a row is there, 0: no more, -1: failed. */
int query_step(struct store *store, sqlite3_stmt *statement, struct error *error);
/* Ends what query_start() began; NULL is fine. */
void query_end(sqlite3_stmt *statement);
/* A statement without rows, all in one. */
int query_run(struct store *store, const char *sql, struct error *error, const char *types, ...);
/* One integer of the first row; *out stays as it is when there is none. */
int query_integer(struct store *store, const char *sql, int64_t *out, struct error *error,
                  const char *types, ...);

int store_fail(struct store *store, struct error *error, const char *doing);

/* A text column, "" for NULL. */
const char *column_text(sqlite3_stmt *statement, int column);
/* Columns as new JSON values, null for NULL. */
json_t *column_real_json(sqlite3_stmt *statement, int column);
json_t *column_integer_json(sqlite3_stmt *statement, int column);
json_t *column_text_json(sqlite3_stmt *statement, int column);
/* A column that holds JSON text; null when it does not parse. */
json_t *column_parsed_json(sqlite3_stmt *statement, int column);

/* store_open() where nothing is to be there yet. */
int store_open_new(const char *home, struct store **out, struct error *error);
/* 0 when the database cannot be used as it is: damaged, empty or gone. */
int store_check_damaged(const char *home, struct error *error);
/* rebuild.c: whether run folders are there that a list could be made from. */
bool store_has_runs(const char *home);

/* migrations.c: brings the database to the newest form. */
int store_migrate(struct store *store, const char *path, struct error *error);

/* The row's key of a run, or ERROR_NOT_FOUND. */
int store_run_key(struct store *store, const char *run, int64_t *key, struct error *error);

#endif
