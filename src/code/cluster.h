/* The file with which a cluster trains on several machines: a script for its launcher, or a program
 * of the framework's own. */
#ifndef NNSTUDIO_CODE_CLUSTER_H
#define NNSTUDIO_CODE_CLUSTER_H

#include "ranks/script.h"
#include "run/settings.h"

struct cluster_file {
    const struct script_kind *kind;
    /* of the settings, by their place in settings_table, as they were given; NULL: not given */
    const char *texts[SETTINGS_MAX];
    const char *engine, *resume, *home, *model_out; /* NULL: not said */
    struct script script;
};

/* The words of `nnstudio train` there. */
struct cluster_arguments {
    const char *words[2 * SETTINGS_MAX + 9]; /* ended by NULL; they point into the file and here */
    char names[SETTINGS_MAX][64];
};
/* As the user gave them: paths are the cluster's, where another folder may be the current one. */
void cluster_arguments(const struct cluster_file *file, struct cluster_arguments *out);

/* Before the settings are in the job: the home that the user's own data is looked for in (NULL: the
 * usual one), the engine, and the run that goes on. */
int cluster_begin(const struct cluster_file *file, const char *home, struct job *job,
                  struct error *error);
/* With the settings in it: what `train` would refuse is refused here, as far as it can be known on
 * another machine. The script takes its name and threads from the job. */
int cluster_check(struct cluster_file *file, const struct job *job, struct error *error);
/* Writes the file; it may open the data to learn its shape. */
int cluster_write(struct cluster_file *file, struct job *job, struct buffer *out,
                  struct error *error);
/* How the file of that name is started, in one line. */
void cluster_start(const struct cluster_file *file, const char *name, struct buffer *out);

#endif
