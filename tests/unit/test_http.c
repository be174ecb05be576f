/* The rules about who may ask, and the description of what is served. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "http/router.h"
#include "http/security.h"
#include "http/showdown.h"

static void test_loopback(void **state)
{
    (void)state;
    assert_true(security_is_loopback("127.0.0.1") && security_is_loopback("127.9.9.9") &&
                security_is_loopback("::1"));
    assert_true(security_is_loopback("localhost") && security_is_loopback("LocalHost"));
    assert_false(security_is_loopback("0.0.0.0") || security_is_loopback("10.0.0.1") ||
                 security_is_loopback("localhost.evil"));
    assert_false(security_is_loopback("") || security_is_loopback("127.0.0.1.evil"));
}

static void test_hosts(void **state)
{
    (void)state;
    const char *const good[] = {"127.0.0.1", "127.0.0.1:8501", "localhost:1", "[::1]",
                                "[::1]:8501"};
    const char *const bad[] = {
        "",     ":8501",  "evil", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:80:80",
        "[::1", "[::1]x", "a b",  "10.0.0.1"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(security_host_ok(good[i], "127.0.0.1"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(security_host_ok(bad[i], "127.0.0.1"));
    assert_false(security_host_ok(NULL, "127.0.0.1"));
    assert_true(security_host_ok("10.0.0.1:8501", "0.0.0.0"));
    assert_false(security_host_ok("evil.example", "0.0.0.0"));
    assert_true(security_host_ok("studio.example:8501", "studio.example"));
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(security_origin_ok(NULL, "h:1"));
    assert_true(security_origin_ok("http://h:1", "h:1"));
    assert_false(security_origin_ok("http://h:2", "h:1") || security_origin_ok("null", "h:1") ||
                 security_origin_ok("https://h:1", "h:1"));
    assert_false(security_origin_ok("http://h:1", NULL));
}

static void test_tokens_and_cookies(void **state)
{
    (void)state;
    char value[16], token[33];
    assert_true(security_token_equal("abc", "abc"));
    assert_false(security_token_equal("abd", "abc") || security_token_equal("ab", "abc") ||
                 security_token_equal(NULL, "abc"));
    assert_true(security_cookie("a=1; t=xyz; b=2", "t", value, sizeof value));
    assert_string_equal(value, "xyz");
    assert_false(security_cookie("xt=xyz", "t", value, sizeof value) ||
                 security_cookie(NULL, "t", value, sizeof value));
    assert_false(security_cookie("t=0123456789abcdef", "t", value, sizeof value));
    assert_true(security_make_token(token));
    assert_int_equal(strlen(token), 32);
}

static void test_base64(void **state)
{
    (void)state;
    struct error error;
    unsigned char *bytes;
    size_t size;
    for (size_t length = 0; length < 70; length++) {
        unsigned char raw[70];
        for (size_t i = 0; i < length; i++) raw[i] = (unsigned char)(i * 37 + length);
        char *text = base64_encode(raw, length);
        assert_int_equal(base64_decode(text, 70, &bytes, &size, &error), 0);
        assert_int_equal(size, length);
        assert_memory_equal(bytes, raw, length);
        free(bytes);
        free(text);
    }
    const char *const bad[] = {"a", "ab=c", "====", "ab c", "\n", "äöüß"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(base64_decode(bad[i], 70, &bytes, &size, &error), -1);
    assert_int_equal(base64_decode("AAAAAAAA", 2, &bytes, &size, &error), -1);
}

static void test_every_route_is_described(void **state)
{
    (void)state;
    json_t *document = openapi_document();
    assert_non_null(document);
    for (size_t g = 0; g < route_group_count; g++)
        for (size_t i = 0; i < route_groups[g]->count; i++)
            assert_non_null(json_object_get(json_object_get(document, "paths"),
                                            route_groups[g]->routes[i].path));
    json_decref(document);
}

static void test_time_to_a_share(void **state)
{
    (void)state;
    json_t *epochs = json_pack("[{s:f, s:f}, {s:f, s:f}]", "val_accuracy", 0.8, "seconds", 2.0,
                               "val_accuracy", 1.0, "seconds", 4.0);
    assert_true(fabs(showdown_seconds_to(epochs, 0.9, 0.1) - 4.0) < 1e-12);
    assert_true(fabs(showdown_seconds_to(epochs, 0.45, 0.1) - 1.0) < 1e-12);
    assert_true(isnan(showdown_seconds_to(epochs, 1.1, 0.1)));
    json_decref(epochs);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback),           cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),            cmocka_unit_test(test_tokens_and_cookies),
        cmocka_unit_test(test_base64),             cmocka_unit_test(test_every_route_is_described),
        cmocka_unit_test(test_time_to_a_share),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
