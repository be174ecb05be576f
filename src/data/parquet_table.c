/* A Parquet file without pictures is a table: its columns become the text of a CSV file, so that
 * one reader decides what columns mean. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "data/dataset_impl.h"
#include "data/parquet_file.h"

#define CELL_MAX 200
/* Of all texts together, with what memory takes to hold one: a dictionary of one text and a run of
 * a million rows are few bytes of file. */
#define TEXTS_MAX ((size_t)256 << 20)
#define TEXT_COST 32

/* One column's cells, each a number or a text. */
struct cells {
    const struct parquet_file *file;
    const struct parquet_column *column;
    size_t *text_bytes; /* of all columns so far */
    double *numbers;    /* NAN where a cell is empty; NULL in a column of texts */
    char **texts;       /* owned, each too; NULL in a column of numbers */
};

static int take_cell(void *context, uint64_t row, const struct parquet_value *value,
                     struct error *error)
{
    struct cells *cells = context;
    if (cells->numbers) {
        cells->numbers[row] = value->null ? NAN : value->real;
        return 0;
    }
    if (value->null) return 0;
    if (value->size > CELL_MAX)
        return error_set(error, ERROR_INPUT,
                         "%s: row %" PRIu64 " (counted from 0) has a text of %zu bytes in the "
                         "column \"%s\": the most is %d",
                         cells->file->path, row, value->size, cells->column->name, CELL_MAX);
    if ((*cells->text_bytes += value->size + TEXT_COST) > TEXTS_MAX)
        return error_set(error, ERROR_INPUT,
                         "%s has too many texts: %" PRIu64
                         " rows of \"%.40s\" and other columns are more than %zu bytes in memory: "
                         "leave out columns of text that are not the label",
                         cells->file->path, cells->file->rows, cells->column->name, TEXTS_MAX);
    cells->texts[row] = strndup((const char *)value->bytes, value->size);
    return cells->texts[row] ? 0 : error_set_memory(error, "the table");
}

static int read_column(const struct parquet_file *file, size_t c, size_t *text_bytes,
                       struct cells *out, struct error *error)
{
    const struct parquet_column *column = &file->columns[c];
    *out = (struct cells){.file = file, .column = column, .text_bytes = text_bytes};
    if (column->repeated || column->not_plain)
        return error_set(error, ERROR_INPUT,
                         "%s: the column \"%s\" holds %s: save the table with columns of numbers "
                         "and texts alone",
                         file->path, column->name,
                         column->repeated ? "lists" : "times or decimals");
    if (column->type == PARQUET_BYTES)
        out->texts = calloc(file->rows + 1, sizeof *out->texts);
    else
        out->numbers = calloc(file->rows + 1, sizeof *out->numbers);
    if (!out->texts && !out->numbers) return error_set_memory(error, "the table");
    return parquet_each(file, c, take_cell, out, error);
}

static void free_cells(struct cells *cells, size_t columns, uint64_t rows)
{
    for (size_t c = 0; cells && c < columns; c++) {
        for (uint64_t r = 0; cells[c].texts && r < rows; r++) free(cells[c].texts[r]);
        free(cells[c].texts);
        free(cells[c].numbers);
    }
    free(cells);
}

/* In quotes where it must be; what would break a line becomes a blank. */
static void put_text(struct buffer *out, const char *text)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    if (quoted) buffer_append_text(out, "\"");
    for (; *text; text++) {
        char c = *text == '\n' || *text == '\r' ? ' ' : *text;
        if (c == '"') buffer_append_text(out, "\"");
        buffer_append(out, &c, 1);
    }
    if (quoted) buffer_append_text(out, "\"");
}

static void put_cell(struct buffer *out, const struct cells *cells, uint64_t row)
{
    if (cells->texts) {
        put_text(out, cells->texts[row] ? cells->texts[row] : "");
        return;
    }
    double number = cells->numbers[row];
    if (isnan(number)) return; /* empty, which the CSV reader names with its place */
    if (number == rint(number) && fabs(number) < 1e15)
        buffer_printf(out, "%.0f", number);
    else if ((double)(float)number == number)
        buffer_printf(out, "%.9g", number);
    else
        buffer_printf(out, "%.17g", number);
}

static int write_table(const struct parquet_file *file, const struct cells *cells,
                       struct buffer *out, struct error *error)
{
    for (size_t c = 0; c < file->column_count; c++) {
        if (c) buffer_append_text(out, ",");
        put_text(out, file->columns[c].name);
    }
    buffer_append_text(out, "\n");
    for (uint64_t r = 0; r < file->rows && !out->failed; r++) {
        for (size_t c = 0; c < file->column_count; c++) {
            if (c) buffer_append_text(out, ",");
            put_cell(out, &cells[c], r);
        }
        buffer_append_text(out, "\n");
    }
    return buffer_check(out, "the table", error);
}

int parquet_table_text(const char *path, char **text, size_t *size, struct error *error)
{
    struct parquet_file *file = malloc(sizeof *file);
    struct cells *cells = NULL;
    struct buffer out;
    size_t text_bytes = 0;
    int status = -1;
    if (!file) return error_set_memory(error, "the table");
    if (parquet_open(path, file, error)) {
        free(file);
        return -1;
    }
    buffer_init(&out, DATASET_MAX_BYTES);
    if (file->rows > file->size * PARQUET_ROWS_PER_BYTE ||
        file->rows > DATASET_MAX_BYTES / sizeof(double) / file->column_count) {
        error_set(
            error, ERROR_INPUT,
            "%s says that its %llu bytes are %llu rows of %zu columns, the most is %d rows per "
            "byte and %zu numbers: give fewer rows",
            path, (unsigned long long)file->size, (unsigned long long)file->rows,
            (size_t)file->column_count, PARQUET_ROWS_PER_BYTE,
            (size_t)DATASET_MAX_BYTES / sizeof(double));
        goto out;
    }
    cells = calloc(file->column_count, sizeof *cells);
    if (!cells) {
        error_set_memory(error, "the table");
        goto out;
    }
    for (size_t c = 0; c < file->column_count; c++)
        if (read_column(file, c, &text_bytes, &cells[c], error)) goto out;
    if (write_table(file, cells, &out, error)) goto out;
    *text = out.data;
    *size = out.length;
    out.data = NULL;
    status = 0;
out:
    free_cells(cells, file->column_count, file->rows);
    buffer_free(&out);
    parquet_close(file);
    free(file);
    return status;
}
