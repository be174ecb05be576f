/* Pictures as lists of what is not blank.
 *
 * The unit is a quad: four pixels next to each other, the first at a multiple of four, at least one
 * of them not zero. Pixels come in strokes, so quads hold few zeros (MNIST: 150 non-zero pixels a
 * picture lie in 56 quads) and cost a quarter of the bookkeeping of single pixels. */
#ifndef NNSTUDIO_ENGINE_NATIVE_SAMPLES_H
#define NNSTUDIO_ENGINE_NATIVE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/native/team.h"

#define QUAD               4
#define SAMPLES_MAX_INPUTS (QUAD * 65536) /* what an index of 16 bits reaches */
#define BLOCK_ROWS         64             /* most samples in a block */

struct samples {
    size_t count;
    size_t quads;    /* in a whole picture */
    size_t *start;   /* [count + 1]: sample s has entries start[s] … start[s + 1] */
    uint16_t *index; /* which quad */
    uint32_t *value; /* its four bytes, the first in the lowest place */
    bool dense;      /* quads of zeros are listed as well */
};

/* Lists of `count` pictures of `inputs` bytes; the team shares the work. `dense`: a byte 0 is not
 * the input 0, so nothing may be left out. samples_free() ends it. */
int samples_create(struct samples *samples, const uint8_t *pixels, size_t count, size_t inputs,
                   bool dense, struct team *team, struct error *error);
/* A zeroed one is fine. */
void samples_free(struct samples *samples);

/* Up to BLOCK_ROWS samples, sorted by quad: who has it, and with which values. */
struct block {
    uint32_t *counts;  /* [quads] */
    uint64_t *entries; /* [quads, BLOCK_ROWS]: (row within the block) << 32 | value */
};

/* Fills `block` with samples order[0 … rows) (NULL: first, first + 1 …). Samples order[0 … known)
 * are about to be needed: the lists lie anywhere in memory, so those a few places ahead are asked
 * for in time. */
void samples_sort(const struct samples *samples, const uint32_t *order, size_t first, size_t rows,
                  size_t known, struct block *block);

#endif
