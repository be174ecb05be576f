/* Parquet as Hugging Face's library writes sets of pictures: a struct of a picture file's bytes,
 * and a label; the names of the classes in the file's notes. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "data/dataset_impl.h"
#include "data/parquet_file.h"
#include "data/picture.h"

#define SHARDS_MAX 256
/* A picture may stand in many rows, and few bytes may be many pixels: no more rows than the file
 * has bytes, nor pixels than gzip could hold in as many. */
#define GROWTH_MAX 1032

static const char *const picture_names[] = {"image", "img", "picture", NULL};

struct columns {
    size_t pictures, labels;
};

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

/* What there is, for a refusal: "a, b and 3 more". */
static void list_columns(const struct parquet_file *file, char out[160])
{
    size_t length = 0, c = 0;
    out[0] = '\0';
    for (; c < file->column_count && length < 100; c++) {
        const struct parquet_column *column = &file->columns[c];
        length += (size_t)snprintf(out + length, 160 - length, "%s%.30s%s%.20s", c ? ", " : "",
                                   column->parent, column->parent[0] ? "." : "", column->name);
    }
    if (c < file->column_count)
        snprintf(out + length, 160 - length, " and %zu more", file->column_count - c);
}

static int find_columns(const struct parquet_file *file, const struct dataset_options *options,
                        struct columns *out, struct error *error)
{
    static const char *const labels[] = {"label", "labels", "class", "target", "y", NULL};
    const char *wanted = options->label_column;
    size_t found = 0, labeled = 0;
    char names[160];
    list_columns(file, names);
    for (size_t c = 0; c < file->column_count; c++) {
        const struct parquet_column *column = &file->columns[c];
        bool bytes = column->type == PARQUET_BYTES && !column->repeated;
        bool whole = (column->type == PARQUET_INT32 || column->type == PARQUET_INT64) &&
                     !column->repeated;
        if (bytes && (column->parent[0] ? strcmp(column->name, "bytes") == 0
                                        : is_one_of(column->name, picture_names))) {
            out->pictures = c;
            found++;
        } else if ((whole || bytes) && !column->parent[0] &&
                   (wanted ? strcmp(column->name, wanted) == 0 : is_one_of(column->name, labels))) {
            out->labels = c;
            labeled++;
        }
    }
    if (found != 1)
        return error_set(error, ERROR_INPUT,
                         "%s has %s column of pictures (its columns: %s): the studio reads tables, "
                         "or one column of pictures with one of labels",
                         file->path, found ? "more than one" : "no", names);
    if (labeled == 1) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s: which column is the label? Its columns: %s. Name it with --label-column",
                     file->path, names);
}

/* --- the names of the classes --- */

/* {"info":{"features":{"label":{"names":["T - shirt / top", …]}}}} */
static void name_classes(const struct parquet_file *file, const char *label,
                         struct dataset *dataset)
{
    struct error ignored;
    json_t *note, *name;
    size_t c;
    if (!file->note || dataset->classes ||
        js_parse_object(file->note, file->note_size, "the notes", &note, &ignored))
        return;
    const json_t *features = json_object_get(json_object_get(note, "info"), "features");
    const json_t *names = json_object_get(json_object_get(features, label), "names");
    size_t count = json_array_size(names);
    json_array_foreach(names, c, name)
        if (!json_is_string(name) || json_string_length(name) >= DATASET_NAME_MAX) count = 0;
    if (count >= 2 && count <= DATASET_MAX_CLASSES) {
        json_array_foreach(names, c, name)
            snprintf(dataset->class_names[c], DATASET_NAME_MAX, "%s", json_string_value(name));
        dataset->classes = (uint32_t)count;
    }
    json_decref(note);
}

/* --- reading --- */

struct sink {
    const struct parquet_file *file;
    struct dataset *dataset;
    struct split *split;
    size_t first; /* of the split, this file's first sample */
    size_t resized, colored;
    bool texts; /* labels are the classes' names */
};

static int refuse_row(const struct sink *sink, uint64_t row, const char *what, struct error *error)
{
    return error_set(error, ERROR_INPUT, "%s: row %llu (counted from 0) has %s", sink->file->path,
                     (unsigned long long)row, what);
}

static int take_picture(void *context, uint64_t row, const struct parquet_value *value,
                        struct error *error)
{
    struct sink *sink = context;
    const struct dataset *dataset = sink->dataset;
    size_t image = (size_t)dataset->rows * dataset->columns;
    struct picture picture;
    char name[300];
    if (value->null) return refuse_row(sink, row, "no picture: leave the row out", error);
    snprintf(name, sizeof name, "%.200s: the picture of row %llu", sink->file->path,
             (unsigned long long)row);
    if (picture_read_bytes((const char *)value->bytes, value->size, name, &picture, error))
        return -1;
    uint8_t *out = sink->split->pixels + (sink->first + row) * image;
    bool same = picture.width == dataset->columns && picture.height == dataset->rows;
    if (same)
        memcpy(out, picture.gray, image);
    else
        picture_resize(picture.gray, picture.width, picture.height, dataset->rows, dataset->columns,
                       out);
    sink->resized += !same;
    sink->colored += picture.color;
    picture_free(&picture);
    return 0;
}

static int take_label(void *context, uint64_t row, const struct parquet_value *value,
                      struct error *error)
{
    struct sink *sink = context;
    struct dataset *dataset = sink->dataset;
    uint8_t *label = &sink->split->labels[sink->first + row];
    if (value->null || (sink->texts && (!value->size || value->size >= DATASET_NAME_MAX)))
        return refuse_row(sink, row, "no label, or one that is too long", error);
    if (!sink->texts) {
        if (value->integer < 0 || value->integer >= DATASET_MAX_CLASSES)
            return refuse_row(sink, row, "a label out of range: labels are 0 to 255", error);
        *label = (uint8_t)value->integer;
        return 0;
    }
    char name[DATASET_NAME_MAX];
    snprintf(name, sizeof name, "%.*s", (int)value->size, (const char *)value->bytes);
    uint32_t c = 0;
    while (c < dataset->classes && strcmp(dataset->class_names[c], name) != 0) c++;
    if (c == DATASET_MAX_CLASSES)
        return refuse_row(sink, row, "one class too many: the most is 256", error);
    if (c == dataset->classes)
        snprintf(dataset->class_names[dataset->classes++], sizeof name, "%s", name);
    *label = (uint8_t)c;
    return 0;
}

/* The first picture's size is the set's. */
static int look_at_first(void *context, uint64_t row, const struct parquet_value *value,
                         struct error *error)
{
    struct sink *sink = context;
    struct picture picture;
    if (row || value->null) return -1;
    if (picture_read_bytes((const char *)value->bytes, value->size, sink->file->path, &picture,
                           error))
        return -1;
    sink->dataset->rows = picture.height;
    sink->dataset->columns = picture.width;
    picture_free(&picture);
    return -1; /* enough */
}

static int find_size(struct sink *sink, size_t column, struct error *error)
{
    error->code = ERROR_NONE;
    parquet_each(sink->file, column, look_at_first, sink, error);
    if (sink->dataset->rows) return 0;
    return error->code != ERROR_NONE
               ? -1
               : error_set(error, ERROR_INPUT, "%s holds no pictures", sink->file->path);
}

/* More room in the split for a file's rows. */
static int make_room(const struct parquet_file *file, const struct dataset *dataset,
                     struct split *split, struct error *error)
{
    size_t image = (size_t)dataset->rows * dataset->columns, before = split->count;
    uint64_t most = file->size * GROWTH_MAX / image;
    if (most > file->size) most = file->size;
    if (dataset_check_size(file->path, dataset->rows, dataset->columns, before + file->rows, error))
        return -1;
    if (file->rows > most)
        return error_set(
            error, ERROR_INPUT,
            "%s says that its %llu bytes are %llu pictures of %u x %u pixels, the most "
            "is %llu: give each picture once",
            file->path, (unsigned long long)file->size, (unsigned long long)file->rows,
            dataset->rows, dataset->columns, (unsigned long long)most);
    size_t count = before + (size_t)file->rows;
    uint8_t *pixels = dataset_alloc_pixels(count * image), *labels = malloc(count);
    if (!pixels || !labels) {
        free(pixels);
        free(labels);
        return error_set_memory(error, "the pictures");
    }
    if (before) {
        memcpy(pixels, split->pixels, before * image);
        memcpy(labels, split->labels, before);
    }
    free(split->pixels);
    free(split->labels);
    split->pixels = pixels;
    split->labels = labels;
    return 0;
}

static int read_file(const char *path, const struct dataset_options *options,
                     struct dataset *dataset, struct split *split, struct error *error)
{
    struct parquet_file file;
    struct columns columns = {0};
    int status = -1;
    if (parquet_open(path, &file, error)) return -1;
    struct sink sink = {.file = &file, .dataset = dataset, .split = split, .first = split->count};
    if (find_columns(&file, options, &columns, error)) goto out;
    const struct parquet_column *label = &file.columns[columns.labels];
    sink.texts = label->type == PARQUET_BYTES;
    if (!sink.texts) name_classes(&file, label->name, dataset);
    snprintf(dataset->label_column, sizeof dataset->label_column, "%s", label->name);
    if ((!dataset->rows && find_size(&sink, columns.pictures, error)) ||
        make_room(&file, dataset, split, error) ||
        parquet_each(&file, columns.labels, take_label, &sink, error) ||
        parquet_each(&file, columns.pictures, take_picture, &sink, error))
        goto out;
    split->count += (size_t)file.rows;
    if (sink.resized)
        dataset_assume(dataset, "%zu pictures of other sizes brought to %u x %u", sink.resized,
                       dataset->rows, dataset->columns);
    if (sink.colored) dataset_assume(dataset, "%zu color pictures made gray", sink.colored);
    status = 0;
out:
    parquet_close(&file);
    return status;
}

/* Whether the file holds neither pictures nor anything within something: columns alone. */
static bool is_table(const char *path)
{
    struct parquet_file file;
    struct error ignored;
    if (parquet_open(path, &file, &ignored)) return false; /* which reading it will say */
    bool table = file.column_count > 1;
    for (size_t c = 0; c < file.column_count; c++)
        if (file.columns[c].parent[0] || (file.columns[c].type == PARQUET_BYTES &&
                                          is_one_of(file.columns[c].name, picture_names)))
            table = false;
    parquet_close(&file);
    return table;
}

int dataset_read_parquet(const char *path, const struct dataset_options *options,
                         struct dataset *dataset, struct error *error)
{
    if (is_table(path)) return dataset_read_csv(path, NULL, options, dataset, error);
    dataset->full = 255;
    return read_file(path, options, dataset, &dataset->train, error);
}

/* --- a folder of shards --- */

static int is_shard(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strcmp(path_extension(entry->d_name), "parquet") == 0;
}

bool dataset_folder_has_parquet(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_shard, NULL);
    for (int i = 0; i < count; i++) free(entries[i]);
    if (count >= 0) free(entries);
    return count > 0;
}

/* A folder of tables: train.parquet, and test.parquet if there is one. Nothing is done, and 0
 * returned, when what is there is no table. */
static int read_tables(const char *folder, struct dirent **entries, int count,
                       const struct dataset_options *options, struct dataset *dataset,
                       struct error *error)
{
    char *paths[2] = {NULL, NULL};
    int found[2] = {0, 0}, status = 0;
    for (int i = 0; i < count; i++)
        for (int test = 0; test < 2; test++) {
            if (strncmp(entries[i]->d_name, test ? "test" : "train", test ? 4 : 5) != 0) continue;
            if (!found[test]++) paths[test] = path_join(folder, entries[i]->d_name);
        }
    if (paths[0] && is_table(paths[0]))
        status = found[0] > 1 || found[1] > 1
                     ? error_set(error, ERROR_INPUT,
                                 "%s holds a table in several files: save its training part as one "
                                 "train.parquet, and its test part as one test.parquet",
                                 folder)
                     : dataset_read_csv(paths[0], paths[1], options, dataset, error);
    free(paths[0]);
    free(paths[1]);
    return status;
}

/* train-00000-of-00002.parquet and so on, in their order; others are skipped and named. */
int dataset_read_parquet_folder(const char *folder, const struct dataset_options *options,
                                struct dataset *dataset, struct error *error)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_shard, alphasort), status = 0;
    if (count < 0 || count > SHARDS_MAX) {
        for (int i = 0; i < count; i++) free(entries[i]);
        if (count > 0) free(entries);
        return error_set(error, ERROR_INPUT, "%s holds too many Parquet files: the most is %d",
                         folder, SHARDS_MAX);
    }
    status = read_tables(folder, entries, count, options, dataset, error);
    dataset->full = dataset->train.count ? dataset->full : 255;
    for (int pass = dataset->train.count ? 2 : 0; pass < 2; pass++)
        for (int i = 0; i < count && !status; i++) {
            const char *name = entries[i]->d_name;
            bool train = strncmp(name, "train", 5) == 0, test = strncmp(name, "test", 4) == 0;
            if (pass && !train && !test) dataset_skip(dataset, 1, "%.100s", name);
            if (pass ? !test : !train) continue;
            char *path = path_join(folder, name);
            status = !path ? error_set_memory(error, "a path")
                           : read_file(path, options, dataset,
                                       pass ? &dataset->test : &dataset->train, error);
            free(path);
        }
    for (int i = 0; i < count; i++) free(entries[i]);
    free(entries);
    if (!status && !dataset->train.count)
        status = error_set(
            error, ERROR_INPUT,
            "%s holds Parquet files, but none whose name begins with train: name one "
            "of them",
            folder);
    return status;
}
