/* engine/trace_name: every name is read back as what it was composed of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/trace_name.h"

static const struct {
    const char *name;
    enum trace_what what;
    uint32_t layer;
    const char *tensor;
} known[] = {
    {"input", TRACE_INPUT, 0, ""},
    {"z1", TRACE_BEFORE, 1, ""},
    {"a12", TRACE_AFTER, 12, ""},
    {"logits", TRACE_LOGITS, 0, ""},
    {"probabilities", TRACE_PROBABILITIES, 0, ""},
    {"loss", TRACE_LOSS, 0, ""},
    {"grad/fc1.weight", TRACE_GRADIENT, 0, "fc1.weight"},
    {"new/bn2.running_mean", TRACE_NEW, 0, "bn2.running_mean"},
};

static void names_are_read_as_they_were_composed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char name[TRACE_NAME_SIZE];
        struct trace_name read;
        assert_string_equal(trace_name(name, known[i].what, known[i].layer, known[i].tensor),
                            known[i].name);
        assert_true(trace_name_parse(name, &read));
        assert_int_equal(read.what, known[i].what);
        assert_int_equal(read.layer, known[i].layer);
        assert_string_equal(read.tensor, known[i].tensor);
        assert_true(strlen(trace_name_words(&read)) > 0);
    }
}

static void what_is_no_such_name_is_told(void **state)
{
    (void)state;
    static const char *const other[] = {
        "",
        "z",
        "a",
        "z0",
        "z01",
        "a1b",
        "z4294967296",
        "inputs",
        "losses",
        "grad/",
        "new/",
        "fc1.weight",
        "grad/a_name_that_is_longer_than_the_name_of_any_tensor.weight",
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        struct trace_name read;
        if (trace_name_parse(other[i], &read)) fail_msg("\"%s\" was read", other[i]);
    }
}

static void a_gradient_says_what_it_is_by(void **state)
{
    (void)state;
    struct trace_name weight, bias;
    assert_true(trace_name_parse("grad/fc1.weight", &weight));
    assert_true(trace_name_parse("grad/fc1.bias", &bias));
    assert_string_not_equal(trace_name_words(&weight), trace_name_words(&bias));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_as_they_were_composed),
        cmocka_unit_test(what_is_no_such_name_is_told),
        cmocka_unit_test(a_gradient_says_what_it_is_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
