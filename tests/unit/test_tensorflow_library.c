/* engine/tensorflow: finding the library, refusing what is none, and what TensorFlow itself
 * refuses. */
#include "trial.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct engine_ops *tensorflow(void)
{
    return engine_find("tensorflow");
}

static void what_tensorflow_refuses_is_one_clear_line(void **state)
{
    (void)state;
    struct engine_probe found;
    tensorflow()->probe(&found);
    if (!found.found) skip();
    struct trial t;
    double loss;
    trial_begin(&t, trial_find("one hidden layer"), ACTIVATION_RELU, trial_find_optimizer("sgd"));
    struct engine *engine = trial_open(&t, tensorflow(), DTYPE_FLOAT64);
    uint8_t strange[70];
    assert_true(t.split.count <= sizeof strange);
    memset(strange, 5, sizeof strange);
    const struct split wrong = {t.split.count, t.split.pixels, strange};
    /* engine_attach() would refuse the labels, so the engine is asked itself. */
    trial_succeed(&t, tensorflow()->attach(engine, &wrong, &t.error));
    assert_int_equal(engine_train(engine, t.order, 2, &loss, NULL, &t.error), -1);
    assert_non_null(
        strstr(t.error.message, "training with TensorFlow: Received a label value of 5"));
    assert_null(strchr(t.error.message, '\n'));
    /* It goes on with good samples. */
    trial_succeed(&t, engine_attach(engine, &t.split, &t.error));
    trial_succeed(&t, engine_train(engine, t.order, 2, &loss, NULL, &t.error));
    reference_step(&t.reference, &t.split, t.order, 2);
    trial_near(&t, loss, t.reference.loss, 1e-12, "a loss");
    trial_near_reference(&t, engine, 1e-12);
    engine_close(engine);
    trial_end(&t);
}

/* Opens with NNSTUDIO_TENSORFLOW_LIB at `path`: must fail, with one line. */
static void fail_with_library(const char *path, struct error *error)
{
    struct engine_config config = {.batch_size = 16, .threads = 1};
    const struct trial_case *c = trial_find("one hidden layer");
    const char *now = getenv("NNSTUDIO_TENSORFLOW_LIB");
    char *chosen = now ? strdup(now) : NULL;
    struct engine *engine;
    assert_int_equal(c->build(c, ACTIVATION_RELU, &config.network, error), 0);
    config.optimizer = *trial_find_optimizer("sgd");
    setenv("NNSTUDIO_TENSORFLOW_LIB", path, 1);
    assert_int_equal(engine_open(tensorflow(), &config, &engine, error), -1);
    assert_null(engine);
    assert_null(strchr(error->message, '\n'));
    assert_int_equal(error->code, ERROR_UNAVAILABLE);
    if (chosen)
        setenv("NNSTUDIO_TENSORFLOW_LIB", chosen, 1);
    else
        unsetenv("NNSTUDIO_TENSORFLOW_LIB");
    free(chosen);
}

static void a_missing_library_is_told_in_one_line(void **state)
{
    (void)state;
    struct error error;
    fail_with_library("/nonexistent", &error);
    assert_non_null(strstr(error.message, "TensorFlow is not installed: run"));
    assert_non_null(strstr(error.message, "NNSTUDIO_TENSORFLOW_LIB"));
}

static void a_library_that_is_no_tensorflow_is_refused(void **state)
{
    (void)state;
    struct error error;
    Dl_info other; /* some shared library that is there */
    assert_true(dladdr((void *)(uintptr_t)cos, &other) != 0);
    fail_with_library(other.dli_fname, &error);
    assert_non_null(strstr(error.message, "is another library, without TF_NewGraph: set "));
}

static void a_file_that_is_no_library_is_refused(void **state)
{
    (void)state;
    struct error error;
    fail_with_library("/proc/self/cmdline", &error);
}

int main(void)
{
    /* Before the real library is loaded, which stays. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_told_in_one_line),
        cmocka_unit_test(a_library_that_is_no_tensorflow_is_refused),
        cmocka_unit_test(a_file_that_is_no_library_is_refused),
        cmocka_unit_test(what_tensorflow_refuses_is_one_clear_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
