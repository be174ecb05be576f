/* The studio's dropout masks as a file for the programs' --masks. For this room only. */
#ifndef NNSTUDIO_CODE_MASKS_FILE_H
#define NNSTUDIO_CODE_MASKS_FILE_H

#include <stdio.h>

#include "base/error.h"
#include "run/job.h"

#define MASKS_MAX_BYTES ((size_t)256 << 20)

/* The header of NumPy's .npy, version 1.0, for a table: `type` is "<i4" or "|u1".
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
void npy_write_header(FILE *stream, const char *type, size_t rows, size_t columns);

/* Writes masks.npz: for each dropout layer, under its name, a row of zeros and ones per sample in
 * the order of training, values as the studio counts them (channel, row, column). ERROR_INPUT when
 * that is over MASKS_MAX_BYTES. The layers' own files are left in `folder`. */
int masks_write(const struct job *job, const struct network *network, size_t samples,
                const char *folder, const char *path, struct error *error);

#endif
