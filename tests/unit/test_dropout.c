/* engine/dropout: the masks of every engine, held against words that TensorFlow's own generator
 * gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/dropout.h"

/* tf.raw_ops.StatelessRandomUniformFullIntV2(shape=[8], key=[7], counter=[0, 5 * 64 + 2], alg=1,
 * dtype=tf.uint32) */
static const uint32_t words[8] = {1659991908U, 279138600U,  553569684U, 3466652747U,
                                  3763526934U, 1566857916U, 450003597U, 1886218408U};

static void words_are_those_of_tensorflow(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        uint8_t kept;
        double rate = words[i] / 4294967296.0;
        dropout_mask(7, dropout_stream(5, 2), rate, i, 1, &kept);
        assert_int_equal(kept, 1); /* the word itself is the least that stays */
        dropout_mask(7, dropout_stream(5, 2), rate + 1 / 4294967296.0, i, 1, &kept);
        assert_int_equal(kept, 0);
    }
}

static void a_part_is_a_part_of_the_whole(void **state)
{
    (void)state;
    uint8_t whole[1003], part[100];
    dropout_mask(UINT64_MAX, dropout_stream(1000000, 63), 0.3, 0, sizeof whole, whole);
    for (size_t first = 0; first < 9; first++) {
        dropout_mask(UINT64_MAX, dropout_stream(1000000, 63), 0.3, first, sizeof part, part);
        assert_memory_equal(part, whole + first, sizeof part);
    }
}

static void the_share_is_what_was_asked_for(void **state)
{
    (void)state;
    static uint8_t kept[100000];
    size_t sum = 0;
    dropout_mask(1, dropout_stream(0, 0), 0.25, 0, sizeof kept, kept);
    for (size_t i = 0; i < sizeof kept; i++) sum += kept[i];
    assert_in_range(sum, 74500, 75500);
    dropout_mask(1, dropout_stream(0, 0), 0, 0, sizeof kept, kept);
    for (size_t i = 0; i < sizeof kept; i++) assert_int_equal(kept[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_those_of_tensorflow),
        cmocka_unit_test(a_part_is_a_part_of_the_whole),
        cmocka_unit_test(the_share_is_what_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
