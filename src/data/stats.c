#include "data/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* The figures of inputs that are not p / 255. */
static void measure_inputs(const struct preprocess *preprocess, size_t pixels,
                           struct split_stats *out)
{
    double sum = 0, squares = 0;
    out->low = INFINITY;
    out->high = -INFINITY;
    for (unsigned code = 0; code < 256; code++) {
        double value = preprocess->values[code], count = (double)out->histogram[code];
        if (!out->histogram[code]) continue;
        sum += value * count;
        squares += value * value * count;
        out->low = fmin(out->low, value);
        out->high = fmax(out->high, value);
    }
    out->mean = sum / (double)pixels;
    out->std = sqrt(fmax(0, squares / (double)pixels - out->mean * out->mean));
}

void stats_measure(const struct dataset *dataset, const struct split *split,
                   struct split_stats *out)
{
    size_t pixels = split->count * dataset_inputs(dataset);
    *out = (struct split_stats){.smallest = 255};
    for (size_t i = 0; i < split->count; i++) out->per_class[split->labels[i]]++;
    for (size_t i = 0; i < pixels; i++) out->histogram[split->pixels[i]]++;
    /* Whole numbers as long as possible: exact sums for any set that fits in memory. */
    uint64_t sum = 0, squares = 0;
    for (unsigned value = 0; value < 256; value++) {
        if (!out->histogram[value]) continue;
        if (value < out->smallest) out->smallest = (uint8_t)value;
        out->largest = (uint8_t)value;
        sum += value * out->histogram[value];
        squares += (uint64_t)value * value * out->histogram[value];
    }
    if (dataset->preprocess.custom) {
        measure_inputs(&dataset->preprocess, pixels, out);
        return;
    }
    double mean = (double)sum / (double)pixels;
    out->mean = mean / 255;
    out->std = sqrt((double)squares / (double)pixels - mean * mean) / 255;
    out->low = out->smallest / 255.0;
    out->high = out->largest / 255.0;
}

int stats_mean_pictures(const struct dataset *dataset, const struct split *split, float *out,
                        struct error *error)
{
    size_t image = dataset_inputs(dataset), count[DATASET_MAX_CLASSES] = {0};
    uint8_t light[256];
    dataset_brightness(dataset, light);
    uint64_t *sums = calloc(dataset->classes * image, sizeof *sums);
    if (!sums) return error_set_memory(error, "the mean pictures");
    for (size_t i = 0; i < split->count; i++) {
        const uint8_t *pixels = split->pixels + i * image;
        uint64_t *sum = sums + split->labels[i] * image;
        for (size_t p = 0; p < image; p++) sum[p] += light[pixels[p]];
        count[split->labels[i]]++;
    }
    for (size_t c = 0; c < dataset->classes; c++)
        for (size_t p = 0; p < image; p++)
            out[c * image + p] = count[c] ? (float)((double)sums[c * image + p] / (double)count[c])
                                          : 0.0f;
    free(sums);
    return 0;
}

size_t stats_pick(const struct split *split, int label, uint64_t seed, size_t count, uint32_t *out)
{
    uint32_t *candidates = malloc((split->count ? split->count : 1) * sizeof *candidates);
    size_t had = 0;
    struct rng rng;
    if (!candidates) return 0;
    for (size_t i = 0; i < split->count; i++)
        if (label < 0 || split->labels[i] == label) candidates[had++] = (uint32_t)i;
    if (count > had) count = had;
    rng_seed(&rng, seed, RNG_SAMPLES, 0);
    for (size_t i = 0; i < count; i++) { /* the first steps of a Fisher-Yates shuffle */
        size_t other = i + rng_below(&rng, had - i);
        out[i] = candidates[other];
        candidates[other] = candidates[i];
    }
    free(candidates);
    return count;
}
