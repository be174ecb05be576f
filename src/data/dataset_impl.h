/* What the readers of the data room share. Not for other rooms. */
#ifndef NNSTUDIO_DATA_DATASET_IMPL_H
#define NNSTUDIO_DATA_DATASET_IMPL_H

#include "data/dataset.h"

#define DATASET_MAX_SIDE  1024              /* rows and columns each */
#define DATASET_MAX_BYTES ((size_t)2 << 30) /* pixels of one split */

/* Each reader fills rows, columns and both splits with all labels (and, for IDX, at least `limit`
 * pictures); names,
 * classes and the limit are dealt with in dataset.c. A reader that found one split only leaves
 * test.count 0. */
int dataset_read_idx_folder(const char *folder, uint32_t limit, struct dataset *dataset,
                            struct error *error);
int dataset_read_idx_file(const char *images, uint32_t limit, struct dataset *dataset,
                          struct error *error);

/* One CSV file a split; test_path may be NULL. */
int dataset_read_csv(const char *train_path, const char *test_path, struct dataset *dataset,
                     struct error *error);
/* Sets classes and class names too. */
int dataset_read_image_folder(const char *folder, struct dataset *dataset, struct error *error);

/* True when `folder` holds IDX files under one of the usual names. */
bool dataset_folder_has_idx(const char *folder);

/* Memory for `bytes` pixels, aligned to 64 bytes so that an engine can take them as they lie; NULL
 * when there is none.
 * Freed with free(). */
uint8_t *dataset_alloc_pixels(size_t bytes);

/* 0 when a picture of this size is taken; names what is too large otherwise. */
int dataset_check_size(const char *what, uint64_t rows, uint64_t columns, uint64_t count,
                       struct error *error);

#endif
