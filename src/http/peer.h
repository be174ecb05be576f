/* Who is at the other end of a connection from this machine. */
#ifndef NNSTUDIO_HTTP_PEER_H
#define NNSTUDIO_HTTP_PEER_H

#include <stdbool.h>

enum peer {
    PEER_UNKNOWN, /* the kernel does not say, or the connection comes from elsewhere */
    PEER_OWN,     /* a process of this process's user, or of root */
    PEER_OTHER,   /* another user of this machine */
};

/* Asks the kernel (sock_diag(7)) for the owner of the socket that `fd` is connected to. Only of
 * loopback connections; a socket that its process has closed has no owner anymore. */
enum peer peer_of(int fd);

/* Whether the kernel answers such questions here at all: some containers' do not. */
bool peer_is_known_here(void);

#endif
