/* The readers of what comes from outside, each as a function of bytes: for the fuzzer (driver.c)
 * and for the replay of what it found (replay.c). Whatever the bytes, a reader ends with a value
 * that holds together or with one line. */
#ifndef NNSTUDIO_TESTS_FUZZ_TARGETS_H
#define NNSTUDIO_TESTS_FUZZ_TARGETS_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
    const char *name; /* also of its folder below corpus/ */
    /* the file that the bytes are put into, alone in a folder; NULL: the reader takes them as they
     * are */
    const char *file;
    void (*read)(const uint8_t *bytes, size_t size, const char *path);
};
extern const struct fuzz_target fuzz_targets[];
extern const size_t fuzz_target_count;

const struct fuzz_target *fuzz_target_find(const char *name);
/* Gives the bytes to the reader; aborts when it breaks its promises. */
void fuzz_target_run(const struct fuzz_target *target, const uint8_t *bytes, size_t size);

#endif
