/* base/: buffers, errors, JSON helpers, random numbers, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "base/text.h"
#include "base/rng.h"

static void buffer_refuses_to_pass_its_cap(void **state)
{
    (void)state;
    struct buffer buffer;
    struct error error;
    buffer_init(&buffer, 10);
    assert_int_equal(buffer_append_text(&buffer, "0123456789"), 0);
    assert_int_equal(buffer_append_char(&buffer, 'x'), -1);
    assert_string_equal(buffer.data, "0123456789");
    assert_int_equal(buffer_check(&buffer, "the text", &error), -1);
    assert_string_equal(error.message, "the text is too large: the most is 10 bytes");
    buffer_clear(&buffer);
    assert_int_equal(buffer_printf(&buffer, "%d-%s", 42, "ab"), 0);
    buffer_consume(&buffer, 3);
    assert_string_equal(buffer.data, "ab");
    buffer_free(&buffer);
}

static void error_prefix_keeps_the_message(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(error_set(&error, ERROR_INPUT, "bad %d", 7), -1);
    error_prefix(&error, "file %s", "x");
    assert_string_equal(error.message, "file x: bad 7");
    assert_int_equal(error.code, ERROR_INPUT);
}

static void json_members_are_checked(void **state)
{
    (void)state;
    struct error error;
    json_t *object;
    const char *text = "{\"epochs\":0,\"name\":5,\"lr\":0.1}";
    assert_int_equal(js_parse_object(text, strlen(text), "the job", &object, &error), 0);
    uint32_t epochs = 5;
    assert_int_equal(js_get_u32(object, "epochs", 1, 100, &epochs, &error), -1);
    assert_string_equal(error.message, "\"epochs\" must be a whole number from 1 to 100");
    const char *name = NULL;
    assert_int_equal(js_get_string(object, "name", &name, &error), -1);
    uint32_t absent = 32;
    assert_int_equal(js_get_u32(object, "batch_size", 1, 100, &absent, &error), 0);
    assert_int_equal(absent, 32);
    double lr = 0;
    assert_int_equal(js_get_real(object, "lr", 0, 1, &lr, &error), 0);
    assert_true(lr == 0.1);
    json_decref(object);
    assert_int_equal(js_parse_object("{\"a\":1", 6, "the job", &object, &error), -1);
    assert_int_equal(js_parse_object("[1]", 3, "the job", &object, &error), -1);
    assert_int_equal(js_parse_object("{\"a\":1\0}", 8, "the job", &object, &error), -1);
}

static void random_numbers_are_reproducible(void **state)
{
    (void)state;
    struct rng a, b, other;
    rng_seed(&a, 7, RNG_ORDER, 1);
    rng_seed(&b, 7, RNG_ORDER, 1);
    rng_seed(&other, 7, RNG_ORDER, 2);
    uint64_t first = rng_next(&a);
    assert_true(first == rng_next(&b));
    assert_true(first != rng_next(&other));
    uint32_t order[1000];
    uint8_t seen[1000] = {0};
    rng_permutation(&a, order, 1000);
    for (size_t i = 0; i < 1000; i++) {
        assert_true(order[i] < 1000);
        assert_int_equal(seen[order[i]]++, 0);
    }
    double sum = 0, squares = 0;
    for (int i = 0; i < 100000; i++) {
        double x = rng_normal(&a);
        sum += x;
        squares += x * x;
    }
    assert_true(sum / 100000 < 0.02 && sum / 100000 > -0.02);
    assert_true(squares / 100000 < 1.03 && squares / 100000 > 0.97);
}

static void files_are_whole_or_absent(void **state)
{
    (void)state;
    struct error error;
    char folder[] = "/tmp/nnstudio-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *path = path_join(folder, "a/b/file");
    char *parent = path_join(folder, "a/b");
    assert_int_equal(file_make_directories(parent, &error), 0);
    struct file_writer writer;
    assert_int_equal(file_create(path, &writer, &error), 0);
    fputs("half", writer.stream);
    file_abort(&writer);
    assert_false(file_exists(path));
    assert_int_equal(file_write(path, "hello", 5, &error), 0);
    char *data;
    size_t size;
    assert_int_equal(file_read(path, 5, &data, &size, &error), 0);
    assert_string_equal(data, "hello");
    free(data);
    assert_int_equal(file_read(path, 4, &data, &size, &error), -1);
    char hex[HASH_HEX_SIZE];
    uint64_t length;
    assert_int_equal(hash_file(path, hex, &length, &error), 0);
    assert_string_equal(hex, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_int_equal(length, 5);
    assert_int_equal(file_remove_tree(folder, &error), 0);
    assert_false(file_exists(folder));
    free(path);
    free(parent);
}

static void plain_names_hold_no_path(void **state)
{
    (void)state;
    assert_true(path_is_plain_name("simple_nn-2.pth"));
    assert_false(path_is_plain_name("../x"));
    assert_false(path_is_plain_name("a/b"));
    assert_false(path_is_plain_name(".hidden"));
    assert_false(path_is_plain_name(""));
    assert_true(path_is_plain_name("a-b") && path_is_plain_name("content") &&
                path_is_plain_name("com.v1"));
    static const char *const refused[] = {"-x",  "--name",  "x.",   "..",      "con",
                                          "NUL", "aux.pth", "com1", "Lpt9.txt"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_false(path_is_plain_name(refused[i]));
}

static const char *value_in(char *const *list, const char *name)
{
    const char *found = NULL;
    size_t length = strlen(name);
    for (; *list; list++) {
        if (strncmp(*list, name, length) != 0 || (*list)[length] != '=') continue;
        assert_null(found); /* none twice */
        found = *list + length + 1;
    }
    return found;
}

static void children_inherit_no_secret(void **state)
{
    (void)state;
    char color[] = "NNSTUDIO_TEST_COLOR=none";
    setenv("AZURE_CLIENT_SECRET", "s3cret", 1);
    setenv("AZURE_CLIENT_ID", "someone", 1);
    setenv("NNSTUDIO_TEST_COLOR", "red", 1);
    char **list = environment_for_child(color);
    assert_non_null(list);
    assert_null(value_in(list, "AZURE_CLIENT_SECRET"));
    assert_string_equal(value_in(list, "AZURE_CLIENT_ID"), "someone");
    assert_string_equal(value_in(list, "NNSTUDIO_TEST_COLOR"), "none");
    free(list);
    list = environment_for_child(NULL);
    assert_non_null(list);
    assert_string_equal(value_in(list, "NNSTUDIO_TEST_COLOR"), "red");
    free(list);
}

static void what_killed_writers_left_goes(void **state)
{
    (void)state;
    char folder[] = "/tmp/nnstudio-left-XXXXXX", path[64], left[80], foreign[80];
    struct error error;
    struct file_writer living, next;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model", folder);
    snprintf(left, sizeof left, "%s.part-aB3xyz", path);
    snprintf(foreign, sizeof foreign, "%s.part-notes.txt", path);
    assert_int_equal(file_create(path, &living, &error), 0);
    assert_int_equal(file_write(left, "x", 1, &error), 0);
    assert_int_equal(file_write(foreign, "x", 1, &error), 0);
    assert_int_equal(file_create(path, &next, &error), 0);
    assert_false(file_exists(left));
    assert_true(file_exists(living.temporary) && file_exists(foreign));
    file_abort(&next);
    assert_int_equal(file_commit(&living, &error), 0);
    assert_int_equal(file_write(left, "x", 1, &error), 0);
    file_remove_all_unfinished(folder);
    assert_false(file_exists(left));
    assert_true(file_exists(path) && file_exists(foreign));
    assert_int_equal(file_remove_tree(folder, &error), 0);
}

static void shown_text_is_harmless(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"caf\xc3\xa9 \xf0\x9f\x98\x80 \xe6\xbc\xa2", "caf\xc3\xa9 \xf0\x9f\x98\x80 \xe6\xbc\xa2"},
        {"a\x1b[31mred\nline\r\t\x7f", "a?[31mred?line???"},
        {"\xc2\x9b"
         "31m",
         "?31m"}, /* C1's CSI */
        {"\xe2\x80\xae"
         "gpj\xe2\x81\xa7\xe2\x80\xa8",
         "?gpj??"}, /* right to left, separators */
        {"\xff\xc3(\xe2\x82", "??"
                              "(??"},
        {"\xed\xa0\x80\xc0\x80\xf5\x80\x80\x80", "?????????"}, /* surrogate, overlong, too large */
        {"", ""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_string_equal(text_shown(pairs[i][0]), pairs[i][1]);
        struct error error;
        error_set(&error, ERROR_INPUT, "%s", pairs[i][0]);
        assert_string_equal(error.message, pairs[i][1]);
        error_prefix(&error, "%s", pairs[i][0]);
        assert_true(strncmp(error.message, pairs[i][1], strlen(pairs[i][1])) == 0);
    }
    assert_string_equal(text_shown(NULL), "");
    const char *first = text_shown("first");
    for (int i = 0; i < 7; i++) text_shown("other");
    assert_string_equal(first, "first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shown_text_is_harmless),
        cmocka_unit_test(what_killed_writers_left_goes),
        cmocka_unit_test(buffer_refuses_to_pass_its_cap),
        cmocka_unit_test(error_prefix_keeps_the_message),
        cmocka_unit_test(json_members_are_checked),
        cmocka_unit_test(random_numbers_are_reproducible),
        cmocka_unit_test(children_inherit_no_secret),
        cmocka_unit_test(files_are_whole_or_absent),
        cmocka_unit_test(plain_names_hold_no_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
