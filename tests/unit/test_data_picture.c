/* data/: pictures made into inputs, and the figures about a set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "data/digits.h"
#include "data/picture.h"
#include "data/stats.h"

static void an_exact_picture_is_taken_as_it_is(void **state)
{
    (void)state;
    struct error error;
    uint8_t gray[784], out[784], label;
    digits_draw(3, 0, 1, 1, gray, &label);
    assert_int_equal(picture_normalize(gray, 28, 28, 28, 28, out, &error), 0);
    assert_memory_equal(gray, out, 784);
    uint8_t negative[784];
    for (int i = 0; i < 784; i++) negative[i] = (uint8_t)(255 - gray[i]);
    assert_int_equal(picture_normalize(negative, 28, 28, 28, 28, out, &error), 0);
    assert_memory_equal(gray, out, 784);
}

/* A digit shown ten times as large, off the middle, dark on light gray, comes back as itself. */
static void a_large_picture_comes_back_small(void **state)
{
    (void)state;
    enum { WIDTH = 400, HEIGHT = 340 };
    struct error error;
    uint8_t *large = malloc(WIDTH * HEIGHT), digit[784], out[784], label;
    double likeness = 0;
    for (uint64_t index = 0; index < 20; index++) {
        digits_draw(3, index, 1, 1, digit, &label);
        memset(large, 240, WIDTH * HEIGHT);
        for (int y = 0; y < 280; y++)
            for (int x = 0; x < 280; x++)
                large[(y + 40) * WIDTH + x + 110] = (uint8_t)(240 - digit[y / 10 * 28 + x / 10] *
                                                                        200 / 255);
        assert_int_equal(picture_normalize(large, WIDTH, HEIGHT, 28, 28, out, &error), 0);
        double product = 0, a = 0, b = 0, mass = 0, mass_x = 0, mass_y = 0;
        for (int i = 0; i < 784; i++) {
            product += out[i] * digit[i];
            a += out[i] * out[i];
            b += digit[i] * digit[i];
            mass += out[i];
            mass_x += out[i] * (i % 28 + 0.5);
            mass_y += out[i] * (i / 28 + 0.5);
        }
        /* cosine; both may be shifted by less than a pixel */
        likeness += product / sqrt(a * b) / 20;
        assert_true(fabs(mass_x / mass - 14.5) <= 0.5 && fabs(mass_y / mass - 14.5) <= 0.5);
    }
    assert_true(likeness > 0.85);
    free(large);
}

static void thin_and_empty_pictures(void **state)
{
    (void)state;
    struct error error;
    uint8_t *gray = calloc(1, 500 * 300), out[784];
    assert_int_equal(picture_normalize(gray, 500, 300, 28, 28, out, &error), -1);
    assert_non_null(strstr(error.message, "empty"));
    gray[150 * 500 + 250] = 255; /* a single dot */
    assert_int_equal(picture_normalize(gray, 500, 300, 28, 28, out, &error), 0);
    for (int y = 20; y < 280; y++) gray[y * 500 + 250] = 255; /* a line one pixel wide */
    assert_int_equal(picture_normalize(gray, 500, 300, 28, 28, out, &error), 0);
    uint8_t strongest = 0;
    for (int i = 0; i < 784; i++) strongest = out[i] > strongest ? out[i] : strongest;
    assert_int_equal(strongest, 255);
    uint8_t one = 9, tiny[1];
    assert_int_equal(picture_normalize(&one, 1, 1, 1, 1, tiny, &error), 0);
    assert_int_equal(picture_normalize(&one, 1, 1, 28, 28, out, &error), -1);
    assert_int_equal(picture_normalize(&one, 0, 1, 28, 28, out, &error), -1);
    free(gray);
}

/* One row of 16-bit gray. */
static void write_png16(const char *path, const uint16_t *row, uint32_t width)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_IHDR(png, info, width, 1, 16, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_set_swap(png);
    png_write_row(png, (png_const_bytep)row);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    fclose(file);
}

static void png_files_of_all_colors_are_gray(void **state)
{
    (void)state;
    struct error error;
    struct picture picture;
    char path[] = "/tmp/nnstudio-test-XXXXXX";
    close(mkstemp(path));
    uint8_t gray[6] = {0, 1, 127, 128, 254, 255};
    assert_int_equal(picture_write_png(path, gray, 3, 2, &error), 0);
    assert_int_equal(picture_read(path, &picture, &error), 0);
    assert_int_equal(picture.width, 3);
    assert_int_equal(picture.height, 2);
    assert_memory_equal(picture.gray, gray, 6);
    picture_free(&picture);
    /* Red, half white and black ink on nothing: the ink is dark on the whole, so nothing becomes
     * white. */
    const uint8_t rgba[16] = {255, 0, 0, 255, 255, 255, 255, 128, 0, 0, 0, 255, 9, 9, 9, 0};
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = 4, .height = 1, .format = PNG_FORMAT_RGBA};
    assert_true(png_image_write_to_file(&image, path, 0, rgba, 0, NULL));
    assert_int_equal(picture_read(path, &picture, &error), 0);
    assert_memory_equal(picture.gray, ((uint8_t[]){76, 255, 0, 255}), 4);
    picture_free(&picture);
    /* 16 bits: v * 257 is v again, whatever the gamma */
    uint16_t deep[4] = {0, 77 * 257, 128 * 257, 65535};
    write_png16(path, deep, 4);
    assert_int_equal(picture_read(path, &picture, &error), 0);
    assert_memory_equal(picture.gray, ((uint8_t[]){0, 77, 128, 255}), 4);
    picture_free(&picture);
    assert_int_equal(file_write(path, "GIF89a", 6, &error), 0);
    assert_int_equal(picture_read(path, &picture, &error), -1);
    assert_non_null(strstr(error.message, "not a readable GIF"));
    assert_int_equal(file_write(path, "PK", 2, &error), 0);
    assert_int_equal(picture_read(path, &picture, &error), -1);
    assert_non_null(strstr(error.message, "PNG, JPEG, BMP or GIF"));
    unlink(path);
    assert_int_equal(picture_read(path, &picture, &error), -1);
}

static void figures_about_a_split(void **state)
{
    (void)state;
    struct error error;
    uint8_t pixels[] = {0, 10, 20, 30, 0, 0, 255, 255}, labels[] = {1, 1, 0, 1};
    struct dataset dataset = {.rows = 1, .columns = 2, .channels = 1, .classes = 3, .full = 255};
    struct split split = {.count = 4, .pixels = pixels, .labels = labels};
    struct split_stats stats;
    stats_measure(&dataset, &split, &stats);
    assert_int_equal(stats.per_class[0], 1);
    assert_int_equal(stats.per_class[1], 3);
    assert_int_equal(stats.smallest, 0);
    assert_int_equal(stats.largest, 255);
    assert_int_equal(stats.histogram[255], 2);
    assert_true(fabs(stats.mean * 255 - 71.25) < 1e-12);
    assert_true(fabs(stats.std * 255 - sqrt(11354.6875)) < 1e-9);
    float means[6];
    assert_int_equal(stats_mean_pictures(&dataset, &split, means, &error), 0);
    assert_true(means[0] == 0 && means[1] == 0 && means[2] == (float)(275.0 / 3) &&
                means[3] == (float)(295.0 / 3));
    assert_true(means[4] == 0 && means[5] == 0);
}

static void picks_are_different_and_repeatable(void **state)
{
    (void)state;
    uint8_t labels[1000];
    for (int i = 0; i < 1000; i++) labels[i] = (uint8_t)(i % 10);
    struct split split = {.count = 1000, .labels = labels};
    uint32_t a[1000], b[1000];
    uint8_t seen[1000] = {0};
    assert_int_equal(stats_pick(&split, -1, 7, 100, a), 100);
    assert_int_equal(stats_pick(&split, -1, 7, 100, b), 100);
    assert_memory_equal(a, b, 100 * sizeof *a);
    for (int i = 0; i < 100; i++) assert_int_equal(seen[a[i]]++, 0);
    assert_int_equal(stats_pick(&split, -1, 8, 100, b), 100);
    assert_memory_not_equal(a, b, 100 * sizeof *a);
    assert_int_equal(stats_pick(&split, 3, 7, 1000, a), 100);
    for (int i = 0; i < 100; i++) assert_int_equal(labels[a[i]], 3);
    assert_int_equal(stats_pick(&split, 12, 7, 1000, a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exact_picture_is_taken_as_it_is),
        cmocka_unit_test(a_large_picture_comes_back_small),
        cmocka_unit_test(thin_and_empty_pictures),
        cmocka_unit_test(png_files_of_all_colors_are_gray),
        cmocka_unit_test(figures_about_a_split),
        cmocka_unit_test(picks_are_different_and_repeatable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
