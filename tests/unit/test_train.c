/* train/: the order, the loop, and that neither chunks nor interruptions change a number. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/fit.h"
#include "train/metrics.h"
#include "train/schedule.h"

#define SAMPLES 1000
#define BATCH   32
#define STEPS   32 /* an epoch; the last batch has 8 samples */
#define EPOCHS  3

static struct dataset *open_digits(void)
{
    struct dataset *dataset;
    struct error error;
    assert_int_equal(
        dataset_open("synthetic", &(struct dataset_options){.limit = SAMPLES}, &dataset, &error),
        0);
    assert_int_equal(dataset->train.count, SAMPLES);
    return dataset;
}

/* A native engine with drawn weights, and what a run over it left. */
struct bench {
    struct dataset *dataset;
    struct network network;
    struct optimizer optimizer;
    struct engine *engine;
    struct parameters *parameters;
    struct optimizer_state *state;
    struct fit_position position;
    double losses[STEPS * EPOCHS];
    size_t loss_count, calls, epochs;
    uint64_t stop_at; /* global step to stop at or after; 0: never */
    struct fit_epoch last;
};

static void bench_open(struct bench *bench, struct dataset *dataset, const char *optimizer,
                       double learning_rate)
{
    struct error error;
    *bench = (struct bench){.dataset = dataset};
    assert_int_equal(
        network_build(&bench->network, 28, 28, (uint32_t[]){16}, 1, ACTIVATION_RELU, 10, &error),
        0);
    assert_int_equal(optimizer_init(&bench->optimizer, optimizer, &error), 0);
    bench->optimizer.learning_rate = learning_rate;
    const struct engine_config config = {.network = bench->network,
                                         .dtype = DTYPE_FLOAT32,
                                         .optimizer = bench->optimizer,
                                         .batch_size = BATCH,
                                         .threads = 1,
                                         .device = "cpu"};
    assert_int_equal(engine_open(engine_find("native"), &config, &bench->engine, &error), 0);
    assert_int_equal(engine_attach(bench->engine, &dataset->train, &error), 0);
    assert_int_equal(parameters_create(&bench->network, DTYPE_FLOAT32, &bench->parameters, &error),
                     0);
    assert_int_equal(optimizer_state_create(&bench->optimizer, &bench->network, DTYPE_FLOAT32,
                                            &bench->state, &error),
                     0);
    parameters_draw(bench->parameters, &bench->network, INIT_TORCH, 7);
    assert_int_equal(engine_set_parameters(bench->engine, bench->parameters, &error), 0);
}

static void bench_close(struct bench *bench)
{
    engine_close(bench->engine);
    parameters_destroy(bench->parameters);
    optimizer_state_destroy(bench->state);
}

static enum fit_request on_steps(void *context, const struct fit_position *position,
                                 uint64_t first_step, const double *losses, size_t count)
{
    struct bench *bench = context;
    assert_int_equal(first_step + count, position->global_step);
    assert_true(first_step + count <= STEPS * EPOCHS);
    memcpy(bench->losses + first_step, losses, count * sizeof *losses);
    bench->loss_count += count;
    bench->calls++;
    return bench->stop_at && position->global_step >= bench->stop_at ? FIT_STOP : FIT_GO_ON;
}

static enum fit_request on_epoch_end(void *context, const struct fit_position *position,
                                     const struct fit_epoch *epoch)
{
    struct bench *bench = context;
    assert_int_equal(position->epoch, epoch->epoch);
    assert_int_equal(position->step, 0);
    bench->last = *epoch;
    bench->epochs++;
    return FIT_GO_ON;
}

static int bench_fit(struct bench *bench, double events_per_second, struct error *error)
{
    const struct fit_config config = {
        .epochs = EPOCHS, .batch_size = BATCH, .seed = 5, .events_per_second = events_per_second};
    const struct fit_callbacks callbacks = {bench, on_steps, on_epoch_end};
    if (fit(bench->engine, bench->dataset, &config, &bench->position, &callbacks, error)) return -1;
    assert_int_equal(engine_get_parameters(bench->engine, bench->parameters, error), 0);
    assert_int_equal(engine_get_optimizer_state(bench->engine, bench->state, error), 0);
    return 0;
}

static void assert_same_parameters(const struct parameters *a, const struct parameters *b)
{
    assert_memory_equal(a->values, b->values, a->value_count * dtype_size(a->dtype));
}

static void the_order_is_a_permutation_of_seed_and_epoch(void **state)
{
    (void)state;
    uint32_t first[SAMPLES], again[SAMPLES], other[SAMPLES], seen[SAMPLES] = {0};
    fit_order(3, 1, first, SAMPLES);
    fit_order(3, 1, again, SAMPLES);
    assert_memory_equal(first, again, sizeof first);
    for (size_t i = 0; i < SAMPLES; i++) seen[first[i]]++;
    for (size_t i = 0; i < SAMPLES; i++) assert_int_equal(seen[i], 1);
    fit_order(3, 2, other, SAMPLES);
    assert_memory_not_equal(first, other, sizeof first);
    fit_order(4, 1, other, SAMPLES);
    assert_memory_not_equal(first, other, sizeof first);
    /* Known values: the order is part of what a seed means, on every machine and in every version.
     */
    fit_order(0, 0, first, 8);
    const uint32_t known[] = {6, 7, 2, 0, 3, 1, 5, 4};
    assert_memory_equal(first, known, sizeof known);
}

static void chunks_change_no_number(void **state)
{
    (void)state;
    struct dataset *dataset = open_digits();
    struct bench small, large;
    struct error error;
    bench_open(&small, dataset, "adam", 0.001);
    bench_open(&large, dataset, "adam", 0.001);
    assert_int_equal(bench_fit(&small, 1e12, &error), 0); /* a step a call */
    assert_int_equal(bench_fit(&large, 1e-9, &error), 0); /* as many as there are */
    assert_int_equal(small.calls, STEPS * EPOCHS);
    assert_true(large.calls < small.calls);
    assert_int_equal(large.loss_count, STEPS * EPOCHS);
    assert_memory_equal(small.losses, large.losses, sizeof small.losses);
    assert_same_parameters(small.parameters, large.parameters);
    assert_true(small.last.loss == large.last.loss);
    assert_true(small.last.val_accuracy == large.last.val_accuracy);
    assert_true(small.last.val_accuracy > 0.5);
    assert_int_equal(small.epochs, EPOCHS);
    bench_close(&small);
    bench_close(&large);
    dataset_close(dataset);
}

/* The heart of resuming: stop in mid-epoch, carry the state to a fresh engine, and get the same
 * bits. */
static void a_stopped_run_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    struct dataset *dataset = open_digits();
    struct bench straight, first, second;
    struct error error;
    bench_open(&straight, dataset, "adam", 0.001);
    bench_open(&first, dataset, "adam", 0.001);
    bench_open(&second, dataset, "adam", 0.001);
    assert_int_equal(bench_fit(&straight, 1e12, &error), 0);

    first.stop_at = STEPS + 13;
    assert_int_equal(bench_fit(&first, 1e12, &error), 0);
    assert_int_equal(first.position.epoch, 1);
    assert_int_equal(first.position.step, 13);
    second.position = first.position;
    assert_int_equal(engine_set_parameters(second.engine, first.parameters, &error), 0);
    assert_int_equal(engine_set_optimizer_state(second.engine, first.state, &error), 0);
    assert_int_equal(bench_fit(&second, 1e12, &error), 0);

    assert_int_equal(first.loss_count + second.loss_count, STEPS * EPOCHS);
    memcpy(second.losses, first.losses, first.loss_count * sizeof first.losses[0]);
    assert_memory_equal(straight.losses, second.losses, sizeof straight.losses);
    assert_same_parameters(straight.parameters, second.parameters);
    assert_true(straight.last.loss == second.last.loss);
    assert_true(straight.last.accuracy == second.last.accuracy);
    assert_int_equal(straight.state->steps, second.state->steps);
    bench_close(&straight);
    bench_close(&first);
    bench_close(&second);
    dataset_close(dataset);
}

static void a_diverging_run_names_the_step(void **state)
{
    (void)state;
    struct dataset *dataset = open_digits();
    struct bench bench;
    struct error error;
    bench_open(&bench, dataset, "sgd", 0.01);
    for (size_t i = 0; i < bench.parameters->tensor_count; i++)
        tensor_set(bench.parameters, &bench.parameters->tensors[i], 0, 1e38);
    assert_int_equal(engine_set_parameters(bench.engine, bench.parameters, &error), 0);
    assert_int_equal(bench_fit(&bench, 1e12, &error), -1);
    assert_non_null(strstr(error.message, "(epoch 1): try a smaller learning rate"));
    for (size_t i = 0; i < bench.loss_count; i++) assert_true(isfinite(bench.losses[i]));
    bench_close(&bench);
    dataset_close(dataset);
}

static void a_position_of_other_data_is_refused(void **state)
{
    (void)state;
    struct dataset *dataset = open_digits();
    struct bench bench;
    struct error error;
    bench_open(&bench, dataset, "sgd", 0.01);
    bench.position.step = STEPS + 1;
    assert_int_equal(bench_fit(&bench, 25, &error), -1);
    assert_non_null(strstr(error.message, "was it made with other data?"));
    bench_close(&bench);
    dataset_close(dataset);
}

static void metrics_hold_at_any_scale(void **state)
{
    (void)state;
    const double logits[] = {1000, 0, -1000, 0, 0, 0};
    uint32_t confusion[9] = {0};
    struct metrics metrics = {.confusion = confusion};
    metrics_add(&metrics, logits, 2, 3, (const uint8_t[]){1, 0});
    assert_true(fabs(metrics.loss - (1000 + log(3.0)) / 2) < 1e-9);
    assert_true(metrics.accuracy == 0.5);
    assert_int_equal(confusion[3], 1); /* true 1, predicted 0 */
    assert_int_equal(confusion[0], 1); /* the first of equal logits */
}

/* torch.optim.lr_scheduler.OneCycleLR divides by zero there. */
static void one_cycle_may_begin_at_its_peak(void **state)
{
    (void)state;
    struct schedule schedule;
    struct schedule_state fresh = {0};
    struct error error;
    const struct schedule_span span = {.learning_rate = 0.1, .steps_per_epoch = 4, .epochs = 1};
    assert_int_equal(
        schedule_parse("onecycle:max=2,share=0.25", MEANING_PYTORCH, 0, &schedule, &error), 0);
    assert_true(schedule_rate(&schedule, &span, &fresh, 0) == 2);
    double last = schedule_rate(&schedule, &span, &fresh, 3);
    assert_true(last > 0 && last < 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_a_permutation_of_seed_and_epoch),
        cmocka_unit_test(chunks_change_no_number),
        cmocka_unit_test(a_stopped_run_goes_on_with_the_same_bits),
        cmocka_unit_test(a_diverging_run_names_the_step),
        cmocka_unit_test(a_position_of_other_data_is_refused),
        cmocka_unit_test(metrics_hold_at_any_scale),
        cmocka_unit_test(one_cycle_may_begin_at_its_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
