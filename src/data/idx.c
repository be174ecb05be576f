#include "data/idx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libdeflate.h>
#include <zlib.h>

#include "base/file.h"
#include "data/dataset_impl.h"

#define IMAGES_MAGIC 2051u
#define LABELS_MAGIC 2049u
/* QMNIST's labels: 32-bit integers, eight to a sample, the first being the class
 * (https://github.com/facebookresearch/qmnist) */
#define QMNIST_MAGIC   3074u
#define QMNIST_COLUMNS 8u
#define COMPRESSED_MAX ((size_t)1 << 30)
/* zlib's technical notes: deflate never does better than 1032 : 1 */
#define DEFLATE_BEST_RATIO 1032u

/* A file's content as one stream of bytes, decompressed if need be. */
struct idx_stream {
    const char *path;
    int fd;             /* plain files; -1 for gzip */
    uint64_t file_size; /* on disk */
    uint64_t position;  /* bytes delivered */
    char *compressed;   /* the whole gzip file, else NULL */
    z_stream inflater;
    bool inflating, ended;
};

static void source_close(struct idx_stream *source)
{
    if (source->fd >= 0) close(source->fd);
    if (source->inflating) inflateEnd(&source->inflater);
    free(source->compressed);
}

static int source_open(const char *path, struct idx_stream *source, struct error *error)
{
    *source = (struct idx_stream){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    struct stat info;
    uint8_t head[2];
    if (source->fd < 0 || fstat(source->fd, &info))
        return error_set_errno(error, errno, "cannot read %s", path);
    if (!S_ISREG(info.st_mode))
        return error_set(error, ERROR_INPUT, "%s is not a regular file: name a file", path);
    source->file_size = (uint64_t)info.st_size;
    if (pread(source->fd, head, 2, 0) != 2 || head[0] != 0x1f || head[1] != 0x8b) return 0;
    close(source->fd);
    source->fd = -1;
    size_t size;
    if (file_read(path, COMPRESSED_MAX, &source->compressed, &size, error)) return -1;
    source->file_size = size;
    source->inflater.next_in = (Bytef *)source->compressed;
    source->inflater.avail_in = (uInt)size;
    if (inflateInit2(&source->inflater, 15 + 16) != Z_OK)
        return error_set_memory(error, "a gzip reader");
    source->inflating = true;
    return 0;
}

static int source_cut_short(const struct idx_stream *source, struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "%s is cut short (it ends after %llu bytes%s): copy or fetch it again",
                     source->path, (unsigned long long)source->position,
                     source->fd < 0 ? " of decompressed data" : "");
}

static int source_damaged(const struct idx_stream *source, struct error *error)
{
    return error_set(error, ERROR_INPUT, "%s is damaged (gzip: %s): copy or fetch it again",
                     source->path, source->inflater.msg ? source->inflater.msg : "bad data");
}

static int source_inflate(struct idx_stream *source, uint8_t *out, size_t count,
                          struct error *error)
{
    while (count) {
        if (source->ended) return source_cut_short(source, error);
        size_t part = count < (1u << 30) ? count : 1u << 30;
        source->inflater.next_out = out;
        source->inflater.avail_out = (uInt)part;
        int result = inflate(&source->inflater, Z_NO_FLUSH);
        size_t got = part - source->inflater.avail_out;
        out += got;
        count -= got;
        source->position += got;
        if (result == Z_STREAM_END) {
            source->ended = true;
        } else if (result == Z_BUF_ERROR || (result == Z_OK && got == 0)) {
            return source_cut_short(source, error);
        } else if (result != Z_OK) {
            return result == Z_MEM_ERROR ? error_set_memory(error, "a gzip reader")
                                         : source_damaged(source, error);
        }
    }
    return 0;
}

/* The whole content of a gzip file, from its first byte, by libdeflate, which takes a third of
 * zlib's time but needs all of it at once. False when the content is not exactly `count` sound
 * bytes: then reading on by zlib tells what is wrong. */
static bool source_decompress(const struct idx_stream *source, uint8_t *out, size_t count)
{
    struct libdeflate_decompressor *all = source->fd < 0 ? libdeflate_alloc_decompressor() : NULL;
    size_t used = 0, made = 0;
    if (!all) return false;
    bool whole = libdeflate_gzip_decompress_ex(all, source->compressed, (size_t)source->file_size,
                                               out, count, &used, &made) == LIBDEFLATE_SUCCESS &&
                 used == source->file_size && made == count;
    libdeflate_free_decompressor(all);
    return whole;
}

/* Exactly `count` bytes, or an error. */
static int source_read(struct idx_stream *source, void *out, size_t count, struct error *error)
{
    if (source->fd < 0) return source_inflate(source, out, count, error);
    uint8_t *place = out;
    while (count) {
        ssize_t got = read(source->fd, place, count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return error_set_errno(error, errno, "cannot read %s", source->path);
        if (got == 0) return source_cut_short(source, error);
        place += got;
        count -= (size_t)got;
        source->position += (uint64_t)got;
    }
    return 0;
}

/* 0 when the content ends here; for gzip this also checks the stored CRC and length. */
static int source_expect_end(struct idx_stream *source, struct error *error)
{
    uint8_t byte;
    uint64_t extra = 0;
    if (source->fd >= 0) {
        extra = source->file_size - source->position;
    } else {
        z_stream *inflater = &source->inflater;
        if (!source->ended) {
            inflater->next_out = &byte;
            inflater->avail_out = 1;
            int result = inflate(inflater, Z_NO_FLUSH);
            if (inflater->avail_out == 0)
                return error_set(
                    error, ERROR_INPUT,
                    "%s holds more than its header says (%llu bytes): it is mislabelled",
                    source->path, (unsigned long long)source->position);
            if (result == Z_BUF_ERROR || result == Z_OK) return source_cut_short(source, error);
            if (result != Z_STREAM_END) return source_damaged(source, error);
        }
        extra = inflater->avail_in;
    }
    if (extra)
        return error_set(error, ERROR_INPUT,
                         "%s has %llu bytes after its end: copy or fetch it again", source->path,
                         (unsigned long long)extra);
    return 0;
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Before any memory is had: can this file hold that many bytes? */
static int source_check_room(const struct idx_stream *source, uint64_t body, struct error *error)
{
    uint64_t had = source->file_size - (source->fd >= 0 ? source->position : 0);
    if (source->fd < 0) had *= DEFLATE_BEST_RATIO;
    if (body <= had) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s is cut short (its header promises %llu bytes, the file has %s%llu): copy "
                     "or fetch it again",
                     source->path, (unsigned long long)body, source->fd < 0 ? "at most " : "",
                     (unsigned long long)had);
}

static int check_magic(const char *path, const uint8_t head[4], uint32_t wanted,
                       struct error *error)
{
    const uint32_t magic = big_endian(head);
    if (magic == wanted) return 0;
    const char *kind = wanted == IMAGES_MAGIC ? "images" : "labels";
    if (magic >> 16) return dataset_refuse_foreign(path, head, error); /* IDX begins with zeros */
    if (magic == IMAGES_MAGIC || magic == LABELS_MAGIC)
        return error_set(error, ERROR_INPUT,
                         "%s holds %s where %s belong (magic number %u, not %u): swap the files",
                         path, magic == IMAGES_MAGIC ? "images" : "labels", kind, magic, wanted);
    return error_set(error, ERROR_INPUT,
                     "%s is not an IDX file of %s (magic number %u, not %u): give another file",
                     path, kind, magic, wanted);
}

int idx_read_images(const char *path, uint32_t limit, struct idx_images *out, struct error *error)
{
    int status = -1;
    struct idx_stream source;
    uint8_t head[16] = {0};
    uint8_t *pixels = NULL;
    if (source_open(path, &source, error)) goto out;
    if (source_read(&source, head, 4, error)) goto out;
    if (check_magic(path, head, IMAGES_MAGIC, error)) goto out;
    if (source_read(&source, head + 4, 12, error)) goto out;
    uint32_t count = big_endian(head + 4), rows = big_endian(head + 8),
             columns = big_endian(head + 12);
    if (dataset_check_size(path, rows, columns, count, error)) goto out;
    size_t image = (size_t)rows * columns;
    if (source_check_room(&source, (uint64_t)count * image, error)) goto out;
    size_t wanted = limit && limit < count ? limit : count;
    pixels = dataset_alloc_pixels(sizeof head + wanted * image);
    if (!pixels) {
        error_set_memory(error, "the images");
        goto out;
    }
    if (wanted == count && source_decompress(&source, pixels, sizeof head + wanted * image)) {
        memmove(pixels, pixels + sizeof head, wanted * image);
    } else {
        if (source_read(&source, pixels, wanted * image, error)) goto out;
        if (wanted == count && source_expect_end(&source, error)) goto out;
    }
    *out = (struct idx_images){count, rows, columns, wanted, pixels};
    pixels = NULL;
    status = 0;
out:
    free(pixels);
    source_close(&source);
    return status;
}

/* The rest of a QMNIST file, after its count. */
static int read_wide_labels(struct idx_stream *source, uint32_t count, uint8_t *labels,
                            struct error *error)
{
    uint8_t row[4 * QMNIST_COLUMNS];
    for (uint32_t i = 0; i < count; i++) {
        if (source_read(source, row, sizeof row, error)) return -1;
        if (big_endian(row) > 255)
            return error_set(error, ERROR_INPUT,
                             "%s: label %u of sample %u (counted from 0) is out of range: the most "
                             "is 255",
                             source->path, big_endian(row), i);
        labels[i] = row[3];
    }
    return 0;
}

int idx_read_labels(const char *path, struct idx_labels *out, struct error *error)
{
    int status = -1;
    struct idx_stream source;
    uint8_t head[8] = {0};
    uint8_t *labels = NULL;
    if (source_open(path, &source, error)) goto out;
    if (source_read(&source, head, 4, error)) goto out;
    bool wide = big_endian(head) == QMNIST_MAGIC;
    if (!wide && check_magic(path, head, LABELS_MAGIC, error)) goto out;
    if (source_read(&source, head + 4, 4, error)) goto out;
    uint8_t columns[4] = {0};
    if (wide && source_read(&source, columns, 4, error)) goto out;
    if (wide && big_endian(columns) != QMNIST_COLUMNS) {
        error_set(error, ERROR_INPUT,
                  "%s has %u numbers per label, QMNIST has 8: give another file", path,
                  big_endian(columns));
        goto out;
    }
    uint32_t count = big_endian(head + 4);
    if (dataset_check_size(path, 1, 1, count, error)) goto out;
    if (source_check_room(&source, (uint64_t)count * (wide ? 4 * QMNIST_COLUMNS : 1), error))
        goto out;
    labels = malloc(count);
    if (!labels) {
        error_set_memory(error, "the labels");
        goto out;
    }
    if (wide ? read_wide_labels(&source, count, labels, error)
             : source_read(&source, labels, count, error))
        goto out;
    if (source_expect_end(&source, error)) goto out;
    *out = (struct idx_labels){count, labels};
    labels = NULL;
    status = 0;
out:
    free(labels);
    source_close(&source);
    return status;
}
