/* data/fetch: against a small server on the loopback that breaks off, lies and lacks files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/hash.h"
#include "data/fetch.h"

#define SIZE 100000

/* The server: GET /BEHAVIOR/… answers as the behavior says. */
static struct {
    int listener;
    int port;
    pthread_t thread;
    int requests, ranges; /* seen so far; read when no request is under way */
} server;
static uint8_t content[SIZE];
static char folder[64];

static void send_all(int client, const void *bytes, size_t count)
{
    const char *at = bytes;
    while (count) {
        ssize_t sent = send(client, at, count, MSG_NOSIGNAL);
        if (sent <= 0) return;
        at += sent;
        count -= (size_t)sent;
    }
}

static void answer(int client, const char *request)
{
    char head[256], behavior[32] = "";
    sscanf(request, "GET /%31[^/]/", behavior);
    size_t from = 0;
    const char *range = strstr(request, "Range: bytes=");
    server.requests++;
    if (range && strcmp(behavior, "whole-only")) {
        from = (size_t)strtoul(range + 13, NULL, 10);
        server.ranges++;
    }
    size_t count = SIZE - from, sent = count;
    if (!strcmp(behavior, "missing")) {
        const char *text =
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        send_all(client, text, strlen(text));
        return;
    }
    if (!strcmp(behavior, "breaking") && sent > SIZE / 3) sent = SIZE / 3;
    if (!strcmp(behavior, "long")) count = sent = SIZE + 1 - from;
    snprintf(head, sizeof head,
             "HTTP/1.1 %s\r\nContent-Length: %zu\r\nContent-Range: bytes %zu-%d/%d\r\nConnection: "
             "close\r\n\r\n",
             from ? "206 Partial Content" : "200 OK", count, from, SIZE - 1, SIZE);
    send_all(client, head, strlen(head));
    uint8_t *bytes = malloc(SIZE + 1);
    memcpy(bytes, content, SIZE);
    bytes[SIZE] = 0;
    if (!strcmp(behavior, "wrong")) bytes[SIZE / 2] ^= 1;
    send_all(client, bytes + from, sent);
    free(bytes);
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        char request[4096];
        size_t length = 0;
        int client = accept(server.listener, NULL, NULL);
        if (client < 0) return NULL;
        while (length < sizeof request - 1) {
            ssize_t got = recv(client, request + length, sizeof request - 1 - length, 0);
            if (got <= 0) break;
            length += (size_t)got;
            request[length] = '\0';
            if (strstr(request, "\r\n\r\n")) break;
        }
        request[length] = '\0';
        answer(client, request);
        shutdown(client, SHUT_RDWR);
        close(client);
    }
}

static int start_server(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    for (size_t i = 0; i < SIZE; i++) content[i] = (uint8_t)(i * i >> 7);
    setenv("no_proxy", "127.0.0.1", 1);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.listener < 0 || bind(server.listener, (struct sockaddr *)&address, length))
        return -1;
    if (listen(server.listener, 8) ||
        getsockname(server.listener, (struct sockaddr *)&address, &length))
        return -1;
    server.port = ntohs(address.sin_port);
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    unsetenv("NNSTUDIO_MIRROR");
    server.requests = server.ranges = 0;
    snprintf(folder, sizeof folder, "/tmp/nnstudio-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    struct error error;
    return file_remove_tree(folder, &error);
}

static char right_hash[HASH_HEX_SIZE], mirrors[2][64];

/* A set of one file from one or two mirrors that behave so. */
static struct fetch_set make_set(const char *first, const char *second)
{
    hash_bytes(content, SIZE, right_hash);
    snprintf(mirrors[0], sizeof mirrors[0], "http://127.0.0.1:%d/%s/", server.port, first);
    if (second)
        snprintf(mirrors[1], sizeof mirrors[1], "http://127.0.0.1:%d/%s/", server.port, second);
    return (struct fetch_set){
        "own", {mirrors[0], second ? mirrors[1] : NULL}, {{"file.gz", SIZE, right_hash}}};
}

static void expect_file(bool there)
{
    char path[128], *data = NULL;
    size_t size;
    struct error error;
    snprintf(path, sizeof path, "%s/file.gz", folder);
    assert_int_equal(file_exists(path), there);
    if (there) {
        assert_int_equal(file_read(path, SIZE, &data, &size, &error), 0);
        assert_int_equal(size, SIZE);
        assert_memory_equal(data, content, SIZE);
        free(data);
    }
}

static void expect_no_part(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/file.gz.part", folder);
    assert_false(file_exists(path));
}

static void fetches_once(void **state)
{
    (void)state;
    struct error error;
    struct fetch_set set = make_set("good", NULL);
    assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), 0);
    expect_file(true);
    expect_no_part();
    assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), 0);
    assert_int_equal(server.requests, 1);
}

static void goes_on_after_breaks(void **state)
{
    (void)state;
    struct error error;
    struct fetch_set set = make_set("breaking", NULL);
    assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), 0);
    expect_file(true);
    assert_int_equal(server.requests, 4);
    assert_int_equal(server.ranges, 3);
}

struct stopper {
    uint64_t stop_at, last, total;
};

static bool stop_in_the_middle(void *context, const char *file, uint64_t done, uint64_t total)
{
    struct stopper *stopper = context;
    (void)file;
    assert_true(done >= stopper->last && done <= total);
    stopper->last = done;
    stopper->total = total;
    return done < stopper->stop_at;
}

static void stops_and_goes_on_later(void **state)
{
    (void)state;
    struct error error;
    struct fetch_set set = make_set("breaking", NULL);
    struct stopper stopper = {.stop_at = SIZE / 4};
    assert_int_equal(fetch_into(&set, folder, stop_in_the_middle, &stopper, &error), -1);
    assert_int_equal(error.code, ERROR_INTERRUPTED);
    expect_file(false);
    set = make_set("good", NULL);
    stopper = (struct stopper){.stop_at = SIZE * 2};
    assert_int_equal(fetch_into(&set, folder, stop_in_the_middle, &stopper, &error), 0);
    assert_true(server.ranges >= 1);
    assert_int_equal(stopper.last, SIZE);
    assert_int_equal(stopper.total, SIZE);
    expect_file(true);
}

static void write_part(size_t size, uint8_t first)
{
    char path[128];
    struct error error;
    uint8_t *bytes = malloc(size);
    memset(bytes, first, size);
    snprintf(path, sizeof path, "%s/file.gz.part", folder);
    assert_int_equal(file_write(path, bytes, size, &error), 0);
    free(bytes);
}

static void bad_parts_are_thrown_away(void **state)
{
    (void)state;
    struct error error;
    struct fetch_set set = make_set("good", NULL);
    write_part(1000, 0xaa); /* not the file's beginning */
    assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), 0);
    expect_file(true);
    assert_int_equal(server.requests, 2);
}

static void servers_without_ranges_do(void **state)
{
    (void)state;
    struct error error;
    struct fetch_set set = make_set("whole-only", NULL);
    write_part(1000, 0xaa);
    assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), 0);
    expect_file(true);
}

static void a_bad_mirror_is_passed_over(void **state)
{
    (void)state;
    static const char *const bad[] = {"missing", "wrong", "long"};
    struct error error;
    for (size_t i = 0; i < 3; i++) {
        struct fetch_set set = make_set(bad[i], "good");
        assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), 0);
        expect_file(true);
        file_remove_tree(folder, &error);
    }
}

static void failures_say_what_to_do(void **state)
{
    (void)state;
    struct error error;
    static const char *const words[][2] = {
        {"missing", "404"}, {"wrong", "SHA-256"}, {"long", "more than the 100000 bytes"}};
    for (size_t i = 0; i < 3; i++) {
        struct fetch_set set = make_set(words[i][0], NULL);
        assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), -1);
        assert_non_null(strstr(error.message, words[i][1]));
        assert_non_null(strstr(error.message, "--dataset synthetic"));
        assert_null(strchr(error.message, '\n'));
        expect_file(false);
    }
    struct fetch_set set = make_set("good", NULL);
    set.mirrors[0] = "http://127.0.0.1:1/"; /* nobody listens there */
    assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), -1);
    assert_non_null(strstr(error.message, "connect to the network"));
    assert_int_equal(data_fetch("synthetic", folder, NULL, NULL, &error), -1);
    assert_int_equal(error.code, ERROR_NOT_FOUND);
}

static void the_environment_names_a_mirror(void **state)
{
    (void)state;
    struct error error;
    char url[64];
    struct fetch_set set = make_set("missing", NULL);
    set.name = "good";
    snprintf(url, sizeof url, "http://127.0.0.1:%d", server.port);
    setenv("NNSTUDIO_MIRROR", url, 1);
    assert_int_equal(fetch_into(&set, folder, NULL, NULL, &error), 0);
    expect_file(true);
}

int main(void)
{
#define FETCH_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        FETCH_TEST(fetches_once),
        FETCH_TEST(goes_on_after_breaks),
        FETCH_TEST(stops_and_goes_on_later),
        FETCH_TEST(bad_parts_are_thrown_away),
        FETCH_TEST(servers_without_ranges_do),
        FETCH_TEST(a_bad_mirror_is_passed_over),
        FETCH_TEST(failures_say_what_to_do),
        FETCH_TEST(the_environment_names_a_mirror),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
