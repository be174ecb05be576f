/* What a run's journal (run/journal.h) has and the database has not: its worker outlived whoever
 * listened to it. */
#include <math.h>
#include <stdlib.h>

#include "base/js.h"
#include "run/journal.h"
#include "store/outcome.h"
#include "store/points.h"
#include "store/runs.h"

int store_put_segment(struct store *store, int64_t key, const struct segment *segment,
                      struct error *error)
{
    if (segment->end < segment->shown &&
        query_run(store,
                  "INSERT OR IGNORE INTO segments (run, first_step, engine, engine_version, "
                  "started_at) SELECT run, ?2, engine, engine_version, started_at FROM (SELECT * "
                  "FROM segments WHERE run=?1 AND first_step<=?2 ORDER BY first_step DESC LIMIT 1) "
                  "WHERE NOT (engine=?3 AND engine_version=?4)",
                  error, "iiss", key, segment->end, segment->engine, segment->version))
        return -1;
    if (segment->end <= segment->first && segment->first < segment->shown)
        return 0; /* nothing of it is made yet */
    if (query_run(store, "DELETE FROM segments WHERE run=? AND first_step>=? AND first_step<?",
                  error, "iii", key, segment->first, segment->end))
        return -1;
    return query_run(store,
                     "INSERT OR REPLACE INTO segments (run, first_step, engine, engine_version, "
                     "started_at) VALUES (?,?,?,?,?)",
                     error, "iissi", key, segment->first, segment->engine, segment->version,
                     segment->started_at);
}

/* Who made the steps from `from` to `end`: the engine that trained last, going on with its segment
 * where it had begun one. */
static int recover_maker(struct store *store, int64_t key, int64_t from, int64_t end, int64_t shown,
                         struct error *error)
{
    sqlite3_stmt *row;
    char engine[32], version[128];
    struct segment segment = {.end = end, .shown = shown, .engine = engine, .version = version};
    if (query_start(store,
                    "SELECT r.engine, r.engine_version, coalesce(s.first_step, ?2), "
                    "coalesce(s.started_at, r.started_at, 0) FROM runs AS r LEFT JOIN segments AS "
                    "s ON s.run=r.key AND s.engine=r.engine AND s.first_step=(SELECT "
                    "max(first_step) FROM segments WHERE run=?1 AND first_step<?2) WHERE r.key=?1",
                    &row, error, "ii", key, from))
        return -1;
    int status = query_step(store, row, error);
    if (status == 1) {
        snprintf(engine, sizeof engine, "%s", column_text(row, 0));
        snprintf(version, sizeof version, "%s", column_text(row, 1));
        segment.first = sqlite3_column_int64(row, 2);
        segment.started_at = sqlite3_column_int64(row, 3);
    }
    query_end(row);
    return status < 0 ? -1 : status ? store_put_segment(store, key, &segment, error) : 0;
}

static int recover_points(struct store *store, int64_t key, const char *run_dir, int64_t from,
                          int64_t to, struct error *error)
{
    int64_t shown;
    double seconds, start;
    struct journal_losses read;
    if (points_end(store, key, &shown, &seconds, error)) return -1;
    if (from > shown) from = shown;
    if (journal_read_losses(run_dir, (uint64_t)from, (uint64_t)to, &read, error)) return -1;
    /* Of the steps that are there only those may be others that the last worker made. */
    int64_t end = from + (int64_t)read.count, made = (int64_t)read.made, first = from;
    if (made < shown && end <= shown) end = made < end ? made : end;
    int status = 0;
    if (end > first) {
        /* How long they took nobody knows: as long as those before. */
        status = points_seconds(store, key, first, &start, error) ||
                 points_clear(store, key, first, end, error) ||
                 points_append(store, key, first, read.losses, (size_t)(end - first),
                               start +
                                   (first > 0 ? start / (double)first : 0) * (double)(end - first),
                               error) ||
                 (first < shown &&
                  recover_maker(store, key, first, made < end ? made : end, shown, error));
    }
    free(read.losses);
    return status ? -1 : 0;
}

static int recover_epochs(struct store *store, int64_t key, const char *run_dir,
                          struct error *error)
{
    int64_t steps;
    double seconds;
    size_t index;
    if (points_end(store, key, &steps, &seconds, error)) return -1;
    json_t *events = journal_read_events(run_dir, "epoch", (uint64_t)steps), *event;
    int status = events ? 0 : error_set_memory(error, "a run's epochs");
    json_array_foreach(events, index, event)
        if (!status)
            status = store_put_epoch(store, key, js_text(event, "engine"), event, (double)NAN,
                                     error);
    json_decref(events);
    return status;
}

/* The segments of a run that this one goes on from are its own, too: nobody told them here. */
static int recover_segments(struct store *store, int64_t key, const char *run_dir, int64_t step,
                            struct error *error)
{
    int64_t known = 0;
    size_t index;
    if (query_integer(store, "SELECT count(*) FROM segments WHERE run=?", &known, error, "i", key))
        return -1;
    if (known || step <= 0) return 0;
    json_t *events = journal_read_events(run_dir, "start", (uint64_t)step), *event;
    int status = events ? 0 : error_set_memory(error, "a run's segments");
    json_array_foreach(events, index, event) {
        const struct segment segment = {
            .first = json_integer_value(json_object_get(event, "global_step")),
            .end = INT64_MAX,
            .engine = js_text(event, "engine"),
            .version = js_text(event, "engine_version"),
            .started_at = json_integer_value(json_object_get(event, "at")),
        };
        if (!status && segment.first < step)
            status = store_put_segment(store, key, &segment, error);
    }
    json_decref(events);
    return status;
}

int store_recover(struct store *store, int64_t key, const char *run, int64_t from, int64_t to,
                  struct error *error)
{
    char run_dir[JOB_PATH_MAX];
    if ((size_t)snprintf(run_dir, sizeof run_dir, "%s/runs/%s", store->home, run) >= sizeof run_dir)
        return 0;
    if (recover_points(store, key, run_dir, from, to, error) ||
        recover_epochs(store, key, run_dir, error) ||
        recover_segments(store, key, run_dir, to, error))
        return -1;
    if (query_run(store,
                  "UPDATE runs SET (epoch, accuracy, val_loss, val_accuracy) = (SELECT "
                  "coalesce(max(epoch), 0), accuracy, val_loss,"
                  " val_accuracy FROM epochs WHERE run=?1) WHERE key=?1",
                  error, "i", key))
        return -1;
    return outcome_judge(store, key, error);
}
