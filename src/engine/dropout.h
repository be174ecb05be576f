/* Dropout's masks are the studio's own, so that every engine drops the same values and a resumed
 * run goes on with the masks it would have had.
 *
 * The generator is Philox 4×32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
 * 1, 2, 3", 2011), as TensorFlow's StatelessRandomUniformFullIntV2 computes it with alg = 1:
 *
 *   key      the run's seed (64 bits, low word first)
 *   counter  low 64 bits: element / 4; high 64 bits: step · 64 + layer, `step` the optimizer's
 *            steps taken before this batch, `layer` the layer's number in the network from 0
 *   word     element mod 4 of the block's four
 *
 * Elements are numbered over the batch in the studio's order (sample, channel, row, column). An
 * element is kept when its word is at least rate · 2^32, rounded down; what is kept is divided by 1
 * − rate. */
#ifndef NNSTUDIO_ENGINE_DROPOUT_H
#define NNSTUDIO_ENGINE_DROPOUT_H

#include <stddef.h>
#include <stdint.h>

/* The least word that is kept. */
uint32_t dropout_threshold(double rate);
/* The high 64 bits of the counter. */
uint64_t dropout_stream(uint64_t step, uint32_t layer);
/* kept[i] = 1 where element first + i stays, else 0, for i < count. */
void dropout_mask(uint64_t seed, uint64_t stream, double rate, uint64_t first, size_t count,
                  uint8_t *kept);

#endif
