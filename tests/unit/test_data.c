/* data/: opening data sets, and every way a file can be bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/path.h"
#include "data/dataset.h"
#include "data/digits.h"
#include "data/picture.h"
#include "data/preprocess.h"

/* The folder with the real sets, malloc'd; skips the test when they are not there. */
static char *real_data(void)
{
    const char *given = getenv("NNSTUDIO_TEST_DATA"), *source = getenv("NNSTUDIO_SOURCE");
    char *path = given ? strdup(given) : path_join(source ? source : ".", "../shared/data");
    if (!file_is_directory(path)) {
        print_message("skipped: no real data sets at %s\n", path);
        free(path);
        skip();
    }
    return path;
}

static void check_split(const struct split *split, size_t count, double mean, double std,
                        const uint8_t *labels, const uint32_t *per_class)
{
    assert_int_equal(split->count, count);
    assert_memory_equal(split->labels, labels, 10);
    uint32_t counts[10] = {0};
    for (size_t i = 0; i < count; i++) counts[split->labels[i]]++;
    for (int c = 0; c < 10; c++) assert_int_equal(counts[c], per_class[c]);
    double sum = 0, squares = 0;
    size_t values = count * 784;
    const double *table = preprocess_table_f64();
    for (size_t i = 0; i < values; i++) {
        double x = table[split->pixels[i]];
        sum += x;
        squares += x * x;
    }
    sum /= (double)values;
    squares /= (double)values;
    assert_true(sum > mean - 1e-6 && sum < mean + 1e-6);
    assert_true(squares - sum * sum > std * std - 1e-6 && squares - sum * sum < std * std + 1e-6);
}

static void mnist_is_the_real_one(void **state)
{
    (void)state;
    char *folder = real_data();
    struct error error;
    struct dataset *mnist;
    struct dataset_options options = {.data_dir = folder};
    assert_int_equal(dataset_open("mnist", &options, &mnist, &error), 0);
    assert_string_equal(mnist->title, "MNIST");
    assert_false(mnist->synthetic);
    assert_int_equal(mnist->classes, 10);
    assert_int_equal(mnist->rows, 28);
    assert_int_equal(mnist->columns, 28);
    check_split(&mnist->train, 60000, 0.1306605, 0.3081078,
                (const uint8_t[]){5, 0, 4, 1, 9, 2, 1, 3, 1, 4},
                (const uint32_t[]){5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
    check_split(&mnist->test, 10000, 0.1325146, 0.3104802,
                (const uint8_t[]){7, 2, 1, 0, 4, 1, 4, 9, 5, 9},
                (const uint32_t[]){980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
    dataset_close(mnist);
    free(folder);
}

/* A digit of MNIST shown large comes back as MNIST has it: cut out, scaled and centered in the same
 * way. */
static void normalizing_is_mnists_own(void **state)
{
    (void)state;
    enum { SIDE = 300 };
    char *folder = real_data();
    struct error error;
    struct dataset *mnist;
    struct dataset_options options = {.data_dir = folder, .limit = 500};
    assert_int_equal(dataset_open("mnist", &options, &mnist, &error), 0);
    uint8_t *large = malloc(SIDE * SIDE), out[784];
    double total = 0;
    for (size_t i = 0; i < 500; i++) {
        const uint8_t *digit = mnist->test.pixels + i * 784;
        memset(large, 255, SIDE * SIDE);
        for (int y = 0; y < 280; y++)
            for (int x = 0; x < 280; x++)
                large[(y + 7) * SIDE + x + 11] = (uint8_t)(255 - digit[y / 10 * 28 + x / 10]);
        assert_int_equal(picture_normalize(large, SIDE, SIDE, 28, 28, out, &error), 0);
        double product = 0, a = 0, b = 0;
        for (int p = 0; p < 784; p++) {
            product += out[p] * digit[p];
            a += out[p] * out[p];
            b += digit[p] * digit[p];
        }
        total += product / sqrt(a * b);
    }
    assert_true(total / 500 > 0.97);
    free(large);
    dataset_close(mnist);
    free(folder);
}

/* Every pixel value at every place within a block, whatever the vector width: exactly the table's
 * values. */
static void pixels_become_fractions(void **state)
{
    (void)state;
    enum { COUNT = 256 + 37 };
    uint8_t pixels[COUNT];
    float f[COUNT];
    double d[COUNT];
    for (size_t shift = 0; shift < 32; shift++) {
        for (size_t i = 0; i < COUNT; i++) pixels[i] = (uint8_t)(i + shift);
        preprocess_f32(pixels, COUNT, f);
        preprocess_f64(pixels, COUNT, d);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(f[i] == preprocess_table_f32()[pixels[i]]);
            assert_true(d[i] == preprocess_table_f64()[pixels[i]]);
        }
    }
    assert_true(preprocess_table_f32()[1] == 1.0f / 255.0f && preprocess_table_f64()[255] == 1.0);
}

static void unknown_names_are_refused(void **state)
{
    (void)state;
    struct error error;
    struct dataset *dataset;
    struct dataset_options options = {.home = "/nonexistent"};
    assert_int_equal(dataset_open("mnits", &options, &dataset, &error), -1);
    assert_non_null(strstr(error.message, "\"mnits\""));
    assert_int_equal(dataset_open("mnist", &options, &dataset, &error), -1);
    assert_non_null(strstr(error.message, "nnstudio data fetch mnist"));
}

static void digits_depend_on_seed_and_index_alone(void **state)
{
    (void)state;
    enum { COUNT = 1500, IMAGE = DIGITS_SIDE * DIGITS_SIDE };
    uint8_t *one = malloc(COUNT * IMAGE), *many = malloc(COUNT * IMAGE), labels[COUNT],
            again[COUNT];
    digits_draw(5, 100, COUNT, 1, one, labels);
    digits_draw(5, 100, COUNT, 7, many, again);
    assert_memory_equal(one, many, COUNT * IMAGE);
    assert_memory_equal(labels, again, COUNT);
    digits_draw(5, 1099, 1, 1, many, again);
    assert_memory_equal(one + 999 * IMAGE, many, IMAGE);
    digits_draw(6, 100, 1, 1, many, again);
    assert_memory_not_equal(one, many, IMAGE);
    free(one);
    free(many);
}

/* What MNIST's pictures are by construction: empty edges, full ink somewhere, mass in the middle.
 */
static void digits_are_made_like_mnist(void **state)
{
    (void)state;
    struct error error;
    struct dataset *digits;
    struct dataset_options options = {.limit = 3000};
    assert_int_equal(dataset_open("synthetic", &options, &digits, &error), 0);
    assert_true(digits->synthetic);
    assert_int_equal(digits->train.count, 3000);
    assert_int_equal(digits->test.count, 3000);
    uint32_t counts[10] = {0};
    double total = 0;
    for (size_t i = 0; i < 3000; i++) {
        const uint8_t *image = digits->train.pixels + i * 784;
        double mass = 0, x = 0, y = 0;
        uint8_t darkest = 0;
        for (int p = 0; p < 784; p++) {
            mass += image[p];
            x += image[p] * (p % 28 + 0.5);
            y += image[p] * (p / 28 + 0.5);
            if (image[p] > darkest) darkest = image[p];
            if (p / 28 == 0 || p / 28 == 27 || p % 28 == 0 || p % 28 == 27)
                assert_int_equal(image[p], 0);
        }
        assert_true(darkest > 200);
        assert_true(x / mass > 10 && x / mass < 18 && y / mass > 10 && y / mass < 18);
        total += mass;
        counts[digits->train.labels[i]]++;
    }
    for (int c = 0; c < 10; c++) assert_in_range(counts[c], 230, 370);
    assert_true(total / (3000 * 784 * 255.0) > 0.11 && total / (3000 * 784 * 255.0) < 0.15);
    assert_memory_not_equal(digits->train.pixels, digits->test.pixels, 784);
    dataset_close(digits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mnist_is_the_real_one),
        cmocka_unit_test(normalizing_is_mnists_own),
        cmocka_unit_test(pixels_become_fractions),
        cmocka_unit_test(digits_depend_on_seed_and_index_alone),
        cmocka_unit_test(digits_are_made_like_mnist),
        cmocka_unit_test(unknown_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
