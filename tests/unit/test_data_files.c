/* data/: files of one's own in every format, and every way they can be bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/file.h"
#include "base/path.h"
#include "data/dataset.h"
#include "data/idx.h"
#include "data/picture.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/nnstudio-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    struct error error;
    return file_remove_tree(folder, &error);
}

/* A path in the test's folder; good until the fourth next call. */
static const char *in_folder(const char *name)
{
    static char paths[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder, name);
    return paths[turn];
}

static void write_bytes(const char *name, const void *bytes, size_t count)
{
    struct error error;
    char *path = strdup(in_folder(name));
    *strrchr(path, '/') = '\0';
    assert_int_equal(file_make_directories(path, &error), 0);
    free(path);
    assert_int_equal(file_write(in_folder(name), bytes, count, &error), 0);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static size_t put32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (24 - 8 * i));
    return 4;
}

/* An images file of `count` pictures rows x columns, pixel = its index modulo 251; returns its
 * size. */
static size_t make_images(uint8_t *out, uint32_t magic, uint32_t count, uint32_t rows,
                          uint32_t columns)
{
    size_t size = put32(out, magic);
    size += put32(out + size, count);
    size += put32(out + size, rows);
    size += put32(out + size, columns);
    for (size_t i = 0; i < (size_t)count * rows * columns; i++) out[size++] = (uint8_t)(i % 251);
    return size;
}

static size_t make_labels(uint8_t *out, uint32_t magic, uint32_t count)
{
    size_t size = put32(out, magic);
    size += put32(out + size, count);
    for (uint32_t i = 0; i < count; i++) out[size++] = (uint8_t)(i % 10);
    return size;
}

static size_t compress_gzip(const uint8_t *bytes, size_t count, uint8_t *out, size_t room)
{
    z_stream stream = {.next_in = (Bytef *)bytes,
                       .avail_in = (uInt)count,
                       .next_out = out,
                       .avail_out = (uInt)room};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

static uint8_t bytes[200000], packed[200000];

/* A good set NAME of 20 + 10 pictures 28 x 28, to be spoiled by the tests. */
static void write_good_set(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/train-images-idx3-ubyte", name);
    write_bytes(path, bytes, make_images(bytes, 2051, 20, 28, 28));
    snprintf(path, sizeof path, "%s/train-labels-idx1-ubyte", name);
    write_bytes(path, bytes, make_labels(bytes, 2049, 20));
    snprintf(path, sizeof path, "%s/t10k-images-idx3-ubyte", name);
    write_bytes(path, bytes, make_images(bytes, 2051, 10, 28, 28));
    snprintf(path, sizeof path, "%s/t10k-labels-idx1-ubyte", name);
    write_bytes(path, bytes, make_labels(bytes, 2049, 10));
}

static struct dataset *open_with(const char *name, const struct dataset_options *options);

static struct dataset *open_good(const char *name, uint32_t limit)
{
    struct dataset_options options = {.data_dir = folder, .limit = limit};
    return open_with(name, &options);
}

/* Opens with any options; must go well. */
static struct dataset *open_with(const char *name, const struct dataset_options *options)
{
    struct error error = {0};
    struct dataset *dataset = NULL;
    if (dataset_open(name, options, &dataset, &error)) print_message("%s\n", error.message);
    assert_non_null(dataset);
    return dataset;
}

/* Opening must fail with every one of the words (up to a NULL) in the message, which must be one
 * line. */
static void expect_refusal(const char *name, ...)
{
    struct error error = {0};
    struct dataset *dataset;
    struct dataset_options options = {.data_dir = folder};
    assert_int_equal(dataset_open(name, &options, &dataset, &error), -1);
    assert_null(strchr(error.message, '\n'));
    va_list words;
    va_start(words, name);
    for (const char *word; (word = va_arg(words, const char *));) {
        if (!strstr(error.message, word))
            print_message("\"%s\" lacks \"%s\"\n", error.message, word);
        assert_non_null(strstr(error.message, word));
    }
    va_end(words);
}

static void idx_folder_opens_plain_and_limited(void **state)
{
    (void)state;
    write_good_set("mnist");
    struct dataset *dataset = open_good("mnist", 0);
    assert_int_equal(dataset->train.count, 20);
    assert_int_equal(dataset->test.count, 10);
    assert_int_equal(dataset->train.pixels[784 * 3 + 5], (784 * 3 + 5) % 251);
    assert_int_equal(dataset->train.labels[13], 3);
    dataset_close(dataset);
    dataset = open_good("mnist", 7);
    assert_int_equal(dataset->train.count, 7);
    assert_int_equal(dataset->test.count, 7);
    dataset_close(dataset);
    /* The same as a path: any set, classes found in the labels. */
    dataset = open_good(in_folder("mnist"), 0);
    assert_string_equal(dataset->name, "mnist");
    assert_int_equal(dataset->classes, 10);
    assert_string_equal(dataset->class_names[7], "7");
    dataset_close(dataset);
}

static void idx_sizes_that_lie_are_refused(void **state)
{
    (void)state;
    write_good_set("mnist");
    size_t size = make_images(bytes, 2051, 20, 28, 28);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, size - 1);
    expect_refusal("mnist", "train-images-idx3-ubyte", "cut short", NULL);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, size + 3);
    expect_refusal("mnist", "train-images-idx3-ubyte", "3 bytes after its end", NULL);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, 10);
    expect_refusal("mnist", "cut short", NULL);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, 0);
    expect_refusal("mnist", "cut short", NULL);
    make_images(bytes, 2051, 20, 28, 28);
    put32(bytes + 4, 0xffffffff);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, size);
    expect_refusal("mnist", "too large", NULL);
    put32(bytes + 4, 20);
    put32(bytes + 8, 2000);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, size);
    expect_refusal("mnist", "2000 x 28", "1 to 1024", NULL);
    put32(bytes + 8, 0);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, size);
    expect_refusal("mnist", "0 x 28", NULL);
}

static void idx_mix_ups_are_refused(void **state)
{
    (void)state;
    write_good_set("mnist");
    write_bytes("mnist/train-images-idx3-ubyte", bytes, make_images(bytes, 7, 20, 28, 28));
    expect_refusal("mnist", "train-images-idx3-ubyte", "magic number 7, not 2051", NULL);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, make_labels(bytes, 2049, 20));
    expect_refusal("mnist", "holds labels where images belong", NULL);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, make_images(bytes, 2051, 19, 28, 28));
    expect_refusal("mnist", "19 images", "20 labels", NULL);
    write_bytes("mnist/train-images-idx3-ubyte", bytes, make_images(bytes, 2051, 20, 14, 28));
    expect_refusal("mnist", "14 x 28", "28 x 28", NULL);
    write_bytes("mnist/t10k-images-idx3-ubyte", bytes, make_images(bytes, 2051, 10, 14, 28));
    expect_refusal("mnist", "14 x 28", "MNIST are 28 x 28", NULL);
    struct error error;
    file_remove_tree(in_folder("mnist/t10k-labels-idx1-ubyte"), &error);
    expect_refusal("mnist", "lacks t10k-labels-idx1-ubyte", NULL);
}

static void labels_out_of_range_are_named(void **state)
{
    (void)state;
    write_good_set("mnist");
    size_t size = make_labels(bytes, 2049, 20);
    bytes[8 + 17] = 10;
    write_bytes("mnist/train-labels-idx1-ubyte", bytes, size);
    expect_refusal("mnist", "label 10 of training sample 17", "0 to 9", NULL);
    bytes[8 + 17] = 200;
    write_bytes("mnist/train-labels-idx1-ubyte", bytes, size);
    expect_refusal(in_folder("mnist"), "label 200 of training sample 17", NULL);
    write_good_set("mnist");
    size = make_labels(bytes, 2049, 10);
    bytes[8 + 4] = 77;
    write_bytes("mnist/t10k-labels-idx1-ubyte", bytes, size);
    expect_refusal("mnist", "label 77 of test sample 4", NULL);
    expect_refusal(in_folder("mnist"), "label 77 of test sample 4", NULL);
}

static void gzip_damage_is_noticed(void **state)
{
    (void)state;
    struct error error;
    const char *name = "mnist/train-images-idx3-ubyte.gz";
    write_good_set("mnist");
    assert_int_equal(file_remove_tree(in_folder("mnist/train-images-idx3-ubyte"), &error), 0);
    size_t size = make_images(bytes, 2051, 20, 28, 28);
    size_t length = compress_gzip(bytes, size, packed, sizeof packed);
    write_bytes(name, packed, length);
    struct dataset *dataset = open_good("mnist", 0);
    assert_int_equal(dataset->train.pixels[784 * 19 + 783], (784 * 20 - 1) % 251);
    dataset_close(dataset);
    for (size_t cut = 1; cut < length - 2; cut += 13) {
        write_bytes(name, packed, length - cut);
        expect_refusal("mnist", "train-images-idx3-ubyte.gz", "cut short", NULL);
    }
    packed[length - 6] ^= 1; /* the stored CRC */
    write_bytes(name, packed, length);
    expect_refusal("mnist", "damaged", NULL);
    packed[length - 6] ^= 1;
    packed[length - 2] ^= 1; /* the stored length */
    write_bytes(name, packed, length);
    expect_refusal("mnist", "damaged", NULL);
    packed[length - 2] ^= 1;
    memset(packed + length, 'x', 5);
    write_bytes(name, packed, length + 5);
    expect_refusal("mnist", "5 bytes after its end", NULL);
    bytes[size] = 1; /* one more byte than the header says */
    write_bytes(name, packed, compress_gzip(bytes, size + 1, packed, sizeof packed));
    expect_refusal("mnist", "more than its header says", NULL);
    put32(bytes + 4, 2000000); /* a bomb's promise */
    write_bytes(name, packed, compress_gzip(bytes, size, packed, sizeof packed));
    expect_refusal("mnist", "cut short", "promises", NULL);
}

static void one_idx_pair_is_split(void **state)
{
    (void)state;
    write_bytes("own/my-images-idx3-ubyte", bytes, make_images(bytes, 2051, 70, 5, 4));
    write_bytes("own/my-labels-idx1-ubyte", bytes, make_labels(bytes, 2049, 70));
    struct dataset *dataset = open_good(in_folder("own/my-images-idx3-ubyte"), 0);
    assert_int_equal(dataset->rows, 5);
    assert_int_equal(dataset->columns, 4);
    assert_int_equal(dataset->train.count, 60);
    assert_int_equal(dataset->test.count, 10);
    /* Label i % 10: the last seventh of every class is its last sample, those from 60 on. */
    for (size_t i = 0; i < 10; i++) assert_int_equal(dataset->test.labels[i], i);
    assert_int_equal(dataset->test.pixels[0], 60 * 20 % 251);
    dataset_close(dataset);
    struct error error;
    file_remove_tree(in_folder("own/my-labels-idx1-ubyte"), &error);
    expect_refusal(in_folder("own/my-images-idx3-ubyte"), "no labels beside it", NULL);
}

static void csv_is_read_with_label_first_or_last(void **state)
{
    (void)state;
    write_text("first.csv", "label,a,b,c,d\n0,1,2,3,4\n1,5,6,7,8\n1,255,0,0,9\n");
    struct dataset *dataset = open_good(in_folder("first.csv"), 0);
    assert_int_equal(dataset->train.count, 2);
    assert_int_equal(dataset->test.count, 1);
    assert_int_equal(dataset->rows, 2);
    assert_int_equal(dataset->columns, 2);
    assert_int_equal(dataset->classes, 2);
    assert_memory_equal(dataset->train.pixels, ((uint8_t[]){1, 2, 3, 4, 5, 6, 7, 8}), 8);
    assert_memory_equal(dataset->test.pixels, ((uint8_t[]){255, 0, 0, 9}), 4);
    assert_int_equal(dataset->test.labels[0], 1);
    dataset_close(dataset);
    /* No header, last column, Windows line ends, blanks, decimals, an empty line at the end. */
    write_text("last.csv", "0; 10;200;0;0\r\n0;11;0;0;1\r\n0;12.0;\"7\";0;2\r\n\r\n");
    dataset = open_good(in_folder("last.csv"), 0);
    assert_string_equal(dataset->label_column, "4");
    assert_int_equal(dataset->assumed_count, 1);
    assert_memory_equal(dataset->train.labels, ((uint8_t[]){0, 1}), 2);
    assert_int_equal(dataset->test.labels[0], 2);
    dataset_close(dataset);
}

/* Black and white pictures without a header: every column could be labels. */
static void csv_never_takes_a_pixel_for_a_label(void **state)
{
    (void)state;
    char text[8192];
    size_t length = 0;
    for (unsigned i = 0; i < 60; i++) {
        for (unsigned p = 0; p < 16; p++)
            length += (size_t)snprintf(text + length, sizeof text - length, "%u,",
                                       (i * 7 + p * 3) % 5 > 2);
        length += (size_t)snprintf(text + length, sizeof text - length, "%u\n", i % 3);
    }
    write_bytes("bw.csv", text, length);
    const char *path = in_folder("bw.csv");
    expect_refusal(path, "which of its 17 columns is the label", "--label-column 0", NULL);
    struct dataset *dataset = open_with(path, &(struct dataset_options){.label_column = "-1"});
    assert_int_equal(dataset->classes, 3);
    assert_int_equal(dataset->columns, 4);
    assert_true(dataset->full == 1 && dataset->form.scale == 1);
    dataset_close(dataset);
    struct dataset_options off = {.label_column = "17"};
    struct error error;
    assert_int_equal(dataset_open(path, &off, &dataset, &error), -1);
    assert_non_null(strstr(error.message, "0 to 16"));
}

static void csv_headers_say_what_columns_are(void **state)
{
    (void)state;
    char text[4096] = ",label,pixel0,pixel1,pixel2,pixel3\n";
    size_t length = strlen(text);
    for (unsigned i = 0; i < 30; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%u,%u,0,%u,9,255\n", i,
                                   i % 3, i);
    write_bytes("pandas.csv", text, length);
    struct dataset *dataset = open_good(in_folder("pandas.csv"), 0);
    assert_int_equal(dataset->classes, 3);
    assert_int_equal(dataset->columns, 2);
    assert_string_equal(dataset->label_column, "label");
    assert_non_null(strstr(dataset->skipped[0].what, "row numbers"));
    dataset_close(dataset);
    /* A header of numbers is a header, not a sample; its names come before numbers. */
    write_text(
        "numbers.csv",
        "0,1,2,3,4,5,6,7,8,9\n7,0,0,9,9,9,9,9,0,1\n8,0,0,9,9,9,9,9,0,0\n8,0,1,9,9,9,9,9,0,0\n");
    dataset = open_with(in_folder("numbers.csv"), &(struct dataset_options){.label_column = "0"});
    assert_int_equal(dataset->train.count + dataset->test.count, 3);
    assert_string_equal(dataset->class_names[0], "7");
    dataset_close(dataset);
}

static void csv_of_measurements_keeps_its_numbers(void **state)
{
    (void)state;
    write_text("iris.csv", "sepal_length,sepal_width,species\n5.1,-3.5,setosa\n7,0.25,virginica\n"
                           "5.1,300,setosa\n");
    struct dataset *dataset = open_good(in_folder("iris.csv"), 0);
    assert_true(dataset->table);
    assert_int_equal(dataset->rows, 1);
    assert_int_equal(dataset->columns, 2);
    assert_string_equal(dataset->class_names[1], "virginica");
    const uint8_t *code = dataset->train.pixels;
    assert_true(dataset->preprocess.custom);
    assert_true(dataset->preprocess.values[code[0]] == 5.1);
    assert_true(dataset->preprocess.values[code[1]] == -3.5);
    assert_true(dataset->preprocess.values[code[2]] == 7);
    assert_true(dataset->low == -3.5 && dataset->high == 300);
    dataset_close(dataset);
    /* More than 256 different numbers do not fit: said, not rounded. */
    char text[16384] = "a_x,b_y,label\n";
    size_t length = strlen(text);
    for (unsigned i = 0; i < 300; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%u.5,1.5,%u\n", i, i % 2);
    write_bytes("many.csv", text, length);
    expect_refusal(in_folder("many.csv"), "more than 256 different values", NULL);
}

static void values_are_scaled_by_their_range(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        double full, first;
    } cases[] = {
        {"0/1", "label,p1,p2,p3,p4\n0,1,0,0,1\n1,0,1,1,0\n", 1, 1},
        {"0-16", "label,p1,p2,p3,p4\n0,4,0,0,16\n1,0,1,1,0\n", 16, 0.25},
        {"0-255", "label,p1,p2,p3,p4\n0,51,0,0,255\n1,0,1,1,0\n", 255, 0.2},
        {"0..1", "label,p1,p2,p3,p4\n0,0.2,0,0,1.0\n1,0,1,0.00392157,0\n", 1, 0.2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double table[256];
        write_text("range.csv", cases[i].text);
        struct dataset *dataset = open_good(in_folder("range.csv"), 0);
        preprocess_fill_f64(&dataset->preprocess, table);
        assert_true(dataset->full == cases[i].full);
        assert_true(table[dataset->train.pixels[0]] == cases[i].first);
        dataset_close(dataset);
    }
    /* What is given goes before what is seen. */
    write_text("range.csv", cases[0].text);
    struct dataset *dataset = open_with(
        in_folder("range.csv"), &(struct dataset_options){.scale = 4, .mean = 0.5, .std = 2});
    assert_true(dataset->preprocess.values[1] == (0.25 - 0.5) / 2);
    /* A model of bytes / 255 gets the same brightness. */
    struct preprocess preprocess;
    dataset_preprocess_for(dataset, &input_form_usual, &preprocess);
    assert_true(preprocess.values[1] == 1);
    dataset_close(dataset);
}

static void a_part_holds_every_class(void **state)
{
    (void)state;
    char text[16384] = "label,p1,p2,p3,p4\n";
    size_t length = strlen(text);
    for (unsigned i = 0; i < 500; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%u,%u,0,0,255\n", i / 50,
                                   i % 200);
    write_bytes("sorted.csv", text, length);
    size_t counts[10] = {0};
    struct dataset *dataset = open_good(in_folder("sorted.csv"), 50),
                   *again = open_good(in_folder("sorted.csv"), 50);
    assert_int_equal(dataset->train.count, 50);
    for (size_t i = 0; i < 50; i++) counts[dataset->train.labels[i]]++;
    for (size_t c = 0; c < 10; c++) assert_int_equal(counts[c], 5);
    assert_memory_equal(dataset->train.pixels, again->train.pixels, 50 * 4);
    assert_memory_equal(dataset->train.labels, again->train.labels, 50);
    assert_non_null(strstr(dataset->assumed[0].what, "sorted"));
    dataset_close(dataset);
    dataset_close(again);
}

static void classes_are_matched_by_name(void **state)
{
    (void)state;
    struct error error;
    const char *const pets[] = {"bird", "cat", "dog"};
    write_text("pets.csv", "label,p1,p2\ncat,1,2\ndog,3,4\ndog,5,6\n");
    struct dataset *dataset = open_good(in_folder("pets.csv"), 0);
    assert_int_equal(dataset->train.labels[1], 1);
    assert_int_equal(dataset_match_classes(dataset, pets, 3, &error), 0);
    assert_int_equal(dataset->train.labels[0], 1);
    assert_int_equal(dataset->train.labels[1], 2);
    assert_int_equal(dataset->classes, 3);
    assert_int_equal(dataset_match_classes(dataset, pets, 2, &error), -1);
    assert_non_null(strstr(error.message, "\"dog\""));
    dataset_close(dataset);
}

static void dark_pictures_are_turned_over(void **state)
{
    (void)state;
    struct error error;
    char name[64];
    for (int i = 0; i < 14; i++) {
        memset(bytes, 250, 64);
        bytes[27] = bytes[28] = (uint8_t)i;
        snprintf(name, sizeof name, "dark/%d/%d.png", i % 2, i);
        write_text(name, "");
        assert_int_equal(picture_write_png(in_folder(name), bytes, 8, 8, &error), 0);
    }
    struct dataset *dataset = open_good(in_folder("dark"), 0);
    assert_true(dataset->inverted && dataset->form.polarity == POLARITY_LIGHT);
    assert_int_equal(dataset->train.pixels[0], 5);
    assert_int_equal(dataset->train.pixels[27], 255);
    /* A single picture of the set becomes the same input. */
    uint8_t input[64];
    bool inverted;
    assert_int_equal(picture_read_input(in_folder("dark/0/0.png"), 8, 8, 1, &dataset->form, input,
                                        &inverted, &error),
                     0);
    assert_true(inverted);
    assert_memory_equal(input, dataset->train.pixels, 64);
    dataset_close(dataset);
    dataset = open_with(in_folder("dark"), &(struct dataset_options){.invert = DATASET_INVERT_NO});
    assert_int_equal(dataset->train.pixels[0], 250);
    assert_int_equal(dataset->form.polarity, POLARITY_DARK);
    dataset_close(dataset);
}

static void downloads_of_pages_are_told(void **state)
{
    (void)state;
    write_good_set("mnist");
    write_text("mnist/train-images-idx3-ubyte", "<!DOCTYPE html><html><body>Not found</body>");
    expect_refusal("mnist", "train-images-idx3-ubyte is a web page", NULL);
    write_text("x.parquet", "PAR1");
    expect_refusal(in_folder("x.parquet"), "whole Parquet file", "copy it again", NULL);
}

static void letters_have_no_class_zero(void **state)
{
    (void)state;
    size_t size = make_images(bytes, 2051, 52, 5, 5);
    write_bytes("letters/emnist-letters-train-images-idx3-ubyte", bytes, size);
    size = make_labels(bytes, 2049, 52);
    for (size_t i = 0; i < 52; i++) bytes[8 + i] = (uint8_t)(1 + i % 26);
    write_bytes("letters/emnist-letters-train-labels-idx1-ubyte", bytes, size);
    struct dataset *dataset = open_good(in_folder("letters"), 0);
    assert_int_equal(dataset->classes, 26);
    assert_string_equal(dataset->class_names[0], "1");
    assert_string_equal(dataset->class_names[25], "26");
    assert_int_equal(dataset->train.pixels[1], 5); /* upright again: column 0, row 1 */
    dataset_close(dataset);
    write_bytes("letters/emnist-digits-train-images-idx3-ubyte", bytes, 10);
    expect_refusal(in_folder("letters"), "several data sets", NULL);
}

static void csv_folder_has_two_files(void **state)
{
    (void)state;
    write_text("two/mnist_train.csv", "label,p1,p2,p3\n0,1,2,3\n1,4,5,6\n0,1,1,1\n");
    write_text("two/mnist_test.csv", "p1,p2,p3,label\n7,8,9,1\n");
    struct dataset *dataset = open_good(in_folder("two"), 0);
    assert_int_equal(dataset->train.count, 3);
    assert_int_equal(dataset->test.count, 1);
    /* each file by its own header */
    assert_int_equal(dataset->test.labels[0], 1);
    assert_memory_equal(dataset->test.pixels, ((uint8_t[]){7, 8, 9}), 3);
    assert_int_equal(dataset->rows, 1);
    assert_int_equal(dataset->columns, 3);
    dataset_close(dataset);
    /* Kaggle's test.csv: no labels, so it is named and a part of the training samples tested */
    write_text("two/mnist_test.csv", "p1,p2,p3\n7,8,9\n");
    dataset = open_good(in_folder("two"), 0);
    assert_int_equal(dataset->train.count, 2);
    assert_int_equal(dataset->test.count, 1);
    assert_int_equal(dataset->skipped_count, 1);
    assert_non_null(strstr(dataset->skipped[0].what, "mnist_test.csv (no labels"));
    dataset_close(dataset);
    write_text("two/mnist_test.csv", "label,p1,p2\n1,7,8\n");
    expect_refusal(in_folder("two"), "2 columns of inputs", "has 3", NULL);
}

static void csv_mistakes_are_placed(void **state)
{
    (void)state;
    const char *path = in_folder("bad.csv");
    write_text("bad.csv", "label,p1,p2\n0,1,2\n1,abc,4\n");
    expect_refusal(path, "bad.csv line 3, column 2", "\"abc\"", NULL);
    write_text("bad.csv", "label,p1,p2\n1,3,256\n");
    expect_refusal(path, "line 2, column 3", "\"256\"", "0 to 255", NULL);
    write_text("bad.csv", "label,p1,p2\n1,-3,25\n");
    expect_refusal(path, "line 2, column 2", "\"-3\"", NULL);
    write_text("bad.csv", "label,p1,p2\n1,0.5,25\n");
    expect_refusal(path, "line 2, column 2", NULL);
    write_text("bad.csv", "label,p1,p2\n1,,25\n");
    expect_refusal(path, "line 2, column 2", "\"\"", NULL);
    write_text("bad.csv", "0,1,2\n1,3\n");
    expect_refusal(path, "line 2 has 2 columns", NULL);
    write_text("bad.csv", "0,1,2\n1,3,4,5\n");
    expect_refusal(path, "line 2 has 4 columns", NULL);
    write_text("bad.csv", "label,p1,p2\n1,x,3\n0,2,3\n");
    expect_refusal(path, "line 2, column 2", NULL);
    write_text("bad.csv", "label,p1\n0,1\nx,2\n1,3\n1,3\n");
    expect_refusal(path, "line 3, column 1", "\"x\"", "as the other labels are", NULL);
    write_text("bad.csv", "0,x,2,3,4\n1,2,3,4,5\n"); /* one text cell does not make a header */
    expect_refusal(path, "which of its 5 columns is the label", NULL);
    write_text("bad.csv", "label,class,p\n1,1,2\n0,0,1\n");
    expect_refusal(path, "\"label\" and \"class\"", "--label-column", NULL);
    write_text("bad.csv", "label,p1,p2\n");
    expect_refusal(path, "no samples", NULL);
    write_text("bad.csv", "");
    expect_refusal(path, "one column", NULL);
    write_text("bad.csv", "label,p\n250,1\n0,1\n1,1\n");
    expect_refusal(path, "label 250 of training sample 0", NULL);
}

static void write_picture(const char *name, uint8_t value, uint32_t side)
{
    struct error error;
    write_text(name, "");
    memset(bytes, value, (size_t)side * side);
    assert_int_equal(picture_write_png(in_folder(name), bytes, side, side, &error), 0);
}

static void picture_folders_become_classes(void **state)
{
    (void)state;
    char name[64];
    for (int i = 0; i < 14; i++) {
        snprintf(name, sizeof name, "pets/cat/%d.png", i);
        write_picture(name, (uint8_t)i, 8);
        snprintf(name, sizeof name, "pets/dog/%d.PNG", i);
        write_picture(name, (uint8_t)(100 + i), 8);
    }
    struct dataset *dataset = open_good(in_folder("pets/"), 0);
    assert_string_equal(dataset->name, "pets");
    assert_int_equal(dataset->classes, 2);
    assert_string_equal(dataset->class_names[0], "cat");
    assert_string_equal(dataset->class_names[1], "dog");
    assert_int_equal(dataset->train.count, 24);
    assert_int_equal(dataset->test.count, 4);
    /* cat 0, dog 0, cat 1, dog 1, cat 2, dog 2 */
    assert_int_equal(dataset->train.pixels[64 * 5], 102);
    assert_int_equal(dataset->test.pixels[0], 12);
    dataset_close(dataset);
    /* Another size is brought to the commonest; leftovers and empty folders are no classes. */
    write_picture("pets/dog/14.png", 99, 9);
    write_picture("pets/__MACOSX/dog/14.png", 99, 9);
    write_text("pets/dog/notes.txt", "about dogs");
    assert_int_equal(file_make_directories(in_folder("pets/zebra"), &(struct error){0}), 0);
    dataset = open_good(in_folder("pets/"), 0);
    assert_int_equal(dataset->rows, 8);
    assert_int_equal(dataset->classes, 2);
    assert_int_equal(dataset->train.count + dataset->test.count, 29);
    assert_true(dataset->form.resize);
    char *summary = dataset_summary(dataset);
    assert_non_null(strstr(summary, "1 pictures of other sizes brought to 8 x 8"));
    assert_non_null(strstr(summary, "__MACOSX"));
    assert_non_null(strstr(summary, "notes.txt"));
    assert_non_null(strstr(summary, "zebra"));
    free(summary);
    dataset_close(dataset);
    write_text("pets/dog/14.png", "not a picture");
    expect_refusal(in_folder("pets"), "dog/14.png is not a readable picture", NULL);
}

static void picture_folders_may_be_split(void **state)
{
    (void)state;
    write_picture("split/training/a/1.png", 1, 4);
    write_picture("split/training/b/1.png", 2, 4);
    write_picture("split/testing/b/1.png", 3, 4);
    struct dataset *dataset = open_good(in_folder("split"), 0);
    assert_int_equal(dataset->train.count, 2);
    assert_int_equal(dataset->test.count, 1);
    assert_int_equal(dataset->test.labels[0], 1);
    dataset_close(dataset);
    write_picture("split/testing/c/1.png", 3, 4);
    expect_refusal(in_folder("split"), "split/testing/c", "no class of that name", NULL);
}

static void other_things_are_refused(void **state)
{
    (void)state;
    write_text("empty/readme.txt", "nothing here");
    expect_refusal(in_folder("empty"), "holds no data set", NULL);
    expect_refusal("no-such-set", "\"no-such-set\"", "synthetic", NULL);
    expect_refusal("mnist", "nnstudio data fetch mnist", "--data-dir", "synthetic", NULL);
    expect_refusal(in_folder("empty/readme.txt"), "readme.txt is text: a table must be called .csv",
                   NULL);
}

int main(void)
{
#define FILES_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        FILES_TEST(idx_folder_opens_plain_and_limited),
        FILES_TEST(idx_sizes_that_lie_are_refused),
        FILES_TEST(idx_mix_ups_are_refused),
        FILES_TEST(labels_out_of_range_are_named),
        FILES_TEST(gzip_damage_is_noticed),
        FILES_TEST(one_idx_pair_is_split),
        FILES_TEST(csv_is_read_with_label_first_or_last),
        FILES_TEST(csv_never_takes_a_pixel_for_a_label),
        FILES_TEST(csv_headers_say_what_columns_are),
        FILES_TEST(csv_of_measurements_keeps_its_numbers),
        FILES_TEST(values_are_scaled_by_their_range),
        FILES_TEST(a_part_holds_every_class),
        FILES_TEST(classes_are_matched_by_name),
        FILES_TEST(dark_pictures_are_turned_over),
        FILES_TEST(downloads_of_pages_are_told),
        FILES_TEST(letters_have_no_class_zero),
        FILES_TEST(csv_folder_has_two_files),
        FILES_TEST(csv_mistakes_are_placed),
        FILES_TEST(picture_folders_become_classes),
        FILES_TEST(picture_folders_may_be_split),
        FILES_TEST(other_things_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
