/* Runs as users see them: the JSON of docs/internals/api.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/js.h"
#include "run/rate.h"
#include "run/settings.h"
#include "store/database.h"

/* The columns of one run, in the order of this enum. */
#define RUN_COLUMNS                                                                               \
    "key, id, name, engine, engine_version, state, error, settings, network, parameters, tags, "  \
    "notes, showdown, created_at,"                                                                \
    " started_at, ended_at, epoch, epochs, steps_per_epoch, global_step, seconds, "               \
    "samples_per_second, loss, accuracy, val_loss,"                                               \
    " val_accuracy, cpu_seconds, rss_bytes, peak_rss_bytes, checkpoint, deleted_at, owner_kind, " \
    "diverged_at, title, data_sha256, ranks, "                                                    \
    "(SELECT sum(communication_seconds)/sum(seconds) FROM epochs "                                \
    "WHERE run=runs.key AND ranks>1 AND seconds>0)"
enum {
    KEY,
    ID,
    NAME,
    ENGINE,
    ENGINE_VERSION,
    STATE,
    ERROR_TEXT,
    SETTINGS,
    NETWORK,
    PARAMETERS,
    TAGS,
    NOTES,
    SHOWDOWN,
    CREATED_AT,
    STARTED_AT,
    ENDED_AT,
    EPOCH,
    EPOCHS,
    STEPS_PER_EPOCH,
    GLOBAL_STEP,
    SECONDS,
    SPEED,
    LOSS,
    ACCURACY,
    VAL_LOSS,
    VAL_ACCURACY,
    CPU_SECONDS,
    RSS_BYTES,
    PEAK_RSS_BYTES,
    CHECKPOINT,
    DELETED_AT,
    OWNER_KIND,
    DIVERGED_AT,
    TITLE,
    DATA_SHA256,
    RANKS,
    COMMUNICATION,
};

static json_t *progress_json(sqlite3_stmt *row)
{
    int64_t per_epoch = sqlite3_column_int64(row, STEPS_PER_EPOCH),
            done = sqlite3_column_int64(row, GLOBAL_STEP);
    int64_t epochs = sqlite3_column_int64(row, EPOCHS), total = per_epoch * epochs;
    double seconds = sqlite3_column_double(row, SECONDS);
    /* Epochs finished, and steps of the one under way. */
    int64_t epoch = per_epoch ? done / per_epoch : 0, step = per_epoch ? done % per_epoch : 0;
    double rest = done > 0 && total > done ? seconds / (double)done * (double)(total - done) : 0;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:o}", "epoch",
                     (json_int_t)epoch, "epochs", (json_int_t)epochs, "step", (json_int_t)step,
                     "steps_per_epoch", (json_int_t)per_epoch, "global_step", (json_int_t)done,
                     "total_steps", (json_int_t)total, "seconds", js_real(seconds), "eta_seconds",
                     done > 0 ? js_real(rest) : json_null(), "samples_per_second",
                     column_real_json(row, SPEED), "ranks",
                     (json_int_t)sqlite3_column_int64(row, RANKS), "communication_share",
                     column_real_json(row, COMMUNICATION));
}

static int add_segments(struct store *store, int64_t key, json_t *run, struct error *error)
{
    sqlite3_stmt *row;
    json_t *list = json_array();
    json_object_set_new(run, "segments", list);
    if (query_start(store,
                    "SELECT engine, engine_version, first_step, started_at FROM segments WHERE "
                    "run=? ORDER BY first_step",
                    &row, error, "i", key))
        return -1;
    int status;
    while ((status = query_step(store, row, error)) == 1)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I, s:I}", "engine", column_text(row, 0),
                                        "engine_version", column_text(row, 1), "first_step",
                                        (json_int_t)sqlite3_column_int64(row, 2), "started_at",
                                        (json_int_t)sqlite3_column_int64(row, 3)));
    query_end(row);
    return status;
}

static int add_files(struct store *store, int64_t key, json_t *run, struct error *error)
{
    sqlite3_stmt *row;
    json_t *list = json_array();
    const char *id = json_string_value(json_object_get(run, "id"));
    json_object_set_new(run, "files", list);
    if (query_start(store,
                    "SELECT name, format, bytes, sha256, path FROM files WHERE run=? ORDER BY "
                    "written_at DESC, name",
                    &row, error, "i", key))
        return -1;
    int status;
    while ((status = query_step(store, row, error)) == 1) {
        char url[400];
        snprintf(url, sizeof url, "/api/runs/%s/files/%s", id, column_text(row, 0));
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "format",
                                              column_text(row, 1), "name", column_text(row, 0),
                                              "bytes", (json_int_t)sqlite3_column_int64(row, 2),
                                              "sha256", column_text(row, 3), "url", url, "path",
                                              column_text(row, 4)));
    }
    query_end(row);
    return status;
}

/* The state decides whether a checkpoint is of use: a run that finished can go on only with more
 * epochs, which is "continue" and works as well. */
static bool resumable(sqlite3_stmt *row)
{
    enum run_state state;
    struct error ignored;
    return sqlite3_column_int(row, CHECKPOINT) &&
           run_state_parse(column_text(row, STATE), &state, &ignored) == 0 &&
           !run_state_is_live(state);
}

static json_t *run_to_json(sqlite3_stmt *row)
{
    json_t *run = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "id",
        column_text(row, ID), "name", column_text(row, NAME), "title", column_text(row, TITLE),
        "engine", column_text(row, ENGINE), "engine_version", column_text(row, ENGINE_VERSION),
        "state", column_text(row, STATE), "error", column_text_json(row, ERROR_TEXT), "settings",
        column_parsed_json(row, SETTINGS), "network", column_parsed_json(row, NETWORK),
        "parameters", column_integer_json(row, PARAMETERS), "tags", column_parsed_json(row, TAGS),
        "notes", column_text(row, NOTES), "group", column_text_json(row, SHOWDOWN));
    json_t *more = json_pack(
        "{s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:o}",
        "created_at", column_integer_json(row, CREATED_AT), "started_at",
        column_integer_json(row, STARTED_AT), "ended_at", column_integer_json(row, ENDED_AT),
        "progress", progress_json(row), "last", "loss", column_real_json(row, LOSS), "accuracy",
        column_real_json(row, ACCURACY), "val_loss", column_real_json(row, VAL_LOSS),
        "val_accuracy", column_real_json(row, VAL_ACCURACY), "cpu_seconds",
        column_real_json(row, CPU_SECONDS), "rss_bytes", column_integer_json(row, RSS_BYTES),
        "peak_rss_bytes", column_integer_json(row, PEAK_RSS_BYTES), "resumable",
        (int)resumable(row), "deleted", sqlite3_column_type(row, DELETED_AT) != SQLITE_NULL,
        "started_by", column_text_json(row, OWNER_KIND), "diverged_at",
        column_integer_json(row, DIVERGED_AT), "data_sha256", column_text_json(row, DATA_SHA256));
    if (run && more)
        json_object_update_new(run, more);
    else
        json_decref(more);
    return run;
}

static int epochs_json(struct store *store, int64_t key, json_t **out, struct error *error)
{
    sqlite3_stmt *row;
    *out = json_array();
    if (query_start(
            store,
            "SELECT epoch, loss, accuracy, val_loss, val_accuracy, seconds, "
            "samples_per_second, engine, global_step, cpu_seconds, peak_rss_bytes, learning_rate, "
            "validation_loss, validation_accuracy, ranks, communication_seconds"
            " FROM epochs WHERE run=? ORDER BY epoch",
            &row, error, "i", key))
        return -1;
    int status;
    while ((status = query_step(store, row, error)) == 1)
        json_array_append_new(
            *out,
            json_pack(
                "{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:o}",
                "epoch", (json_int_t)sqlite3_column_int64(row, 0), "loss", column_real_json(row, 1),
                "accuracy", column_real_json(row, 2), "val_loss", column_real_json(row, 3),
                "val_accuracy", column_real_json(row, 4), "seconds", column_real_json(row, 5),
                "samples_per_second", column_real_json(row, 6), "engine", column_text(row, 7),
                "global_step", (json_int_t)sqlite3_column_int64(row, 8), "cpu_seconds",
                column_real_json(row, 9), "peak_rss_bytes", column_integer_json(row, 10),
                "learning_rate", column_real_json(row, 11), "validation_loss",
                column_real_json(row, 12), "validation_accuracy", column_real_json(row, 13),
                "ranks", (json_int_t)sqlite3_column_int64(row, 14), "communication_seconds",
                column_real_json(row, 15)));
    query_end(row);
    return status;
}

int store_run_epochs(struct store *store, const char *run, json_t **out, struct error *error)
{
    int64_t key;
    *out = NULL;
    if (store_run_key(store, run, &key, error)) return -1;
    if (!epochs_json(store, key, out, error)) return 0;
    json_decref(*out);
    *out = NULL;
    return -1;
}

static int add_log(struct store *store, int64_t key, json_t *run, struct error *error)
{
    sqlite3_stmt *row;
    json_t *list = json_array();
    json_object_set_new(run, "log", list);
    if (query_start(store,
                    "SELECT at, text FROM (SELECT id, at, text FROM logs WHERE run=? ORDER BY id "
                    "DESC LIMIT 200) ORDER BY id",
                    &row, error, "i", key))
        return -1;
    int status;
    while ((status = query_step(store, row, error)) == 1)
        json_array_append_new(list, json_pack("{s:I, s:s}", "at",
                                              (json_int_t)sqlite3_column_int64(row, 0), "text",
                                              column_text(row, 1)));
    query_end(row);
    return status;
}

/* Where the learning rate was changed by hand, from the run's journal. */
static int add_rates(struct store *store, const char *run, json_t *value, struct error *error)
{
    char run_dir[JOB_PATH_MAX];
    struct fit_change *changes;
    size_t count;
    json_t *list = json_array();
    json_object_set_new(value, "rates", list);
    snprintf(run_dir, sizeof run_dir, "%s/runs/%s", store->home, run);
    if (rate_changes(run_dir, INT64_MAX, &changes, &count, error)) return -1;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:I, s:f, s:f}", "step", (json_int_t)changes[i].step,
                                        "rate", changes[i].rate, "planned", changes[i].planned));
    free(changes);
    return 0;
}

int store_run_json(struct store *store, const char *run, bool full, json_t **out,
                   struct error *error)
{
    sqlite3_stmt *row;
    json_t *value = NULL, *epochs = NULL;
    int64_t key = 0;
    *out = NULL;
    if (query_start(store, "SELECT " RUN_COLUMNS " FROM runs WHERE id=?", &row, error, "s", run))
        return -1;
    int status = query_step(store, row, error);
    if (status == 1) {
        value = run_to_json(row);
        key = sqlite3_column_int64(row, KEY);
        status = value ? 0 : error_set_memory(error, "a run");
    } else if (status == 0) {
        status = error_set(error, ERROR_NOT_FOUND,
                           "there is no run \"%.60s\": see nnstudio runs list", run);
    }
    query_end(row);
    if (!status)
        status = add_segments(store, key, value, error) || add_files(store, key, value, error);
    if (!status && full) {
        status = epochs_json(store, key, &epochs, error) || add_log(store, key, value, error) ||
                 add_rates(store, run, value, error);
        json_object_set_new(value, "epochs", epochs);
    }
    if (status)
        json_decref(value);
    else
        *out = value;
    return status ? -1 : 0;
}

static const struct {
    const char *name, *column;
} sort_columns[] = {
    {"created_at", "created_at"},
    {"name", "coalesce(nullif(title, ''), name) COLLATE NOCASE"},
    {"engine", "engine"},
    {"state", "state"},
    {"loss", "loss"},
    {"val_accuracy", "val_accuracy"},
    {"seconds", "seconds"},
};

static int order_by(const struct run_filter *filter, char *out, size_t size, struct error *error)
{
    const char *sort = filter->sort && *filter->sort ? filter->sort : "created_at",
               *way = filter->ascending ? "ASC" : "DESC";
    for (size_t i = 0; i < sizeof sort_columns / sizeof sort_columns[0]; i++) {
        if (strcmp(sort, sort_columns[i].name) != 0) continue;
        snprintf(out, size, " ORDER BY %s %s NULLS LAST, key %s", sort_columns[i].column, way, way);
        return 0;
    }
    if (strncmp(sort, "settings.", 9) == 0 && setting_find(sort + 9)) {
        snprintf(out, size, " ORDER BY json_extract(settings, '$.%s') %s NULLS LAST, key %s",
                 sort + 9, way, way);
        return 0;
    }
    char names[160] = "";
    for (size_t i = 0, used = 0; i < sizeof sort_columns / sizeof sort_columns[0]; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 sort_columns[i].name);
    return error_set(error, ERROR_INPUT,
                     "cannot sort by \"%.40s\": use %s or settings.KEY, such as settings.lr", sort,
                     names);
}

#define FILTER                                                                                   \
    " WHERE (deleted_at IS NOT NULL)=?1 AND (?2 IS NULL OR state=?2) AND (?3 IS NULL OR "        \
    "engine=?3)"                                                                                 \
    " AND (?4 IS NULL OR showdown=?4) AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) " \
    "WHERE value=?5))"                                                                           \
    " AND (?6 IS NULL OR instr(lower(id||' '||title||' '||name||' '||notes||' '||tags||' "       \
    "'||engine||' "                                                                              \
    "'||settings), lower(?6)))"

static void bind_filter(sqlite3_stmt *statement, const struct run_filter *filter)
{
    const char *texts[] = {filter->state, filter->engine, filter->showdown, filter->tag,
                           filter->text};
    sqlite3_bind_int(statement, 1, filter->deleted);
    for (int i = 0; i < 5; i++) sqlite3_bind_text(statement, i + 2, texts[i], -1, SQLITE_STATIC);
}

/* The order cannot be a bound value, so these two are prepared anew each time. */
static int list_ids(struct store *store, const struct run_filter *filter, json_t *ids,
                    uint64_t *total, struct error *error)
{
    char order[160], sql[1200];
    sqlite3_stmt *statement = NULL;
    int status = -1, code;
    if (order_by(filter, order, sizeof order, error)) return -1;
    snprintf(sql, sizeof sql,
             "SELECT id, count(*) OVER () FROM runs" FILTER "%s LIMIT ?7 OFFSET ?8", order);
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK) goto failed;
    bind_filter(statement, filter);
    sqlite3_bind_int64(statement, 7, filter->limit ? (int64_t)filter->limit : -1);
    sqlite3_bind_int64(statement, 8, filter->offset);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        json_array_append_new(ids, json_string(column_text(statement, 0)));
        *total = (uint64_t)sqlite3_column_int64(statement, 1);
    }
    if (code != SQLITE_DONE) goto failed;
    /* A page past the end has no row to carry the total. */
    if (json_array_size(ids) == 0 && filter->offset > 0) {
        sqlite3_finalize(statement);
        if (sqlite3_prepare_v2(store->db, "SELECT count(*) FROM runs" FILTER, -1, &statement,
                               NULL) != SQLITE_OK)
            goto failed;
        bind_filter(statement, filter);
        if (sqlite3_step(statement) != SQLITE_ROW) goto failed;
        *total = (uint64_t)sqlite3_column_int64(statement, 0);
    }
    status = 0;
    goto out;
failed:
    store_fail(store, error, "read");
out:
    sqlite3_finalize(statement);
    return status;
}

int store_run_list(struct store *store, const struct run_filter *filter, json_t **runs,
                   uint64_t *total, struct error *error)
{
    json_t *ids = json_array(), *list = json_array(), *id, *run;
    size_t index;
    *runs = NULL;
    *total = 0;
    int status = list_ids(store, filter, ids, total, error);
    json_array_foreach(ids, index, id) {
        if (status) break;
        status = store_run_json(store, json_string_value(id), false, &run, error);
        if (!status) json_array_append_new(list, run);
    }
    json_decref(ids);
    if (status)
        json_decref(list);
    else
        *runs = list;
    return status;
}
