#include "http/peer.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel answers while it is asked; this is for one that never does. */
#define PATIENCE_MS 200

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET) return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

static void put_address(const union address *address, __be32 out[4], __be16 *port)
{
    if (address->any.sa_family == AF_INET) {
        out[0] = address->v4.sin_addr.s_addr;
        *port = address->v4.sin_port;
    } else {
        memcpy(out, &address->v6.sin6_addr, sizeof address->v6.sin6_addr);
        *port = address->v6.sin6_port;
    }
}

struct socket_question {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
};

struct socket_answer {
    struct nlmsghdr head;
    struct inet_diag_msg body;
};

/* The one socket whose own address is `theirs` and whose other end is `ours`. */
static bool ask(const union address *theirs, const union address *ours, struct socket_answer *reply)
{
    struct socket_question question = {
        .head = {.nlmsg_len = sizeof question,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = (__u8)theirs->any.sa_family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = ~0U,
                 .id = {.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}}};
    const struct timeval patience = {0, PATIENCE_MS * 1000};
    put_address(theirs, question.body.id.idiag_src, &question.body.id.idiag_sport);
    put_address(ours, question.body.id.idiag_dst, &question.body.id.idiag_dport);
    int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (link < 0) return false;
    setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char place[4096] __attribute__((aligned(8)));
    ssize_t got = -1;
    if (send(link, &question, sizeof question, 0) == (ssize_t)sizeof question)
        got = recv(link, place, sizeof place, 0);
    close(link);
    if (got < (ssize_t)sizeof *reply) return false;
    memcpy(reply, place, sizeof *reply);
    return reply->head.nlmsg_type == SOCK_DIAG_BY_FAMILY;
}

enum peer peer_of(int fd)
{
    union address theirs = {0}, ours = {0};
    socklen_t their_size = sizeof theirs, our_size = sizeof ours;
    struct socket_answer reply;
    if (getpeername(fd, &theirs.any, &their_size) || getsockname(fd, &ours.any, &our_size) ||
        !is_loopback(&theirs) || !is_loopback(&ours) || !ask(&theirs, &ours, &reply))
        return PEER_UNKNOWN;
    /* A closed socket is told with user 0: it belongs to nobody. */
    if (!reply.body.idiag_inode) return PEER_UNKNOWN;
    return reply.body.idiag_uid == getuid() || reply.body.idiag_uid == 0 ? PEER_OWN : PEER_OTHER;
}

bool peer_is_known_here(void)
{
    union address address = {
        .v4 = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}}};
    socklen_t size = sizeof address.v4;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        calling = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), called = -1;
    bool known = false;
    if (listening >= 0 && calling >= 0 && !bind(listening, &address.any, size) &&
        !listen(listening, 1) && !getsockname(listening, &address.any, &size) &&
        !connect(calling, &address.any, size) &&
        (called = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        known = peer_of(called) == PEER_OWN;
    if (called >= 0) close(called);
    if (calling >= 0) close(calling);
    if (listening >= 0) close(listening);
    return known;
}
