/* Damage at random: whatever a model file holds, reading it ends with a model or one line, and
 * never with a crash, a hang or memory for the asking. Fixed seeds, so that a failure can be looked
 * at again; meant to run under the sanitizers as well. A longer run: NNSTUDIO_FUZZ_ROUNDS=100000
 * test_modelfile_fuzz. */
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
#include "base/rng.h"
#include "modelfile/modelfile.h"

static char folder[] = "/tmp/nnstudio-fuzz-XXXXXX";
static char path[256];

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    struct error error;
    return file_remove_tree(folder, &error);
}

static unsigned int rounds(void)
{
    const char *asked = getenv("NNSTUDIO_FUZZ_ROUNDS");
    return asked ? (unsigned int)strtoul(asked, NULL, 10) : 300;
}

/* A small model in the format, so that most bytes matter. */
static void make_file(const struct modelfile_format *format, char **data, size_t *size)
{
    struct model model = {0};
    struct error error = {0};
    assert_int_equal(
        network_build(&model.network, 2, 2, (uint32_t[]){3}, 1, ACTIVATION_RELU, 2, &error), 0);
    assert_int_equal(parameters_create(&model.network, DTYPE_FLOAT32, &model.parameters, &error),
                     0);
    parameters_draw(model.parameters, &model.network, INIT_TORCH, 1);
    snprintf(path, sizeof path, "%s/model.%.*s", folder, (int)strcspn(format->extensions, " "),
             format->extensions);
    assert_int_equal(format->write(path, &model, &error), 0);
    assert_int_equal(file_read(path, 1 << 20, data, size, &error), 0);
    parameters_destroy(model.parameters);
}

static const unsigned char telling[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '(',
                                        '.',  'R',  'c',  '{',  '"',  0x0a};

/* One to eight changes: a bit, a byte, a run of telling bytes, a piece moved, the end cut off. */
static size_t damage(struct rng *rng, char *data, size_t size)
{
    for (uint64_t n = 1 + rng_below(rng, 8); n > 0 && size > 16; n--) {
        size_t place = (size_t)rng_below(rng, size), length = 1 + (size_t)rng_below(rng, 8);
        if (length > size - place) length = size - place;
        switch (rng_below(rng, 6)) {
        case 0:
            data[place] = (char)(data[place] ^ (1 << rng_below(rng, 8)));
            break;
        case 1:
            data[place] = (char)rng_next(rng);
            break;
        case 2:
            memset(data + place, telling[rng_below(rng, sizeof telling)], length);
            break;
        case 3:
            memmove(data + place, data + rng_below(rng, size - length + 1), length);
            break;
        case 4:
            data[place] = (char)telling[rng_below(rng, sizeof telling)];
            break;
        default:
            if (rng_below(rng, 10) == 0) size = place + 1;
        }
    }
    return size;
}

/* Without the care that file_write() takes to reach the disk. */
static void put_file(const char *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void fuzz(const struct modelfile_format *format, uint64_t seed)
{
    char *original, *copy;
    size_t size, read_fine = 0;
    make_file(format, &original, &size);
    copy = malloc(size);
    assert_non_null(copy);
    for (unsigned int round = 0; round < rounds(); round++) {
        struct rng rng;
        struct error error = {0};
        struct model *model = NULL;
        rng_seed(&rng, seed, RNG_TEST, round);
        memcpy(copy, original, size);
        size_t length = damage(&rng, copy, size);
        put_file(copy, length);
        /* By the format itself, as detection would turn many away at the door. */
        model = calloc(1, sizeof *model);
        assert_non_null(model);
        if (format->read(path, NULL, model, &error) == 0) {
            assert_int_equal(network_check(&model->network, &error), 0);
            assert_int_equal(model->parameters->value_count,
                             network_parameter_count(&model->network));
            read_fine++;
        } else {
            assert_true(error.message[0] && !strchr(error.message, '\n'));
        }
        model_destroy(model);
    }
    /* Damage that always shows at once would mean that little but the front door was tried; weights
     * may be changed unnoticed, save where a checksum guards them. */
    if (strcmp(format->id, "pth") != 0) assert_true(read_fine > 0);
    free(original);
    free(copy);
}

static void damaged_files_end_in_one_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < modelfile_table_count; i++) fuzz(modelfile_table[i], 20 + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_files_end_in_one_line),
    };
    return cmocka_run_group_tests_name("modelfile_fuzz", tests, make_folder, remove_folder);
}
