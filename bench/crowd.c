/* A crowd for one server on this machine, from one thread, so that the crowd costs less than what
 * it measures:
 *   crowd PORT LISTENERS RATE SECONDS
 * LISTENERS connections read /api/events and check that the steps of a run come whole and in order;
 * ASKERS more make RATE requests per second between them. Talks by lines: says "ready" when all
 * listen, takes "go", asks for SECONDS, says "asked", takes the number of steps that the run had at
 * its end, waits until every listener has heard of them all (at most PATIENCE), prints what was
 * seen as one JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define ASKERS    20
#define ASKED_MAX 1000000
#define PATIENCE  30.0
#define HEAD      256

static const char *const paths[] = {"/api/settings/defaults", "/api/runs?limit=10", "/",
                                    "/api/preferences", "/api/tasks"};
#define PATHS (sizeof paths / sizeof paths[0])

/* What a listener reads: HTTP's head, then chunks, in them lines. */
enum place { IN_HEAD, IN_SIZE, IN_CHUNK, AFTER_CHUNK };
struct listener {
    int fd; /* -1: gone */
    enum place place;
    size_t left;   /* of the chunk */
    char size[16]; /* of a chunk, as read so far */
    size_t size_length;
    unsigned blank;  /* of "\r\n\r\n", how many came */
    char line[HEAD]; /* its beginning */
    size_t line_length;
    size_t commas; /* in the line's list */
    bool in_list, steps, heard;
    char run[64];
    unsigned long long next; /* step expected */
};

struct asker {
    int fd;
    double due, begun;
    bool waiting;
    char head[2048];
    size_t head_length, body_left;
    bool in_body;
    unsigned turn;
};

static struct {
    int epoll, port;
    struct listener *listeners;
    size_t listener_count, heard, gone;
    struct asker askers[ASKERS];
    unsigned long long messages, missed, repeated;
    double *seconds; /* of each request */
    size_t asked, failed;
} crowd;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("crowd: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* --- listeners --- */

/* A whole line of the stream. */
static void end_line(struct listener *listener)
{
    listener->line[listener->line_length] = '\0';
    if (strncmp(listener->line, "event: ", 7) == 0) {
        const char *kind = listener->line + 7;
        crowd.messages++;
        listener->steps = strcmp(kind, "steps") == 0;
        if (strcmp(kind, "reset") == 0) crowd.missed++;
        if (strcmp(kind, "hello") == 0 && !listener->heard) {
            listener->heard = true;
            crowd.heard++;
        }
    } else if (listener->steps && strncmp(listener->line, "data: ", 6) == 0) {
        char run[64] = "";
        unsigned long long first = 0;
        const char *at = strstr(listener->line, "\"first_step\":");
        if (!at || sscanf(listener->line, "data: {\"run\":\"%63[^\"]", run) != 1)
            die("steps in another form: %s", listener->line);
        first = strtoull(at + strlen("\"first_step\":"), NULL, 10);
        if (strcmp(run, listener->run) != 0) {
            memcpy(listener->run, run, sizeof run);
            listener->next = 0;
        }
        crowd.missed += first > listener->next;
        crowd.repeated += first < listener->next;
        listener->next = first + listener->commas + 1;
    }
    listener->line_length = listener->commas = 0;
    listener->in_list = false;
}

/* Of a long line only the head is kept; the commas between its brackets are counted as they go by.
 */
static void take_text(struct listener *listener, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\n') {
            end_line(listener);
            continue;
        }
        if (listener->line_length < HEAD - 1) listener->line[listener->line_length++] = c;
        if (c == '[')
            listener->in_list = true;
        else if (c == ']')
            listener->in_list = false;
        else
            listener->commas += c == ',' && listener->in_list;
    }
}

static void take_bytes(struct listener *listener, const char *bytes, size_t size)
{
    while (size) {
        if (listener->place == IN_CHUNK) {
            size_t some = size < listener->left ? size : listener->left;
            take_text(listener, bytes, some);
            bytes += some;
            size -= some;
            if (!(listener->left -= some)) listener->place = AFTER_CHUNK;
            continue;
        }
        char c = *bytes++;
        size--;
        if (listener->place == IN_HEAD) {
            bool fits = c == (listener->blank % 2 ? '\n' : '\r');
            listener->blank = fits ? listener->blank + 1 : c == '\r';
            if (listener->blank == 4) listener->place = IN_SIZE;
        } else if (listener->place == AFTER_CHUNK) {
            if (c == '\n') listener->place = IN_SIZE;
        } else if (c == '\n') {
            listener->size[listener->size_length] = '\0';
            listener->left = strtoull(listener->size, NULL, 16);
            listener->size_length = 0;
            if (listener->left) listener->place = IN_CHUNK;
        } else if (c != '\r' && listener->size_length < sizeof listener->size - 1) {
            listener->size[listener->size_length++] = c;
        }
    }
}

static void hear(struct listener *listener)
{
    static char bytes[1 << 18];
    ssize_t got = read(listener->fd, bytes, sizeof bytes);
    if (got > 0) {
        take_bytes(listener, bytes, (size_t)got);
    } else if (got == 0 || errno != EAGAIN) {
        close(listener->fd);
        listener->fd = -1;
        crowd.gone++;
    }
}

/* --- requests --- */

static void begin_request(struct asker *asker, double now)
{
    char text[256];
    int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                          paths[asker->turn++ % PATHS]);
    if (write(asker->fd, text, (size_t)length) != length)
        die("a request cannot be sent: %s", strerror(errno));
    asker->begun = now;
    asker->waiting = true;
    asker->in_body = false;
    asker->head_length = 0;
}

static void end_request(struct asker *asker)
{
    asker->waiting = false;
    if (strncmp(asker->head, "HTTP/1.1 200", 12) != 0) crowd.failed++;
    if (crowd.asked < ASKED_MAX) crowd.seconds[crowd.asked++] = clock_monotonic() - asker->begun;
}

static void take_answer(struct asker *asker, const char *bytes, size_t size)
{
    if (!asker->in_body) {
        size_t room = sizeof asker->head - 1 - asker->head_length, some = size < room ? size : room;
        memcpy(asker->head + asker->head_length, bytes, some);
        asker->head[asker->head_length + some] = '\0';
        char *end = strstr(asker->head, "\r\n\r\n"),
             *length = strcasestr(asker->head, "\r\nContent-Length:");
        asker->head_length += some;
        if (!end) return;
        if (!length || length > end) die("an answer without a length");
        asker->in_body = true;
        asker->body_left = strtoull(length + strlen("\r\nContent-Length:"), NULL, 10);
        size_t body_had = size - some + asker->head_length - (size_t)(end + 4 - asker->head);
        asker->body_left -= body_had;
    } else {
        asker->body_left -= size;
    }
    if (!asker->body_left) end_request(asker);
}

static void listen_to_answer(struct asker *asker)
{
    static char bytes[1 << 16];
    ssize_t got = read(asker->fd, bytes, sizeof bytes);
    if (got > 0)
        take_answer(asker, bytes, (size_t)got);
    else if (got == 0 || errno != EAGAIN)
        die("the server ended a connection that asked");
}

/* --- all of them --- */

static int connect_one(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)crowd.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        die("no connection: %s", strerror(errno));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Askers are told apart from listeners by the lowest bit of their pointer. */
static void watch(int fd, void *who, bool asks)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)who | asks};
    if (epoll_ctl(crowd.epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll: %s", strerror(errno));
}

/* What came until `until`, at most. */
static void turn(double until)
{
    struct epoll_event events[256];
    double left = until - clock_monotonic();
    int count = epoll_wait(crowd.epoll, events, 256, left > 0 ? (int)(left * 1000) + 1 : 0);
    for (int i = 0; i < count; i++) {
        void *who = (void *)(uintptr_t)(events[i].data.u64 & ~(uint64_t)1);
        if (events[i].data.u64 & 1)
            listen_to_answer(who);
        else
            hear(who);
    }
}

static void ask_for(double rate, double seconds)
{
    double begin = clock_monotonic(), share = ASKERS / rate;
    for (size_t i = 0; i < ASKERS; i++) crowd.askers[i].due = begin + share * (double)i / ASKERS;
    for (double now = begin; now < begin + seconds; now = clock_monotonic()) {
        double next = begin + seconds;
        for (struct asker *asker = crowd.askers; asker < crowd.askers + ASKERS; asker++) {
            if (!asker->waiting && asker->due <= now) {
                begin_request(asker, now);
                asker->due = asker->due + share > now ? asker->due + share : now + share;
            }
            if (!asker->waiting && asker->due < next) next = asker->due;
        }
        turn(next);
    }
}

static bool all_know(unsigned long long total)
{
    for (size_t i = 0; i < crowd.listener_count; i++)
        if (crowd.listeners[i].next != total) return false;
    return true;
}

/* A line from standard input, while the crowd goes on listening. */
static void wait_for_line(char *line, size_t size)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&input, 1, 0) == 0) turn(clock_monotonic() + 0.05);
    if (!fgets(line, (int)size, stdin)) die("standard input has ended");
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(unsigned long long total)
{
    size_t short_of_it = 0;
    for (size_t i = 0; i < crowd.listener_count; i++)
        short_of_it += crowd.listeners[i].next != total;
    qsort(crowd.seconds, crowd.asked, sizeof *crowd.seconds, ascending);
    printf("{\"messages\":%llu,\"missed\":%llu,\"repeated\":%llu,\"incomplete\":%zu,\"gone\":%zu,"
           "\"requests\":%zu,\"failed\":%zu,"
           "\"median_ms\":%.3f,\"p99_ms\":%.3f}\n",
           crowd.messages, crowd.missed, crowd.repeated, short_of_it, crowd.gone, crowd.asked,
           crowd.failed, crowd.asked ? 1000 * crowd.seconds[crowd.asked / 2] : 0.0,
           crowd.asked ? 1000 * crowd.seconds[crowd.asked * 99 / 100] : 0.0);
}

static void say(const char *word)
{
    puts(word);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[64];
    if (argc != 5) die("usage: crowd PORT LISTENERS RATE SECONDS");
    double rate = strtod(argv[3], NULL), seconds = strtod(argv[4], NULL);
    crowd.port = (int)strtol(argv[1], NULL, 10);
    crowd.listener_count = strtoull(argv[2], NULL, 10);
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd.listeners = calloc(crowd.listener_count, sizeof *crowd.listeners);
    crowd.seconds = malloc(ASKED_MAX * sizeof *crowd.seconds);
    if (crowd.epoll < 0 || !crowd.listeners || !crowd.seconds || !(rate > 0) || !(seconds > 0))
        die("no crowd can be made of that");
    for (size_t i = 0; i < crowd.listener_count; i++) {
        static const char request[] = "GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        struct listener *listener = &crowd.listeners[i];
        listener->fd = connect_one();
        watch(listener->fd, listener, false);
        if (write(listener->fd, request, sizeof request - 1) != (ssize_t)sizeof request - 1)
            die("cannot listen");
    }
    for (size_t i = 0; i < ASKERS; i++) {
        crowd.askers[i].fd = connect_one();
        watch(crowd.askers[i].fd, &crowd.askers[i], true);
    }
    while (crowd.heard < crowd.listener_count && !crowd.gone) turn(clock_monotonic() + 1);
    say("ready");
    wait_for_line(line, sizeof line);
    ask_for(rate, seconds);
    say("asked");
    wait_for_line(line, sizeof line);
    unsigned long long total = strtoull(line, NULL, 10);
    for (double end = clock_monotonic() + PATIENCE; !all_know(total) && clock_monotonic() < end;)
        turn(clock_monotonic() + 0.05);
    report(total);
    return 0;
}
