/* Finding and pairing IDX files: a folder with the usual four, or one images file and its
 * companions. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/path.h"
#include "data/dataset_impl.h"
#include "data/idx.h"

struct pair {
    char *images, *labels; /* owned; NULL: this split is not there */
    uint32_t limit;
    struct idx_images read_images;
    struct idx_labels read_labels;
    int status;
    struct error error;
};

static void pair_free(struct pair *pair)
{
    free(pair->images);
    free(pair->labels);
    free(pair->read_images.pixels);
    free(pair->read_labels.labels);
}

static void *pair_read(void *argument)
{
    struct pair *pair = argument;
    pair->status = -1;
    if (idx_read_labels(pair->labels, &pair->read_labels, &pair->error)) return NULL;
    if (!dataset_is_mixed(pair->read_labels.labels, pair->read_labels.count, pair->limit))
        pair->limit = 0;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): pair_free() has it all */
    if (idx_read_images(pair->images, pair->limit, &pair->read_images, &pair->error)) return NULL;
    if (pair->read_images.count != pair->read_labels.count) {
        error_set(&pair->error, ERROR_INPUT,
                  "%s has %u images but %s has %u labels: they are not a pair", pair->images,
                  pair->read_images.count, pair->labels, pair->read_labels.count);
        return NULL;
    }
    pair->status = 0;
    return NULL;
}

/* The test pair is decompressed beside the training pair. */
static int read_pairs(struct pair *train, struct pair *test, struct error *error)
{
    pthread_t thread;
    bool beside = test->images && !pthread_create(&thread, NULL, pair_read, test);
    pair_read(train);
    if (beside)
        pthread_join(thread, NULL);
    else if (test->images)
        pair_read(test);
    if (train->status || (test->images && test->status)) {
        *error = train->status ? train->error : test->error;
        return -1;
    }
    const struct idx_images *a = &train->read_images, *b = &test->read_images;
    if (test->images && (a->rows != b->rows || a->columns != b->columns))
        return error_set(
            error, ERROR_INPUT,
            "%s has images of %u x %u pixels but %s of %u x %u: both splits must be of one size",
            test->images, b->rows, b->columns, train->images, a->rows, a->columns);
    return 0;
}

static void take_split(struct pair *pair, struct split *split)
{
    split->count = pair->read_images.read;
    split->pixels = pair->read_images.pixels;
    split->labels = pair->read_labels.labels;
    pair->read_images.pixels = NULL;
    pair->read_labels.labels = NULL;
}

static int read_into(struct pair *train, struct pair *test, struct dataset *dataset,
                     struct error *error)
{
    /* Without a test file the last part of the training file is split off, which needs it whole. */
    if (!test->images) train->limit = 0;
    if (read_pairs(train, test, error)) return -1;
    dataset->rows = train->read_images.rows;
    dataset->columns = train->read_images.columns;
    take_split(train, &dataset->train);
    if (test->images) take_split(test, &dataset->test);
    return 0;
}

/* The usual spellings: as published, and as unpacked by some tools. */
static const char *const spellings[][2] = {{"images-idx3-ubyte", "labels-idx1-ubyte"},
                                           {"images.idx3-ubyte", "labels.idx1-ubyte"}};
static const char *const endings[] = {"", ".gz"};

/* The images file in `folder` whose name has `start` before images…, after any other beginning, as
 * "train-" in emnist-letters-train-images-idx3-ubyte.gz; malloc'd. *several is set when more than
 * one is there. */
static char *find_images(const char *folder, const char *start, bool *several)
{
    char *found = NULL;
    *several = false;
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char wanted[64];
        const char *place = NULL;
        for (size_t s = 0; s < 2 && !place; s++) {
            snprintf(wanted, sizeof wanted, "%s%s", start, spellings[s][0]);
            place = strstr(entry->d_name, wanted);
        }
        if (!place || entry->d_name[0] == '.') continue;
        *several |= found != NULL;
        if (!found) found = path_join(folder, entry->d_name);
    }
    if (directory) closedir(directory);
    return found;
}

/* folder/prefix + part, plain or .gz, malloc'd; NULL when neither is there (or memory is out). */
static char *find_part(const char *folder, const char *prefix, int part)
{
    for (size_t s = 0; s < 2; s++) {
        for (size_t e = 0; e < 2; e++) {
            char *path;
            if (asprintf(&path, "%s/%s-%s%s", folder, prefix, spellings[s][part], endings[e]) < 0)
                return NULL;
            if (file_exists(path)) return path;
            free(path);
        }
    }
    return NULL;
}

/* Images to train on: those of that name, else the only ones there are. */
static char *find_pair(const char *folder, bool *several)
{
    char *images = find_images(folder, "train-", several);
    return images ? images : find_images(folder, "", several);
}

bool dataset_folder_has_idx(const char *folder)
{
    bool several;
    char *images = find_pair(folder, &several);
    free(images);
    return images != NULL;
}

int dataset_read_idx_folder(const char *folder, uint32_t limit, struct dataset *dataset,
                            struct error *error)
{
    int status = -1;
    struct pair train = {.limit = limit}, test = {.limit = limit};
    train.images = find_part(folder, "train", 0);
    if (!train.images) {
        bool several;
        char *images = find_pair(folder, &several);
        if (images && several)
            error_set(error, ERROR_INPUT,
                      "%s holds several data sets: name the images file of one, such as %s", folder,
                      images);
        else if (images)
            status = dataset_read_idx_file(images, dataset, error);
        if (images) {
            free(images);
            return status;
        }
    }
    train.labels = find_part(folder, "train", 1);
    test.images = find_part(folder, "t10k", 0);
    test.labels = find_part(folder, "t10k", 1);
    if (!test.images && !test.labels) {
        test.images = find_part(folder, "test", 0);
        test.labels = find_part(folder, "test", 1);
    }
    if (!train.images || !train.labels) {
        error_set(error, ERROR_NOT_FOUND, "%s lacks train-%s (plain or .gz): put the file there",
                  folder, spellings[0][train.images ? 1 : 0]);
        goto out;
    }
    if (!test.images != !test.labels) {
        error_set(error, ERROR_NOT_FOUND, "%s lacks t10k-%s (plain or .gz): put the file there",
                  folder, spellings[0][test.images ? 1 : 0]);
        goto out;
    }
    status = read_into(&train, &test, dataset, error);
out:
    pair_free(&train);
    pair_free(&test);
    return status;
}

/* `path` with its file name's first `from` replaced by `to`, malloc'd; NULL if it is not in the
 * name. */
static char *with_replaced(const char *path, const char *from, const char *to)
{
    const char *base = path_base(path);
    const char *place = strstr(base, from);
    char *result;
    if (!place) return NULL;
    if (asprintf(&result, "%.*s%s%s", (int)(place - path), path, to, place + strlen(from)) < 0)
        return NULL;
    return result;
}

/* The labels beside an images file, plain or .gz; NULL when not there. */
static char *labels_beside(const char *images)
{
    char *result = NULL, *half = with_replaced(images, "images", "labels");
    char *path = half ? with_replaced(half, "idx3", "idx1") : NULL;
    if (path && !file_exists(path) && strstr(path_base(path), "idx1-ubyte")) {
        /* QMNIST's wide labels */
        char *wide = with_replaced(path, "idx1-ubyte", "idx2-int");
        if (wide && file_exists(wide)) {
            free(half);
            free(path);
            return wide;
        }
        free(wide);
    }
    if (half && !path) path = strdup(half);
    free(half);
    if (!path) return NULL;
    if (file_exists(path)) return path;
    if (!strcmp(path_extension(path), "gz"))
        path[strlen(path) - 3] = '\0';
    else if (asprintf(&result, "%s.gz", path) < 0)
        result = NULL;
    if (!result) result = strdup(path);
    free(path);
    if (result && file_exists(result)) return result;
    free(result);
    return NULL;
}

static void transpose(const struct dataset *dataset, struct split *split)
{
    size_t side = dataset->rows;
    for (size_t i = 0; i < split->count; i++) {
        uint8_t *pixels = split->pixels + i * side * side;
        for (size_t y = 0; y < side; y++)
            for (size_t x = 0; x < y; x++) {
                uint8_t one = pixels[y * side + x];
                pixels[y * side + x] = pixels[x * side + y];
                pixels[x * side + y] = one;
            }
    }
}

int dataset_read_idx_file(const char *images, struct dataset *dataset, struct error *error)
{
    static const char *const test_names[] = {"t10k", "test"};
    int status = -1;
    struct pair train = {0}, test = {0};
    train.images = strdup(images);
    train.labels = labels_beside(images);
    if (!train.images || !train.labels) {
        /* A file of another kind is better told so. */
        if (idx_read_images(images, 1, &train.read_images, error)) goto out;
        error_set(error, ERROR_NOT_FOUND,
                  "%s has no labels beside it: put them in the same folder, with \"labels\" and "
                  "\"idx1\" in the name for "
                  "\"images\" and \"idx3\"",
                  images);
        goto out;
    }
    for (size_t i = 0; i < 2 && !test.images; i++) {
        test.images = with_replaced(images, "train", test_names[i]);
        test.labels = test.images && file_exists(test.images) ? labels_beside(test.images) : NULL;
        if (test.labels) break;
        free(test.images);
        test.images = NULL;
    }
    status = read_into(&train, &test, dataset, error);
    if (!status && !strncasecmp(path_base(images), "emnist", 6) &&
        dataset->rows == dataset->columns) {
        /* EMNIST stores its pictures column by column (Cohen et al. 2017, section II). */
        transpose(dataset, &dataset->train);
        transpose(dataset, &dataset->test);
        dataset_assume(dataset, "turned upright, as EMNIST stores its pictures transposed");
    }
out:
    pair_free(&train);
    pair_free(&test);
    return status;
}
