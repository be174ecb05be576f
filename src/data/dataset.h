/* A data set in memory: pictures as bytes, labels, two splits. */
#ifndef NNSTUDIO_DATA_DATASET_H
#define NNSTUDIO_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DATASET_MAX_CLASSES 256

struct split {
    size_t count;
    /* [count, rows * columns], 0 background … 255 full ink; best 64-byte aligned */
    uint8_t *pixels;
    uint8_t *labels; /* [count], 0 … classes-1 */
};

struct dataset {
    char name[64];     /* "mnist", "fashion-mnist", "synthetic", or the file's or folder's name */
    char title[96];    /* for people: "MNIST", "Built-in synthetic digits" */
    char source[1024]; /* the path it was read from; "" when it was drawn */
    bool synthetic;    /* always shown to people */
    uint32_t rows, columns, classes;
    char class_names[DATASET_MAX_CLASSES][24];
    struct split train, test; /* memory owned by the data set */
};

struct dataset_options {
    const char *data_dir; /* a folder with one folder a data set, or NULL */
    const char *home;     /* the studio's home, whose data/ is searched next, or NULL */
    /* at most so many training samples (the first ones) and as many test samples; 0: all */
    uint32_t limit;
};

/* `name` is a known name (see dataset_list) or a path: a folder with an IDX pair (plain or .gz), a
 * CSV file (label
 * first or last), or a folder of pictures, one folder a class. Errors are one line naming file,
 * line and column.
 * The caller closes it. */
int dataset_open(const char *name, const struct dataset_options *options, struct dataset **out,
                 struct error *error);
void dataset_close(struct dataset *dataset);

/* The data sets known by name. */
struct dataset_entry {
    const char *name, *title;
    bool built_in;          /* drawn, nothing to fetch */
    const char *folders[2]; /* where it lies below a data folder, in order of search */
    const char *class_names[10];
};
const struct dataset_entry *dataset_list(size_t *count);
const struct dataset_entry *dataset_find(const char *name); /* NULL when no such name is known */
/* Where its files are: the first of data_dir and home/data that has them. *folder is malloc'd; on
 * failure it is NULL
 * and the message says how to get the set. Not for built-in sets. */
int dataset_locate(const struct dataset_entry *entry, const struct dataset_options *options,
                   char **folder, struct error *error);

#endif
