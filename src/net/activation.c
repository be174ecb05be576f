#include "net/activation_impl.h"

#include <stdio.h>
#include <string.h>

const struct activation_kind activation_kinds[ACTIVATION_COUNT] = {
    [ACTIVATION_NONE] = {"none"},
    [ACTIVATION_RELU] = {"relu"},
    [ACTIVATION_TANH] = {"tanh"},
    [ACTIVATION_SIGMOID] = {"sigmoid"},
    [ACTIVATION_LEAKY_RELU] = {"leaky_relu", "slope", 0.01},
    [ACTIVATION_ELU] = {"elu", "alpha", 1},
    [ACTIVATION_SELU] = {"selu"},
    [ACTIVATION_GELU] = {"gelu"},
    [ACTIVATION_GELU_TANH] = {"gelu_tanh"},
    [ACTIVATION_SILU] = {"silu"},
    [ACTIVATION_SOFTPLUS] = {"softplus"},
};

const char *activation_name(enum activation activation)
{
    CHECK(activation >= 0 && activation < ACTIVATION_COUNT);
    return activation_kinds[activation].name;
}

bool activation_has_slope(enum activation activation)
{
    return activation_kinds[activation].member != NULL;
}

double activation_usual_slope(enum activation activation)
{
    return activation_kinds[activation].usual;
}

int activation_parse(const char *name, enum activation *out, struct error *error)
{
    for (int i = 0; i < ACTIVATION_COUNT; i++) {
        if (strcmp(name, activation_kinds[i].name) != 0) continue;
        *out = (enum activation)i;
        return 0;
    }
    char known[256];
    size_t used = 0;
    for (int i = ACTIVATION_RELU; i < ACTIVATION_COUNT; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                 i == ACTIVATION_RELU        ? ""
                                 : i == ACTIVATION_COUNT - 1 ? " or "
                                                             : ", ",
                                 activation_kinds[i].name);
    return error_set(error, ERROR_INPUT, "unknown activation \"%.40s\": use %s", name, known);
}
