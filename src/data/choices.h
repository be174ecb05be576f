/* What its owner said of data that the files do not decide, kept beside the data: for "iris.csv" in
 * ".iris.csv.json". Whoever opens it follows that unless told otherwise. */
#ifndef NNSTUDIO_DATA_CHOICES_H
#define NNSTUDIO_DATA_CHOICES_H

#include "data/dataset.h"

struct dataset_choices {
    char label_column[DATASET_NAME_MAX]; /* "": none was said */
    double scale;                        /* 0: none was said */
};

/* Nothing kept is success, and `out` is zeroed. A damaged file is an error that names it. */
int dataset_choices_read(const char *path, struct dataset_choices *out, struct error *error);
/* Of nothing said there is no file, nor one left of data that was here before. */
int dataset_choices_write(const char *path, const struct dataset_choices *choices,
                          struct error *error);
/* What was said of data that has just been moved goes with it; nothing said is success. */
int dataset_choices_move(const char *from, const char *to, struct error *error);

#endif
