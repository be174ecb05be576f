/* engine/native: the number of threads changes no bit. */
#include "trial.h"

#include <stdlib.h>
#include <string.h>

static const struct engine_ops *native(void)
{
    return engine_find("native");
}

/* What training with some number of threads left. */
struct result {
    double *losses; /* [steps] */
    struct parameters *parameters;
    struct optimizer_state *state;
};

static struct result train_with(struct trial *t, uint32_t threads)
{
    struct result result = {.losses = calloc(t->steps, sizeof(double))};
    assert_non_null(result.losses);
    t->config.threads = threads;
    struct engine *engine = trial_open(t, native(), t->config.dtype);
    for (int epoch = 0; epoch < 3; epoch++)
        trial_succeed(
            t, engine_train(engine, t->order, t->split.count, result.losses, NULL, &t->error));
    result.parameters = trial_parameters(t, engine);
    result.state = trial_state(t, engine);
    engine_close(engine);
    return result;
}

static void free_result(struct result *result)
{
    free(result->losses);
    parameters_destroy(result->parameters);
    optimizer_state_destroy(result->state);
}

static void compare_threads(struct trial *t)
{
    static const uint32_t threads[] = {2, 3, 7};
    struct result one = train_with(t, 1);
    for (size_t i = 0; i < 3; i++) {
        struct result more = train_with(t, threads[i]);
        assert_memory_equal(one.losses, more.losses, t->steps * sizeof(double));
        trial_same_bits(t, one.parameters, more.parameters);
        for (uint32_t slot = 0; slot < one.state->slot_count; slot++)
            trial_same_bits(t, one.state->slots[slot], more.state->slots[slot]);
        free_result(&more);
    }
    free_result(&one);
}

static void results_do_not_depend_on_the_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < trial_case_count; i++)
        for (size_t o = 0; o < trial_optimizer_count; o++) {
            struct trial trial;
            trial_begin(&trial, &trial_cases[i], ACTIVATION_TANH, &trial_optimizers[o].optimizer);
            trial.config.dtype = o % 2 ? DTYPE_FLOAT64 : DTYPE_FLOAT32;
            compare_threads(&trial);
            trial_end(&trial);
        }
}

/* An index of 16 bits finds the tuples of a picture up to a size (samples.h): beyond it a plan
 * trains the same network. */
static void a_picture_too_large_for_lists_trains_all_the_same(void **state)
{
    (void)state;
    struct trial_case c = *trial_find("no hidden layer");
    c.rows = 513, c.columns = 512, c.classes = 2;
    struct trial trial;
    trial_begin(&trial, &c, ACTIVATION_NONE, trial_find_optimizer("sgd"));
    trial.config.dtype = DTYPE_FLOAT64;
    compare_threads(&trial);
    trial_end(&trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_do_not_depend_on_the_threads),
        cmocka_unit_test(a_picture_too_large_for_lists_trains_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
