/* How long the native engine's training takes, and nothing else:
 *   native_step DATA-SET DATA-FOLDER [batch [threads [optimizer [dtype [hidden …]]]]]
 * Prints the quickest of ten epochs, and what an epoch would take at the pace of the quickest tenth
 * of its chunks: what the machine's other work did not disturb. Hidden widths default to 128. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "train/fit.h"

#define EPOCHS 10
#define CHUNKS 20 /* an epoch */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Trains over order[0 … count) in chunks of whole batches; their seconds per sample go to paces[0 …
 * CHUNKS). */
static int train_chunks(struct engine *engine, const uint32_t *order, size_t count, size_t batch,
                        double *losses, uint32_t *correct, double *paces, struct error *error)
{
    size_t steps = (count + batch - 1) / batch;
    for (size_t chunk = 0; chunk < CHUNKS; chunk++) {
        size_t first = steps * chunk / CHUNKS, last = steps * (chunk + 1) / CHUNKS;
        size_t from = first * batch, to = last * batch < count ? last * batch : count;
        double start = clock_monotonic();
        if (first == last) continue;
        if (engine_train(engine, order + from, to - from, losses + first, correct + first, error))
            return -1;
        paces[chunk] = (clock_monotonic() - start) / (double)(to - from);
    }
    return 0;
}

static int measure(struct engine *engine, struct dataset *dataset, size_t batch,
                   struct error *error)
{
    size_t count = dataset->train.count, steps = (count + batch - 1) / batch;
    uint32_t *order = calloc(count, sizeof *order), *correct = calloc(steps, sizeof *correct);
    double *losses = calloc(steps, sizeof *losses), best = 1e9, paces[EPOCHS * CHUNKS] = {0},
           from = clock_monotonic();
    int result = -1;
    if (!order || !losses || !correct) goto out;
    if (engine_attach(engine, &dataset->train, error)) goto out;
    printf("attach %.1f ms\n", 1e3 * (clock_monotonic() - from));
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        double loss = 0, right = 0;
        fit_order(1, epoch, order, count);
        from = clock_monotonic();
        if (train_chunks(engine, order, count, batch, losses, correct, paces + epoch * CHUNKS,
                         error))
            goto out;
        double seconds = clock_monotonic() - from;
        for (size_t i = 0; i < steps; i++) loss += losses[i], right += correct[i];
        if (seconds < best) best = seconds;
        if (epoch == 0 || epoch + 1 == EPOCHS)
            printf("epoch %u: loss %.6f, accuracy %.4f, %.1f ms\n", epoch + 1, loss / (double)steps,
                   right / (double)count, 1e3 * seconds);
    }
    qsort(paces, EPOCHS * CHUNKS, sizeof *paces, ascending);
    printf("undisturbed %.1f ms, %.0f ns per sample; ",
           1e3 * paces[EPOCHS * CHUNKS / 10] * (double)count, 1e9 * paces[EPOCHS * CHUNKS / 10]);
    printf("best %.1f ms, %.0f ns per sample, %.0f samples/s, peak %.0f MB\n", 1e3 * best,
           1e9 * best / (double)count, (double)count / best, (double)clock_peak_rss() / 1e6);
    from = clock_monotonic();
    double *logits = calloc(dataset->test.count, dataset->classes * sizeof *logits);
    if (!logits || engine_forward(engine, dataset->test.pixels, dataset->test.count, logits, error))
        goto out;
    printf("forward of %zu: %.1f ms\n", dataset->test.count, 1e3 * (clock_monotonic() - from));
    free(logits);
    result = 0;
out:
    free(order);
    free(correct);
    free(losses);
    return result;
}

int main(int argc, char **argv)
{
    struct error error = {0};
    struct dataset *dataset = NULL;
    struct engine *engine = NULL;
    struct parameters *start = NULL;
    const struct engine_ops *ops;
    struct engine_config config = {0};
    uint32_t hidden[8] = {128}, depth = 1;
    if (argc < 3)
        return fprintf(stderr, "usage: native_step DATA-SET DATA-FOLDER [batch [threads [optimizer "
                               "[dtype [hidden …]]]]]\n"),
               2;
    config.batch_size = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 32;
    config.threads = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 1;
    for (int i = 7; i < argc && i < 15; i++)
        hidden[depth = (uint32_t)i - 6, i - 7] = (uint32_t)strtoul(argv[i], NULL, 10);
    struct dataset_options options = {.data_dir = argv[2]};
    double from = clock_monotonic();
    if (engine_need("native", &ops, &error) || dataset_open(argv[1], &options, &dataset, &error) ||
        optimizer_init(&config.optimizer, argc > 5 ? argv[5] : "sgd", &error) ||
        dtype_parse(argc > 6 ? argv[6] : "float32", &config.dtype, &error) ||
        network_build(&config.network, dataset->rows, dataset->columns, hidden, depth,
                      ACTIVATION_RELU, dataset->classes, &error) ||
        parameters_create(&config.network, config.dtype, &start, &error))
        goto failed;
    printf("data %.1f ms\n", 1e3 * (clock_monotonic() - from));
    parameters_draw(start, &config.network, INIT_TORCH, 1);
    from = clock_monotonic();
    if (engine_open(ops, &config, &engine, &error) || engine_set_parameters(engine, start, &error))
        goto failed;
    printf("open %.1f ms\n", 1e3 * (clock_monotonic() - from));
    if (measure(engine, dataset, config.batch_size, &error)) goto failed;
    engine_close(engine);
    parameters_destroy(start);
    dataset_close(dataset);
    return 0;
failed:
    return fprintf(stderr, "native_step: %s\n", error.message), 1;
}
