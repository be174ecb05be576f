/* Whole files: read with a cap, write so that nothing half-written ever stays. */
#ifndef NNSTUDIO_BASE_FILE_H
#define NNSTUDIO_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/error.h"

/* Reads a whole regular file into *data (malloc'd, NUL-terminated past `size`; the caller frees). A
 * file over `limit` bytes is refused. */
int file_read(const char *path, size_t limit, char **data, size_t *size, struct error *error);

/* A file being written under a temporary name beside its final one. Either file_commit() (flush,
 * fsync, rename) or file_abort() (unlink) must end it. `stream` is for the writer's use;
 * `temporary` is the path of the unfinished file, for libraries that want to open by name
 * themselves. */
struct file_writer {
    FILE *stream;
    char *temporary; /* owned */
    char *final;     /* owned */
};
int file_create(const char *path, struct file_writer *writer, struct error *error);
/* On failure the temporary file is gone and the old file, if any, is untouched. */
int file_commit(struct file_writer *writer, struct error *error);
/* Also fine after a commit or on a zeroed writer: does nothing then. */
void file_abort(struct file_writer *writer);

/* Removes what writers of `path` left (files, scratch folders) that were killed in mid-writing;
 * what a living one writes is locked, and stays. file_create() does so first. */
void file_remove_unfinished(const char *path);
/* The same of every file in `folder`. */
void file_remove_all_unfinished(const char *folder);

/* All in one: writes `size` bytes as the new content of `path`. */
int file_write(const char *path, const void *data, size_t size, struct error *error);

/* A folder for work on the way to `path`, beside it, and locked as the unfinished files are: what a
 * killed process left is removed by the next. */
struct file_scratch {
    char *folder; /* owned */
    int lock;
};
int file_scratch_create(const char *path, struct file_scratch *scratch, struct error *error);
/* The same for work that has no file to become: in `folder`, which is made when it is not there. */
int file_scratch_create_in(const char *folder, const char *name, struct file_scratch *scratch,
                           struct error *error);
/* Gives the file of that name (path_base() of the final one) in the folder its final name. */
int file_scratch_deliver(const struct file_scratch *scratch, const char *path, struct error *error);
/* With all that is in it; fine on one that is zeroed or was not created. */
void file_scratch_remove(struct file_scratch *scratch);

bool file_exists(const char *path);
bool file_is_directory(const char *path);
/* mkdir -p with mode 0755. */
int file_make_directories(const char *path, struct error *error);
/* 0 when files can be made in `directory`, after making it; says what is wrong otherwise. */
int file_check_writable(const char *directory, struct error *error);
/* rm -r; does not follow symbolic links. A path that is not there is success. */
int file_remove_tree(const char *path, struct error *error);

#endif
