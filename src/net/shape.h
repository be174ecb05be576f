/* The shape of what flows between layers, for one sample (the batch is not part of it).
 *
 * Two kinds: [units], the values of a dense layer, and [channels, rows, columns], a picture or
 * feature maps. The order is PyTorch's; whoever keeps channels last (TensorFlow, Keras) turns it at
 * its own border (net/layout.h). */
#ifndef NNSTUDIO_NET_SHAPE_H
#define NNSTUDIO_NET_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHAPE_MAX_RANK 4

struct shape {
    uint32_t rank; /* 1 or 3 between layers; tensors of parameters have 1 to 4 */
    uint32_t sizes[SHAPE_MAX_RANK];
};

struct shape shape_units(uint32_t units);
struct shape shape_maps(uint32_t channels, uint32_t rows, uint32_t columns);
/* The product of the sizes; 1 for rank 0. */
size_t shape_values(const struct shape *shape);
bool shape_equal(const struct shape *a, const struct shape *b);
/* As users read it, rows before channels: "128", "14×14×32", "28×28" for one channel. */
const char *shape_words(const struct shape *shape, char out[48]);

#endif
