#include "cli/network_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "net/compact.h"

#define SPEC_MAX ((size_t)1 << 20)

static bool ends_with(const char *text, const char *ending)
{
    size_t a = strlen(text), b = strlen(ending);
    return a >= b && strcmp(text + a - b, ending) == 0;
}

static bool names_spec_file(const char *spec)
{
    return file_exists(spec) && (ends_with(spec, ".json") || ends_with(spec, ".txt"));
}

bool network_words_are(const char *spec)
{
    return preset_find(spec) || !file_exists(spec) || names_spec_file(spec);
}

static int read_file(const char *path, struct network *network, struct error *error)
{
    char *text;
    size_t size;
    if (file_read(path, SPEC_MAX, &text, &size, error)) return -1;
    int status = network_read(text, network, error);
    free(text);
    return status ? error_prefix(error, "%s", path) : 0;
}

int network_words_read(const char *spec, struct network *network, struct error *error)
{
    return !preset_find(spec) && names_spec_file(spec) ? read_file(spec, network, error)
                                                       : network_read(spec, network, error);
}

/* "28x28" or "32x32x3" */
int network_words_input(const char *text, struct network *network, struct error *error)
{
    unsigned rows, columns, channels = 1;
    int used = 0, count = sscanf(text, "%5ux%5u%nx%1u%n", &rows, &columns, &used, &channels, &used);
    if (count < 2 || text[used])
        return error_set(
            error, ERROR_USAGE,
            "the input \"%.40s\" is not valid: write it as rows x columns, as in 28x28, "
            "or 32x32x3 for color",
            text);
    *network = (struct network){.rows = rows, .columns = columns, .channels = channels};
    return 0;
}
