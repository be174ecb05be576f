/* CSV text into cells: what the cells of a data set mean, csv.c decides. */
#ifndef NNSTUDIO_DATA_CSV_TEXT_H
#define NNSTUDIO_DATA_CSV_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CSV_NAME_MAX 64

struct csv_column {
    char name[CSV_NAME_MAX]; /* from the header, cut to fit; "" without one */
    size_t odd;              /* cells that are not whole numbers 0 … 255 */
    size_t text;             /* of those, the ones that are not numbers at all */
    size_t odd_line;         /* line of the first odd cell; counted from 1 */
    size_t text_line;        /* and of the first that is no number */
};

struct csv_file {
    const char *path; /* borrowed */
    char *text;       /* owned */
    size_t size, body_at, body_line;
    char separator;
    bool header;
    bool row_numbers; /* the first column counts the rows, from 0 or 1 */
    size_t rows, column_count;
    struct csv_column *columns; /* [column_count], owned */
    uint8_t *cells;             /* [rows, column_count], owned; 0 where a cell is odd */
    size_t longest;             /* bytes of the longest cell that is not a plain number */
    char *cell;                 /* room for that one's text, owned */
};

/* Reads and classifies every cell. Separator: the first of , ; and tab in the first line. A first
 * line of names is a header, and so is one that just counts its columns (0, 1, 2 …). A line with
 * another number of cells is an error. */
int csv_read(const char *path, struct csv_file *out, struct error *error);
void csv_free(struct csv_file *file); /* a zeroed one is fine */

/* Bytes of the mark (EF BB BF) that some programs put in front of a text. */
size_t csv_mark_length(const char *text, size_t size);
/* The first of , ; and tab in the first line, outside of quotes; a comma if there is none. */
char csv_separator(const char *text, size_t size);
/* The bytes of the cell that begins at `at`, up to its separator or the end of the line. What is
 * within quotes belongs to the cell. */
size_t csv_cell_length(const char *at, const char *end, char separator);
/* What a cell says: without the blanks and the quotes around it; within quotes, a doubled one is
 * one. Returns the bytes written to `out`, at most `max`; no NUL is added. */
size_t csv_cell_text(const char *cell, size_t length, char *out, size_t max);

/* Calls `visit` with the text of every cell of a column, in order; ends early when it
 * returns non-zero and returns that. */
typedef int csv_visit(void *context, size_t row, size_t line, const char *text, size_t length);
int csv_each(const struct csv_file *file, size_t column, csv_visit *visit, void *context);

/* The cells of the columns with `keep` set, as numbers [rows, kept]. A cell that is no number is an
 * error. */
int csv_numbers(const struct csv_file *file, const bool *keep, float *out, struct error *error);

/* A finite decimal number, or false. */
bool csv_number(const char *text, size_t length, double *out);
/* The first cell of a column that is odd (or no number at all), as text of at most 40 bytes. */
const char *csv_odd_cell(const struct csv_file *file, size_t column, bool text, char out[48]);

#endif
