/* A part of a split instead of all of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "data/dataset_impl.h"

/* The part does not depend on a run's seed: every run, evaluation and look at the data sees the
 * same samples. */
#define PART_SEED 0

static void count_labels(const uint8_t *labels, size_t count, size_t out[DATASET_MAX_CLASSES])
{
    memset(out, 0, DATASET_MAX_CLASSES * sizeof *out);
    for (size_t i = 0; i < count; i++) out[labels[i]]++;
}

/* Pearson's chi-squared of the first labels against the whole: about the number of classes for a
 * shuffled file, with a deviation of sqrt(2 classes); far more for a sorted one. */
bool dataset_is_mixed(const uint8_t *labels, size_t count, size_t limit)
{
    size_t whole[DATASET_MAX_CLASSES], part[DATASET_MAX_CLASSES], classes = 0;
    if (!limit || limit >= count) return true;
    count_labels(labels, count, whole);
    count_labels(labels, limit, part);
    double sum = 0;
    for (size_t c = 0; c < DATASET_MAX_CLASSES; c++) {
        if (!whole[c]) continue;
        double expected = (double)whole[c] * (double)limit / (double)count;
        sum += ((double)part[c] - expected) * ((double)part[c] - expected) / expected;
        classes++;
    }
    return sum <= (double)classes + 6 * sqrt(2.0 * (double)classes);
}

/* How many of each class: its share rounded down, what is left going to the largest remainders
 * (Hamilton's method), and one at least of every class while there is room. */
static void share_out(const size_t whole[DATASET_MAX_CLASSES], size_t count, size_t limit,
                      size_t quota[DATASET_MAX_CLASSES])
{
    size_t given = 0;
    for (size_t c = 0; c < DATASET_MAX_CLASSES; c++)
        given += quota[c] = (size_t)((unsigned __int128)whole[c] * limit / count);
    for (size_t c = 0; c < DATASET_MAX_CLASSES && given < limit; c++)
        if (whole[c] && !quota[c]) given += quota[c] = 1;
    while (given < limit) {
        size_t best = DATASET_MAX_CLASSES;
        double most = -INFINITY;
        for (size_t c = 0; c < DATASET_MAX_CLASSES; c++) {
            double rest = (double)whole[c] * (double)limit / (double)count - (double)quota[c];
            if (quota[c] == whole[c] || rest <= most) continue;
            most = rest;
            best = c;
        }
        quota[best]++;
        given++;
    }
}

void dataset_count_part(const struct dataset *dataset, uint32_t limit,
                        size_t counts[DATASET_MAX_CLASSES])
{
    const struct split *train = &dataset->train;
    size_t count = limit && limit < train->count ? limit : train->count;
    count_labels(train->labels, count, counts);
    if (count == train->count || dataset->synthetic || dataset->ids ||
        dataset_is_mixed(train->labels, train->count, count))
        return;
    size_t whole[DATASET_MAX_CLASSES];
    count_labels(train->labels, train->count, whole);
    share_out(whole, train->count, count, counts);
}

/* A random choice of every class's quota; the samples keep their order. */
static int keep_share(struct split *split, size_t image, size_t limit, uint64_t stream,
                      struct error *error)
{
    size_t whole[DATASET_MAX_CLASSES], quota[DATASET_MAX_CLASSES], kept = 0;
    struct rng rng;
    count_labels(split->labels, split->count, whole);
    share_out(whole, split->count, limit, quota);
    uint32_t *order = malloc(split->count * sizeof *order);
    bool *chosen = calloc(split->count, sizeof *chosen);
    if (!order || !chosen) {
        free(order);
        free(chosen);
        return error_set_memory(error, "a part of the samples");
    }
    rng_seed(&rng, PART_SEED, RNG_SAMPLES, stream);
    rng_permutation(&rng, order, split->count);
    for (size_t i = 0; i < split->count; i++) {
        size_t *left = &quota[split->labels[order[i]]];
        if (*left) chosen[order[i]] = (*left)--;
    }
    for (size_t i = 0; i < split->count; i++) {
        if (!chosen[i]) continue;
        memmove(split->pixels + kept * image, split->pixels + i * image, image);
        split->labels[kept++] = split->labels[i];
    }
    split->count = kept;
    free(order);
    free(chosen);
    return 0;
}

int dataset_keep_part(struct dataset *dataset, uint32_t limit, struct error *error)
{
    struct split *const splits[] = {&dataset->train, &dataset->test};
    size_t image = dataset_inputs(dataset);
    for (uint32_t s = 0; s < 2; s++) {
        if (!limit || splits[s]->count <= limit) continue;
        if (dataset->ids || dataset_is_mixed(splits[s]->labels, splits[s]->count, limit)) {
            for (size_t i = limit; dataset->ids && s == 0 && i < splits[s]->count; i++) {
                free(dataset->ids[i]);
                dataset->ids[i] = NULL;
            }
            splits[s]->count = limit;
            continue;
        }
        dataset_assume(dataset, "the file is sorted: %u %s samples, the same share of every class",
                       limit, s ? "test" : "training");
        if (keep_share(splits[s], image, limit, s, error)) return -1;
    }
    return 0;
}
