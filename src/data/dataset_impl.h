/* What the readers of the data room share. Not for other rooms. */
#ifndef NNSTUDIO_DATA_DATASET_IMPL_H
#define NNSTUDIO_DATA_DATASET_IMPL_H

#include "data/dataset.h"

#define DATASET_MAX_BYTES ((size_t)2 << 30) /* pixels of one split */

/* Each reader fills rows, columns and both splits, and what it knows of classes and values; the
 * rest is settled in dataset.c. A reader that found one split only leaves test.count 0. `limit` (0:
 * none): only as many pictures are read where the first ones will do. */
int dataset_read_idx_folder(const char *folder, uint32_t limit, struct dataset *dataset,
                            struct error *error);
int dataset_read_idx_file(const char *images, struct dataset *dataset, struct error *error);

/* data_batch_N.bin and test_batch.bin, or the archive that holds them. */
int dataset_read_cifar(const char *folder, struct dataset *dataset, struct error *error);
bool dataset_folder_has_cifar(const char *folder);

/* One CSV file per split; test_path may be NULL, and a test file without labels is skipped. */
int dataset_read_csv(const char *train_path, const char *test_path,
                     const struct dataset_options *options, struct dataset *dataset,
                     struct error *error);
/* Sets classes and class names too. */
int dataset_read_image_folder(const char *folder, const struct dataset_options *options,
                              struct dataset *dataset, struct error *error);
/* A NumPy archive with pictures and labels by name (x_train, y_train, x_test, y_test and so on). */
int dataset_read_npz(const char *path, const struct dataset_options *options,
                     struct dataset *dataset, struct error *error);

/* One array of its own; the others (y_train.npy and so on) lie beside it. */
int dataset_read_npy(const char *path, const struct dataset_options *options,
                     struct dataset *dataset, struct error *error);

/* Pictures and labels as Hugging Face's library writes them: one file, or a folder with
 * train-*.parquet and perhaps test-*.parquet. */
int dataset_read_parquet(const char *path, const struct dataset_options *options,
                         struct dataset *dataset, struct error *error);
int dataset_read_parquet_folder(const char *folder, const struct dataset_options *options,
                                struct dataset *dataset, struct error *error);
bool dataset_folder_has_parquet(const char *folder);

/* form.c: full brightness, polarity and preprocessing, from the options and the values. */
int dataset_find_form(struct dataset *dataset, const struct dataset_options *options,
                      struct error *error);
/* part.c: cuts both splits to `limit` samples (0: none). */
int dataset_keep_part(struct dataset *dataset, uint32_t limit, struct error *error);
/* The training samples per class that are left of a data set when it is opened with that limit. */
void dataset_count_part(const struct dataset *dataset, uint32_t limit,
                        size_t counts[DATASET_MAX_CLASSES]);
/* True when the first `limit` labels hold the classes about as the whole does. */
bool dataset_is_mixed(const uint8_t *labels, size_t count, size_t limit);

/* Notes for the summary; beyond the most of them the last one counts the rest. */
void dataset_skip(struct dataset *dataset, size_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void dataset_assume(struct dataset *dataset, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes numbers of both splits (test may be NULL) as codes: dataset->coded, values, full and table
 * are set. `what` names the source. Frees nothing; the codes are allocated into the splits. */
int dataset_take_numbers(struct dataset *dataset, const char *what, const float *train,
                         const float *test, struct error *error);

/* The sides of a picture whose form is not told: a square if it can be, else as near to one as
 * divides. */
void dataset_guess_sides(size_t pixels, struct dataset *dataset);

/* True when `folder` holds IDX files under one of the usual names. */
bool dataset_folder_has_idx(const char *folder);

/* Memory for `bytes` pixels, aligned to 64 bytes so that an engine can take them as they lie; NULL
 * when there is none. Freed with free(). */
uint8_t *dataset_alloc_pixels(size_t bytes);

/* 0 when so many pictures of this size are taken; names what is too large otherwise. */
int dataset_check_size(const char *what, uint64_t rows, uint64_t columns, uint64_t count,
                       struct error *error);

/* Refuses a file that begins so and should have been an IDX file, by what it is. */
int dataset_refuse_foreign(const char *path, const uint8_t head[4], struct error *error);

#endif
