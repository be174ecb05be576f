/* Figures about a split, for users looking at their data. */
#ifndef NNSTUDIO_DATA_STATS_H
#define NNSTUDIO_DATA_STATS_H

#include "data/dataset.h"

struct split_stats {
    size_t per_class[DATASET_MAX_CLASSES];
    uint64_t histogram[256]; /* pixels of each value */
    uint8_t smallest, largest;
    /* of what the network receives, over all pixels (population standard deviation) */
    double mean, std, low, high;
};

/* `split` is one of the data set's two and not empty. */
void stats_measure(const struct dataset *dataset, const struct split *split,
                   struct split_stats *out);
/* The mean picture of every class, in brightness 0 … 255, into out[classes, rows * columns]; zeros
 * for a class without samples. */
int stats_mean_pictures(const struct dataset *dataset, const struct split *split, float *out,
                        struct error *error);
/* Picks up to `count` different samples at random, the same for the same seed; of one label, or of
 * any when `label` is negative. Writes their indices and returns how many there were; 0 also when
 * memory is out. */
size_t stats_pick(const struct split *split, int label, uint64_t seed, size_t count, uint32_t *out);

#endif
