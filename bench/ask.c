/* Asks one server on this machine the same thing over and over, from one thread:
 *   ask PORT PATH BODY-FILE CONNECTIONS SECONDS
 * CONNECTIONS kept connections post the file as JSON, each as soon as it has its answer. Prints one
 * JSON object: requests, failed, seconds, and what half of them (median_ms) and 99 of 100 (p99_ms)
 * took at most. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

#define CONNECTIONS_MAX 256
#define TIMES_MAX       4000000
#define HEAD            4096

struct connection {
    int fd;
    double begun;
    size_t sent;
    char head[HEAD];
    size_t head_length;
    size_t left; /* of the answer's body */
    bool in_body, failed;
};

static struct {
    char *request;
    size_t size;
    struct sockaddr_in address;
    float *times;
    size_t answered, failed;
    int epoll;
} all;

static void give_up(const char *what)
{
    fprintf(stderr, "ask: %s\n", what);
    exit(1);
}

static void watch(struct connection *c, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(all.epoll, how, c->fd, &event)) give_up("epoll");
}

static void send_some(struct connection *c)
{
    ssize_t sent = send(c->fd, all.request + c->sent, all.size - c->sent, MSG_NOSIGNAL);
    if (sent < 0) give_up("the server closed a connection");
    c->sent += (size_t)sent;
    watch(c, c->sent < all.size ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

static void begin(struct connection *c)
{
    c->begun = clock_monotonic();
    c->sent = c->head_length = c->left = 0;
    c->in_body = c->failed = false;
    send_some(c);
}

static void end(struct connection *c)
{
    if (all.answered == TIMES_MAX) give_up("too many answers");
    all.times[all.answered++] = (float)(1000 * (clock_monotonic() - c->begun));
    all.failed += c->failed;
    begin(c);
}

/* The length of the body, from a whole head. */
static void read_head(struct connection *c, size_t head)
{
    const char *length = strcasestr(c->head, "\ncontent-length:");
    if (!length) give_up("an answer without Content-Length");
    c->failed = strncmp(c->head, "HTTP/1.1 200", 12) != 0;
    size_t size = strtoul(length + 16, NULL, 10), had = c->head_length - head;
    c->left = size - had;
    c->in_body = true;
}

static void receive(struct connection *c)
{
    static char bytes[1 << 16];
    ssize_t got = c->in_body ? recv(c->fd, bytes, sizeof bytes, 0)
                             : recv(c->fd, c->head + c->head_length, HEAD - 1 - c->head_length, 0);
    if (got <= 0) give_up("the server closed a connection");
    if (c->in_body) {
        c->left -= (size_t)got;
    } else {
        c->head_length += (size_t)got;
        c->head[c->head_length] = '\0';
        const char *stop = strstr(c->head, "\r\n\r\n");
        if (stop) read_head(c, (size_t)(stop + 4 - c->head));
    }
    if (c->in_body && !c->left) end(c);
}

static void make_request(const char *path, const char *file)
{
    struct error error;
    char *body;
    size_t size;
    if (file_read(file, 64u << 20, &body, &size, &error)) give_up(error.message);
    all.request = malloc(size + 512);
    if (!all.request) give_up("memory");
    int head = snprintf(all.request, 512,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
                        "application/json\r\nContent-Length: %zu\r\n\r\n",
                        path, size);
    memcpy(all.request + head, body, size);
    all.size = (size_t)head + size;
    free(body);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static struct connection connections[CONNECTIONS_MAX];
    if (argc != 6) give_up("usage: ask PORT PATH BODY-FILE CONNECTIONS SECONDS");
    int count = atoi(argv[4]);
    if (count < 1 || count > CONNECTIONS_MAX) give_up("1 to 256 connections");
    make_request(argv[2], argv[3]);
    all.times = malloc(TIMES_MAX * sizeof *all.times);
    all.epoll = epoll_create1(0);
    if (!all.times || all.epoll < 0) give_up("memory");
    all.address = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)atoi(argv[1])),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    double start = clock_monotonic(), until = start + atof(argv[5]);
    for (int i = 0; i < count; i++) {
        connections[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(connections[i].fd, (struct sockaddr *)&all.address, sizeof all.address))
            give_up("cannot connect");
        watch(&connections[i], EPOLLOUT, EPOLL_CTL_ADD);
        begin(&connections[i]);
    }
    while (clock_monotonic() < until) {
        struct epoll_event events[64];
        int ready = epoll_wait(all.epoll, events, 64, 100);
        for (int i = 0; i < ready; i++)
            (events[i].events & EPOLLIN ? receive : send_some)(events[i].data.ptr);
    }
    double seconds = clock_monotonic() - start;
    if (!all.answered) give_up("no answer came");
    qsort(all.times, all.answered, sizeof *all.times, by_size);
    printf(
        "{\"requests\":%zu,\"failed\":%zu,\"seconds\":%.3f,\"median_ms\":%.3f,\"p99_ms\":%.3f}\n",
        all.answered, all.failed, seconds, (double)all.times[all.answered / 2],
        (double)all.times[all.answered * 99 / 100]);
    return 0;
}
