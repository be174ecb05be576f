/* Whether a run diverged: a training that "finished" at the accuracy of guessing is no model to
 * deploy.
 *
 * A loss far above the first one is a mark (spike_step), not yet a verdict: single samples have
 * such losses, and some runs recover. What follows decides: after an epoch its accuracy, within
 * an epoch whether the loss is still a number that training can come back from. */
#include "store/outcome.h"

#include <math.h>
#include <string.h>

#include "store/points.h"

/* A loss above this many times the first loss (taken as 1 when it is smaller) is a mark. */
#define SPIKE_TIMES 3.0
/* A cross-entropy above this is no longer a training. */
#define LOSS_LOST 1e4

/* The loss of the first or the last step; NAN when there is none. */
static int edge_loss(struct store *store, int64_t key, bool last, int64_t *end, double *loss,
                     struct error *error)
{
    sqlite3_stmt *row;
    const char *const sql =
        last ? "SELECT first_step+count, substr(losses, -8) FROM points WHERE run=? ORDER BY "
               "first_step DESC LIMIT 1"
             : "SELECT first_step+count, substr(losses, 1, 8) FROM points WHERE run=? ORDER BY "
               "first_step LIMIT 1";
    *loss = (double)NAN;
    *end = 0;
    if (query_start(store, sql, &row, error, "i", key)) return -1;
    int status = query_step(store, row, error);
    if (status == 1) {
        *end = sqlite3_column_int64(row, 0);
        if (sqlite3_column_bytes(row, 1) == sizeof *loss)
            memcpy(loss, sqlite3_column_blob(row, 1), sizeof *loss);
    }
    query_end(row);
    return status < 0 ? -1 : 0;
}

int outcome_losses(struct store *store, int64_t key, int64_t first_step, const double *losses,
                   size_t count, struct error *error)
{
    double first;
    int64_t end, marked = -1;
    if (query_integer(store, "SELECT coalesce(spike_step, -1) FROM runs WHERE key=?", &marked,
                      error, "i", key))
        return -1;
    if (marked >= 0) return 0;
    if (edge_loss(store, key, false, &end, &first, error)) return -1;
    double limit = SPIKE_TIMES * fmax(1, first); /* fmax() passes over a NAN */
    for (size_t i = 0; i < count; i++)
        if (!(losses[i] <= limit))
            return query_run(store, "UPDATE runs SET spike_step=? WHERE key=?", error, "ii",
                             first_step + (int64_t)i, key);
    return 0;
}

int outcome_restart(struct store *store, int64_t key, int64_t from, struct error *error)
{
    return query_run(store,
                     "UPDATE runs SET spike_step=NULL, diverged_at=NULL WHERE key=? AND "
                     "spike_step>=?",
                     error, "ii", key, from);
}

int outcome_judge(struct store *store, int64_t key, struct error *error)
{
    double loss;
    int64_t end, marked = -1, judged = 0;
    if (query_integer(store, "SELECT coalesce(spike_step, -1) FROM runs WHERE key=?", &marked,
                      error, "i", key))
        return -1;
    if (marked < 0) return 0;
    if (edge_loss(store, key, true, &end, &loss, error) ||
        query_integer(store, "SELECT coalesce(max(global_step), 0) FROM epochs WHERE run=?",
                      &judged, error, "i", key))
        return -1;
    /* The last layer's units are the classes; a tenth of the way from guessing to knowing is no
     * learning. */
    return query_run(
        store,
        "UPDATE runs SET diverged_at=CASE WHEN ?2 THEN spike_step"
        " WHEN coalesce(val_accuracy, accuracy) IS NULL THEN NULL"
        " WHEN coalesce(val_accuracy, accuracy) <= 0.1 + 0.9 / max(1, "
        "coalesce(json_extract(network, '$.layers[#-1].outputs'), 10)) THEN spike_step END"
        " WHERE key=?1",
        error, "ii", key, (int64_t)(end > judged && !(loss <= LOSS_LOST)));
}
