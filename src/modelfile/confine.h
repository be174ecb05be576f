/* Reading a model in a child process that can compute and answer, and nothing else. Private to
 * this room.
 *
 * libhdf5 reads and writes past its memory on some damaged files (our fuzzing shows it within
 * seconds), so a file from
 * outside must not meet it in this process: the server would fall, or worse. The child gets the
 * file's bytes in memory,
 * may open nothing, start nothing and connect to nothing (resource limits, and on Linux a seccomp
 * filter), and what it
 * answers is checked like any other input. */
#ifndef NNSTUDIO_MODELFILE_CONFINE_H
#define NNSTUDIO_MODELFILE_CONFINE_H

#include "modelfile/modelfile.h"

typedef int confined_reader(const char *data, size_t size, const struct modelfile_options *options,
                            struct model *out, struct error *error);

/* Calls `read` in a child and fills *out (but `format`) with the model it made. A crash, an
 * endless loop or memory out
 * of bounds there becomes an error here. */
int confined_read(confined_reader *read, const char *data, size_t size,
                  const struct modelfile_options *options, struct model *out, struct error *error);

#endif
