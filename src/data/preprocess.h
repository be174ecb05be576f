/* Preprocessing, one for all engines: what a network receives for every code 0 … 255 of a data
 * set's pictures. The usual form is p / 255 in the engine's dtype; a data set may have another
 * scale, a mean and a standard deviation, or values that are no bytes at all (a table of at most
 * 256 different numbers). */
#ifndef NNSTUDIO_DATA_PREPROCESS_H
#define NNSTUDIO_DATA_PREPROCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The input for every code. All zero (the usual initializer) means p / 255. */
struct preprocess {
    bool custom;        /* false: p / 255, whatever `values` holds */
    double values[256]; /* rounded once to the engine's dtype */
};

/* The value of every pixel: table[p] = p / 255, rounded once in its own type. */
const float *preprocess_table_f32(void);  /* 256 values */
const double *preprocess_table_f64(void); /* 256 values */
/* The same of any preprocessing; NULL means p / 255. */
void preprocess_fill_f32(const struct preprocess *preprocess, float out[256]);
void preprocess_fill_f64(const struct preprocess *preprocess, double out[256]);

/* `count` pixels to `count` values p / 255. */
void preprocess_f32(const uint8_t *pixels, size_t count, float *out);
void preprocess_f64(const uint8_t *pixels, size_t count, double *out);

/* Which is ink and which is background. */
enum polarity {
    POLARITY_UNKNOWN, /* neither is usual: photographs, tables */
    POLARITY_LIGHT,   /* light on a dark background, as MNIST has it */
    POLARITY_DARK,    /* dark on a light background */
    POLARITY_COUNT
};
/* "light on dark" and so on. */
const char *polarity_name(enum polarity polarity);

/* What a network was trained on: it belongs to the model and travels with its file. A value v of
 * the data becomes (v / scale - mean) / std. `range` is the value of full brightness in the data
 * that `scale` was chosen for (255 for bytes); data of another range is first brought to it. Range
 * 0: the values are measurements without a full brightness and are never brought anywhere. */
struct input_form {
    bool known; /* false: the file does not say; the rest is then the usual form */
    double range, scale, mean, std;
    enum polarity polarity;
    bool resize; /* pictures of another size are resized whole; false: their ink is centered as
                    MNIST's was */
};

/* Bytes divided by 255, no mean, polarity unknown, not known. */
extern const struct input_form input_form_usual;

/* The preprocessing of a data set whose code c stands for values[c] (NULL: c itself) and whose full
 * brightness is `range` (0: none). */
void input_form_preprocess(const struct input_form *form, const double *values, double range,
                           struct preprocess *out);
/* For users: "divided by 255", "divided by 255, minus 0.1307, divided by 0.3081". */
const char *input_form_words(const struct input_form *form, char out[128]);

/* Adds the form's members (texts, as a model's metadata has them): input_range, input_scale,
 * input_mean, input_std, input_polarity, input_fit. */
void input_form_to_metadata(const struct input_form *form, json_t *metadata);
/* A form from metadata, which may be NULL; what is absent leaves *out as input_form_usual. A member
 * that is not a usable number is an error. */
int input_form_from_metadata(const json_t *metadata, struct input_form *out, struct error *error);
/* scale and std above 0, all finite. */
int input_form_check(const struct input_form *form, struct error *error);

#endif
