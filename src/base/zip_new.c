#include "base/zip_new.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What libzip writes to: a zip source of our own. */
struct target {
    FILE *stream; /* NULL unless an archive is being written */
    zip_error_t problem;
    char path[];
};

static zip_int64_t fail(struct target *target, int what)
{
    zip_error_set(&target->problem, what, errno);
    return -1;
}

static zip_int64_t begin(struct target *target)
{
    target->stream = fopen(target->path, "wbe");
    return target->stream ? 0 : fail(target, ZIP_ER_OPEN);
}

static zip_int64_t write_bytes(struct target *target, const void *bytes, zip_uint64_t size)
{
    return fwrite(bytes, 1, size, target->stream) == size ? (zip_int64_t)size
                                                          : fail(target, ZIP_ER_WRITE);
}

/* Back to where a size or a checksum is filled in. */
static zip_int64_t seek(struct target *target, void *data, zip_uint64_t size)
{
    off_t here = ftello(target->stream);
    if (here < 0 || fseeko(target->stream, 0, SEEK_END)) return fail(target, ZIP_ER_SEEK);
    off_t length = ftello(target->stream);
    zip_int64_t place = zip_source_seek_compute_offset((zip_uint64_t)here, (zip_uint64_t)length,
                                                       data, size, &target->problem);
    if (place < 0) return -1;
    return fseeko(target->stream, place, SEEK_SET) ? fail(target, ZIP_ER_SEEK) : 0;
}

static zip_int64_t end(struct target *target)
{
    FILE *stream = target->stream;
    target->stream = NULL;
    return fclose(stream) ? fail(target, ZIP_ER_WRITE) : 0;
}

static zip_int64_t take_back(struct target *target)
{
    if (target->stream) fclose(target->stream);
    target->stream = NULL;
    unlink(target->path);
    return 0;
}

static void release(struct target *target)
{
    if (target->stream) take_back(target);
    zip_error_fini(&target->problem);
    free(target);
}

/* There is nothing to read before it is written. */
static zip_int64_t nothing_there(struct target *target)
{
    errno = ENOENT;
    return fail(target, ZIP_ER_READ);
}

static zip_int64_t serve(void *context, void *data, zip_uint64_t size, zip_source_cmd_t command)
{
    struct target *target = context;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(
            ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR,
            ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_BEGIN_WRITE,
            ZIP_SOURCE_COMMIT_WRITE, ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_WRITE,
            ZIP_SOURCE_SEEK_WRITE, ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_REMOVE, -1);
    case ZIP_SOURCE_BEGIN_WRITE:
        return begin(target);
    case ZIP_SOURCE_WRITE:
        return write_bytes(target, data, size);
    case ZIP_SOURCE_TELL_WRITE:
        return ftello(target->stream);
    case ZIP_SOURCE_SEEK_WRITE:
        return seek(target, data, size);
    case ZIP_SOURCE_COMMIT_WRITE:
        return end(target);
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_REMOVE:
        return take_back(target);
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&target->problem, data, size);
    case ZIP_SOURCE_FREE:
        release(target);
        return 0;
    default:
        return nothing_there(target);
    }
}

int zip_new(const char *path, zip_t **out, struct error *error)
{
    struct target *target = calloc(1, sizeof *target + strlen(path) + 1);
    zip_error_t problem;
    zip_error_init(&problem);
    if (!target) return error_set_memory(error, "an archive");
    memcpy(target->path, path, strlen(path));
    zip_error_init(&target->problem);
    zip_source_t *source = zip_source_function_create(serve, target, &problem);
    if (!source) release(target);
    *out = source ? zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &problem) : NULL;
    if (!*out) {
        error_set(error, ERROR_IO, "cannot write %s: %s", path, zip_error_strerror(&problem));
        zip_source_free(source);
    }
    zip_error_fini(&problem);
    return *out ? 0 : -1;
}

static int add(zip_t *archive, const char *name, zip_source_t *source, struct error *error)
{
    if (source && zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8) >= 0) return 0;
    zip_source_free(source);
    return error_set(error, ERROR_IO, "cannot put %s into an archive: %s", name,
                     zip_strerror(archive));
}

int zip_new_add_file(zip_t *archive, const char *name, const char *path, struct error *error)
{
    return add(archive, name, zip_source_file(archive, path, 0, -1), error);
}

int zip_new_add_bytes(zip_t *archive, const char *name, const void *bytes, size_t size,
                      struct error *error)
{
    return add(archive, name, zip_source_buffer(archive, bytes, size, 0), error);
}

int zip_new_finish(zip_t *archive, const char *path, struct error *error)
{
    if (!zip_close(archive)) return 0;
    error_set(error, ERROR_IO, "cannot write %s: %s", path, zip_strerror(archive));
    zip_discard(archive);
    return -1;
}
