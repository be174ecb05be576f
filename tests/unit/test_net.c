/* net/: descriptions, parameters, initial values, optimizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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
    assert_string_equal(error.message, "layer 2 takes 64 values but gets 128: make the sizes fit");
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
    assert_string_equal(error.message, "unknown optimizer \"lion\": use sgd or adam");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seed_network_has_101770_parameters),
        cmocka_unit_test(sizes_that_do_not_chain_are_refused),
        cmocka_unit_test(drawn_weights_are_the_same_in_both_dtypes),
        cmocka_unit_test(optimizers_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
