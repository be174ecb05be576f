/* What a data set's values mean: their range, which is ink, and so what a network is given. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset_impl.h"
#include "data/values.h"

/* Pictures looked at for their polarity, and the share that must agree. */
#define LOOKED_AT  2000
#define AGREEMENT  0.9
#define SMALL_SIDE 5 /* smaller pictures have no border to speak of */

double dataset_value(const struct dataset *dataset, uint8_t code)
{
    return dataset->coded ? dataset->values[code] : code;
}

void dataset_brightness(const struct dataset *dataset, uint8_t out[256])
{
    double low = dataset->full > 0 ? 0 : dataset->low,
           high = dataset->full > 0 ? dataset->full : dataset->high;
    for (int c = 0; c < 256; c++) {
        double share = high > low ? (dataset_value(dataset, (uint8_t)c) - low) / (high - low) : 0;
        out[c] = share <= 0 ? 0 : share >= 1 ? 255 : (uint8_t)lround(share * 255);
    }
}

/* 5.1 rather than 5.09999990463256836, which is what a float makes of it. */
static double as_written(float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    return strtod(text, NULL);
}

int dataset_take_numbers(struct dataset *dataset, const char *what, const float *train,
                         const float *test, struct error *error)
{
    struct split *const splits[] = {&dataset->train, &dataset->test};
    const float *const numbers[] = {train, test};
    struct values values = {0};
    size_t inputs = dataset_inputs(dataset);
    for (size_t s = 0; s < 2; s++) {
        size_t count = numbers[s] ? splits[s]->count * inputs : 0;
        for (size_t i = 0; i < count; i++)
            if (!isfinite(numbers[s][i]))
                return error_set(error, ERROR_INPUT,
                                 "%s: value %zu of sample %zu (both counted from 0) is not a "
                                 "number: replace what is missing or infinite",
                                 what, i % inputs, i / inputs);
        size_t taken = values_collect(&values, numbers[s], count);
        if (taken < count)
            return error_set(
                error, ERROR_INPUT,
                "%s holds more than 256 different values (%g in sample %zu is one too many): the "
                "studio takes whole numbers from 0 to 255, or at most 256 different others: round "
                "them",
                what, (double)numbers[s][taken], taken / inputs);
    }
    bool bytes = values_are_bytes_over_255(&values);
    for (size_t s = 0; s < 2; s++) {
        if (!numbers[s]) continue;
        splits[s]->pixels = dataset_alloc_pixels(splits[s]->count * inputs);
        if (!splits[s]->pixels) return error_set_memory(error, "the samples");
        values_encode(&values, bytes, numbers[s], splits[s]->count * inputs, splits[s]->pixels);
    }
    dataset->coded = true;
    for (int c = 0; c < 256; c++)
        dataset->values[c] = bytes                   ? c / 255.0
                             : c < (int)values.count ? as_written(values.sorted[c])
                                                     : 0;
    if (!dataset->table && values.count && values.sorted[0] >= 0 &&
        values.sorted[values.count - 1] <= 1)
        dataset->full = 1;
    return 0;
}

/* ---- range ---- */

static void find_range(struct dataset *dataset)
{
    const struct split *const splits[] = {&dataset->train, &dataset->test};
    bool seen[256] = {false};
    if (dataset->known) {
        dataset->high = 255;
        return;
    }
    for (size_t s = 0; s < 2; s++) {
        size_t count = splits[s]->count * dataset_inputs(dataset);
        for (size_t i = 0; i < count; i++) seen[splits[s]->pixels[i]] = true;
    }
    dataset->low = INFINITY;
    dataset->high = -INFINITY;
    for (int c = 0; c < 256; c++) {
        double value = dataset_value(dataset, (uint8_t)c);
        if (!seen[c]) continue;
        if (value < dataset->low) dataset->low = value;
        if (value > dataset->high) dataset->high = value;
    }
    if (dataset->full > 0 || dataset->table) return;
    /* 0 and 1: black and white. Up to 16: scikit-learn's digits and other pictures of four bits. */
    dataset->full = dataset->high <= 0    ? 255
                    : dataset->high <= 1  ? 1
                    : dataset->high <= 16 ? 16
                                          : 255;
    if (dataset->full != 255)
        dataset_assume(dataset, "full brightness is %g, as no value is larger", dataset->full);
}

/* ---- polarity ---- */

static bool border_is_light(const struct dataset *dataset, const uint8_t *pixels)
{
    double sum = 0;
    size_t count = 0;
    for (uint32_t y = 0; y < dataset->rows; y++) {
        uint32_t step = y == 0 || y == dataset->rows - 1 ? 1 : dataset->columns - 1;
        for (uint32_t x = 0; x < dataset->columns; x += step, count++)
            sum += dataset_value(dataset, pixels[(size_t)y * dataset->columns + x]);
    }
    return sum > (double)count * dataset->full / 2;
}

static enum polarity find_polarity(const struct dataset *dataset)
{
    const struct split *split = dataset->train.count ? &dataset->train : &dataset->test;
    size_t image = dataset_inputs(dataset), light = 0, looked = 0;
    if (dataset->channels > 1) return POLARITY_UNKNOWN; /* photographs have no ink */
    if (dataset->known) return POLARITY_LIGHT;
    if (dataset->table || dataset->full <= 0 || dataset->rows < SMALL_SIDE ||
        dataset->columns < SMALL_SIDE)
        return POLARITY_UNKNOWN;
    size_t step = split->count / LOOKED_AT + 1;
    for (size_t i = 0; i < split->count; i += step, looked++)
        light += border_is_light(dataset, split->pixels + i * image);
    if (!looked) return POLARITY_UNKNOWN;
    if ((double)light >= AGREEMENT * (double)looked) return POLARITY_DARK;
    return (double)light <= (1 - AGREEMENT) * (double)looked ? POLARITY_LIGHT : POLARITY_UNKNOWN;
}

const char *dataset_invert_name(uint32_t invert)
{
    static const char *const names[] = {"auto", "yes", "no"};
    return names[invert];
}

/* Turns the brightness over: v becomes full - v. */
static int invert(struct dataset *dataset, struct error *error)
{
    struct split *const splits[] = {&dataset->train, &dataset->test};
    if (dataset->full <= 0)
        return error_set(error, ERROR_INPUT,
                         "%s holds measurements, not pictures: they cannot be inverted, leave "
                         "--invert out",
                         dataset->source);
    if (dataset->coded) {
        for (int c = 0; c < 256; c++) dataset->values[c] = dataset->full - dataset->values[c];
    } else {
        uint8_t full = (uint8_t)dataset->full;
        for (size_t s = 0; s < 2; s++) {
            size_t count = splits[s]->count * dataset_inputs(dataset);
            for (size_t i = 0; i < count; i++)
                splits[s]->pixels[i] = (uint8_t)(full - splits[s]->pixels[i]);
        }
    }
    double low = dataset->low;
    dataset->low = dataset->full - dataset->high;
    dataset->high = dataset->full - low;
    dataset->inverted = !dataset->inverted;
    return 0;
}

static enum polarity opposite(enum polarity polarity)
{
    return polarity == POLARITY_LIGHT  ? POLARITY_DARK
           : polarity == POLARITY_DARK ? POLARITY_LIGHT
                                       : POLARITY_UNKNOWN;
}

int dataset_find_form(struct dataset *dataset, const struct dataset_options *options,
                      struct error *error)
{
    find_range(dataset);
    enum polarity polarity = find_polarity(dataset);
    bool by_model = options->form && options->form->known;
    enum polarity wanted = by_model ? options->form->polarity : POLARITY_LIGHT;
    bool turn = options->invert == DATASET_INVERT_YES ||
                (options->invert == DATASET_INVERT_AUTO && polarity != POLARITY_UNKNOWN &&
                 wanted != POLARITY_UNKNOWN && polarity != wanted);
    /* A model trained so could not be given its pictures again: they say nothing about it. */
    if (options->invert == DATASET_INVERT_YES && polarity == POLARITY_UNKNOWN && !options->form &&
        dataset->full > 0)
        return error_set(error, ERROR_INPUT,
                         "%s is neither light on dark nor dark on light: leave invert at auto",
                         dataset->title);
    if (turn) {
        if (options->invert == DATASET_INVERT_AUTO)
            dataset_assume(dataset, "inverted, as the pictures are %s%s", polarity_name(polarity),
                           by_model ? " and the model's were not" : "");
        if (invert(dataset, error)) return -1;
        polarity = opposite(polarity);
    }
    struct input_form *form = &dataset->form;
    form->resize |= dataset->channels > 1;
    *form = (struct input_form){
        true, dataset->full, dataset->full > 0 ? dataset->full : 1, 0, 1, polarity, form->resize};
    if (by_model)
        *form = *options->form;
    else if (options->form)
        *form = (struct input_form){false,
                                    options->form->range,
                                    options->form->scale,
                                    options->form->mean,
                                    options->form->std,
                                    polarity,
                                    false};
    if (options->scale != 0) {
        form->range = dataset->full;
        form->scale = options->scale;
    }
    if (options->std != 0 || options->mean != 0) {
        form->mean = options->mean;
        form->std = options->std != 0 ? options->std : 1;
    }
    if (input_form_check(form, error)) return -1;
    input_form_preprocess(form, dataset->coded ? dataset->values : NULL, dataset->full,
                          &dataset->preprocess);
    return 0;
}

void dataset_preprocess_for(const struct dataset *dataset, const struct input_form *form,
                            struct preprocess *out)
{
    double values[256];
    bool turn = form->known && form->polarity != POLARITY_UNKNOWN &&
                dataset->form.polarity != POLARITY_UNKNOWN &&
                form->polarity != dataset->form.polarity && dataset->full > 0;
    for (int c = 0; c < 256; c++) {
        double value = dataset_value(dataset, (uint8_t)c);
        values[c] = turn ? dataset->full - value : value;
    }
    input_form_preprocess(form, values, dataset->full, out);
}
