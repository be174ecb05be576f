#include "data/export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"

/* Big-endian, as IDX has it. */
static void put32(uint8_t out[4], uint32_t value)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static int gzip_out(FILE *stream, const void *header, size_t header_size, const void *bytes,
                    size_t size)
{
    int descriptor = dup(fileno(stream));
    gzFile zipped = descriptor < 0 ? NULL : gzdopen(descriptor, "wb6");
    if (!zipped) {
        if (descriptor >= 0) close(descriptor);
        return -1;
    }
    bool good = gzwrite(zipped, header, (unsigned)header_size) == (int)header_size &&
                gzfwrite(bytes, 1, size, zipped) == size;
    return gzclose(zipped) == Z_OK && good ? 0 : -1;
}

static int write_idx(const char *folder, const char *name, const void *header, size_t header_size,
                     const void *bytes, size_t size, struct error *error)
{
    struct file_writer writer = {0};
    char *path;
    int status = -1;
    if (asprintf(&path, "%s/%s.gz", folder, name) < 0) return error_set_memory(error, "a path");
    if (file_create(path, &writer, error)) goto out;
    if (gzip_out(writer.stream, header, header_size, bytes, size)) {
        error_set_errno(error, errno, "cannot write %s", path);
        goto out;
    }
    status = file_commit(&writer, error);
out:
    file_abort(&writer);
    free(path);
    return status;
}

static int write_split(const struct dataset *dataset, const struct split *split, const char *folder,
                       const char *prefix, struct error *error)
{
    char name[64];
    uint8_t header[16];
    put32(header, 2051);
    put32(header + 4, (uint32_t)split->count);
    put32(header + 8, dataset->rows);
    put32(header + 12, dataset->columns);
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", prefix);
    if (write_idx(folder, name, header, 16, split->pixels,
                  split->count * dataset->rows * dataset->columns, error))
        return -1;
    put32(header, 2049);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", prefix);
    return write_idx(folder, name, header, 8, split->labels, split->count, error);
}

int dataset_export(const struct dataset *dataset, const char *folder, struct error *error)
{
    if (dataset->channels > 1)
        return error_set(error, ERROR_INPUT,
                         "%s is in color, and IDX files hold gray pictures: it cannot be exported",
                         dataset->title);
    if (dataset->coded)
        return error_set(error, ERROR_INPUT,
                         "%s holds numbers that are not whole, and IDX files hold bytes: it cannot "
                         "be exported",
                         dataset->title);
    if (file_make_directories(folder, error)) return -1;
    if (write_split(dataset, &dataset->train, folder, "train", error)) return -1;
    return write_split(dataset, &dataset->test, folder, "t10k", error);
}
