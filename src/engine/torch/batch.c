#include "engine/torch/batch.h"

#include <stdlib.h>

int torch_batch_create(struct torch_batch *batch, size_t capacity, size_t inputs, bool float64,
                       const struct preprocess *preprocess, struct error *error)
{
    *batch = (struct torch_batch){
        .capacity = capacity, .inputs = inputs, .float64 = float64, .preprocess = preprocess};
    size_t bytes = capacity * inputs * (float64 ? sizeof(double) : sizeof(float));
    batch->pixels = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    batch->labels = calloc(capacity, sizeof *batch->labels);
    if (batch->pixels && batch->labels) return 0;
    torch_batch_destroy(batch);
    return error_set_memory(error, "a batch");
}

void torch_batch_destroy(struct torch_batch *batch)
{
    free(batch->pixels);
    free(batch->labels);
    *batch = (struct torch_batch){0};
}

/* Preprocessing of another kind than p / 255. */
static void look_up(const struct torch_batch *batch, const uint8_t *codes, size_t first,
                    size_t count)
{
    const double *table = batch->preprocess->values;
    for (size_t i = 0; i < count; i++) {
        if (batch->float64)
            ((double *)batch->pixels)[first + i] = table[codes[i]];
        else
            ((float *)batch->pixels)[first + i] = (float)table[codes[i]];
    }
}

static void convert(const struct torch_batch *batch, const uint8_t *pixels, size_t first,
                    size_t count)
{
    size_t values = count * batch->inputs;
    if (batch->preprocess->custom) {
        look_up(batch, pixels, first * batch->inputs, values);
    } else if (batch->float64) {
        preprocess_f64(pixels, values, (double *)batch->pixels + first * batch->inputs);
    } else {
        preprocess_f32(pixels, values, (float *)batch->pixels + first * batch->inputs);
    }
}

/* Samples come in a random order from a set larger than the caches: the memory is asked for a few
 * samples ahead. */
#define AHEAD 4

static void prefetch(const struct torch_batch *batch, const struct split *split, uint32_t sample)
{
    const uint8_t *pixels = split->pixels + sample * batch->inputs;
    for (size_t i = 0; i < batch->inputs; i += 64) __builtin_prefetch(pixels + i);
}

void torch_batch_gather(struct torch_batch *batch, const struct split *split, const uint32_t *order,
                        size_t count)
{
    CHECK(count <= batch->capacity);
    for (size_t i = 0; i < count && i < AHEAD; i++) prefetch(batch, split, order[i]);
    for (size_t i = 0; i < count; i++) {
        CHECK(order[i] < split->count);
        if (i + AHEAD < count) prefetch(batch, split, order[i + AHEAD]);
        convert(batch, split->pixels + order[i] * batch->inputs, i, 1);
        batch->labels[i] = split->labels[order[i]];
    }
    batch->count = count;
}

void torch_batch_fill(struct torch_batch *batch, const uint8_t *pixels, size_t count)
{
    CHECK(count <= batch->capacity);
    convert(batch, pixels, 0, count);
    batch->count = count;
}

static size_t largest(const struct torch_batch *batch, const void *logits, size_t from,
                      size_t classes)
{
    const float *narrow = (const float *)logits + from;
    const double *wide = (const double *)logits + from;
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (batch->float64 ? wide[c] > wide[best] : narrow[c] > narrow[best]) best = c;
    return best;
}

uint32_t torch_batch_count_correct(const struct torch_batch *batch, const void *logits,
                                   size_t classes)
{
    uint32_t correct = 0;
    for (size_t i = 0; i < batch->count; i++)
        correct += largest(batch, logits, i * classes, classes) == (size_t)batch->labels[i];
    return correct;
}
