/* Every type of layer and every activation on every engine that is here: gradients against finite
 * differences of the engine's own loss, a step continued from a state, and all engines against one
 * another, tensor by tensor. Each engine runs in a process of its own (the frameworks clash in
 * one), which writes down what it computed. */
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

#include "base/rng.h"
#include "engine/engine.h"
#include "engine/trace_name.h"
#include "net/layout.h"

enum {
    ROWS = 7,
    COLUMNS = 8,
    CLASSES = 4,
    SAMPLES = 29,
    BATCH = 8,
    EPOCHS = 2,
    MOST_RECORDS = 4096
};
#define STEPS ((SAMPLES + BATCH - 1) / BATCH) /* the last batch has 5 samples */

#define CONV(fields)  "{\"type\":\"conv2d\"," fields "}"
#define POOL(t, more) "{\"type\":\"" t "\"," more "}"
#define DENSE(units)  "{\"type\":\"dense\",\"units\":" #units "}"
#define FLATTEN       "{\"type\":\"flatten\"}"
#define END           "," FLATTEN "," DENSE(4)
#define ACT(name)                                                                                \
    {                                                                                            \
        "activation " name, 1,                                                                   \
            "[" CONV("\"filters\":3,\"kernel\":3,\"activation\":\"" name                         \
                     "\"") "," FLATTEN ",{\"type\":\"dense\",\"units\":7,\"activation\":\"" name \
                           "\"},"                                                                \
                           "{\"type\":\"activation\",\"activation\":\"" name "\"}," DENSE(4) "]" \
    }

/* clang-format off */
static const struct layers_case {
    const char *label;
    uint32_t channels;
    const char *layers;
} cases[] = {
    {"dense", 1, "[{\"type\":\"dense\",\"units\":9,\"activation\":\"tanh\"}," DENSE(4) "]"},
    {"dense on color", 3, "[{\"type\":\"dense\",\"units\":9,\"activation\":\"relu\"}," DENSE(4) "]"},
    {"dense without bias", 1,
     "[{\"type\":\"dense\",\"units\":9,\"bias\":false}," DENSE(4) "]"},
    {"conv valid", 1, "[" CONV("\"filters\":5,\"kernel\":3") END "]"},
    {"conv color same stride", 3,
     "[" CONV("\"filters\":4,\"kernel\":[3,2],\"stride\":2,\"padding\":\"same\",\"activation\":\"relu\"") END "]"},
    {"conv explicit padding, unequal stride", 1,
     "[" CONV("\"filters\":4,\"kernel\":[2,3],\"stride\":[1,2],\"padding\":[1,0,2,1],\"bias\":false") END "]"},
    {"conv with l1, dense with l2", 3,
     "[" CONV("\"filters\":4,\"kernel\":[2,3],\"l1\":0.01,\"activation\":\"tanh\"") "," FLATTEN
     ",{\"type\":\"dense\",\"units\":5,\"l2\":0.05},{\"type\":\"dense\",\"units\":4}]"},
    {"conv depthwise with l1 and l2", 3,
     "[" CONV("\"filters\":6,\"kernel\":3,\"groups\":3,\"l1\":0.01,\"l2\":0.03") END "]"},
    {"conv dilation", 3, "[" CONV("\"filters\":4,\"kernel\":3,\"dilation\":[2,1]") END "]"},
    {"conv dilation same", 1,
     "[" CONV("\"filters\":4,\"kernel\":[3,2],\"dilation\":2,\"padding\":\"same\"") END "]"},
    {"conv groups", 1,
     "[" CONV("\"filters\":4,\"kernel\":2,\"activation\":\"relu\"") "," CONV("\"filters\":6,\"kernel\":3,\"groups\":2") END "]"},
    {"conv depthwise", 3,
     "[" CONV("\"filters\":6,\"kernel\":3,\"groups\":3,\"padding\":\"same\"") END "]"},
    {"conv depthwise dilation", 3,
     "[" CONV("\"filters\":3,\"kernel\":2,\"groups\":3,\"dilation\":[2,3],\"padding\":[0,1,1,0]") END "]"},
    {"conv depthwise, unequal stride", 3,
     "[" CONV("\"filters\":6,\"kernel\":3,\"groups\":3,\"stride\":[2,1],\"activation\":\"tanh\"") END "]"},
    {"maxpool", 3, "[" CONV("\"filters\":3,\"kernel\":2") "," POOL("maxpool2d", "\"size\":2") END "]"},
    {"maxpool same", 1,
     "[" CONV("\"filters\":3,\"kernel\":2") "," POOL("maxpool2d", "\"size\":[3,2],\"stride\":2,\"padding\":\"same\"") END "]"},
    {"maxpool padded", 1,
     "[" CONV("\"filters\":3,\"kernel\":2") "," POOL("maxpool2d", "\"size\":3,\"stride\":[2,1],\"padding\":[1,1,1,1]") END "]"},
    {"maxpool padded on one side", 1,
     "[" CONV("\"filters\":3,\"kernel\":2") "," POOL("maxpool2d", "\"size\":2,\"padding\":[1,0,0,1],\"activation\":\"relu\"") END "]"},
    {"avgpool", 3, "[" CONV("\"filters\":3,\"kernel\":2") "," POOL("avgpool2d", "\"size\":2") END "]"},
    {"avgpool same", 1,
     "[" CONV("\"filters\":3,\"kernel\":2") "," POOL("avgpool2d", "\"size\":[3,2],\"stride\":2,\"padding\":\"same\"") END "]"},
    {"avgpool padded", 1,
     "[" CONV("\"filters\":3,\"kernel\":2") "," POOL("avgpool2d", "\"size\":3,\"stride\":[2,1],\"padding\":[1,1,1,1]") END "]"},
    {"avgpool padded on one side", 1,
     "[" CONV("\"filters\":3,\"kernel\":2") "," POOL("avgpool2d", "\"size\":2,\"padding\":[1,0,0,1]") END "]"},
    {"globalavgpool", 1,
     "[" CONV("\"filters\":5,\"kernel\":3,\"activation\":\"relu\"") "," CONV("\"filters\":4,\"kernel\":2") ",{\"type\":\"globalavgpool\"}]"},
    /* A bias before batch normalization has a gradient of nothing but rounding, which Adam makes steps of. */
    {"batchnorm on maps", 3,
     "[" CONV("\"filters\":4,\"kernel\":3,\"bias\":false") ",{\"type\":\"batchnorm\",\"activation\":\"relu\"}" END "]"},
    {"batchnorm on lists", 1,
     "[{\"type\":\"dense\",\"units\":9},{\"type\":\"batchnorm\",\"epsilon\":0.01,\"momentum\":0.3}," DENSE(4) "]"},
    {"batchnorm behind a flatten", 1,
     "[" CONV("\"filters\":3,\"kernel\":3,\"bias\":false") "," FLATTEN ",{\"type\":\"batchnorm\"}," DENSE(4) "]"},
    {"layernorm on maps", 3,
     "[" CONV("\"filters\":4,\"kernel\":3") ",{\"type\":\"layernorm\",\"activation\":\"gelu\"}" END "]"},
    {"layernorm on lists", 1, "[{\"type\":\"dense\",\"units\":9},{\"type\":\"layernorm\",\"epsilon\":0.01}," DENSE(4) "]"},
    {"layernorm behind a flatten", 1,
     "[" CONV("\"filters\":3,\"kernel\":3") "," FLATTEN ",{\"type\":\"layernorm\"}," DENSE(4) "]"},
    {"dropout on maps", 1, "[" CONV("\"filters\":3,\"kernel\":3") ",{\"type\":\"dropout\",\"rate\":0.3}" END "]"},
    {"dropout behind a flatten", 1,
     "[" CONV("\"filters\":3,\"kernel\":3") "," FLATTEN ",{\"type\":\"dropout\"},{\"type\":\"dense\",\"units\":6},"
     "{\"type\":\"dropout\",\"rate\":0.25}," DENSE(4) "]"},
    {"rescale", 3, "[{\"type\":\"rescale\",\"scale\":2,\"offset\":-0.7}," CONV("\"filters\":3,\"kernel\":3") END "]"},
    {"normalize", 3,
     "[{\"type\":\"normalize\",\"mean\":[0.1,0.2,0.3],\"std\":[0.3,0.5,0.7]}," CONV("\"filters\":3,\"kernel\":3") END "]"},
    {"normalize and dense", 1, "[{\"type\":\"normalize\",\"mean\":0.13,\"std\":0.3}," DENSE(9) "," DENSE(4) "]"},
    ACT("relu"), ACT("tanh"), ACT("sigmoid"), ACT("leaky_relu"), ACT("elu"), ACT("selu"), ACT("gelu"), ACT("gelu_tanh"),
    ACT("silu"), ACT("softplus"),
    {"activations with a number", 1,
     "[" CONV("\"filters\":3,\"kernel\":3,\"activation\":\"leaky_relu\",\"slope\":0.3") "," FLATTEN
     ",{\"type\":\"dense\",\"units\":7,\"activation\":\"elu\",\"alpha\":0.6}," DENSE(4) "]"},
    {"dense as wide as what it gets", 1,
     "[" CONV("\"filters\":2,\"kernel\":[5,6]") "," FLATTEN ",{\"type\":\"dense\",\"units\":18,\"activation\":\"relu\"}," DENSE(4) "]"},
    {"everything", 3,
     "[{\"type\":\"rescale\",\"scale\":0.9,\"offset\":0.05}," CONV("\"filters\":4,\"kernel\":3,\"padding\":\"same\"")
     ",{\"type\":\"batchnorm\",\"activation\":\"relu\"}," POOL("maxpool2d", "\"size\":2") ",{\"type\":\"dropout\",\"rate\":0.2},"
     CONV("\"filters\":6,\"kernel\":2,\"activation\":\"silu\"") "," POOL("avgpool2d", "\"size\":2,\"stride\":1,\"padding\":\"same\"")
     "," FLATTEN ",{\"type\":\"dense\",\"units\":8},{\"type\":\"layernorm\",\"activation\":\"gelu_tanh\"},"
     "{\"type\":\"dropout\",\"rate\":0.5}," DENSE(4) "]"},
};
/* clang-format on */
enum { CASES = sizeof cases / sizeof *cases };

static uint8_t pixels[SAMPLES * 3 * ROWS * COLUMNS], labels[SAMPLES];
static uint32_t order[SAMPLES];
static const struct split split = {.count = SAMPLES, .pixels = pixels, .labels = labels};

static void draw_samples(void)
{
    struct rng rng;
    rng_seed(&rng, 11, RNG_TEST, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = rng_below(&rng, 3) ? (uint8_t)rng_below(&rng, 256) : 0;
    for (size_t i = 0; i < SAMPLES; i++) labels[i] = (uint8_t)rng_below(&rng, CLASSES);
    rng_permutation(&rng, order, SAMPLES);
}

static const struct layers_case *find_case(const char *label)
{
    size_t i = 0;
    while (strcmp(cases[i].label, label) != 0) i++;
    return &cases[i];
}

static struct network network_of(const struct layers_case *c)
{
    struct network network = {.rows = ROWS, .columns = COLUMNS, .channels = c->channels};
    struct error error;
    json_t *list = json_loads(c->layers, 0, NULL);
    if (!list) {
        fprintf(stderr, "%s: not JSON\n", c->label);
        abort();
    }
    network.layer_count = (uint32_t)json_array_size(list);
    for (uint32_t i = 0; i < network.layer_count; i++)
        if (layer_from_json(json_array_get(list, i), &network.layers[i], &error)) goto fail;
    json_decref(list);
    if (network_finish(&network, &error) == 0) return network;
fail:
    fprintf(stderr, "%s: %s\n", c->label, error.message);
    abort();
}

/* ---- one engine, in its own process ---- */

struct record {
    char name[112];
    size_t count;
    double *values;
};

struct trial {
    const struct layers_case *c;
    struct engine_config config;
    const struct engine_ops *ops;
    struct engine *engine;
    struct parameters *initial, *parameters, *gradients;
    struct optimizer_state *fresh, *state;
    double saliency[3 * ROWS * COLUMNS], logits[CLASSES];
    struct error error;
    FILE *out;
    unsigned failures;
};

static void need(struct trial *t, int status)
{
    if (!status) return;
    fprintf(stderr, "%s, %s: %s\n", t->ops->id, t->c->label, t->error.message);
    _exit(1);
}

static void differ(struct trial *t, const char *what, double a, double b)
{
    fprintf(stderr, "%s, %s, %s: %.17g and %.17g\n", t->ops->id, t->c->label, what, a, b);
    t->failures++;
}

static void write_record(struct trial *t, const char *what, size_t count, const double *values)
{
    struct record record = {.count = count};
    snprintf(record.name, sizeof record.name, "%s, %s: %s", t->c->label,
             dtype_name(t->config.dtype), what);
    fwrite(record.name, sizeof record.name, 1, t->out);
    fwrite(&record.count, sizeof record.count, 1, t->out);
    fwrite(values, sizeof *values, count, t->out);
}

static void write_parameters(struct trial *t, const char *what, const struct parameters *parameters)
{
    for (size_t k = 0; k < parameters->tensor_count; k++) {
        const struct tensor *tensor = &parameters->tensors[k];
        double *values = malloc(tensor->count * sizeof *values);
        char name[96];
        for (size_t i = 0; i < tensor->count; i++) values[i] = tensor_get(parameters, tensor, i);
        snprintf(name, sizeof name, "%s %s", what, tensor->name);
        write_record(t, name, tensor->count, values);
        free(values);
    }
}

/* Writes every traced tensor, its shape first, and keeps the gradients. */
static int see(void *context, const char *name, const size_t *shape, uint32_t rank,
               const double *values)
{
    struct trial *t = context;
    struct trace_name read;
    double sizes[4];
    size_t count = 1;
    char what[96];
    if (!trace_name_parse(name, &read)) differ(t, name, 0, 0);
    for (uint32_t d = 0; d < rank; d++) count *= shape[d], sizes[d] = (double)shape[d];
    snprintf(what, sizeof what, "shape of %s", name);
    write_record(t, what, rank, sizes);
    write_record(t, name, count, values);
    for (size_t k = 0; read.what == TRACE_GRADIENT && k < t->gradients->tensor_count; k++) {
        struct tensor *tensor = &t->gradients->tensors[k];
        if (strcmp(tensor->name, read.tensor) != 0) continue;
        for (size_t i = 0; i < count; i++) tensor_set(t->gradients, tensor, i, values[i]);
    }
    return 0;
}

static void restart(struct trial *t)
{
    need(t, engine_set_parameters(t->engine, t->initial, &t->error));
    need(t, engine_set_optimizer_state(t->engine, t->fresh, &t->error));
}

/* The loss of the first batch with t->parameters. */
static double loss_at(struct trial *t)
{
    double loss;
    need(t, engine_set_parameters(t->engine, t->parameters, &t->error));
    need(t, engine_set_optimizer_state(t->engine, t->fresh, &t->error));
    need(t, engine_train(t->engine, order, BATCH, &loss, NULL, &t->error));
    return loss;
}

static void check_gradients(struct trial *t)
{
    struct rng rng;
    rng_seed(&rng, 3, RNG_TEST, 0);
    parameters_copy(t->parameters, t->initial);
    for (size_t k = 0; k < t->parameters->tensor_count; k++) {
        struct tensor *tensor = &t->parameters->tensors[k];
        if (!tensor_role_is_trained(tensor->role)) continue;
        for (int probe = 0; probe < 4; probe++) {
            size_t i = rng_below(&rng, (uint32_t)tensor->count);
            double kept = tensor_get(t->parameters, tensor, i), h = 1e-6;
            double gradient = tensor_get(t->gradients, &t->gradients->tensors[k], i);
            tensor_set(t->parameters, tensor, i, kept + h);
            double above = loss_at(t);
            tensor_set(t->parameters, tensor, i, kept - h);
            double slope = (above - loss_at(t)) / (2 * h);
            tensor_set(t->parameters, tensor, i, kept);
            if (!(fabs(slope - gradient) <= 1e-7 * fmax(1, fabs(gradient))))
                differ(t, tensor->name, gradient, slope);
        }
    }
}

static void check_training(struct trial *t)
{
    double losses[EPOCHS][STEPS], again[STEPS], logits[SAMPLES * CLASSES], hits[STEPS];
    uint32_t correct[STEPS];
    restart(t);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        if (epoch == 1) { /* where it can be continued from */
            need(t, engine_get_parameters(t->engine, t->parameters, &t->error));
            need(t, engine_get_optimizer_state(t->engine, t->state, &t->error));
        }
        need(t, engine_train(t->engine, order, SAMPLES, losses[epoch], correct, &t->error));
        for (size_t s = 0; s < STEPS; s++) hits[s] = correct[s];
        write_record(t, epoch ? "losses of epoch 2" : "losses of epoch 1", STEPS, losses[epoch]);
        if (t->config.dtype == DTYPE_FLOAT64) write_record(t, "correct", STEPS, hits);
    }
    if (t->config.dtype == DTYPE_FLOAT32) return;
    need(t, engine_forward(t->engine, pixels, SAMPLES, logits, &t->error));
    write_record(t, "logits", SAMPLES * CLASSES, logits);
    need(t, engine_set_parameters(t->engine, t->parameters, &t->error));
    need(t, engine_set_optimizer_state(t->engine, t->state, &t->error));
    need(t, engine_train(t->engine, order, SAMPLES, again, correct, &t->error));
    for (size_t s = 0; s < STEPS; s++)
        if (again[s] != losses[1][s]) differ(t, "continued", again[s], losses[1][s]);
    need(t, engine_get_parameters(t->engine, t->parameters, &t->error));
    need(t, engine_get_optimizer_state(t->engine, t->state, &t->error));
    write_parameters(t, "trained", t->parameters);
    for (uint32_t s = 0; s < t->state->slot_count; s++)
        write_parameters(t, s ? "second slot" : "first slot", t->state->slots[s]);
}

/* ---- one picture on its way: codes 253, 254 and 255 are a value and its two neighbors ---- */

#define LOOK_STEP 1e-5
enum { LOOKED_AT = 253, LESS, MORE };

/* Writes what a look shows, and keeps the saliency. */
static int see_look(void *context, const char *name, const size_t *shape, uint32_t rank,
                    const double *values)
{
    struct trial *t = context;
    size_t count = 1;
    char what[96];
    for (uint32_t d = 0; d < rank; d++) count *= shape[d];
    snprintf(what, sizeof what, "look at %s", name);
    write_record(t, what, count, values);
    if (strcmp(name, "saliency") == 0)
        for (size_t i = 0; i < count; i++) t->saliency[i] = values[i];
    if (strcmp(name, "logits") == 0)
        for (size_t i = 0; i < count; i++) t->logits[i] = values[i];
    return 0;
}

static double logit_with(struct trial *t, const uint8_t *picture, size_t pixel, uint8_t code)
{
    uint8_t changed[3 * ROWS * COLUMNS];
    double logits[CLASSES];
    memcpy(changed, picture, sizeof changed);
    changed[pixel] = code;
    need(t, engine_forward(t->engine, changed, 1, logits, &t->error));
    return logits[2];
}

/* After training, so that running statistics are no longer 0 and 1. */
static void check_look(struct trial *t)
{
    size_t inputs = network_inputs(&t->config.network);
    uint8_t picture[3 * ROWS * COLUMNS];
    double logits[CLASSES];
    struct rng rng;
    rng_seed(&rng, 8, RNG_TEST, 0);
    for (size_t i = 0; i < sizeof picture; i++) picture[i] = (uint8_t)rng_below(&rng, 250);
    picture[5] = picture[inputs / 2] = picture[inputs - 1] = LOOKED_AT;
    need(t, engine_follow(t->engine, picture, 2, see_look, t, &t->error));
    need(t, engine_forward(t->engine, picture, 1, logits, &t->error));
    for (size_t c = 0; c < CLASSES; c++)
        if (!(fabs(logits[c] - t->logits[c]) <= 1e-12)) differ(t, "look", logits[c], t->logits[c]);
    const size_t probes[] = {5, inputs / 2, inputs - 1};
    for (size_t k = 0; k < sizeof probes / sizeof *probes; k++) {
        double slope = (logit_with(t, picture, probes[k], MORE) -
                        logit_with(t, picture, probes[k], LESS)) /
                       (2 * LOOK_STEP);
        double saliency = t->saliency[probes[k]];
        if (!(fabs(slope - saliency) <= 1e-7 * fmax(1, fabs(saliency))))
            differ(t, "saliency", saliency, slope);
    }
    /* and nothing was changed by it */
    need(t, engine_get_parameters(t->engine, t->gradients, &t->error));
    if (memcmp(t->gradients->values, t->parameters->values,
               t->parameters->value_count * sizeof(double)) != 0)
        differ(t, "parameters after a look", 0, 0);
    if (engine_follow(t->engine, picture, CLASSES, see_look, t, &t->error) != -1)
        differ(t, "a class too many", 0, 0);
}

static void run_case(struct trial *t, enum dtype dtype)
{
    struct parameters *drawn;
    t->config = (struct engine_config){
        .dtype = dtype, .batch_size = BATCH, .threads = 1, .seed = 0x123456789abcdefULL};
    t->config.network = network_of(t->c);
    t->config.preprocess.custom = true;
    preprocess_fill_f64(NULL, t->config.preprocess.values);
    t->config.preprocess.values[LOOKED_AT] = 0.5;
    t->config.preprocess.values[LESS] = 0.5 - LOOK_STEP;
    t->config.preprocess.values[MORE] = 0.5 + LOOK_STEP;
    const struct network *network = &t->config.network;
    need(t, optimizer_init(&t->config.optimizer, (t->c - cases) % 2 ? "adam" : "sgd", &t->error));
    if (t->config.optimizer.type == OPTIMIZER_SGD) t->config.optimizer.momentum = 0.9;
    need(t, engine_open(t->ops, &t->config, &t->engine, &t->error));
    need(t, engine_attach(t->engine, &split, &t->error));
    need(t, parameters_create(network, DTYPE_FLOAT64, &drawn, &t->error));
    parameters_draw(drawn, network, INIT_TORCH, 5);
    need(t, parameters_convert(drawn, network, dtype, &t->initial, &t->error));
    need(t, parameters_create(network, dtype, &t->parameters, &t->error));
    need(t, parameters_create(network, dtype, &t->gradients, &t->error));
    need(t, optimizer_state_create(&t->config.optimizer, network, dtype, &t->fresh, &t->error));
    need(t, optimizer_state_create(&t->config.optimizer, network, dtype, &t->state, &t->error));
    restart(t);
    need(t, engine_get_parameters(t->engine, t->parameters, &t->error));
    if (memcmp(t->parameters->values, t->initial->values,
               t->initial->value_count * dtype_size(dtype)) != 0)
        differ(t, "parameters read back", 0, 0);
    if (dtype == DTYPE_FLOAT64) {
        need(t, engine_trace(t->engine, order, BATCH, see, t, &t->error));
        check_gradients(t);
    }
    check_training(t);
    if (dtype == DTYPE_FLOAT64) check_look(t);
    engine_close(t->engine);
    optimizer_state_destroy(t->fresh);
    optimizer_state_destroy(t->state);
    parameters_destroy(t->gradients);
    parameters_destroy(t->parameters);
    parameters_destroy(t->initial);
    parameters_destroy(drawn);
}

/* Runs every case and writes the records; the number of differences seen. */
static unsigned run_engine(const struct engine_ops *ops, const char *path)
{
    struct trial t = {.ops = ops, .out = fopen(path, "w")};
    const char *only = getenv("LAYERS_CASE");
    if (!t.out) return 1;
    draw_samples();
    for (size_t i = 0; i < CASES; i++) {
        if (only && strcmp(only, cases[i].label) != 0) continue;
        t.c = &cases[i];
        run_case(&t, DTYPE_FLOAT64);
        run_case(&t, DTYPE_FLOAT32);
    }
    return fclose(t.out) ? 1 : t.failures;
}

/* ---- all of them, compared ---- */

static char folder[] = "/tmp/test_layers.XXXXXX";

struct results {
    const char *id;
    char path[96];
    struct record records[MOST_RECORDS];
    size_t count;
};
static struct results results[4];
static size_t result_count;

static void read_results(struct results *r)
{
    FILE *in = fopen(r->path, "r");
    assert_non_null(in);
    for (struct record *record;
         fread((record = &r->records[r->count])->name, sizeof record->name, 1, in) == 1;) {
        assert_int_equal(fread(&record->count, sizeof record->count, 1, in), 1);
        record->values = malloc(record->count * sizeof(double) + 1);
        assert_non_null(record->values);
        assert_int_equal(fread(record->values, sizeof(double), record->count, in), record->count);
        assert_true(++r->count < MOST_RECORDS);
    }
    fclose(in);
    remove(r->path);
}

/* Each in a process of its own, before this one has opened any. */
static int run_engines(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    for (size_t e = 0; e < engine_table_count; e++) {
        struct engine_probe probe;
        struct results *r = &results[result_count];
        engine_table[e]->probe(&probe);
        if (!probe.found) {
            print_message("without %s: %s\n", engine_table[e]->title, probe.missing);
            continue;
        }
        r->id = engine_table[e]->id;
        snprintf(r->path, sizeof r->path, "%s/%s", folder, r->id);
        int status = -1;
        pid_t child = fork();
        if (child == 0) _exit(run_engine(engine_table[e], r->path) ? 1 : 0);
        if (child < 0 || waitpid(child, &status, 0) != child) return -1;
        if (status) {
            print_error("%s: its own checks failed\n", r->id);
            return -1;
        }
        result_count++;
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < result_count; i++)
        for (size_t k = 0; k < results[i].count; k++) free(results[i].records[k].values);
    return rmdir(folder);
}

/* float64: what a step computes 1e-12, after two epochs of training 1e-10; float32: losses 1e-4. */
static double tolerance_of(const char *name)
{
    if (strstr(name, "float32")) return 1e-4;
    static const char *const after_training[] = {"trained", "slot", ": logits", "look at"};
    for (size_t i = 0; i < sizeof after_training / sizeof *after_training; i++)
        if (strstr(name, after_training[i])) return 1e-10;
    return 1e-12;
}

static void engines_compute_the_same(void **state)
{
    (void)state;
    unsigned different = 0;
    for (size_t i = 0; i < result_count; i++) read_results(&results[i]);
    for (size_t i = 1; i < result_count; i++) {
        const struct results *a = &results[0], *b = &results[i];
        assert_int_equal(a->count, b->count);
        for (size_t k = 0; k < a->count; k++) {
            const struct record *x = &a->records[k], *y = &b->records[k];
            assert_string_equal(x->name, y->name);
            assert_int_equal(x->count, y->count);
            double most = 0;
            for (size_t v = 0; v < x->count; v++) {
                double d = fabs(x->values[v] - y->values[v]) / fmax(1, fabs(x->values[v]));
                if (!(d <= most)) most = d;
            }
            if (most <= tolerance_of(x->name)) continue;
            print_error("%s and %s, %s: differ by %.3g\n", a->id, b->id, x->name, most);
            different++;
        }
    }
    assert_int_equal(different, 0);
}

/* What an engine lacks is told by name, and who has it. */
static bool only_dense(enum layer_type type)
{
    return type == LAYER_DENSE;
}

static void what_an_engine_lacks_is_refused_by_name(void **state)
{
    (void)state;
    struct network network = network_of(find_case("conv valid"));
    struct engine_ops lacking = *engine_find("torch");
    struct error error;
    lacking.title = "Half";
    lacking.has_layer = only_dense;
    assert_int_equal(engine_check_network(&lacking, &network, &error), -1);
    assert_string_equal(error.message, "layer 1: Half does not compute conv2d: use torch, "
                                       "tensorflow or native");
    for (size_t i = 0; i < engine_table_count; i++)
        assert_int_equal(engine_check_network(engine_table[i], &network, &error), 0);
}

static void batch_normalization_needs_two_samples(void **state)
{
    (void)state;
    struct error error;
    struct network lists = network_of(find_case("batchnorm on lists")),
                   maps = network_of(find_case("batchnorm on maps"));
    assert_int_equal(engine_check_batches(&lists, 8, 24, &error), 0);
    assert_int_equal(engine_check_batches(&lists, 8, 25, &error), -1);
    assert_int_equal(engine_check_batches(&lists, 1, 24, &error), -1);
    assert_int_equal(engine_check_batches(&maps, 8, 25, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_compute_the_same),
        cmocka_unit_test(what_an_engine_lacks_is_refused_by_name),
        cmocka_unit_test(batch_normalization_needs_two_samples),
    };
    return cmocka_run_group_tests(tests, run_engines, remove_folder);
}
