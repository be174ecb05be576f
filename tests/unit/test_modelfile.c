/* modelfile/: every format gives back what was written, to the bit; damage is refused with one
 * line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/file.h"
#include "modelfile/modelfile.h"
#include "modelfile/safetensors.h"

static char folder[] = "/tmp/nnstudio-modelfile-XXXXXX";
static char path[256];

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

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

static struct model make_model(enum dtype dtype, enum activation activation)
{
    struct model model = {0};
    struct error error;
    assert_int_equal(
        network_build(&model.network, 4, 6, (uint32_t[]){7, 5}, 2, activation, 3, &error), 0);
    assert_int_equal(parameters_create(&model.network, dtype, &model.parameters, &error), 0);
    parameters_draw(model.parameters, &model.network, INIT_TORCH, 11);
    /* Values that a detour through decimal or another width would spoil. */
    tensor_set(model.parameters, &model.parameters->tensors[0], 0,
               dtype == DTYPE_FLOAT64 ? 0.1 : (double)0.1f);
    tensor_set(model.parameters, &model.parameters->tensors[1], 1, -0.0);
    tensor_set(model.parameters, &model.parameters->tensors[2], 2,
               dtype == DTYPE_FLOAT64 ? 5e-324 : 1e-45);
    model.metadata = json_pack("{s:s}", "dataset", "mnist");
    return model;
}

static void free_model(struct model *model)
{
    parameters_destroy(model->parameters);
    json_decref(model->metadata);
}

static void assert_same_model(const struct model *a, const struct model *b)
{
    assert_true(network_equal(&a->network, &b->network));
    assert_int_equal(a->parameters->dtype, b->parameters->dtype);
    assert_int_equal(a->parameters->value_count, b->parameters->value_count);
    assert_memory_equal(a->parameters->values, b->parameters->values,
                        a->parameters->value_count * dtype_size(a->parameters->dtype));
}

static void every_format_gives_back_every_bit(void **state)
{
    (void)state;
    struct error error = {0};
    for (size_t f = 0; f < modelfile_table_count; f++) {
        for (int dtype = DTYPE_FLOAT32; dtype <= DTYPE_FLOAT64; dtype++) {
            for (int activation = ACTIVATION_RELU; activation <= ACTIVATION_SIGMOID; activation++) {
                struct model model = make_model((enum dtype)dtype, (enum activation)activation),
                             *again = NULL;
                char name[64];
                snprintf(name, sizeof name, "model.%.*s",
                         (int)strcspn(modelfile_table[f]->extensions, " "),
                         modelfile_table[f]->extensions);
                if (modelfile_write(in_folder(name), &model, &error) ||
                    modelfile_read(path, NULL, &again, &error))
                    fail_msg("%s: %s", name, error.message);
                assert_same_model(&model, again);
                assert_string_equal(again->format, modelfile_table[f]->id);
                assert_true(model_activation_known(again));
                assert_string_equal(json_string_value(json_object_get(again->metadata, "dataset")),
                                    "mnist");
                assert_int_equal(json_object_size(again->metadata), 1);
                free_model(&model);
                model_destroy(again);
            }
        }
    }
}

static void assert_refused(const char *file, const char *words)
{
    struct error error = {0};
    struct model *model = NULL;
    if (modelfile_read(file, NULL, &model, &error) == 0) {
        model_destroy(model);
        fail_msg("%s was read, but should be refused: %s", file, words);
    }
    if (!strstr(error.message, words)) fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    assert_null(strchr(error.message, '\n'));
}

static void write_safetensors(const char *name, const char *header, size_t claimed,
                              size_t data_size)
{
    struct buffer buffer;
    struct error error;
    char zeros[4096] = {0};
    uint64_t length = claimed ? claimed : strlen(header);
    buffer_init(&buffer, 1 << 20);
    buffer_append(&buffer, &length, sizeof length);
    buffer_append_text(&buffer, header);
    buffer_append(&buffer, zeros, data_size);
    assert_int_equal(file_write(in_folder(name), buffer.data, buffer.length, &error), 0);
    buffer_free(&buffer);
}

static void lying_safetensors_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t claimed, data_size;
        const char *words;
    } cases[] = {
        {"{", (size_t)1 << 31, 0, "the most is"},
        {"{", SIZE_MAX, 0, "the most is"},
        {"{}        ", 9999, 0, "cut short"},
        {"{\"a.weight\":", 0, 0, "not valid JSON"},
        {"{\"a.weight\":1}", 0, 0, "needs dtype"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 0, 12,
         "lie outside"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,12]}}", 0, 12,
         "does not agree"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[4,20]}}", 0, 20,
         "leaves a hole"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 0, 20,
         "belong to no tensor"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
         "\"a.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]}}",
         0, 20, "overlaps"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"
         "}}",
         0, 0, "does not agree"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[-2,2],\"data_offsets\":[0,16]}}", 0, 16,
         "other than sizes"},
        {"{\"a.weight\":{\"dtype\":\"I64\",\"shape\":[2,1],\"data_offsets\":[0,16]}}", 0, 16,
         "I64"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
         "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}",
         0, 16, "duplicate"},
        {"{\"conv.weight\":{\"dtype\":\"F32\",\"shape\":[2,2,1],\"data_offsets\":[0,16]}}", 0, 16,
         "conv.weight"},
        {"{\"scale\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 0, 16, "scale"},
        {"{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
         "\"a.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]}}",
         0, 20, "does not fit"},
        {"{\"__metadata__\":{\"x\":1}}", 0, 0, "must be a string"},
        {"{}", 0, 0, "no dense layer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_safetensors("lying.safetensors", cases[i].header, cases[i].claimed,
                          cases[i].data_size);
        assert_refused(path, cases[i].words);
    }
}

static void layers_are_put_in_the_order_that_chains(void **state)
{
    (void)state;
    struct error error = {0};
    struct model *model;
    /* By name the head comes first, by size last; "fc10" by name before "fc2", by number after. */
    float values[200] = {0};
    values[0] = 7;
    const struct safetensors_entry named[] = {
        {"head.weight", DTYPE_FLOAT32, 2, (size_t[]){2, 3}, values},
        {"trunk.weight", DTYPE_FLOAT32, 2, (size_t[]){3, 4}, values},
    };
    assert_int_equal(safetensors_write(in_folder("order.safetensors"), named, 2, NULL, &error), 0);
    assert_int_equal(modelfile_read(path, NULL, &model, &error), 0);
    assert_int_equal(network_inputs(&model->network), 4);
    assert_int_equal(model->network.rows, 2);
    assert_int_equal(model->network.layers[0].activation, ACTIVATION_RELU);
    assert_false(model_activation_known(model));
    model_destroy(model);

    float other[9] = {9};
    const struct safetensors_entry numbered[] = {
        {"module.fc10.weight", DTYPE_FLOAT32, 2, (size_t[]){3, 3}, other},
        {"module.fc2.weight", DTYPE_FLOAT32, 2, (size_t[]){3, 3}, values},
    };
    struct modelfile_options options = {.activation_count = 1, .activations = {ACTIVATION_TANH}};
    assert_int_equal(safetensors_write(in_folder("order.safetensors"), numbered, 2, NULL, &error),
                     0);
    assert_int_equal(modelfile_read(path, &options, &model, &error), 0);
    assert_true(tensor_get(model->parameters, &model->parameters->tensors[0], 0) == 7);
    assert_int_equal(model->network.layers[0].activation, ACTIVATION_TANH);
    model_destroy(model);

    const struct safetensors_entry apart[] = {
        {"a.weight", DTYPE_FLOAT32, 2, (size_t[]){2, 3}, values},
        {"b.weight", DTYPE_FLOAT32, 2, (size_t[]){5, 4}, values},
    };
    assert_int_equal(safetensors_write(in_folder("order.safetensors"), apart, 2, NULL, &error), 0);
    assert_refused(path, "do not chain: a.weight is [2, 3] and b.weight is [5, 4]");
}

static void half_precision_is_widened_exactly(void **state)
{
    (void)state;
    static const uint16_t halves[] = {0x3c00, 0x0001, 0xc000, 0x7bff};
    static const float floats[] = {1.0f, 0x1p-24f, -2.0f, 65504.0f};
    static const char header[] = "{\"w\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]}}";
    struct error error = {0};
    struct buffer buffer;
    uint64_t length = sizeof header - 1;
    buffer_init(&buffer, 4096);
    buffer_append(&buffer, &length, sizeof length);
    buffer_append(&buffer, header, sizeof header - 1);
    buffer_append(&buffer, halves, sizeof halves);
    assert_int_equal(file_write(in_folder("half.safetensors"), buffer.data, buffer.length, &error),
                     0);
    buffer_free(&buffer);
    struct state_dict dict = {0};
    json_t *metadata;
    assert_int_equal(safetensors_read(path, &dict, &metadata, &error), 0);
    assert_memory_equal(dict.tensors[0].values, floats, sizeof floats);
    state_dict_clear(&dict);
    json_decref(metadata);
}

static void what_is_no_model_is_refused(void **state)
{
    (void)state;
    struct error error;
    static const char legacy[] = "\x80\x02\x8a\x0al\xfc\x9c"
                                 "F\xf9 j\xa8P\x19.\x80\x02M";
    assert_int_equal(file_write(in_folder("x.pth"), legacy, sizeof legacy - 1, &error), 0);
    assert_refused(path, "damaged or cut short");
    assert_int_equal(file_write(in_folder("x.pth"), "\x80\x04N.", 4, &error), 0);
    assert_refused(path, "bare pickle");
    assert_int_equal(file_write(in_folder("x.txt"), "hello", 5, &error), 0);
    assert_refused(path, "not a model file the studio knows");
    assert_int_equal(file_write(in_folder("x.pth"), "", 0, &error), 0);
    assert_refused(path, "is empty");
    assert_refused(in_folder("missing.pth"), "does not exist");
    assert_refused(folder, "is a folder");
    assert_int_equal(mkfifo(in_folder("pipe.pth"), 0600), 0);
    assert_refused(path, "not a regular file");
    struct model model = make_model(DTYPE_FLOAT32, ACTIVATION_RELU);
    assert_int_equal(modelfile_write(in_folder("model.xyz"), &model, &error), -1);
    assert_false(file_exists(path));
    assert_int_equal(modelfile_write(in_folder("nowhere/model.safetensors"), &model, &error), -1);
    free_model(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_gives_back_every_bit),
        cmocka_unit_test(lying_safetensors_are_refused),
        cmocka_unit_test(layers_are_put_in_the_order_that_chains),
        cmocka_unit_test(half_precision_is_widened_exactly),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    return cmocka_run_group_tests_name("modelfile", tests, make_folder, remove_folder);
}
