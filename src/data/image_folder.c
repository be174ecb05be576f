/* A folder of PNG pictures, one folder a class; perhaps split into train/ and test/ first. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/path.h"
#include "data/dataset_impl.h"
#include "data/picture.h"

/* Sorted names in a folder. */
struct names {
    struct dirent **entries;
    int count;
};

static void names_free(struct names *names)
{
    for (int i = 0; i < names->count; i++) free(names->entries[i]);
    free(names->entries);
    *names = (struct names){0};
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int is_png(const struct dirent *entry)
{
    return is_visible(entry) && !strcasecmp(path_extension(entry->d_name), "png");
}

/* Names in natural order, so that 2.png comes before 10.png. */
static int names_read(const char *folder, int (*filter)(const struct dirent *), struct names *names,
                      struct error *error)
{
    names->count = scandir(folder, &names->entries, filter, versionsort);
    if (names->count >= 0) return 0;
    *names = (struct names){0};
    return error_set(error, ERROR_IO, "cannot read the folder %s", folder);
}

struct classes {
    char *folders[DATASET_MAX_CLASSES];         /* owned */
    struct names pictures[DATASET_MAX_CLASSES]; /* of each class */
    const char *names[DATASET_MAX_CLASSES];     /* within folders */
    uint32_t count;
    size_t total, longest; /* pictures in all, and of the largest class */
};

static void classes_free(struct classes *classes)
{
    for (uint32_t c = 0; c < classes->count; c++) {
        free(classes->folders[c]);
        names_free(&classes->pictures[c]);
    }
}

static int add_class(struct classes *classes, char *folder, struct error *error)
{
    if (classes->count == DATASET_MAX_CLASSES) {
        error_set(error, ERROR_INPUT, "%s is one class too many: the most is %d", folder,
                  DATASET_MAX_CLASSES);
        free(folder);
        return -1;
    }
    uint32_t c = classes->count++;
    classes->folders[c] = folder;
    classes->names[c] = path_base(folder);
    if (names_read(folder, is_png, &classes->pictures[c], error)) return -1;
    size_t had = (size_t)classes->pictures[c].count;
    classes->total += had;
    if (had > classes->longest) classes->longest = had;
    return 0;
}

/* Every folder in `root` is a class. */
static int find_classes(const char *root, struct classes *classes, struct error *error)
{
    struct names names;
    int status = 0;
    if (names_read(root, is_visible, &names, error)) return -1;
    for (int i = 0; i < names.count && !status; i++) {
        char *folder = path_join(root, names.entries[i]->d_name);
        if (!folder)
            status = error_set_memory(error, "a path");
        else if (file_is_directory(folder))
            status = add_class(classes, folder, error);
        else
            free(folder);
    }
    names_free(&names);
    if (!status && !classes->total)
        status = error_set(error, ERROR_INPUT,
                           "%s holds no data set: it needs IDX files (train-images-idx3-ubyte and "
                           "so on), a train.csv, "
                           "or one folder a class with PNG pictures",
                           root);
    return status;
}

static int add_picture(const char *path, struct dataset *dataset, struct split *split, size_t total,
                       uint8_t label, struct error *error)
{
    struct picture picture;
    if (picture_read_png(path, &picture, error)) return -1;
    int status = 0;
    size_t image = (size_t)picture.width * picture.height;
    if (!dataset->rows) {
        dataset->rows = picture.height;
        dataset->columns = picture.width;
    }
    if (picture.height != dataset->rows || picture.width != dataset->columns)
        status = error_set(
            error, ERROR_INPUT,
            "%s is %u x %u pixels, the pictures before it %u x %u: all must be of one size", path,
            picture.height, picture.width, dataset->rows, dataset->columns);
    else if (!split->pixels)
        status = dataset_check_size(path, dataset->rows, dataset->columns, total, error);
    if (!status && !split->pixels) {
        split->pixels = dataset_alloc_pixels(total * image);
        if (!split->pixels) status = error_set_memory(error, "the pictures");
    }
    if (!status) {
        memcpy(split->pixels + split->count * image, picture.grey, image);
        split->labels[split->count++] = label;
    }
    picture_free(&picture);
    return status;
}

/* Reads the classes in turn, one picture of each, so that the first N of a split hold all classes.
 */
static int read_split(const struct classes *classes, const uint8_t *labels, struct dataset *dataset,
                      struct split *split, struct error *error)
{
    split->labels = malloc(classes->total);
    if (!split->labels) return error_set_memory(error, "the labels");
    for (size_t i = 0; i < classes->longest; i++) {
        for (uint32_t c = 0; c < classes->count; c++) {
            if (i >= (size_t)classes->pictures[c].count) continue;
            char *path = path_join(classes->folders[c], classes->pictures[c].entries[i]->d_name);
            if (!path) return error_set_memory(error, "a path");
            int status = add_picture(path, dataset, split, classes->total, labels[c], error);
            free(path);
            if (status) return -1;
        }
    }
    return 0;
}

/* The test classes' places among the training classes, by name. */
static int match_classes(const struct classes *train, const struct classes *test, uint8_t *labels,
                         struct error *error)
{
    for (uint32_t t = 0; t < test->count; t++) {
        uint32_t c = 0;
        while (c < train->count && strcmp(train->names[c], test->names[t]) != 0) c++;
        if (c == train->count)
            return error_set(
                error, ERROR_INPUT,
                "%s has no class of that name in the training pictures: add or rename it",
                test->folders[t]);
        labels[t] = (uint8_t)c;
    }
    return 0;
}

/* folder/name for the first of `names` that is a folder, malloc'd, or NULL. */
static char *find_folder(const char *folder, const char *const *names)
{
    for (; *names; names++) {
        char *path = path_join(folder, *names);
        if (path && file_is_directory(path)) return path;
        free(path);
    }
    return NULL;
}

int dataset_read_image_folder(const char *folder, struct dataset *dataset, struct error *error)
{
    static const char *const train_names[] = {"train", "training", NULL}, *const test_names[] = {
                                                                              "test", "testing",
                                                                              NULL};
    int status = -1;
    uint8_t labels[DATASET_MAX_CLASSES];
    char *train_folder = find_folder(folder, train_names),
         *test_folder = find_folder(folder, test_names);
    struct classes *train = calloc(1, sizeof *train), *test = calloc(1, sizeof *test);
    if (!train || !test) {
        error_set_memory(error, "the classes");
        goto out;
    }
    bool split = train_folder && test_folder;
    if (find_classes(split ? train_folder : folder, train, error)) goto out;
    for (uint32_t c = 0; c < train->count; c++) {
        labels[c] = (uint8_t)c;
        snprintf(dataset->class_names[c], sizeof dataset->class_names[c], "%s", train->names[c]);
    }
    dataset->classes = train->count < 2 ? 2 : train->count;
    if (read_split(train, labels, dataset, &dataset->train, error)) goto out;
    if (split) {
        if (find_classes(test_folder, test, error)) goto out;
        if (match_classes(train, test, labels, error)) goto out;
        if (read_split(test, labels, dataset, &dataset->test, error)) goto out;
    }
    status = 0;
out:
    if (train) classes_free(train);
    if (test) classes_free(test);
    free(train);
    free(test);
    free(train_folder);
    free(test_folder);
    return status;
}
