/* The loss curve: rows of consecutive steps as blobs of float64, and its reduction to what a screen
 * can show. */
#include "store/points.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/outcome.h"

/* A row longer than this is cut, so that reading a stretch never fetches much more than the
 * stretch. */
#define ROW_STEPS 8192

int points_append(struct store *store, int64_t run, int64_t first_step, const double *losses,
                  size_t count, double seconds, struct error *error)
{
    for (size_t done = 0; done < count;) {
        size_t part = count - done < ROW_STEPS ? count - done : ROW_STEPS;
        if (query_run(store,
                      "INSERT OR REPLACE INTO points (run, first_step, count, seconds, losses) "
                      "VALUES (?,?,?,?,?)",
                      error, "iiidb", run, first_step + (int64_t)done, (int64_t)part, seconds,
                      (const void *)(losses + done), part * sizeof *losses))
            return -1;
        done += part;
    }
    return outcome_losses(store, run, first_step, losses, count, error);
}

int points_clear(struct store *store, int64_t run, int64_t from, int64_t end, struct error *error)
{
    if (from >= end) return 0;
    /* The rest of a row that goes on beyond `end` becomes a row of its own. */
    if (query_run(
            store,
            "INSERT INTO points (run, first_step, count, seconds, losses)"
            " SELECT run, ?2, first_step+count-?2, seconds, substr(losses, 1+8*(?2-first_step))"
            " FROM points WHERE run=?1 AND first_step<?2 AND first_step+count>?2",
            error, "ii", run, end) ||
        query_run(store, "DELETE FROM points WHERE run=? AND first_step>=? AND first_step<?", error,
                  "iii", run, from, end))
        return -1;
    return query_run(
        store,
        "UPDATE points SET losses=substr(losses, 1, 8*(?2-first_step)), count=?2-first_step"
        " WHERE run=?1 AND first_step<?2 AND first_step+count>?2",
        error, "ii", run, from);
}

int points_seconds(struct store *store, int64_t run, int64_t step, double *seconds,
                   struct error *error)
{
    sqlite3_stmt *row;
    *seconds = 0;
    if (query_start(store,
                    "SELECT first_step, count, seconds, coalesce((SELECT seconds FROM points AS p "
                    "WHERE p.run=?1 AND p.first_step<points.first_step ORDER BY first_step DESC "
                    "LIMIT 1), 0) FROM points WHERE run=?1 AND first_step<?2 ORDER BY first_step "
                    "DESC LIMIT 1",
                    &row, error, "ii", run, step))
        return -1;
    int status = query_step(store, row, error);
    if (status == 1) {
        double first = sqlite3_column_double(row, 0), count = sqlite3_column_double(row, 1),
               after = sqlite3_column_double(row, 2), before = sqlite3_column_double(row, 3);
        double part = count > 0 ? ((double)step - first) / count : 1;
        *seconds = before + (after - before) * (part < 1 ? part : 1);
    }
    query_end(row);
    return status < 0 ? -1 : 0;
}

int points_end(struct store *store, int64_t run, int64_t *steps, double *seconds,
               struct error *error)
{
    sqlite3_stmt *row;
    *steps = 0;
    *seconds = 0;
    if (query_start(store,
                    "SELECT first_step+count, seconds FROM points WHERE run=? ORDER BY first_step "
                    "DESC LIMIT 1",
                    &row, error, "i", run))
        return -1;
    int status = query_step(store, row, error);
    if (status == 1) {
        *steps = sqlite3_column_int64(row, 0);
        *seconds = sqlite3_column_double(row, 1);
    }
    query_end(row);
    return status < 0 ? -1 : 0;
}

/* One point of the reduced curve. */
struct sample {
    uint64_t step;
    double loss, seconds;
};

/* Takes the steps one by one and keeps the least and the greatest of each bucket. */
struct reduction {
    struct points *out;
    uint64_t bucket; /* the one being filled */
    bool filled;
    struct sample low, high;
    double sum;
    uint64_t taken; /* steps in `sum` */
};

static void put(struct points *out, const struct sample *sample, double mean)
{
    out->mean[out->count] = mean;
    out->step[out->count] = sample->step;
    out->loss[out->count] = sample->loss;
    out->seconds[out->count++] = sample->seconds;
}

static void finish_bucket(struct reduction *reduction)
{
    if (!reduction->filled) return;
    double mean = reduction->sum / (double)reduction->taken;
    bool low_first = reduction->low.step <= reduction->high.step;
    put(reduction->out, low_first ? &reduction->low : &reduction->high, mean);
    if (reduction->low.step != reduction->high.step)
        put(reduction->out, low_first ? &reduction->high : &reduction->low, mean);
    reduction->filled = false;
}

static void take(struct reduction *reduction, const struct sample *sample)
{
    if (reduction->out->stride == 1) {
        put(reduction->out, sample, sample->loss);
        return;
    }
    uint64_t bucket = (sample->step - reduction->out->from) / reduction->out->stride;
    if (!reduction->filled || bucket != reduction->bucket) {
        finish_bucket(reduction);
        reduction->bucket = bucket;
        reduction->low = reduction->high = *sample;
        reduction->filled = true;
        reduction->sum = sample->loss;
        reduction->taken = 1;
        return;
    }
    reduction->sum += sample->loss;
    reduction->taken++;
    if (sample->loss < reduction->low.loss) reduction->low = *sample;
    if (sample->loss > reduction->high.loss) reduction->high = *sample;
}

/* One row of the table. Times between two rows are interpolated: `before` is the time at the end of
 * the row before. */
static void take_row(struct reduction *reduction, sqlite3_stmt *row, double before)
{
    const struct points *out = reduction->out;
    uint64_t first = (uint64_t)sqlite3_column_int64(row, 0);
    /* steps kept from before a checkpoint may have taken less time than those made anew */
    double after = fmax(before, sqlite3_column_double(row, 1));
    const void *blob = sqlite3_column_blob(row, 2);
    size_t count = (size_t)sqlite3_column_bytes(row, 2) / sizeof(double);
    double each = count ? (after - before) / (double)count : 0;
    for (size_t i = 0; i < count; i++) {
        struct sample sample = {.step = first + i, .seconds = before + each * (double)(i + 1)};
        if (sample.step < out->from || sample.step > out->to) continue;
        memcpy(&sample.loss, (const char *)blob + i * sizeof(double), sizeof(double));
        take(reduction, &sample);
    }
}

static int read_rows(struct store *store, int64_t key, struct points *out, struct error *error)
{
    sqlite3_stmt *row;
    struct reduction reduction = {.out = out};
    double before = 0;
    /* Begins one row early, for the time at which the first row of the stretch began. */
    if (query_start(store,
                    "SELECT first_step, seconds, losses FROM points WHERE run=?1 AND "
                    "first_step<=?3 AND first_step >="
                    " coalesce((SELECT min(first_step) FROM (SELECT first_step FROM points WHERE "
                    "run=?1 AND first_step<=?2"
                    " ORDER BY first_step DESC LIMIT 2)), 0) ORDER BY first_step",
                    &row, error, "iii", key, (int64_t)out->from, (int64_t)out->to))
        return -1;
    int status;
    while ((status = query_step(store, row, error)) == 1) {
        take_row(&reduction, row, before);
        before = fmax(before, sqlite3_column_double(row, 1));
    }
    finish_bucket(&reduction);
    query_end(row);
    return status;
}

int store_points(struct store *store, const char *run, uint64_t from, uint64_t to, size_t max,
                 struct points *out, struct error *error)
{
    int64_t key, steps;
    double seconds;
    *out = (struct points){.from = from, .stride = 1};
    if (store_run_key(store, run, &key, error) || points_end(store, key, &steps, &seconds, error))
        return -1;
    out->total = (uint64_t)steps;
    if (out->total == 0 || from >= out->total || to < from) {
        out->to = from;
        return 0;
    }
    out->to = to >= out->total ? out->total - 1 : to;
    uint64_t wanted = out->to - from + 1;
    size_t room = (size_t)wanted;
    if (max && wanted > max) {
        uint64_t buckets = max < 2 ? 1 : max / 2;
        out->stride = (wanted + buckets - 1) / buckets;
        room = (size_t)buckets * 2;
    }
    out->step = calloc(room, sizeof *out->step);
    out->loss = calloc(room, sizeof *out->loss);
    out->mean = calloc(room, sizeof *out->mean);
    out->seconds = calloc(room, sizeof *out->seconds);
    int status = out->step && out->loss && out->mean && out->seconds
                     ? read_rows(store, key, out, error)
                     : error_set_memory(error, "a curve");
    if (status) points_free(out);
    return status;
}

void points_free(struct points *points)
{
    free(points->step);
    free(points->loss);
    free(points->mean);
    free(points->seconds);
    *points = (struct points){0};
}
