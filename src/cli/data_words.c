#include "cli/data_words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int use_scale(const char *text, double *scale, struct error *error)
{
    char *end;
    if (!text || !strcmp(text, "auto")) return 0;
    *scale = strtod(text, &end);
    if (end != text && !*end && isfinite(*scale) && *scale > 0) return 0;
    return error_set(error, ERROR_USAGE,
                     "--scale \"%.40s\" is not valid: give auto, or a number above 0 such as 255",
                     text);
}

static int use_invert(const char *text, enum dataset_invert *invert, struct error *error)
{
    for (uint32_t i = DATASET_INVERT_AUTO; text && i <= DATASET_INVERT_NO; i++) {
        if (strcmp(text, dataset_invert_name(i)) != 0) continue;
        *invert = (enum dataset_invert)i;
        return 0;
    }
    return text ? error_set(error, ERROR_USAGE,
                            "--invert \"%.40s\" is not valid: give auto, yes or no", text)
                : 0;
}

int data_words_use(const struct input_words *words, struct dataset_options *options,
                   struct error *error)
{
    if (words->label_column) options->label_column = words->label_column;
    if (use_scale(words->scale, &options->scale, error) ||
        use_invert(words->invert, &options->invert, error))
        return -1;
    options->mean = words->mean;
    options->std = words->std;
    if (!isfinite(words->mean))
        return error_set(error, ERROR_USAGE, "--mean is out of range: give a finite number");
    if (!isfinite(words->std) || words->std < 0)
        return error_set(error, ERROR_USAGE, "--std is out of range: give a number above 0");
    return 0;
}

void data_words_change_form(const struct dataset_options *options, struct input_form *form)
{
    if (options->scale != 0) {
        form->scale = options->scale;
        form->range = 255;
    }
    if (options->mean != 0 || options->std != 0) {
        form->mean = options->mean;
        form->std = options->std != 0 ? options->std : 1;
    }
}
