#include "engine/native/samples.h"

#include <stdlib.h>
#include <string.h>

size_t samples_nonzero(const uint8_t *pixels, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count;) {
        /* In bytes as far as a byte can count: sixty-four vectors of them at a time. */
        size_t end = count - i > 4096 ? i + 4096 : count;
        uint32_t part = 0;
        for (; i < end; i++) part += pixels[i] != 0;
        total += part;
    }
    return total;
}

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

static void count_entries(void *context, uint32_t worker)
{
    struct work *work = context;
    size_t from, to;
    part_of(work, worker, &from, &to);
    for (size_t s = from; s < to; s++)
        work->samples->start[s + 1] = samples_nonzero(work->pixels + s * work->inputs, work->inputs);
}

/* Every pixel of a word that is not all zero is written, but the place to write moves on only past those that count: no
 * branch to guess. So one more than the list's length may be written. */
static size_t list_pixels(const uint8_t *pixels, size_t inputs, uint16_t *index, uint8_t *value)
{
    size_t n = 0, i = 0;
    for (; i + 8 <= inputs; i += 8) {
        uint64_t word;
        memcpy(&word, pixels + i, 8);
        if (!word) continue;
        for (size_t k = 0; k < 8; k++) {
            index[n] = (uint16_t)(i + k);
            value[n] = pixels[i + k];
            n += pixels[i + k] != 0;
        }
    }
    for (; i < inputs; i++) {
        if (!pixels[i]) continue;
        index[n] = (uint16_t)i;
        value[n++] = pixels[i];
    }
    return n;
}

static void fill_entries(void *context, uint32_t worker)
{
    struct work *work = context;
    struct samples *samples = work->samples;
    size_t from, to;
    part_of(work, worker, &from, &to);
    uint16_t index[SAMPLES_MAX_INPUTS + 1];
    uint8_t value[SAMPLES_MAX_INPUTS + 1];
    for (size_t s = from; s < to; s++) {
        size_t n = list_pixels(work->pixels + s * work->inputs, work->inputs, index, value);
        memcpy(samples->index + samples->start[s], index, n * sizeof index[0]);
        memcpy(samples->value + samples->start[s], value, n);
    }
}

int samples_create(struct samples *samples, const uint8_t *pixels, size_t count, size_t inputs, struct team *team,
                   struct error *error)
{
    CHECK(inputs <= SAMPLES_MAX_INPUTS);
    *samples = (struct samples){.count = count, .start = calloc(count + 1, sizeof *samples->start)};
    if (!samples->start) return error_set_memory(error, "the lists of pixels");
    struct work work = {samples, pixels, inputs, team_threads(team)};
    team_run(team, count_entries, &work);
    for (size_t s = 0; s < count; s++) samples->start[s + 1] += samples->start[s];
    size_t entries = samples->start[count];
    samples->index = malloc((entries + 1) * sizeof *samples->index);
    samples->value = malloc(entries + 1);
    if (!samples->index || !samples->value) {
        samples_free(samples);
        return error_set_memory(error, "the lists of pixels");
    }
    team_run(team, fill_entries, &work);
    return 0;
}

void samples_free(struct samples *samples)
{
    free(samples->start);
    free(samples->index);
    free(samples->value);
    *samples = (struct samples){0};
}
