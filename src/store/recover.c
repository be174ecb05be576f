/* What a run's journal (run/journal.h) has and the data base has not: its worker outlived whoever
 * listened to it. */
#include <math.h>
#include <stdlib.h>

#include "run/journal.h"
#include "store/outcome.h"
#include "store/points.h"
#include "store/runs.h"

static int recover_points(struct store *store, int64_t key, const char *run_dir, int64_t to,
                          struct error *error)
{
    int64_t steps;
    double seconds, *losses;
    size_t count;
    if (points_end(store, key, &steps, &seconds, error)) return -1;
    if (steps >= to) return 0;
    if (journal_read_losses(run_dir, (uint64_t)steps, (uint64_t)to, &losses, &count, error))
        return -1;
    /* How long they took nobody knows: as long as those before. */
    double each = steps > 0 ? seconds / (double)steps : 0;
    int status = points_append(store, key, steps, losses, count, seconds + each * (double)count,
                               error);
    free(losses);
    return status;
}

static int recover_epochs(struct store *store, int64_t key, const char *run_dir,
                          struct error *error)
{
    int64_t steps;
    double seconds;
    size_t index;
    if (points_end(store, key, &steps, &seconds, error)) return -1;
    json_t *events = journal_read_epochs(run_dir, (uint64_t)steps), *event;
    int status = events ? 0 : error_set_memory(error, "a run's epochs");
    json_array_foreach(events, index, event)
        if (!status)
            status = store_put_epoch(store, key,
                                     json_string_value(json_object_get(event, "engine")), event,
                                     (double)NAN, error);
    json_decref(events);
    return status;
}

int store_recover(struct store *store, int64_t key, const char *run, int64_t to,
                  struct error *error)
{
    char run_dir[JOB_PATH_MAX];
    if ((size_t)snprintf(run_dir, sizeof run_dir, "%s/runs/%s", store->home, run) >= sizeof run_dir)
        return 0;
    if (recover_points(store, key, run_dir, to, error) ||
        recover_epochs(store, key, run_dir, error))
        return -1;
    if (query_run(store,
                  "UPDATE runs SET (epoch, accuracy, val_loss, val_accuracy) = (SELECT "
                  "coalesce(max(epoch), 0), accuracy, val_loss,"
                  " val_accuracy FROM epochs WHERE run=?1) WHERE key=?1",
                  error, "i", key))
        return -1;
    return outcome_judge(store, key, error);
}
