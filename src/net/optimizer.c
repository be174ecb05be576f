#include "net/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

const char *optimizer_type_name(enum optimizer_type type)
{
    return type == OPTIMIZER_ADAM ? "adam" : "sgd";
}

int optimizer_init(struct optimizer *optimizer, const char *type_name, struct error *error)
{
    *optimizer = (struct optimizer){.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    if (strcmp(type_name, "sgd") == 0) {
        optimizer->type = OPTIMIZER_SGD;
        optimizer->learning_rate = 0.01;
    } else if (strcmp(type_name, "adam") == 0) {
        optimizer->type = OPTIMIZER_ADAM;
        optimizer->learning_rate = 0.001;
    } else {
        return error_set(error, ERROR_INPUT, "unknown optimizer \"%.40s\": use sgd or adam",
                         type_name);
    }
    return 0;
}

int optimizer_check(const struct optimizer *optimizer, struct error *error)
{
    if (!isfinite(optimizer->learning_rate) || optimizer->learning_rate <= 0 ||
        optimizer->learning_rate > OPTIMIZER_MAX_LEARNING_RATE)
        return error_set(error, ERROR_INPUT,
                         "the learning rate %g is not usable: give a number above 0, such as 0.01",
                         optimizer->learning_rate);
    if (!(optimizer->momentum >= 0 && optimizer->momentum < 1))
        return error_set(error, ERROR_INPUT,
                         "the momentum %g is not usable: give 0 up to, but not including, 1",
                         optimizer->momentum);
    if (optimizer->momentum > 0 && optimizer->type != OPTIMIZER_SGD)
        return error_set(error, ERROR_INPUT, "momentum belongs to sgd: leave it out with %s",
                         optimizer_type_name(optimizer->type));
    if (!(optimizer->weight_decay >= 0 && optimizer->weight_decay <= OPTIMIZER_MAX_WEIGHT_DECAY))
        return error_set(error, ERROR_INPUT, "the weight decay %g is not usable: give 0 to %d",
                         optimizer->weight_decay, OPTIMIZER_MAX_WEIGHT_DECAY);
    if (!(optimizer->beta1 >= 0 && optimizer->beta1 < 1) ||
        !(optimizer->beta2 >= 0 && optimizer->beta2 < 1))
        return error_set(error, ERROR_INPUT,
                         "beta1 and beta2 must be from 0 up to, but not including, 1");
    if (!(optimizer->epsilon > 0 && optimizer->epsilon <= 1))
        return error_set(error, ERROR_INPUT,
                         "epsilon %g is not usable: give a small number above 0",
                         optimizer->epsilon);
    return 0;
}

uint32_t optimizer_slot_count(const struct optimizer *optimizer)
{
    if (optimizer->type == OPTIMIZER_ADAM) return 2;
    return optimizer->momentum > 0 ? 1 : 0;
}

const char *optimizer_slot_name(const struct optimizer *optimizer, uint32_t slot)
{
    CHECK(slot < optimizer_slot_count(optimizer));
    if (optimizer->type == OPTIMIZER_SGD) return "momentum";
    return slot == 0 ? "exp_avg" : "exp_avg_sq";
}

json_t *optimizer_to_json(const struct optimizer *optimizer)
{
    json_t *value = json_pack("{s:s, s:f, s:f, s:f}", "type", optimizer_type_name(optimizer->type),
                              "lr", optimizer->learning_rate, "momentum", optimizer->momentum,
                              "weight_decay", optimizer->weight_decay);
    if (optimizer->type == OPTIMIZER_ADAM) {
        json_object_set_new(value, "beta1", json_real(optimizer->beta1));
        json_object_set_new(value, "beta2", json_real(optimizer->beta2));
        json_object_set_new(value, "epsilon", json_real(optimizer->epsilon));
    }
    return value;
}

int optimizer_from_json(const json_t *value, struct optimizer *out, struct error *error)
{
    const char *type = "sgd";
    if (!json_is_object(value))
        return error_set(error, ERROR_INPUT, "\"optimizer\" must be an object");
    if (js_get_string(value, "type", &type, error) || optimizer_init(out, type, error)) return -1;
    if (js_get_real(value, "lr", -1e300, 1e300, &out->learning_rate, error) ||
        js_get_real(value, "momentum", -1e300, 1e300, &out->momentum, error) ||
        js_get_real(value, "weight_decay", -1e300, 1e300, &out->weight_decay, error) ||
        js_get_real(value, "beta1", -1e300, 1e300, &out->beta1, error) ||
        js_get_real(value, "beta2", -1e300, 1e300, &out->beta2, error) ||
        js_get_real(value, "epsilon", -1e300, 1e300, &out->epsilon, error))
        return -1;
    return optimizer_check(out, error);
}

int optimizer_state_create(const struct optimizer *optimizer, const struct network *network,
                           enum dtype dtype, struct optimizer_state **out, struct error *error)
{
    struct optimizer_state *state = calloc(1, sizeof *state);
    if (!state) return error_set_memory(error, "the optimizer's state");
    for (; state->slot_count < optimizer_slot_count(optimizer); state->slot_count++) {
        if (parameters_create(network, dtype, &state->slots[state->slot_count], error)) {
            optimizer_state_destroy(state);
            return -1;
        }
    }
    *out = state;
    return 0;
}

void optimizer_state_destroy(struct optimizer_state *state)
{
    if (!state) return;
    for (uint32_t i = 0; i < state->slot_count; i++) parameters_destroy(state->slots[i]);
    free(state);
}
