/* engine/torch: finding the library, refusing what is none, and what PyTorch itself refuses. */
#include "trial.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"

static const struct engine_ops *torch(void)
{
    return engine_find("torch");
}

static struct engine_config some_config(void)
{
    struct engine_config config = {.batch_size = 16, .threads = 1};
    const struct trial_case *c = trial_find("one hidden layer");
    struct error error;
    assert_int_equal(c->build(c, ACTIVATION_RELU, &config.network, &error), 0);
    config.optimizer = *trial_find_optimizer("sgd");
    return config;
}

/* Points the engine at another library, until restore(): the user's own choice must come back. */
static char *chosen;

static void point_at(const char *path)
{
    const char *now = getenv("NNSTUDIO_TORCH_LIB");
    chosen = now ? strdup(now) : NULL;
    setenv("NNSTUDIO_TORCH_LIB", path, 1);
}

static void restore(void)
{
    if (chosen)
        setenv("NNSTUDIO_TORCH_LIB", chosen, 1);
    else
        unsetenv("NNSTUDIO_TORCH_LIB");
    free(chosen);
}

static void a_missing_library_is_told_in_one_line(void **state)
{
    (void)state;
    struct engine_probe probe;
    point_at("/nonexistent");
    torch()->probe(&probe);
    assert_false(probe.found);
    assert_non_null(strstr(probe.missing, "NNSTUDIO_TORCH_LIB"));
    struct engine_config config = some_config();
    struct engine *engine;
    struct error error;
    assert_int_equal(engine_open(torch(), &config, &engine, &error), -1);
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    restore();
}

static void a_library_that_is_no_pytorch_is_refused(void **state)
{
    (void)state;
    struct engine_config config = some_config();
    struct engine *engine;
    struct error error;
    point_at("/proc/self/exe");
    assert_int_equal(engine_open(torch(), &config, &engine, &error), -1);
    assert_non_null(strstr(error.message, "PyTorch"));
    assert_null(strchr(error.message, '\n'));
    restore();
}

static void a_library_without_the_stable_abi_is_refused(void **state)
{
    (void)state;
    struct engine_config config = some_config();
    struct engine *engine;
    struct error error;
    Dl_info other; /* some shared library that is there */
    assert_true(dladdr((void *)(uintptr_t)_cmocka_run_group_tests, &other) != 0);
    point_at(other.dli_fname);
    assert_int_equal(engine_open(torch(), &config, &engine, &error), -1);
    assert_non_null(
        strstr(error.message, "is another library, without aoti_torch_abi_version: set "));
    restore();
}

/* The bytes of fake_torch.so, beside this program. */
static char *read_fake(size_t *size)
{
    char *path, *bytes, file[4096];
    struct error error;
    assert_int_equal(path_self(&path, &error), 0);
    snprintf(file, sizeof file, "%.*s/fake_torch.so", (int)(strrchr(path, '/') - path), path);
    free(path);
    assert_int_equal(file_read(file, 1 << 20, &bytes, size, &error), 0);
    return bytes;
}

/* Cut anywhere, or with any of its bytes changed, it is taken or refused, and nothing else. */
static void a_damaged_library_is_no_pytorch(void **state)
{
    (void)state;
    char folder[] = "/tmp/nnstudio-torch-XXXXXX", path[64];
    size_t size, found = 0;
    char *bytes = read_fake(&size);
    struct error error;
    struct engine_probe probe;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/libtorch_cpu.so", folder);
    point_at(path);
    for (size_t cut = 0; cut < size; cut += 61) {
        assert_int_equal(file_write(path, bytes, cut, &error), 0);
        torch()->probe(&probe);
        assert_false(probe.found);
        assert_non_null(strstr(probe.missing, cut < 64 ? "not a shared library" : "not whole"));
    }
    for (size_t at = 0; at < size; at += 13) {
        char kept = bytes[at];
        bytes[at] ^= (char)(1 << at % 8);
        assert_int_equal(file_write(path, bytes, size, &error), 0);
        torch()->probe(&probe);
        found += probe.found;
        bytes[at] = kept;
    }
    assert_true(found > 0);
    restore();
    free(bytes);
    assert_int_equal(file_remove_tree(folder, &error), 0);
}

/* A site-packages of a few files is enough for probe(), which loads nothing. */
static void probe_tells_version_and_build(void **state)
{
    (void)state;
    static const char *const files[] = {"torch/lib/libtorch_cpu.so",
                                        "torch-2.9.1+cu128.dist-info/METADATA"};
    char root[] = "/tmp/nnstudio-torch-XXXXXX", path[256];
    struct error error;
    struct engine_probe probe;
    size_t size;
    char *library = read_fake(&size);
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        *strrchr(path, '/') = '\0';
        assert_int_equal(file_make_directories(path, &error), 0);
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        assert_int_equal(file_write(path, library, i ? 0 : size, &error), 0);
    }
    free(library);
    point_at(root);
    torch()->probe(&probe);
    assert_false(probe.found);
    assert_string_equal(probe.version, "2.9.1");
    assert_non_null(strstr(probe.missing, "2.9.1 is too old: version 2.10"));

    char newer[256];
    snprintf(path, sizeof path, "%s/torch-2.9.1+cu128.dist-info", root);
    snprintf(newer, sizeof newer, "%s/torch-2.12.0.dist-info", root);
    assert_int_equal(rename(path, newer), 0);
    snprintf(path, sizeof path, "%s/torch/lib/libtorch_cuda.so", root);
    assert_int_equal(file_write(path, "", 0, &error), 0);
    torch()->probe(&probe);
    assert_true(probe.found);
    assert_string_equal(probe.version, "2.12.0");
    assert_string_equal(probe.detail, "stable ABI, CUDA build");
    assert_string_equal(probe.devices[0], "cpu");
    restore();
    assert_int_equal(file_remove_tree(root, &error), 0);
}

static void what_pytorch_says_becomes_one_line(void **state)
{
    (void)state;
    struct engine_probe found;
    torch()->probe(&found);
    if (!found.found) skip();
    struct trial t;
    double loss;
    trial_begin(&t, trial_find("one hidden layer"), ACTIVATION_RELU, trial_find_optimizer("sgd"));
    struct engine *engine = trial_open(&t, torch(), DTYPE_FLOAT64);
    uint8_t *label = &t.split.labels[t.order[3]], kept = *label;
    *label = 6; /* no such class, and changed after it was checked */
    assert_int_equal(engine_train(engine, t.order, 16, &loss, NULL, &t.error), -1);
    *label = kept;
    assert_non_null(strstr(t.error.message, "PyTorch failed in aten::cross_entropy_loss"));
    assert_null(strchr(t.error.message, '\n'));
    /* Nothing was changed by the step that failed, and the engine goes on. */
    trial_succeed(&t, engine_train(engine, t.order, 16, &loss, NULL, &t.error));
    reference_step(&t.reference, &t.split, t.order, 16);
    trial_near(&t, loss, t.reference.loss, 1e-13, "a loss");
    trial_near_reference(&t, engine, 1e-13);
    engine_close(engine);
    trial_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_told_in_one_line),
        cmocka_unit_test(a_library_that_is_no_pytorch_is_refused),
        cmocka_unit_test(a_library_without_the_stable_abi_is_refused),
        cmocka_unit_test(a_damaged_library_is_no_pytorch),
        cmocka_unit_test(probe_tells_version_and_build),
        cmocka_unit_test(what_pytorch_says_becomes_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
