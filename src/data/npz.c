/* NumPy arrays found by the usual names: in a zip archive (.npz), or as .npy files in a folder. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#include "base/file.h"
#include "base/path.h"
#include "data/dataset_impl.h"
#include "data/npy.h"

static const char *const train_images[] = {
    "x_train", "X_train", "train_images", "train_x", "train_data", "images",
    "x",       "X",       "data",         NULL};
static const char *const train_labels[] = {
    "y_train", "Y_train", "train_labels", "train_y", "labels", "y", "target", "Y", NULL};
static const char *const test_images[] = {"x_test", "X_test",    "test_images",
                                          "test_x", "test_data", NULL};
static const char *const test_labels[] = {"y_test", "Y_test", "test_labels", "test_y", NULL};

/* Where arrays are found by name: an archive's members, or files in a folder, all of whose names
 * may begin alike ("mnist-x_train.npy"). */
struct npz_source {
    const char *path; /* for messages */
    zip_t *archive;   /* NULL: a folder */
    char *folder;
    char prefix[NPY_NAME_MAX / 2];
};

static long long read_member(void *context, void *out, size_t size)
{
    return zip_fread(context, out, size);
}

static int read_from_archive(const struct npz_source *source, zip_uint64_t index,
                             struct npy_array *array, struct error *error)
{
    zip_stat_t info;
    zip_file_t *file = NULL;
    if (zip_stat_index(source->archive, index, 0, &info) || !(info.valid & ZIP_STAT_SIZE) ||
        !(file = zip_fopen_index(source->archive, index, 0)))
        return npy_unusable(source->path, array, "cannot be opened: save the file again", error);
    const struct npy_stream stream = {read_member, file, info.size};
    int status = npy_read(source->path, &stream, array, error);
    zip_fclose(file);
    return status;
}

static long long read_file(void *context, void *out, size_t size)
{
    return ferror((FILE *)context) ? -1 : (long long)fread(out, 1, size, context);
}

static int read_from_file(const char *path, struct npy_array *array, struct error *error)
{
    struct stat info;
    FILE *file = fopen(path, "rbe");
    if (!file) return error_set_errno(error, errno, "cannot open %s", path);
    int status = -1;
    if (fstat(fileno(file), &info) || !S_ISREG(info.st_mode)) {
        error_set(error, ERROR_INPUT, "%s is not a regular file: give one", path);
    } else {
        const struct npy_stream stream = {read_file, file, (uint64_t)info.st_size};
        status = npy_read(path, &stream, array, error);
    }
    fclose(file);
    return status;
}

/* 1 when there is one of these names and it was read, 0 when not, -1 on an error. */
static int find_array(const struct npz_source *source, const char *const *names,
                      struct npy_array *array, struct error *error)
{
    *array = (struct npy_array){0};
    for (; *names; names++) {
        char member[2 * NPY_NAME_MAX];
        snprintf(array->name, sizeof array->name, "%s%s", source->prefix, *names);
        snprintf(member, sizeof member, "%s.npy", array->name);
        if (source->archive) {
            zip_int64_t index = zip_name_locate(source->archive, member, 0);
            if (index < 0) continue;
            return read_from_archive(source, (zip_uint64_t)index, array, error) ? -1 : 1;
        }
        char *path = path_join(source->folder, member);
        if (!path) return error_set_memory(error, "a path");
        int found = !file_exists(path) ? 0 : read_from_file(path, array, error) ? -1 : 1;
        free(path);
        if (found) return found;
    }
    return 0;
}

static int take_labels(const char *path, const struct npy_array *array, struct split *split,
                       struct error *error)
{
    if (array->count != array->shape[0])
        return npy_unusable(path, array,
                            "must hold one number per sample (numpy.argmax(y, axis=1) of one-hot "
                            "labels)",
                            error);
    split->count = array->count;
    split->labels = malloc(array->count);
    if (!split->labels) return error_set_memory(error, "the labels");
    for (size_t i = 0; i < array->count; i++) {
        double label = npy_number(array, i);
        if (!(label >= 0 && label <= 255) || label != (double)(uint8_t)label)
            return error_set(error, ERROR_INPUT,
                             "%s: label %g of sample %zu (counted from 0) is out of range: labels "
                             "are whole numbers from 0 to 255",
                             path, label, i);
        split->labels[i] = (uint8_t)label;
    }
    return 0;
}

static int take_bytes(const struct npy_array *array, struct split *split, struct error *error)
{
    split->pixels = dataset_alloc_pixels(array->count);
    if (!split->pixels) return error_set_memory(error, "the pictures");
    for (size_t i = 0; i < array->count; i++)
        split->pixels[i] = array->size == 1 ? array->values[i] : (uint8_t)npy_number(array, i);
    return 0;
}

static int check_pair(const char *path, const struct npy_array *images,
                      const struct npy_array *labels, struct error *error)
{
    if (images->shape[0] == labels->shape[0]) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s: \"%s\" has %zu samples but \"%s\" has %zu: they are not a pair", path,
                     images->name, images->shape[0], labels->name, labels->shape[0]);
}

/* The pictures' form, from the array's shape. */
static int take_images(const char *path, const struct npy_array *images, struct dataset *dataset,
                       struct error *error)
{
    if (images->rank < 2 || (images->rank == 4 && images->shape[3] != 1 && images->shape[3] != 3))
        return npy_unusable(
            path, images,
            "must be of shape (samples, rows, columns), (samples, rows, columns, 3) "
            "or (samples, pixels)",
            error);
    if (images->rank == 2)
        dataset_guess_sides(images->shape[1], dataset);
    else {
        dataset->rows = images->shape[1] > UINT32_MAX ? 0 : (uint32_t)images->shape[1];
        dataset->columns = images->shape[2] > UINT32_MAX ? 0 : (uint32_t)images->shape[2];
        if (images->rank == 4) dataset->channels = (uint32_t)images->shape[3];
    }
    return dataset_check_size(path, dataset->rows, dataset->columns,
                              (uint64_t)images->shape[0] * dataset->channels, error);
}

/* [rows, columns, channels], as NumPy has a picture, to [channels, rows, columns]. */
static int part_channels(struct dataset *dataset, struct error *error)
{
    struct split *const splits[] = {&dataset->train, &dataset->test};
    size_t image = dataset_inputs(dataset), channels = dataset->channels, map = image / channels;
    if (channels == 1) return 0;
    uint8_t *mixed = malloc(image);
    if (!mixed) return error_set_memory(error, "a picture");
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < splits[s]->count && splits[s]->pixels; i++) {
            uint8_t *pixels = splits[s]->pixels + i * image;
            memcpy(mixed, pixels, image);
            for (size_t p = 0; p < image; p++) pixels[p % channels * map + p / channels] = mixed[p];
        }
    free(mixed);
    return 0;
}

/* The numbers of one split or two (`test` may be NULL), as bytes if all of them are. */
static int take_values(const char *path, const struct npy_array *train,
                       const struct npy_array *test, struct dataset *dataset, struct error *error)
{
    if (npy_is_bytes(train) && (!test || npy_is_bytes(test)))
        return take_bytes(train, &dataset->train, error) ||
                       (test && take_bytes(test, &dataset->test, error)) ||
                       part_channels(dataset, error)
                   ? -1
                   : 0;
    float *first = npy_floats(train), *second = test ? npy_floats(test) : NULL;
    int status = -1;
    if (!first || (test && !second))
        error_set_memory(error, "the numbers");
    else
        status = dataset_take_numbers(dataset, path, first, second, error) ||
                         part_channels(dataset, error)
                     ? -1
                     : 0;
    free(first);
    free(second);
    return status;
}

/* x and y of one split or two. */
static int take_arrays(const char *path, const struct npy_array *x, const struct npy_array *y,
                       bool has_test, struct dataset *dataset, struct error *error)
{
    struct split *const splits[] = {&dataset->train, &dataset->test};
    for (size_t s = 0; s < (has_test ? 2 : 1); s++)
        if (take_images(path, &x[s], dataset, error) || check_pair(path, &x[s], &y[s], error) ||
            take_labels(path, &y[s], splits[s], error))
            return -1;
    if (has_test && x[0].count / x[0].shape[0] != x[1].count / x[1].shape[0])
        return error_set(error, ERROR_INPUT,
                         "%s: \"%s\" and \"%s\" are of different sizes: both splits must be of one",
                         path, x[0].name, x[1].name);
    if (take_images(path, &x[0], dataset, error)) return -1;
    return take_values(path, &x[0], has_test ? &x[1] : NULL, dataset, error);
}

static int no_arrays(const struct npz_source *source, struct error *error)
{
    char names[200] = "";
    size_t length = 0;
    if (!source->archive)
        return error_set(error, ERROR_INPUT,
                         "%s is one of two arrays, and the other is not beside it: save the "
                         "pictures as %sx_train.npy and the labels as %sy_train.npy",
                         source->path, source->prefix, source->prefix);
    zip_int64_t count = zip_get_num_entries(source->archive, 0);
    for (zip_int64_t i = 0; i < count && length < sizeof names - 40; i++) {
        const char *name = zip_get_name(source->archive, (zip_uint64_t)i, 0);
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%.30s",
                                   length ? ", " : "", name ? name : "?");
    }
    return error_set(error, ERROR_INPUT,
                     "%s has no arrays x_train and y_train (it holds %s): save pictures and labels "
                     "under these names",
                     source->path, length ? names : "nothing");
}

static int read_source(const struct npz_source *source, struct dataset *dataset,
                       struct error *error)
{
    int status = -1;
    struct npy_array x[2] = {0}, y[2] = {0};
    int found = find_array(source, train_images, &x[0], error);
    if (found < 0) goto out;
    int labeled = found ? find_array(source, train_labels, &y[0], error) : 0;
    if (labeled < 0) goto out;
    if (!found || !labeled) {
        no_arrays(source, error);
        goto out;
    }
    int has_x = find_array(source, test_images, &x[1], error);
    int has_y = has_x > 0 ? find_array(source, test_labels, &y[1], error) : 0;
    if (has_x < 0 || has_y < 0) goto out;
    if (has_x && !has_y) dataset_skip(dataset, x[1].shape[0], "\"%s\" (no labels)", x[1].name);
    status = take_arrays(source->path, x, y, has_x && has_y, dataset, error);
out:
    for (int s = 0; s < 2; s++) {
        free(x[s].values);
        free(y[s].values);
    }
    return status;
}

int dataset_read_npz(const char *path, const struct dataset_options *options,
                     struct dataset *dataset, struct error *error)
{
    int code;
    (void)options;
    struct npz_source source = {.path = path, .archive = zip_open(path, ZIP_RDONLY, &code)};
    if (!source.archive)
        return error_set(error, ERROR_INPUT,
                         "%s is not a readable .npz file (a zip archive of NumPy arrays): copy or "
                         "save it again",
                         path);
    int status = read_source(&source, dataset, error);
    zip_discard(source.archive);
    return status;
}

/* What comes before the known name that the file's name ends in, "mnist-" of "mnist-x_train.npy":
 * -1 when it ends in none. */
static int find_prefix(const char *path, char out[NPY_NAME_MAX / 2])
{
    static const char *const *const lists[] = {train_images, train_labels, test_images,
                                               test_labels};
    const char *base = path_base(path);
    size_t length = strlen(base) - strlen(".npy"), longest = 0;
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++)
        for (const char *const *name = lists[l]; *name; name++) {
            size_t own = strlen(*name);
            bool ends = own <= length && memcmp(base + length - own, *name, own) == 0 &&
                        (own == length || !isalnum((unsigned char)base[length - own - 1]));
            if (ends && own > longest) longest = own;
        }
    if (!longest || length - longest >= NPY_NAME_MAX / 2) return -1;
    snprintf(out, NPY_NAME_MAX / 2, "%.*s", (int)(length - longest), base);
    return 0;
}

/* The array alone, for prediction: its samples are named by their numbers from 1. */
static int read_unlabeled(const char *path, struct dataset *dataset, struct error *error)
{
    struct npy_array x = {0};
    int status = -1;
    snprintf(x.name, sizeof x.name, "%.*s", NPY_NAME_MAX - 1, path_base(path));
    if (read_from_file(path, &x, error) || take_images(path, &x, dataset, error)) goto out;
    dataset->train.count = x.shape[0];
    dataset->ids = calloc(x.shape[0], sizeof *dataset->ids);
    dataset->train.labels = calloc(x.shape[0], 1);
    if (!dataset->ids || !dataset->train.labels) {
        error_set_memory(error, "the names of the samples");
        goto out;
    }
    for (size_t i = 0; i < x.shape[0]; i++)
        if (asprintf(&dataset->ids[i], "%zu", i + 1) < 0) {
            dataset->ids[i] = NULL;
            error_set_memory(error, "the names of the samples");
            goto out;
        }
    status = take_values(path, &x, NULL, dataset, error);
out:
    free(x.values);
    return status;
}

int dataset_read_npy(const char *path, const struct dataset_options *options,
                     struct dataset *dataset, struct error *error)
{
    struct npz_source source = {.path = path};
    if (options->unlabeled) return read_unlabeled(path, dataset, error);
    if (find_prefix(path, source.prefix))
        return error_set(error, ERROR_INPUT,
                         "%s is one array, and its name does not say of what: call the pictures "
                         "x_train.npy and the labels y_train.npy, in one folder",
                         path);
    size_t length = (size_t)(path_base(path) - path);
    source.folder = length ? strndup(path, length) : strdup(".");
    if (!source.folder) return error_set_memory(error, "a path");
    int status = read_source(&source, dataset, error);
    free(source.folder);
    return status;
}
