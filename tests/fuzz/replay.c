/* Gives every file of tests/fuzz/corpus to its reader: seeds, and what the fuzzer once broke one
 * with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>

#include "base/file.h"
#include "targets.h"

#define INPUT_MAX ((size_t)1 << 20)

static size_t replay(const struct fuzz_target *target, const char *root)
{
    char folder[4096], path[5000];
    size_t count = 0;
    snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus/%s", root, target->name);
    DIR *entries = opendir(folder);
    if (!entries) return 0;
    for (struct dirent *entry; (entry = readdir(entries));) {
        struct error error = {0};
        char *bytes;
        size_t size;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        assert_int_equal(file_read(path, INPUT_MAX, &bytes, &size, &error), 0);
        fuzz_target_run(target, (const uint8_t *)bytes, size);
        free(bytes);
        count++;
    }
    closedir(entries);
    return count;
}

static void every_input_of_the_corpus_is_survived(void **state)
{
    (void)state;
    const char *root = getenv("NNSTUDIO_SOURCE");
    assert_non_null(root);
    for (size_t i = 0; i < fuzz_target_count; i++)
        if (!replay(&fuzz_targets[i], root)) fail_msg("no seeds for %s", fuzz_targets[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_input_of_the_corpus_is_survived)};
    return cmocka_run_group_tests_name("fuzz_corpus", tests, NULL, NULL);
}
