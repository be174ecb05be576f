#include "engine/native/samples.h"

#include <stdlib.h>
#include <string.h>

#include "base/large.h"

#define STAGE       256 /* tuples looked at between two copies */
#define FETCH_LIST  6   /* samples ahead whose lists are asked for */
#define FETCH_START 12  /* and whose place is */
#define WIDEST      4

/* Calls FUNCTION with the width of the tuples as a constant, last. */
#define BY_WIDTH(samples, FUNCTION, ...) \
    do {                                 \
        if ((samples)->width == 2)       \
            FUNCTION(__VA_ARGS__, 2);    \
        else                             \
            FUNCTION(__VA_ARGS__, 4);    \
    } while (0)

#define INLINE static inline __attribute__((always_inline))

struct work {
    struct samples *samples;
    const struct pictures *pictures;
    uint32_t workers;
};

static void part_of(const struct work *work, uint32_t worker, size_t *from, size_t *to)
{
    *from = work->samples->count * worker / work->workers;
    *to = work->samples->count * (worker + 1) / work->workers;
}

static const uint8_t *picture(const struct work *work, size_t sample)
{
    return work->pictures->pixels + sample * work->pictures->inputs;
}

/* What is left of a picture after its whole tuples, filled up with zeros. */
INLINE uint32_t last_tuple(const uint8_t *pixels, size_t inputs, uint8_t codes[WIDEST],
                           size_t width)
{
    memset(codes, 0, WIDEST);
    memcpy(codes, pixels + inputs / width * width, inputs % width);
    return samples_tuple(codes, width);
}

INLINE void count_sample(const struct work *work, size_t sample, size_t width)
{
    const uint8_t *pixels = picture(work, sample);
    size_t inputs = work->pictures->inputs, whole = inputs / width;
    uint8_t rest[WIDEST];
    uint32_t count = last_tuple(pixels, inputs, rest, width) != 0;
    for (size_t i = 0; i < whole; i++) count += samples_tuple(pixels + width * i, width) != 0;
    work->samples->start[sample + 1] = count;
}

static void count_tuples(void *context, uint32_t worker)
{
    struct work *work = context;
    size_t from, to;
    part_of(work, worker, &from, &to);
    for (size_t s = from; s < to; s++)
        if (work->samples->dense)
            work->samples->start[s + 1] = work->samples->tuples;
        else
            BY_WIDTH(work->samples, count_sample, work, s);
}

/* Every tuple is written to the stage, but the place to write moves on only past those that count:
 * no branch to guess. */
INLINE void list_sample(const struct work *work, size_t sample, size_t width)
{
    const uint8_t *pixels = picture(work, sample);
    struct samples *samples = work->samples;
    size_t inputs = work->pictures->inputs, whole = inputs / width, at = samples->start[sample];
    uint32_t always = samples->dense; /* makes every tuple count */
    uint16_t index[STAGE + 1];
    uint8_t codes[(STAGE + 1) * WIDEST];
    for (size_t from = 0; from < samples->tuples; from += STAGE) {
        size_t end = from + STAGE < whole ? from + STAGE : whole, n = 0;
        for (size_t i = from; i < end; i++) {
            index[n] = (uint16_t)i;
            memcpy(codes + n * width, pixels + i * width, width);
            n += (samples_tuple(pixels + i * width, width) | always) != 0;
        }
        if (end < samples->tuples && samples->tuples <= from + STAGE) {
            uint8_t rest[WIDEST];
            index[n] = (uint16_t)whole;
            uint32_t value = last_tuple(pixels, inputs, rest, width);
            memcpy(codes + n * width, rest, width);
            n += (value | always) != 0;
        }
        memcpy(samples->index + at, index, n * sizeof index[0]);
        memcpy(samples->codes + at * width, codes, n * width);
        at += n;
    }
}

static void fill_lists(void *context, uint32_t worker)
{
    struct work *work = context;
    size_t from, to;
    part_of(work, worker, &from, &to);
    for (size_t s = from; s < to; s++) BY_WIDTH(work->samples, list_sample, work, s);
}

int samples_create(struct samples *samples, const struct pictures *pictures, struct team *team,
                   struct error *error)
{
    size_t count = pictures->count, width = pictures->width;
    CHECK(width == 2 || width == WIDEST);
    CHECK(pictures->inputs <= width * MOST_TUPLES);
    *samples = (struct samples){
        .count = count,
        .width = width,
        .dense = pictures->dense,
        .tuples = (pictures->inputs + width - 1) / width,
        .start = calloc(count + 1, sizeof *samples->start),
    };
    if (!samples->start) return error_set_memory(error, "the lists of pixels");
    struct work work = {samples, pictures, team_threads(team)};
    team_run(team, team_threads(team), count_tuples, &work);
    for (size_t s = 0; s < count; s++) samples->start[s + 1] += samples->start[s];
    samples->index = large_alloc((samples->start[count] + 1) * sizeof *samples->index);
    samples->codes = large_alloc((samples->start[count] + 1) * width);
    if (!samples->index || !samples->codes) {
        samples_free(samples);
        return error_set_memory(error, "the lists of pixels");
    }
    team_run(team, team_threads(team), fill_lists, &work);
    return 0;
}

void samples_free(struct samples *samples)
{
    free(samples->start);
    free(samples->index);
    free(samples->codes);
    *samples = (struct samples){0};
}

INLINE void fetch(const struct samples *samples, size_t sample, size_t width)
{
    size_t from = samples->start[sample], to = samples->start[sample + 1];
    for (size_t k = from; k < to; k += 32) __builtin_prefetch(&samples->index[k]);
    for (size_t k = from; k < to; k += 64 / width) __builtin_prefetch(&samples->codes[k * width]);
}

INLINE void sort(const struct samples *samples, const uint32_t *order, size_t first, size_t rows,
                 size_t known, struct block *block, size_t width)
{
    for (size_t row = 0; row < rows; row++) {
        size_t sample = order ? order[row] : first + row;
        if (order && row + FETCH_START < known)
            __builtin_prefetch(&samples->start[order[row + FETCH_START]]);
        if (order && row + FETCH_LIST < known) fetch(samples, order[row + FETCH_LIST], width);
        for (size_t k = samples->start[sample]; k < samples->start[sample + 1]; k++) {
            size_t tuple = samples->index[k];
            block->entries[tuple * BLOCK_STRIDE + block->counts[tuple]++] =
                (uint64_t)row << 32 | samples_tuple(samples->codes + k * width, width);
        }
    }
}

void samples_sort(const struct samples *samples, const uint32_t *order, size_t first, size_t rows,
                  size_t known, struct block *block)
{
    CHECK(rows <= BLOCK_ROWS);
    memset(block->counts, 0, samples->tuples * sizeof *block->counts);
    BY_WIDTH(samples, sort, samples, order, first, rows, known, block);
}
