/* What ranks say to each other with. The one implementation, mpi.c, is a module of its own, loaded
 * only where a launcher has started several ranks: the program itself needs no MPI library. */
#ifndef NNSTUDIO_RANKS_TRANSPORT_H
#define NNSTUDIO_RANKS_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

/* Changes with struct transport: a module of another version is refused. */
#define TRANSPORT_VERSION 1

/* Every call is made by all ranks, in the same order, by the thread that opened the module. Counts
 * are bytes. 0, or -1 when a rank is gone; nothing works after that. */
struct transport {
    uint32_t rank, size;
    char library[128]; /* "Open MPI v4.1.4" */
    /* Rank 0's bytes to everyone's `bytes`. */
    int (*broadcast)(void *bytes, size_t count);
    /* send[size][each] → the rank r gets send[r] of all, in rank order, in receive[size][each]. */
    int (*exchange)(const void *send, void *receive, size_t each);
    /* mine[each] of all, in rank order, in all[size][each]; `mine` does not lie in `all`. */
    int (*gather)(const void *mine, void *all, size_t each);
    void (*finish)(void);
};

/* The module's only symbol, of this name and type. Joins the others; NULL with one line in
 * `message` when it cannot, or when `version` is not its own. */
typedef const struct transport *transport_open_fn(int version, char *message, size_t size);
#define TRANSPORT_OPEN "nnstudio_transport_open"

#endif
