/* The token of a server, as the command line and the environment give it. */
#ifndef NNSTUDIO_CLI_TOKEN_WORDS_H
#define NNSTUDIO_CLI_TOKEN_WORDS_H

#include "base/error.h"

struct token_words {
    const char *token, *file;
    char *kept; /* owned: what the file held */
};

#define TOKEN_OPTIONS(words)                                                                     \
    {"token", OPTION_TEXT, &(words).token, "T",                                                  \
     "require this token (one is made where it is needed); other users can see it in the "       \
     "list of processes: prefer NNSTUDIO_TOKEN or --token-file"},                                \
    {                                                                                            \
        "token-file", OPTION_TEXT, &(words).file, "FILE", "a file whose first line is the token" \
    }

/* *out borrows from `words` or the environment; NULL: none is given. */
int token_words_use(struct token_words *words, const char **out, struct error *error);
void token_words_free(struct token_words *words);

#endif
