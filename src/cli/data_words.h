/* What the command line says about data: which column is the label, what its values mean. */
#ifndef NNSTUDIO_CLI_DATA_WORDS_H
#define NNSTUDIO_CLI_DATA_WORDS_H

#include "cli/cli.h"
#include "data/dataset.h"

struct input_words {
    const char *label_column, *scale, *invert;
    double mean, std;
};

/* Their rows in a table of options; `words` lives as long as the table. */
#define DATA_OPTIONS(words)                                                                 \
    {"label-column", OPTION_TEXT, &(words).label_column, "NAME|N",                          \
     "the label in a CSV file: a header's name, or a number from 0 (-1: last)"},            \
        {"scale", OPTION_TEXT, &(words).scale, "auto|X",                                    \
         "values are divided by it (auto: by their range, or as the model says)"},          \
        {"mean", OPTION_REAL, &(words).mean, "M", "subtracted from the scaled values (0)"}, \
        {"std", OPTION_REAL, &(words).std, "S", "then they are divided by it (1)"},         \
    {                                                                                       \
        "invert", OPTION_TEXT, &(words).invert, "auto|yes|no",                              \
            "dark on light becomes light on dark (auto: if the data is dark on light)"      \
    }

/* Onto *options; what was not given stays as it is. */
int data_words_use(const struct input_words *words, struct dataset_options *options,
                   struct error *error);
/* What was given, onto a model's form. */
void data_words_change_form(const struct dataset_options *options, struct input_form *form);

#endif
