/* Reading a model, and making a file, in a child process that can compute and answer, and nothing
 * else. Private to this room.
 *
 * libhdf5 reads and writes past its memory on some damaged files (our fuzzing shows it within
 * seconds), so a file from outside must not meet it in this process: the server would crash, or
 * worse. The child gets the file's bytes in memory, may open nothing, start nothing and connect to
 * nothing (resource limits, and on Linux a seccomp filter), and what it answers is checked like any
 * other input. It holds no descriptor but its answer's, ends with the process that started it, and
 * is not waited for beyond a deadline. */
#ifndef NNSTUDIO_MODELFILE_CONFINE_H
#define NNSTUDIO_MODELFILE_CONFINE_H

#include "modelfile/modelfile.h"

typedef int confined_reader(const char *data, size_t size, const struct modelfile_options *options,
                            struct model *out, struct error *error);

/* Calls `read` in a child and fills *out (but `format`) with the model it made. A crash, an endless
 * loop, waiting without end or memory out of bounds there becomes an error here. */
int confined_read(confined_reader *read, const char *data, size_t size,
                  const struct modelfile_options *options, struct model *out, struct error *error);

/* The same with a deadline of one's own: `seconds` for the whole answer. */
int confined_read_within(double seconds, confined_reader *read, const char *data, size_t size,
                         const struct modelfile_options *options, struct model *out,
                         struct error *error);

typedef int confined_maker(const void *context, char **out, size_t *size, struct error *error);

/* Calls `make` in a child and hands over the bytes that it made, malloc'd: a library that crashes
 * when memory is short (libhdf5's set-up does) becomes an error here. `about`: bytes of values that
 * go in, which its limits follow. */
int confined_make(confined_maker *make, const void *context, size_t about, char **out, size_t *size,
                  struct error *error);

#endif
