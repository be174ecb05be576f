/* A folder of pictures: one folder per class, with pictures at any depth; perhaps split into train/
 * and test/ or val/ first. What is no picture is left out and named. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/path.h"
#include "data/dataset_impl.h"
#include "data/picture.h"

#define DEPTH_MAX    16
#define PICTURES_MAX ((size_t)50 << 20)

/* Paths, natural order. */
struct paths {
    char **items; /* owned, and what they point to */
    size_t count, room;
};

struct class
{
    char name[DATASET_NAME_MAX];
    struct paths pictures;
};

/* The classes below one folder. */
struct tree {
    struct class classes[DATASET_MAX_CLASSES];
    uint32_t count;
    size_t total, longest; /* pictures in all, and of the largest class */
};

static void paths_free(struct paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) free(paths->items[i]);
    free(paths->items);
    *paths = (struct paths){0};
}

static void tree_free(struct tree *tree)
{
    if (!tree) return;
    for (uint32_t c = 0; c < tree->count; c++) paths_free(&tree->classes[c].pictures);
    free(tree);
}

/* Takes `path` over. */
static int paths_add(struct paths *paths, char *path, struct error *error)
{
    if (path && paths->count < PICTURES_MAX) {
        size_t room = paths->room ? 2 * paths->room : 64;
        char **items = paths->count < paths->room ? paths->items
                                                  : realloc(paths->items, room * sizeof *items);
        if (items) {
            if (items != paths->items || paths->count == paths->room) paths->room = room;
            paths->items = items;
            paths->items[paths->count++] = path;
            return 0;
        }
    }
    free(path);
    return error_set_memory(error, "the list of pictures");
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* What an archiver or a file manager left. */
static bool is_leftover(const char *name)
{
    static const char *const names[] = {"__MACOSX", "Thumbs.db", "desktop.ini"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcasecmp(name, names[i])) return true;
    return false;
}

/* Calls `visit` with every path in `folder`, in natural order of their names. */
typedef int visit_fn(void *context, const char *path, const char *name, bool is_folder,
                     struct error *error);
static int each_in(const char *folder, visit_fn *visit, void *context, struct error *error)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_visible, versionsort), status = 0;
    if (count < 0) return error_set_errno(error, errno, "cannot read the folder %s", folder);
    for (int i = 0; i < count; i++) {
        char *path = status ? NULL : path_join(folder, entries[i]->d_name);
        if (!status && !path) status = error_set_memory(error, "a path");
        if (path) status = visit(context, path, entries[i]->d_name, file_is_directory(path), error);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* ---- gathering ---- */

struct folder_gathering {
    struct dataset *dataset; /* for its notes */
    struct paths *pictures;
    size_t others; /* files that are no pictures */
    char other[64];
    int depth;
};

static int gather(void *context, const char *path, const char *name, bool is_folder,
                  struct error *error)
{
    struct folder_gathering *gathering = context;
    if (is_leftover(name)) {
        dataset_skip(gathering->dataset, 1, "%.60s", name);
        return 0;
    }
    if (is_folder) {
        if (gathering->depth == DEPTH_MAX)
            return error_set(error, ERROR_INPUT, "%s lies too deep: the most is %d folders", path,
                             DEPTH_MAX);
        gathering->depth++;
        int status = each_in(path, gather, gathering, error);
        gathering->depth--;
        return status;
    }
    if (picture_has_extension(path)) return paths_add(gathering->pictures, strdup(path), error);
    if (!gathering->others++) snprintf(gathering->other, sizeof gathering->other, "%.60s", name);
    return 0;
}

static void note_others(struct dataset *dataset, const struct folder_gathering *gathering)
{
    if (gathering->others == 1)
        dataset_skip(dataset, 1, "%s (not a picture)", gathering->other);
    else
        dataset_skip(dataset, gathering->others, "%zu files that are not pictures, such as %s",
                     gathering->others, gathering->other);
}

struct class_search {
    struct tree *tree;
    struct dataset *dataset;
    struct folder_gathering loose; /* what lies beside the classes */
};

static int add_class(void *context, const char *path, const char *name, bool is_folder,
                     struct error *error)
{
    struct class_search *search = context;
    struct tree *tree = search->tree;
    if (!is_folder || is_leftover(name))
        return gather(&search->loose, path, name, is_folder, error);
    struct paths pictures = {0};
    struct folder_gathering inside = {.dataset = search->dataset, .pictures = &pictures};
    if (each_in(path, gather, &inside, error)) goto fail;
    note_others(search->dataset, &inside);
    if (!pictures.count) {
        dataset_skip(search->dataset, 1, "the folder %.60s (no pictures)", name);
        return 0;
    }
    if (tree->count == DATASET_MAX_CLASSES) {
        error_set(error, ERROR_INPUT, "%s is one class too many: the most is %d", path,
                  DATASET_MAX_CLASSES);
        goto fail;
    }
    if (strlen(name) >= DATASET_NAME_MAX) {
        error_set(error, ERROR_INPUT, "%s: the class's name is too long: the most is %d bytes",
                  path, DATASET_NAME_MAX - 1);
        goto fail;
    }
    struct class *class = &tree->classes[tree->count++];
    snprintf(class->name, sizeof class->name, "%s", name);
    class->pictures = pictures;
    tree->total += pictures.count;
    if (pictures.count > tree->longest) tree->longest = pictures.count;
    return 0;
fail:
    paths_free(&pictures);
    return -1;
}

/* Every folder with pictures in `root` is a class. */
static int find_classes(const char *root, struct dataset *dataset, struct tree **out,
                        struct error *error)
{
    struct paths loose = {0};
    struct tree *tree = calloc(1, sizeof *tree);
    if (!tree) return error_set_memory(error, "the classes");
    struct class_search search = {tree, dataset, {.dataset = dataset, .pictures = &loose}};
    int status = each_in(root, add_class, &search, error);
    if (!status) {
        note_others(dataset, &search.loose);
        dataset_skip(dataset, loose.count, "%zu pictures beside the class folders", loose.count);
    }
    paths_free(&loose);
    if (status) {
        tree_free(tree);
        return -1;
    }
    *out = tree;
    return 0;
}

/* ---- layouts ---- */

struct folder_search {
    const char *const *names; /* wanted, in any case; NULL: the only folder there is */
    char *found;              /* owned */
    size_t folders, pictures;
};

static int look_for(void *context, const char *path, const char *name, bool is_folder,
                    struct error *error)
{
    struct folder_search *search = context;
    if (is_leftover(name)) return 0;
    search->folders += is_folder;
    search->pictures += !is_folder && picture_has_extension(path);
    bool wanted = is_folder && !search->found && !search->names;
    for (const char *const *at = search->names; is_folder && at && *at; at++)
        wanted |= !search->found && !strcasecmp(name, *at);
    if (!wanted) return 0;
    search->found = strdup(path);
    return search->found ? 0 : error_set_memory(error, "a path");
}

/* A folder with one of these names that itself has folders: a split, not a class of that name. *out
 * is malloc'd, or NULL when there is none. */
static int find_split(const char *root, const char *const *names, char **out, struct error *error)
{
    struct folder_search search = {.names = names}, inside = {0};
    *out = NULL;
    if (each_in(root, look_for, &search, error) ||
        (search.found && each_in(search.found, look_for, &inside, error))) {
        free(search.found);
        free(inside.found);
        return -1;
    }
    if (inside.folders)
        *out = search.found;
    else
        free(search.found);
    free(inside.found);
    return 0;
}

/* Where an archive holds everything in one more folder: that one. malloc'd. */
static int descend(const char *root, char **out, struct error *error)
{
    char *at = strdup(root);
    if (!at) return error_set_memory(error, "a path");
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        struct folder_search here = {0}, inside = {0};
        int status = each_in(at, look_for, &here, error);
        if (!status && here.folders == 1 && !here.pictures)
            status = each_in(here.found, look_for, &inside, error);
        bool deeper = !status && inside.folders > 0;
        free(inside.found);
        if (status || !deeper) {
            free(here.found);
            if (!status)
                *out = at;
            else
                free(at);
            return status;
        }
        free(at);
        at = here.found;
    }
    *out = at;
    return 0;
}

/* ---- reading ---- */

/* The commonest size, when there are several. */
struct size_count {
    uint32_t width, height;
    size_t count;
};

#define SIZES_MAX 1024
#define LOOKED_AT 4 /* pictures of a class, for their colors */

static int find_size(const struct tree *tree, struct dataset *dataset, bool *several,
                     struct error *error)
{
    struct size_count *sizes = calloc(SIZES_MAX, sizeof *sizes);
    size_t used = 0;
    int status = sizes ? 0 : error_set_memory(error, "the sizes of the pictures");
    for (uint32_t c = 0; c < tree->count && !status; c++) {
        const struct paths *pictures = &tree->classes[c].pictures;
        for (size_t i = 0; i < pictures->count && !status; i++) {
            uint32_t width, height;
            status = picture_size(pictures->items[i], &width, &height, error);
            if (status) break;
            size_t s = 0;
            while (s < used && (sizes[s].width != width || sizes[s].height != height)) s++;
            if (s == SIZES_MAX) continue;
            if (s == used) sizes[used++] = (struct size_count){width, height, 0};
            sizes[s].count++;
        }
    }
    size_t best = 0;
    for (size_t s = 1; s < used; s++)
        if (sizes[s].count > sizes[best].count) best = s;
    if (!status && used) {
        dataset->rows = sizes[best].height;
        dataset->columns = sizes[best].width;
        *several = used > 1;
    }
    free(sizes);
    return status;
}

struct folder_reading {
    const struct dataset_options *options;
    struct dataset *dataset;
    size_t resized, colored;
};

/* One plane brought to the set's size. */
static void add_plane(const struct folder_reading *reading, const uint8_t *plane,
                      const struct picture *picture, uint8_t *out, struct error *error)
{
    const struct dataset *dataset = reading->dataset;
    const struct input_form *form = reading->options->form;
    bool same = picture->width == dataset->columns && picture->height == dataset->rows;
    bool whole = !form || form->resize || dataset->channels > 1 ||
                 (form->known && form->polarity == POLARITY_UNKNOWN);
    if (same)
        memcpy(out, plane, (size_t)dataset->rows * dataset->columns);
    else if (whole || picture_normalize(plane, picture->width, picture->height, dataset->rows,
                                        dataset->columns, out, error))
        picture_resize(plane, picture->width, picture->height, dataset->rows, dataset->columns,
                       out);
}

static int add_picture(struct folder_reading *reading, const char *path, struct split *split,
                       uint8_t label, struct error *error)
{
    struct dataset *dataset = reading->dataset;
    struct picture picture;
    if (picture_read(path, &picture, error)) return -1;
    size_t map = (size_t)dataset->rows * dataset->columns,
           plane = (size_t)picture.width * picture.height;
    uint8_t *out = split->pixels + split->count * dataset_inputs(dataset);
    for (uint32_t c = 0; c < dataset->channels; c++) {
        bool colored = dataset->channels > 1 && picture.colors;
        add_plane(reading, colored ? picture.colors + c * plane : picture.gray, &picture,
                  out + c * map, error);
    }
    reading->resized += picture.width != dataset->columns || picture.height != dataset->rows;
    reading->colored += picture.color;
    split->labels[split->count++] = label;
    picture_free(&picture);
    return 0;
}

/* Color when most of the pictures looked at, the first few of every class, have any. */
static int find_channels(const struct tree *tree, struct folder_reading *reading,
                         struct error *error)
{
    struct dataset *dataset = reading->dataset;
    size_t looked = 0, colored = 0;
    dataset->channels = reading->options->channels;
    if (dataset->channels) return 0;
    for (uint32_t c = 0; c < tree->count; c++) {
        const struct paths *pictures = &tree->classes[c].pictures;
        for (size_t i = 0; i < pictures->count && i < LOOKED_AT; i++, looked++) {
            struct picture picture;
            if (picture_read(pictures->items[i], &picture, error)) return -1;
            colored += picture.color;
            picture_free(&picture);
        }
    }
    dataset->channels = 2 * colored > looked ? 3 : 1;
    return 0;
}

static int make_room(const char *root, const struct dataset *dataset, size_t count,
                     struct split *split, struct error *error)
{
    if (dataset_check_size(root, dataset->rows, dataset->columns, count * dataset->channels, error))
        return -1;
    split->pixels = dataset_alloc_pixels(count * dataset_inputs(dataset));
    split->labels = malloc(count);
    return split->pixels && split->labels ? 0 : error_set_memory(error, "the pictures");
}

/* Reads the classes in turn, one picture of each, so that the first N of a split hold all classes.
 */
static int read_split(const char *root, const struct tree *tree, const uint8_t *labels,
                      struct folder_reading *reading, struct split *split, struct error *error)
{
    if (make_room(root, reading->dataset, tree->total, split, error)) return -1;
    for (size_t i = 0; i < tree->longest; i++)
        for (uint32_t c = 0; c < tree->count; c++) {
            const struct paths *pictures = &tree->classes[c].pictures;
            if (i < pictures->count &&
                add_picture(reading, pictures->items[i], split, labels[c], error))
                return -1;
        }
    return 0;
}

/* The test classes' places among the training classes, by name. */
static int match_classes(const struct dataset *dataset, const struct tree *test, const char *folder,
                         uint8_t *labels, struct error *error)
{
    for (uint32_t t = 0; t < test->count; t++) {
        const char *name = test->classes[t].name;
        uint32_t c = 0;
        while (c < dataset->classes && strcmp(dataset->class_names[c], name) != 0) c++;
        if (c == dataset->classes)
            return error_set(
                error, ERROR_INPUT,
                "%s/%s has no class of that name in the training pictures: add or rename it",
                folder, name);
        labels[t] = (uint8_t)c;
    }
    return 0;
}

static int no_pictures(const char *root, struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "%s holds no data set: it needs IDX files (train-images-idx3-ubyte and so "
                     "on), a train.csv, or one folder per class with pictures (PNG, JPEG, BMP or "
                     "GIF)",
                     root);
}

static void note_reading(const struct folder_reading *reading)
{
    struct dataset *dataset = reading->dataset;
    if (reading->resized)
        dataset_assume(dataset, "%zu pictures of other sizes brought to %u x %u", reading->resized,
                       dataset->rows, dataset->columns);
    if (reading->colored && dataset->channels == 1)
        dataset_assume(dataset, "%zu color pictures made gray", reading->colored);
    size_t gray = dataset->train.count + dataset->test.count - reading->colored;
    if (gray && dataset->channels > 1)
        dataset_assume(dataset, "%zu gray pictures taken as color", gray);
}

/* A training folder, and perhaps a test folder. */
static int read_folders(const char *train_folder, const char *test_folder,
                        struct folder_reading *reading, struct error *error)
{
    int status = -1;
    struct dataset *dataset = reading->dataset;
    uint8_t labels[DATASET_MAX_CLASSES];
    struct tree *train = NULL, *test = NULL;
    bool several = false;
    if (find_classes(train_folder, dataset, &train, error)) goto out;
    if (!train->total) {
        no_pictures(train_folder, error);
        goto out;
    }
    for (uint32_t c = 0; c < train->count; c++) {
        labels[c] = (uint8_t)c;
        snprintf(dataset->class_names[c], DATASET_NAME_MAX, "%s", train->classes[c].name);
    }
    dataset->classes = train->count;
    if (reading->options->rows && reading->options->columns) {
        dataset->rows = reading->options->rows;
        dataset->columns = reading->options->columns;
    } else if (find_size(train, dataset, &several, error)) {
        goto out;
    }
    dataset->form.resize = several;
    if (find_channels(train, reading, error)) goto out;
    if (read_split(train_folder, train, labels, reading, &dataset->train, error)) goto out;
    if (test_folder) {
        if (find_classes(test_folder, dataset, &test, error) ||
            match_classes(dataset, test, test_folder, labels, error))
            goto out;
        if (test->total && read_split(test_folder, test, labels, reading, &dataset->test, error))
            goto out;
    }
    status = 0;
out:
    tree_free(train);
    tree_free(test);
    return status;
}

/* Pictures at any depth, for prediction: their paths within the folder are their names. */
static int read_unlabeled(const char *folder, struct folder_reading *reading, struct error *error)
{
    struct dataset *dataset = reading->dataset;
    struct paths pictures = {0};
    struct folder_gathering gathering = {.dataset = dataset, .pictures = &pictures};
    int status = -1;
    size_t prefix = strlen(folder);
    while (prefix > 1 && folder[prefix - 1] == '/') prefix--;
    if (each_in(folder, gather, &gathering, error)) goto out;
    note_others(dataset, &gathering);
    if (!pictures.count) {
        error_set(error, ERROR_INPUT, "%s holds no pictures (PNG, JPEG, BMP or GIF)", folder);
        goto out;
    }
    dataset->rows = reading->options->rows;
    dataset->columns = reading->options->columns;
    if (reading->options->channels) dataset->channels = reading->options->channels;
    if (make_room(folder, dataset, pictures.count, &dataset->train, error)) goto out;
    dataset->ids = calloc(pictures.count + 1, sizeof *dataset->ids);
    if (!dataset->ids) {
        error_set_memory(error, "the names of the pictures");
        goto out;
    }
    for (size_t i = 0; i < pictures.count; i++) {
        if (add_picture(reading, pictures.items[i], &dataset->train, 0, error)) goto out;
        const char *name = pictures.items[i] + prefix;
        dataset->ids[i] = strdup(name + strspn(name, "/"));
        if (!dataset->ids[i]) {
            error_set_memory(error, "the names of the pictures");
            goto out;
        }
    }
    status = 0;
out:
    paths_free(&pictures);
    return status;
}

int dataset_read_image_folder(const char *folder, const struct dataset_options *options,
                              struct dataset *dataset, struct error *error)
{
    static const char *const train_names[] = {"train", "training", NULL},
                             *const test_names[] = {"test", "testing", NULL},
                             *const val_names[] = {"val", "valid", "validation", NULL};
    int status = -1;
    struct folder_reading reading = {options, dataset, 0, 0};
    char *root = NULL, *train = NULL, *test = NULL, *val = NULL;
    dataset->full = 255;
    if (options->unlabeled) {
        status = read_unlabeled(folder, &reading, error);
        if (!status) note_reading(&reading);
        return status;
    }
    if (descend(folder, &root, error) || find_split(root, train_names, &train, error) ||
        find_split(root, test_names, &test, error) || find_split(root, val_names, &val, error))
        goto out;
    if (train && test && val) dataset_skip(dataset, 1, "the folder %.60s", path_base(val));
    status = train ? read_folders(train, test ? test : val, &reading, error)
                   : read_folders(root, NULL, &reading, error);
    if (!status) note_reading(&reading);
out:
    free(root);
    free(train);
    free(test);
    free(val);
    return status;
}
