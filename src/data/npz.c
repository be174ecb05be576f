/* .npz: a zip archive of NumPy arrays (https://numpy.org/doc/stable/reference/generated/
 * numpy.lib.format.html), found by the usual names. Arrays of Python objects are never opened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "data/dataset_impl.h"

#define HEADER_MAX 4096
#define RANK_MAX   4

struct array {
    char name[80];
    char kind;   /* 'u', 'i', 'f', 'b' */
    size_t size; /* of a number, in bytes */
    size_t shape[RANK_MAX], rank;
    size_t count;    /* numbers in all */
    uint8_t *values; /* little-endian, owned */
};

static const char *const train_images[] = {
    "x_train", "X_train", "train_images", "train_x", "train_data", "images",
    "x",       "X",       "data",         NULL};
static const char *const train_labels[] = {
    "y_train", "Y_train", "train_labels", "train_y", "labels", "y", "target", "Y", NULL};
static const char *const test_images[] = {"x_test", "X_test",    "test_images",
                                          "test_x", "test_data", NULL};
static const char *const test_labels[] = {"y_test", "Y_test", "test_labels", "test_y", NULL};

static int unusable(const char *path, const struct array *array, const char *why,
                    struct error *error)
{
    return error_set(error, ERROR_INPUT, "%s: the array \"%s\" %s", path, array->name, why);
}

/* The dictionary that a header is, written by NumPy as {'descr': '|u1', 'fortran_order': False,
 * 'shape': (60000, 28, 28), }. */
static int parse_header(const char *path, const char *header, struct array *array,
                        struct error *error)
{
    const char *descr = strstr(header, "'descr':"), *order = strstr(header, "'fortran_order':"),
               *shape = strstr(header, "'shape':");
    if (!descr || !order || !shape)
        return unusable(path, array, "has no readable header: save the file again", error);
    descr += strcspn(descr + 8, "'") + 8;
    if (*descr == '\'') descr++;
    if (descr[0] == '>' || (descr[0] != '|' && descr[0] != '<' && descr[0] != '='))
        return unusable(path, array, "is big-endian or structured: save it with a plain dtype",
                        error);
    array->kind = descr[1];
    array->size = strtoul(descr + 2, NULL, 10);
    if (array->kind == 'O')
        return unusable(path, array,
                        "holds Python objects, which can run programs when opened: save plain "
                        "numbers",
                        error);
    if (!array->kind || !strchr("uifb", array->kind) ||
        (array->size != 1 && array->size != 2 && array->size != 4 && array->size != 8) ||
        (array->kind == 'f' && array->size < 4))
        return unusable(path, array,
                        "is of another type than 8- to 64-bit integers, float32 or float64: "
                        "convert it",
                        error);
    if (strncmp(order + strlen("'fortran_order':") + 1, "False", 5) != 0)
        return unusable(path, array, "is in Fortran order: save numpy.ascontiguousarray(array)",
                        error);
    array->count = 1;
    for (const char *at = shape + strcspn(shape, "(") + 1; *at && *at != ')';) {
        char *end;
        unsigned long long side = strtoull(at, &end, 10);
        if (end == at) break;
        if (array->rank == RANK_MAX || side > DATASET_MAX_BYTES ||
            (side && array->count > DATASET_MAX_BYTES / side))
            return unusable(path, array, "is too large or has more than 4 dimensions", error);
        array->shape[array->rank++] = side;
        array->count *= side;
        at = end + strspn(end, ", ");
    }
    if (!array->rank || !array->count) return unusable(path, array, "is empty", error);
    return 0;
}

static int read_exactly(zip_file_t *file, void *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        zip_int64_t got = zip_fread(file, (char *)out + done, size - done);
        if (got <= 0) return -1;
        done += (size_t)got;
    }
    return 0;
}

static int read_array(const char *path, zip_t *archive, zip_int64_t index, struct array *array,
                      struct error *error)
{
    int status = -1;
    uint8_t head[12], extra;
    char header[HEADER_MAX + 1];
    zip_stat_t info;
    zip_file_t *file = NULL;
    if (zip_stat_index(archive, (zip_uint64_t)index, 0, &info) || !(info.valid & ZIP_STAT_SIZE) ||
        !(file = zip_fopen_index(archive, (zip_uint64_t)index, 0)))
        return unusable(path, array, "cannot be opened: save the file again", error);
    if (read_exactly(file, head, 10) || memcmp(head, "\x93NUMPY", 6) != 0 ||
        (head[6] > 1 && read_exactly(file, head + 10, 2))) {
        unusable(path, array, "is not a NumPy array: save the file with numpy.savez", error);
        goto out;
    }
    size_t length = head[8] | (size_t)head[9] << 8, prefix = 10;
    if (head[6] > 1) {
        length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
        prefix = 12;
    }
    if (length > HEADER_MAX || read_exactly(file, header, length)) {
        unusable(path, array, "has no readable header: save the file again", error);
        goto out;
    }
    header[length] = '\0';
    if (parse_header(path, header, array, error)) goto out;
    /* Before any memory is had: is the archive's own size what the header promises? */
    if (array->count > DATASET_MAX_BYTES / array->size * 4 ||
        info.size != prefix + length + array->count * array->size) {
        unusable(path, array, "is of another size than its header says: save the file again",
                 error);
        goto out;
    }
    array->values = malloc(array->count * array->size);
    if (!array->values) {
        error_set_memory(error, "an array");
        goto out;
    }
    if (read_exactly(file, array->values, array->count * array->size) ||
        zip_fread(file, &extra, 1) != 0) {
        unusable(path, array, "is damaged (zip): copy or save the file again", error);
        goto out;
    }
    status = 0;
out:
    zip_fclose(file);
    return status;
}

/* 1 when there is one of these names and it was read, 0 when not, -1 on an error. */
static int find_array(const char *path, zip_t *archive, const char *const *names,
                      struct array *array, struct error *error)
{
    *array = (struct array){0};
    for (; *names; names++) {
        char member[80];
        snprintf(member, sizeof member, "%s.npy", *names);
        zip_int64_t index = zip_name_locate(archive, member, 0);
        if (index < 0) continue;
        snprintf(array->name, sizeof array->name, "%s", *names);
        return read_array(path, archive, index, array, error) ? -1 : 1;
    }
    return 0;
}

static double number_at(const struct array *array, size_t i)
{
    const uint8_t *at = array->values + i * array->size;
    uint64_t bits = 0;
    for (size_t b = 0; b < array->size; b++) bits |= (uint64_t)at[b] << (8 * b);
    if (array->kind == 'f' && array->size == 4) {
        float value;
        uint32_t half = (uint32_t)bits;
        memcpy(&value, &half, sizeof value);
        return (double)value;
    }
    if (array->kind == 'f') {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    if (array->kind != 'i') return (double)bits;
    unsigned unused = 64 - 8 * (unsigned)array->size;
    return (double)((int64_t)(bits << unused) >> unused);
}

static int take_labels(const char *path, const struct array *array, struct split *split,
                       struct error *error)
{
    if (array->count != array->shape[0])
        return unusable(path, array,
                        "must hold one number per sample (numpy.argmax(y, axis=1) of one-hot "
                        "labels)",
                        error);
    split->count = array->count;
    split->labels = malloc(array->count);
    if (!split->labels) return error_set_memory(error, "the labels");
    for (size_t i = 0; i < array->count; i++) {
        double label = number_at(array, i);
        if (!(label >= 0 && label <= 255) || label != (double)(uint8_t)label)
            return error_set(error, ERROR_INPUT,
                             "%s: label %g of sample %zu (counted from 0) is out of range: labels "
                             "are whole numbers from 0 to 255",
                             path, label, i);
        split->labels[i] = (uint8_t)label;
    }
    return 0;
}

static bool all_bytes(const struct array *array)
{
    if (array->size == 1 && array->kind != 'i') return true;
    for (size_t i = 0; i < array->count; i++) {
        double value = number_at(array, i);
        if (!(value >= 0 && value <= 255) || value != (double)(uint8_t)value) return false;
    }
    return true;
}

static int take_bytes(const struct array *array, struct split *split, struct error *error)
{
    split->pixels = dataset_alloc_pixels(array->count);
    if (!split->pixels) return error_set_memory(error, "the pictures");
    for (size_t i = 0; i < array->count; i++)
        split->pixels[i] = array->size == 1 ? array->values[i] : (uint8_t)number_at(array, i);
    return 0;
}

static float *as_floats(const struct array *array)
{
    if (array->count > DATASET_MAX_BYTES / sizeof(float)) return NULL;
    float *numbers = malloc(array->count * sizeof *numbers);
    for (size_t i = 0; numbers && i < array->count; i++) numbers[i] = (float)number_at(array, i);
    return numbers;
}

static int check_images(const char *path, const struct array *images, const struct array *labels,
                        struct error *error)
{
    if (images->rank < 2 || (images->rank == 4 && images->shape[3] != 1))
        return unusable(path, images,
                        "must be of shape (samples, rows, columns) or (samples, pixels): make "
                        "color pictures gray first",
                        error);
    if (images->shape[0] == labels->shape[0]) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s: \"%s\" has %zu samples but \"%s\" has %zu: they are not a pair", path,
                     images->name, images->shape[0], labels->name, labels->shape[0]);
}

static void take_sides(const struct array *images, struct dataset *dataset)
{
    if (images->rank == 2)
        dataset_guess_sides(images->shape[1], dataset);
    else {
        dataset->rows = images->shape[1] > UINT32_MAX ? 0 : (uint32_t)images->shape[1];
        dataset->columns = images->shape[2] > UINT32_MAX ? 0 : (uint32_t)images->shape[2];
    }
}

/* x and y of one split or two. */
static int take_arrays(const char *path, const struct array *x, const struct array *y,
                       bool has_test, struct dataset *dataset, struct error *error)
{
    struct split *const splits[] = {&dataset->train, &dataset->test};
    size_t parts = has_test ? 2 : 1;
    bool bytes = true;
    for (size_t s = 0; s < parts; s++) {
        if (check_images(path, &x[s], &y[s], error) || take_labels(path, &y[s], splits[s], error))
            return -1;
        bytes = bytes && all_bytes(&x[s]);
    }
    if (has_test && x[0].count / x[0].shape[0] != x[1].count / x[1].shape[0])
        return error_set(error, ERROR_INPUT,
                         "%s: \"%s\" and \"%s\" are of different sizes: both splits must be of one",
                         path, x[0].name, x[1].name);
    take_sides(&x[0], dataset);
    if (dataset_check_size(path, dataset->rows, dataset->columns, x[0].shape[0], error)) return -1;
    if (bytes) {
        for (size_t s = 0; s < parts; s++)
            if (take_bytes(&x[s], splits[s], error)) return -1;
        return 0;
    }
    float *train = as_floats(&x[0]), *test = has_test ? as_floats(&x[1]) : NULL;
    int status = -1;
    if (!train || (has_test && !test))
        error_set_memory(error, "the numbers");
    else
        status = dataset_take_numbers(dataset, path, train, test, error);
    free(train);
    free(test);
    return status;
}

static int no_arrays(const char *path, zip_t *archive, struct error *error)
{
    char names[200] = "";
    size_t length = 0;
    zip_int64_t count = zip_get_num_entries(archive, 0);
    for (zip_int64_t i = 0; i < count && length < sizeof names - 40; i++) {
        const char *name = zip_get_name(archive, (zip_uint64_t)i, 0);
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%.30s",
                                   length ? ", " : "", name ? name : "?");
    }
    return error_set(error, ERROR_INPUT,
                     "%s has no arrays x_train and y_train (it holds %s): save pictures and labels "
                     "under these names",
                     path, length ? names : "nothing");
}

int dataset_read_npz(const char *path, const struct dataset_options *options,
                     struct dataset *dataset, struct error *error)
{
    int code, status = -1;
    struct array x[2] = {0}, y[2] = {0};
    (void)options;
    zip_t *archive = zip_open(path, ZIP_RDONLY, &code);
    if (!archive)
        return error_set(error, ERROR_INPUT,
                         "%s is not a readable .npz file (a zip archive of NumPy arrays): copy or "
                         "save it again",
                         path);
    int found = find_array(path, archive, train_images, &x[0], error);
    if (found < 0) goto out;
    int labeled = found ? find_array(path, archive, train_labels, &y[0], error) : 0;
    if (labeled < 0) goto out;
    if (!found || !labeled) {
        no_arrays(path, archive, error);
        goto out;
    }
    int has_x = find_array(path, archive, test_images, &x[1], error);
    int has_y = has_x > 0 ? find_array(path, archive, test_labels, &y[1], error) : 0;
    if (has_x < 0 || has_y < 0) goto out;
    if (has_x && !has_y) dataset_skip(dataset, x[1].shape[0], "\"%s\" (no labels)", x[1].name);
    status = take_arrays(path, x, y, has_x && has_y, dataset, error);
out:
    for (int s = 0; s < 2; s++) {
        free(x[s].values);
        free(y[s].values);
    }
    zip_discard(archive);
    return status;
}
