#include "data/csv_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/path.h"
#include "data/dataset_impl.h"
#include "data/parquet_file.h"

#define CSV_MAX         ((size_t)4 << 30)
#define CSV_MAX_COLUMNS ((size_t)DATASET_MAX_SIDE * DATASET_MAX_SIDE + 16)
/* Fewer counted columns or rows may be chance. */
#define COUNTED_MIN 8

struct csv_cursor {
    const char *at, *end;
    size_t line; /* counted from 1, as editors do */
    char separator;
};

static bool at_line_end(const struct csv_cursor *cursor)
{
    return cursor->at == cursor->end || *cursor->at == '\n' ||
           (*cursor->at == '\r' && (cursor->at + 1 == cursor->end || cursor->at[1] == '\n'));
}

static void next_line(struct csv_cursor *cursor)
{
    const char *newline = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
    cursor->at = newline ? newline + 1 : cursor->end;
    cursor->line++;
}

size_t csv_cell_length(const char *at, const char *end, char separator)
{
    struct csv_cursor probe = {at, end, 0, separator};
    bool quoted = false;
    for (; !at_line_end(&probe) && (quoted || *probe.at != separator); probe.at++)
        if (*probe.at == '"') quoted = !quoted;
    return (size_t)(probe.at - at);
}

static size_t cell_length(const struct csv_cursor *cursor)
{
    return csv_cell_length(cursor->at, cursor->end, cursor->separator);
}

static void trim_blanks(const char **text, size_t *length)
{
    while (*length && strchr(" \t\r", **text) && **text) (*text)++, (*length)--;
    while (*length && strchr(" \t\r", (*text)[*length - 1]) && (*text)[*length - 1]) (*length)--;
}

/* Takes off the blanks around a cell, and one pair of quotes; was there one? */
static bool trim(const char **text, size_t *length)
{
    trim_blanks(text, length);
    if (*length < 2 || **text != '"' || (*text)[*length - 1] != '"') return false;
    (*text)++;
    *length -= 2;
    trim_blanks(text, length);
    return true;
}

size_t csv_cell_text(const char *cell, size_t length, char *out, size_t max)
{
    size_t written = 0;
    bool quoted = trim(&cell, &length);
    for (size_t i = 0; i < length && written < max; i++) {
        out[written++] = cell[i];
        if (quoted && cell[i] == '"' && i + 1 < length && cell[i + 1] == '"') i++;
    }
    return written;
}

bool csv_number(const char *text, size_t length, double *out)
{
    char copy[64], *end;
    bool digit = false;
    trim(&text, &length);
    if (!length || length >= sizeof copy) return false;
    for (size_t i = 0; i < length; i++) {
        digit |= text[i] >= '0' && text[i] <= '9';
        if (!strchr("0123456789+-.eE", text[i]) || !text[i]) return false;
    }
    if (!digit) return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    *out = strtod(copy, &end);
    return !*end && isfinite(*out);
}

/* A whole number 0 to 255, however it is written; -1 when it is anything else. */
static int cell_byte(const char *text, size_t length)
{
    double value;
    if (!csv_number(text, length, &value) || value < 0 || value > 255 || value != floor(value))
        return -1;
    return (int)value;
}

static bool names_label_or_row(const char *text, size_t length)
{
    static const char *const names[] = {"label", "labels", "class", "target", "digit",
                                        "y",     "id",     "index", "image",  "imageid"};
    trim(&text, &length);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == length && !strncasecmp(text, names[i], length)) return true;
    return false;
}

/* Does the first line name its columns? It does when most cells are text, when one is a usual name,
 * and when they only count: 0, 1, 2 … as pandas writes columns without names. */
static bool is_header(const struct csv_cursor *line, size_t columns)
{
    struct csv_cursor probe = *line;
    size_t text = 0, counted = 0, numbers = 0;
    double number, before = -1;
    bool usual = false;
    for (size_t column = 0; column < columns; column++) {
        size_t length = cell_length(&probe);
        if (csv_number(probe.at, length, &number)) {
            counted += numbers ? number == before + 1 : number == 0 || number == 1;
            before = number;
            numbers++;
        } else {
            text++;
            usual |= names_label_or_row(probe.at, length);
        }
        probe.at += length;
        if (!at_line_end(&probe)) probe.at++;
    }
    return text * 2 > columns || usual || (counted == numbers && counted >= COUNTED_MIN);
}

static size_t count_cells(const struct csv_cursor *line)
{
    struct csv_cursor probe = *line;
    for (size_t columns = 1;; columns++) {
        probe.at += cell_length(&probe);
        if (at_line_end(&probe)) return columns;
        probe.at++;
    }
}

static void take_header(struct csv_cursor *cursor, struct csv_file *file)
{
    for (size_t column = 0; column < file->column_count; column++) {
        size_t length = cell_length(cursor);
        csv_cell_text(cursor->at, length, file->columns[column].name, CSV_NAME_MAX - 1);
        cursor->at += length;
        if (!at_line_end(cursor)) cursor->at++;
    }
    next_line(cursor);
}

static void note_odd(struct csv_column *column, const struct csv_cursor *cursor, size_t length)
{
    double ignored;
    if (!column->odd++) column->odd_line = cursor->line;
    if (csv_number(cursor->at, length, &ignored)) return;
    if (!column->text++) column->text_line = cursor->line;
}

static int read_row(struct csv_cursor *cursor, struct csv_file *file, uint8_t *cells,
                    struct error *error)
{
    size_t column = 0;
    for (;;) {
        /* The common case without a second look: one to three digits and the separator. */
        const char *at = cursor->at;
        unsigned value = 0;
        while (at < cursor->end && at - cursor->at < 3 && *at >= '0' && *at <= '9')
            value = value * 10 + (unsigned)(*at++ - '0');
        if (at == cursor->at || value > 255 ||
            (at < cursor->end && *at != cursor->separator && *at != '\n')) {
            size_t length = cell_length(cursor);
            int slow = cell_byte(cursor->at, length);
            if (length > file->longest) file->longest = length;
            if (slow < 0 && column < file->column_count)
                note_odd(&file->columns[column], cursor, length);
            value = slow < 0 ? 0 : (unsigned)slow;
            at = cursor->at + length;
        }
        if (column < file->column_count) cells[column] = (uint8_t)value;
        column++;
        cursor->at = at;
        if (at_line_end(cursor)) break;
        cursor->at++;
    }
    if (column != file->column_count)
        return error_set(error, ERROR_INPUT,
                         "%s line %zu has %zu columns where the first line has %zu: fix that line",
                         file->path, cursor->line, column, file->column_count);
    return 0;
}

static size_t count_lines(const char *text, size_t size)
{
    size_t count = 1;
    for (const char *at = text; (at = memchr(at, '\n', size - (size_t)(at - text))); at++) count++;
    return count;
}

size_t csv_mark_length(const char *text, size_t size)
{
    return size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

char csv_separator(const char *text, size_t size)
{
    bool quoted = false;
    for (size_t i = 0; i < size && text[i] != '\n'; i++) {
        if (text[i] == '"') quoted = !quoted;
        if (!quoted && text[i] && strchr(",;\t", text[i])) return text[i];
    }
    return ',';
}

static int read_rows(struct csv_cursor *cursor, struct csv_file *file, struct error *error)
{
    size_t first = 0;
    file->row_numbers = true;
    for (; cursor->at < cursor->end; next_line(cursor)) {
        if (at_line_end(cursor)) continue;
        double number;
        if (file->row_numbers) {
            bool good = csv_number(cursor->at, cell_length(cursor), &number);
            if (good && !file->rows) first = number == 1;
            file->row_numbers = good && number == (double)(file->rows + first);
        }
        if (read_row(cursor, file, file->cells + file->rows * file->column_count, error)) return -1;
        file->rows++;
    }
    file->row_numbers &= file->rows >= COUNTED_MIN;
    return 0;
}

/* Of a table in Parquet, the text that says the same. */
static int read_text(const char *path, struct csv_file *file, struct error *error)
{
    if (strcmp(path_extension(path), "parquet") == 0)
        return parquet_table_text(path, &file->text, &file->size, error);
    return file_read(path, CSV_MAX, &file->text, &file->size, error);
}

int csv_read(const char *path, struct csv_file *out, struct error *error)
{
    struct csv_file *file = out;
    *file = (struct csv_file){.path = path};
    if (read_text(path, file, error)) return -1;
    size_t skip = csv_mark_length(file->text, file->size);
    file->separator = csv_separator(file->text, file->size);
    struct csv_cursor cursor = {file->text + skip, file->text + file->size, 1, file->separator};
    file->column_count = count_cells(&cursor);
    size_t lines = count_lines(file->text, file->size);
    if (file->column_count < 2) {
        error_set(
            error, ERROR_INPUT,
            "%s line 1 has one column only: a line is a label and its pixels, separated by commas",
            path);
        goto fail;
    }
    if (file->column_count > CSV_MAX_COLUMNS ||
        lines > (DATASET_MAX_BYTES + lines) / file->column_count) {
        error_set(error, ERROR_INPUT,
                  "%s is too large: %zu columns in %zu lines, the most is %zu cells", path,
                  file->column_count, lines, DATASET_MAX_BYTES);
        goto fail;
    }
    file->columns = calloc(file->column_count, sizeof *file->columns);
    file->cells = calloc(lines, file->column_count);
    if (!file->columns || !file->cells) {
        error_set_memory(error, "the samples");
        goto fail;
    }
    file->header = is_header(&cursor, file->column_count);
    if (file->header) take_header(&cursor, file);
    file->body_at = (size_t)(cursor.at - file->text);
    file->body_line = cursor.line;
    if (read_rows(&cursor, file, error)) goto fail;
    if (!file->rows) {
        error_set(error, ERROR_INPUT,
                  "%s holds no samples: a line is a label and its pixels, separated by commas",
                  path);
        goto fail;
    }
    file->cell = malloc(file->longest + 1);
    if (file->cell) return 0;
    error_set_memory(error, "the samples");
fail:
    csv_free(file);
    return -1;
}

void csv_free(struct csv_file *file)
{
    free(file->text);
    free(file->columns);
    free(file->cells);
    free(file->cell);
    *file = (struct csv_file){0};
}

static struct csv_cursor body_of(const struct csv_file *file)
{
    return (struct csv_cursor){file->text + file->body_at, file->text + file->size, file->body_line,
                               file->separator};
}

int csv_each(const struct csv_file *file, size_t column, csv_visit *visit, void *context)
{
    struct csv_cursor cursor = body_of(file);
    for (size_t row = 0; cursor.at < cursor.end; next_line(&cursor)) {
        if (at_line_end(&cursor)) continue;
        for (size_t c = 0; c < column; c++) cursor.at += cell_length(&cursor) + 1;
        size_t length = csv_cell_text(cursor.at, cell_length(&cursor), file->cell, file->longest);
        int result = visit(context, row++, cursor.line, file->cell, length);
        if (result) return result;
    }
    return 0;
}

int csv_numbers(const struct csv_file *file, const bool *keep, float *out, struct error *error)
{
    struct csv_cursor cursor = body_of(file);
    for (; cursor.at < cursor.end; next_line(&cursor)) {
        if (at_line_end(&cursor)) continue;
        for (size_t c = 0; c < file->column_count; c++) {
            size_t length = cell_length(&cursor);
            double value = 0;
            if (keep[c] && !csv_number(cursor.at, length, &value))
                return error_set(error, ERROR_INPUT,
                                 "%s line %zu, column %zu: \"%.*s\" is not a number: fix that cell",
                                 file->path, cursor.line, c + 1, length > 40 ? 40 : (int)length,
                                 cursor.at);
            if (keep[c]) *out++ = (float)value;
            cursor.at += length;
            if (!at_line_end(&cursor)) cursor.at++;
        }
    }
    return 0;
}

struct odd_search {
    size_t line;
    char *out;
};

static int copy_odd(void *context, size_t row, size_t line, const char *text, size_t length)
{
    struct odd_search *search = context;
    (void)row;
    if (line != search->line) return 0;
    snprintf(search->out, 48, "%.*s", length > 40 ? 40 : (int)length, text);
    return 1;
}

const char *csv_odd_cell(const struct csv_file *file, size_t column, bool text, char out[48])
{
    const struct csv_column *of = &file->columns[column];
    struct odd_search search = {text ? of->text_line : of->odd_line, out};
    out[0] = '\0';
    csv_each(file, column, copy_odd, &search);
    return out;
}
