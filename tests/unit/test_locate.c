/* engine/locate: a framework's library is found in the promised order, without running anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "engine/locate.h"

/* A name no real environment has, so that whatever is installed on the machine cannot get in the
 * way. */
#define LIBRARY  "nnstudio_probe/lib/libprobe.so.1"
#define VARIABLE "NNSTUDIO_PROBE_LIB"

static char root[256]; /* a temporary folder, the current one during each test */
static char start[4096];
static char found[4096];

static void put(const char *path)
{
    struct error error;
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", root, path);
    char *slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(file_make_directories(full, &error), 0);
    *slash = '/';
    assert_int_equal(file_write(full, "", 0, &error), 0);
}

static void set_below_root(const char *variable, const char *path)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", root, path);
    assert_int_equal(setenv(variable, full, 1), 0);
}

static int begin(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/nnstudio-locate-XXXXXX");
    if (!getcwd(start, sizeof start) || !mkdtemp(root) || chdir(root)) return -1;
    unsetenv(VARIABLE);
    unsetenv("VIRTUAL_ENV");
    unsetenv("CONDA_PREFIX");
    set_below_root("PATH", "none");
    set_below_root("HOME", "nobody");
    return 0;
}

static int end(void **state)
{
    (void)state;
    struct error error;
    return chdir(start) || file_remove_tree(root, &error);
}

static int locate(void)
{
    return engine_locate(LIBRARY, VARIABLE, found, sizeof found);
}

static void expect_below_root(const char *path)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", root, path);
    assert_int_equal(locate(), 0);
    assert_string_equal(found, full);
}

static void nothing_anywhere_is_a_plain_no(void **state)
{
    (void)state;
    assert_int_equal(locate(), -1);
    assert_string_equal(found, "");
}

static void the_variable_may_name_the_file_its_folder_or_site_packages(void **state)
{
    (void)state;
    put("site/" LIBRARY);
    set_below_root(VARIABLE, "site/" LIBRARY);
    expect_below_root("site/" LIBRARY);
    set_below_root(VARIABLE, "site/nnstudio_probe/lib");
    expect_below_root("site/" LIBRARY);
    set_below_root(VARIABLE, "site");
    expect_below_root("site/" LIBRARY);
}

static void a_variable_that_points_nowhere_is_not_replaced_by_another_place(void **state)
{
    (void)state;
    put(".venv/lib/python3.11/site-packages/" LIBRARY);
    assert_int_equal(locate(), 0);
    set_below_root(VARIABLE, "nowhere");
    assert_int_equal(locate(), -1);
}

static void places_are_tried_in_the_promised_order(void **state)
{
    (void)state;
    put("bin/python3");
    put("other/keep");
    char path[4096];
    snprintf(path, sizeof path, "%s/other:%s/bin", root, root);
    setenv("PATH", path, 1);
    put("lib/python3.12/site-packages/" LIBRARY);
    expect_below_root("lib/python3.12/site-packages/" LIBRARY);
    put("conda/lib/python3.12/site-packages/" LIBRARY);
    set_below_root("CONDA_PREFIX", "conda");
    expect_below_root("conda/lib/python3.12/site-packages/" LIBRARY);
    put("venv/lib64/python3.12/site-packages/" LIBRARY);
    set_below_root("VIRTUAL_ENV", "venv");
    expect_below_root("venv/lib64/python3.12/site-packages/" LIBRARY);
    put(".venv/lib/python3.11/site-packages/" LIBRARY);
    assert_int_equal(locate(), 0);
    assert_string_equal(found, ".venv/lib/python3.11/site-packages/" LIBRARY);
}

static void the_newest_python_of_a_prefix_comes_first(void **state)
{
    (void)state;
    put("venv/lib/python3.9/site-packages/" LIBRARY);
    put("venv/lib/python3.11/site-packages/" LIBRARY);
    set_below_root("VIRTUAL_ENV", "venv");
    expect_below_root("venv/lib/python3.11/site-packages/" LIBRARY);
}

static void an_answer_that_does_not_fit_is_not_cut(void **state)
{
    (void)state;
    put("site/" LIBRARY);
    set_below_root(VARIABLE, "site");
    char small[16];
    assert_int_equal(engine_locate(LIBRARY, VARIABLE, small, sizeof small), -1);
    assert_string_equal(small, "");
}

static void version_of(const char *library, const char *package, const char *expected)
{
    char full[4096], version[64];
    snprintf(full, sizeof full, "%s/%s", root, library);
    engine_package_version(full, package, version, sizeof version);
    assert_string_equal(version, expected);
}

static void the_version_stands_in_the_dist_info_folder(void **state)
{
    (void)state;
    put("site/torch/lib/libtorch_cpu.so");
    put("site/torchvision-0.25.0.dist-info/METADATA");
    version_of("site/torch/lib/libtorch_cpu.so", "torch", "");
    put("site/torch-2.13.0+cpu.dist-info/METADATA");
    version_of("site/torch/lib/libtorch_cpu.so", "torch", "2.13.0+cpu");
    put("site/tensorflow/libtensorflow_cc.so.2");
    put("site/tensorflow_estimator-9.9.dist-info/METADATA");
    put("site/tensorflow_cpu-2.21.0.dist-info/METADATA");
    version_of("site/tensorflow/libtensorflow_cc.so.2", "tensorflow", "2.21.0");
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(nothing_anywhere_is_a_plain_no),
        CASE(the_variable_may_name_the_file_its_folder_or_site_packages),
        CASE(a_variable_that_points_nowhere_is_not_replaced_by_another_place),
        CASE(places_are_tried_in_the_promised_order),
        CASE(the_newest_python_of_a_prefix_comes_first),
        CASE(an_answer_that_does_not_fit_is_not_cut),
        CASE(the_version_stands_in_the_dist_info_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
