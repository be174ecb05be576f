/* What `nnstudio job` is told of a training on several machines. */
#ifndef NNSTUDIO_CLI_JOB_WORDS_H
#define NNSTUDIO_CLI_JOB_WORDS_H

#include "cli/settings.h"
#include "code/cluster.h"

struct job_words {
    struct settings_words settings;
    const char *out;
    struct cluster_file file;
};

/* Fills in *job and the file, whose kind is set. */
int job_words_check(struct job_words *words, struct job *job, struct error *error);

/* Whether the first word is one of Azure's: submit, follow, cancel, list. */
bool job_verb(int argc, char **argv);
int job_azure(int argc, char **argv);

#endif
