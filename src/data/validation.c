/* A share of the training samples, set aside to watch the training. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "data/dataset_impl.h"

const char *dataset_part_name(uint32_t part)
{
    static const char *const names[DATASET_PART_COUNT] = {"stratified", "last"};
    return names[part];
}

/* In double precision as Keras: the training's end is rounded down. */
size_t dataset_last_part(size_t count, double share)
{
    return count - (size_t)floor((double)count * (1 - share));
}

/* Of a class of `count` samples. */
static size_t stratified_part(size_t count, double share)
{
    size_t wanted = (size_t)floor((double)count * share + 0.5);
    return count && wanted == count ? count - 1 : wanted; /* learned before it is watched */
}

size_t dataset_count_trained(const struct dataset *dataset, uint32_t limit, double share,
                             enum dataset_part part)
{
    size_t counts[DATASET_MAX_CLASSES], sum = 0, taken = 0;
    dataset_count_part(dataset, limit, counts);
    for (size_t c = 0; c < DATASET_MAX_CLASSES; c++) {
        sum += counts[c];
        taken += stratified_part(counts[c], share);
    }
    if (!(share > 0)) return sum;
    if (part == DATASET_PART_LAST) taken = dataset_last_part(sum, share);
    return taken ? sum - taken : 0;
}

/* Marks the same share of every class, drawn by the seed; returns how many. `places` has room for
 * all samples' numbers, twice. */
static size_t mark_stratified(const struct split *train, double share, uint64_t seed,
                              uint32_t *places, bool *taken)
{
    size_t sum = 0;
    for (uint32_t c = 0; c < DATASET_MAX_CLASSES; c++) {
        struct rng rng;
        uint32_t *order = places + train->count;
        size_t count = 0;
        for (size_t i = 0; i < train->count; i++)
            if (train->labels[i] == c) places[count++] = (uint32_t)i;
        size_t wanted = stratified_part(count, share);
        if (!wanted) continue;
        rng_seed(&rng, seed, RNG_VALIDATION, c);
        rng_permutation(&rng, order, count);
        for (size_t i = 0; i < wanted; i++) taken[places[order[i]]] = true;
        sum += wanted;
    }
    return sum;
}

static size_t mark_last(const struct split *train, double share, bool *taken)
{
    size_t wanted = dataset_last_part(train->count, share);
    for (size_t i = train->count - wanted; i < train->count; i++) taken[i] = true;
    return wanted;
}

/* Those that are taken go behind the others; both keep their order. `pixels` and `labels` have room
 * for those. */
static void move_behind(struct split *train, size_t each, const bool *taken, uint8_t *pixels,
                        uint8_t *labels)
{
    size_t kept = 0, moved = 0;
    for (size_t i = 0; i < train->count; i++) {
        uint8_t *from = train->pixels + i * each;
        if (taken[i]) {
            memcpy(pixels + moved * each, from, each);
            labels[moved++] = train->labels[i];
        } else {
            memmove(train->pixels + kept * each, from, each);
            train->labels[kept++] = train->labels[i];
        }
    }
    memcpy(train->pixels + kept * each, pixels, moved * each);
    memcpy(train->labels + kept, labels, moved);
}

int dataset_mark_validation(const struct split *train, double share, enum dataset_part part,
                            uint64_t seed, bool *taken, size_t *count, struct error *error)
{
    uint32_t *places = malloc(2 * train->count * sizeof *places);
    if (!places) return error_set_memory(error, "the validation samples");
    memset(taken, 0, train->count * sizeof *taken);
    *count = part == DATASET_PART_LAST ? mark_last(train, share, taken)
                                       : mark_stratified(train, share, seed, places, taken);
    free(places);
    if (*count && *count < train->count) return 0;
    return error_set(error, ERROR_INPUT,
                     "a validation share of %g of %zu training samples leaves none %s: give "
                     "another share, or more samples",
                     share, train->count, *count ? "to train with" : "to validate with");
}

int dataset_take_validation(struct dataset *dataset, double share, enum dataset_part part,
                            uint64_t seed, struct error *error)
{
    struct split *train = &dataset->train;
    size_t each = dataset_inputs(dataset), count = train->count, wanted;
    bool *taken = calloc(count, sizeof *taken);
    uint8_t *pixels = NULL, *labels = NULL;
    int status = -1;
    CHECK(!dataset->validation.count && !dataset->ids);
    if (!taken) {
        error_set_memory(error, "the validation samples");
        goto out;
    }
    if (dataset_hash(dataset, dataset->hash, error)) goto out;
    if (dataset_mark_validation(train, share, part, seed, taken, &wanted, error)) goto out;
    pixels = malloc(wanted * each);
    labels = malloc(wanted);
    if (!pixels || !labels) {
        error_set_memory(error, "the validation samples");
        goto out;
    }
    move_behind(train, each, taken, pixels, labels);
    train->count = count - wanted;
    dataset->validation = (struct split){.count = wanted,
                                         .pixels = train->pixels + train->count * each,
                                         .labels = train->labels + train->count};
    status = 0;
out:
    if (status) dataset->hash[0] = '\0';
    free(taken);
    free(pixels);
    free(labels);
    return status;
}
