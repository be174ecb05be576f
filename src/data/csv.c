/* CSV: one sample a line, its label in the first or the last column, pixels as whole numbers 0 to
 * 255. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "data/dataset_impl.h"

#define CSV_MAX ((size_t)4 << 30)

struct table {
    const char *path;
    size_t count, columns;
    uint8_t *cells;    /* [count, columns], owned */
    int label_by_name; /* by the header: 0 first, 1 last, -1 not named */
};

struct cursor {
    const char *at, *end;
    size_t line; /* counted from 1, as editors do */
    char separator;
};

static bool at_line_end(const struct cursor *cursor)
{
    return cursor->at == cursor->end || *cursor->at == '\n' ||
           (*cursor->at == '\r' && (cursor->at + 1 == cursor->end || cursor->at[1] == '\n'));
}

static void next_line(struct cursor *cursor)
{
    const char *newline = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
    cursor->at = newline ? newline + 1 : cursor->end;
    cursor->line++;
}

/* The text of the cell that starts here, up to the separator or the line's end. */
static size_t cell_length(const struct cursor *cursor)
{
    struct cursor probe = *cursor;
    while (!at_line_end(&probe) && *probe.at != probe.separator) probe.at++;
    return (size_t)(probe.at - cursor->at);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '"';
}

/* A whole number 0 to 255, perhaps in blanks or quotes or written as 12.0; -1 when it is anything
 * else. */
static int cell_value(const char *text, size_t length)
{
    const char *end = text + length;
    int value = 0, digits = 0;
    while (text < end && is_blank(*text)) text++;
    while (end > text && is_blank(end[-1])) end--;
    for (; text < end && *text >= '0' && *text <= '9' && value <= 255; text++, digits++)
        value = value * 10 + (*text - '0');
    if (text < end && *text == '.') {
        text++;
        while (text < end && *text == '0') text++;
    }
    return digits && text == end && value <= 255 ? value : -1;
}

/* Numbers of any kind: what a header's cells are not. */
static bool cell_is_numeric(const char *text, size_t length)
{
    bool digit = false;
    for (size_t i = 0; i < length; i++) {
        digit |= text[i] >= '0' && text[i] <= '9';
        if (!strchr("0123456789+-.eE \t\"", text[i])) return false;
    }
    return digit;
}

static bool names_label(const char *text, size_t length)
{
    static const char *const names[] = {"label", "labels", "class", "target", "digit", "y"};
    while (length && is_blank(*text)) text++, length--;
    while (length && is_blank(text[length - 1])) length--;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == length && !strncasecmp(text, names[i], length)) return true;
    return false;
}

/* Counts the first line's cells and passes over it when it is a header, that is when most cells
 * are text. */
static void read_header(struct cursor *cursor, struct table *table)
{
    struct cursor probe = *cursor;
    size_t text = 0;
    bool first = false, last = false;
    table->columns = 0;
    for (;;) {
        size_t length = cell_length(&probe);
        text += !cell_is_numeric(probe.at, length);
        last = names_label(probe.at, length);
        if (!table->columns++) first = last;
        probe.at += length;
        if (at_line_end(&probe)) break;
        probe.at++;
    }
    table->label_by_name = -1;
    if (text * 2 <= table->columns) return;
    if (first != last) table->label_by_name = last;
    next_line(cursor);
}

static int bad_cell(const struct table *table, const struct cursor *cursor, size_t column,
                    size_t length, struct error *error)
{
    return error_set(
        error, ERROR_INPUT,
        "%s line %zu, column %zu: \"%.*s\" is not a whole number from 0 to 255: mend that cell",
        table->path, cursor->line, column + 1, length > 40 ? 40 : (int)length, cursor->at);
}

static int read_row(struct cursor *cursor, const struct table *table, uint8_t *cells,
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
            int slow = cell_value(cursor->at, length);
            if (slow < 0) return bad_cell(table, cursor, column, length, error);
            value = (unsigned)slow;
            at = cursor->at + length;
        }
        if (column < table->columns) cells[column] = (uint8_t)value;
        column++;
        cursor->at = at;
        if (at_line_end(cursor)) break;
        cursor->at++;
    }
    if (column != table->columns)
        return error_set(error, ERROR_INPUT,
                         "%s line %zu has %zu columns where the first line has %zu: mend that line",
                         table->path, cursor->line, column, table->columns);
    return 0;
}

static size_t count_lines(const char *text, size_t size)
{
    size_t count = 1;
    for (const char *at = text; (at = memchr(at, '\n', size - (size_t)(at - text))); at++) count++;
    return count;
}

static char find_separator(const char *text, size_t size)
{
    for (size_t i = 0; i < size && text[i] != '\n'; i++)
        if (strchr(",;\t", text[i])) return text[i];
    return ',';
}

static int read_table(const char *path, struct table *table, struct error *error)
{
    int status = -1;
    char *text;
    size_t size;
    *table = (struct table){.path = path};
    if (file_read(path, CSV_MAX, &text, &size, error)) return -1;
    size_t skip = size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0; /* a byte-order mark */
    struct cursor cursor = {text + skip, text + size, 1, find_separator(text, size)};
    read_header(&cursor, table);
    size_t lines = count_lines(text, size);
    if (table->columns < 2) {
        error_set(
            error, ERROR_INPUT,
            "%s line 1 has one column only: a line is a label and its pixels, separated by commas",
            path);
        goto out;
    }
    if (lines > (DATASET_MAX_BYTES + lines) / table->columns) {
        error_set(error, ERROR_INPUT, "%s is too large: the most is %zu pixels", path,
                  DATASET_MAX_BYTES);
        goto out;
    }
    table->cells = calloc(lines, table->columns);
    if (!table->cells) {
        error_set_memory(error, "the samples");
        goto out;
    }
    for (; cursor.at < cursor.end; next_line(&cursor)) {
        if (at_line_end(&cursor)) continue;
        if (read_row(&cursor, table, table->cells + table->count * table->columns, error)) goto out;
        table->count++;
    }
    if (!table->count) {
        error_set(error, ERROR_INPUT,
                  "%s holds no samples: a line is a label and its pixels, separated by commas",
                  path);
        goto out;
    }
    status = 0;
out:
    free(text);
    return status;
}

/* How many different values a column holds, or 0 if they do not look like labels (about 0, 1, 2
 * …). */
static unsigned label_likeness(const struct table *table, size_t column)
{
    bool seen[256] = {false};
    unsigned distinct = 0, largest = 0;
    for (size_t i = 0; i < table->count; i++) {
        uint8_t value = table->cells[i * table->columns + column];
        distinct += !seen[value];
        seen[value] = true;
        if (value > largest) largest = value;
    }
    return distinct >= 2 && largest + 1 <= 2 * distinct ? distinct : 0;
}

/* The column of the labels: as the header says, else the one of first and last that looks like
 * labels (fewer
 * different values when both do), else the first. */
static size_t find_label(const struct table *table)
{
    size_t last = table->columns - 1;
    if (table->label_by_name >= 0) return table->label_by_name ? last : 0;
    unsigned a = label_likeness(table, 0), b = label_likeness(table, last);
    return b && (!a || b < a) ? last : 0;
}

/* Takes the cells over as pixels, with the label column pulled out. */
static int take_split(struct table *table, size_t label, struct split *split, struct error *error)
{
    size_t pixels = table->columns - 1;
    split->labels = malloc(table->count);
    if (!split->labels) return error_set_memory(error, "the labels");
    for (size_t i = 0; i < table->count; i++) {
        const uint8_t *row = table->cells + i * table->columns;
        split->labels[i] = row[label];
        memmove(table->cells + i * pixels, label ? row : row + 1, pixels);
    }
    split->count = table->count;
    split->pixels = table->cells;
    table->cells = NULL;
    return 0;
}

/* A CSV file does not tell its pictures' sides: a square if it can be, else as near to one as
 * divides. */
static void guess_sides(size_t pixels, struct dataset *dataset)
{
    size_t rows = (size_t)sqrt((double)pixels);
    while (rows > 1 && pixels % rows) rows--;
    dataset->rows = (uint32_t)rows;
    dataset->columns = (uint32_t)(pixels / rows);
}

int dataset_read_csv(const char *train_path, const char *test_path, struct dataset *dataset,
                     struct error *error)
{
    int status = -1;
    struct table train = {0}, test = {0};
    if (read_table(train_path, &train, error)) goto out;
    if (test_path && read_table(test_path, &test, error)) goto out;
    if (test_path && test.columns != train.columns) {
        error_set(error, ERROR_INPUT, "%s has %zu columns where %s has %zu%s", test_path,
                  test.columns, train_path, train.columns,
                  test.columns + 1 == train.columns
                      ? ": it has no labels, move it away to test on a part of the other"
                      : ": both must have the same");
        goto out;
    }
    guess_sides(train.columns - 1, dataset);
    if (dataset_check_size(train_path, dataset->rows, dataset->columns, train.count, error))
        goto out;
    size_t label = find_label(&train);
    if (take_split(&train, label, &dataset->train, error)) goto out;
    if (test_path && take_split(&test, label, &dataset->test, error)) goto out;
    status = 0;
out:
    free(train.cells);
    free(test.cells);
    return status;
}
