/* diff: planted differences are named rightly, and what differs by rounding alone is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/js.h"
#include "diff/diff.h"
#include "net/compact.h"

#define CONVOLUTION                                                                               \
    "conv 4 3x3 relu, batchnorm, maxpool 2, conv 4 3x3 same leaky_relu, flatten, dense 12 relu, " \
    "dense 12 tanh, dense 10"
#define DENSE "dense 16 relu, dense 16 sigmoid, dense 10"

static struct model *make_model(const char *layers, uint64_t seed, enum dtype dtype)
{
    struct error error;
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    model->network.rows = model->network.columns = 8;
    model->network.channels = 1;
    assert_int_equal(network_parse(layers, &model->network, &error), 0);
    assert_int_equal(parameters_create(&model->network, dtype, &model->parameters, &error), 0);
    parameters_draw(model->parameters, &model->network, INIT_TORCH, seed);
    for (size_t t = 0; t < model->parameters->tensor_count; t++) { /* buffers, too, are drawn */
        struct tensor *tensor = &model->parameters->tensors[t];
        for (size_t i = 0; i < tensor->count; i++)
            tensor_set(model->parameters, tensor, i,
                       tensor_get(model->parameters, tensor, i) + 0.01 * (double)(i % 7));
    }
    snprintf(model->format, sizeof model->format, "safetensors");
    model->metadata = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "input_range", "255",
                                "input_scale", "255", "input_mean", "0", "input_std", "1",
                                "input_polarity", "light on dark", "class_names",
                                "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\"]");
    return model;
}

static struct tensor *tensor_of(const struct model *model, const char *name)
{
    for (size_t t = 0; t < model->parameters->tensor_count; t++)
        if (strcmp(model->parameters->tensors[t].name, name) == 0)
            return &model->parameters->tensors[t];
    fail_msg("no tensor %s", name);
    return NULL;
}

static double get(const struct model *model, const struct tensor *tensor, size_t index)
{
    return tensor_get(model->parameters, tensor, index);
}

static void set(const struct model *model, const char *name, size_t index, double value)
{
    tensor_set(model->parameters, tensor_of(model, name), index, value);
}

/* Changes every value of a tensor to what `change` makes of its old values. */
typedef double change_fn(const struct model *old, const struct tensor *tensor, size_t index);

static void change(struct model *model, const char *name, change_fn *make)
{
    struct tensor *tensor = tensor_of(model, name);
    double *values = malloc(tensor->count * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < tensor->count; i++) values[i] = make(model, tensor, i);
    for (size_t i = 0; i < tensor->count; i++) tensor_set(model->parameters, tensor, i, values[i]);
    free(values);
}

static double transposed(const struct model *old, const struct tensor *tensor, size_t index)
{
    return get(old, tensor, index % tensor->shape[0] * tensor->shape[1] + index / tensor->shape[0]);
}

static double flipped(const struct model *old, const struct tensor *tensor, size_t index)
{
    size_t size = tensor->shape[2] * tensor->shape[3];
    return get(old, tensor, index / size * size + size - 1 - index % size);
}

static double kernel_transposed(const struct model *old, const struct tensor *tensor, size_t index)
{
    size_t side = tensor->shape[2], inside = index % (side * side);
    return get(old, tensor, index - inside + inside % side * side + inside / side);
}

/* The first dense layer takes maps of 4 channels, 3 x 3. */
static double channels_last(const struct model *old, const struct tensor *tensor, size_t index)
{
    size_t column = index % 36, channel = column % 4, place = column / 4;
    return get(old, tensor, index - column + channel * 9 + place);
}

static double channels_first(const struct model *old, const struct tensor *tensor, size_t index)
{
    size_t column = index % 36, channel = column / 9, place = column % 9;
    return get(old, tensor, index - column + place * 4 + channel);
}

static double rows_turned(const struct model *old, const struct tensor *tensor, size_t index)
{
    size_t length = tensor->count / tensor->shape[0];
    return get(old, tensor, (index + length) % tensor->count);
}

static double columns_turned(const struct model *old, const struct tensor *tensor, size_t index)
{
    size_t length = tensor->shape[1];
    return get(old, tensor, index / length * length + (index + 1) % length);
}

static double doubled(const struct model *old, const struct tensor *tensor, size_t index)
{
    return 2 * get(old, tensor, index);
}

static double divided(const struct model *old, const struct tensor *tensor, size_t index)
{
    return get(old, tensor, index) / 255;
}

static double negated(const struct model *old, const struct tensor *tensor, size_t index)
{
    return -get(old, tensor, index);
}

static double added(const struct model *old, const struct tensor *tensor, size_t index)
{
    return get(old, tensor, index) + 0.125;
}

static double nothing(const struct model *old, const struct tensor *tensor, size_t index)
{
    (void)old, (void)tensor, (void)index;
    return 0;
}

/* Truncation to 8 binary digits keeps a bfloat16 what it is; rounding is what is planted. */
static double to_bfloat16(const struct model *old, const struct tensor *tensor, size_t index)
{
    float value = (float)get(old, tensor, index);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Values of this size have 11 binary digits at steps of 2^-12 and below: float16 by its bits. */
static double to_float16(const struct model *old, const struct tensor *tensor, size_t index)
{
    float value = (float)get(old, tensor, index);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits >> 23 & 0xff) < 113) { /* below 2^-14: multiples of 2^-24 */
        float step = 0x1p-24f, whole = value / step;
        return (double)(__builtin_rintf(whole) * step);
    }
    bits = (bits + 0xfff + (bits >> 13 & 1)) & 0xffffe000u;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double noisy(const struct model *old, const struct tensor *tensor, size_t index)
{
    return get(old, tensor, index) + (index % 3 ? 0.1 : -0.05) * (double)(index % 5);
}

/* Two ends of float32's rounding: a unit in the last place, up or down. */
static double last_place(const struct model *old, const struct tensor *tensor, size_t index)
{
    float value = (float)get(old, tensor, index);
    return (double)(value * (index % 2 ? 1 + 0x1p-23f : 1 - 0x1p-23f));
}

/* --- planted ---------------------------------------------------------------------------------- */

static void swap_layers(struct model *model, const char *a, const char *b)
{
    struct tensor *x = tensor_of(model, a), *y = tensor_of(model, b);
    for (size_t i = 0; i < x->count; i++) {
        double value = get(model, x, i);
        tensor_set(model->parameters, x, i, get(model, y, i));
        tensor_set(model->parameters, y, i, value);
    }
}

static void swap_dense_layers(struct model *model)
{
    swap_layers(model, "fc2.weight", "fc1.weight");
    swap_layers(model, "fc2.bias", "fc1.bias");
}

static void swap_biases(struct model *model)
{
    swap_layers(model, "conv1.bias", "conv2.bias");
}

static void one_weight(struct model *model)
{
    set(model, "fc2.weight", 17, get(model, tensor_of(model, "fc2.weight"), 17) + 0.1);
}

static void one_small_weight(struct model *model)
{
    set(model, "fc1.weight", 200, get(model, tensor_of(model, "fc1.weight"), 200) + 1e-5);
}

static void not_a_number(struct model *model)
{
    set(model, "fc3.bias", 3, (double)__builtin_nanf(""));
}

static struct layer *layer_of(struct model *model, enum layer_type type)
{
    for (uint32_t i = 0; i < model->network.layer_count; i++)
        if (model->network.layers[i].type == type) return &model->network.layers[i];
    fail();
    return NULL;
}

static void other_epsilon(struct model *model)
{
    layer_of(model, LAYER_BATCHNORM)->epsilon = 1e-3;
}

static void other_activation(struct model *model)
{
    layer_of(model, LAYER_DENSE)->activation = ACTIVATION_TANH;
}

static void other_slope(struct model *model)
{
    for (uint32_t i = 0; i < model->network.layer_count; i++)
        if (model->network.layers[i].activation == ACTIVATION_LEAKY_RELU)
            model->network.layers[i].slope = 0.3;
}

static void assumed_activation(struct model *model)
{
    layer_of(model, LAYER_DENSE)->activation = ACTIVATION_SIGMOID;
    model->assumed = json_pack("[s]", "activation of layer 6: sigmoid");
}

static void remember(struct model *model, const char *key, const char *text)
{
    json_object_set_new(model->metadata, key, json_string(text));
}

static void other_scale(struct model *model)
{
    remember(model, "input_scale", "1");
}

static void other_mean(struct model *model)
{
    remember(model, "input_mean", "0.1307");
    remember(model, "input_std", "0.3081");
}

static void other_polarity(struct model *model)
{
    remember(model, "input_polarity", "dark on light");
}

static void other_order(struct model *model)
{
    remember(model, "class_names", "[\"b\",\"a\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\"]");
}

static void other_names(struct model *model)
{
    remember(model, "class_names", "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"z\"]");
}

static void half_everywhere(struct model *model)
{
    for (size_t t = 0; t < model->parameters->tensor_count; t++)
        change(model, model->parameters->tensors[t].name, to_float16);
}

static void brain_everywhere(struct model *model)
{
    for (size_t t = 0; t < model->parameters->tensor_count; t++)
        change(model, model->parameters->tensors[t].name, to_bfloat16);
}

/* Either a whole change of the model, or of one tensor. */
static const struct planted {
    const char *finding;
    const char *tensor;
    change_fn *values;
    void (*model)(struct model *model);
    const char *told; /* a part of the sentence */
} planted[] = {
    {"transposed", "fc2.weight", transposed, NULL, "fc2.weight: transposed"},
    {"kernel_transposed", "conv1.weight", kernel_transposed, NULL, "conv1.weight"},
    {"kernel_transposed", "conv2.weight", kernel_transposed, NULL, "conv2.weight"},
    {"kernel_flipped", "conv1.weight", flipped, NULL, "180"},
    {"kernel_flipped", "conv2.weight", flipped, NULL, "conv2.weight"},
    {"flatten_order", "fc1.weight", channels_last, NULL, "fc1.weight"},
    {"flatten_order", "fc1.weight", channels_first, NULL, "Flatten"},
    {"outputs_reordered", "fc3.weight", rows_turned, NULL, "another order"},
    {"outputs_reordered", "conv1.weight", rows_turned, NULL, "conv1.weight"},
    {"inputs_reordered", "fc3.weight", columns_turned, NULL, "fc3.weight"},
    {"scaled", "fc1.weight", doubled, NULL, "times 2"},
    {"scaled", "conv1.weight", divided, NULL, "times 0.0039"},
    {"scaled", "fc2.bias", negated, NULL, "times -1"},
    {"shifted", "fc2.weight", added, NULL, "plus 0.125"},
    {"zero", "fc1.bias", nothing, NULL, "fc1.bias"},
    {"zero", "bn1.running_mean", nothing, NULL, "bn1.running_mean"},
    {"changed", "fc2.weight", noisy, NULL, "of 144"},
    {"float16", "fc1.weight", to_float16, NULL, "B holds the values of A"},
    {"bfloat16", "fc1.weight", to_bfloat16, NULL, "B holds the values of A"},
    {"float16", NULL, NULL, half_everywhere, "more"},
    {"bfloat16", NULL, NULL, brain_everywhere, "more"},
    {"swapped", NULL, NULL, swap_biases, "conv1.bias, conv2.bias"},
    {"few_values", NULL, NULL, one_weight, "1 of 144"},
    {"few_values", NULL, NULL, one_small_weight, "1 of 432"},
    {"not_finite", NULL, NULL, not_a_number, "fc3.bias"},
    {"epsilon", NULL, NULL, other_epsilon, "0.001 in B"},
    {"activation", NULL, NULL, other_activation, "relu in A and tanh in B"},
    {"slope", NULL, NULL, other_slope, "0.3 in B"},
    {"assumed_activation", NULL, NULL, assumed_activation, "--activation"},
    {"preprocessing", NULL, NULL, other_scale, "255"},
    {"preprocessing", NULL, NULL, other_mean, "0.1307"},
    {"preprocessing", NULL, NULL, other_polarity, "dark on light"},
    {"class_order", NULL, NULL, other_order, "class 0 is \"a\" in A and \"b\" in B"},
    {"class_names", NULL, NULL, other_names, "class 9"},
};

static void each_planted_difference_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        struct model *a = make_model(CONVOLUTION, i, DTYPE_FLOAT32),
                     *b = make_model(CONVOLUTION, i, DTYPE_FLOAT32);
        struct error error;
        json_t *answer;
        if (planted[i].model)
            planted[i].model(b);
        else
            change(b, planted[i].tensor, planted[i].values);
        assert_int_equal(diff_models(a, b, &answer, &error), 0);
        const json_t *findings = json_object_get(answer, "findings"),
                     *first = json_array_get(findings, 0);
        if (strcmp(js_text(first, "kind"), planted[i].finding) != 0 ||
            !strstr(js_text(first, "text"), planted[i].told) || json_array_size(findings) != 1 ||
            json_is_true(json_object_get(answer, "same")))
            fail_msg("planted %zu (%s): %s", i, planted[i].finding, js_dump(answer));
        json_decref(answer);
        model_destroy(a);
        model_destroy(b);
    }
}

/* Layers of one shape that stand in one another's place, matrices that lie on their side, and
 * layers that only one has. */
static void whole_layers_are_compared(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *finding, *alone;
    } cases[] = {
        {"dense 12 relu, dense 10", "dense 12 relu, dense 14 relu, dense 10", "layer",
         "fc2.weight"},
        {"dense 12 relu, dense 10", "dense 14 relu, dense 10", "units is 12 in A and 14 in B", ""},
        {"dense 12 relu, dense 10", "dense 12 relu, dense 12 relu, dense 10", "layer",
         "fc2.weight"},
        {"flatten, dense 12, dense 10", "flatten, batchnorm, dense 12, dense 10", "layer",
         "bn1.weight"},
        {"conv 4 3x3, flatten, dense 10", "conv 4 3x3 nobias, flatten, dense 10", "bias", ""},
        {"conv 4 3x3, flatten, dense 10", "conv 6 3x3, flatten, dense 10", "filters", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model *a = make_model(cases[i].a, 1, DTYPE_FLOAT32),
                     *b = make_model(cases[i].b, 1, DTYPE_FLOAT32);
        struct error error;
        json_t *answer;
        assert_int_equal(diff_models(a, b, &answer, &error), 0);
        assert_false(json_is_true(json_object_get(answer, "same_network")));
        char *text = js_dump(json_object_get(answer, "only_in_b")), *all = js_dump(answer);
        assert_non_null(text);
        assert_non_null(all);
        print_message("%s\n", js_text(answer, "verdict"));
        if (*cases[i].alone) assert_non_null(strstr(text, cases[i].alone));
        assert_non_null(strstr(all, cases[i].finding));
        free(text);
        free(all);
        json_decref(answer);
        model_destroy(a);
        model_destroy(b);
    }
}

static void swapped_layers_are_named(void **state)
{
    (void)state;
    struct error error;
    struct model *a = make_model("dense 64, dense 64, dense 10", 3, DTYPE_FLOAT32),
                 *b = make_model("dense 64, dense 64, dense 10", 3, DTYPE_FLOAT32);
    json_t *answer;
    swap_dense_layers(b);
    assert_int_equal(diff_models(a, b, &answer, &error), 0);
    assert_string_equal(js_text(json_array_get(json_object_get(answer, "findings"), 0), "kind"),
                        "swapped");
    json_decref(answer);
    model_destroy(a);
    model_destroy(b);
}

/* --- rounding alone --------------------------------------------------------------------------- */

static void expect_same(const struct model *a, const struct model *b, const char *what)
{
    struct error error;
    json_t *answer;
    assert_int_equal(diff_models(a, b, &answer, &error), 0);
    if (!json_is_true(json_object_get(answer, "same")) ||
        json_array_size(json_object_get(answer, "findings")))
        fail_msg("%s: %s", what, js_dump(answer));
    json_decref(answer);
}

/* Every format beside every other, both ways round: 5 formats, 2 networks. */
static void formats_of_one_model_are_the_same(void **state)
{
    static const char *const endings[] = {"pth", "h5", "keras", "safetensors", "onnx"};
    static const char *const networks[] = {CONVOLUTION, DENSE};
    enum { FORMATS = sizeof endings / sizeof *endings };
    for (size_t n = 0; n < 2; n++) {
        struct model *original = make_model(networks[n], 7, DTYPE_FLOAT32), *read[FORMATS];
        struct error error;
        for (size_t f = 0; f < FORMATS; f++) {
            char path[512];
            snprintf(path, sizeof path, "%s/%zu.%s", (const char *)*state, n, endings[f]);
            if (modelfile_write(path, original, &error) ||
                modelfile_read(path, NULL, &read[f], &error))
                fail_msg("%s", error.message);
            unlink(path);
        }
        for (size_t a = 0; a < FORMATS; a++)
            for (size_t b = 0; b < FORMATS; b++)
                if (a != b) expect_same(read[a], read[b], endings[b]);
        for (size_t f = 0; f < FORMATS; f++) model_destroy(read[f]);
        model_destroy(original);
    }
}

static void dtypes_and_last_places_are_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        const char *layers = seed % 2 ? CONVOLUTION : DENSE;
        struct model *a = make_model(layers, seed, DTYPE_FLOAT64),
                     *b = make_model(layers, seed, DTYPE_FLOAT32),
                     *c = make_model(layers, seed, DTYPE_FLOAT32);
        for (size_t t = 0; t < c->parameters->tensor_count; t++)
            change(c, c->parameters->tensors[t].name, last_place);
        expect_same(a, b, "float64 and float32");
        expect_same(b, c, "last places");
        expect_same(a, c, "float64 and last places");
        model_destroy(a);
        model_destroy(b);
        model_destroy(c);
    }
}

static int make_folder(void **state)
{
    static char folder[] = "/tmp/test_diff_XXXXXX";
    *state = mkdtemp(folder);
    return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
    return rmdir(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_planted_difference_is_named),
        cmocka_unit_test(whole_layers_are_compared),
        cmocka_unit_test(swapped_layers_are_named),
        cmocka_unit_test_setup_teardown(formats_of_one_model_are_the_same, make_folder,
                                        remove_folder),
        cmocka_unit_test(dtypes_and_last_places_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
