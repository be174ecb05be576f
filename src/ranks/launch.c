/* How the launchers tell a process its rank. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ranks/ranks.h"

/* Open MPI's mpirun: https://docs.open-mpi.org, "Environment variables set by mpirun". MPICH's
 * Hydra and other PMI launchers: PMI_RANK, PMI_SIZE. SLURM's srun: SLURM_PROCID, SLURM_NTASKS,
 * which sbatch sets, too, for a script that runs once: SLURM_STEP_ID tells the two apart. */
static const struct {
    const char *launcher, *rank, *size, *local_size;
    const char *needs;  /* another variable that must be there; NULL: none */
    const char *module; /* where there is one for this launcher's MPI; NULL: the usual */
} launchers[] = {
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", NULL,
     NULL},
    {"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", NULL, "nnstudio-mpich.so"},
    {"srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_STEP_ID", NULL},
};

static int read_number(const char *name, const char *text, uint32_t high, uint32_t *out,
                       struct error *error)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value > high)
        return error_set(error, ERROR_INPUT,
                         "the environment says %s=%.40s: a number from 0 to %u is needed (unset it "
                         "to train alone)",
                         name, text, high);
    *out = (uint32_t)value;
    return 0;
}

int launch_read(struct launch *out, struct error *error)
{
    *out = (struct launch){.size = 1, .local_size = 1, .launcher = ""};
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
        const char *rank = getenv(launchers[i].rank), *size = getenv(launchers[i].size);
        const char *local = getenv(launchers[i].local_size);
        uint32_t local_size;
        struct error ignored;
        if (!rank || !size || (launchers[i].needs && !getenv(launchers[i].needs))) continue;
        if (read_number(launchers[i].size, size, RANKS_MAX, &out->size, error) ||
            read_number(launchers[i].rank, rank, RANKS_MAX, &out->rank, error))
            return -1;
        if (out->size < 1 || out->rank >= out->size)
            return error_set(error, ERROR_INPUT,
                             "the environment says rank %u of %u: unset %s and %s to train alone",
                             out->rank, out->size, launchers[i].rank, launchers[i].size);
        if (local && !read_number("", local, out->size, &local_size, &ignored) && local_size)
            out->local_size = local_size;
        out->launcher = launchers[i].launcher;
        out->module = launchers[i].module;
        return 0;
    }
    return 0;
}
