/* atlas/: the rows, and their experiments on the native engine. The frameworks are in
 * tests/python/test_atlas.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "atlas/atlas.h"
#include "base/js.h"

/* Rows whose two sides are the same formula at the same values. */
static const uint32_t equal_rows[] = {1, 6, 12};

static bool is_equal(uint32_t number)
{
    for (size_t i = 0; i < sizeof equal_rows / sizeof *equal_rows; i++)
        if (equal_rows[i] == number) return true;
    return false;
}

static json_t *run(const struct atlas_row *row)
{
    json_t *result = NULL;
    struct error error = {0};
    if (atlas_run(row, engine_default, &result, &error)) fail_msg("%s", error.message);
    return result;
}

static double first_largest(const json_t *result)
{
    return json_number_value(
        json_object_get(json_array_get(json_object_get(result, "curves"), 0), "largest"));
}

static void test_rows_are_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < atlas_row_count; i++) {
        const struct atlas_row *row = &atlas_rows[i];
        if (i) assert_true(row->number > atlas_rows[i - 1].number);
        /* either an experiment or the reason why there is none */
        assert_true((row->experiment != NULL) != (row->without != NULL));
        json_t *text = atlas_row_to_json(row);
        assert_non_null(text);
        for (int side = 0; side < MEANING_COUNT; side++) {
            const json_t *words = json_object_get(text, meaning_name((enum meaning)side));
            assert_true(*js_text(words, "formula") != '\0');
            assert_true(*js_text(words, "defaults") != '\0');
        }
        assert_ptr_equal(atlas_find(row->id), row);
        json_decref(text);
    }
}

static void test_rows_are_found(void **state)
{
    (void)state;
    const struct atlas_row *row;
    struct error error;
    assert_string_equal(atlas_find("3")->id, "adam-epsilon");
    assert_null(atlas_find("24"));
    assert_null(atlas_find("3x"));
    assert_int_equal(atlas_need("no-such", &row, &error), -1);
    assert_non_null(strstr(error.message, "no row \"no-such\""));
}

static void test_curves_part(void **state)
{
    (void)state;
    for (size_t i = 0; i < atlas_row_count; i++) {
        if (!atlas_rows[i].experiment) continue;
        json_t *result = run(&atlas_rows[i]);
        double largest = first_largest(result);
        if (is_equal(atlas_rows[i].number))
            assert_true(largest <= ATLAS_AGREE);
        else
            assert_true(largest > 1e3 * ATLAS_AGREE && isfinite(largest));
        json_decref(result);
    }
}

/* Keras keeps the old rate in its buffer. */
static void test_the_rate_stays_in_the_buffer(void **state)
{
    (void)state;
    json_t *result = run(atlas_find("2")),
           *curve = json_array_get(json_object_get(result, "curves"), 0),
           *p = json_object_get(curve, "pytorch"), *k = json_object_get(curve, "keras");
    assert_int_equal(json_array_size(p), 21);
    /* until the rate changes nothing parts, then at once */
    for (size_t step = 0; step <= 20; step++) {
        double apart = fabs(json_number_value(json_array_get(p, step)) -
                            json_number_value(json_array_get(k, step)));
        assert_true(step <= 10 ? apart < ATLAS_AGREE : apart > 1e-3);
    }
    json_decref(result);
}

static void test_results_repeat(void **state)
{
    (void)state;
    json_t *one = run(atlas_find("9")), *two = run(atlas_find("9")), *other = run(atlas_find("8"));
    assert_true(json_equal(one, two));
    assert_true(atlas_apart(one, two) == 0);
    assert_true(isinf(atlas_apart(one, other)));
    json_decref(one);
    json_decref(two);
    json_decref(other);
}

static void test_a_row_without_experiment_says_why(void **state)
{
    (void)state;
    json_t *result = NULL;
    struct error error;
    assert_int_equal(atlas_run(atlas_find("36"), engine_default, &result, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    assert_non_null(strstr(error.message, "row 36 has no experiment: the studio draws the masks"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_whole),
        cmocka_unit_test(test_rows_are_found),
        cmocka_unit_test(test_curves_part),
        cmocka_unit_test(test_the_rate_stays_in_the_buffer),
        cmocka_unit_test(test_results_repeat),
        cmocka_unit_test(test_a_row_without_experiment_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
