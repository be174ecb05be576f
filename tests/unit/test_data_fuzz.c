/* data/: thousands of spoiled files must be refused or read, never crash (the sanitizer build
 * watches) and never leave more than one line of message. Mutations are the same every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/file.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "data/digits.h"
#include "data/idx.h"
#include "data/picture.h"

#define ROUNDS 1500
#define ROOM   4096

static char path[64];

/* Flips, overwrites, cuts, repeats or inserts a few bytes; returns the new length, at most ROOM. */
static size_t mutate(struct rng *rng, uint8_t *bytes, size_t length)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '\n', ',', '"', '-', '.', '9', ' '};
    for (uint64_t edits = 1 + rng_below(rng, 4); edits > 0 && length > 0; edits--) {
        size_t at = rng_below(rng, length), run = 1 + rng_below(rng, 16);
        switch (rng_below(rng, 5)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << rng_below(rng, 8));
            break;
        case 1:
            bytes[at] = telling[rng_below(rng, sizeof telling)];
            break;
        case 2:
            length = at;
            break;
        case 3:
            if (run > length - at) run = length - at;
            memmove(bytes + at, bytes + at + run, length - at - run);
            length -= run;
            break;
        default:
            if (length + run > ROOM) break;
            memmove(bytes + at + run, bytes + at, length - at);
            length += run;
        }
    }
    return length;
}

/* Reads the file at `path`; true when it was accepted. */
typedef bool (*reader)(struct error *error);

static void fuzz(const uint8_t *good, size_t length, uint64_t stream, reader read)
{
    struct rng rng;
    struct error error;
    uint8_t bytes[ROOM];
    unsigned refused = 0;
    rng_seed(&rng, 42, RNG_TEST, stream);
    assert_true(length <= ROOM);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(bytes, good, length);
        size_t now = round ? mutate(&rng, bytes, length) : length;
        rewind(file);
        assert_int_equal(ftruncate(fileno(file), 0), 0);
        assert_int_equal(fwrite(bytes, 1, now, file), now);
        fflush(file);
        memset(&error, 0, sizeof error);
        bool accepted = read(&error);
        if (!round) assert_true(accepted);
        refused += !accepted;
        if (accepted) continue;
        assert_int_not_equal(error.code, ERROR_NONE);
        assert_true(error.message[0] && !strchr(error.message, '\n'));
    }
    assert_in_range(refused, ROUNDS / 10, ROUNDS);
    fclose(file);
}

static bool read_images(struct error *error)
{
    struct idx_images images;
    if (idx_read_images(path, 0, &images, error)) return false;
    free(images.pixels);
    return true;
}

static bool read_labels(struct error *error)
{
    struct idx_labels labels;
    if (idx_read_labels(path, &labels, error)) return false;
    free(labels.labels);
    return true;
}

static bool read_csv(struct error *error)
{
    struct dataset *dataset;
    struct dataset_options options = {0};
    if (dataset_open(path, &options, &dataset, error)) return false;
    dataset_close(dataset);
    return true;
}

static bool read_png(struct error *error)
{
    uint8_t input[784];
    bool inverted;
    return !picture_read_input(path, 28, 28, 1, &input_form_usual, input, &inverted, error);
}

static size_t make_idx(uint8_t *out)
{
    static const uint8_t head[16] = {0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 28, 0, 0, 0, 28};
    uint8_t labels[4];
    memcpy(out, head, 16);
    digits_draw(1, 0, 4, 1, out + 16, labels);
    return 16 + 4 * 784;
}

static void spoiled_idx_files(void **state)
{
    (void)state;
    uint8_t good[ROOM], packed[ROOM];
    size_t length = make_idx(good);
    fuzz(good, length, 1, read_images);
    z_stream stream = {
        .next_in = good, .avail_in = (uInt)length, .next_out = packed, .avail_out = ROOM};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    fuzz(packed, stream.total_out, 2, read_images);
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 5, 1, 2, 3, 4, 5};
    fuzz(labels, sizeof labels, 3, read_labels);
}

static void spoiled_csv_files(void **state)
{
    (void)state;
    static const char text[] =
        "label,p1,p2,p3,p4\n0,1,2,3,4\n1,255,0,\"7\",12.0\r\n2,9,9,9,9\n1,0,0,0,0\n";
    fuzz((const uint8_t *)text, sizeof text - 1, 4, read_csv);
}

static void spoiled_png_files(void **state)
{
    (void)state;
    struct error error;
    uint8_t digit[784], label;
    char *data;
    size_t size;
    digits_draw(1, 0, 1, 1, digit, &label);
    assert_int_equal(picture_write_png(path, digit, 28, 28, &error), 0);
    assert_int_equal(file_read(path, ROOM, &data, &size, &error), 0);
    fuzz((const uint8_t *)data, size, 5, read_png);
    free(data);
}

static int make_file(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/nnstudio-test-XXXXXX.csv");
    int fd = mkstemps(path, 4);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spoiled_idx_files, make_file, remove_file),
        cmocka_unit_test_setup_teardown(spoiled_csv_files, make_file, remove_file),
        cmocka_unit_test_setup_teardown(spoiled_png_files, make_file, remove_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
