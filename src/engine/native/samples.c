#include "engine/native/samples.h"

#include <stdlib.h>
#include <string.h>

#include "base/large.h"

#define STAGE       256 /* quads looked at between two copies */
#define FETCH_LIST  6   /* samples ahead whose lists are asked for */
#define FETCH_START 12  /* and whose place is */

struct work {
    struct samples *samples;
    const uint8_t *pixels;
    size_t inputs;
    uint32_t workers;
};

static void part_of(const struct work *work, uint32_t worker, size_t *from, size_t *to)
{
    *from = work->samples->count * worker / work->workers;
    *to = work->samples->count * (worker + 1) / work->workers;
}

/* The first pixel in the lowest place, on any machine. */
static inline uint32_t quad_at(const uint8_t *pixels)
{
    return (uint32_t)pixels[0] | (uint32_t)pixels[1] << 8 | (uint32_t)pixels[2] << 16 |
           (uint32_t)pixels[3] << 24;
}

static uint32_t last_quad(const uint8_t *pixels, size_t inputs)
{
    uint8_t rest[QUAD] = {0};
    memcpy(rest, pixels + inputs / QUAD * QUAD, inputs % QUAD);
    return quad_at(rest);
}

static void count_quads(void *context, uint32_t worker)
{
    struct work *work = context;
    size_t from, to;
    part_of(work, worker, &from, &to);
    for (size_t s = from; s < to; s++) {
        const uint8_t *pixels = work->pixels + s * work->inputs;
        if (work->samples->dense) {
            work->samples->start[s + 1] = work->samples->quads;
            continue;
        }
        uint32_t count = last_quad(pixels, work->inputs) != 0;
        for (size_t i = 0; i < work->inputs / QUAD; i++) {
            uint32_t quad;
            memcpy(&quad, pixels + QUAD * i, sizeof quad);
            count += quad != 0;
        }
        work->samples->start[s + 1] = count;
    }
}

/* Every quad is written to the stage, but the place to write moves on only past those that count:
 * no branch to guess. */
static void list_quads(const struct work *work, size_t sample)
{
    const uint8_t *pixels = work->pixels + sample * work->inputs;
    struct samples *samples = work->samples;
    size_t at = samples->start[sample], whole = work->inputs / QUAD;
    uint32_t always = samples->dense; /* makes every quad count */
    uint16_t index[STAGE + 1];
    uint32_t value[STAGE + 1];
    for (size_t from = 0; from < samples->quads; from += STAGE) {
        size_t end = from + STAGE < whole ? from + STAGE : whole, n = 0;
        for (size_t i = from; i < end; i++) {
            uint32_t quad = quad_at(pixels + QUAD * i);
            index[n] = (uint16_t)i;
            value[n] = quad;
            n += (quad | always) != 0;
        }
        if (end < samples->quads && samples->quads <= from + STAGE) {
            index[n] = (uint16_t)whole;
            value[n] = last_quad(pixels, work->inputs);
            n += (value[n] | always) != 0;
        }
        memcpy(samples->index + at, index, n * sizeof index[0]);
        memcpy(samples->value + at, value, n * sizeof value[0]);
        at += n;
    }
}

static void fill_lists(void *context, uint32_t worker)
{
    struct work *work = context;
    size_t from, to;
    part_of(work, worker, &from, &to);
    for (size_t s = from; s < to; s++) list_quads(work, s);
}

int samples_create(struct samples *samples, const uint8_t *pixels, size_t count, size_t inputs,
                   bool dense, struct team *team, struct error *error)
{
    CHECK(inputs <= SAMPLES_MAX_INPUTS);
    *samples = (struct samples){
        .count = count,
        .dense = dense,
        .quads = (inputs + QUAD - 1) / QUAD,
        .start = calloc(count + 1, sizeof *samples->start),
    };
    if (!samples->start) return error_set_memory(error, "the lists of pixels");
    struct work work = {samples, pixels, inputs, team_threads(team)};
    team_run(team, team_threads(team), count_quads, &work);
    for (size_t s = 0; s < count; s++) samples->start[s + 1] += samples->start[s];
    samples->index = large_alloc((samples->start[count] + 1) * sizeof *samples->index);
    samples->value = large_alloc((samples->start[count] + 1) * sizeof *samples->value);
    if (!samples->index || !samples->value) {
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
    free(samples->value);
    *samples = (struct samples){0};
}

static void fetch(const struct samples *samples, size_t sample)
{
    size_t from = samples->start[sample], to = samples->start[sample + 1];
    for (size_t k = from; k < to; k += 32) __builtin_prefetch(&samples->index[k]);
    for (size_t k = from; k < to; k += 16) __builtin_prefetch(&samples->value[k]);
}

void samples_sort(const struct samples *samples, const uint32_t *order, size_t first, size_t rows,
                  size_t known, struct block *block)
{
    CHECK(rows <= BLOCK_ROWS);
    memset(block->counts, 0, samples->quads * sizeof *block->counts);
    for (size_t row = 0; row < rows; row++) {
        size_t sample = order ? order[row] : first + row;
        if (order && row + FETCH_START < known)
            __builtin_prefetch(&samples->start[order[row + FETCH_START]]);
        if (order && row + FETCH_LIST < known) fetch(samples, order[row + FETCH_LIST]);
        for (size_t k = samples->start[sample]; k < samples->start[sample + 1]; k++) {
            size_t quad = samples->index[k];
            block->entries[quad * BLOCK_ROWS + block->counts[quad]++] = (uint64_t)row << 32 |
                                                                        samples->value[k];
        }
    }
}
