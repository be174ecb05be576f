/* One batch, computed by all: each rank the gradients of its part, every sum in rank order.
 *
 * The gradients of all tensors lie in one block ("bucket"), which is cut into as many pieces as
 * there are ranks. Rank r gets everyone's piece r and adds them up in rank order, then all gather
 * the sums: every value travels twice, whatever the number of ranks, and every sum is made once. A
 * part's loss and its number of correct samples travel with its gradients.
 *
 * Batch normalization needs sums over the whole batch in between: these few are gathered by all,
 * who add them up in rank order. A rank that fails says so in the next of them, so that none waits
 * for it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ranks/ranks_impl.h"

/* Behind every piece. */
struct bucket_tail {
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
    struct loss_table *loss;                      /* NULL: plain */
    /* What batch normalization asks for in a step: how many sums each time. */
    size_t calls[3 * NETWORK_MAX_LAYERS];
    uint32_t call_count, call;  /* the next of them */
    double *mine, *all;         /* [most sums + 1], and the same of all ranks */
    bool told;                  /* some rank has failed in this step, and all know */
    struct parameters *own;     /* the statistics of a batch, which are not added up */
    struct parameters *weights; /* where layers have an l1 or l2; else NULL */
};

void bucket_destroy(struct bucket *bucket)
{
    if (!bucket) return;
    parameters_destroy(bucket->sums);
    parameters_destroy(bucket->own);
    parameters_destroy(bucket->weights);
    loss_table_destroy(bucket->loss);
    free(bucket->mine);
    free(bucket->all);
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

/* engine/part.h says in which order. */
static int list_calls(struct bucket *bucket, struct error *error)
{
    const struct network *network = &bucket->inner->config.network;
    size_t most = 0;
    for (uint32_t i = 0; i < network->layer_count; i++) {
        if (network->layers[i].type != LAYER_BATCHNORM) continue;
        size_t channels = network->layers[i].input.sizes[0];
        bucket->calls[bucket->call_count++] = channels;
        bucket->calls[bucket->call_count++] = channels;
        if (2 * channels > most) most = 2 * channels;
    }
    for (uint32_t i = network->layer_count; i-- > 0;)
        if (network->layers[i].type == LAYER_BATCHNORM)
            bucket->calls[bucket->call_count++] = 2 * (size_t)network->layers[i].input.sizes[0];
    if (!bucket->call_count) return 0;
    bucket->mine = calloc(most + 1, sizeof *bucket->mine);
    bucket->all = calloc((most + 1) * bucket->size, sizeof *bucket->all);
    if (!bucket->mine || !bucket->all) return error_set_memory(error, "the sums of all ranks");
    return parameters_create(network, bucket->dtype, &bucket->own, error);
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
    const struct network *network = &inner->config.network;
    if (parameters_create(network, bucket->dtype, &bucket->sums, error) ||
        (network_is_penalized(network) &&
         parameters_create(network, bucket->dtype, &bucket->weights, error)) ||
        list_calls(bucket, error) ||
        loss_table_create(&inner->config.loss, inner->config.optimizer.meaning,
                          network_classes(network), &bucket->loss, error))
        goto failed;
    bucket->piece_values = (bucket->sums->value_count + bucket->size - 1) / bucket->size;
    /* doubles follow a piece */
    bucket->piece_values += bucket->piece_values % 2;
    bucket->piece_bytes = bucket->piece_values * bucket->value_size;
    bucket->each = bucket->piece_bytes + sizeof(struct bucket_tail);
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

static void pack(struct bucket *bucket, const struct bucket_tail *part)
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

static void add_parts(const struct bucket *bucket, struct bucket_tail *out)
{
    *out = (struct bucket_tail){0};
    for (uint32_t r = 0; r < bucket->size; r++) {
        struct bucket_tail part;
        memcpy(&part, bucket->receive + r * bucket->each + bucket->piece_bytes, sizeof part);
        out->loss += part.loss;
        out->correct += part.correct;
        /* the first that failed, counted from 1 */
        if (part.failed != 0 && out->failed == 0) out->failed = r + 1;
    }
}

/* The statistics of a batch, which every rank has whole: from `from` to `to`. */
static void keep_statistics(const struct parameters *from, struct parameters *to)
{
    for (size_t t = 0; t < from->tensor_count; t++)
        if (!tensor_role_is_trained(from->tensors[t].role))
            memcpy(to->tensors[t].values, from->tensors[t].values,
                   from->tensors[t].count * dtype_size(from->dtype));
}

/* values[count] of all ranks, added up in rank order; NULL: this rank has failed. */
static int share_sums(struct bucket *bucket, double *values, size_t count, struct error *error)
{
    size_t each = count + 1;
    if (values) memcpy(bucket->mine, values, count * sizeof *values);
    bucket->mine[count] = values ? 0 : 1;
    if (ranks_gather(bucket->ranks, bucket->mine, bucket->all, each * sizeof *bucket->all, error))
        return -1;
    for (uint32_t r = 0; r < bucket->size; r++)
        if (bucket->all[r * each + count] != 0) bucket->told = true;
    if (bucket->told)
        return error_set(error, ERROR_FAILED, "another rank could not compute its part");
    for (size_t i = 0; values && i < count; i++) {
        values[i] = bucket->all[i];
        for (uint32_t r = 1; r < bucket->size; r++) values[i] += bucket->all[r * each + i];
    }
    return 0;
}

static int add_sums(void *context, double *values, size_t count, struct error *error)
{
    struct bucket *bucket = context;
    CHECK(bucket->call < bucket->call_count && bucket->calls[bucket->call] == count);
    bucket->call++;
    return share_sums(bucket, values, count, error);
}

/* The others wait for sums of this rank, which cannot give any. */
static void tell_failure(struct bucket *bucket)
{
    struct error ignored;
    if (bucket->told || bucket->call == bucket->call_count) return;
    share_sums(bucket, NULL, bucket->calls[bucket->call], &ignored);
}

/* This rank's part of a batch; a batch may have fewer samples than there are ranks. */
static void compute_part(struct bucket *bucket, const uint32_t *batch, size_t count,
                         struct bucket_tail *part, struct error *error)
{
    size_t rank = ranks_rank(bucket->ranks);
    size_t first = count * rank / bucket->size, end = count * (rank + 1) / bucket->size;
    uint32_t correct = 0;
    const struct engine_part place = {
        .first = first, .whole = count, .add = add_sums, .context = bucket};
    int status = bucket->broken ? -1 : 0;
    *part = (struct bucket_tail){0};
    bucket->call = 0;
    bucket->told = false;
    if (!status && first == end)
        status = engine_part_skip(&place, &bucket->inner->config.network, bucket->sums, error);
    else if (!status)
        status = engine_gradients(bucket->inner, &place, batch + first, end - first, bucket->sums,
                                  &part->loss, &correct, error);
    part->correct = correct;
    /* when another has failed, it says so itself */
    part->failed = status && !bucket->told;
    if (status) tell_failure(bucket);
}

/* What belongs to the batch as a whole: its layers' l1 and l2, the same on every rank. */
static int add_penalty(struct bucket *bucket, double divisor, double *loss, struct error *error)
{
    const struct network *network = &bucket->inner->config.network;
    if (!bucket->weights) return 0;
    if (engine_get_parameters(bucket->inner, bucket->weights, error)) return -1;
    *loss += divisor * parameters_penalty(bucket->weights, network);
    parameters_add_penalty(bucket->weights, network, divisor, bucket->sums);
    return 0;
}

static int train_step(struct bucket *bucket, const uint32_t *batch, size_t count, double divisor,
                      const double *rate, struct bucket_tail *total, struct error *error)
{
    struct bucket_tail part;
    compute_part(bucket, batch, count, &part, error);
    if (bucket->own) keep_statistics(bucket->sums, bucket->own);
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
    if (bucket->own) keep_statistics(bucket->own, bucket->sums);
    if (add_penalty(bucket, divisor, &total->loss, error)) return -1;
    return engine_apply(bucket->inner, bucket->sums, divisor, rate, error);
}

int bucket_train(struct bucket *bucket, const uint32_t *order, size_t count, const double *rates,
                 double *losses, uint32_t *correct, struct error *error)
{
    size_t batch = bucket->inner->config.batch_size;
    for (size_t first = 0, step = 0; first < count; first += batch, step++) {
        struct bucket_tail total;
        size_t samples = count - first < batch ? count - first : batch;
        const double *rate = rates ? &rates[step] : NULL;
        double divisor = loss_divisor(bucket->loss, bucket->inner->split->labels, order + first,
                                      samples);
        if (train_step(bucket, order + first, samples, divisor, rate, &total, error)) return -1;
        if (losses) losses[step] = total.loss / divisor;
        if (correct) correct[step] = (uint32_t)total.correct;
    }
    return 0;
}
