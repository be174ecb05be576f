/* libFuzzer's entry: fuzzes the reader that NNSTUDIO_FUZZ_TARGET names. scripts/fuzz builds and
 * runs it. */
#include <stdio.h>
#include <stdlib.h>

#include "targets.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const char *name = getenv("NNSTUDIO_FUZZ_TARGET");
    target = name ? fuzz_target_find(name) : NULL;
    if (target) return 0;
    fprintf(stderr, "NNSTUDIO_FUZZ_TARGET must be one of:");
    for (size_t i = 0; i < fuzz_target_count; i++) fprintf(stderr, " %s", fuzz_targets[i].name);
    fputc('\n', stderr);
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_target_run(target, bytes, size);
    return 0;
}
