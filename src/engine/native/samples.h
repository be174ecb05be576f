/* Pictures as lists of what is not blank.
 *
 * What is listed are tuples: pairs or quads of pixels next to each other, the first at a multiple
 * of the tuple's width, at least one of them not zero. Pixels come in strokes, so tuples hold few
 * zeros (MNIST: 150 non-zero pixels per picture lie in 88 pairs or 56 quads) and cost a half or a
 * quarter of the bookkeeping of single pixels. Which width is the better depends on the processor's
 * registers (kernels.h). */
#ifndef NNSTUDIO_ENGINE_NATIVE_SAMPLES_H
#define NNSTUDIO_ENGINE_NATIVE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/native/team.h"

#define MOST_TUPLES 65536 /* in a picture: what an index of 16 bits reaches */
#define BLOCK_ROWS  64    /* most samples in a block */
/* Room for a tuple's entries and a line more: with a power of two all tuples would compete for a
 * few sets of the first cache. */
#define BLOCK_STRIDE (BLOCK_ROWS + 8)

struct samples {
    size_t count;
    size_t width;    /* pixels per tuple: 2 or 4 */
    size_t tuples;   /* in a whole picture */
    size_t *start;   /* [count + 1]: sample s has entries start[s] … start[s + 1] */
    uint16_t *index; /* which tuple */
    uint8_t *codes;  /* [entries, width]: its pixels */
    bool dense;      /* tuples of zeros are listed as well */
};

/* The codes of a tuple as a number, the first in the lowest place. */
static inline uint32_t samples_tuple(const uint8_t *codes, size_t width)
{
    uint32_t low = (uint32_t)codes[0] | (uint32_t)codes[1] << 8;
    return width == 2 ? low : low | (uint32_t)codes[2] << 16 | (uint32_t)codes[3] << 24;
}

/* What lists are made of: `count` pictures of `inputs` bytes, at most MOST_TUPLES of `width`
 * pixels. `dense`: a byte 0 is not the input 0, so nothing may be left out. */
struct pictures {
    const uint8_t *pixels;
    size_t count, inputs, width;
    bool dense;
};

/* The team shares the work. samples_free() ends it. */
int samples_create(struct samples *samples, const struct pictures *pictures, struct team *team,
                   struct error *error);
/* A zeroed one is fine. */
void samples_free(struct samples *samples);

/* Up to BLOCK_ROWS samples, sorted by tuple: who has it, and with which codes. */
struct block {
    uint32_t *counts;  /* [tuples] */
    uint64_t *entries; /* [tuples, BLOCK_STRIDE]: (row within the block) << 32 | samples_tuple() */
};

/* Fills `block` with samples order[0 … rows) (NULL: first, first + 1 …). Samples order[0 … known)
 * are about to be needed: the lists lie anywhere in memory, so those a few places ahead are asked
 * for in time. */
void samples_sort(const struct samples *samples, const uint32_t *order, size_t first, size_t rows,
                  size_t known, struct block *block);

#endif
