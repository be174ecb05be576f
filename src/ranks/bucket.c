/* One batch, computed by all: each rank the gradients of its part, every sum in rank order.
 *
 * The gradients of all tensors lie in one block ("bucket"), which is cut into as many pieces as
 * there are ranks. Rank r gets everyone's piece r and adds them up in rank order, then all gather
 * the sums: every value travels twice, whatever the number of ranks, and every sum is made once. A
 * part's loss and its number of correct samples travel with its gradients. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ranks/ranks_impl.h"

/* Behind every piece. */
struct part {
    double loss;    /* the sum of the part's losses */
    double correct; /* how many samples are right */
    double failed;  /* not 0: the rank could not compute its part, and has said why */
};

struct bucket {
    struct ranks *ranks; /* borrowed, as is the engine */
    struct engine *inner;
    struct parameters *sums;
    enum dtype dtype;
    uint32_t size;                                /* how many ranks */
    size_t value_size, piece_values, piece_bytes; /* the last piece is filled up with zeros */
    size_t each;                                  /* a piece and a part */
    char *send, *receive;                         /* [ranks][each] */
    char *total;                                  /* [piece_bytes]: this rank's sums */
    char *totals;                                 /* [ranks][piece_bytes] */
    bool broken;                                  /* this rank has not taken every step */
};

void bucket_destroy(struct bucket *bucket)
{
    if (!bucket) return;
    parameters_destroy(bucket->sums);
    free(bucket->send);
    free(bucket->receive);
    free(bucket->total);
    free(bucket->totals);
    free(bucket);
}

void bucket_fail(struct bucket *bucket)
{
    bucket->broken = true;
}

int bucket_create(struct ranks *ranks, struct engine *inner, struct bucket **out,
                  struct error *error)
{
    struct bucket *bucket = calloc(1, sizeof *bucket);
    *out = NULL;
    if (!bucket) return error_set_memory(error, "the gradients of all ranks");
    bucket->ranks = ranks;
    bucket->inner = inner;
    bucket->dtype = inner->config.dtype;
    bucket->size = ranks_size(ranks);
    bucket->value_size = dtype_size(bucket->dtype);
    if (parameters_create(&inner->config.network, bucket->dtype, &bucket->sums, error)) goto failed;
    bucket->piece_values = (bucket->sums->value_count + bucket->size - 1) / bucket->size;
    /* doubles follow a piece */
    bucket->piece_values += bucket->piece_values % 2;
    bucket->piece_bytes = bucket->piece_values * bucket->value_size;
    bucket->each = bucket->piece_bytes + sizeof(struct part);
    bucket->send = calloc(bucket->size, bucket->each);
    bucket->receive = calloc(bucket->size, bucket->each);
    bucket->total = calloc(1, bucket->piece_bytes);
    bucket->totals = calloc(bucket->size, bucket->piece_bytes);
    if (!bucket->send || !bucket->receive || !bucket->total || !bucket->totals) {
        error_set_memory(error, "the gradients of all ranks");
        goto failed;
    }
    *out = bucket;
    return 0;
failed:
    bucket_destroy(bucket);
    return -1;
}

/* How many bytes of the block lie in a piece. */
static size_t piece_length(const struct bucket *bucket, uint32_t piece)
{
    size_t all = bucket->sums->value_count * bucket->value_size;
    size_t first = piece * bucket->piece_bytes;
    if (first >= all) return 0;
    return all - first < bucket->piece_bytes ? all - first : bucket->piece_bytes;
}

static void pack(struct bucket *bucket, const struct part *part)
{
    for (uint32_t r = 0; r < bucket->size; r++) {
        char *piece = bucket->send + r * bucket->each;
        memcpy(piece, (const char *)bucket->sums->values + r * bucket->piece_bytes,
               piece_length(bucket, r));
        memcpy(piece + bucket->piece_bytes, part, sizeof *part);
    }
}

static void unpack(struct bucket *bucket)
{
    for (uint32_t r = 0; r < bucket->size; r++)
        memcpy((char *)bucket->sums->values + r * bucket->piece_bytes,
               bucket->totals + r * bucket->piece_bytes, piece_length(bucket, r));
}

static void add_doubles(double *restrict total, const double *restrict piece, size_t count)
{
    for (size_t i = 0; i < count; i++) total[i] += piece[i];
}

static void add_floats(float *restrict total, const float *restrict piece, size_t count)
{
    for (size_t i = 0; i < count; i++) total[i] += piece[i];
}

/* The pieces that came, in rank order. */
static void add_up(struct bucket *bucket)
{
    void *total = bucket->total;
    memcpy(total, bucket->receive, bucket->piece_bytes);
    for (uint32_t r = 1; r < bucket->size; r++) {
        const void *piece = bucket->receive + r * bucket->each;
        if (bucket->dtype == DTYPE_FLOAT64)
            add_doubles(total, piece, bucket->piece_values);
        else
            add_floats(total, piece, bucket->piece_values);
    }
}

static void add_parts(const struct bucket *bucket, struct part *out)
{
    *out = (struct part){0};
    for (uint32_t r = 0; r < bucket->size; r++) {
        struct part part;
        memcpy(&part, bucket->receive + r * bucket->each + bucket->piece_bytes, sizeof part);
        out->loss += part.loss;
        out->correct += part.correct;
        /* the first that failed, counted from 1 */
        if (part.failed != 0 && out->failed == 0) out->failed = r + 1;
    }
}

/* This rank's part of a batch; a batch may have fewer samples than there are ranks. */
static void compute_part(struct bucket *bucket, const uint32_t *batch, size_t count,
                         struct part *part, struct error *error)
{
    size_t rank = ranks_rank(bucket->ranks);
    size_t first = count * rank / bucket->size, end = count * (rank + 1) / bucket->size;
    uint32_t correct = 0;
    *part = (struct part){.failed = bucket->broken};
    if (first == end || bucket->broken) {
        memset(bucket->sums->values, 0, bucket->sums->value_count * bucket->value_size);
        return;
    }
    if (engine_gradients(bucket->inner, batch + first, end - first, bucket->sums, &part->loss,
                         &correct, error))
        part->failed = 1;
    part->correct = correct;
}

static int train_step(struct bucket *bucket, const uint32_t *batch, size_t count,
                      const double *rate, struct part *total, struct error *error)
{
    struct part part;
    compute_part(bucket, batch, count, &part, error);
    pack(bucket, &part);
    /* a failure of one's own is what is told */
    struct error ignored, *told = part.failed != 0 ? &ignored : error;
    if (ranks_exchange(bucket->ranks, bucket->send, bucket->receive, bucket->each, told)) return -1;
    add_parts(bucket, total);
    if (part.failed != 0) return -1;
    if (total->failed != 0)
        return error_set(error, ERROR_FAILED,
                         "rank %u could not compute its part of the batch: see what it printed",
                         (uint32_t)total->failed - 1);
    add_up(bucket);
    if (ranks_gather(bucket->ranks, bucket->total, bucket->totals, bucket->piece_bytes, error))
        return -1;
    unpack(bucket);
    return engine_apply(bucket->inner, bucket->sums, count, rate, error);
}

int bucket_train(struct bucket *bucket, const uint32_t *order, size_t count, const double *rates,
                 double *losses, uint32_t *correct, struct error *error)
{
    size_t batch = bucket->inner->config.batch_size;
    for (size_t first = 0, step = 0; first < count; first += batch, step++) {
        struct part total;
        size_t samples = count - first < batch ? count - first : batch;
        const double *rate = rates ? &rates[step] : NULL;
        if (train_step(bucket, order + first, samples, rate, &total, error)) return -1;
        if (losses) losses[step] = total.loss / (double)samples;
        if (correct) correct[step] = (uint32_t)total.correct;
    }
    return 0;
}
