#include "data/dataset.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/large.h"
#include "base/path.h"
#include "data/choices.h"
#include "data/dataset_impl.h"
#include "data/digits.h"

/* The known sets. `folders` are tried in this order below a data folder; the second is where
 * torchvision puts them. */
#define ENTRY_DIGITS .rows = 28, .columns = 28, .channels = 1, .train = 60000, .test = 10000
static const struct dataset_entry entries[] = {
    {.name = "synthetic",
     .title = "Built-in synthetic digits",
     .built_in = true,
     ENTRY_DIGITS,
     .class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}},
    {.name = "mnist",
     .title = "MNIST",
     .folders = {"mnist", "MNIST/raw"},
     ENTRY_DIGITS,
     .class_names = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}},
    {.name = "fashion-mnist",
     .title = "Fashion-MNIST",
     .folders = {"fashion-mnist", "FashionMNIST/raw"},
     ENTRY_DIGITS,
     .class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                     "Sneaker", "Bag", "Ankle boot"}},
    {.name = "cifar-10",
     .title = "CIFAR-10",
     .folders = {"cifar-10", "cifar-10-batches-bin"},
     .cifar = true,
     .rows = 32,
     .columns = 32,
     .channels = 3,
     .train = 50000,
     .test = 10000,
     .class_names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse",
                     "ship", "truck"}},
};

const struct dataset_entry *dataset_list(size_t *count)
{
    *count = sizeof entries / sizeof entries[0];
    return entries;
}

const struct dataset_entry *dataset_find(const char *name)
{
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        if (!strcmp(entries[i].name, name)) return &entries[i];
    return NULL;
}

size_t dataset_inputs(const struct dataset *dataset)
{
    return (size_t)dataset->rows * dataset->columns * dataset->channels;
}

uint8_t *dataset_alloc_pixels(size_t bytes)
{
    return large_alloc(bytes);
}

int dataset_check_size(const char *what, uint64_t rows, uint64_t columns, uint64_t count,
                       struct error *error)
{
    if (rows < 1 || rows > DATASET_MAX_SIDE || columns < 1 || columns > DATASET_MAX_SIDE)
        return error_set(error, ERROR_INPUT,
                         "%s has images of %llu x %llu pixels: each side must be 1 to %d", what,
                         (unsigned long long)rows, (unsigned long long)columns, DATASET_MAX_SIDE);
    if (count < 1)
        return error_set(error, ERROR_INPUT, "%s holds no samples: give a file with some", what);
    if (count > DATASET_MAX_BYTES / (rows * columns))
        return error_set(
            error, ERROR_INPUT,
            "%s is too large: %llu samples of %llu x %llu pixels, the most is %zu bytes", what,
            (unsigned long long)count, (unsigned long long)rows, (unsigned long long)columns,
            DATASET_MAX_BYTES);
    return 0;
}

void dataset_close(struct dataset *dataset)
{
    if (!dataset) return;
    free(dataset->train.pixels);
    free(dataset->train.labels);
    free(dataset->test.pixels);
    free(dataset->test.labels);
    for (size_t i = 0; dataset->ids && i < dataset->train.count; i++) free(dataset->ids[i]);
    free(dataset->ids);
    free(dataset);
}

/* Of every class the last seventh (MNIST's proportion) becomes the test split: so sorted files do
 * well too. */
static int split_off_test(struct dataset *dataset, struct error *error)
{
    size_t image = dataset_inputs(dataset), left[DATASET_MAX_CLASSES] = {0}, kept = 0;
    struct split *train = &dataset->train, *test = &dataset->test;
    if (train->count < 2)
        return error_set(error, ERROR_INPUT,
                         "%s holds one sample only: give at least 2, one to train and one to test",
                         dataset->source);
    for (size_t i = 0; i < train->count; i++) left[train->labels[i]]++;
    size_t wanted = 0;
    for (size_t c = 0; c < DATASET_MAX_CLASSES; c++) wanted += left[c] / 7;
    bool tiny = wanted == 0; /* fewer than 7 of each: the last sample alone */
    if (tiny) wanted = 1;
    test->pixels = dataset_alloc_pixels(wanted * image);
    test->labels = malloc(wanted);
    if (!test->pixels || !test->labels) return error_set_memory(error, "the test samples");
    size_t sevenths[DATASET_MAX_CLASSES];
    for (size_t c = 0; c < DATASET_MAX_CLASSES; c++) sevenths[c] = left[c] / 7;
    for (size_t i = 0; i < train->count; i++) {
        uint8_t label = train->labels[i];
        bool tested = tiny ? i == train->count - 1 : left[label] <= sevenths[label];
        struct split *to = tested ? test : train;
        size_t *place = tested ? &test->count : &kept;
        left[label]--;
        memmove(to->pixels + *place * image, train->pixels + i * image, image);
        to->labels[(*place)++] = label;
    }
    train->count = kept;
    return 0;
}

static int check_labels(const char *split_name, const struct split *split, uint32_t classes,
                        const char *source, struct error *error)
{
    for (size_t i = 0; i < split->count; i++)
        if (split->labels[i] >= classes)
            return error_set(error, ERROR_INPUT,
                             "%s: label %u of %s sample %zu (counted from 0) is out of range: "
                             "labels here go from 0 to %u",
                             source, split->labels[i], split_name, i, classes - 1);
    return 0;
}

/* Classes of a set that does not name them: the labels that occur in training, named by their
 * number. When most of the numbers up to the largest never occur, the largest is taken for an error
 * in the file rather than for a class. */
static int find_classes(struct dataset *dataset, struct error *error)
{
    size_t seen[DATASET_MAX_CLASSES] = {0}, where = 0;
    uint32_t largest = 0, distinct = 0;
    for (size_t i = 0; i < dataset->train.count; i++) {
        uint8_t label = dataset->train.labels[i];
        distinct += !seen[label]++;
        if (label > largest) {
            largest = label;
            where = i;
        }
    }
    if (largest >= 10 && distinct * 2 < largest + 1)
        return error_set(error, ERROR_INPUT,
                         "%s: label %u of training sample %zu (counted from 0) is out of range: "
                         "only %u different labels occur, number them from 0",
                         dataset->source, largest, where, distinct);
    uint8_t place[DATASET_MAX_CLASSES] = {0};
    for (uint32_t label = 0; label <= largest; label++) {
        if (!seen[label]) continue;
        place[label] = (uint8_t)dataset->classes;
        snprintf(dataset->class_names[dataset->classes++], DATASET_NAME_MAX, "%u", label);
    }
    if (distinct > 1 && distinct < largest + 1)
        dataset_assume(dataset, "%u classes from \"%s\" to \"%u\": the other numbers do not occur",
                       distinct, dataset->class_names[0], largest);
    for (size_t i = 0; i < dataset->train.count; i++)
        dataset->train.labels[i] = place[dataset->train.labels[i]];
    for (size_t i = 0; i < dataset->test.count; i++) {
        uint8_t label = dataset->test.labels[i];
        if (!seen[label])
            return error_set(error, ERROR_INPUT,
                             "%s: label %u of test sample %zu (counted from 0) is out of range: no "
                             "training sample has it",
                             dataset->source, label, i);
        dataset->test.labels[i] = place[label];
    }
    return 0;
}

static bool is_fraction(const char *name)
{
    char *end;
    double value = strtod(name, &end);
    return end > name && !*end && value != floor(value);
}

/* A column in which nearly every line has a value of its own says no classes: it holds measurements
 * or names. Numbers that are not whole may be classes, which is said. */
static int check_label_column(struct dataset *dataset, struct error *error)
{
    bool fractions = false;
    if (dataset->classes > 10 && (size_t)dataset->classes * 2 > dataset->train.count)
        return error_set(
            error, ERROR_INPUT,
            "%s: the column \"%s\" has %u different values in %zu samples, which are no "
            "classes: name the column of the classes with --label-column",
            dataset->source, dataset->label_column, dataset->classes, dataset->train.count);
    for (uint32_t c = 0; c < dataset->classes; c++)
        fractions = fractions || is_fraction(dataset->class_names[c]);
    if (fractions)
        dataset_assume(dataset, "each number in the column \"%s\" is a class, not a measurement",
                       dataset->label_column);
    return 0;
}

/* What every freshly read set goes through: classes that fit the labels, a test split, what the
 * values mean, the limit. */
static int settle(struct dataset *dataset, const struct dataset_options *options,
                  struct error *error)
{
    if (options->label_column && !dataset->label_column[0] && !options->unlabeled)
        return error_set(error, ERROR_INPUT,
                         "%s has no columns, as only CSV files do: leave the label column out",
                         dataset->title);
    if (!dataset->classes && !options->unlabeled && find_classes(dataset, error)) return -1;
    if (dataset->label_column[0] && !options->unlabeled && check_label_column(dataset, error))
        return -1;
    if (dataset->classes == 1) { /* a network has two outputs at least */
        dataset->classes = 2;
        snprintf(dataset->class_names[1], DATASET_NAME_MAX, "%s",
                 strcmp(dataset->class_names[0], "1") != 0 ? "1" : "0");
        dataset_assume(dataset, "all samples are of one class, \"%s\"", dataset->class_names[0]);
    }
    if (!options->unlabeled) {
        if (!dataset->test.count && split_off_test(dataset, error)) return -1;
        if (check_labels("training", &dataset->train, dataset->classes, dataset->source, error) ||
            check_labels("test", &dataset->test, dataset->classes, dataset->source, error))
            return -1;
    }
    if (dataset_find_form(dataset, options, error)) return -1;
    return dataset_keep_part(dataset, options->limit, error);
}

static void name_by_path(struct dataset *dataset, const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    size_t start = length;
    while (start > 0 && path[start - 1] != '/') start--;
    snprintf(dataset->name, sizeof dataset->name, "%.*s", (int)(length - start), path + start);
    snprintf(dataset->title, sizeof dataset->title, "%s", dataset->name);
}

/* The file in `folder` whose name ends in `ending`, malloc'd; NULL when there is none. */
static char *find_ending(const char *folder, const char *ending)
{
    char *found = NULL;
    DIR *directory = opendir(folder);
    if (!directory) return NULL;
    for (struct dirent *entry; !found && (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name), wanted = strlen(ending);
        if (entry->d_name[0] != '.' && length >= wanted &&
            !strcasecmp(entry->d_name + length - wanted, ending))
            found = path_join(folder, entry->d_name);
    }
    closedir(directory);
    return found;
}

static void name_classes(struct dataset *dataset, const struct dataset_entry *entry)
{
    dataset->classes = DATASET_KNOWN_CLASSES;
    for (size_t c = 0; c < DATASET_KNOWN_CLASSES; c++)
        snprintf(dataset->class_names[c], sizeof dataset->class_names[c], "%s",
                 entry->class_names[c]);
}

static int read_folder(const char *folder, const struct dataset_options *options,
                       struct dataset *dataset, struct error *error)
{
    if (dataset_folder_has_idx(folder)) return dataset_read_idx_folder(folder, 0, dataset, error);
    if (dataset_folder_has_parquet(folder))
        return dataset_read_parquet_folder(folder, options, dataset, error);
    if (dataset_folder_has_cifar(folder)) {
        name_classes(dataset, dataset_find("cifar-10"));
        return dataset_read_cifar(folder, dataset, error);
    }
    char *train = find_ending(folder, "train.csv"),
         *test = train ? find_ending(folder, "test.csv") : NULL,
         *array = train ? NULL : find_ending(folder, ".npy");
    int status = train   ? dataset_read_csv(train, test, options, dataset, error)
                 : array ? dataset_read_npy(array, options, dataset, error)
                         : dataset_read_image_folder(folder, options, dataset, error);
    free(train);
    free(test);
    free(array);
    return status;
}

static int read_csv(const char *path, const struct dataset_options *options,
                    struct dataset *dataset, struct error *error)
{
    return dataset_read_csv(path, NULL, options, dataset, error);
}

static int refuse(const char *path, const struct dataset_options *options, struct dataset *dataset,
                  struct error *error);

/* Files by the ending of their name; `instead` tells the way out where none is read. */
static const struct file_kind {
    const char *extension;
    int (*read)(const char *path, const struct dataset_options *options, struct dataset *dataset,
                struct error *error);
    const char *instead;
    /* clang-format off */
} file_kinds[] = {
    {"csv", read_csv, NULL},
    {"tsv", read_csv, NULL},
    {"npz", dataset_read_npz, NULL},
    {"npy", dataset_read_npy, NULL},
    {"parquet", dataset_read_parquet, NULL},
    {"zip", refuse, "is a zip archive: unpack it and give the folder"},
    {"tar", refuse, "is a tar archive: unpack it and give the folder"},
    {"tgz", refuse, "is a tar archive: unpack it and give the folder"},
    {"mat", refuse, "is a MATLAB file: save its pictures and labels as CSV or .npz"},
    {"pt", refuse, "is a PyTorch file: save its pictures and labels as .npz (numpy.savez)"},
    {"pkl", refuse, "is a Python pickle, which can run programs when opened: save the data as CSV "
                    "or .npz"},
    {"xlsx", refuse, "is a spreadsheet: save it as CSV"},
    {"bin", refuse, "is one file of several, perhaps CIFAR-10's: give the folder that holds them"},
    {"json", refuse, "is a JSON file: save the data as CSV, one sample per line"},
};
/* clang-format on */

static const struct file_kind *file_kind_of(const char *path)
{
    for (size_t i = 0; i < sizeof file_kinds / sizeof file_kinds[0]; i++)
        if (!strcasecmp(path_extension(path), file_kinds[i].extension)) return &file_kinds[i];
    return NULL;
}

static int refuse(const char *path, const struct dataset_options *options, struct dataset *dataset,
                  struct error *error)
{
    (void)options;
    (void)dataset;
    return error_set(error, ERROR_INPUT, "%s %s", path, file_kind_of(path)->instead);
}

static int read_path(const char *path, const struct dataset_options *options,
                     struct dataset *dataset, struct error *error)
{
    if ((size_t)snprintf(dataset->source, sizeof dataset->source, "%s", path) >=
        sizeof dataset->source)
        return error_set(error, ERROR_INPUT,
                         "the path of the data is too long: the most is %zu bytes",
                         sizeof dataset->source - 1);
    name_by_path(dataset, path);
    if (file_is_directory(path)) return read_folder(path, options, dataset, error);
    const struct file_kind *kind = file_kind_of(path);
    return kind ? kind->read(path, options, dataset, error)
                : dataset_read_idx_file(path, dataset, error);
}

int dataset_locate(const struct dataset_entry *entry, const struct dataset_options *options,
                   char **folder, struct error *error)
{
    const char *const places[] = {options->data_dir, options->home};
    for (size_t p = 0; p < 2; p++) {
        for (size_t f = 0; places[p] && f < 2 && entry->folders[f]; f++) {
            if (asprintf(folder, "%s%s/%s", places[p], p ? "/data" : "", entry->folders[f]) < 0)
                return error_set_memory(error, "a path");
            if (entry->cifar ? dataset_folder_has_cifar(*folder) : dataset_folder_has_idx(*folder))
                return 0;
            free(*folder);
        }
    }
    *folder = NULL;
    return error_set(error, ERROR_NOT_FOUND,
                     "%s is not here: fetch it with `nnstudio data fetch %s`, or give --data-dir "
                     "DIR, or use --dataset "
                     "synthetic",
                     entry->title, entry->name);
}

static int draw_split(uint64_t first, size_t count, uint32_t limit, struct split *split,
                      struct error *error)
{
    split->count = limit && limit < count ? limit : count;
    split->pixels = dataset_alloc_pixels(split->count * DIGITS_SIDE * DIGITS_SIDE);
    split->labels = malloc(split->count);
    if (!split->pixels || !split->labels) return error_set_memory(error, "the built-in digits");
    digits_draw(DIGITS_SEED, first, split->count, 0, split->pixels, split->labels);
    return 0;
}

static int draw_built_in(uint32_t limit, struct dataset *dataset, struct error *error)
{
    dataset->synthetic = true;
    dataset->rows = dataset->columns = DIGITS_SIDE;
    if (draw_split(0, DIGITS_TRAIN, limit, &dataset->train, error)) return -1;
    return draw_split(DIGITS_TRAIN, DIGITS_TEST, limit, &dataset->test, error);
}

static int open_entry(const struct dataset_entry *entry, const struct dataset_options *options,
                      struct dataset *dataset, struct error *error)
{
    name_classes(dataset, entry);
    dataset->known = true;
    dataset->full = 255;
    if (entry->built_in) return draw_built_in(options->limit, dataset, error);
    char *folder;
    if (dataset_locate(entry, options, &folder, error)) return -1;
    snprintf(dataset->source, sizeof dataset->source, "%s", folder);
    int status = entry->cifar ? dataset_read_cifar(folder, dataset, error)
                              : dataset_read_idx_folder(folder, options->limit, dataset, error);
    if (!status && (dataset->rows != entry->rows || dataset->columns != entry->columns))
        status = error_set(
            error, ERROR_INPUT,
            "%s has images of %u x %u pixels, but those of %s are %u x %u: give the right "
            "files",
            folder, dataset->rows, dataset->columns, entry->title, entry->rows, entry->columns);
    free(folder);
    return status;
}

static int open_path(const char *name, const struct dataset_options *options,
                     struct dataset *dataset, struct error *error)
{
    char *path = NULL;
    if (!file_exists(name) && options->data_dir) {
        path = path_join(options->data_dir, name);
        if (!path) return error_set_memory(error, "a path");
    }
    int status;
    if (file_exists(path ? path : name))
        status = read_path(path ? path : name, options, dataset, error);
    else
        status = error_set(
            error, ERROR_NOT_FOUND,
            "no data set is called \"%s\" and no file or folder either: take synthetic, mnist, "
            "fashion-mnist, cifar-10, or the path of a folder or file",
            name);
    free(path);
    return status;
}

/* What was said when the data was kept counts where nothing is said now. */
static int follow_choices(const char *path, struct dataset_choices *kept,
                          struct dataset_options *options, struct dataset *dataset,
                          struct error *error)
{
    if (dataset_choices_read(path, kept, error)) return -1;
    if (kept->label_column[0] && !options->label_column) {
        options->label_column = kept->label_column;
        dataset_assume(dataset, "label column \"%s\", as was said when the data was kept",
                       kept->label_column);
    }
    if (kept->scale != 0 && options->scale == 0 && !options->form) { /* a model has its own */
        options->scale = kept->scale;
        dataset_assume(dataset, "scale %g, as was said when the data was kept", kept->scale);
    }
    return 0;
}

int dataset_open(const char *name, const struct dataset_options *options, struct dataset **out,
                 struct error *error)
{
    struct dataset_options said = *options;
    struct dataset_choices kept;
    struct dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) return error_set_memory(error, "a data set");
    dataset->channels = 1; /* until a reader says otherwise */
    const struct dataset_entry *entry = dataset_find(name);
    int status;
    if (entry) {
        snprintf(dataset->name, sizeof dataset->name, "%s", entry->name);
        snprintf(dataset->title, sizeof dataset->title, "%s", entry->title);
        status = open_entry(entry, options, dataset, error);
    } else {
        status = follow_choices(name, &kept, &said, dataset, error);
        if (!status) status = open_path(name, &said, dataset, error);
    }
    if (!status) status = settle(dataset, &said, error);
    if (status) {
        dataset_close(dataset);
        return -1;
    }
    *out = dataset;
    return 0;
}
