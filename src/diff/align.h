/* Which layer of one network stands for which of another. For this room only. */
#ifndef NNSTUDIO_DIFF_ALIGN_H
#define NNSTUDIO_DIFF_ALIGN_H

#include "net/network.h"

/* A layer that counts in network_alike(), with the activation behind it; `place` is its index. */
struct counting_layer {
    struct layer layer;
    uint32_t place;
};

/* Rows in the order of both networks: a layer of A and its counterpart, or one alone. */
#define ALIGN_ALONE UINT32_MAX
struct alignment {
    struct counting_layer layers[2][NETWORK_MAX_LAYERS];
    uint32_t counts[2];
    uint32_t row_count;
    uint32_t rows[2 * NETWORK_MAX_LAYERS][2]; /* places in `layers`; ALIGN_ALONE: none */
};

/* Pairs have the same type; of all ways to pair them, the one with most layers alike. malloc'd. */
int align_networks(const struct network *a, const struct network *b, struct alignment **out,
                   struct error *error);
/* Whether the tensors of both have the same shapes. */
bool align_same_tensors(const struct layer *a, const struct layer *b);

#endif
