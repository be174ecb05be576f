/* cli/: the option parser. What commands print is tested from outside, in
 * tests/python/test_train_cli.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/cli.h"

/* One of each type. */
struct values {
    bool flag;
    const char *text;
    uint32_t small;
    uint64_t large;
    double real;
    struct cli_list list;
};

static const struct command command = {
    .name = "try", .usage = "WORD [options]", .arguments_min = 1, .arguments_max = 2};

#define PARSE(values, arguments, ...) \
    parse(values, arguments, (const char *[]){"try", __VA_ARGS__, NULL})

static int parse(struct values *values, struct cli_arguments *arguments, const char **words)
{
    *values = (struct values){.text = "default", .small = 7};
    const struct cli_option options[] = {
        {"flag", OPTION_FLAG, &values->flag, NULL, ""},
        {"text", OPTION_TEXT, &values->text, "T", ""},
        {"small", OPTION_U32, &values->small, "N", ""},
        {"large", OPTION_U64, &values->large, "N", ""},
        {"real", OPTION_REAL, &values->real, "R", ""},
        {"list", OPTION_LIST, &values->list, "L", ""},
        {0},
    };
    int count = 0;
    while (words[count]) count++;
    int status = cli_parse(&command, options, count, (char **)(uintptr_t)words, arguments);
    if (status == CLI_GO_ON)
        assert_true(cli_given(arguments, options, "text") ==
                    (strcmp(values->text, "default") != 0));
    return status;
}

static void every_type_is_read(void **state)
{
    (void)state;
    struct values values;
    struct cli_arguments arguments;
    assert_int_equal(PARSE(&values, &arguments, "a", "--flag", "--text=x=y", "--small",
                           "4294967295", "--large", "18446744073709551615", "--real", "-1.5e-3",
                           "--list", "1", "--list=2", "b"),
                     CLI_GO_ON);
    assert_true(values.flag);
    assert_string_equal(values.text, "x=y");
    assert_int_equal(values.small, UINT32_MAX);
    assert_true(values.large == UINT64_MAX);
    assert_true(values.real == -1.5e-3);
    assert_int_equal(values.list.count, 2);
    assert_string_equal(values.list.items[1], "2");
    assert_int_equal(arguments.count, 2);
    assert_string_equal(arguments.words[1], "b");
}

static void what_is_not_given_stays(void **state)
{
    (void)state;
    struct values values;
    struct cli_arguments arguments;
    assert_int_equal(PARSE(&values, &arguments, "a"), CLI_GO_ON);
    assert_string_equal(values.text, "default");
    assert_int_equal(values.small, 7);
    for (size_t i = 0; i < CLI_OPTIONS_MAX; i++) assert_false(arguments.given[i]);
    assert_int_equal(PARSE(&values, &arguments, "--", "--flag"), CLI_GO_ON);
    assert_false(values.flag);
    assert_string_equal(arguments.words[0], "--flag");
    assert_int_equal(PARSE(&values, &arguments, "-"), CLI_GO_ON);
    assert_int_equal(PARSE(&values, &arguments, "a", "--real", "nan"), CLI_GO_ON);
    assert_true(isnan(values.real));
}

static void mistakes_are_usage_errors(void **state)
{
    (void)state;
    struct values values;
    struct cli_arguments arguments;
    assert_int_equal(PARSE(&values, &arguments, "a", "--small", "4294967296"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--small", "-1"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--small", " 1"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--small", "1x"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--small", ""), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--large", "18446744073709551616"),
                     EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--real", "1,5"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--flag=1"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--text"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--text", "--flag"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "--tex", "x"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "-f"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "a", "b", "c"), EXIT_USAGE);
    assert_int_equal(PARSE(&values, &arguments, "--flag"), EXIT_USAGE);
}

static void a_near_name_is_suggested(void **state)
{
    (void)state;
    const char *const names[] = {"epochs", "batch-size", "seed", "home"};
    assert_string_equal(cli_nearest("epoch", names, 4), "epochs");
    assert_string_equal(cli_nearest("batchsize", names, 4), "batch-size");
    assert_string_equal(cli_nearest("sede", names, 4), "seed");
    assert_null(cli_nearest("tracking", names, 4));
    assert_null(cli_nearest("a-word-that-is-much-longer-than-any-option-there-is", names, 4));
}

static void errors_become_exit_statuses(void **state)
{
    (void)state;
    char *const unknown[] = {(char[]){"nnstudio"}, (char[]){"nothing"}, NULL};
    assert_int_equal(cli_main(2, (char **)(uintptr_t)unknown), EXIT_USAGE);
    struct error error = {.code = ERROR_INTERRUPTED, .message = "interrupted"};
    assert_int_equal(cli_fail(&error), EXIT_INTERRUPTED);
    error.code = ERROR_IO;
    assert_int_equal(cli_fail(&error), EXIT_FAILED);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read),         cmocka_unit_test(what_is_not_given_stays),
        cmocka_unit_test(mistakes_are_usage_errors),  cmocka_unit_test(a_near_name_is_suggested),
        cmocka_unit_test(errors_become_exit_statuses),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
