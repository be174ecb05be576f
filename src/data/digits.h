/* The built-in synthetic digits: handwriting-like digits drawn by rule, 28 x 28, for use with no
 * data at hand.
 *
 * As in MNIST a digit fills a 20 x 20 box (the longer side) and is centered by its mass; background
 * is 0. Sample `index` depends on seed and index alone, so any part of the set can be drawn in any
 * order by any number of threads. */
#ifndef NNSTUDIO_DATA_DIGITS_H
#define NNSTUDIO_DATA_DIGITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DIGITS_SIDE  28
#define DIGITS_SEED  1     /* of the set called "synthetic" */
#define DIGITS_TRAIN 60000 /* samples 0 … 59999 are for training, the next 10000 for the test */
#define DIGITS_TEST  10000

/* Draws samples first … first+count-1 on `threads` threads (0: one a processor): pixels [count, 28
 * * 28],
 * labels [count]. */
void digits_draw(uint64_t seed, uint64_t first, size_t count, unsigned threads, uint8_t *pixels,
                 uint8_t *labels);

#endif
