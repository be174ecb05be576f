/* Networks nobody chose: drawn from a seed over all layer types, odd sizes, strides, paddings,
 * groups, dropout and both normalizations, then trained by every engine that is here, in float64.
 * Every step's loss and the logits afterwards must be the same.
 *
 * NNSTUDIO_RANDOM_NETWORKS=COUNT draws so many, trains them for two epochs on 6,000 pictures of
 * MNIST (from NNSTUDIO_TEST_DATA), the presets too, and takes minutes; NNSTUDIO_RANDOM_SEED=N
 * begins elsewhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "net/compact.h"

enum {
    SHORT_COUNT = 30,
    SHORT_SAMPLES = 45, /* the last batch is short */
    LONG_SAMPLES = 6000,
    CLASSES = 10,
    BATCH = 8,
    LONG_BATCH = 32,
    EPOCHS = 2,
    LOGIT_SAMPLES = 40,
    MOST_NETWORKS = 512
};

static struct {
    struct network networks[MOST_NETWORKS];
    double tolerance[MOST_NETWORKS]; /* of a loss */
    size_t count, samples, batch;
    size_t presets; /* the first so many */
    bool real;      /* MNIST */
    struct split gray, color;
    uint32_t *order;
} trials;

/* ---- drawing a network ---- */

static uint32_t between(struct rng *rng, uint32_t low, uint32_t high)
{
    return low + (uint32_t)rng_below(rng, high - low + 1);
}

static void draw_activation(struct rng *rng, struct layer *layer)
{
    layer->activation = rng_below(rng, 2) ? ACTIVATION_NONE
                                          : (enum activation)between(rng, 1, ACTIVATION_COUNT - 1);
    layer->slope = activation_usual_slope(layer->activation);
}

static void draw_padding(struct rng *rng, struct layer *layer)
{
    uint32_t kind = between(rng, 0, 2);
    layer->same = kind == 1;
    for (int side = 0; kind == 2 && side < PAD_SIDES; side++)
        layer->padding[side] = between(rng, 0, layer->kernel[side / 2] / 2);
}

/* A divisor of both, often a large one: groups. */
static uint32_t draw_groups(struct rng *rng, uint32_t channels)
{
    uint32_t groups = rng_below(rng, 2) ? channels : between(rng, 1, channels);
    while (channels % groups) groups--;
    return groups;
}

static void draw_window(struct rng *rng, struct layer *layer, uint32_t most, uint32_t stride)
{
    for (int axis = 0; axis < 2; axis++) {
        layer->kernel[axis] = between(rng, 1, most);
        layer->stride[axis] = between(rng, 1, stride);
    }
    draw_padding(rng, layer);
}

static void draw_conv(struct rng *rng, const struct shape *input, struct layer *layer)
{
    layer_init(layer, LAYER_CONV2D);
    draw_window(rng, layer, 4, 2);
    layer->groups = rng_below(rng, 3) ? 1 : draw_groups(rng, input->sizes[0]);
    layer->filters = layer->groups * between(rng, 1, layer->groups > 2 ? 2 : 6);
    bool strided = layer->stride[0] > 1 || layer->stride[1] > 1;
    for (int axis = 0; axis < 2; axis++) layer->dilation[axis] = strided ? 1 : between(rng, 1, 2);
    layer->without_bias = rng_below(rng, 4) == 0;
}

static void draw_layer(struct rng *rng, const struct shape *input, struct layer *layer)
{
    static const enum layer_type on_maps[] = {LAYER_CONV2D,    LAYER_CONV2D,    LAYER_CONV2D,
                                              LAYER_MAXPOOL2D, LAYER_AVGPOOL2D, LAYER_BATCHNORM,
                                              LAYER_LAYERNORM, LAYER_DROPOUT,   LAYER_ACTIVATION};
    static const enum layer_type on_lists[] = {LAYER_DENSE,   LAYER_DENSE,      LAYER_BATCHNORM,
                                               LAYER_DROPOUT, LAYER_ACTIVATION, LAYER_LAYERNORM};
    enum layer_type type = input->rank == 3
                               ? on_maps[rng_below(rng, sizeof on_maps / sizeof *on_maps)]
                               : on_lists[rng_below(rng, sizeof on_lists / sizeof *on_lists)];
    layer_init(layer, type);
    if (type == LAYER_CONV2D) draw_conv(rng, input, layer);
    if (type == LAYER_MAXPOOL2D || type == LAYER_AVGPOOL2D) draw_window(rng, layer, 3, 3);
    if (type == LAYER_DENSE) layer->units = between(rng, 3, 17);
    if (type == LAYER_DROPOUT) layer->rate = between(rng, 1, 5) / 10.0;
    draw_activation(rng, layer);
    while (type == LAYER_ACTIVATION && layer->activation == ACTIVATION_NONE)
        draw_activation(rng, layer);
}

/* The network with `layer` and what makes it whole behind it; false: it cannot be. */
static bool fits(const struct network *network, const struct layer *layer)
{
    struct network whole = *network;
    struct error ignored;
    whole.layers[whole.layer_count++] = *layer;
    layer_init(&whole.layers[whole.layer_count++], LAYER_FLATTEN);
    struct layer *last = &whole.layers[whole.layer_count++];
    layer_init(last, LAYER_DENSE);
    last->units = CLASSES;
    return network_finish(&whole, &ignored) == 0 && network_parameter_count(&whole) < 60000;
}

static struct shape shape_behind(const struct network *network)
{
    struct network whole = *network;
    struct error error;
    layer_init(&whole.layers[whole.layer_count++], LAYER_FLATTEN);
    struct layer *last = &whole.layers[whole.layer_count++];
    layer_init(last, LAYER_DENSE);
    last->units = CLASSES;
    if (network_finish(&whole, &error)) fail_msg("%s", error.message);
    return whole.layers[network->layer_count].input;
}

static void add(struct network *network, enum layer_type type)
{
    struct layer *layer = &network->layers[network->layer_count++];
    layer_init(layer, type);
    if (type == LAYER_DENSE) layer->units = CLASSES;
}

static void draw_front(struct rng *rng, struct network *network)
{
    struct layer *layer = &network->layers[0];
    if (rng_below(rng, 3)) return;
    bool rescale = rng_below(rng, 2);
    add(network, rescale ? LAYER_RESCALE : LAYER_NORMALIZE);
    layer->scale = 1.5;
    layer->offset = -0.25;
    for (int c = 0; c < 3 && !rescale; c++) {
        layer->mean[c] = 0.1 * (c + 1);
        layer->std[c] = 0.3 + 0.1 * c;
    }
}

static void draw_some(struct rng *rng, struct network *network, uint32_t wanted)
{
    for (uint32_t tries = 0; wanted && tries < 100; tries++) {
        struct shape input = shape_behind(network);
        struct layer layer;
        draw_layer(rng, &input, &layer);
        if (!fits(network, &layer)) continue;
        network->layers[network->layer_count++] = layer;
        wanted--;
    }
}

static struct network draw_network(uint64_t seed, uint64_t number)
{
    struct rng rng;
    struct error error;
    struct network network = {0};
    rng_seed(&rng, seed, RNG_TEST, number);
    network.rows = trials.real ? 28 : 2 * between(&rng, 3, 6) + 1;
    network.columns = trials.real ? 28 : between(&rng, 7, 12);
    network.channels = trials.real || rng_below(&rng, 2) ? 1 : 3;
    draw_front(&rng, &network);
    draw_some(&rng, &network, between(&rng, 1, 5));
    add(&network, rng_below(&rng, 4) ? LAYER_FLATTEN : LAYER_GLOBALAVGPOOL);
    draw_some(&rng, &network, between(&rng, 0, 3));
    add(&network, LAYER_DENSE);
    if (network_finish(&network, &error)) fail_msg("network %d: %s", (int)number, error.message);
    return network;
}

static bool normalizes_batches(const struct network *network)
{
    for (uint32_t i = 0; i < network->layer_count; i++)
        if (network->layers[i].type == LAYER_BATCHNORM) return true;
    return false;
}

/* ---- what they are trained on ---- */

static void draw_split(struct rng *rng, struct split *split, size_t inputs)
{
    split->count = trials.samples;
    split->pixels = calloc(trials.samples, inputs);
    split->labels = calloc(trials.samples, 1);
    assert_true(split->pixels && split->labels);
    for (size_t i = 0; i < trials.samples * inputs; i++)
        split->pixels[i] = rng_below(rng, 3) ? (uint8_t)rng_below(rng, 256) : 0;
    for (size_t i = 0; i < trials.samples; i++) split->labels[i] = (uint8_t)rng_below(rng, CLASSES);
}

static int open_mnist(void)
{
    static struct dataset *dataset;
    const struct dataset_options options = {.data_dir = getenv("NNSTUDIO_TEST_DATA"),
                                            .limit = LONG_SAMPLES};
    struct error error;
    if (dataset_open("mnist", &options, &dataset, &error)) {
        print_error("%s\n", error.message);
        return -1;
    }
    trials.gray = dataset->train;
    return 0;
}

static void add_presets(void)
{
    for (size_t i = 0; i < preset_count; i++) {
        struct network *network = &trials.networks[trials.count];
        struct error error;
        *network = (struct network){.rows = 28, .columns = 28, .channels = 1};
        if (network_parse(preset_table[i].name, network, &error))
            fail_msg("%s: %s", preset_table[i].name, error.message);
        trials.tolerance[trials.count++] = normalizes_batches(network) ? 1e-10 : 1e-12;
    }
    trials.presets = trials.count;
}

static int prepare(void)
{
    const char *count = getenv("NNSTUDIO_RANDOM_NETWORKS"), *seed = getenv("NNSTUDIO_RANDOM_SEED");
    size_t wanted = count ? strtoul(count, NULL, 10) : SHORT_COUNT;
    struct rng rng;
    rng_seed(&rng, 17, RNG_TEST, 0);
    trials.real = count != NULL;
    trials.samples = count ? LONG_SAMPLES : SHORT_SAMPLES;
    trials.batch = count ? LONG_BATCH : BATCH;
    if (trials.real && open_mnist()) return -1;
    if (!trials.real) {
        draw_split(&rng, &trials.gray, 13 * 12);
        draw_split(&rng, &trials.color, 3 * 13 * 12);
    }
    trials.order = calloc(trials.samples, sizeof *trials.order);
    if (!trials.order) return -1;
    rng_permutation(&rng, trials.order, (uint32_t)trials.samples);
    if (trials.real) add_presets();
    for (size_t i = 0; i < wanted && trials.count < MOST_NETWORKS; i++) {
        trials.networks[trials.count] = draw_network(seed ? strtoul(seed, NULL, 10) : 1, i);
        trials.tolerance[trials.count++] = 1e-10;
    }
    return 0;
}

/* A value per code that no sum of others is. Whole numbers of 255ths are: a layer normalization of
 * the picture may then give a value that is 0 but for rounding, where the derivatives of relu and
 * its like depend on its sign. */
static void draw_values(struct preprocess *preprocess)
{
    preprocess->custom = true;
    for (int code = 0; code < 256; code++)
        preprocess->values[code] = code / 255.0 + 1e-3 * sin(code * 12.9898);
}

/* Initial values, all moved a little: a bias of exactly zero behind a normalization is such a
 * value, too. */
static void draw_parameters(struct parameters *parameters, const struct network *network,
                            size_t number)
{
    struct rng rng;
    rng_seed(&rng, number, RNG_TEST, 1);
    parameters_draw(parameters, network, number % 2 ? INIT_KERAS : INIT_TORCH, number);
    for (size_t k = 0; k < parameters->tensor_count && number >= trials.presets; k++) {
        struct tensor *tensor = &parameters->tensors[k];
        for (size_t i = 0; i < tensor->count && tensor_role_is_trained(tensor->role); i++)
            tensor_set(parameters, tensor, i,
                       tensor_get(parameters, tensor, i) + between(&rng, 1, 1000) * 1e-4 - 0.05);
    }
}

/* Moves the last bit of every second trained value. */
static void nudge(struct parameters *parameters)
{
    for (size_t k = 0; k < parameters->tensor_count; k++) {
        struct tensor *tensor = &parameters->tensors[k];
        for (size_t i = 0; i < tensor->count && tensor_role_is_trained(tensor->role); i += 2)
            tensor_set(parameters, tensor, i, nextafter(tensor_get(parameters, tensor, i), 1e9));
    }
}

/* ---- one engine, in its own process ---- */

static int run_network(const struct engine_ops *ops, size_t number, bool nudged, FILE *out,
                       struct error *error)
{
    const struct network *network = &trials.networks[number];
    size_t steps = (trials.samples + trials.batch - 1) / trials.batch;
    double *losses = calloc(EPOCHS * steps, sizeof *losses), logits[LOGIT_SAMPLES * CLASSES];
    struct parameters *parameters = NULL;
    struct engine *engine = NULL;
    struct engine_config config = {.network = *network,
                                   .dtype = DTYPE_FLOAT64,
                                   .batch_size = (uint32_t)trials.batch,
                                   .threads = 1,
                                   .seed = 40 + number};
    /* pictures smaller than those that were drawn have the first of their pixels */
    struct split split = network->channels == 3 ? trials.color : trials.gray;
    int status = -1;
    if (!losses || optimizer_init(&config.optimizer, "sgd", error)) goto out;
    if (number >= trials.presets) draw_values(&config.preprocess);
    config.optimizer.learning_rate = 0.02;
    config.optimizer.momentum = number % 2 ? 0.9 : 0;
    config.optimizer.weight_decay = number % 3 ? 0 : 1e-4;
    if (engine_open(ops, &config, &engine, error) || engine_attach(engine, &split, error) ||
        parameters_create(network, DTYPE_FLOAT64, &parameters, error))
        goto out;
    draw_parameters(parameters, network, number);
    if (nudged) nudge(parameters);
    if (engine_set_parameters(engine, parameters, error)) goto out;
    for (size_t epoch = 0; epoch < EPOCHS; epoch++)
        if (engine_train(engine, trials.order, trials.samples, losses + epoch * steps, NULL, error))
            goto out;
    if (engine_forward(engine, split.pixels, LOGIT_SAMPLES, logits, error)) goto out;
    fwrite(losses, sizeof *losses, EPOCHS * steps, out);
    fwrite(logits, sizeof *logits, sizeof logits / sizeof *logits, out);
    status = 0;
out:
    engine_close(engine);
    parameters_destroy(parameters);
    free(losses);
    return status;
}

static void describe(size_t number, struct buffer *text)
{
    const struct network *network = &trials.networks[number];
    buffer_printf(text, "network %zu, %u x %u x %u: ", number, network->rows, network->columns,
                  network->channels);
    network_to_compact(network, text);
}

static int run_engine(const struct engine_ops *ops, FILE *out)
{
    for (size_t i = 0; i < trials.count; i++) {
        struct error error = {0};
        struct buffer text;
        buffer_init(&text, 1 << 16);
        if (run_network(ops, i, false, out, &error) == 0) continue;
        describe(i, &text);
        fprintf(stderr, "%s, %s: %s\n", ops->id, text.data, error.message);
        return 1;
    }
    return fflush(out) ? 1 : 0;
}

/* ---- all of them, compared ---- */

static double largest_difference(const double *a, const double *b, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs(a[i] - b[i]) / fmax(1, fabs(a[i]));
        if (!(d <= most)) most = d;
    }
    return most;
}

static double *read_all(FILE *in, size_t count)
{
    double *values = calloc(count, sizeof *values);
    rewind(in);
    assert_non_null(values);
    assert_int_equal(fread(values, sizeof *values, count, in), count);
    fclose(in);
    return values;
}

/* How far the engine parts from its own `losses` when the last bits of the initial values move: a
 * network whose rounding grows so much has no better answer. */
static double own_noise(const struct engine_ops *ops, size_t number, const double *losses,
                        size_t count)
{
    FILE *out = tmpfile();
    int status = -1;
    struct error error;
    assert_non_null(out);
    pid_t child = fork();
    if (child == 0) _exit(run_network(ops, number, true, out, &error) || fflush(out) ? 1 : 0);
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    double *nudged = read_all(out, count), noise = largest_difference(losses, nudged, count);
    free(nudged);
    return noise;
}

/* How many networks differ too much. Constant pixels behind two batch normalizations, for one, are
 * rounding divided by the root of epsilon, twice: there the difference may be what `ops` itself
 * makes of a last bit. */
static unsigned compare(const struct engine_ops *ops, const double *x, const char *b,
                        const double *y)
{
    size_t losses = EPOCHS * ((trials.samples + trials.batch - 1) / trials.batch),
           each = losses + LOGIT_SAMPLES * CLASSES;
    unsigned different = 0;
    for (size_t i = 0; i < trials.count; i++, x += each, y += each) {
        double loss = largest_difference(x, y, losses),
               logits = largest_difference(x + losses, y + losses, each - losses);
        bool good = loss <= trials.tolerance[i] && logits <= 1e-8;
        if (good && !trials.real) continue;
        double noise = good || !trials.real ? 0 : own_noise(ops, i, x, losses);
        good = good || loss <= 10 * noise;
        struct buffer text;
        buffer_init(&text, 1 << 16);
        describe(i, &text);
        print_message("%s and %s: losses differ by %.2g, logits by %.2g: %s%s\n", ops->title, b,
                      loss, logits, text.data, good ? "" : "  TOO MUCH");
        if (noise > 0)
            print_message("  %s parts from itself by %.2g when last bits of its start move\n",
                          ops->title, noise);
        buffer_free(&text);
        different += !good;
    }
    return different;
}

static void drawn_networks_train_alike(void **state)
{
    size_t steps = (trials.samples + trials.batch - 1) / trials.batch;
    size_t count = trials.count * (EPOCHS * steps + LOGIT_SAMPLES * CLASSES);
    unsigned different = 0;
    double *first = NULL;
    const struct engine_ops *reference = NULL;
    (void)state;
    for (size_t e = 0; e < engine_table_count; e++) {
        struct engine_probe probe;
        int status = -1;
        engine_table[e]->probe(&probe);
        if (!probe.found) {
            print_message("without %s: %s\n", engine_table[e]->title, probe.missing);
            continue;
        }
        FILE *out = tmpfile();
        assert_non_null(out);
        pid_t child = fork();
        if (child == 0) _exit(run_engine(engine_table[e], out));
        assert_true(child > 0 && waitpid(child, &status, 0) == child);
        assert_int_equal(status, 0);
        double *values = read_all(out, count);
        if (first) {
            different += compare(reference, first, engine_table[e]->title, values);
            free(values);
        } else {
            first = values;
            reference = engine_table[e];
        }
    }
    free(first);
    assert_int_equal(different, 0);
}

/* What the draw is for: every type stands in some network, when there are enough of them. */
static void every_layer_type_is_drawn(void **state)
{
    size_t seen[LAYER_TYPE_COUNT] = {0}, activations[ACTIVATION_COUNT] = {0};
    size_t grouped = 0, padded = 0, strided = 0, dilated = 0;
    (void)state;
    if (trials.count - trials.presets < SHORT_COUNT) skip();
    for (size_t i = 0; i < trials.count; i++)
        for (uint32_t k = 0; k < trials.networks[i].layer_count; k++) {
            const struct layer *layer = &trials.networks[i].layers[k];
            seen[layer->type]++;
            activations[layer->activation]++;
            if (layer->type != LAYER_CONV2D) continue;
            grouped += layer->groups > 1;
            padded += layer->padding[PAD_TOP] != layer->padding[PAD_BOTTOM];
            strided += layer->stride[0] != layer->stride[1];
            dilated += layer->dilation[0] > 1;
        }
    for (int type = 0; type < LAYER_TYPE_COUNT; type++)
        if (!seen[type]) fail_msg("no %s was drawn", layer_kind((enum layer_type)type)->name);
    for (int a = 0; a < ACTIVATION_COUNT; a++)
        if (!activations[a]) fail_msg("no %s was drawn", activation_name((enum activation)a));
    assert_true(grouped && padded && strided && dilated);
}

static int prepare_all(void **state)
{
    (void)state;
    return prepare();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_type_is_drawn),
        cmocka_unit_test(drawn_networks_train_alike),
    };
    return cmocka_run_group_tests(tests, prepare_all, NULL);
}
