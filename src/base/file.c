#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

int file_read(const char *path, size_t limit, char **data, size_t *size, struct error *error)
{
    int status = -1;
    struct stat info;
    struct buffer buffer;
    buffer_init(&buffer, limit);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set_errno(error, errno, "cannot read %s", path);
    if (fstat(fd, &info)) {
        error_set_errno(error, errno, "cannot read %s", path);
        goto out;
    }
    if (!S_ISREG(info.st_mode)) {
        error_set(error, ERROR_INPUT, "%s is not a regular file: name a file", path);
        goto out;
    }
    if ((uint64_t)info.st_size > limit) {
        error_set(error, ERROR_INPUT, "%s is too large: %lld bytes, the most is %zu", path,
                  (long long)info.st_size, limit);
        goto out;
    }
    for (;;) {
        char *place = buffer_reserve(&buffer, (size_t)info.st_size > buffer.length
                                                  ? (size_t)info.st_size - buffer.length
                                                  : 1);
        if (!place) {
            buffer_check(&buffer, path, error);
            goto out;
        }
        ssize_t got = read(fd, place, buffer.capacity - buffer.length - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            error_set_errno(error, errno, "cannot read %s", path);
            goto out;
        }
        if (got == 0) break;
        buffer.length += (size_t)got;
        if (buffer.length >= (size_t)info.st_size) break;
    }
    buffer.data[buffer.length] = '\0';
    *data = buffer.data;
    *size = buffer.length;
    buffer.data = NULL;
    status = 0;
out:
    close(fd);
    buffer_free(&buffer);
    return status;
}

/* A fresh temporary file, locked as long as its writer lives, by which others know that it is no
 * leftover. -1 with errno set. */
static int open_temporary(char *pattern)
{
    size_t random = strlen(pattern) - 6;
    for (;;) {
        struct stat info;
        int fd = mkostemp(pattern, O_CLOEXEC);
        if (fd < 0) return -1;
        flock(fd, LOCK_EX); /* where there are no locks nobody takes leftovers away either */
        if (fstat(fd, &info) || info.st_nlink) return fd;
        close(fd); /* taken for a leftover before it was locked */
        memcpy(pattern + random, "XXXXXX", 6);
    }
}

int file_create(const char *path, struct file_writer *writer, struct error *error)
{
    *writer = (struct file_writer){0};
    int fd = -1;
    if (asprintf(&writer->temporary, "%s.part-XXXXXX", path) < 0) writer->temporary = NULL;
    writer->final = strdup(path);
    if (!writer->temporary || !writer->final) {
        error_set_memory(error, "a file name");
        goto fail;
    }
    file_remove_unfinished(path);
    fd = open_temporary(writer->temporary);
    if (fd < 0) {
        error_set_errno(error, errno, "cannot write %s", path);
        goto fail;
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask);
    writer->stream = fdopen(fd, "w+b");
    if (!writer->stream) {
        error_set_memory(error, "a file");
        close(fd);
        unlink(writer->temporary);
        goto fail;
    }
    return 0;
fail:
    free(writer->temporary);
    free(writer->final);
    *writer = (struct file_writer){0};
    return -1;
}

int file_commit(struct file_writer *writer, struct error *error)
{
    int number = 0;
    if (ferror(writer->stream)) number = EIO;
    errno = 0;
    if (fflush(writer->stream) && !number) number = errno;
    /* Another library may have written the file by name; its bytes need the sync as well. */
    if (fsync(fileno(writer->stream)) && !number && errno != EINVAL) number = errno;
    if (fclose(writer->stream) && !number) number = errno;
    writer->stream = NULL;
    if (!number && rename(writer->temporary, writer->final)) number = errno;
    if (number) {
        error_set_errno(error, number, "cannot write %s", writer->final);
        file_abort(writer);
        return -1;
    }
    free(writer->temporary);
    free(writer->final);
    *writer = (struct file_writer){0};
    return 0;
}

void file_abort(struct file_writer *writer)
{
    if (writer->stream) fclose(writer->stream);
    if (writer->temporary) unlink(writer->temporary);
    free(writer->temporary);
    free(writer->final);
    *writer = (struct file_writer){0};
}

/* "NAME.part-" and six letters or digits. */
static bool is_temporary(const char *entry, const char *base)
{
    size_t length = base ? strlen(base) : 0;
    const char *mark = base ? entry + length : strstr(entry, ".part-");
    if (base && strncmp(entry, base, length) != 0) return false;
    return mark && strncmp(mark, ".part-", 6) == 0 && strlen(mark) == 12;
}

/* Removes a temporary file or folder whose writer lives no more: its lock is free. */
static void remove_leftover(const char *folder, const char *name)
{
    struct stat info;
    struct error ignored;
    char *path = path_join(folder, name);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &info)) {
        if (S_ISDIR(info.st_mode))
            file_remove_tree(path, &ignored);
        else
            unlink(path);
    }
    if (fd >= 0) close(fd);
    free(path);
}

/* `base` NULL: of any file. */
static void remove_leftovers(const char *folder, const char *base)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (is_temporary(entry->d_name, base)) remove_leftover(folder, entry->d_name);
    if (entries) closedir(entries);
}

void file_remove_unfinished(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("./");
    if (folder) remove_leftovers(folder, slash ? slash + 1 : path);
    free(folder);
}

void file_remove_all_unfinished(const char *folder)
{
    remove_leftovers(folder, NULL);
}

int file_scratch_create(const char *path, struct file_scratch *scratch, struct error *error)
{
    *scratch = (struct file_scratch){.lock = -1};
    file_remove_unfinished(path);
    for (;;) {
        struct stat info;
        if (asprintf(&scratch->folder, "%s.part-XXXXXX", path) < 0) {
            scratch->folder = NULL;
            return error_set_memory(error, "a path");
        }
        if (!mkdtemp(scratch->folder)) {
            error_set_errno(error, errno, "cannot write %s", path);
            free(scratch->folder);
            scratch->folder = NULL;
            return -1;
        }
        scratch->lock = open(scratch->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (scratch->lock >= 0) flock(scratch->lock, LOCK_EX);
        /* taken for a leftover before it was locked? then once more */
        bool gone = scratch->lock < 0 ? errno == ENOENT
                                      : !fstat(scratch->lock, &info) && !info.st_nlink;
        if (!gone) return 0;
        if (scratch->lock >= 0) close(scratch->lock);
        free(scratch->folder);
    }
}

int file_scratch_create_in(const char *folder, const char *name, struct file_scratch *scratch,
                           struct error *error)
{
    *scratch = (struct file_scratch){.lock = -1};
    if (file_make_directories(folder, error)) return -1;
    char *path = path_join(folder, name);
    int status = path ? file_scratch_create(path, scratch, error)
                      : error_set_memory(error, "a path");
    free(path);
    return status;
}

int file_scratch_deliver(const struct file_scratch *scratch, const char *path, struct error *error)
{
    char *made = path_join(scratch->folder, path_base(path));
    if (!made) return error_set_memory(error, "a path");
    int status = rename(made, path) ? error_set_errno(error, errno, "cannot write %s", path) : 0;
    free(made);
    return status;
}

void file_scratch_remove(struct file_scratch *scratch)
{
    struct error ignored;
    if (!scratch->folder) return;
    file_remove_tree(scratch->folder, &ignored);
    if (scratch->lock >= 0) close(scratch->lock);
    free(scratch->folder);
    *scratch = (struct file_scratch){.lock = -1};
}

int file_write(const char *path, const void *data, size_t size, struct error *error)
{
    struct file_writer writer;
    if (file_create(path, &writer, error)) return -1;
    if (fwrite(data, 1, size, writer.stream) != size) {
        error_set_errno(error, errno, "cannot write %s", path);
        file_abort(&writer);
        return -1;
    }
    return file_commit(&writer, error);
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int file_make_directories(const char *path, struct error *error)
{
    char *copy = strdup(path);
    if (!copy) return error_set_memory(error, "a path");
    int status = 0;
    for (char *slash = copy; *slash && !status;) {
        slash += strspn(slash, "/");
        slash += strcspn(slash, "/");
        char kept = *slash;
        *slash = '\0';
        if (mkdir(copy, 0755) && errno != EEXIST) {
            int number = errno;
            /* An existing parent on a read-only file system answers EROFS before EEXIST. */
            if (!file_is_directory(copy))
                status = error_set_errno(error, number, "cannot make the folder %s", copy);
        }
        *slash = kept;
    }
    if (!status && !file_is_directory(path))
        status = error_set(error, ERROR_IO, "%s is not a folder: name another place", path);
    free(copy);
    return status;
}

int file_check_writable(const char *directory, struct error *error)
{
    if (file_make_directories(directory, error)) return -1;
    char *probe;
    if (asprintf(&probe, "%s/.probe-XXXXXX", directory) < 0)
        return error_set_memory(error, "a path");
    int status = 0;
    int fd = mkostemp(probe, O_CLOEXEC);
    if (fd < 0) {
        status = error_set_errno(error, errno, "cannot write in the folder %s", directory);
    } else {
        close(fd);
        unlink(probe);
    }
    free(probe);
    return status;
}

static int remove_below(int parent, const char *name);

/* What a folder holds goes. The list of entries is read in pieces onto the stack: what is removed
 * because memory ran out must not need any. */
static int empty_folder(int folder)
{
    _Alignas(struct dirent64) char entries[4096];
    ssize_t got;
    while ((got = getdents64(folder, entries, sizeof entries)) > 0) {
        bool removed = false;
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            if (remove_below(folder, entry->d_name)) return -1;
            removed = true;
        }
        /* from the start again, for places in a folder that changes are not to be relied on */
        if (removed && lseek(folder, 0, SEEK_SET) < 0) return -1;
    }
    return got < 0 ? -1 : 0;
}

static int remove_below(int parent, const char *name)
{
    if (!unlinkat(parent, name, 0) || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return -1; /* EPERM: a folder, as POSIX has it */
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) return -1;
    int status = empty_folder(folder), number = errno;
    close(folder);
    errno = number;
    return status || unlinkat(parent, name, AT_REMOVEDIR) ? -1 : 0;
}

int file_remove_tree(const char *path, struct error *error)
{
    if (remove_below(AT_FDCWD, path))
        return error_set_errno(error, errno, "cannot remove %s", path);
    return 0;
}
