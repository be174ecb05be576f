/* ranks/: what the launchers say. What ranks compute is for tests/python/test_ranks.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ranks/ranks.h"

static const struct {
    const char *set[8]; /* NAME, value … */
    const char *launcher;
    uint32_t rank, size, local_size; /* size 0: refused */
} launches[] = {
    {{NULL}, "", 0, 1, 1},
    {{"OMPI_COMM_WORLD_RANK", "2", "OMPI_COMM_WORLD_SIZE", "4"}, "mpirun", 2, 4, 1},
    {{"OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", "4", "OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
     "mpirun",
     0,
     4,
     2},
    {{"PMI_RANK", "1", "PMI_SIZE", "2"}, "mpirun", 1, 2, 1},
    {{"SLURM_PROCID", "1", "SLURM_NTASKS", "3", "SLURM_STEP_ID", "0"}, "srun", 1, 3, 1},
    /* A batch script has these as well, without a step: it runs once. */
    {{"SLURM_PROCID", "0", "SLURM_NTASKS", "3"}, "", 0, 1, 1},
    /* SLURM's "2(x3)" is no number of ranks here: one is a safe guess for sharing threads. */
    {{"SLURM_PROCID", "1", "SLURM_NTASKS", "3", "SLURM_STEP_ID", "0", "SLURM_NTASKS_PER_NODE", "x"},
     "srun",
     1,
     3,
     1},
    {{"OMPI_COMM_WORLD_RANK", "4", "OMPI_COMM_WORLD_SIZE", "4"}, NULL, 0, 0, 0},
    {{"OMPI_COMM_WORLD_RANK", "-1", "OMPI_COMM_WORLD_SIZE", "4"}, NULL, 0, 0, 0},
    {{"OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", "0"}, NULL, 0, 0, 0},
    {{"OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", "four"}, NULL, 0, 0, 0},
    {{"PMI_RANK", "0", "PMI_SIZE", "99999999999999999999"}, NULL, 0, 0, 0},
};

static void clear(void)
{
    static const char *const names[] = {
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        "PMI_RANK",
        "PMI_SIZE",
        "MPI_LOCALNRANKS",
        "SLURM_PROCID",
        "SLURM_NTASKS",
        "SLURM_NTASKS_PER_NODE",
        "SLURM_STEP_ID",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) unsetenv(names[i]);
}

static void launchers_say_who_is_who(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof launches / sizeof launches[0]; i++) {
        struct launch launch;
        struct error error;
        clear();
        for (size_t j = 0; j < 8 && launches[i].set[j]; j += 2)
            setenv(launches[i].set[j], launches[i].set[j + 1], 1);
        int status = launch_read(&launch, &error);
        clear();
        assert_int_equal(status, launches[i].size ? 0 : -1);
        if (status) {
            assert_non_null(strstr(error.message, "unset"));
            continue;
        }
        assert_string_equal(launch.launcher, launches[i].launcher);
        assert_int_equal(launch.rank, launches[i].rank);
        assert_int_equal(launch.size, launches[i].size);
        assert_int_equal(launch.local_size, launches[i].local_size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(launchers_say_who_is_who)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
