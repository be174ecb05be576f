/* How fast each kernel of the native engine is, one by one, on one thread:
 *   kernels DATA-FOLDER
 * NNSTUDIO_NATIVE_CPU chooses the kind of vector code. Prints its name, then a line a kernel:
 * name, tab, unit, tab, rate. The rate is that of the quickest burst, in the first caches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/rng.h"
#include "engine/native/plan.h"
#include "engine/native/samples.h"
#include "net/compact.h"
#include "train/fit.h"

#define ROWS    32
#define COLUMNS 128    /* of the first layer */
#define VALUES  32768  /* that an optimizer's kernel goes over */
#define BURST   0.0005 /* seconds */
#define TRIES   0.04   /* seconds for all bursts of a kernel */
#define BATCHES 20     /* of the first layer in a burst */

static const char *const network_text =
    "conv 16 5x5 relu, maxpool 2, conv 32 3x3 nobias, batchnorm "
    "relu, avgpool 2, flatten, dense 128 relu, dense 10";

struct bench {
    const struct native_kernels *kernels;
    struct dataset *dataset;
    struct team *team;
    struct rng rng;
};

static void *need(void *memory)
{
    if (memory) return memory;
    fprintf(stderr, "kernels: out of memory\n");
    exit(1);
}

/* Small numbers on a cache line of their own. */
static float *numbers(struct bench *bench, size_t count)
{
    float *out = need(aligned_alloc(NATIVE_LINE, (count * sizeof *out + 63) / 64 * 64));
    for (size_t i = 0; i < count; i++) out[i] = (float)rng_range(&bench->rng, 0, 0.1);
    return out;
}

static void say(const char *name, const char *unit, double rate)
{
    printf("%s\t%s\t%.4g\n", name, unit, rate);
}

typedef void work_fn(void *context);

/* Seconds a call, of the quickest burst. */
static double quickest(work_fn *work, void *context)
{
    double best = 1, begun = clock_monotonic(), now = begun;
    size_t calls = 1;
    while (now - begun < TRIES) {
        double start = clock_monotonic();
        for (size_t i = 0; i < calls; i++) work(context);
        now = clock_monotonic();
        double each = (now - start) / (double)calls;
        if (now - start < BURST)
            calls *= 2;
        else if (each < best)
            best = each;
    }
    return best;
}

/* ---- the first layer, on batches of real pictures as training draws them ---- */

struct first {
    struct samples lists;
    uint32_t *order;
    struct block block;
    float *weight, *slots[2], *sums, *delta, *bias;
    float table[256];
};

static void first_make(struct bench *bench, struct first *first)
{
    const struct native_kernels *kernels = bench->kernels;
    size_t inputs = dataset_inputs(bench->dataset), count = bench->dataset->train.count;
    struct error error;
    const struct pictures pictures = {bench->dataset->train.pixels, count, inputs, kernels->tuple,
                                      false};
    if (samples_create(&first->lists, &pictures, bench->team, &error)) need(NULL);
    first->order = need(calloc(count, sizeof *first->order));
    fit_order(1, 0, first->order, count);
    size_t tuples = first->lists.tuples, weights = tuples * kernels->tuple * COLUMNS;
    first->block.counts = need(calloc(tuples, sizeof *first->block.counts));
    first->block.entries = need(
        aligned_alloc(NATIVE_LINE, tuples * BLOCK_STRIDE * sizeof *first->block.entries));
    first->weight = numbers(bench, weights);
    first->slots[0] = numbers(bench, weights);
    first->slots[1] = numbers(bench, weights);
    first->sums = numbers(bench, ROWS * COLUMNS);
    first->delta = numbers(bench, ROWS * COLUMNS);
    first->bias = numbers(bench, COLUMNS);
    for (int i = 0; i < 256; i++) first->table[i] = (float)i / 255;
}

static void first_free(struct first *first)
{
    samples_free(&first->lists);
    free(first->order);
    free(first->block.counts);
    free(first->block.entries);
    free(first->weight);
    free(first->slots[0]);
    free(first->slots[1]);
    free(first->sums);
    free(first->delta);
    free(first->bias);
}

/* One batch; seconds of the three parts are added to `spent`, its entries to *entries. */
static void first_step(const struct bench *bench, struct first *first, size_t at, bool adam,
                       double spent[3], double *entries)
{
    const struct native_kernels *kernels = bench->kernels;
    size_t panel = kernels->panel, rows = first->lists.tuples * kernels->tuple;
    const uint32_t *order = first->order + at;
    const struct native_sparse block = {first->block.counts,
                                        first->block.entries,
                                        first->lists.tuples,
                                        ROWS,
                                        first->table,
                                        &first->lists,
                                        order,
                                        0};
    const struct native_update update = {
        .type = adam ? OPTIMIZER_ADAM : OPTIMIZER_SGD,
        .learning_rate = 1e-6,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .step_size = 1e-6,
        .root_scale = 1,
    };
    double t0 = clock_monotonic();
    samples_sort(&first->lists, order, 0, ROWS, ROWS, &first->block);
    double t1 = clock_monotonic();
    for (size_t from = 0; from < COLUMNS; from += panel) {
        const struct native_target weight = {
            .values = first->weight + rows * from, .stride = panel, .columns = panel};
        kernels->sparse_forward(&block, &weight, first->bias + from, first->sums + ROWS * from,
                                panel);
    }
    double t2 = clock_monotonic();
    for (size_t from = 0; from < COLUMNS; from += panel) {
        const struct native_target weight = {.values = first->weight + rows * from,
                                             .slots = {adam ? first->slots[0] + rows * from : NULL,
                                                       adam ? first->slots[1] + rows * from : NULL},
                                             .stride = panel,
                                             .columns = panel};
        const struct native_matrix delta = {first->delta + ROWS * from, panel};
        kernels->sparse_backward(&block, &delta, NULL, true, true, &weight, &update);
    }
    spent[0] += t1 - t0;
    spent[1] += t2 - t1;
    spent[2] += clock_monotonic() - t2;
    for (size_t s = 0; s < ROWS; s++)
        *entries += (double)(first->lists.start[order[s] + 1] - first->lists.start[order[s]]);
}

static void measure_first(struct bench *bench)
{
    struct first first;
    first_make(bench, &first);
    double best[2][3] = {{0}}, each = (double)bench->kernels->tuple * COLUMNS * 2;
    for (int adam = 0; adam < 2; adam++) {
        double begun = clock_monotonic();
        for (size_t at = 0; clock_monotonic() - begun < 4 * TRIES;) {
            double spent[3] = {0}, entries = 0;
            for (int i = 0; i < BATCHES; i++, at += ROWS) {
                if (at + ROWS > first.lists.count) at = 0;
                first_step(bench, &first, at, adam, spent, &entries);
            }
            for (int part = 0; part < 3; part++)
                if (entries / spent[part] > best[adam][part])
                    best[adam][part] = entries / spent[part];
        }
    }
    say("sort a batch of 32", "M entries/s", best[0][0] / 1e6);
    say("sparse forward, 784-128", "GFLOP/s", best[0][1] * each / 1e9);
    say("sparse backward with SGD", "GFLOP/s", best[0][2] * each / 1e9);
    say("sparse backward with Adam", "GFLOP/s", best[1][2] * each / 1e9);
    first_free(&first);
}

/* ---- dense products ---- */

struct product {
    const struct native_kernels *kernels;
    struct native_matrix rows, square;
    struct native_target target;
    struct native_update update;
    float *out, *bias;
    size_t side;
};

static void run_forward(void *context)
{
    const struct product *p = context;
    p->kernels->multiply_transposed(&p->rows, &p->square, p->bias, ROWS, p->side, p->side, p->out,
                                    p->side);
}

static void run_delta(void *context)
{
    const struct product *p = context;
    p->kernels->multiply(&p->rows, &p->square, ROWS, p->side, p->side, p->out, p->side);
}

static void run_update(void *context)
{
    const struct product *p = context;
    const struct native_matrix output = {p->out, p->side};
    p->kernels->multiply_update(&p->rows, &output, p->side, ROWS, &p->target, &p->update);
}

static void measure_products(struct bench *bench, size_t side)
{
    static const struct {
        const char *name;
        work_fn *work;
    } all[] = {{"x·Wᵀ", run_forward}, {"δ·W", run_delta}, {"δᵀ·x with SGD", run_update}};
    float *rows = numbers(bench, ROWS * side), *square = numbers(bench, side * side),
          *out = numbers(bench, ROWS * side), *bias = numbers(bench, side);
    struct product product = {
        .kernels = bench->kernels,
        .rows = {rows, side},
        .square = {square, side},
        .target = {.values = square, .stride = side, .columns = side},
        .update = {.type = OPTIMIZER_SGD, .learning_rate = 1e-9},
        .out = out,
        .bias = bias,
        .side = side,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char name[64];
        snprintf(name, sizeof name, "dense %zu × %zu, %s", side, side, all[i].name);
        say(name, "GFLOP/s", 2e-9 * ROWS * (double)(side * side) / quickest(all[i].work, &product));
    }
    free(rows);
    free(square);
    free(out);
    free(bias);
}

/* ---- optimizers, activations, the loss ---- */

struct lines {
    const struct native_kernels *kernels;
    float *tensors[2 + OPTIMIZER_MAX_SLOTS]; /* values, gradient, slots */
    struct optimizer optimizer;
    struct formula formula;
    double numbers[FORMULA_MAX_NUMBERS];
    struct native_update update;
    enum activation activation;
};

static void run_fused(void *context)
{
    const struct lines *l = context;
    bool adam = l->update.type == OPTIMIZER_ADAM, slot = adam || l->update.momentum > 0;
    const struct native_matrix gradient = {l->tensors[1], 0};
    const struct native_target target = {
        .values = l->tensors[0],
        .slots = {slot ? l->tensors[2] : NULL, adam ? l->tensors[3] : NULL},
        .columns = VALUES};
    l->kernels->bias_update(&gradient, 1, &target, &l->update);
}

static void run_formula(void *context)
{
    const struct lines *l = context;
    void *tensors[2 + OPTIMIZER_MAX_SLOTS];
    for (int i = 0; i < 2 + OPTIMIZER_MAX_SLOTS; i++) tensors[i] = l->tensors[i];
    l->kernels->formula(&l->formula, l->numbers, tensors, VALUES);
}

static void run_activation(void *context)
{
    const struct lines *l = context;
    l->kernels->activate(l->activation, l->tensors[0], COLUMNS, ROWS, COLUMNS);
}

static void run_softmax(void *context)
{
    const struct lines *l = context;
    static const uint8_t labels[ROWS];
    static const uint32_t order[ROWS];
    double losses[ROWS];
    uint8_t correct[ROWS];
    l->kernels->softmax(&(struct native_softmax){.logits = {l->tensors[1], 16},
                                                 .labels = labels,
                                                 .order = order,
                                                 .rows = ROWS,
                                                 .classes = 10,
                                                 .scale = 1,
                                                 .delta = l->tensors[0],
                                                 .delta_stride = 16,
                                                 .losses = losses,
                                                 .correct = correct});
}

static void measure_lines(struct bench *bench)
{
    static const struct {
        const char *name, *optimizer;
        double momentum;
    } all[] = {{"SGD, given the gradient", "sgd", 0},
               {"SGD with momentum", "sgd", 0.9},
               {"Adam", "adam", 0},
               {"RMSprop, by its formula", "rmsprop", 0}};
    struct lines lines = {.kernels = bench->kernels};
    struct error error;
    for (size_t i = 0; i < 2 + OPTIMIZER_MAX_SLOTS; i++) lines.tensors[i] = numbers(bench, VALUES);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        double kept[OPTIMIZER_MAX_NUMBERS] = {0};
        if (optimizer_init(&lines.optimizer, all[i].optimizer, &error)) need(NULL);
        lines.optimizer.learning_rate = 1e-9;
        lines.optimizer.momentum = all[i].momentum;
        bool fused = optimizer_fused(&lines.optimizer) != OPTIMIZER_NOT_FUSED;
        lines.update = native_update_of(&lines.optimizer, 1e-9, 1000);
        optimizer_formula(&lines.optimizer, &lines.formula);
        optimizer_numbers(&lines.optimizer, &lines.formula, 1e-9, 1000, kept, lines.numbers);
        say(all[i].name, "M values/s",
            1e-6 * VALUES / quickest(fused ? run_fused : run_formula, &lines));
    }
    say("softmax and loss, 10 classes", "M rows/s", 1e-6 * ROWS / quickest(run_softmax, &lines));
    lines.activation = ACTIVATION_RELU;
    say("relu", "M values/s", 1e-6 * ROWS * COLUMNS / quickest(run_activation, &lines));
    lines.activation = ACTIVATION_TANH;
    say("tanh", "M values/s", 1e-6 * ROWS * COLUMNS / quickest(run_activation, &lines));
    for (size_t i = 0; i < 2 + OPTIMIZER_MAX_SLOTS; i++) free(lines.tensors[i]);
}

/* ---- plans: every operation of a network ---- */

struct operation {
    const struct plan_op *op;
    const struct plan_kind *kind;
    struct plan_batch batch;
};

static void op_forward(void *context)
{
    const struct operation *o = context;
    o->kind->forward(o->op, &o->batch, 1, 0, o->kind->items(o->op, &o->batch, 1));
}

static void op_backward(void *context)
{
    const struct operation *o = context;
    o->kind->backward(o->op, &o->batch, 1, 0, o->kind->backward_items(o->op, &o->batch, 1));
}

static void op_gradient(void *context)
{
    const struct operation *o = context;
    o->kind->gradient(o->op, &o->batch, 0, o->kind->gradient_items(o->op));
}

/* Multiplications where the layer has some, else the values of its larger side. */
static void measure_pass(struct operation *operation, const char *pass, work_fn *work)
{
    struct buffer words;
    char name[128];
    const struct plan_op *op = operation->op;
    double adds = (double)layer_multiply_adds(op->layer),
           values = (double)op->in->channels * op->in->rows * op->in->columns;
    buffer_init(&words, sizeof name);
    layer_to_compact(op->layer, &words);
    snprintf(name, sizeof name, "%.*s, %s", (int)words.length, words.data, pass);
    buffer_free(&words);
    double seconds = quickest(work, operation);
    bool product = op->layer->type == LAYER_CONV2D || op->layer->type == LAYER_DENSE;
    if (product)
        say(name, "GFLOP/s", 2e-9 * ROWS * adds / seconds);
    else
        say(name, "M values/s", 1e-6 * ROWS * values / seconds);
}

static void measure_operation(const struct plan *plan, uint32_t number)
{
    const struct plan_op *op = &plan->ops[number];
    struct operation operation = {
        .op = op,
        .kind = plan->kernels->kinds[op->layer->type],
        .batch = {.rows = ROWS,
                  .whole = ROWS,
                  .blocks = (ROWS + plan->kernels->places - 1) / plan->kernels->places,
                  .training = true,
                  .input_wanted = number > 0},
    };
    if (op->layer->type == LAYER_FLATTEN) return; /* nothing to do */
    measure_pass(&operation, "forward", op_forward);
    if (number > 0) measure_pass(&operation, "backward", op_backward);
    if (operation.kind->gradient && op->tensors[ROLE_WEIGHT].gradient)
        measure_pass(&operation, "gradient", op_gradient);
}

static int measure_plan(struct bench *bench, struct error *error)
{
    const struct dataset *dataset = bench->dataset;
    struct engine_config config = {.batch_size = ROWS, .threads = 1, .seed = 1};
    struct parameters *start = NULL;
    struct plan *plan = NULL;
    uint32_t order[ROWS], correct;
    double loss;
    float value[256];
    int status = -1;
    config.network = (struct network){.rows = dataset->rows, .columns = dataset->columns};
    for (int i = 0; i < 256; i++) value[i] = (float)i / 255;
    for (uint32_t i = 0; i < ROWS; i++) order[i] = i;
    if (optimizer_init(&config.optimizer, "sgd", error) ||
        network_parse(network_text, &config.network, error) ||
        parameters_create(&config.network, DTYPE_FLOAT32, &start, error) ||
        plan_create(&config, bench->team, &plan, error) || plan_reserve(plan, ROWS, error))
        goto out;
    parameters_draw(start, &config.network, INIT_TORCH, 1);
    plan_import(plan, start, 0);
    const struct plan_samples samples = {
        .split = &dataset->train, .value = value, .order = order, .count = ROWS};
    plan_train(plan, &samples, NULL, &loss, &correct);
    for (uint32_t i = 0; i < plan->op_count; i++) measure_operation(plan, i);
    status = 0;
out:
    plan_destroy(plan);
    parameters_destroy(start);
    return status;
}

int main(int argc, char **argv)
{
    struct bench bench = {.kernels = native_kernels_choose(DTYPE_FLOAT32)};
    struct error error;
    if (argc != 2) return fprintf(stderr, "usage: kernels DATA-FOLDER\n"), 2;
    struct dataset_options options = {.data_dir = argv[1]};
    rng_seed(&bench.rng, 1, RNG_DIGITS, 0);
    if (dataset_open("mnist", &options, &bench.dataset, &error) ||
        team_create(1, &bench.team, &error))
        return fprintf(stderr, "kernels: %s\n", error.message), 1;
    printf("%s\n", bench.kernels->name);
    measure_first(&bench);
    measure_products(&bench, 128);
    measure_products(&bench, 512);
    measure_lines(&bench);
    int status = measure_plan(&bench, &error);
    if (status) fprintf(stderr, "kernels: %s\n", error.message);
    team_destroy(bench.team);
    dataset_close(bench.dataset);
    return status ? 1 : 0;
}
