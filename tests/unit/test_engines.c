/* Every engine against the reference: every layer type, activation, dtype and optimizer, with short
 * last batches, batches of one, no, one and three hidden layers.
 *
 *   test_engines ENGINE          one engine per process, for the frameworks clash in one
 *   test_engines ENGINE --perf   how long training and inference take instead
 *
 * Exit status 77, which meson counts as skipped: the engine's library is not installed. */
#include "trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"

#if defined(__has_feature)
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { SKIPPED = 77, EPOCHS = 2 };

static const struct engine_ops *ops; /* the engine under test */

/* How near an engine comes to the reference. */
#define EXACT 1e-12 /* float64 */
#define NEAR  2e-4  /* float32, over some steps */

static void one_trial(const struct trial_case *c, enum activation activation, size_t optimizer,
                      enum dtype dtype, void (*visit)(struct trial *trial))
{
    struct trial trial;
    trial_begin(&trial, c, activation, &trial_optimizers[optimizer].optimizer);
    trial.config.dtype = dtype;
    visit(&trial);
    trial_end(&trial);
}

/* Under the sanitizers every entry of every table is seen, but not their products: what they find
 * depends on the code that runs, and a framework under them takes a second to open. */
static bool is_of_a_product(size_t one, size_t other)
{
    return one > 0 && other > 0;
}

/* Calls `visit` with a trial begun for every case and activation, optimizers and dtypes taking
 * turns: a graph takes tens of milliseconds to open. */
static void some_trials(void (*visit)(struct trial *trial))
{
    size_t turn = 0;
    for (size_t i = 0; i < trial_case_count; i++) {
        size_t a = 0;
        for
            EACH_ACTIVATION(activation, &trial_cases[i])
            {
                if (SANITIZED && is_of_a_product(i, a++)) continue;
                enum dtype dtype = turn / trial_optimizer_count % 2 ? DTYPE_FLOAT32 : DTYPE_FLOAT64;
                one_trial(&trial_cases[i], activation, turn++ % trial_optimizer_count, dtype,
                          visit);
            }
    }
}

/* The same, and the core cases with every activation, optimizer and dtype. */
static void all_trials(void (*visit)(struct trial *trial))
{
    for (size_t i = 0; i < trial_case_count && trial_cases[i].core; i++) {
        size_t a = 0;
        for
            EACH_ACTIVATION(activation, &trial_cases[i])
            {
                for (size_t o = 0; o < trial_optimizer_count; o++) {
                    if (SANITIZED && is_of_a_product(i + a, o)) continue;
                    one_trial(&trial_cases[i], activation, o, DTYPE_FLOAT64, visit);
                    one_trial(&trial_cases[i], activation, o, DTYPE_FLOAT32, visit);
                }
                a++;
            }
    }
    some_trials(visit);
}

static void begin(struct trial *trial, const char *label, enum activation activation,
                  const char *optimizer)
{
    trial_begin(trial, trial_find(label), activation, trial_find_optimizer(optimizer));
}

/* ---- training ---- */

struct record {
    double *losses;    /* [EPOCHS * steps] */
    uint32_t *correct; /* [EPOCHS * steps] */
};

static struct record new_record(const struct trial *t)
{
    struct record record = {calloc(EPOCHS * t->steps, sizeof(double)),
                            calloc(EPOCHS * t->steps, sizeof(uint32_t))};
    assert_true(record.losses && record.correct);
    return record;
}

static void free_record(struct record *record)
{
    free(record->losses);
    free(record->correct);
}

static void train_reference(struct trial *t, struct record *record)
{
    for (size_t i = 0; i < EPOCHS * t->steps; i++) {
        size_t count, first = trial_step(t, i % t->steps, &count);
        reference_step(&t->reference, &t->split, t->order + first, count);
        record->losses[i] = t->reference.loss;
        record->correct[i] = t->reference.correct;
    }
}

/* The second epoch without `correct`, which may be NULL. */
static void train_engine(struct trial *t, struct engine *engine, struct record *record)
{
    for (size_t epoch = 0; epoch < EPOCHS; epoch++)
        trial_succeed(t, engine_train(engine, t->order, t->split.count,
                                      record->losses + epoch * t->steps,
                                      epoch ? NULL : record->correct, &t->error));
}

/* float32 parameters say nothing after Adam and its like: they divide by the root of what may be
 * rounding alone, so that parameters may part by a step's size. */
static bool parameters_are_comparable(const struct trial *t)
{
    return t->config.dtype == DTYPE_FLOAT64 || t->config.optimizer.type == OPTIMIZER_SGD;
}

static void check_training(struct trial *t)
{
    double tolerance = t->config.dtype == DTYPE_FLOAT64 ? EXACT : NEAR;
    struct record expected = new_record(t), got = new_record(t);
    struct engine *engine = trial_open(t, ops, t->config.dtype);
    train_reference(t, &expected);
    train_engine(t, engine, &got);
    for (size_t i = 0; i < EPOCHS * t->steps; i++) {
        trial_near(t, got.losses[i], expected.losses[i], tolerance, "a loss");
        if (t->config.dtype == DTYPE_FLOAT64 && i < t->steps)
            assert_int_equal(got.correct[i], expected.correct[i]);
    }
    if (parameters_are_comparable(t)) trial_near_reference(t, engine, tolerance);
    engine_close(engine);
    free_record(&expected);
    free_record(&got);
}

/* Losses, correct answers, parameters and the optimizer's state, after every kind of training. */
static void training_matches_the_reference(void **state)
{
    (void)state;
    all_trials(check_training);
}

/* A trial whose layers have an l1, an l2, both, and none. */
static void begin_penalized(struct trial *t, const struct trial_case *c, size_t optimizer,
                            enum dtype dtype)
{
    static const double l1[] = {0.003, 0, 0.001, 0}, l2[] = {0, 0.02, 0.01, 0};
    trial_begin(t, c, c->depth ? ACTIVATION_TANH : ACTIVATION_NONE,
                &trial_optimizers[optimizer].optimizer);
    for (uint32_t n = 0; n < t->config.network.layer_count; n++) {
        t->config.network.layers[n].l1 = l1[n % 4];
        t->config.network.layers[n].l2 = l2[n % 4];
    }
    t->config.dtype = dtype;
    trial_restart_reference(t);
}

static void l1_and_l2_are_part_of_the_loss(void **state)
{
    (void)state;
    static const char *const labels[] = {"one hidden layer", "no hidden layer",
                                         "three hidden layers", "a batch of one"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        for (size_t o = 0; o < trial_optimizer_count; o++)
            for (enum dtype dtype = DTYPE_FLOAT32; dtype <= DTYPE_FLOAT64; dtype++) {
                struct trial t;
                begin_penalized(&t, trial_find(labels[i]), o, dtype);
                check_training(&t);
                trial_end(&t);
            }
}

/* Everything out of one engine and into a new one. */
static struct engine *hand_over(struct trial *t, struct engine *engine, uint64_t steps)
{
    struct parameters *parameters = trial_parameters(t, engine);
    struct optimizer_state *state = trial_state(t, engine);
    assert_int_equal(state->steps, steps);
    engine_close(engine);
    engine = trial_open(t, ops, t->config.dtype);
    trial_succeed(t, engine_set_parameters(engine, parameters, &t->error));
    trial_succeed(t, engine_set_optimizer_state(engine, state, &t->error));
    parameters_destroy(parameters);
    optimizer_state_destroy(state);
    return engine;
}

static void check_continuation(struct trial *t)
{
    enum dtype dtype = t->config.dtype;
    struct record whole = new_record(t), halves = new_record(t);
    size_t half = t->steps / 2, done = half * t->config.batch_size, count = t->split.count;
    struct engine *engine = trial_open(t, ops, dtype);
    train_engine(t, engine, &whole);
    struct parameters *expected = trial_parameters(t, engine);
    struct optimizer_state *expected_state = trial_state(t, engine);
    engine_close(engine);

    engine = trial_open(t, ops, dtype);
    trial_succeed(t, engine_train(engine, t->order, count, halves.losses, NULL, &t->error));
    trial_succeed(t,
                  engine_train(engine, t->order, done, halves.losses + t->steps, NULL, &t->error));
    engine = hand_over(t, engine, t->steps + half);
    trial_succeed(t, engine_train(engine, t->order + done, count - done,
                                  halves.losses + t->steps + half, NULL, &t->error));
    struct parameters *result = trial_parameters(t, engine);
    struct optimizer_state *state = trial_state(t, engine);
    assert_memory_equal(whole.losses, halves.losses, EPOCHS * t->steps * sizeof(double));
    trial_same_bits(t, expected, result);
    for (uint32_t slot = 0; slot < state->slot_count; slot++)
        trial_same_bits(t, expected_state->slots[slot], state->slots[slot]);
    engine_close(engine);
    parameters_destroy(expected);
    parameters_destroy(result);
    optimizer_state_destroy(expected_state);
    optimizer_state_destroy(state);
    free_record(&whole);
    free_record(&halves);
}

/* Stopped between two steps and continued in a new engine: the bits of a run that never stopped. */
static void a_continued_run_gives_the_same_bits(void **state)
{
    (void)state;
    some_trials(check_continuation);
}

/* A batch larger than the data set, of samples that come again and again. */
static void an_order_may_repeat_samples(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    struct trial t;
    uint32_t order[COUNT];
    double loss;
    begin(&t, "one batch of everything", ACTIVATION_TANH, "sgd");
    struct engine *engine = trial_open(&t, ops, DTYPE_FLOAT64);
    for (uint32_t i = 0; i < COUNT; i++) order[i] = i * 7 % t.c->samples;
    trial_succeed(&t, engine_train(engine, order, COUNT, &loss, NULL, &t.error));
    reference_step(&t.reference, &t.split, order, COUNT);
    trial_near(&t, loss, t.reference.loss, EXACT, "a loss");
    trial_near_reference(&t, engine, EXACT);
    engine_close(engine);
    trial_end(&t);
}

static void a_new_learning_rate_holds_from_the_next_step(void **state)
{
    (void)state;
    static const char *const optimizers[] = {"sgd", "sgd with momentum", "adam"};
    for (size_t i = 0; i < 3; i++) {
        struct trial t;
        begin(&t, "one hidden layer", ACTIVATION_RELU, optimizers[i]);
        double loss, rate = t.config.optimizer.learning_rate;
        struct engine *engine = trial_open(&t, ops, DTYPE_FLOAT64);
        for (int step = 0; step < 3; step++) {
            size_t count, first = trial_step(&t, (size_t)step, &count);
            trial_succeed(&t, engine_set_learning_rate(engine, rate, &t.error));
            t.reference.optimizer.learning_rate = rate;
            assert_int_equal(engine_set_learning_rate(engine, NAN, &t.error), -1);
            assert_int_equal(engine_set_learning_rate(engine, -1, &t.error), -1);
            trial_succeed(&t, engine_train(engine, t.order + first, count, &loss, NULL, &t.error));
            reference_step(&t.reference, &t.split, t.order + first, count);
            rate /= 7;
        }
        trial_near_reference(&t, engine, EXACT);
        engine_close(engine);
        trial_end(&t);
    }
}

/* All logits are equal, and of equal ones the first counts. */
static void a_fresh_engine_has_zero_parameters(void **state)
{
    (void)state;
    for (int dtype = DTYPE_FLOAT32; dtype <= DTYPE_FLOAT64; dtype++) {
        struct trial t;
        struct engine *engine;
        begin(&t, "one hidden layer", ACTIVATION_RELU, "sgd with momentum");
        t.config.dtype = (enum dtype)dtype;
        trial_succeed(&t, engine_open(ops, &t.config, &engine, &t.error));
        trial_succeed(&t, engine_attach(engine, &t.split, &t.error));
        struct optimizer_state *slots = trial_state(&t, engine);
        struct parameters *zero = trial_parameters(&t, engine);
        assert_int_equal(slots->steps, 0);
        for (size_t i = 0; i < zero->value_count * dtype_size(zero->dtype); i++) {
            assert_int_equal(((char *)zero->values)[i], 0);
            assert_int_equal(((char *)slots->slots[0]->values)[i], 0);
        }
        double loss;
        uint32_t correct, expected = 0;
        for (size_t i = 0; i < t.c->batch; i++) expected += t.split.labels[t.order[i]] == 0;
        trial_succeed(&t, engine_train(engine, t.order, t.c->batch, &loss, &correct, &t.error));
        trial_near(&t, loss, log(t.c->classes), 1e-6, "the loss of no knowledge");
        assert_int_equal(correct, expected);
        parameters_destroy(zero);
        optimizer_state_destroy(slots);
        engine_close(engine);
        trial_end(&t);
    }
}

/* ---- inference ---- */

/* All at once, and one alone. */
static void compare_logits(struct trial *t, enum dtype dtype, const uint8_t *pictures, size_t count)
{
    size_t classes = network_classes(&t->config.network);
    double *logits = calloc(count * classes, sizeof *logits);
    assert_non_null(logits);
    struct engine *engine = trial_open(t, ops, dtype);
    for (size_t i = 0; i < 2; i++) {
        size_t asked = i == 0 ? count : 1;
        trial_succeed(t, engine_forward(engine, pictures, asked, logits, &t->error));
        reference_forward(&t->reference, pictures, NULL, NULL, asked);
        for (size_t k = 0; k < asked * classes; k++)
            trial_near(t, logits[k], reference_logits(&t->reference)[k],
                       dtype == DTYPE_FLOAT64 ? EXACT : 1e-5, "a logit");
    }
    engine_close(engine);
    free(logits);
}

/* Values instead of codes: the table's value of every pixel gives the pictures' logits. */
static void compare_values(struct trial *t, enum dtype dtype, const uint8_t *pictures, size_t count)
{
    if (!ops->infer) return;
    size_t classes = network_classes(&t->config.network),
           inputs = network_inputs(&t->config.network);
    double *logits = calloc(count * classes, sizeof *logits);
    double *values = calloc(count * inputs, sizeof *values);
    assert_non_null(logits);
    assert_non_null(values);
    for (size_t i = 0; i < count * inputs; i++) values[i] = pictures[i] / 255.0;
    t->config.infers = true;
    struct engine *engine = trial_open(t, ops, dtype);
    trial_succeed(t, engine_infer(engine, values, count, logits, &t->error));
    reference_forward(&t->reference, pictures, NULL, NULL, count);
    for (size_t k = 0; k < count * classes; k++)
        trial_near(t, logits[k], reference_logits(&t->reference)[k],
                   dtype == DTYPE_FLOAT64 ? EXACT : 1e-5, "a logit of values");
    engine_close(engine);
    t->config.infers = false;
    free(values);
    free(logits);
}

static void values_are_refused_where_they_are_not_taken(void **state)
{
    (void)state;
    struct trial t;
    double value = 0, logit;
    begin(&t, "one hidden layer", ACTIVATION_TANH, "sgd");
    struct engine *engine = trial_open(&t, ops, DTYPE_FLOAT32);
    assert_int_equal(engine_infer(engine, &value, 1, &logit, &t.error), -1);
    assert_int_equal(t.error.code, ops->infer ? ERROR_USAGE : ERROR_UNAVAILABLE);
    engine_close(engine);
    trial_end(&t);
}

/* More pictures than an engine takes at a time, too. */
static void forward_gives_the_references_logits(void **state)
{
    (void)state;
    enum { MANY = 1100 };
    for (size_t i = 0; i < trial_case_count; i++) {
        size_t a = 0;
        for
            EACH_ACTIVATION(activation, &trial_cases[i])
            {
                if (SANITIZED && is_of_a_product(i, a++)) continue;
                struct trial t;
                trial_begin(&t, &trial_cases[i], activation, trial_find_optimizer("sgd"));
                size_t inputs = network_inputs(&t.config.network),
                       many = inputs > 100 || t.c->classes > 100 ? t.split.count : MANY;
                uint8_t *pictures = calloc(many, inputs);
                assert_non_null(pictures);
                for (size_t s = 0; s < many; s++)
                    memcpy(pictures + s * inputs, t.split.pixels + s % t.split.count * inputs,
                           inputs);
                compare_logits(&t, DTYPE_FLOAT64, pictures, many);
                compare_logits(&t, DTYPE_FLOAT32, pictures, many);
                compare_values(&t, DTYPE_FLOAT64, pictures, many);
                compare_values(&t, DTYPE_FLOAT32, pictures, many);
                free(pictures);
                trial_end(&t);
            }
    }
}

/* ---- parts of a batch ---- */

/* One step of `parts` engines that share the batch, done by one engine in turn. */
static void step_in_parts(struct trial *t, struct engine *engine, const uint32_t *order,
                          size_t count, size_t parts, const double *rate, double *loss,
                          uint32_t *correct)
{
    struct parameters *sum, *part;
    trial_succeed(t, parameters_create(&t->config.network, t->config.dtype, &sum, &t->error));
    trial_succeed(t, parameters_create(&t->config.network, t->config.dtype, &part, &t->error));
    *loss = 0;
    *correct = 0;
    for (size_t p = 0; p < parts; p++) {
        size_t from = count * p / parts, to = count * (p + 1) / parts;
        const struct engine_part place = {.first = from, .whole = count};
        double part_loss;
        uint32_t part_correct;
        if (from == to) continue;
        trial_succeed(t, engine_gradients(engine, &place, order + from, to - from, part, &part_loss,
                                          &part_correct, &t->error));
        parameters_add(sum, part);
        *loss += part_loss / (double)count;
        *correct += part_correct;
    }
    struct parameters *weights = trial_parameters(t, engine);
    *loss += parameters_penalty(weights, &t->config.network);
    parameters_add_penalty(weights, &t->config.network, (double)count, sum);
    trial_succeed(t, engine_apply(engine, sum, (double)count, rate, &t->error));
    parameters_destroy(weights);
    parameters_destroy(sum);
    parameters_destroy(part);
}

/* As it was opened. */
static void reset(struct trial *t, struct engine *engine)
{
    struct parameters *start;
    struct optimizer_state *fresh;
    const struct engine_config *config = &engine->config;
    trial_succeed(
        t, parameters_convert(t->initial, &config->network, config->dtype, &start, &t->error));
    trial_succeed(t, optimizer_state_create(&config->optimizer, &config->network, config->dtype,
                                            &fresh, &t->error));
    trial_succeed(t, engine_set_parameters(engine, start, &t->error));
    trial_succeed(t, engine_set_optimizer_state(engine, fresh, &t->error));
    parameters_destroy(start);
    optimizer_state_destroy(fresh);
}

/* Every other step has a learning rate of its own, and the next one the engine's again. */
static double rate_at(const struct trial *t, size_t step)
{
    return t->config.optimizer.learning_rate * (step % 2 ? 0.5 : 1);
}

static void compare_parts(struct trial *t, struct engine *engine, size_t parts,
                          const struct record *whole, const struct parameters *expected,
                          const struct optimizer_state *expected_state)
{
    double tolerance = t->config.dtype == DTYPE_FLOAT64 ? EXACT : 1e-5;
    reset(t, engine);
    for (size_t step = 0; step < t->steps; step++) {
        double loss;
        uint32_t correct;
        size_t count, first = trial_step(t, step, &count);
        double rate = rate_at(t, step);
        step_in_parts(t, engine, t->order + first, count, parts, step % 2 ? &rate : NULL, &loss,
                      &correct);
        trial_near(t, loss, whole->losses[step], tolerance, "the loss of the parts");
        if (t->config.dtype == DTYPE_FLOAT64) assert_int_equal(correct, whole->correct[step]);
    }
    struct parameters *result = trial_parameters(t, engine);
    struct optimizer_state *state = trial_state(t, engine);
    assert_int_equal(state->steps, t->steps);
    if (parameters_are_comparable(t)) {
        trial_near_parameters(t, result, expected, tolerance);
        for (uint32_t slot = 0; slot < state->slot_count; slot++)
            trial_near_parameters(t, state->slots[slot], expected_state->slots[slot], tolerance);
    }
    parameters_destroy(result);
    optimizer_state_destroy(state);
}

static void check_parts(struct trial *t)
{
    struct record whole = new_record(t);
    struct engine *engine = trial_open(t, ops, t->config.dtype);
    double *rates = calloc(t->steps, sizeof *rates);
    assert_non_null(rates);
    for (size_t step = 0; step < t->steps; step++) rates[step] = rate_at(t, step);
    trial_succeed(t, engine_train_at_rates(engine, t->order, t->split.count, rates, whole.losses,
                                           whole.correct, &t->error));
    free(rates);
    struct parameters *expected = trial_parameters(t, engine);
    struct optimizer_state *state = trial_state(t, engine);
    for (size_t parts = 1; parts <= 4; parts++)
        compare_parts(t, engine, parts, &whole, expected, state);
    engine_close(engine);
    parameters_destroy(expected);
    optimizer_state_destroy(state);
    free_record(&whole);
}

/* A batch in one to four parts, their gradients summed: the parameters of train(). */
static void parts_of_a_batch_add_up_to_it(void **state)
{
    (void)state;
    some_trials(check_parts);
}

static void check_sums(struct trial *t)
{
    struct reference *r = &t->reference;
    struct parameters *sums;
    double loss;
    uint32_t correct;
    size_t count, first = trial_step(t, t->steps - 1, &count);
    struct engine *engine = trial_open(t, ops, DTYPE_FLOAT64);
    struct parameters *before = trial_parameters(t, engine);
    trial_succeed(t, parameters_create(&t->config.network, DTYPE_FLOAT64, &sums, &t->error));
    for (int i = 0; i < 2; i++) /* the second time, what is in `sums` is replaced */
        trial_succeed(t, engine_gradients(engine, NULL, t->order + first, count, sums, &loss,
                                          i ? &correct : NULL, &t->error));
    reference_gradient(r, &t->split, t->order + first, count);
    trial_near(t, loss, r->loss * (double)count, EXACT, "the sum of the losses");
    assert_int_equal(correct, r->correct);
    for (size_t i = 0; i < r->gradients->value_count; i++)
        ((double *)r->gradients->values)[i] *= (double)count;
    trial_near_parameters(t, sums, r->gradients, EXACT);
    struct parameters *after = trial_parameters(t, engine);
    struct optimizer_state *state = trial_state(t, engine);
    trial_same_bits(t, before, after);
    assert_int_equal(state->steps, 0);
    parameters_destroy(before);
    parameters_destroy(after);
    parameters_destroy(sums);
    optimizer_state_destroy(state);
    engine_close(engine);
}

/* Sums, not means, without weight decay; and nothing is changed by asking. */
static void gradients_are_sums_and_change_nothing(void **state)
{
    (void)state;
    some_trials(check_sums);
}

/* ---- traces ---- */

/* The next tensor of the trace must be this one. */
static void expect(const struct trial *t, struct trial_seen *seen, const char *name,
                   const size_t *shape, uint32_t rank, const double *values)
{
    assert_true(seen->next < seen->count);
    assert_string_equal(seen->tensors[seen->next].name, name);
    assert_int_equal(seen->tensors[seen->next].rank, rank);
    for (uint32_t i = 0; i < rank; i++)
        assert_int_equal(seen->tensors[seen->next].shape[i], shape[i]);
    for (size_t i = 0; i < seen->tensors[seen->next].size; i++)
        trial_near(t, seen->tensors[seen->next].values[i], values[i],
                   t->config.dtype == DTYPE_FLOAT64 ? EXACT : 1e-5, name);
    seen->next++;
}

static void expect_rows(const struct trial *t, struct trial_seen *seen, const char *name,
                        size_t columns, const double *values)
{
    expect(t, seen, name, (size_t[]){t->reference.count, columns}, 2, values);
}

static void expect_parameters(const struct trial *t, struct trial_seen *seen, const char *prefix,
                              const struct parameters *parameters)
{
    for (size_t k = 0; k < parameters->tensor_count; k++) {
        const struct tensor *tensor = &parameters->tensors[k];
        char name[64];
        snprintf(name, sizeof name, "%s/%s", prefix, tensor->name);
        expect(t, seen, name, tensor->shape, tensor->rank, tensor->values);
    }
}

static void expect_activations(const struct trial *t, struct trial_seen *seen)
{
    const struct reference *r = &t->reference;
    const struct network *network = &r->network;
    char name[64];
    expect_rows(t, seen, "input", network_inputs(network), r->input);
    for (uint32_t n = 0; n + 1 < network->layer_count; n++) {
        snprintf(name, sizeof name, "z%u", n + 1);
        expect_rows(t, seen, name, network->layers[n].outputs, r->z[n]);
        snprintf(name, sizeof name, "a%u", n + 1);
        expect_rows(t, seen, name, network->layers[n].outputs, r->a[n]);
    }
    expect_rows(t, seen, "logits", network_classes(network), reference_logits(r));
    expect_rows(t, seen, "probabilities", network_classes(network), r->probabilities);
    expect(t, seen, "loss", (size_t[]){1}, 1, &r->loss);
}

static void compare_trace(struct trial *t, enum dtype dtype)
{
    struct trial_seen seen = {0};
    size_t count, first = trial_step(t, t->steps - 1, &count); /* the short one */
    struct engine *engine = trial_open(t, ops, dtype);
    trial_succeed(t, engine_trace(engine, t->order + first, count, trial_see, &seen, &t->error));
    trial_restart_reference(t);
    reference_gradient(&t->reference, &t->split, t->order + first, count);
    expect_activations(t, &seen);
    expect_parameters(t, &seen, "grad", t->reference.gradients);
    reference_update(&t->reference);
    if (parameters_are_comparable(t)) {
        expect_parameters(t, &seen, "new", t->reference.parameters);
        assert_int_equal(seen.next, seen.count);
        trial_near_reference(t, engine, dtype == DTYPE_FLOAT64 ? EXACT : 1e-5);
    }
    engine_close(engine);
    trial_forget(&seen);
}

static void check_trace(struct trial *t)
{
    compare_trace(t, DTYPE_FLOAT64);
    compare_trace(t, DTYPE_FLOAT32);
}

static void a_trace_shows_l1_and_l2(void **state)
{
    (void)state;
    struct trial t;
    begin_penalized(&t, trial_find("three hidden layers"), 3, DTYPE_FLOAT64);
    check_trace(&t);
    trial_end(&t);
}

/* Names, order, shapes and values, and the step that was really taken. */
static void a_trace_shows_the_references_step(void **state)
{
    (void)state;
    some_trials(check_trace);
}

/* The mean loss over order[0 … count) from the engine's own logits. */
static double engine_loss(struct trial *t, struct engine *engine, const uint32_t *order,
                          size_t count)
{
    size_t inputs = network_inputs(&t->config.network), classes = t->c->classes;
    uint8_t *pictures = calloc(count, inputs);
    double *logits = calloc(count * classes, sizeof *logits), total = 0;
    assert_true(pictures && logits);
    for (size_t s = 0; s < count; s++)
        memcpy(pictures + s * inputs, t->split.pixels + order[s] * inputs, inputs);
    trial_succeed(t, engine_forward(engine, pictures, count, logits, &t->error));
    for (size_t s = 0; s < count; s++) {
        double sum = 0;
        for (size_t c = 0; c < classes; c++) sum += exp(logits[s * classes + c]);
        total += log(sum) - logits[s * classes + t->split.labels[order[s]]];
    }
    free(pictures);
    free(logits);
    return total / (double)count;
}

/* The slope of the engine's own loss along one parameter. */
static double engine_slope(struct trial *t, struct engine *engine, struct parameters *at,
                           struct tensor *tensor, size_t index, size_t count)
{
    double kept = tensor_get(at, tensor, index), h = 1e-5;
    tensor_set(at, tensor, index, kept + h);
    trial_succeed(t, engine_set_parameters(engine, at, &t->error));
    double above = engine_loss(t, engine, t->order, count);
    tensor_set(at, tensor, index, kept - h);
    trial_succeed(t, engine_set_parameters(engine, at, &t->error));
    double below = engine_loss(t, engine, t->order, count);
    tensor_set(at, tensor, index, kept);
    return (above - below) / (2 * h);
}

static void check_slopes(struct trial *t)
{
    struct trial_seen seen = {0};
    struct parameters *at;
    struct rng rng;
    size_t count;
    trial_step(t, 0, &count);
    struct engine *engine = trial_open(t, ops, DTYPE_FLOAT64);
    trial_succeed(t, engine_trace(engine, t->order, count, trial_see, &seen, &t->error));
    trial_succeed(
        t, parameters_convert(t->initial, &t->config.network, DTYPE_FLOAT64, &at, &t->error));
    rng_seed(&rng, 1, RNG_TEST, 2);
    for (size_t k = 0; k < at->tensor_count; k++) {
        char name[64];
        struct tensor *tensor = &at->tensors[k];
        snprintf(name, sizeof name, "grad/%s", tensor->name);
        const double *gradient = trial_seen_values(t, &seen, name, tensor->count);
        size_t indices[TRIAL_PROBES], chosen = trial_probes(&rng, tensor->count, indices);
        for (size_t p = 0; p < chosen; p++)
            trial_near(t, gradient[indices[p]],
                       engine_slope(t, engine, at, tensor, indices[p], count), 1e-8, name);
    }
    parameters_destroy(at);
    trial_forget(&seen);
    engine_close(engine);
}

/* Without the reference: the engine's gradient against its own forward pass. */
static void gradients_are_the_slopes_of_the_engines_own_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < trial_case_count; i++) {
        size_t a = 0;
        for
            EACH_ACTIVATION(activation, &trial_cases[i])
            {
                if (SANITIZED && is_of_a_product(i, a++)) continue;
                struct trial t;
                trial_begin(&t, &trial_cases[i], activation, trial_find_optimizer("sgd"));
                check_slopes(&t);
                trial_end(&t);
            }
    }
}

static void check_traced_step(struct trial *t)
{
    struct trial_seen seen = {0};
    size_t count;
    double loss[2];
    trial_step(t, 0, &count);
    struct engine *engine = trial_open(t, ops, DTYPE_FLOAT32);
    trial_succeed(t, engine_train(engine, t->order, count, &loss[0], NULL, &t->error));
    trial_succeed(t, engine_train(engine, t->order, count, &loss[0], NULL, &t->error));
    struct parameters *plain = trial_parameters(t, engine);
    engine_close(engine);
    engine = trial_open(t, ops, DTYPE_FLOAT32);
    trial_succeed(t, engine_trace(engine, t->order, count, trial_see, &seen, &t->error));
    trial_succeed(t, engine_train(engine, t->order, count, &loss[1], NULL, &t->error));
    struct parameters *traced = trial_parameters(t, engine);
    assert_true(loss[0] == loss[1]);
    trial_same_bits(t, plain, traced);
    parameters_destroy(plain);
    parameters_destroy(traced);
    trial_forget(&seen);
    engine_close(engine);
}

static void a_traced_step_has_a_plain_ones_bits(void **state)
{
    (void)state;
    some_trials(check_traced_step);
}

static int refuse(void *context, const char *name, const size_t *shape, uint32_t rank,
                  const double *values)
{
    (void)name, (void)shape, (void)rank, (void)values;
    return ++*(int *)context == 3 ? -1 : 0;
}

static void a_trace_ends_when_its_receiver_says_so(void **state)
{
    (void)state;
    struct trial t;
    int calls = 0;
    double loss;
    begin(&t, "one hidden layer", ACTIVATION_RELU, "sgd");
    struct engine *engine = trial_open(&t, ops, DTYPE_FLOAT64);
    assert_int_equal(engine_trace(engine, t.order, 5, refuse, &calls, &t.error), -1);
    assert_int_equal(calls, 3);
    trial_succeed(&t, engine_train(engine, t.order, 5, &loss, NULL, &t.error));
    engine_close(engine);
    trial_end(&t);
}

/* ---- what does not fit ---- */

/* Each asks for something impossible of an open engine with one hidden layer, float64, Adam. */
static int parameters_of_another_dtype(struct trial *t, struct engine *engine)
{
    struct parameters *wrong;
    trial_succeed(t, parameters_create(&t->config.network, DTYPE_FLOAT32, &wrong, &t->error));
    int result = engine_set_parameters(engine, wrong, &t->error);
    parameters_destroy(wrong);
    return result;
}

static struct parameters *parameters_for(struct trial *t, const char *label)
{
    struct network network;
    struct parameters *out;
    const struct trial_case *c = trial_find(label);
    trial_succeed(t, c->build(c, ACTIVATION_RELU, &network, &t->error));
    trial_succeed(t, parameters_create(&network, DTYPE_FLOAT64, &out, &t->error));
    return out;
}

static int parameters_of_another_width(struct trial *t, struct engine *engine)
{
    struct parameters *wrong = parameters_for(t, "the usual network");
    int result = engine_set_parameters(engine, wrong, &t->error);
    parameters_destroy(wrong);
    return result;
}

static int parameters_read_into_another_width(struct trial *t, struct engine *engine)
{
    struct parameters *wrong = parameters_for(t, "the usual network");
    int result = engine_get_parameters(engine, wrong, &t->error);
    parameters_destroy(wrong);
    return result;
}

static int parameters_of_another_depth(struct trial *t, struct engine *engine)
{
    struct parameters *wrong = parameters_for(t, "three hidden layers");
    int result = engine_set_parameters(engine, wrong, &t->error);
    parameters_destroy(wrong);
    return result;
}

/* A state of `network` and the optimizer `label`; sets, or gets into, it. */
static int ask_state(struct trial *t, struct engine *engine, const struct network *network,
                     const char *label, bool set)
{
    struct optimizer_state *state;
    trial_succeed(t, optimizer_state_create(trial_find_optimizer(label), network, DTYPE_FLOAT64,
                                            &state, &t->error));
    int result = set ? engine_set_optimizer_state(engine, state, &t->error)
                     : engine_get_optimizer_state(engine, state, &t->error);
    optimizer_state_destroy(state);
    return result;
}

static int state_of_another_optimizer(struct trial *t, struct engine *engine)
{
    return ask_state(t, engine, &t->config.network, "sgd with momentum", true);
}

static int state_read_into_another_optimizers(struct trial *t, struct engine *engine)
{
    return ask_state(t, engine, &t->config.network, "sgd", false);
}

static int state_of_another_network(struct trial *t, struct engine *engine)
{
    struct network network;
    const struct trial_case *c = trial_find("the usual network");
    trial_succeed(t, c->build(c, ACTIVATION_RELU, &network, &t->error));
    return ask_state(t, engine, &network, "adam", true);
}

static int a_label_without_a_class(struct trial *t, struct engine *engine)
{
    uint8_t *labels = calloc(t->split.count, 1);
    struct split wrong = {t->split.count, t->split.pixels, labels};
    assert_non_null(labels);
    labels[3] = 5;
    int result = engine_attach(engine, &wrong, &t->error);
    free(labels);
    return result;
}

static int no_samples(struct trial *t, struct engine *engine)
{
    return engine_attach(engine, &(struct split){0}, &t->error);
}

static int a_sample_past_the_end(struct trial *t, struct engine *engine)
{
    double loss;
    return engine_train(engine, (uint32_t[]){4, 70}, 2, &loss, NULL, &t->error);
}

static int a_traced_sample_past_the_end(struct trial *t, struct engine *engine)
{
    struct trial_seen seen = {0};
    return engine_trace(engine, (uint32_t[]){UINT32_MAX}, 1, trial_see, &seen, &t->error);
}

static int a_traced_batch_too_large(struct trial *t, struct engine *engine)
{
    struct trial_seen seen = {0};
    return engine_trace(engine, t->order, 17, trial_see, &seen, &t->error);
}

static int a_traced_batch_of_none(struct trial *t, struct engine *engine)
{
    struct trial_seen seen = {0};
    return engine_trace(engine, t->order, 0, trial_see, &seen, &t->error);
}

static int ask_gradients(struct trial *t, struct engine *engine, const struct network *network,
                         enum dtype dtype, size_t count)
{
    struct parameters *sums;
    double loss;
    trial_succeed(t, parameters_create(network, dtype, &sums, &t->error));
    int result = engine_gradients(engine, NULL, t->order, count, sums, &loss, NULL, &t->error);
    parameters_destroy(sums);
    return result;
}

static int a_part_too_large(struct trial *t, struct engine *engine)
{
    return ask_gradients(t, engine, &t->config.network, DTYPE_FLOAT64, 17);
}

static int a_part_outside_its_batch(struct trial *t, struct engine *engine)
{
    const struct engine_part part = {.first = 14, .whole = 16};
    struct parameters *sums = parameters_for(t, "one hidden layer");
    double loss;
    int result = engine_gradients(engine, &part, t->order, 4, sums, &loss, NULL, &t->error);
    parameters_destroy(sums);
    return result;
}

static int sums_of_another_dtype(struct trial *t, struct engine *engine)
{
    return ask_gradients(t, engine, &t->config.network, DTYPE_FLOAT32, 4);
}

static int gradients_of_another_network(struct trial *t, struct engine *engine)
{
    struct parameters *wrong = parameters_for(t, "the usual network");
    int result = engine_apply(engine, wrong, 4, NULL, &t->error);
    parameters_destroy(wrong);
    return result;
}

static int gradients_of_no_samples(struct trial *t, struct engine *engine)
{
    struct parameters *sums = parameters_for(t, "one hidden layer");
    int result = engine_apply(engine, sums, 0, NULL, &t->error);
    parameters_destroy(sums);
    return result;
}

static int gradients_at_a_rate_below_zero(struct trial *t, struct engine *engine)
{
    struct parameters *sums = parameters_for(t, "one hidden layer");
    int result = engine_apply(engine, sums, 4, &(double){-1}, &t->error);
    parameters_destroy(sums);
    return result;
}

static int training_without_samples(struct trial *t, struct engine *engine)
{
    struct engine *fresh;
    double loss;
    (void)engine;
    trial_succeed(t, engine_open(ops, &t->config, &fresh, &t->error));
    int result = engine_train(fresh, t->order, 1, &loss, NULL, &t->error);
    engine_close(fresh);
    return result;
}

static int open_with(struct trial *t, const struct engine_config *config)
{
    struct engine *opened = (struct engine *)t;
    int result = engine_open(ops, config, &opened, &t->error);
    assert_null(opened);
    return result;
}

static int a_batch_size_of_zero(struct trial *t, struct engine *engine)
{
    struct engine_config config = t->config;
    (void)engine;
    config.batch_size = 0;
    return open_with(t, &config);
}

static int no_threads(struct trial *t, struct engine *engine)
{
    struct engine_config config = t->config;
    (void)engine;
    config.threads = 0;
    return open_with(t, &config);
}

static int too_many_threads(struct trial *t, struct engine *engine)
{
    struct engine_config config = t->config;
    (void)engine;
    config.threads = 257;
    return open_with(t, &config);
}

static int a_network_that_does_not_chain(struct trial *t, struct engine *engine)
{
    struct engine_config config = t->config;
    (void)engine;
    config.network.layers[1].inputs++;
    return open_with(t, &config);
}

static int an_optimizer_out_of_range(struct trial *t, struct engine *engine)
{
    struct engine_config config = t->config;
    (void)engine;
    config.optimizer.beta1 = 1;
    return open_with(t, &config);
}

#define OTHER_NETWORK "use the parameters of this network"

static const struct {
    int (*ask)(struct trial *t, struct engine *engine);
    enum error_code code;
    const char *message;
} misfits[] = {
    {parameters_of_another_dtype, ERROR_INPUT,
     "the parameters are float32, not float64: convert them first"},
    {parameters_of_another_width, ERROR_INPUT,
     "the parameter fc1.weight [128, 784] is not the network's fc1.weight [12, "
     "42]: " OTHER_NETWORK},
    {parameters_read_into_another_width, ERROR_INPUT,
     "the parameter fc1.weight [128, 784] is not the network's fc1.weight [12, "
     "42]: " OTHER_NETWORK},
    {parameters_of_another_depth, ERROR_INPUT,
     "there are 8 tensors of parameters but the network has 4: " OTHER_NETWORK},
    {state_of_another_optimizer, ERROR_INPUT,
     "the optimizer state has 1 slots but adam keeps 2 here: use the state of the same "
     "optimizer"},
    {state_read_into_another_optimizers, ERROR_INPUT,
     "the optimizer state has 0 slots but adam keeps 2 here: use the state of the same "
     "optimizer"},
    {state_of_another_network, ERROR_INPUT,
     "the optimizer state: the parameter fc1.weight [128, 784] is not the network's fc1.weight "
     "[12, 42]: " OTHER_NETWORK},
    {a_label_without_a_class, ERROR_INPUT,
     "sample 3 has label 5 but the network has 5 classes: make the last layer wider"},
    {no_samples, ERROR_INPUT, "there are no samples to train on: add some"},
    {a_sample_past_the_end, ERROR_INPUT,
     "the order names sample 70 but the data set has 70: use 0 to 69"},
    {a_traced_sample_past_the_end, ERROR_INPUT,
     "the order names sample 4294967295 but the data set has 70: use 0 to 69"},
    {a_traced_batch_too_large, ERROR_INPUT, "a batch of 17 is out of range: use 1 to 16 samples"},
    {a_traced_batch_of_none, ERROR_INPUT, "a batch of 0 is out of range: use 1 to 16 samples"},
    {a_part_too_large, ERROR_INPUT, "a batch of 17 is out of range: use 1 to 16 samples"},
    {a_part_outside_its_batch, ERROR_INPUT,
     "4 samples from number 14 on do not lie in a batch of 16: give the place of the part in its "
     "batch"},
    {sums_of_another_dtype, ERROR_INPUT,
     "the parameters are float32, not float64: convert them first"},
    {gradients_of_another_network, ERROR_INPUT,
     "the parameter fc1.weight [128, 784] is not the network's fc1.weight [12, "
     "42]: " OTHER_NETWORK},
    {gradients_of_no_samples, ERROR_INPUT,
     "gradients of 0 samples cannot be applied: give the number of samples in all parts"},
    {gradients_at_a_rate_below_zero, ERROR_INPUT,
     "the learning rate -1 of a step is out of range: use 0 to 1000"},
    {training_without_samples, ERROR_USAGE, "no samples are attached: attach a data set first"},
    {a_batch_size_of_zero, ERROR_INPUT, "batch size 0 is out of range: use 1 or more"},
    {no_threads, ERROR_INPUT, "0 threads are out of range: use 1 to 256"},
    {too_many_threads, ERROR_INPUT, "257 threads are out of range: use 1 to 256"},
    {a_network_that_does_not_chain, ERROR_INPUT,
     "layer 2: it takes 13 values but gets 12: make the sizes fit"},
    {an_optimizer_out_of_range, ERROR_INPUT,
     "beta1 1 is out of range: give 0 up to, but not including, 1"},
};

/* Every engine answers with the same line, and trains on as if nothing had been asked. */
static void what_does_not_fit_is_refused_alike(void **state)
{
    (void)state;
    struct trial t;
    double loss;
    begin(&t, "one hidden layer", ACTIVATION_TANH, "adam");
    struct engine *engine = trial_open(&t, ops, DTYPE_FLOAT64);
    for (size_t i = 0; i < sizeof misfits / sizeof misfits[0]; i++) {
        t.error = (struct error){0};
        assert_int_equal(misfits[i].ask(&t, engine), -1);
        assert_string_equal(t.error.message, misfits[i].message);
        assert_int_equal(t.error.code, misfits[i].code);
    }
    trial_succeed(&t, engine_train(engine, t.order, t.c->batch, &loss, NULL, &t.error));
    reference_step(&t.reference, &t.split, t.order, t.c->batch);
    trial_near_reference(&t, engine, EXACT);
    engine_close(engine);
    trial_end(&t);
}

/* A batch's l1 and l2 are added once, whatever parts it has. */
static void parts_of_a_batch_leave_l1_and_l2_to_the_whole(void **state)
{
    (void)state;
    struct trial t;
    begin_penalized(&t, trial_find("one hidden layer"), 0, DTYPE_FLOAT64);
    check_parts(&t);
    trial_end(&t);
}

static void a_device_that_is_not_offered_is_refused(void **state)
{
    (void)state;
    struct trial t;
    char expected[128];
    begin(&t, "one hidden layer", ACTIVATION_TANH, "adam");
    t.config.device = "cuda:77";
    assert_int_equal(open_with(&t, &t.config), -1);
    snprintf(expected, sizeof expected, "%s offers no device \"cuda:77\" here: use cpu",
             ops->title);
    assert_memory_equal(t.error.message, expected, strlen(expected));
    assert_int_equal(t.error.code, ERROR_UNAVAILABLE);
    trial_end(&t);
}

static void nothing_asked_is_nothing_done(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "one hidden layer", ACTIVATION_TANH, "adam");
    struct engine *engine = trial_open(&t, ops, DTYPE_FLOAT64);
    trial_succeed(&t, engine_train(engine, NULL, 0, NULL, NULL, &t.error));
    trial_succeed(&t, engine_forward(engine, NULL, 0, NULL, &t.error));
    trial_near_reference(&t, engine, 0);
    engine_close(engine);
    engine_close(NULL);
    trial_end(&t);
}

/* ---- memory ---- */

static void memory_does_not_grow_with_calls(void **state)
{
    (void)state;
    /* The sanitizer keeps freed memory for a while, and finds leaks in its own way. */
    if (SANITIZED) skip();
    struct trial t;
    uint64_t before = 0;
    begin(&t, "one hidden layer", ACTIVATION_RELU, "adam");
    struct engine *engine = trial_open(&t, ops, DTYPE_FLOAT32);
    double *losses = calloc(t.steps, sizeof *losses),
           *logits = calloc(t.split.count * t.c->classes, sizeof *logits);
    assert_true(losses && logits);
    for (int round = 0; round < 700; round++) {
        if (round == 200) before = clock_rss();
        trial_succeed(&t, engine_train(engine, t.order, t.split.count, losses, NULL, &t.error));
        trial_succeed(&t, engine_forward(engine, t.split.pixels, t.split.count, logits, &t.error));
        parameters_destroy(trial_parameters(&t, engine));
    }
    /* 2,500 steps: one tensor lost per step, handle and object, would be half a megabyte. */
    assert_true(clock_rss() < before + (uint64_t)384 * 1024);
    free(losses);
    free(logits);
    engine_close(engine);
    trial_end(&t);
}

/* ---- speed ---- */

static const struct {
    const char *optimizer;
    enum dtype dtype;
    uint32_t batch;
} speeds[] = {
    {"sgd", DTYPE_FLOAT32, 32},   {"sgd", DTYPE_FLOAT32, 128}, {"adam", DTYPE_FLOAT32, 32},
    {"adam", DTYPE_FLOAT32, 128}, {"sgd", DTYPE_FLOAT64, 32},
};

/* The quickest of ten rounds, for each row: what other work of the machine did not disturb. */
static int measure_speed(void)
{
    static const struct trial_case c = {.label = "784-128-10",
                                        .rows = 28,
                                        .columns = 28,
                                        .classes = 10,
                                        .hidden = {128},
                                        .depth = 1,
                                        .samples = 6400,
                                        .batch = 32,
                                        .share = 0.19};
    printf("%s, 784-128-10, one thread\n%-6s %-8s %6s %12s %14s %16s\n", ops->title, "", "dtype",
           "batch", "us per step", "samples/s", "forward/s");
    for (size_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
        struct trial t;
        struct trial_case row = c;
        row.build = trial_cases[0].build;
        row.batch = speeds[i].batch;
        trial_begin(&t, &row, ACTIVATION_RELU, trial_find_optimizer(speeds[i].optimizer));
        double train = 1e9, forward = 1e9, *losses = calloc(t.steps, sizeof *losses),
               *logits = calloc(row.samples, row.classes * sizeof *logits);
        assert_true(losses && logits);
        struct engine *engine = trial_open(&t, ops, speeds[i].dtype);
        for (int round = 0; round < 10; round++) {
            double start = clock_monotonic();
            trial_succeed(&t, engine_train(engine, t.order, row.samples, losses, NULL, &t.error));
            train = fmin(train, clock_monotonic() - start);
            start = clock_monotonic();
            trial_succeed(&t,
                          engine_forward(engine, t.split.pixels, row.samples, logits, &t.error));
            forward = fmin(forward, clock_monotonic() - start);
        }
        printf("%-6s %-8s %6u %12.1f %14.0f %16.0f\n", speeds[i].optimizer,
               dtype_name(speeds[i].dtype), row.batch, 1e6 * train / (double)t.steps,
               row.samples / train, row.samples / forward);
        free(losses);
        free(logits);
        engine_close(engine);
        trial_end(&t);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct error error;
    struct engine_probe found;
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--perf") != 0))
        return fprintf(stderr, "usage: test_engines ENGINE [--perf]\n"), 2;
    if (engine_need(argv[1], &ops, &error)) return fprintf(stderr, "%s\n", error.message), 2;
    ops->probe(&found);
    if (!found.found) return printf("skipped: %s\n", found.missing), SKIPPED;
    if (argc == 3) return measure_speed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_matches_the_reference),
        cmocka_unit_test(l1_and_l2_are_part_of_the_loss),
        cmocka_unit_test(a_continued_run_gives_the_same_bits),
        cmocka_unit_test(a_new_learning_rate_holds_from_the_next_step),
        cmocka_unit_test(a_fresh_engine_has_zero_parameters),
        cmocka_unit_test(forward_gives_the_references_logits),
        cmocka_unit_test(values_are_refused_where_they_are_not_taken),
        cmocka_unit_test(gradients_are_sums_and_change_nothing),
        cmocka_unit_test(parts_of_a_batch_add_up_to_it),
        cmocka_unit_test(an_order_may_repeat_samples),
        cmocka_unit_test(a_trace_shows_the_references_step),
        cmocka_unit_test(a_trace_shows_l1_and_l2),
        cmocka_unit_test(gradients_are_the_slopes_of_the_engines_own_loss),
        cmocka_unit_test(a_traced_step_has_a_plain_ones_bits),
        cmocka_unit_test(a_trace_ends_when_its_receiver_says_so),
        cmocka_unit_test(what_does_not_fit_is_refused_alike),
        cmocka_unit_test(parts_of_a_batch_leave_l1_and_l2_to_the_whole),
        cmocka_unit_test(a_device_that_is_not_offered_is_refused),
        cmocka_unit_test(nothing_asked_is_nothing_done),
        cmocka_unit_test(memory_does_not_grow_with_calls),
    };
    return cmocka_run_group_tests_name(ops->title, tests, NULL, NULL);
}
