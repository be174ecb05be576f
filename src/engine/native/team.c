#include "engine/native/team.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

/* About 20 µs: some steps' worth of waiting before a worker gives its core away. */
#define SPIN_LIMIT 1000

/* The barrier's words lie on cache lines of their own: workers write one while others watch the
 * other. */
struct team {
    uint32_t threads;
    uint32_t started;
    pthread_t *handles;
    struct member *members;

    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    uint64_t job_number;
    uint32_t workers; /* of the job */
    uint32_t running;
    bool stopping;
    team_job_fn *job;
    void *context;

    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint generation;
    _Alignas(64) atomic_uint sleepers;
};

struct member {
    struct team *team;
    uint32_t worker;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sleeps while *word == value; may return early. */
static void sleep_on(atomic_uint *word, unsigned value)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    (void)word, (void)value;
    sched_yield();
#endif
}

static void wake_all(atomic_uint *word)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, TEAM_MAX_THREADS, NULL, NULL, 0);
#else
    (void)word;
#endif
}

void team_barrier(struct team *team)
{
    if (team->workers == 1) return;
    unsigned generation = atomic_load(&team->generation);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == team->workers) {
        atomic_store(&team->arrived, 0);
        atomic_store(&team->generation, generation + 1);
        if (atomic_load(&team->sleepers)) wake_all(&team->generation);
        return;
    }
    for (int i = 0; i < SPIN_LIMIT; i++) {
        if (atomic_load_explicit(&team->generation, memory_order_acquire) != generation) return;
        relax();
    }
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->generation) == generation) sleep_on(&team->generation, generation);
    atomic_fetch_sub(&team->sleepers, 1);
}

static void *member_main(void *argument)
{
    struct member *member = argument;
    struct team *team = member->team;
    uint64_t seen = 0;
    pthread_mutex_lock(&team->lock);
    for (;;) {
        while (team->job_number == seen && !team->stopping)
            pthread_cond_wait(&team->wake, &team->lock);
        if (team->stopping) break;
        seen = team->job_number;
        if (member->worker >= team->workers) continue;
        pthread_mutex_unlock(&team->lock);
        team->job(team->context, member->worker);
        pthread_mutex_lock(&team->lock);
        if (--team->running == 0) pthread_cond_signal(&team->done);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

int team_create(uint32_t threads, struct team **out, struct error *error)
{
    CHECK(threads >= 1 && threads <= TEAM_MAX_THREADS);
    struct team *team = aligned_alloc(64, (sizeof *team + 63) / 64 * 64);
    if (!team) return error_set_memory(error, "the engine's threads");
    *team = (struct team){.threads = threads, .workers = 1};
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    pthread_cond_init(&team->done, NULL);
    team->handles = calloc(threads, sizeof *team->handles);
    team->members = calloc(threads, sizeof *team->members);
    if (!team->handles || !team->members) {
        team_destroy(team);
        return error_set_memory(error, "the engine's threads");
    }
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = 0;
    for (uint32_t i = 1; i < threads && !failure; i++) {
        team->members[i] = (struct member){team, i};
        failure = pthread_create(&team->handles[i], NULL, member_main, &team->members[i]);
        if (!failure) team->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure) {
        team_destroy(team);
        return error_set_errno(error, failure, "cannot start %u threads: use fewer", threads);
    }
    *out = team;
    return 0;
}

void team_destroy(struct team *team)
{
    if (!team) return;
    pthread_mutex_lock(&team->lock);
    team->stopping = true;
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    for (uint32_t i = 1; i <= team->started; i++) pthread_join(team->handles[i], NULL);
    pthread_cond_destroy(&team->done);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
    free(team->handles);
    free(team->members);
    free(team);
}

uint32_t team_threads(const struct team *team)
{
    return team->threads;
}

void team_run(struct team *team, uint32_t workers, team_job_fn *job, void *context)
{
    CHECK(workers >= 1 && workers <= team->threads);
    pthread_mutex_lock(&team->lock);
    team->workers = workers;
    if (workers == 1) {
        pthread_mutex_unlock(&team->lock);
        job(context, 0);
        return;
    }
    team->job = job;
    team->context = context;
    team->running = workers - 1;
    team->job_number++;
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    job(context, 0);
    pthread_mutex_lock(&team->lock);
    while (team->running) pthread_cond_wait(&team->done, &team->lock);
    pthread_mutex_unlock(&team->lock);
}
