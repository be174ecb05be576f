/* Where PyTorch and Keras keep the same number: the one place that knows the permutations.
 *
 *                       PyTorch                             Keras
 *   dense               [outputs, inputs]                   [inputs, outputs]
 *   dense behind maps   inputs: channels, rows, columns     inputs: rows, columns, channels
 *   conv2d              [filters, channels, rows, columns]  [rows, columns, channels, filters]
 *   depthwise           [filters, 1, rows, columns]         [rows, columns, channels, multiplier]
 *   layernorm on maps   [channels, rows, columns]           [rows, columns, channels]
 *   normalization behind a flatten: counted as a dense layer's inputs behind maps
 * All other tensors are lists and the same in both. */
#ifndef NNSTUDIO_NET_LAYOUT_H
#define NNSTUDIO_NET_LAYOUT_H

#include "net/parameters.h"

#define LAYOUT_MAX_RANK 4

/* One tensor seen both ways. Axis a of the Keras view is axis order[a] of the studio's view; both
 * views have `rank` axes and may be finer than the tensor's own shape (a dense weight behind maps
 * is seen as [outputs, channels, rows, columns]). */
struct layout {
    uint32_t rank;
    size_t sizes[LAYOUT_MAX_RANK]; /* of the studio's view */
    uint32_t order[LAYOUT_MAX_RANK];
    struct shape keras; /* the tensor's own shape as Keras has it */
};

/* The layout of a tensor of `network`. `tensor` may belong to any parameters of that network. */
struct layout layout_of(const struct network *network, const struct tensor *tensor);
/* A list of values that both keep alike. */
struct layout layout_plain(size_t count);
/* [channels, rows, columns] as Keras has them: [rows, columns, channels]. */
struct layout layout_of_maps(const struct shape *maps);
/* The layout of one sample's values behind layer `index`: maps, or the list that a flatten made of
 * them. */
struct layout layout_of_output(const struct network *network, uint32_t index);
/* True when both keep the values in the same order. */
bool layout_is_plain(const struct layout *layout);
/* Copies all values, `size` bytes each, from one way to the other; the blocks must not overlap. */
void layout_to_keras(const struct layout *layout, const void *studio, void *keras, size_t size);
void layout_from_keras(const struct layout *layout, const void *keras, void *studio, size_t size);

#endif
