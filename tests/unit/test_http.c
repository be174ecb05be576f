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
#include "engine/engine.h"
#include "http/router.h"
#include "http/framing.h"
#include "http/schema.h"
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
    security_make_token(token);
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

/* Every reference leads somewhere, every keyword is one that is checked or is of no consequence. */
static void check_schema(const json_t *schema, bool is_map)
{
    static const char *const known[] = {
        /* of Settings, which are checked by their own table (run/settings.h) */
        "default",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "description",
        "enum",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "uniqueItems",
        "x-unchecked",
    };
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_object(schema) && !is_map) assert_non_null(schema_resolve(schema));
    json_object_foreach((json_t *)(uintptr_t)schema, key, value) {
        bool found = is_map;
        for (i = 0; i < sizeof known / sizeof known[0]; i++)
            found = found || strcmp(known[i], key) == 0;
        if (!found) fail_msg("schemas: \"%s\" is not known to schema_check", key);
        check_schema(value, !is_map && strcmp(key, "properties") == 0);
    }
    json_array_foreach(schema, i, value) check_schema(value, false);
}

static void test_schemas(void **state)
{
    (void)state;
    check_schema(schema_all(), true);
    for (size_t g = 0; g < route_group_count; g++) {
        for (size_t i = 0; i < route_groups[g]->count; i++) {
            const struct route *route = &route_groups[g]->routes[i];
            if (route->body) assert_non_null(schema_find(route->body));
            if (!(route->flags & ROUTE_RAW)) assert_non_null(schema_find(route->response));
            assert_int_equal(route->body != NULL, (route->flags & ROUTE_CHANGES) != 0);
        }
    }
    /* what the program's own tables say */
    assert_int_equal(json_array_size(json_object_get(schema_find("EngineId"), "enum")),
                     engine_table_count);
    const json_t *rows = json_object_get(
        json_object_get(schema_find("NetworkQuestion"), "properties"), "rows");
    assert_int_equal(json_integer_value(json_object_get(rows, "maximum")), DATASET_MAX_SIDE);
    assert_null(json_object_get(schema_find("ChosenSettings"), "required"));
    assert_true(json_equal(json_object_get(schema_find("ChosenSettings"), "properties"),
                           json_object_get(schema_find("Settings"), "properties")));
    const json_t *states = json_object_get(schema_find("RunState"), "enum"), *name;
    size_t i;
    json_array_foreach(states, i, name) {
        enum run_state value;
        struct error error;
        assert_int_equal(run_state_parse(json_string_value(name), &value, &error), 0);
        assert_int_equal(value, i);
    }
}

static void test_bodies_against_schemas(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *shape, *body, *message; /* NULL: it fits */
    } cases[] = {
        {"NewRun", "{\"engine\":\"native\"}", NULL},
        {"NewRun", "{\"engine\":\"native\",\"name\":null,\"tags\":[\"a\",\"äöü\"]}", NULL},
        {"NewRun", "{}", "\"engine\" is missing: it must be one of: torch, tensorflow, native"},
        {"NewRun", "{\"engine\":null}", "\"engine\" is missing: it must be one of: torch, tensorflow, native"},
        {"NewRun", "{\"engine\":\"jax\"}", "\"engine\" is \"jax\": it must be one of: torch, tensorflow, native"},
        {"NewRun", "{\"engine\":\"native\",\"epochs\":3}", "there is no member \"epochs\" here: leave it out"},
        {"NewRun", "{\"engine\":\"native\",\"settings\":7}", "\"settings\" is 7: it must be an object"},
        {"NewRun", "{\"engine\":\"native\",\"tags\":[\"a\",\"\"]}", "\"tags[1]\" is \"\": it must be text of 1 to 60 characters"},
        {"NewRun", "{\"engine\":\"native\",\"tags\":\"a\"}", "\"tags\" is \"a\": it must be an array of at most 20 items"},
        {"NewRun", "{\"engine\":\"native\",\"tags\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21]}",
         "\"tags\" has 21 items: it must be an array of at most 20 items"},
        {"NewRun", "{\"engine\":\"native\",\"name\":\"a/b\"}",
         "\"name\" is \"a/b\": it must be text that names files: letters, digits, '.', '_' and '-' only, at most 99, without '.' or '-' in front or '.' at the end"},
        {"NewRun", "{\"engine\":\"native\",\"name\":\"a\\nb\"}",
         "\"name\" is \"a\\nb\": it must be text that names files: letters, digits, '.', '_' and '-' only, at most 99, without '.' or '-' in front or '.' at the end"},
        {"Continue", "{\"epochs\":0}", "\"epochs\" is 0: it must be a whole number from 1 to 1000000"},
        {"Continue", "{\"epochs\":2.5}", "\"epochs\" is 2.5: it must be a whole number from 1 to 1000000"},
        {"NewShowdown", "{\"engines\":[]}", "\"engines\" has 0 items: it must be an array of at least 1 items"},
        {"NewShowdown", "{\"engines\":[\"native\",\"native\"]}", "\"engines\" names native twice: name it once"},
        {"NewShowdown", "{\"engines\":[\"native\"],\"mode\":[\"parallel\"]}", "\"mode\": it must be one of: parallel, sequence"},
        {"NewRegistration", "{\"run\":\"r\",\"format\":\"pth\",\"target\":\"local\",\"tags\":{\"a\":\"b\"}}", NULL},
        {"NewRegistration", "{\"run\":\"r\",\"format\":\"pth\",\"target\":\"local\",\"tags\":{\"a\":1}}",
         "\"tags.a\" is 1: it must be text of at most 250 characters"},
        {"Preferences", "{\"anything\":[{}]}", NULL},
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {0};
        json_t *body = json_loads(cases[i].body, 0, NULL);
        assert_non_null(body);
        assert_int_equal(schema_check(cases[i].shape, body, &error), cases[i].message ? -1 : 0);
        if (cases[i].message) assert_string_equal(error.message, cases[i].message);
        json_decref(body);
    }
    struct error error;
    json_t *body = json_pack("{s:s, s:s%}", "engine", "native", "name", "a\0b", (size_t)3);
    assert_int_equal(schema_check("NewRun", body, &error), -1); /* a NUL is no end of it */
    json_decref(body);
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

static bool head_is_bad(const char *bytes, size_t size, size_t cut)
{
    struct framing framing = {0};
    char copy[256];
    assert_true(size <= sizeof copy);
    memcpy(copy, bytes, size);
    framing_scan(&framing, copy, cut);
    framing_scan(&framing, copy + cut, size - cut);
    return framing.bad;
}

#define CHUNKED "PUT / HTTP/1.1\r\nTransfer-Encoding: \tChunked\r\n\r\n"

static void extensions_of_chunks_are_blanked(void **state)
{
    (void)state;
    static const char sent[] = CHUNKED "2;a=b\r\n;;\r\n1 ;c\r\n;\r\n0;d\r\n;";
    static const char right[] = CHUNKED "2    \r\n;;\r\n1   \r\n;\r\n0  \r\n;";
    for (size_t cut = 0; cut < sizeof sent; cut++) {
        struct framing framing = {0};
        char copy[sizeof sent];
        memcpy(copy, sent, sizeof sent);
        framing_scan(&framing, copy, cut);
        framing_scan(&framing, copy + cut, sizeof sent - 1 - cut);
        assert_false(framing.bad);
        assert_string_equal(copy, right);
    }
}

static void heads_are_plain_lines(void **state)
{
    (void)state;
#define HEAD(text)            \
    {                         \
        text, sizeof text - 1 \
    }
    static const struct {
        const char *bytes;
        size_t size;
    } good[] = {HEAD("GET / HTTP/1.1\r\nHost: a\r\n\r\n\0\1"),
                HEAD("GET / HTTP/1.1\nHost:\ta\n\n \r\r"), HEAD("\r\nGET / HTTP/1.1\r\n\r\n\0")},
      bad[] = {HEAD("GET / HTTP/1.1\r\nHost: a\0.evil\r\n\r\n"),
               HEAD("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"),
               HEAD("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
               HEAD(CHUNKED "+1\r\na\r\n"),
               HEAD(CHUNKED "0x1\r\na\r\n"),
               HEAD(CHUNKED "\r\n"),
               HEAD(CHUNKED "-1\r\n"),
               HEAD(CHUNKED "1\r\na\r\n 1\r\n"),
               HEAD(CHUNKED "0000000000000001\r\n"),
               HEAD("GET /\x7f HTTP/1.1\r\n\r\n"),
               HEAD("GET /\x1b[m HTTP/1.1\r\n\r\n")};
#undef HEAD
    /* wherever the network cuts them */
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        for (size_t cut = 0; cut <= good[i].size; cut++)
            assert_false(head_is_bad(good[i].bytes, good[i].size, cut));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (size_t cut = 0; cut <= bad[i].size; cut++)
            assert_true(head_is_bad(bad[i].bytes, bad[i].size, cut));
}

static void lengths_and_names_are_exact(void **state)
{
    (void)state;
    assert_true(framing_name_ok("Content-Length") && framing_name_ok("x_1~"));
    assert_false(framing_name_ok("Content-Length ") || framing_name_ok("") ||
                 framing_name_ok("a\tb") || framing_name_ok("a(b)") || framing_name_ok("\xe4") ||
                 framing_name_ok("a@") || framing_name_ok("a[") || framing_name_ok("a{"));
    assert_true(framing_length_ok("0") && framing_length_ok("0012"));
    assert_false(framing_length_ok("+12") || framing_length_ok("-1") || framing_length_ok("") ||
                 framing_length_ok("1 ") || framing_length_ok("0x1") || framing_length_ok("1,1") ||
                 framing_length_ok("12345678901234567890"));
    assert_true(framing_encoding_ok("chunked") && framing_encoding_ok("Chunked"));
    assert_false(framing_encoding_ok("xchunked") || framing_encoding_ok("chunked, identity") ||
                 framing_encoding_ok("identity") || framing_encoding_ok(""));
}

static void targets_lose_their_authority(void **state)
{
    (void)state;
    char authority[HOST_SIZE];
    assert_string_equal(security_local_target("/a?b", authority), "/a?b");
    assert_string_equal(authority, "");
    assert_string_equal(security_local_target("HTTP://h:1/a?b", authority), "/a?b");
    assert_string_equal(authority, "h:1");
    assert_string_equal(security_local_target("http://h", authority), "/");
    assert_null(security_local_target("http:///a", authority));
    assert_null(security_local_target("https://h/a", authority));
    assert_null(security_local_target("*", authority));
    assert_null(security_local_target("", authority));
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_plain_lines),
        cmocka_unit_test(extensions_of_chunks_are_blanked),
        cmocka_unit_test(lengths_and_names_are_exact),
        cmocka_unit_test(targets_lose_their_authority),
        cmocka_unit_test(test_loopback),           cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),            cmocka_unit_test(test_tokens_and_cookies),
        cmocka_unit_test(test_base64),             cmocka_unit_test(test_every_route_is_described),
        cmocka_unit_test(test_schemas),            cmocka_unit_test(test_bodies_against_schemas),
        cmocka_unit_test(test_time_to_a_share),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
