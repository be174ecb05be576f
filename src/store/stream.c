/* The events of the stream. An event says what changed; what it looks like now is read when it is
 * sent. */
#include <string.h>
#include <stdlib.h>

#include "base/js.h"
#include "store/runs.h"

int store_last_event(struct store *store, int64_t *id, struct error *error)
{
    *id = 0;
    return query_integer(store, "SELECT seq FROM sqlite_sequence WHERE name='events'", id, error,
                         "");
}

int store_first_event(struct store *store, int64_t *id, struct error *error)
{
    int64_t last;
    if (store_last_event(store, &last, error)) return -1;
    *id = last + 1;
    return query_integer(store, "SELECT min(id) FROM events", id, error, "");
}

int store_events(struct store *store, int64_t after, int64_t until, store_event_fn *each,
                 void *context, struct error *error)
{
    sqlite3_stmt *row;
    if (query_start(
            store,
            "SELECT id, kind, run, first, count, data FROM events WHERE id>? AND id<=? ORDER BY id",
            &row, error, "ii", after, until))
        return -1;
    int status;
    while ((status = query_step(store, row, error)) == 1) {
        struct store_event event = {
            .id = sqlite3_column_int64(row, 0),
            .first = sqlite3_column_int64(row, 3),
            .count = sqlite3_column_int64(row, 4),
            .data = column_text(row, 5),
        };
        snprintf(event.kind, sizeof event.kind, "%s", column_text(row, 1));
        snprintf(event.run, sizeof event.run, "%s", column_text(row, 2));
        status = each(context, &event, error);
        if (status) break;
    }
    query_end(row);
    return status ? -1 : 0;
}

int store_add_task_event(struct store *store, const json_t *task, struct error *error)
{
    char *text = js_dump(task);
    if (!text) return error_set_memory(error, "a task");
    int status = store_add_event(store, "task", NULL, 0, 0, text, error);
    free(text);
    return status;
}

int store_epoch_json(struct store *store, const char *run, int64_t epoch, json_t **out,
                     struct error *error)
{
    json_t *all, *row;
    size_t index;
    *out = NULL;
    if (store_run_epochs(store, run, &all, error)) return error->code == ERROR_NOT_FOUND ? 0 : -1;
    json_array_foreach(all, index, row) {
        if (json_integer_value(json_object_get(row, "epoch")) != epoch) continue;
        *out = json_incref(row);
        json_object_set_new(row, "run", json_string(run));
        break;
    }
    json_decref(all);
    return 0;
}

int store_log_json(struct store *store, const char *run, int64_t id, json_t **out,
                   struct error *error)
{
    sqlite3_stmt *row;
    *out = NULL;
    if (query_start(store, "SELECT at, text FROM logs WHERE id=?", &row, error, "i", id)) return -1;
    int status = query_step(store, row, error);
    if (status == 1)
        *out = json_pack("{s:s, s:I, s:s}", "run", run, "at",
                         (json_int_t)sqlite3_column_int64(row, 0), "text", column_text(row, 1));
    query_end(row);
    return status < 0 ? -1 : 0;
}
