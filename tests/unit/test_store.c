/* The store: runs, points and their reduction, events, migrations, two handles on one database. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/js.h"
#include "run/journal.h"
#include "run/settings.h"
#include "store/database.h"
#include "store/owner.h"
#include "store/points.h"
#include "store/recorder.h"
#include "store/runs.h"
#include "store/store.h"

static struct error error;
static char home[] = "/tmp/nnstudio-store-XXXXXX";

static int set_up(void **state)
{
    memcpy(home + sizeof home - 7, "XXXXXX", 6);
    if (!mkdtemp(home)) return -1;
    return store_open(home, (struct store **)state, &error);
}

static int tear_down(void **state)
{
    store_close(*state);
    return file_remove_tree(home, &error);
}

static struct job make_job(const char *run)
{
    struct job job;
    job_init(&job);
    snprintf(job.run, sizeof job.run, "%s", run);
    return job;
}

static void add_run(struct store *store, const char *run)
{
    struct job job = make_job(run);
    assert_int_equal(store_run_create(store, &job, NULL, NULL, false, &error), 0);
}

static void tell(struct recorder *recorder, json_t *event)
{
    assert_int_equal(recorder_event(recorder, event, &error), 0);
    json_decref(event);
}

static void test_settings_return_as_they_went(void **state)
{
    (void)state;
    struct job job = make_job("a"), back;
    job.hidden_count = 2;
    job.hidden[1] = 64;
    job.optimizer.momentum = 0.1;
    job.seed = 1234567890123;
    json_t *settings = settings_to_json(&job);
    assert_int_equal(settings_from_json(settings, &back, &error), 0);
    json_t *again = settings_to_json(&back);
    assert_true(json_equal(settings, again));
    json_object_set_new(settings, "speed", json_integer(3));
    assert_int_equal(settings_from_json(settings, &back, &error), -1);
    assert_non_null(strstr(error.message, "speed"));
    json_decref(settings);
    json_decref(again);
}

static void test_a_run_is_recorded(void **state)
{
    struct store *store = *state;
    struct recorder *recorder;
    struct points points;
    json_t *run;
    add_run(store, "r1");
    assert_int_equal(recorder_create(store, "r1", &recorder, &error), 0);
    tell(recorder, json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i}", "event", "start", "engine",
                             "native", "engine_version", "1", "steps_per_epoch", 3, "batch_size",
                             32, "global_step", 0, "parameters", 7));
    tell(recorder, json_pack("{s:s, s:i, s:f, s:[f,f]}", "event", "step", "first_step", 0,
                             "seconds", 0.5, "loss", 2.5, 1.5));
    tell(recorder, json_pack("{s:s, s:i, s:f, s:[f]}", "event", "step", "first_step", 2, "seconds",
                             0.75, "loss", 0.1));
    tell(recorder, json_pack("{s:s, s:i, s:f, s:f, s:f}", "event", "epoch", "epoch", 1, "loss", 1.0,
                             "val_accuracy", 0.9, "seconds", 0.75));
    assert_int_equal(recorder_flush(recorder, &error), 0);
    assert_int_equal(store_points(store, "r1", 0, UINT64_MAX, 0, &points, &error), 0);
    assert_int_equal(points.count, 3);
    assert_true(points.loss[0] == 2.5 && points.loss[1] == 1.5 && points.loss[2] == 0.1);
    assert_true(points.seconds[2] == 0.75);
    points_free(&points);
    tell(recorder, json_pack("{s:s, s:s}", "event", "end", "state", "finished"));
    assert_int_equal(recorder_flush(recorder, &error), 0);
    recorder_destroy(recorder);
    assert_int_equal(store_run_json(store, "r1", true, &run, &error), 0);
    assert_string_equal(json_string_value(json_object_get(run, "state")), "finished");
    assert_int_equal(json_array_size(json_object_get(run, "epochs")), 1);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(run, "progress"), "global_step")), 3);
    json_decref(run);
}

/* A first loss, a step's loss, then an epoch's accuracy when there is one: at which step it
 * diverged; -1: it did not. */
static int64_t diverged(struct store *store, double later, double accuracy)
{
    static int number;
    char id[16];
    struct recorder *recorder;
    json_t *run;
    snprintf(id, sizeof id, "d%d", number++);
    add_run(store, id);
    assert_int_equal(recorder_create(store, id, &recorder, &error), 0);
    tell(recorder, json_pack("{s:s, s:s, s:i, s:i, s:i, s:{s:[{s:i}]}}", "event", "start", "engine",
                             "native", "steps_per_epoch", 2, "batch_size", 32, "global_step", 0,
                             "network", "layers", "outputs", 10));
    tell(recorder, json_pack("{s:s, s:i, s:f, s:[f,o]}", "event", "step", "first_step", 0,
                             "seconds", 0.5, "loss", 2.3, js_real(later)));
    if (isfinite(accuracy))
        tell(recorder, json_pack("{s:s, s:i, s:f, s:i}", "event", "epoch", "epoch", 1,
                                 "val_accuracy", accuracy, "global_step", 2));
    assert_int_equal(recorder_flush(recorder, &error), 0);
    recorder_destroy(recorder);
    assert_int_equal(store_run_json(store, id, false, &run, &error), 0);
    const json_t *value = json_object_get(run, "diverged_at");
    int64_t step = json_is_integer(value) ? json_integer_value(value) : -1;
    json_decref(run);
    return step;
}

static void test_divergence_is_told_from_a_bad_sample(void **state)
{
    struct store *store = *state;
    assert_int_equal(diverged(store, (double)NAN, (double)NAN), 1);
    assert_int_equal(diverged(store, 9.1e33, (double)NAN), 1);
    assert_int_equal(diverged(store, 9.1e33, 0.098), 1);
    assert_int_equal(diverged(store, 9.1e33, 0.95), -1); /* it came back */
    assert_int_equal(diverged(store, 12, (double)NAN), -1);
    assert_int_equal(diverged(store, 12, 0.1135), 1);
    assert_int_equal(diverged(store, 2.4, 0.1135), -1); /* learns nothing, but did not leave */
}

/* Losses of steps 0 … count-1 in rows of uneven length, one very low and one very high among them.
 */
static int64_t fill(struct store *store, const char *run, size_t count)
{
    int64_t key;
    double *losses = malloc(count * sizeof *losses);
    assert_int_equal(store_run_key(store, run, &key, &error), 0);
    for (size_t i = 0; i < count; i++) losses[i] = 1 + sin((double)i);
    losses[count / 3] = -5;
    losses[count / 2] = 50;
    for (size_t done = 0, part = 1; done < count; done += part, part = part * 7 % 501 + 1) {
        if (part > count - done) part = count - done;
        assert_int_equal(points_append(store, key, (int64_t)done, losses + done, part,
                                       (double)(done + part) / 1000, &error),
                         0);
    }
    free(losses);
    return key;
}

static void test_reduction_keeps_extremes_and_order(void **state)
{
    struct store *store = *state;
    struct points points;
    add_run(store, "r1");
    fill(store, "r1", 10007);
    assert_int_equal(store_points(store, "r1", 0, UINT64_MAX, 100, &points, &error), 0);
    assert_true(points.count <= 100 && points.count > 50 && points.stride == 201);
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < points.count; i++) {
        low = fmin(low, points.loss[i]);
        high = fmax(high, points.loss[i]);
        if (i)
            assert_true(points.step[i] > points.step[i - 1] &&
                        points.seconds[i] >= points.seconds[i - 1]);
        assert_true(fabs(points.seconds[i] - (double)(points.step[i] + 1) / 1000) < 1e-9);
    }
    assert_true(low == -5 && high == 50);
    points_free(&points);
    assert_int_equal(store_points(store, "r1", 5000, 5009, 100, &points, &error), 0);
    assert_true(points.count == 10 && points.stride == 1 && points.step[0] == 5000 &&
                points.step[9] == 5009);
    points_free(&points);
    assert_int_equal(store_points(store, "r1", 20000, UINT64_MAX, 100, &points, &error), 0);
    assert_true(points.count == 0 && points.total == 10007);
    points_free(&points);
}

static void test_truncation_cuts_within_a_row(void **state)
{
    struct store *store = *state;
    struct points points;
    add_run(store, "r1");
    int64_t key = fill(store, "r1", 1000);
    assert_int_equal(points_clear(store, key, 333, INT64_MAX, &error), 0);
    assert_int_equal(store_points(store, "r1", 0, UINT64_MAX, 0, &points, &error), 0);
    assert_int_equal(points.total, 333);
    for (size_t i = 0; i < points.count; i++)
        assert_true(points.step[i] == i && points.loss[i] == 1 + sin((double)i));
    points_free(&points);
}

static double curve_sum(struct store *store, size_t *count)
{
    struct points points;
    double sum = 0, before = 0;
    assert_int_equal(store_points(store, "r1", 0, UINT64_MAX, 0, &points, &error), 0);
    *count = points.count;
    for (size_t i = 0; i < points.count; i++) {
        assert_int_equal(points.step[i], i);
        assert_true(points.seconds[i] >= before);
        before = points.seconds[i];
        sum += points.loss[i];
    }
    points_free(&points);
    return sum;
}

static void test_steps_are_replaced_one_by_one(void **state)
{
    struct store *store = *state;
    double old[20], new[20];
    size_t count;
    int64_t key;
    add_run(store, "r1");
    assert_int_equal(store_run_key(store, "r1", &key, &error), 0);
    for (int i = 0; i < 20; i++) {
        old[i] = 1;
        new[i] = 100;
    }
    /* rows of 7, 7 and 6; what is replaced lies within a row, across rows, and beyond the last */
    assert_int_equal(points_append(store, key, 0, old, 7, 7, &error), 0);
    assert_int_equal(points_append(store, key, 7, old, 7, 14, &error), 0);
    assert_int_equal(points_append(store, key, 14, old, 6, 20, &error), 0);
    static const int64_t stretches[][2] = {{2, 4}, {4, 5}, {5, 16}, {16, 20}};
    for (size_t i = 0; i < 4; i++) {
        int64_t from = stretches[i][0], end = stretches[i][1];
        assert_int_equal(points_clear(store, key, from, end, &error), 0);
        assert_int_equal(points_append(store, key, from, new, (size_t)(end - from), 10, &error), 0);
        assert_true(curve_sum(store, &count) == (double)(20 + 99 * (end - 2)));
        assert_int_equal(count, 20);
    }
    double seconds;
    assert_int_equal(points_seconds(store, key, 1, &seconds, &error), 0);
    assert_true(seconds > 0 && seconds < 7);
    assert_int_equal(points_seconds(store, key, 0, &seconds, &error), 0);
    assert_true(seconds == 0);
}

static void test_the_journal_fills_the_gap(void **state)
{
    struct store *store = *state;
    struct points points;
    char folder[80];
    const double losses[] = {5, 4, 3, 2, 1};
    add_run(store, "r1");
    int64_t key;
    assert_int_equal(store_run_key(store, "r1", &key, &error), 0);
    snprintf(folder, sizeof folder, "%s/runs/r1", home);
    assert_int_equal(file_make_directories(folder, &error), 0);
    struct journal journal;
    journal_open(&journal, folder, NULL, 0);
    journal_add_losses(&journal, 0, losses, 5);
    for (int epoch = 1; epoch <= 2; epoch++) {
        json_t *event = json_pack("{s:s, s:s, s:i, s:f, s:f, s:i}", "event", "epoch", "engine",
                                  "torch", "epoch", epoch, "loss", 0.5, "val_accuracy",
                                  0.25 * epoch, "global_step", 2 * epoch);
        journal_add_event(&journal, event);
        json_decref(event);
    }
    journal_close(&journal);
    assert_int_equal(points_append(store, key, 0, losses, 2, 1, &error), 0);
    /* Up to step 3: the second epoch ended after it. */
    assert_int_equal(store_recover(store, key, "r1", 2, 3, &error), 0);
    json_t *run;
    assert_int_equal(store_run_json(store, "r1", true, &run, &error), 0);
    assert_int_equal(json_array_size(json_object_get(run, "epochs")), 1);
    assert_true(json_real_value(json_object_get(json_object_get(run, "last"), "val_accuracy")) ==
                0.25);
    json_decref(run);
    assert_int_equal(store_recover(store, key, "r1", 3, INT64_MAX, &error), 0);
    assert_int_equal(store_points(store, "r1", 0, UINT64_MAX, 0, &points, &error), 0);
    assert_int_equal(points.count, 5);
    assert_true(memcmp(points.loss, losses, sizeof losses) == 0);
    points_free(&points);
    assert_int_equal(store_run_json(store, "r1", true, &run, &error), 0);
    const json_t *last = json_array_get(json_object_get(run, "epochs"), 1);
    assert_string_equal(json_string_value(json_object_get(last, "engine")), "torch");
    assert_true(json_real_value(json_object_get(json_object_get(run, "last"), "val_accuracy")) ==
                0.5);
    json_decref(run);
}

static size_t read_journal(double out[8], uint64_t *made)
{
    struct journal_losses read;
    assert_int_equal(journal_read_losses(home, 0, UINT64_MAX, &read, &error), 0);
    assert_true(read.count <= 8);
    if (read.count) memcpy(out, read.losses, read.count * sizeof *out);
    free(read.losses);
    *made = read.made;
    return read.count;
}

static void test_the_journal_keeps_steps_until_they_are_made_anew(void **state)
{
    (void)state;
    struct journal journal;
    double losses[8];
    uint64_t made;
    const double before[] = {5, 4, 3, 2}, again[] = {2.5, 1.5};
    journal_open(&journal, home, NULL, 0);
    journal_add_losses(&journal, 0, before, 4);
    for (int epoch = 1; epoch <= 2; epoch++) {
        json_t *event = json_pack("{s:s, s:i, s:i}", "event", "epoch", "epoch", epoch,
                                  "global_step", 2 * epoch);
        journal_add_event(&journal, event);
        json_decref(event);
    }
    ssize_t cut = write(journal.events, "{\"epoch\":3,", 11); /* a line that was never finished */
    assert_int_equal(cut, 11);
    journal_close(&journal);
    /* killed, told to go on, and killed again before it comes as far: three times */
    for (int turn = 0; turn < 3; turn++) {
        journal_open(&journal, home, NULL, 2);
        if (turn == 2) journal_add_losses(&journal, 2, again, 1);
        journal_close(&journal);
        assert_int_equal(read_journal(losses, &made), 4);
        assert_int_equal(made, turn == 2 ? 3 : 2);
        assert_true(losses[1] == 4 && losses[2] == (turn == 2 ? 2.5 : 3) && losses[3] == 2);
    }
    journal_open(&journal, home, NULL, 3);
    journal_add_losses(&journal, 3, again + 1, 1);
    /* a stretch that a full disk did not take is unknown, not nothing */
    journal_add_losses(&journal, 5, again, 1);
    json_t *event = json_pack("{s:s, s:i, s:i}", "event", "epoch", "epoch", 2, "global_step", 4);
    journal_add_event(&journal, event);
    json_decref(event);
    journal_close(&journal);
    assert_int_equal(read_journal(losses, &made), 6);
    assert_true(losses[3] == 1.5 && isnan(losses[4]) && losses[5] == 2.5);
    json_t *epochs = journal_read_events(home, "epoch", INT64_MAX);
    assert_int_equal(json_array_size(epochs), 3);
    assert_true(json_object_get(json_array_get(epochs, 2), "at") != NULL);
    json_decref(epochs);
}

static void test_lists_filter_and_sort(void **state)
{
    struct store *store = *state;
    json_t *runs, *tags = json_pack("[s]", "50%_\"x");
    uint64_t total;
    for (int i = 0; i < 5; i++) {
        char run[8];
        snprintf(run, sizeof run, "r%d", i);
        add_run(store, run);
        assert_int_equal(store_run_set_state(store, run, RUN_FINISHED, NULL, &error), 0);
    }
    assert_int_equal(store_run_edit(store, "r2", "Zebra", tags, "notes", &error), 0);
    json_decref(tags);
    struct run_filter filter = {.text = "zEBRA"};
    assert_int_equal(store_run_list(store, &filter, &runs, &total, &error), 0);
    assert_int_equal(total, 1);
    json_decref(runs);
    filter = (struct run_filter){.tag = "50%_\"x"};
    assert_int_equal(store_run_list(store, &filter, &runs, &total, &error), 0);
    assert_int_equal(total, 1);
    json_decref(runs);
    filter = (struct run_filter){.limit = 2, .offset = 4};
    assert_int_equal(store_run_list(store, &filter, &runs, &total, &error), 0);
    assert_true(total == 5 && json_array_size(runs) == 1);
    json_decref(runs);
    filter = (struct run_filter){.limit = 2, .offset = 9};
    assert_int_equal(store_run_list(store, &filter, &runs, &total, &error), 0);
    assert_true(total == 5 && json_array_size(runs) == 0);
    json_decref(runs);
    filter = (struct run_filter){.sort = "created_at; DROP TABLE runs"};
    assert_int_equal(store_run_list(store, &filter, &runs, &total, &error), -1);
}

static void test_deletion_can_be_undone_until_purged(void **state)
{
    struct store *store = *state;
    struct run_record record;
    add_run(store, "r1");
    assert_int_equal(store_run_delete(store, "r1", false, &error), -1);
    assert_int_equal(error.code, ERROR_CONFLICT);
    assert_int_equal(store_run_set_state(store, "r1", RUN_STOPPED, NULL, &error), 0);
    assert_int_equal(store_run_delete(store, "r1", false, &error), 0);
    assert_int_equal(store_purge(store, 0, &error), 0);
    assert_int_equal(store_run_get(store, "r1", &record, &error), 0);
    assert_true(record.deleted);
    assert_int_equal(store_run_restore(store, "r1", &error), 0);
    assert_int_equal(store_run_delete(store, "r1", false, &error), 0);
    assert_int_equal(store_purge(store, INT64_MAX, &error), 0);
    assert_int_equal(store_run_get(store, "r1", &record, &error), -1);
    assert_int_equal(error.code, ERROR_NOT_FOUND);
}

static int count_events(void *context, const struct store_event *event, struct error *unused)
{
    (void)unused;
    int *count = context;
    assert_true(event->id > 0);
    ++*count;
    return 0;
}

static void test_two_handles_see_each_other(void **state)
{
    struct store *store = *state, *other;
    int64_t before, after;
    int count = 0;
    assert_int_equal(store_open(home, &other, &error), 0);
    assert_int_equal(store_last_event(other, &before, &error), 0);
    add_run(store, "r1");
    assert_int_equal(store_last_event(other, &after, &error), 0);
    assert_true(after == before + 1);
    assert_int_equal(store_events(other, before, after, count_events, &count, &error), 0);
    assert_int_equal(count, 1);
    /* this process lives */
    assert_int_equal(store_run_claim(other, "r1", "native", 5, false, &error), -1);
    store_close(other);
}

static void test_a_dead_owner_leaves_an_interrupted_run(void **state)
{
    struct store *store = *state;
    struct run_record record;
    uint32_t count;
    char owner[OWNER_SIZE];
    owner_self(owner);
    assert_true(owner_alive(owner));
    assert_false(owner_alive("1 2 3"));
    assert_false(owner_alive(""));
    add_run(store, "r1");
    assert_int_equal(store_mark_interrupted(store, &count, &error), 0);
    assert_int_equal(count, 0);
    assert_int_equal(query_run(store, "UPDATE runs SET owner='999999999 1 x'", &error, ""), 0);
    assert_int_equal(store_mark_interrupted(store, &count, &error), 0);
    assert_int_equal(count, 1);
    assert_int_equal(store_run_get(store, "r1", &record, &error), 0);
    assert_int_equal(record.state, RUN_INTERRUPTED);
}

static void test_a_failed_write_changes_nothing(void **state)
{
    struct store *store = *state;
    struct recorder *recorder;
    struct points points;
    add_run(store, "r1");
    assert_int_equal(recorder_create(store, "r1", &recorder, &error), 0);
    tell(recorder,
         json_pack("{s:s, s:i, s:[f,f]}", "event", "step", "first_step", 0, "loss", 2.5, 1.5));
    assert_int_equal(sqlite3_exec(store->db, "PRAGMA query_only=1", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(recorder_flush(recorder, &error), -1);
    assert_int_equal(sqlite3_exec(store->db, "PRAGMA query_only=0", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(recorder_flush(recorder, &error), 0);
    assert_int_equal(store_points(store, "r1", 0, UINT64_MAX, 0, &points, &error), 0);
    assert_true(points.count == 2 && points.loss[1] == 1.5);
    points_free(&points);
    recorder_destroy(recorder);
}

static void test_registrations_are_kept(void **state)
{
    struct store *store = *state;
    int64_t id;
    json_t *list, *entry = json_pack("{s:s, s:s, s:s}", "run", "r1", "target", "local", "name",
                                     "pytorch_mnist");
    json_t *change = json_pack("{s:s, s:s, s:[s]}", "state", "done", "version", "3", "steps",
                               "upload");
    assert_int_equal(store_registration_add(store, entry, &id, &error), 0);
    assert_int_equal(store_registration_update(store, id, change, &error), 0);
    assert_int_equal(store_registration_list(store, "r1", 0, &list, &error), 0);
    json_t *kept = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(kept, "version")), "3");
    assert_string_equal(json_string_value(json_object_get(kept, "name")), "pytorch_mnist");
    json_decref(list);
    json_decref(entry);
    json_decref(change);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_return_as_they_went),
        WITH_STORE(test_a_run_is_recorded),
        WITH_STORE(test_divergence_is_told_from_a_bad_sample),
        WITH_STORE(test_reduction_keeps_extremes_and_order),
        WITH_STORE(test_truncation_cuts_within_a_row),
        WITH_STORE(test_the_journal_fills_the_gap),
        WITH_STORE(test_the_journal_keeps_steps_until_they_are_made_anew),
        WITH_STORE(test_steps_are_replaced_one_by_one),
        WITH_STORE(test_lists_filter_and_sort),
        WITH_STORE(test_deletion_can_be_undone_until_purged),
        WITH_STORE(test_two_handles_see_each_other),
        WITH_STORE(test_a_dead_owner_leaves_an_interrupted_run),
        WITH_STORE(test_a_failed_write_changes_nothing),
        WITH_STORE(test_registrations_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
