/* net/: descriptions, parameters, initial values, optimizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/compact.h"
#include "net/cost.h"
#include "net/draft.h"
#include "net/layout.h"
#include "net/network.h"
#include "net/optimizer.h"
#include "net/parameters.h"

static struct network seed_network(void)
{
    struct network network;
    struct error error;
    assert_int_equal(
        network_build(&network, 28, 28, (uint32_t[]){128}, 1, ACTIVATION_RELU, 10, &error), 0);
    return network;
}

static void the_seed_network_has_101770_parameters(void **state)
{
    (void)state;
    struct network network = seed_network();
    assert_int_equal(network_parameter_count(&network), 101770);
    json_t *json = network_to_json(&network);
    struct network again;
    struct error error;
    assert_int_equal(network_from_json(json, &again, &error), 0);
    assert_true(network_equal(&network, &again));
    json_decref(json);
}

static void sizes_that_do_not_chain_are_refused(void **state)
{
    (void)state;
    struct network network = seed_network();
    struct error error;
    network.layers[1].inputs = 64;
    assert_int_equal(network_check(&network, &error), -1);
    assert_string_equal(error.message,
                        "layer 2: it takes 64 values but gets 128: make the sizes fit");
}

static void drawn_weights_are_the_same_in_both_dtypes(void **state)
{
    (void)state;
    struct network network = seed_network();
    struct parameters *single, *twice;
    struct error error;
    assert_int_equal(parameters_create(&network, DTYPE_FLOAT32, &single, &error), 0);
    assert_int_equal(parameters_create(&network, DTYPE_FLOAT64, &twice, &error), 0);
    for (int scheme = INIT_TORCH; scheme <= INIT_KERAS; scheme++) {
        parameters_draw(single, &network, (enum init_scheme)scheme, 3);
        parameters_draw(twice, &network, (enum init_scheme)scheme, 3);
        double bound = scheme == INIT_TORCH ? 1.0 / 28 : 0.0811107106;
        double most = 0;
        for (size_t i = 0; i < single->tensors[0].count; i++) {
            double a = tensor_get(single, &single->tensors[0], i),
                   b = tensor_get(twice, &twice->tensors[0], i);
            assert_true(a == b);
            if (a > most) most = a;
        }
        assert_true(most <= bound && most > bound * 0.999);
    }
    assert_true(tensor_get(single, &single->tensors[1], 0) == 0.0);
    parameters_destroy(single);
    parameters_destroy(twice);
}

static void optimizers_are_checked(void **state)
{
    (void)state;
    struct optimizer optimizer, again;
    struct error error;
    assert_int_equal(optimizer_init(&optimizer, "adam", &error), 0);
    json_t *json = optimizer_to_json(&optimizer);
    assert_int_equal(optimizer_from_json(json, &again, &error), 0);
    assert_memory_equal(&optimizer, &again, sizeof again);
    json_decref(json);
    optimizer.learning_rate = -1;
    assert_int_equal(optimizer_check(&optimizer, &error), -1);
    optimizer.learning_rate = 0.0 / 0.0;
    assert_int_equal(optimizer_check(&optimizer, &error), -1);
    assert_int_equal(optimizer_init(&optimizer, "lion", &error), -1);
    assert_string_equal(error.message,
                        "unknown optimizer \"lion\": use sgd, adam, adamw, rmsprop, adagrad, "
                        "adadelta, adamax or nadam");
}

/* A network of 28 x 28 pictures from its layers as JSON. */
static int from_layers(const char *layers, struct network *network, struct error *error)
{
    json_t *list = json_loads(layers, 0, NULL);
    assert_non_null(list);
    *network = (struct network){
        .rows = 28, .columns = 28, .layer_count = (uint32_t)json_array_size(list)};
    int status = 0;
    for (uint32_t i = 0; i < network->layer_count && !status; i++)
        status = layer_from_json(json_array_get(list, i), &network->layers[i], error);
    json_decref(list);
    return status ? status : network_finish(network, error);
}

#define CONVNET                                                                      \
    "[{\"type\":\"conv2d\",\"filters\":32,\"kernel\":3,\"activation\":\"relu\"},"    \
    "{\"type\":\"maxpool2d\",\"size\":2},"                                           \
    "{\"type\":\"conv2d\",\"filters\":64,\"kernel\":[3,3],\"activation\":\"relu\"}," \
    "{\"type\":\"maxpool2d\",\"size\":2},{\"type\":\"flatten\"},"                    \
    "{\"type\":\"dropout\",\"rate\":0.5},{\"type\":\"dense\",\"units\":10}]"

static void shapes_and_sizes_follow_from_the_layers(void **state)
{
    (void)state;
    struct network network;
    struct error error;
    char words[48];
    assert_int_equal(from_layers(CONVNET, &network, &error), 0);
    assert_int_equal(network_parameter_count(&network), 34826);
    assert_int_equal(network_multiply_adds(&network), 194688 + 64 * 9 * 32 * 11 * 11 + 16000);
    assert_string_equal(shape_words(&network.layers[0].output, words), "26×26×32");
    assert_string_equal(shape_words(&network.layers[3].output, words), "5×5×64");
    assert_string_equal(network.layers[2].name, "conv2");
    assert_string_equal(network.layers[6].name, "fc1");
    assert_int_equal(
        from_layers("[{\"type\":\"conv2d\",\"filters\":6,\"kernel\":5,\"padding\":\"same\"},"
                    "{\"type\":\"maxpool2d\",\"size\":2},"
                    "{\"type\":\"conv2d\",\"filters\":16,\"kernel\":5},"
                    "{\"type\":\"maxpool2d\",\"size\":2},{\"type\":\"flatten\"},"
                    "{\"type\":\"dense\",\"units\":120,\"activation\":\"relu\"},"
                    "{\"type\":\"dense\",\"units\":84,\"activation\":\"relu\"},"
                    "{\"type\":\"dense\",\"units\":10}]",
                    &network, &error),
        0);
    assert_int_equal(network_parameter_count(&network), 61706); /* LeNet-5 */
}

static void layers_come_back_from_their_json(void **state)
{
    (void)state;
    struct network network;
    struct error error;
    assert_int_equal(from_layers(CONVNET, &network, &error), 0);
    for (uint32_t i = 0; i < network.layer_count; i++) {
        struct layer again;
        json_t *json = layer_to_json(&network.layers[i]);
        assert_int_equal(layer_from_json(json, &again, &error), 0);
        again.input = network.layers[i].input;
        again.output = network.layers[i].output;
        assert_true(layer_equal(&again, &network.layers[i]));
        json_decref(json);
    }
}

static void what_does_not_fit_is_refused_with_a_fix(void **state)
{
    (void)state;
    static const struct {
        const char *layers, *message;
    } cases[] = {
        {"[{\"type\":\"conv2d\",\"filters\":4,\"kernel\":29},{\"type\":\"dense\",\"units\":9}]",
         "layer 1: the window of 29×29 does not fit its input of 28×28: use a smaller one, or "
         "padding same"},
        {"[{\"type\":\"conv2d\",\"filters\":4,\"kernel\":3},{\"type\":\"dense\",\"units\":9}]",
         "layer 2: dense takes a list of values but gets maps of 26×26×4: put flatten before it"},
        {"[{\"type\":\"dense\",\"units\":9},{\"type\":\"maxpool2d\",\"size\":2}]",
         "layer 2: maxpool2d takes pictures or feature maps, but gets 9 values: put it before "
         "flatten and dense layers"},
        {"[{\"type\":\"dense\",\"units\":9,\"rate\":1}]",
         "dense has no member \"rate\": leave it out"},
        {"[{\"type\":\"conv2d\",\"filters\":4}]", "\"kernel\" is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct network network;
        struct error error;
        assert_int_equal(from_layers(cases[i].layers, &network, &error), -1);
        assert_string_equal(error.message, cases[i].message);
    }
}

/* Every value of a permuted tensor is where a plain loop puts it. */
static void layouts_are_those_of_keras(void **state)
{
    (void)state;
    struct network network;
    struct parameters *parameters;
    struct error error;
    assert_int_equal(from_layers("[{\"type\":\"conv2d\",\"filters\":3,\"kernel\":[2,4]},"
                                 "{\"type\":\"maxpool2d\",\"size\":9},{\"type\":\"flatten\"},"
                                 "{\"type\":\"dense\",\"units\":5}]",
                                 &network, &error),
                     0);
    assert_int_equal(parameters_create(&network, DTYPE_FLOAT64, &parameters, &error), 0);
    struct tensor *conv = parameters_find(parameters, 0, ROLE_WEIGHT);
    struct tensor *dense = parameters_find(parameters, 3, ROLE_WEIGHT);
    double keras[3 * 2 * 4 + 18 * 5], back[3 * 2 * 4 + 18 * 5];
    for (size_t i = 0; i < conv->count; i++) tensor_set(parameters, conv, i, (double)i);
    struct layout layout = layout_of(&network, conv);
    layout_to_keras(&layout, conv->values, keras, sizeof *keras);
    for (size_t f = 0; f < 3; f++)
        for (size_t r = 0; r < 2; r++)
            for (size_t c = 0; c < 4; c++)
                assert_true(keras[(r * 4 + c) * 3 + f] == (double)((f * 2 + r) * 4 + c));
    layout_from_keras(&layout, keras, back, sizeof *keras);
    assert_memory_equal(back, conv->values, conv->count * sizeof *back);

    const struct shape *maps = &network.layers[2].input; /* [3, 3, 2] */
    size_t rows = maps->sizes[1], columns = maps->sizes[2];
    assert_int_equal(dense->count, 5 * 3 * rows * columns);
    for (size_t i = 0; i < dense->count; i++) tensor_set(parameters, dense, i, (double)i);
    layout = layout_of(&network, dense);
    assert_int_equal(layout.keras.sizes[0], 3 * rows * columns);
    layout_to_keras(&layout, dense->values, keras, sizeof *keras);
    for (size_t o = 0; o < 5; o++)
        for (size_t m = 0; m < 3; m++)
            for (size_t r = 0; r < rows; r++)
                for (size_t c = 0; c < columns; c++)
                    assert_true(keras[((r * columns + c) * 3 + m) * 5 + o] ==
                                (double)(((o * 3 + m) * rows + r) * columns + c));
    parameters_destroy(parameters);
}

static void parse(const char *text, struct network *network)
{
    struct error error;
    *network = (struct network){.rows = 28, .columns = 28};
    if (network_parse(text, network, &error)) fail_msg("%s: %s", text, error.message);
}

static void presets_have_the_sizes_of_their_originals(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t parameters;
    } sizes[] = {{"mlp", 101770},
                 {"softmax", 7850},
                 {"lenet5", 61706},
                 {"keras-mnist-convnet", 34826},
                 {"pytorch-mnist", 1199882}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct network network;
        parse(sizes[i].name, &network);
        assert_int_equal(network_parameter_count(&network), sizes[i].parameters);
    }
}

static void the_compact_form_says_what_was_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "conv 6 5x5 same relu, maxpool 2, conv 16 5x3 stride 2 dilation 2 nobias, flatten, dense "
        "120 relu, dense 10",
        "normalize 0.1307 0.3081, conv 8 3 groups 1, depthwise 3 same elu 0.5, batchnorm epsilon "
        "0.001 momentum 0.01 gelu, avgpool 3 stride 2 pad 1 1 1 1, dropout 0.25, flatten, dense 10",
        "normalize 0.49/0.48/0.45 0.2/0.25/0.5, conv 4 3x3, globalavgpool, dense 10",
        "conv 4 3 l1 1e-05 l2 0.001 relu, depthwise 2 l2 0.5, flatten, dense 8 l1 0.25 tanh, dense "
        "3",
        "rescale 2 -1, conv 4 2x3 leaky_relu, relu, layernorm silu, globalavgpool softplus, dense "
        "3",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct network first, second;
        struct buffer text, again;
        parse(texts[i], &first);
        buffer_init(&text, COMPACT_MAX_LENGTH);
        buffer_init(&again, COMPACT_MAX_LENGTH);
        network_to_compact(&first, &text);
        parse(text.data, &second);
        assert_true(network_equal(&first, &second));
        network_to_compact(&second, &again);
        assert_string_equal(text.data, again.data);
        json_t *json = network_to_json(&first);
        char *words = json_dumps(json, JSON_COMPACT);
        parse(words, &second); /* the JSON of a network is a spec, too */
        assert_true(network_equal(&first, &second));
        free(words);
        json_decref(json);
        buffer_free(&text);
        buffer_free(&again);
    }
}

static void what_cannot_be_read_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"normalize 0.4/0.5 0.2, flatten, dense 10",
         "layer 1: \"0.4/0.5\" is not valid for the mean: use -1e+06 to 1e+06, as in \"normalize "
         "0.1307 0.3081\""},
        {"dense 128 relu,, dense 10", "layer 2 is empty: remove a comma"},
        {"conv 32, dense 10",
         "layer 1: the kernel's size is missing: write it as in \"conv 32 3x3\""},
        {"dense 0, dense 10",
         "layer 1: \"0\" is not valid for units: use 1 to 65536, as in \"dense 128\""},
        {"dense 10 stride 2", "layer 1: \"stride\" is not known for dense: an activation such as "
                              "relu, or one of its own words, may stand here"},
        {"", "no layers are given: write them as in \"dense 128 relu, dense 10\""},
        {"dense 128 relu", "the last layer has an activation: the network must end in logits"},
        {"[{\"type\":\"dense\",\"units\":10}", "the network is not valid JSON: line 1: ']' "
                                               "expected near end of file"},
        {"dropout 1, dense 10", "layer 1: \"1\" is not valid for the share to drop: use 0 to "
                                "0.99, as in \"dropout 0.5\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct network network = {.rows = 28, .columns = 28};
        struct error error;
        assert_int_equal(network_parse(cases[i].text, &network, &error), -1);
        assert_string_equal(error.message, cases[i].message);
    }
}

static void what_a_value_sees_grows_with_the_windows(void **state)
{
    (void)state;
    struct network network;
    struct network_cost cost;
    parse("lenet5", &network);
    network_cost(&network, &cost);
    assert_int_equal(cost.layers[0].receptive[0], 5);
    assert_int_equal(cost.layers[1].receptive[0], 6);
    assert_int_equal(cost.layers[2].receptive[1], 14);
    assert_int_equal(cost.layers[3].receptive[1], 16);
    assert_int_equal(cost.layers[7].receptive[1], 28);
    assert_int_equal(cost.total.multiply_adds, 117600 + 240000 + 48000 + 10080 + 840);
}

/* What network_draft_to_json() says of a text; new reference. */
static json_t *draft_of(const char *text, uint32_t classes)
{
    struct network network = {.rows = 28, .columns = 28};
    struct error error;
    assert_int_equal(network_read(text, &network, &error), 0);
    return network_draft_to_json(&network, classes);
}

/* The place of what does not fit, and the first fix: taken, it leads to a network that fits. */
static void drafts_that_do_not_fit_have_fixes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *label, *fixed;
        int at;
    } cases[] = {
        {"conv 6 5, dense 10", "Insert flatten", "conv 6 5, flatten, dense 10", 1},
        {"maxpool 2, conv 4 20, flatten, dense 10", "Padding same",
         "maxpool 2, conv 4 20 same, flatten, dense 10", 1},
        {"flatten, conv 4 3, dense 10", "Move before flatten", "conv 4 3, flatten, dense 10", 1},
        {"conv 4 3 groups 3, flatten, dense 10", "One group", "conv 4 3, flatten, dense 10", 0},
        {"dense 20, rescale 2, dense 10", "Move to the front", "rescale 2, dense 20, dense 10", 1},
        {"dense 10 relu", "Remove its activation", "dense 10", 0},
        {"dense 12", "End with dense 10", "dense 10", 0},
        {"conv 4 3", "End with dense 10", "conv 4 3, flatten, dense 10", 0},
        {"globalavgpool, maxpool 2, dense 10", "Move before flatten",
         "maxpool 2, globalavgpool, dense 10", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *draft = draft_of(cases[i].text, 10);
        const json_t *fix = json_array_get(json_object_get(draft, "fixes"), 0);
        assert_true(json_is_string(json_object_get(draft, "problem")));
        assert_true(json_is_null(json_object_get(draft, "cost")));
        assert_int_equal(json_integer_value(json_object_get(draft, "at")), cases[i].at);
        assert_string_equal(json_string_value(json_object_get(fix, "label")), cases[i].label);
        assert_string_equal(json_string_value(json_object_get(fix, "net")), cases[i].fixed);
        json_t *after = draft_of(cases[i].fixed, 10);
        assert_true(json_is_null(json_object_get(after, "problem")));
        json_decref(after);
        json_decref(draft);
    }
}

static void every_layer_of_the_table_can_be_edited(void **state)
{
    (void)state;
    json_t *table = network_layer_table(), *kind;
    size_t i;
    assert_int_equal(json_array_size(json_object_get(table, "layers")), LAYER_TYPE_COUNT);
    json_array_foreach(json_object_get(table, "layers"), i, kind) {
        struct network network = {.rows = 28, .columns = 28};
        struct error error;
        json_t *layers = json_pack("[O]", json_object_get(kind, "layer"));
        assert_int_equal(network_read_layers(layers, &network, &error), 0);
        assert_true(json_string_length(json_object_get(kind, "why")) > 20);
        json_decref(layers);
    }
    json_decref(table);
    /* A depthwise layer has a group per channel, whatever comes before it later. */
    json_t *draft = draft_of("conv 6 5, depthwise 3, flatten, dense 10", 10);
    const json_t *layer = json_array_get(json_object_get(json_object_get(draft, "draft"), "layers"),
                                         1);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(layer, "layer"), "groups")),
                     0);
    assert_string_equal(json_string_value(json_object_get(layer, "text")), "depthwise 3");
    json_decref(draft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seed_network_has_101770_parameters),
        cmocka_unit_test(sizes_that_do_not_chain_are_refused),
        cmocka_unit_test(drawn_weights_are_the_same_in_both_dtypes),
        cmocka_unit_test(shapes_and_sizes_follow_from_the_layers),
        cmocka_unit_test(layers_come_back_from_their_json),
        cmocka_unit_test(what_does_not_fit_is_refused_with_a_fix),
        cmocka_unit_test(layouts_are_those_of_keras),
        cmocka_unit_test(presets_have_the_sizes_of_their_originals),
        cmocka_unit_test(the_compact_form_says_what_was_read),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(what_a_value_sees_grows_with_the_windows),
        cmocka_unit_test(drafts_that_do_not_fit_have_fixes),
        cmocka_unit_test(every_layer_of_the_table_can_be_edited),
        cmocka_unit_test(optimizers_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
