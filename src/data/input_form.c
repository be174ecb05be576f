/* What a network expects of its input, as data: from and to a model's metadata. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "data/preprocess.h"

const struct input_form input_form_usual = {.range = 255, .scale = 255, .std = 1};

static const char *const polarity_names[POLARITY_COUNT] = {"any", "light on dark", "dark on light"};

const char *polarity_name(enum polarity polarity)
{
    return polarity_names[polarity];
}

void input_form_preprocess(const struct input_form *form, const double *values, double range,
                           struct preprocess *out)
{
    /* Only data that has a full brightness can be brought to the one of the training data. */
    bool bring = form->range > 0 && range > 0 && form->range != range;
    *out = (struct preprocess){0};
    for (int c = 0; c < 256; c++) {
        double value = values ? values[c] : c;
        if (bring) value = value / range * form->range;
        value /= form->scale;
        if (form->mean != 0) value -= form->mean;
        if (form->std != 1) value /= form->std;
        out->values[c] = value;
    }
    const double *usual = preprocess_table_f64();
    out->custom = false;
    for (int c = 0; c < 256; c++)
        if (out->values[c] != usual[c]) out->custom = true;
}

const char *input_form_words(const struct input_form *form, char out[128])
{
    char scale[JS_SHORTEST_SIZE], mean[JS_SHORTEST_SIZE], std[JS_SHORTEST_SIZE];
    int length = form->scale == 1
                     ? snprintf(out, 128, "taken as they are")
                     : snprintf(out, 128, "divided by %s", js_shortest(form->scale, scale));
    if (form->mean != 0 || form->std != 1)
        snprintf(out + length, 128 - (size_t)length, ", minus %s, divided by %s",
                 js_shortest(form->mean, mean), js_shortest(form->std, std));
    return out;
}

/* The members that are numbers. */
static const struct number {
    const char *key;
    size_t offset;
} numbers[] = {
    {"input_range", offsetof(struct input_form, range)},
    {"input_scale", offsetof(struct input_form, scale)},
    {"input_mean", offsetof(struct input_form, mean)},
    {"input_std", offsetof(struct input_form, std)},
};
#define NUMBER_COUNT (sizeof numbers / sizeof numbers[0])

void input_form_to_metadata(const struct input_form *form, json_t *metadata)
{
    char text[JS_SHORTEST_SIZE];
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        double value = *(const double *)((const char *)form + numbers[i].offset);
        json_object_set_new(metadata, numbers[i].key, json_string(js_shortest(value, text)));
    }
    json_object_set_new(metadata, "input_polarity", json_string(polarity_name(form->polarity)));
    json_object_set_new(metadata, "input_fit", json_string(form->resize ? "resize" : "center"));
}

int input_form_from_metadata(const json_t *metadata, struct input_form *out, struct error *error)
{
    *out = input_form_usual;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        const char *text = json_string_value(json_object_get(metadata, numbers[i].key));
        if (!text) continue;
        char *end;
        double value = strtod(text, &end);
        if (end == text || *end || !isfinite(value))
            return error_set(error, ERROR_INPUT,
                             "the model's metadata has %s \"%.40s\", which is not a number: write "
                             "the file again",
                             numbers[i].key, text);
        *(double *)((char *)out + numbers[i].offset) = value;
        out->known = true;
    }
    const char *text = json_string_value(json_object_get(metadata, "input_polarity"));
    for (int p = 0; text && p < POLARITY_COUNT; p++)
        if (!strcmp(text, polarity_names[p])) out->polarity = (enum polarity)p;
    text = json_string_value(json_object_get(metadata, "input_fit"));
    out->resize = text && !strcmp(text, "resize");
    return input_form_check(out, error);
}

int input_form_check(const struct input_form *form, struct error *error)
{
    if (!(form->scale > 0) || !isfinite(form->scale))
        return error_set(error, ERROR_INPUT,
                         "the scale %g is out of range: give a number above 0, or auto",
                         form->scale);
    if (!(form->std > 0) || !isfinite(form->std))
        return error_set(error, ERROR_INPUT,
                         "the standard deviation %g is out of range: give a number above 0",
                         form->std);
    if (!isfinite(form->mean) || !(form->range >= 0) || !isfinite(form->range))
        return error_set(error, ERROR_INPUT, "the mean %g is out of range: give a finite number",
                         form->mean);
    return 0;
}
