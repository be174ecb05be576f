/* What `nnstudio job` is told of a training on several machines. */
#ifndef NNSTUDIO_CLI_JOB_WORDS_H
#define NNSTUDIO_CLI_JOB_WORDS_H

#include "cli/settings.h"
#include "ranks/script.h"

struct job_words {
    struct settings_words settings;
    const char *engine, *out, *model_out, *resume;
    const char *home; /* of the ranks; NULL: their own */
    struct script script;
};

/* The words of `nnstudio train` on the cluster. */
struct job_arguments {
    const char *words[2 * SETTINGS_MAX + 9]; /* ended by NULL; they point into job_words and here */
    char names[SETTINGS_MAX][64];
};
void job_words_arguments(const struct job_words *words, struct job_arguments *out);
/* Fills in *job and what the script takes from it. */
int job_words_check(struct job_words *words, struct job *job, struct error *error);

/* Whether the first word is one of Azure's: submit, follow, cancel, list. */
bool job_verb(int argc, char **argv);
int job_azure(int argc, char **argv);

#endif
