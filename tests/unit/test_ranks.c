/* ranks/: what the launchers say, and a batch on two ranks that are threads here. What ranks of
 * real launchers compute is for tests/python/test_ranks.py. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/compact.h"
#include "ranks/ranks_impl.h"

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

/* ---- two ranks in one process ---- */

enum { RANKS = 2, SAMPLES = 12, MOST = 1 << 16 };
static pthread_barrier_t meeting;
static char table[RANKS][MOST];
static _Thread_local uint32_t own_rank;

static int put(const void *mine, size_t count)
{
    if (count > MOST) return -1;
    memcpy(table[own_rank], mine, count);
    pthread_barrier_wait(&meeting);
    return 0;
}

static int gather(const void *mine, void *all, size_t each)
{
    if (put(mine, each)) return -1;
    for (uint32_t r = 0; r < RANKS; r++) memcpy((char *)all + r * each, table[r], each);
    pthread_barrier_wait(&meeting);
    return 0;
}

static int exchange(const void *send, void *receive, size_t each)
{
    if (put(send, RANKS * each)) return -1;
    for (uint32_t r = 0; r < RANKS; r++)
        memcpy((char *)receive + r * each, table[r] + own_rank * each, each);
    pthread_barrier_wait(&meeting);
    return 0;
}

struct rank {
    uint32_t number;
    bool fails;
    int status;
    double loss;
    struct error error;
    pthread_t thread;
};

/* A batch of twelve samples by a network that needs all of it. */
static void *train(void *context)
{
    struct rank *rank = context;
    const struct transport transport = {
        .rank = rank->number, .size = RANKS, .exchange = exchange, .gather = gather};
    struct ranks ranks = {.transport = &transport, .leads = rank->number == 0};
    struct engine_config config = {.network = {.rows = 28, .columns = 28},
                                   .dtype = DTYPE_FLOAT64,
                                   .batch_size = SAMPLES,
                                   .threads = 1,
                                   .seed = 1};
    struct parameters *parameters = NULL;
    struct engine *engine = NULL;
    struct bucket *bucket = NULL;
    uint8_t *pixels = malloc((size_t)SAMPLES * 784), labels[SAMPLES];
    uint32_t order[SAMPLES];
    own_rank = rank->number;
    for (size_t i = 0; pixels && i < (size_t)SAMPLES * 784; i++) pixels[i] = (uint8_t)(i * i % 251);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        order[i] = i;
        labels[i] = (uint8_t)(i % 10);
    }
    const struct split split = {SAMPLES, pixels, labels};
    optimizer_defaults(OPTIMIZER_SGD, MEANING_PYTORCH, &config.optimizer);
    rank->status = network_parse("flatten, dense 8, batchnorm, relu, dropout 0.2, dense 10",
                                 &config.network, &rank->error) ||
                   parameters_create(&config.network, DTYPE_FLOAT64, &parameters, &rank->error) ||
                   engine_open(engine_default, &config, &engine, &rank->error) ||
                   engine_attach(engine, &split, &rank->error) ||
                   bucket_create(&ranks, engine, &bucket, &rank->error);
    if (!rank->status && rank->fails) bucket_fail(bucket);
    if (!rank->status)
        rank->status = bucket_train(bucket, order, SAMPLES, NULL, &rank->loss, NULL, &rank->error);
    bucket_destroy(bucket);
    engine_close(engine);
    parameters_destroy(parameters);
    free(pixels);
    return NULL;
}

static void run_ranks(struct rank ranks[RANKS])
{
    assert_int_equal(pthread_barrier_init(&meeting, NULL, RANKS), 0);
    for (uint32_t r = 0; r < RANKS; r++) {
        ranks[r].number = r;
        assert_int_equal(pthread_create(&ranks[r].thread, NULL, train, &ranks[r]), 0);
    }
    for (uint32_t r = 0; r < RANKS; r++) assert_int_equal(pthread_join(ranks[r].thread, NULL), 0);
    pthread_barrier_destroy(&meeting);
}

/* Ranks that wait for a sum of batch normalization hear of one that will never give it. */
static void a_rank_that_fails_is_not_waited_for(void **state)
{
    (void)state;
    struct rank well[RANKS] = {0}, failing[RANKS] = {{.fails = false}, {.fails = true}};
    run_ranks(well);
    for (uint32_t r = 0; r < RANKS; r++)
        if (well[r].status) fail_msg("%s", well[r].error.message);
    assert_true(well[0].loss > 1 && well[0].loss == well[1].loss);
    run_ranks(failing);
    assert_int_equal(failing[0].status, -1);
    assert_int_equal(failing[1].status, -1);
    assert_non_null(strstr(failing[0].error.message, "rank 1 could not compute its part"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(launchers_say_who_is_who),
                                       cmocka_unit_test(a_rank_that_fails_is_not_waited_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
