/* A data set in memory: pictures as bytes, labels, two splits. */
#ifndef NNSTUDIO_DATA_DATASET_H
#define NNSTUDIO_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "data/preprocess.h"

#define DATASET_MAX_CLASSES   256
#define DATASET_MAX_SIDE      1024 /* rows and columns each */
#define DATASET_NAME_MAX      64   /* of a class, with its NUL */
#define DATASET_MAX_NOTES     16
#define DATASET_KNOWN_CLASSES 10 /* of every set known by name */

struct split {
    size_t count;
    /* [count, channels, rows, columns], codes: what each stands for is told by the data set
     * (`values`); for pictures 0 is background and the largest full ink. Best 64-byte aligned */
    uint8_t *pixels;
    uint8_t *labels; /* [count], 0 … classes-1 */
};

/* Something in the data that was left out, or decided without being told. */
struct dataset_note {
    char what[160];
    size_t count; /* of files, columns or samples; 0 where a count makes no sense */
};

struct dataset {
    char name[64];     /* "mnist", "fashion-mnist", "synthetic", or the file's or folder's name */
    char title[96];    /* for users: "MNIST", "Built-in synthetic digits" */
    char source[1024]; /* the path it was read from; "" when it was drawn */
    bool known;        /* one of dataset_list() */
    bool synthetic;    /* always shown to users */
    bool table;        /* measurements in columns rather than pictures; rows is 1 */
    uint32_t rows, columns, classes;
    uint32_t channels; /* 1 gray, 3 color: red, green, blue */
    char class_names[DATASET_MAX_CLASSES][DATASET_NAME_MAX];
    struct split train, test; /* memory owned by the data set */
    /* dataset_take_validation(): behind the training samples, in their memory; count 0: none */
    struct split validation;
    char hash[65]; /* dataset_hash(), before samples were taken for validation; "": not kept */

    char label_column[64]; /* of a CSV file: its name, or its number counted from 0; "" otherwise */
    bool coded;            /* code c stands for values[c]; otherwise for c */
    double values[256];
    double low, high;       /* the smallest and largest value that occurs, as the file has them */
    double full;            /* the value of full brightness: 255, 16, 1; 0 for measurements */
    bool inverted;          /* the codes were turned over: dark ink became light */
    struct input_form form; /* what a model trained on it has to be given */
    struct preprocess preprocess; /* by that form, for the engine */
    struct dataset_note skipped[DATASET_MAX_NOTES], assumed[DATASET_MAX_NOTES];
    uint32_t skipped_count, assumed_count;
    char **ids; /* [train.count] with options.unlabeled: the samples' names; owned */
};

enum dataset_invert { DATASET_INVERT_AUTO, DATASET_INVERT_YES, DATASET_INVERT_NO };
/* "auto", "yes" and so on. */
const char *dataset_invert_name(uint32_t invert);

/* All zero: everything is seen from the data itself. */
struct dataset_options {
    const char *data_dir; /* a folder with one folder per data set, or NULL */
    const char *home;     /* the studio's home, whose data/ is searched next, or NULL */
    /* At most so many samples of each split; 0: all. The first ones if the classes are mixed there
     * as in the whole, else the same share of every class. */
    uint32_t limit;
    const char *label_column; /* of a CSV file: a header's name, or a number counted from 0 (-1 is
                                 the last); NULL: by the header, else by the values if certain */
    double scale;             /* values are divided by it; 0: by their range */
    double mean, std;         /* then minus mean, divided by std; std 0: 1 */
    enum dataset_invert invert;
    /* what a model expects: the data is brought to that form. NULL: for training */
    const struct input_form *form;
    /* for prediction: `features` columns or pixels per sample; labels may be missing. Of a kind
     * that is predicted from, all samples are in `train` and `ids` is filled; of another it is
     * NULL */
    bool unlabeled;
    size_t features;
    uint32_t rows, columns; /* what pictures are brought to; 0: the commonest size */
    uint32_t channels; /* the same of folders of pictures; 0: color when most of them have any */
};

/* `name` is a known name (see dataset_list) or a path: a folder with an IDX pair (plain or .gz), a
 * CSV file, an .npz file, or a folder of pictures, one folder per class. Errors are one line naming
 * file, line and column. The caller closes it. */
int dataset_open(const char *name, const struct dataset_options *options, struct dataset **out,
                 struct error *error);
void dataset_close(struct dataset *dataset);

/* One line for users: samples, size, classes, label column, range of values and what is done with
 * them, what was skipped and assumed. malloc'd, NULL when memory is out. */
char *dataset_summary(const struct dataset *dataset);
/* {"name", "title", "path", "synthetic", "samples":{"train","test"}, "classes":[…],
 * "shape":[28,28,1], "range":[0,255], "label_column", "scale", "mean", "std", "polarity",
 * "skipped":[{"what","count"}], "assumed":[{"what","count"}]}; new reference. */
json_t *dataset_describe(const struct dataset *dataset);
/* Which of the training samples become the validation split. */
enum dataset_part {
    DATASET_PART_STRATIFIED, /* the same share of every class, drawn by the seed */
    DATASET_PART_LAST,       /* the last ones, as Keras's validation_split */
    DATASET_PART_COUNT
};
const char *dataset_part_name(uint32_t part); /* "stratified", "last" */
/* Takes a share, above 0 and below 1, of the training samples for validation; once. What is left
 * keeps its order. Refused: a share that leaves no sample on either side. */
int dataset_take_validation(struct dataset *dataset, double share, enum dataset_part part,
                            uint64_t seed, struct error *error);
/* Which of the training samples that takes: true in taken[0 … train->count), *count of them. */
int dataset_mark_validation(const struct split *train, double share, enum dataset_part part,
                            uint64_t seed, bool *taken, size_t *count, struct error *error);
/* How many training samples are left to train with when the first `limit` are opened (0: all) and
 * the share is taken of those; 0: the share is refused. `dataset` holds all samples. */
size_t dataset_count_trained(const struct dataset *dataset, uint32_t limit, double share,
                             enum dataset_part part);
/* How many of `count` training samples that takes when it takes the last ones. */
size_t dataset_last_part(size_t count, double share);
/* SHA-256 over shape, class names, labels and pixels of both splits, as they were opened. */
int dataset_hash(const struct dataset *dataset, char hex[65], struct error *error);
/* Renumbers the labels to a model's classes, by name. A class with samples that the model does not
 * know is an error. */
int dataset_match_classes(struct dataset *dataset, const char *const *names, uint32_t count,
                          struct error *error);
/* The preprocessing of this data for a model of another form, polarity included. */
void dataset_preprocess_for(const struct dataset *dataset, const struct input_form *form,
                            struct preprocess *out);
/* Values of a sample: rows * columns * channels. */
size_t dataset_inputs(const struct dataset *dataset);
/* The value a code stands for in the file. */
double dataset_value(const struct dataset *dataset, uint8_t code);
/* The codes' brightness for looking at them: 0 … 255. */
void dataset_brightness(const struct dataset *dataset, uint8_t out[256]);

/* The data sets known by name. */
struct dataset_entry {
    const char *name, *title;
    bool built_in;          /* drawn, nothing to fetch */
    const char *folders[2]; /* where it lies below a data folder, in order of search */
    bool cifar;             /* its files are CIFAR-10's binary ones; otherwise IDX */
    uint32_t rows, columns, channels, train, test;
    const char *class_names[DATASET_KNOWN_CLASSES];
};
const struct dataset_entry *dataset_list(size_t *count);
const struct dataset_entry *dataset_find(const char *name); /* NULL when no such name is known */
/* Where its files are: the first of data_dir and home/data that has them. *folder is malloc'd; on
 * failure it is NULL and the message says how to get the set. Not for built-in sets. */
int dataset_locate(const struct dataset_entry *entry, const struct dataset_options *options,
                   char **folder, struct error *error);

#endif
