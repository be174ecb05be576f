/* CSV: one sample per line. Which column is the label is said by the header, by the caller, or by
 * the values where they leave no doubt; otherwise it is asked for. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/path.h"
#include "data/csv_text.h"
#include "data/dataset_impl.h"

#define NO_COLUMN SIZE_MAX

/* A file and what its columns are. */
struct table {
    struct csv_file file;
    size_t label;  /* or NO_COLUMN */
    bool guessed;  /* by the values */
    bool *kept;    /* [column_count], owned: the columns that are inputs */
    size_t inputs; /* how many those are */
    size_t id;     /* the column that names the samples, or NO_COLUMN */
};

static void table_free(struct table *table)
{
    csv_free(&table->file);
    free(table->kept);
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcasecmp(name, *names)) return true;
    return false;
}

static const char *const label_names[] = {"label",  "labels",      "class",   "target",
                                          "digit",  "y",           "species", "variety",
                                          "letter", "class_label", NULL};
static const char *const id_names[] = {"id",   "index",    "imageid", "image_id", "image",
                                       "file", "filename", "path",    "rowid",    NULL};

/* The columns that name or number the samples rather than describe them. */
static bool is_id_column(const struct table *table, size_t column)
{
    const struct csv_file *file = &table->file;
    if (column == 0 && file->row_numbers) return true;
    if (!file->header) return false;
    const char *name = file->columns[column].name;
    return !*name || !strncasecmp(name, "unnamed:", 8) || is_one_of(name, id_names);
}

/* ---- which column is the label ---- */

/* How a column of bytes is spread over its values. */
struct spread {
    unsigned distinct, largest;
    double common; /* share of the commonest value */
    bool dense;    /* the values are 0 … k-1 or 1 … k */
    bool labels;   /* few values: it could be a column of labels */
};

static struct spread measure(const struct csv_file *file, size_t column)
{
    size_t counts[256] = {0}, most = 0;
    struct spread spread = {0};
    unsigned smallest = 255;
    if (file->columns[column].odd) return spread;
    for (size_t i = 0; i < file->rows; i++) counts[file->cells[i * file->column_count + column]]++;
    for (unsigned value = 0; value < 256; value++) {
        if (!counts[value]) continue;
        spread.distinct++;
        spread.largest = value;
        if (value < smallest) smallest = value;
        if (counts[value] > most) most = counts[value];
    }
    spread.common = (double)most / (double)file->rows;
    spread.dense = smallest <= 1 && spread.largest - smallest + 1 == spread.distinct;
    spread.labels = spread.distinct >= 2 &&
                    (spread.distinct <= 26 || (spread.dense && spread.distinct * 4 <= file->rows));
    return spread;
}

/* A corner of a picture is nearly always background; a column of labels is not. */
static bool is_quiet(const struct spread *spread)
{
    return !spread->labels || spread->common >= 0.8;
}

/* Only certain when the candidate looks like labels, is well mixed, and neither the other end nor
 * its own neighbor looks like that. */
static bool is_certain(const struct csv_file *file, size_t candidate, size_t neighbor, size_t other)
{
    struct spread a = measure(file, candidate), b = measure(file, neighbor),
                  c = measure(file, other);
    return a.labels && a.dense && a.common <= 0.7 && is_quiet(&b) && is_quiet(&c);
}

static bool all_numbered(const struct csv_file *file, size_t but)
{
    for (size_t c = 0; c < file->column_count; c++) {
        const char *name = file->columns[c].name;
        if (c == but) continue;
        if (!*name || !strchr("0123456789", name[strlen(name) - 1])) return false;
    }
    return true;
}

/* By the header: a usual name, or the only column that is not numbered as pixels are. */
static int label_by_header(const struct table *table, size_t *label, struct error *error)
{
    const struct csv_file *file = &table->file;
    *label = NO_COLUMN;
    if (!file->header) return 0;
    for (size_t c = 0; c < file->column_count; c++) {
        if (!is_one_of(file->columns[c].name, label_names)) continue;
        if (*label != NO_COLUMN)
            return error_set(error, ERROR_INPUT,
                             "%s has columns \"%s\" and \"%s\": say which is the label with "
                             "--label-column NAME",
                             file->path, file->columns[*label].name, file->columns[c].name);
        *label = c;
    }
    size_t last = file->column_count - 1;
    const size_t ends[] = {0, last};
    for (size_t e = 0; e < 2 && *label == NO_COLUMN && last > 2; e++)
        if (!is_id_column(table, ends[e]) && file->columns[ends[e]].name[0] &&
            !strchr("0123456789",
                    file->columns[ends[e]].name[strlen(file->columns[ends[e]].name) - 1]) &&
            all_numbered(file, ends[e]))
            *label = ends[e];
    return 0;
}

/* The only column of text. */
static size_t label_by_text(const struct table *table)
{
    size_t found = NO_COLUMN;
    for (size_t c = 0; c < table->file.column_count; c++) {
        if (is_id_column(table, c) || table->file.columns[c].text != table->file.rows) continue;
        if (found != NO_COLUMN) return NO_COLUMN;
        found = c;
    }
    return found;
}

static size_t label_by_values(const struct table *table)
{
    const struct csv_file *file = &table->file;
    size_t first = is_id_column(table, 0) ? 1 : 0, last = file->column_count - 1;
    if (last <= first) return NO_COLUMN;
    /* With two columns or three a neighbor is the other end itself. */
    if (is_certain(file, first, first + 1, last)) return first;
    if (is_certain(file, last, last - 1, first)) return last;
    return NO_COLUMN;
}

/* The column the caller names. A name goes before a number: headers may be numbers. */
static int label_by_request(const struct table *table, const char *wanted, size_t *label,
                            struct error *error)
{
    const struct csv_file *file = &table->file;
    for (size_t c = 0; file->header && c < file->column_count; c++) {
        if (strncmp(file->columns[c].name, wanted, CSV_NAME_MAX - 1) != 0) continue;
        *label = c;
        return 0;
    }
    char *end;
    long number = strtol(wanted, &end, 10), count = (long)file->column_count;
    if (end != wanted && !*end && number >= -count && number < count) {
        *label = (size_t)(number < 0 ? number + count : number);
        return 0;
    }
    return error_set(error, ERROR_INPUT,
                     "%s has no column \"%.60s\": give a name of its header, or a number from 0 to "
                     "%ld (-1 is the last)",
                     file->path, wanted, count - 1);
}

static int find_label(struct table *table, const char *wanted, struct error *error)
{
    if (wanted) return label_by_request(table, wanted, &table->label, error);
    if (label_by_header(table, &table->label, error)) return -1;
    if (table->label == NO_COLUMN) table->label = label_by_text(table);
    if (table->label == NO_COLUMN) {
        table->label = label_by_values(table);
        table->guessed = true;
    }
    return 0;
}

static int ask_for_label(const struct table *table, struct error *error)
{
    const struct csv_file *file = &table->file;
    return error_set(error, ERROR_INPUT,
                     "%s does not say which of its %zu columns is the label: give --label-column 0 "
                     "if it is the first, -1 if it is the last, or its %s",
                     file->path, file->column_count, file->header ? "name" : "number");
}

/* Decides about every column that is not the label. */
static int choose_inputs(struct table *table, struct error *error)
{
    struct csv_file *file = &table->file;
    table->kept = calloc(file->column_count, sizeof *table->kept);
    if (!table->kept) return error_set_memory(error, "the columns");
    table->inputs = 0;
    table->id = NO_COLUMN;
    for (size_t c = 0; c < file->column_count; c++) {
        if (c == table->label) continue;
        if (is_id_column(table, c)) {
            if (table->id == NO_COLUMN) table->id = c;
            continue;
        }
        table->kept[c] = true;
        table->inputs++;
    }
    if (table->inputs) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s has no columns of inputs: a line is a label and its pixels, separated by "
                     "commas",
                     file->path);
}

static void name_column(const struct csv_file *file, size_t column, char out[64])
{
    if (file->columns[column].name[0])
        snprintf(out, 64, "%s", file->columns[column].name);
    else
        snprintf(out, 64, "%zu", column);
}

/* ---- labels ---- */

struct label_reader {
    struct dataset *dataset;
    const char *path, *column;
    uint8_t *labels;
    bool fixed; /* the classes are there: another name is an error */
    struct error *error;
};

static int read_text_label(void *context, size_t row, size_t line, const char *text, size_t length)
{
    struct label_reader *reader = context;
    struct dataset *dataset = reader->dataset;
    uint32_t c = 0;
    while (c < dataset->classes && (strlen(dataset->class_names[c]) != length ||
                                    memcmp(dataset->class_names[c], text, length) != 0))
        c++;
    if (c == dataset->classes) {
        int shown = length > 40 ? 40 : (int)length;
        if (reader->fixed)
            return error_set(reader->error, ERROR_INPUT,
                             "%s line %zu: no training sample has the label \"%.*s\": add some, or "
                             "leave that line out",
                             reader->path, line, shown, text);
        if (!length)
            return error_set(reader->error, ERROR_INPUT,
                             "%s line %zu: the label (column \"%s\") is empty: fix that cell",
                             reader->path, line, reader->column);
        if (length >= DATASET_NAME_MAX)
            return error_set(reader->error, ERROR_INPUT,
                             "%s line %zu: the label \"%.*s…\" is too long: the most is %d bytes",
                             reader->path, line, shown, text, DATASET_NAME_MAX - 1);
        if (c == DATASET_MAX_CLASSES)
            return error_set(reader->error, ERROR_INPUT,
                             "%s: column \"%s\" has more than %d different values, too many for "
                             "labels: name another with --label-column",
                             reader->path, reader->column, DATASET_MAX_CLASSES);
        memcpy(dataset->class_names[c], text, length);
        dataset->class_names[c][length] = '\0';
        dataset->classes++;
    }
    reader->labels[row] = (uint8_t)c;
    return 0;
}

static int by_name(const void *a, const void *b, void *context)
{
    const struct dataset *dataset = context;
    return strverscmp(dataset->class_names[*(const uint8_t *)a],
                      dataset->class_names[*(const uint8_t *)b]);
}

/* Classes in natural order of their names, whatever order they came in. */
static void sort_classes(struct dataset *dataset, struct split *split)
{
    uint8_t order[DATASET_MAX_CLASSES], place[DATASET_MAX_CLASSES];
    char sorted[DATASET_MAX_CLASSES][DATASET_NAME_MAX];
    for (uint32_t c = 0; c < dataset->classes; c++) order[c] = (uint8_t)c;
    qsort_r(order, dataset->classes, 1, by_name, dataset);
    for (uint32_t c = 0; c < dataset->classes; c++) {
        memcpy(sorted[c], dataset->class_names[order[c]], DATASET_NAME_MAX);
        place[order[c]] = (uint8_t)c;
    }
    memcpy(dataset->class_names, sorted, dataset->classes * sizeof sorted[0]);
    for (size_t i = 0; i < split->count; i++) split->labels[i] = place[split->labels[i]];
}

/* Numbers with a few words among them are a mistake in the file, not further classes. */
static int check_label_column(const struct table *table, struct error *error)
{
    const struct csv_column *column = &table->file.columns[table->label];
    char cell[48];
    if (!column->text || column->text * 2 > table->file.rows) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s line %zu, column %zu: \"%s\" is not a number, as the other labels are: "
                     "fix that cell",
                     table->file.path, column->text_line, table->label + 1,
                     csv_odd_cell(&table->file, table->label, true, cell));
}

static int take_labels(const struct table *table, struct dataset *dataset, struct split *split,
                       struct error *error)
{
    const struct csv_file *file = &table->file;
    bool is_test = split == &dataset->test;
    split->labels = calloc(file->rows, 1);
    if (!split->labels) return error_set_memory(error, "the labels");
    split->count = file->rows;
    if (table->label == NO_COLUMN) return 0;
    /* Named classes stay named: a test file follows the training file. */
    if (!file->columns[table->label].odd && !(is_test && dataset->classes)) {
        for (size_t i = 0; i < file->rows; i++)
            split->labels[i] = file->cells[i * file->column_count + table->label];
        return 0;
    }
    if (check_label_column(table, error)) return -1;
    char name[64];
    name_column(file, table->label, name);
    struct label_reader reader = {dataset, file->path, name, split->labels, is_test, error};
    if (csv_each(file, table->label, read_text_label, &reader)) return -1;
    if (!is_test) sort_classes(dataset, split);
    return 0;
}

/* ---- inputs ---- */

/* The first input column with cells that are not bytes, or NO_COLUMN. */
static size_t first_odd(const struct table *table, bool text)
{
    for (size_t c = 0; c < table->file.column_count; c++)
        if (table->kept[c] && (text ? table->file.columns[c].text : table->file.columns[c].odd))
            return c;
    return NO_COLUMN;
}

static int bad_cell(const struct table *table, size_t column, bool text, const char *wanted,
                    struct error *error)
{
    const struct csv_column *of = &table->file.columns[column];
    char cell[48];
    return error_set(error, ERROR_INPUT, "%s line %zu, column %zu: \"%s\" is not %s: fix that cell",
                     table->file.path, text ? of->text_line : of->odd_line, column + 1,
                     csv_odd_cell(&table->file, column, text, cell), wanted);
}

/* Packs the cells that are inputs, in place, and hands them over. */
static void take_cells(struct table *table, struct split *split)
{
    struct csv_file *file = &table->file;
    uint8_t *to = file->cells;
    for (size_t i = 0; i < file->rows; i++) {
        const uint8_t *row = file->cells + i * file->column_count;
        for (size_t c = 0; c < file->column_count;) {
            size_t run = 0;
            if (!table->kept[c]) {
                c++;
                continue;
            }
            while (c + run < file->column_count && table->kept[c + run]) run++;
            memmove(to, row + c, run);
            to += run;
            c += run;
        }
    }
    split->pixels = file->cells;
    file->cells = NULL;
}

static float *numbers_of(const struct table *table, struct error *error)
{
    if (table->file.rows > DATASET_MAX_BYTES / sizeof(float) / table->inputs) {
        error_set(error, ERROR_INPUT, "%s is too large for numbers that are not whole",
                  table->file.path);
        return NULL;
    }
    float *numbers = malloc(table->file.rows * table->inputs * sizeof *numbers);
    if (!numbers) {
        error_set_memory(error, "the numbers");
        return NULL;
    }
    if (!csv_numbers(&table->file, table->kept, numbers, error)) return numbers;
    free(numbers);
    return NULL;
}

/* Columns with names of their own, not counted as pixels are. */
static bool has_named_inputs(const struct table *table)
{
    size_t named = 0;
    for (size_t c = 0; table->file.header && c < table->file.column_count; c++) {
        const char *name = table->file.columns[c].name;
        named += table->kept[c] && *name && !strchr("0123456789", name[strlen(name) - 1]);
    }
    return named * 2 > table->inputs;
}

static bool all_within_0_1(const float *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (numbers[i] < 0 || numbers[i] > 1) return false;
    return true;
}

static int take_inputs(struct table *train, struct table *test, struct dataset *dataset,
                       struct error *error)
{
    struct table *const tables[] = {train, test};
    size_t odd = NO_COLUMN;
    const struct table *where = train;
    for (size_t t = 0; t < 2 && tables[t]; t++) {
        size_t text = first_odd(tables[t], true), column = first_odd(tables[t], false);
        if (text != NO_COLUMN) return bad_cell(tables[t], text, true, "a number", error);
        if (odd == NO_COLUMN && column != NO_COLUMN) {
            odd = column;
            where = tables[t];
        }
    }
    if (odd == NO_COLUMN) {
        take_cells(train, &dataset->train);
        if (test) take_cells(test, &dataset->test);
        return 0;
    }
    int status = -1;
    float *a = numbers_of(train, error), *b = NULL;
    if (!a || (test && !(b = numbers_of(test, error)))) goto out;
    dataset->table = has_named_inputs(train);
    if (!dataset->table && !(all_within_0_1(a, train->file.rows * train->inputs) &&
                             (!b || all_within_0_1(b, test->file.rows * train->inputs)))) {
        bad_cell(where, odd, false,
                 train->file.header
                     ? "a whole number from 0 to 255, as pixels are (the columns are numbered, as "
                       "pixels are; other numbers need columns with names of their own)"
                     : "a whole number from 0 to 255, as pixels are (other numbers need a first "
                       "line that names the columns)",
                 error);
        goto out;
    }
    status = dataset_take_numbers(dataset, train->file.path, a, b, error);
out:
    free(a);
    free(b);
    return status;
}

void dataset_guess_sides(size_t pixels, struct dataset *dataset)
{
    size_t rows = (size_t)sqrt((double)pixels);
    while (rows > 1 && pixels % rows) rows--;
    dataset->rows = (uint32_t)rows;
    dataset->columns = (uint32_t)(pixels / rows);
}

/* ---- files ---- */

static int open_training(const char *path, const struct dataset_options *options,
                         struct table *table, struct error *error)
{
    if (csv_read(path, &table->file, error)) return -1;
    if (find_label(table, options->label_column, error)) return -1;
    if (table->label == NO_COLUMN && !options->unlabeled) return ask_for_label(table, error);
    if (choose_inputs(table, error)) return -1;
    /* With the right number of columns already, none is a label; a guess would take a pixel. */
    if (options->unlabeled && !options->label_column && table->label != NO_COLUMN &&
        table->inputs + 1 == options->features) {
        table->label = NO_COLUMN;
        free(table->kept);
        return choose_inputs(table, error);
    }
    return 0;
}

/* The test file's label by its own header, by its name in the training file, else in the same
 * place. *has_labels is false for a file that has none. */
static int open_test(const char *path, const struct dataset_options *options,
                     const struct table *train, struct table *table, bool *has_labels,
                     struct error *error)
{
    const struct csv_file *file = &table->file;
    *has_labels = true;
    if (csv_read(path, &table->file, error)) return -1;
    table->label = NO_COLUMN;
    if (file->header && train->file.header) {
        const char *name = train->file.columns[train->label].name;
        for (size_t c = 0; c < file->column_count && table->label == NO_COLUMN; c++)
            if (!strcasecmp(file->columns[c].name, name)) table->label = c;
        if (table->label == NO_COLUMN && label_by_header(table, &table->label, error)) return -1;
    } else if (file->column_count == train->file.column_count) {
        table->label = train->label;
    }
    if (table->label == NO_COLUMN && options->label_column &&
        file->column_count == train->file.column_count &&
        label_by_request(table, options->label_column, &table->label, error))
        return -1;
    if (choose_inputs(table, error)) return -1;
    if (table->label == NO_COLUMN && table->inputs == train->inputs) {
        *has_labels = false;
        return 0;
    }
    if (table->label == NO_COLUMN) return ask_for_label(table, error);
    if (table->inputs != train->inputs)
        return error_set(error, ERROR_INPUT,
                         "%s has %zu columns of inputs where %s has %zu: both must have the same",
                         path, table->inputs, train->file.path, train->inputs);
    return 0;
}

struct id_reader {
    char **ids;
};

static int read_id(void *context, size_t row, size_t line, const char *text, size_t length)
{
    struct id_reader *reader = context;
    (void)line;
    reader->ids[row] = strndup(text, length);
    return reader->ids[row] ? 0 : -1;
}

/* The samples' names for a table of predictions: the file's own, or their numbers from 1. */
static int take_ids(const struct table *table, struct dataset *dataset, struct error *error)
{
    dataset->ids = calloc(table->file.rows + 1, sizeof *dataset->ids);
    if (!dataset->ids) return error_set_memory(error, "the names of the samples");
    struct id_reader reader = {dataset->ids};
    if (table->id != NO_COLUMN)
        return csv_each(&table->file, table->id, read_id, &reader)
                   ? error_set_memory(error, "the names of the samples")
                   : 0;
    for (size_t i = 0; i < table->file.rows; i++)
        if (asprintf(&dataset->ids[i], "%zu", i + 1) < 0) {
            dataset->ids[i] = NULL;
            return error_set_memory(error, "the names of the samples");
        }
    return 0;
}

static void note_columns(const struct table *table, struct dataset *dataset)
{
    const struct csv_file *file = &table->file;
    if (table->label != NO_COLUMN) {
        name_column(file, table->label, dataset->label_column);
        if (table->guessed)
            dataset_assume(dataset,
                           "column %zu, counted from 0, is the label, judged by its values",
                           table->label);
    }
    for (size_t c = 0; c < file->column_count; c++)
        if (c != table->label && !table->kept[c]) {
            char name[DATASET_NAME_MAX];
            name_column(file, c, name);
            dataset_skip(dataset, 1, "column \"%s\" (%s)", name,
                         c == 0 && file->row_numbers ? "row numbers" : "names the samples");
        }
}

int dataset_read_csv(const char *train_path, const char *test_path,
                     const struct dataset_options *options, struct dataset *dataset,
                     struct error *error)
{
    int status = -1;
    struct table train = {0}, test = {0};
    bool has_test = test_path != NULL;
    if (open_training(train_path, options, &train, error)) goto out;
    if (has_test && open_test(test_path, options, &train, &test, &has_test, error)) goto out;
    if (test_path && !has_test)
        dataset_skip(dataset, test.file.rows, "%s (no labels; see predict)", path_base(test_path));
    note_columns(&train, dataset);
    dataset_guess_sides(train.inputs, dataset);
    if (dataset_check_size(train_path, dataset->rows, dataset->columns, train.file.rows, error))
        goto out;
    if (take_labels(&train, dataset, &dataset->train, error) ||
        (has_test && take_labels(&test, dataset, &dataset->test, error)))
        goto out;
    if (options->unlabeled && take_ids(&train, dataset, error)) goto out;
    if (take_inputs(&train, has_test ? &test : NULL, dataset, error)) goto out;
    if (dataset->table) {
        dataset->rows = 1;
        dataset->columns = (uint32_t)train.inputs;
    }
    status = 0;
out:
    table_free(&train);
    table_free(&test);
    return status;
}
