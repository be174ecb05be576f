/* Data-parallel training on several processes ("ranks"), started by a launcher: mpirun, srun.
 *
 * Rank 0 leads. It has the run: it decides, keeps the store, writes files, evaluates. The others
 * follow: they hold the same parameters and optimizer state, compute their part of every batch and
 * take the same steps. The leader sees an engine like any other (ranks_lead), whose train() has
 * every batch computed by all.
 *
 * Parts are consecutive pieces of the batch in the studio's order. Gradients are sums over samples;
 * they are added in rank order by one rank per piece of the bucket and handed to all, so that
 * everyone has the same bits, and the same number of ranks gives the same bits each time. The mean
 * is taken once, after the sum. */
#ifndef NNSTUDIO_RANKS_RANKS_H
#define NNSTUDIO_RANKS_RANKS_H

#include "engine/engine.h"

#define RANKS_MAX 4096

/* What the launcher says in the environment. */
struct launch {
    uint32_t rank, size;  /* 0 and 1: started alone */
    uint32_t local_size;  /* ranks on this machine, where the launcher tells; else 1 */
    const char *launcher; /* "mpirun", "srun"; "" when alone */
    const char *module;   /* of the launcher's MPI, loaded if it is there; NULL: the usual one */
};
/* ERROR_INPUT when the launcher's variables make no sense. */
int launch_read(struct launch *out, struct error *error);

struct ranks;

/* Joins the others: all ranks call it, and it returns when all have. Loads the MPI module that
 * lies beside the program; ERROR_UNAVAILABLE, with what to install, where there is none. */
int ranks_join(struct ranks **out, struct error *error);
uint32_t ranks_rank(const struct ranks *ranks);
uint32_t ranks_size(const struct ranks *ranks);
const char *ranks_library(const struct ranks *ranks); /* "Open MPI v4.1.4" */
/* Ends the others' ranks_follow() when this one leads, and leaves. -1 when another rank was gone.
 * NULL is fine. */
int ranks_leave(struct ranks *ranks);

/* Rank 0's text for all: `text` is rank 0's, ignored elsewhere; the caller frees *out, at most
 * `limit` bytes long. */
int ranks_share_text(struct ranks *ranks, const char *text, size_t limit, char **out,
                     struct error *error);
/* All say how far they have come. 0 when all are well (status 0) and `fact` is the same everywhere,
 * else -1 everywhere with the first rank that is not ("rank 2: …"); `error` holds the own failure
 * on entry. `what` names the fact: "the data's SHA-256". */
int ranks_agree(struct ranks *ranks, int status, const char *what, const char *fact,
                struct error *error);

/* Rank 0: an engine that trains with all ranks, over `inner`, which is open, attached and has its
 * parameters and state: these are handed to all. The caller closes it; that closes `inner`, which
 * after a failure is the caller's still. */
int ranks_lead(struct ranks *ranks, struct engine *inner, struct engine **out, struct error *error);
/* The others: does what the leader's engine asks for, until it is closed. */
int ranks_follow(struct ranks *ranks, struct engine *inner, struct error *error);

/* Whether all ranks hold the same parameters, bit for bit; the leader asks (the others answer in
 * ranks_follow). */
int ranks_check_equal(struct ranks *ranks, struct engine *leading, struct error *error);
/* Seconds in which this rank sent, received or waited for others since it joined. */
double ranks_seconds(const struct ranks *ranks);

#endif
