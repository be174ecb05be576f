#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* A listening socket; -1 with errno set when it cannot be. */
static int listen_on(const struct addrinfo *address, uint16_t *port)
{
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    int on = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) || listen(fd, 1024) ||
        getsockname(fd, (struct sockaddr *)&bound, &length)) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): getsockname() has filled it */
    *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((struct sockaddr_in *)&bound)->sin_port);
    return fd;
}

static int resolve_and_listen(const char *host, uint16_t port, uint16_t *bound, struct error *error)
{
    char service[8];
    struct addrinfo *address,
        hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    snprintf(service, sizeof service, "%u", port);
    int code = getaddrinfo(host, service, &hints, &address);
    if (code)
        return error_set(error, ERROR_USAGE, "the address \"%.80s\" is not valid: %s", host,
                         gai_strerror(code));
    int fd = listen_on(address, bound), number = errno;
    freeaddrinfo(address);
    if (fd < 0)
        errno = number;
    else
        return fd;
    if (number != EADDRINUSE)
        return error_set_errno(error, number, "cannot listen on %s, port %u", host, port);
    error->code = ERROR_CONFLICT;
    return -1;
}

int listen_open(const char *host, uint16_t port, uint16_t *bound, struct error *error)
{
    uint16_t next;
    error->code = ERROR_NONE;
    int fd = resolve_and_listen(host, port, bound, error);
    if (fd >= 0 || error->code != ERROR_CONFLICT) return fd;
    for (uint16_t other = (uint16_t)(port + 1); other > port && other < port + 50; other++) {
        struct error ignored;
        int free_one = resolve_and_listen(host, other, &next, &ignored);
        if (free_one < 0) continue;
        close(free_one);
        return error_set(
            error, ERROR_CONFLICT,
            "port %u is in use: stop what uses it, or take the next free one with --port %u", port,
            other);
    }
    return error_set(error, ERROR_CONFLICT, "port %u is in use: name another with --port", port);
}
