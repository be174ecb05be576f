/* What a cluster's own launcher is given: a file that has it start `nnstudio train` on several
 * nodes. */
#ifndef NNSTUDIO_RANKS_SCRIPT_H
#define NNSTUDIO_RANKS_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define SCRIPT_MAX_NODES 1024
#define SCRIPT_MAX_RANKS 256 /* per node */

struct script {
    const char *name;             /* the job's: letters, digits, '.', '_', '-' */
    const char *program;          /* nnstudio on the cluster: a path or a name */
    const char *const *arguments; /* of `nnstudio train`, ended by NULL */
    uint32_t nodes, ranks;        /* ranks per node */
    uint32_t threads;             /* of each rank; 0: not said */
    const char *time;             /* the most it may take, "HH:MM:SS"; NULL: the cluster's own */
    const char *partition;        /* slurm; NULL: the cluster's own */
    const char *image;            /* kubeflow, azureml: a container image with nnstudio and MPI */
    const char *compute;          /* azureml: the compute target's name */
};

struct script_kind {
    const char *id;      /* "slurm" */
    const char *file;    /* its usual name: "job.sh" */
    const char *submit;  /* hands in the file behind it: "sbatch" */
    const char *out;     /* where models go so that they outlive the job; NULL: train's default */
    const char *summary; /* "an sbatch script for SLURM" */
    bool needs_image, needs_compute;
    /* NULL: the job is not `nnstudio train` but a Python program of the framework's own, which
     * nnstudio writes; every process gets the same. */
    void (*write)(const struct script *script, struct buffer *out);
    const char *framework; /* of that program: "torch"; else NULL */
};

extern const struct script_kind script_kinds[];
extern const size_t script_kind_count;
/* ERROR_USAGE, with the kinds there are. */
int script_kind_need(const char *id, const struct script_kind **out, struct error *error);
/* The command line of `nnstudio train`, as a shell takes it. */
void script_train(const struct script *script, struct buffer *out);
/* "02:30:00" in seconds; false for anything else. */
bool script_time(const char *time, unsigned *out);
/* Refuses what the kind needs and is not there, numbers out of range, and a time that is none. */
int script_check(const struct script_kind *kind, const struct script *script, struct error *error);

#endif
