/* What the files of ranks/ share; for this room only. */
#ifndef NNSTUDIO_RANKS_RANKS_IMPL_H
#define NNSTUDIO_RANKS_RANKS_IMPL_H

#include "ranks/ranks.h"
#include "ranks/transport.h"

struct ranks {
    const struct transport *transport;
    double seconds; /* in the transport */
    bool leads;     /* rank 0 */
    bool led;       /* the others wait for an order */
    bool lost;      /* a call has failed: nothing can be said anymore */
};

/* The transport's calls, timed; ERROR_FAILED when the others are gone. */
int ranks_broadcast(struct ranks *ranks, void *bytes, size_t count, struct error *error);
int ranks_exchange(struct ranks *ranks, const void *send, void *receive, size_t each,
                   struct error *error);
int ranks_gather(struct ranks *ranks, const void *mine, void *all, size_t each,
                 struct error *error);

/* What the leader has all do. */
enum order_kind {
    ORDER_TRAIN,      /* `count` samples, whose order follows, and `rates` learning rates */
    ORDER_PARAMETERS, /* the values follow */
    ORDER_STATE,      /* the steps and the slots follow */
    ORDER_RATE,       /* `value` */
    ORDER_COMPARE,    /* all say what they hold */
    ORDER_LEAVE,
};
struct order {
    uint64_t kind, count;
    uint64_t rates; /* one per step; 0: every engine's own */
    double value;
};
int ranks_order(struct ranks *ranks, struct order *order, struct error *error);

/* The buffers of one rank's training steps, which borrow the ranks and its engine. */
struct bucket;
int bucket_create(struct ranks *ranks, struct engine *inner, struct bucket **out,
                  struct error *error);
void bucket_destroy(struct bucket *bucket);
/* From now on this rank says of every part that it failed. */
void bucket_fail(struct bucket *bucket);
/* engine_train_at_rates() with every batch computed by all ranks; all call it with the same order
 * and rates. `rates`, `losses` and `correct` may be NULL. */
int bucket_train(struct bucket *bucket, const uint32_t *order, size_t count, const double *rates,
                 double *losses, uint32_t *correct, struct error *error);

/* Rank 0's values to all, through the engine's own copies. */
int ranks_share_parameters(struct ranks *ranks, struct engine *inner, struct error *error);
int ranks_share_state(struct ranks *ranks, struct engine *inner, struct error *error);
/* -1 everywhere unless all hold the same parameters. */
int ranks_compare(struct ranks *ranks, struct engine *inner, struct error *error);

#endif
