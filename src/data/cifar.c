/* CIFAR-10's binary form: records of a label and 3 x 32 x 32 bytes (all of red, then green, then
 * blue), in data_batch_1.bin and so on, and test_batch.bin; or the archive that they come in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/path.h"
#include "data/dataset_impl.h"

#define SIDE        32
#define CHANNELS    3
#define IMAGE       ((size_t)CHANNELS * SIDE * SIDE)
#define RECORD      (1 + IMAGE)
#define BATCHES_MAX 16 /* of training; [0] is the test batch */
#define BATCH_BYTES ((size_t)400 << 20)
#define ARCHIVE     "cifar-10-binary.tar.gz"
#define INNER       "cifar-10-batches-bin"

struct cifar_batch {
    char *bytes; /* owned; NULL: there is none */
    size_t size;
};

/* The number of the batch that a file of that name holds; -1: it is none. */
static int batch_number(const char *name)
{
    int number = 0, length = 0;
    if (strcmp(name, "test_batch.bin") == 0) return 0;
    if (sscanf(name, "data_batch_%2d.bin%n", &number, &length) != 1 || name[length]) return -1;
    return number >= 1 && number <= BATCHES_MAX ? number : -1;
}

static int check_batch(const char *where, const char *name, size_t size, struct error *error)
{
    if (size && size % RECORD == 0 && size <= BATCH_BYTES) return 0;
    return error_set(
        error, ERROR_INPUT,
        "%s: %s has %zu bytes, which is not a whole number of records of %zu (a label and 3 x 32 x "
        "32 pixels): fetch it again",
        where, name, size, RECORD);
}

/* ---- plain files ---- */

static int read_folder(const char *folder, struct cifar_batch *batches, struct error *error)
{
    for (int number = 0; number <= BATCHES_MAX; number++) {
        char name[32];
        struct cifar_batch *batch = &batches[number];
        snprintf(name, sizeof name, number ? "data_batch_%d.bin" : "test_batch.bin", number);
        char *path = path_join(folder, name);
        if (!path) return error_set_memory(error, "a path");
        int status = 0;
        if (file_exists(path))
            status = file_read(path, BATCH_BYTES, &batch->bytes, &batch->size, error) ||
                             check_batch(folder, name, batch->size, error)
                         ? -1
                         : 0;
        free(path);
        if (status) return -1;
    }
    return 0;
}

/* ---- the archive: a tar file behind gzip ---- */

#define BLOCK 512

/* A number of a header: octal digits. False when it is none. */
static bool read_octal(const char *digits, size_t size, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    while (i < size && digits[i] == ' ') i++;
    for (; i < size && digits[i] >= '0' && digits[i] <= '7'; i++)
        *out = *out * 8 + (uint64_t)(digits[i] - '0');
    return i && (i == size || digits[i] == '\0' || digits[i] == ' ');
}

static bool checksum_fits(const char header[BLOCK])
{
    uint64_t told, sum = 0;
    for (size_t i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : (unsigned char)header[i];
    return read_octal(header + 148, 8, &told) && told == sum;
}

static int broken(const char *path, struct error *error)
{
    return error_set(error, ERROR_INPUT, "%s is not a whole tar archive: fetch it again", path);
}

static int read_exactly(gzFile in, const char *path, char *bytes, size_t size, struct error *error)
{
    while (size) {
        unsigned part = size < 1 << 30 ? (unsigned)size : 1u << 30;
        int got = gzread(in, bytes, part);
        if (got <= 0) return broken(path, error);
        bytes += got;
        size -= (size_t)got;
    }
    return 0;
}

/* What stands behind a header: kept when it is a batch, else passed over. */
static int read_entry(gzFile in, const char *path, const char header[BLOCK],
                      struct cifar_batch *batches, struct error *error)
{
    char name[101], padding[BLOCK];
    uint64_t size;
    memcpy(name, header, 100);
    name[100] = '\0';
    if (!checksum_fits(header) || !read_octal(header + 124, 12, &size)) return broken(path, error);
    bool file = header[156] == '0' || header[156] == '\0';
    int number = file ? batch_number(path_base(name)) : -1;
    size_t behind = (size_t)((BLOCK - size % BLOCK) % BLOCK);
    if (number < 0 || batches[number].bytes)
        return gzseek(in, (z_off_t)(size + behind), SEEK_CUR) < 0 ? broken(path, error) : 0;
    if (check_batch(path, path_base(name), (size_t)size, error)) return -1;
    batches[number].bytes = malloc((size_t)size);
    if (!batches[number].bytes) return error_set_memory(error, "the pictures");
    batches[number].size = (size_t)size;
    return read_exactly(in, path, batches[number].bytes, (size_t)size, error) ||
                   read_exactly(in, path, padding, behind, error)
               ? -1
               : 0;
}

static int read_archive(const char *path, struct cifar_batch *batches, struct error *error)
{
    char header[BLOCK];
    int status = 0;
    gzFile in = gzopen(path, "rb");
    if (!in) return error_set_errno(error, errno, "cannot open %s", path);
    gzbuffer(in, 1 << 18);
    while (!status) {
        status = read_exactly(in, path, header, BLOCK, error);
        if (status || !header[0]) break; /* a block of zeros ends it */
        status = read_entry(in, path, header, batches, error);
    }
    gzclose(in);
    return status;
}

/* ---- both ---- */

/* Where they lie in `folder`: "" the folder itself, INNER, or ARCHIVE; NULL: nowhere. */
static const char *find_files(const char *folder)
{
    static const char *const inside[] = {"data_batch_1.bin", INNER "/data_batch_1.bin", ARCHIVE};
    static const char *const places[] = {"", INNER, ARCHIVE};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        char *path = path_join(folder, inside[i]);
        bool there = path && file_exists(path);
        free(path);
        if (there) return places[i];
    }
    return NULL;
}

bool dataset_folder_has_cifar(const char *folder)
{
    return find_files(folder) != NULL;
}

static int take_records(const struct cifar_batch *batches, int from, int to, const char *what,
                        struct split *split, struct error *error)
{
    size_t count = 0;
    for (int n = from; n <= to; n++) count += batches[n].size / RECORD;
    if (dataset_check_size(what, SIDE, SIDE, CHANNELS * count, error)) return -1;
    split->pixels = dataset_alloc_pixels(count * IMAGE);
    split->labels = malloc(count);
    if (!split->pixels || !split->labels) return error_set_memory(error, "the pictures");
    for (int n = from; n <= to; n++)
        for (size_t at = 0; at < batches[n].size; at += RECORD, split->count++) {
            split->labels[split->count] = (uint8_t)batches[n].bytes[at];
            memcpy(split->pixels + split->count * IMAGE, batches[n].bytes + at + 1, IMAGE);
        }
    return 0;
}

int dataset_read_cifar(const char *folder, struct dataset *dataset, struct error *error)
{
    struct cifar_batch batches[BATCHES_MAX + 1] = {0};
    const char *inside = find_files(folder);
    int status = -1;
    if (!inside) return error_set(error, ERROR_NOT_FOUND, "%s has no data_batch_1.bin", folder);
    char *path = inside[0] ? path_join(folder, inside) : strdup(folder);
    if (!path) return error_set_memory(error, "a path");
    dataset->rows = dataset->columns = SIDE;
    dataset->channels = CHANNELS;
    dataset->full = 255;
    if (strcmp(inside, ARCHIVE) == 0 ? read_archive(path, batches, error)
                                     : read_folder(path, batches, error))
        goto out;
    if (!batches[1].bytes) {
        error_set(error, ERROR_INPUT, "%s holds no data_batch_1.bin: fetch it again", path);
        goto out;
    }
    if (take_records(batches, 1, BATCHES_MAX, path, &dataset->train, error) ||
        (batches[0].bytes && take_records(batches, 0, 0, path, &dataset->test, error)))
        goto out;
    status = 0;
out:
    for (int n = 0; n <= BATCHES_MAX; n++) free(batches[n].bytes);
    free(path);
    return status;
}
