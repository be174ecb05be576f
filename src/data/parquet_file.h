/* A Parquet file's columns, value by value. For the data room only. */
#ifndef NNSTUDIO_DATA_PARQUET_FILE_H
#define NNSTUDIO_DATA_PARQUET_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PARQUET_MAX_COLUMNS 1024
#define PARQUET_NAME_MAX    64

/* Equal rows need next to no bytes; more is a lie. */
#define PARQUET_ROWS_PER_BYTE 64

enum parquet_type {
    PARQUET_BOOL,
    PARQUET_INT32,
    PARQUET_INT64,
    PARQUET_FLOAT = 4,
    PARQUET_DOUBLE,
    PARQUET_BYTES
};

struct parquet_column {
    char name[PARQUET_NAME_MAX]; /* of the column itself: "bytes" */
    char
        parent[PARQUET_NAME_MAX]; /* of the struct it lies in: "image"; "" on the outermost level */
    int type;                     /* enum parquet_type, or another that is not read */
    unsigned most_defined;        /* the level of a value that is there */
    bool repeated;                /* in a list: not read */
    bool not_plain;               /* a time or a decimal: what is stored is not the number meant */
};

struct parquet_file {
    const char *path;
    char *bytes; /* the whole file, owned */
    size_t size;
    uint64_t rows;
    struct parquet_column columns[PARQUET_MAX_COLUMNS];
    size_t column_count;
    const uint8_t *groups; /* where the row groups are described, within `bytes` … */
    size_t group_count;    /* … and how many */
    const char *note;      /* what Hugging Face's library wrote of the features, JSON; or NULL */
    size_t note_size;
};

/* The caller closes what was opened. */
int parquet_open(const char *path, struct parquet_file *out, struct error *error);
void parquet_close(struct parquet_file *file);

struct parquet_value {
    bool null;
    int64_t integer;
    double real;          /* of any number */
    const uint8_t *bytes; /* until the next value */
    size_t size;
};
typedef int parquet_value_fn(void *context, uint64_t row, const struct parquet_value *value,
                             struct error *error);
/* A table of numbers and texts as the text of a CSV file with a header, malloc'd. */
int parquet_table_text(const char *path, char **text, size_t *size, struct error *error);

/* All rows of one column, in order; PLAIN and dictionary encoding, pages of both versions,
 * uncompressed, Snappy, gzip or zstd. Others are refused by name. */
int parquet_each(const struct parquet_file *file, size_t column, parquet_value_fn *each,
                 void *context, struct error *error);

/* parquet_pages.c: one column chunk, a page after another. */
struct parquet_chunk {
    const uint8_t *at, *end; /* its pages, within the file */
    int codec;
    uint64_t values;
    uint64_t first_row;
};
int parquet_read_chunk(const struct parquet_file *file, const struct parquet_column *column,
                       const struct parquet_chunk *chunk, parquet_value_fn *each, void *context,
                       struct error *error);
int parquet_damaged(const struct parquet_file *file, const char *what, struct error *error);

#endif
