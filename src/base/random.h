/* Bytes that nobody can guess, from the kernel (getrandom(2)); base/rng.h has those that are the
 * same every time. */
#ifndef NNSTUDIO_BASE_RANDOM_H
#define NNSTUDIO_BASE_RANDOM_H

#include <stddef.h>

/* Fills `out` with `count` bytes, at most 256. It needs no memory and cannot fail: a kernel without
 * a source of chance ends the program. */
void random_fill(void *out, size_t count);
/* As many lower-case hex digits, even and at most 64, and the NUL. */
void random_hex(char *out, size_t digits);

#endif
