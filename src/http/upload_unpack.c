/* A zip archive of which nothing is believed, unpacked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "http/upload.h"

#define ENTRIES_MAX 400000
#define DEPTH_MAX   12
#define PIECE       ((size_t)64 << 10)

static int refuse(const char *entry, const char *what, struct error *error)
{
    return error_set(error, ERROR_INPUT, "the archive's entry \"%.80s\" %s: zip the folder again",
                     text_shown(entry), what);
}

static bool is_part(const char *part, size_t length, const char *name)
{
    return strlen(name) == length && strncmp(part, name, length) == 0;
}

/* A path below the folder: no "..", nothing absolute, no backslash, no control characters. *hidden
 * is set for what systems put beside files of users. */
static int check_path(const char *path, bool *hidden, struct error *error)
{
    int depth = 0;
    *hidden = false;
    if (!path[0] || path[0] == '/' || strchr(path, '\\') || (path[0] && path[1] == ':'))
        return refuse(path, "has an absolute path or a backslash in its name", error);
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return refuse(path, "has control characters in its name", error);
    for (const char *part = path; *part; depth++) {
        size_t length = strcspn(part, "/");
        bool last = !part[length];
        if (!length || length > 255 || is_part(part, length, "..") || is_part(part, length, "."))
            return refuse(path, "leads out of the folder or has no plain path", error);
        if (part[0] == '.' || is_part(part, length, "__MACOSX") ||
            is_part(part, length, "Thumbs.db"))
            *hidden = true;
        part += length + !last;
    }
    return depth > DEPTH_MAX ? refuse(path, "lies too deep", error) : 0;
}

/* Plain files and folders only: links and devices are refused by their mode. */
static int check_type(zip_t *archive, zip_uint64_t index, const char *path, struct error *error)
{
    zip_uint8_t system;
    zip_uint32_t attributes;
    if (zip_file_get_external_attributes(archive, index, 0, &system, &attributes) ||
        system != ZIP_OPSYS_UNIX)
        return 0;
    mode_t mode = (mode_t)(attributes >> 16);
    bool plain = !(mode & S_IFMT) || S_ISREG(mode) || S_ISDIR(mode);
    return plain ? 0 : refuse(path, "is a link or a device", error);
}

struct unpacking {
    zip_t *archive;
    const char *folder;
    atomic_bool *stop;
    uint64_t bytes; /* written so far */
};

static int too_large(const char *entry, struct error *error)
{
    return error_set(error, ERROR_INPUT,
                     "the archive holds more than %llu bytes (at \"%.80s\"): send less, or put the "
                     "data into the data folder of the studio's home yourself",
                     (unsigned long long)UPLOAD_BYTES_MAX, text_shown(entry));
}

static int copy_out(struct unpacking *unpacking, zip_file_t *in, FILE *out, const char *entry,
                    struct error *error)
{
    char piece[PIECE];
    zip_int64_t got;
    while ((got = zip_fread(in, piece, sizeof piece)) > 0) {
        unpacking->bytes += (uint64_t)got;
        if (unpacking->bytes > UPLOAD_BYTES_MAX) return too_large(entry, error);
        if (atomic_load(unpacking->stop))
            return error_set(error, ERROR_INTERRUPTED, "the upload was discarded");
        if (fwrite(piece, 1, (size_t)got, out) != (size_t)got)
            return error_set_errno(error, errno, "cannot write \"%.80s\"", text_shown(entry));
    }
    return got < 0 ? refuse(entry, "cannot be read: it is damaged", error) : 0;
}

/* The folders above a path are made first. */
static int make_parents(char *path, struct error *error)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int status = file_is_directory(path) ? 0 : file_make_directories(path, error);
    *slash = '/';
    return status;
}

static int unpack_file(struct unpacking *unpacking, zip_uint64_t index, const char *entry,
                       char *path, struct error *error)
{
    int status = -1;
    FILE *out = NULL;
    zip_file_t *in = NULL;
    if (make_parents(path, error)) return -1;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        if (errno == EEXIST) return refuse(entry, "is there twice", error);
        return error_set_errno(error, errno, "cannot write \"%.80s\"", text_shown(entry));
    }
    in = zip_fopen_index(unpacking->archive, index, 0);
    out = fdopen(fd, "wb");
    if (!out) {
        close(fd);
        error_set_memory(error, "a file");
    } else if (!in) {
        refuse(entry, "cannot be read: it is encrypted or compressed in an unusual way", error);
    } else {
        status = copy_out(unpacking, in, out, entry, error);
    }
    if (in) zip_fclose(in);
    if (out && fclose(out) && !status)
        status = error_set_errno(error, errno, "cannot write \"%.80s\"", text_shown(entry));
    return status;
}

static int unpack_entry(struct unpacking *unpacking, zip_uint64_t index, size_t *skipped,
                        struct error *error)
{
    bool hidden;
    zip_stat_t info;
    const char *entry = zip_get_name(unpacking->archive, index, ZIP_FL_ENC_GUESS);
    if (!entry || zip_stat_index(unpacking->archive, index, 0, &info))
        return error_set(error, ERROR_INPUT, "the archive is damaged: zip the folder again");
    if (check_path(entry, &hidden, error) || check_type(unpacking->archive, index, entry, error))
        return -1;
    size_t length = strlen(entry);
    bool folder = entry[length - 1] == '/';
    if (hidden) *skipped += !folder;
    if (hidden || folder) return 0;
    /* What it claims is believed only where it is too much. */
    if (info.valid & ZIP_STAT_SIZE && info.size > UPLOAD_BYTES_MAX - unpacking->bytes)
        return too_large(entry, error);
    char *path = path_join(unpacking->folder, entry);
    if (!path) return error_set_memory(error, "a path");
    int status = unpack_file(unpacking, index, entry, path, error);
    free(path);
    return status;
}

int upload_unpack(const char *archive, const char *folder, atomic_bool *stop, size_t *skipped,
                  struct error *error)
{
    int code;
    struct unpacking unpacking = {zip_open(archive, ZIP_RDONLY, &code), folder, stop, 0};
    *skipped = 0;
    if (!unpacking.archive)
        return error_set(error, ERROR_INPUT,
                         "%s is not a zip archive, or it is damaged: zip the folder again",
                         path_base(archive));
    zip_int64_t count = zip_get_num_entries(unpacking.archive, 0);
    int status = file_make_directories(folder, error);
    if (!status && (count < 1 || count > ENTRIES_MAX))
        status = error_set(error, ERROR_INPUT, "the archive has %lld entries: 1 to %d are taken",
                           (long long)count, ENTRIES_MAX);
    for (zip_int64_t i = 0; !status && i < count; i++)
        status = unpack_entry(&unpacking, (zip_uint64_t)i, skipped, error);
    zip_discard(unpacking.archive);
    return status;
}
