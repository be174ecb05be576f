/* A batch in memory: pictures and labels gathered from the data set into buffers that are used
 * again and again. */
#ifndef NNSTUDIO_ENGINE_TORCH_BATCH_H
#define NNSTUDIO_ENGINE_TORCH_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "data/dataset.h"
#include "data/preprocess.h"

struct torch_batch {
    size_t capacity, inputs;             /* at most `capacity` samples of `inputs` values each */
    bool float64;                        /* the pixels' type; else float */
    size_t count;                        /* samples in it now */
    void *pixels;                        /* [count, inputs], preprocessed; owned, 64-byte aligned */
    int64_t *labels;                     /* [count]; owned */
    const struct preprocess *preprocess; /* borrowed */
};

int torch_batch_create(struct torch_batch *batch, size_t capacity, size_t inputs, bool float64,
                       const struct preprocess *preprocess, struct error *error);
void torch_batch_destroy(struct torch_batch *batch); /* a zeroed one is fine */
/* The samples order[0 … count) of the split, with their labels. */
void torch_batch_gather(struct torch_batch *batch, const struct split *split, const uint32_t *order,
                        size_t count);
/* `count` pictures that stand one after another; no labels. */
void torch_batch_fill(struct torch_batch *batch, const uint8_t *pixels, size_t count);
/* How many rows of logits[count, classes] are largest at the sample's label; of equal logits the
 * first counts. */
uint32_t torch_batch_count_correct(const struct torch_batch *batch, const void *logits,
                                   size_t classes);

#endif
