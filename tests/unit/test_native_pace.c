/* engine/native: the choice of how many workers train. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/native/pace.h"

/* Runs `segments` on a machine where `workers` workers need seconds_of[workers] a sample; returns
 * how many used `wanted`. */
static int run(struct pace *pace, const double *seconds_of, int segments, uint32_t wanted)
{
    int hits = 0;
    for (int i = 0; i < segments; i++) {
        uint32_t workers = pace_workers(pace);
        size_t samples = pace_samples(pace);
        assert_true(workers >= 1 && workers <= 4 && samples >= 1);
        pace_report(pace, seconds_of[workers] * (double)samples, samples);
        hits += workers == wanted;
    }
    return hits;
}

static void all_threads_stay_at_work_where_they_help(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 4);
    assert_true(run(&pace, (double[]){0, 4e-6, 2e-6, 0, 1e-6}, 2000, 4) > 1900);
}

static void fewer_take_over_when_the_machine_is_busy_and_more_when_it_is_free_again(void **state)
{
    (void)state;
    struct pace pace;
    const double quiet[] = {0, 4e-6, 2e-6, 0, 1e-6}, busy[] = {0, 4e-6, 8e-6, 0, 16e-6};
    pace_init(&pace, 4);
    run(&pace, quiet, 1000, 4);
    assert_true(run(&pace, busy, 1000, 1) > 900);
    assert_true(run(&pace, quiet, 2000, 4) > 1200);
}

/* Training is called for so many samples at a time, a few at first; what is left at the end of a
 * call is a short piece. The very first one finds cold caches, and for a short one two workers are
 * dear: one of them has to be woken. */
static double share_of_two_workers(size_t samples_a_call)
{
    struct pace pace;
    size_t hits = 0, all = 0;
    pace_init(&pace, 2);
    for (int call = 0; call < 100; call++) {
        for (size_t left = call < 5 ? (size_t)32 << 2 * call : samples_a_call; left > 0;) {
            uint32_t workers = pace_workers(&pace);
            size_t samples = pace_samples(&pace) < left ? pace_samples(&pace) : left;
            double each = workers == 2 ? 1.05e-6 : 1.33e-6, extra = all == 0 ? 0.001
                                                                    : workers == 2 && samples < 1000
                                                                        ? 0.0003
                                                                        : 0;
            pace_report(&pace, each * (double)samples + extra, samples);
            if (workers == 2) hits += samples;
            all += samples;
            left -= samples;
        }
    }
    return (double)hits / (double)all;
}

static void short_pieces_decide_nothing(void **state)
{
    (void)state;
    for (size_t whole = 2; whole < 12; whole++)
        assert_true(share_of_two_workers(whole * 6016 + 96) > 0.8);
}

/* Short calls only: the choice is still made, by several of them together. */
static void many_short_calls_decide_together(void **state)
{
    (void)state;
    struct pace pace;
    int hits = 0;
    pace_init(&pace, 2);
    for (int call = 0; call < 20000; call++) {
        uint32_t workers = pace_workers(&pace);
        pace_report(&pace, 64 * (workers == 2 ? 2e-6 : 1e-6), 64);
        hits += workers == 1;
    }
    assert_true(hits > 15000);
}

static void one_thread_has_nothing_to_choose(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 1);
    assert_int_equal(run(&pace, (double[]){0, 1e-6}, 100, 1), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_threads_stay_at_work_where_they_help),
        cmocka_unit_test(fewer_take_over_when_the_machine_is_busy_and_more_when_it_is_free_again),
        cmocka_unit_test(short_pieces_decide_nothing),
        cmocka_unit_test(many_short_calls_decide_together),
        cmocka_unit_test(one_thread_has_nothing_to_choose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
