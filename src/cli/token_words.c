#include "cli/token_words.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

int token_words_use(struct token_words *words, const char **out, struct error *error)
{
    size_t size;
    *out = words->token;
    if (words->token && words->file)
        return error_set(error, ERROR_USAGE,
                         "--token and --token-file are both given: leave one out");
    if (words->file) {
        if (file_read(words->file, 4096, &words->kept, &size, error)) return -1;
        words->kept[strcspn(words->kept, "\r\n")] = '\0';
        *out = words->kept;
    }
    if (!*out) *out = getenv("NNSTUDIO_TOKEN");
    return 0;
}

void token_words_free(struct token_words *words)
{
    free(words->kept);
    words->kept = NULL;
}
