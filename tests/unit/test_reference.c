/* The reference that engines are held against, against finite differences: engine and reference
 * cannot share a mistake. */
#include "trial.h"

static double reference_loss(struct trial *t, const uint32_t *order, size_t count)
{
    reference_forward(&t->reference, t->split.pixels, t->split.labels, order, count);
    return t->reference.loss;
}

static void check_reference_slopes(struct trial *t)
{
    struct reference *r = &t->reference;
    size_t count;
    struct rng rng;
    const uint32_t *order = t->order + trial_step(t, 0, &count);
    rng_seed(&rng, 1, RNG_TEST, 1);
    reference_gradient(r, &t->split, order, count); /* stays while the losses below are computed */
    for (size_t k = 0; k < r->parameters->tensor_count; k++) {
        struct tensor *tensor = &r->parameters->tensors[k];
        double *w = tensor->values;
        size_t at[TRIAL_PROBES], chosen = trial_probes(&rng, tensor->count, at);
        for (size_t p = 0; p < chosen; p++) {
            double kept = w[at[p]], h = 1e-5;
            double gradient = tensor_get(r->gradients, &r->gradients->tensors[k], at[p]);
            w[at[p]] = kept + h;
            double above = reference_loss(t, order, count);
            w[at[p]] = kept - h;
            double slope = (above - reference_loss(t, order, count)) / (2 * h);
            w[at[p]] = kept;
            trial_near(t, gradient, slope, 1e-8, tensor->name);
        }
    }
}

static void the_references_gradient_is_the_slope_of_its_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < trial_case_count; i++)
        for
            EACH_ACTIVATION(activation, &trial_cases[i])
            {
                struct trial trial;
                trial_begin(&trial, &trial_cases[i], activation, trial_find_optimizer("sgd"));
                check_reference_slopes(&trial);
                trial_end(&trial);
            }
}

/* The activations that no engine has yet, too. */
static void the_references_activations_have_their_slopes(void **state)
{
    (void)state;
    for (int activation = ACTIVATION_NONE; activation < ACTIVATION_COUNT; activation++) {
        struct trial t;
        trial_begin(&t, trial_find("three hidden layers"), ACTIVATION_TANH,
                    trial_find_optimizer("sgd"));
        for (uint32_t n = 0; n + 1 < t.config.network.layer_count; n++) {
            t.reference.network.layers[n].activation = (enum activation)activation;
            t.reference.network.layers[n].slope = 0.2;
        }
        check_reference_slopes(&t);
        trial_end(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_references_gradient_is_the_slope_of_its_loss),
        cmocka_unit_test(the_references_activations_have_their_slopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
