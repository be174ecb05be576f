/* Joining, leaving, and what ranks say to each other beside the training. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "ranks/ranks_impl.h"

#define MODULE "nnstudio-mpi.so"

static int gone(struct ranks *ranks, struct error *error)
{
    ranks->lost = true;
    return error_set(error, ERROR_FAILED,
                     "another rank is gone: the run ends here and can go on from its checkpoint");
}

#define TIMED(call)                              \
    double start = clock_monotonic();            \
    int status = ranks->lost ? -1 : (call);      \
    ranks->seconds += clock_monotonic() - start; \
    return status ? gone(ranks, error) : 0

int ranks_broadcast(struct ranks *ranks, void *bytes, size_t count, struct error *error)
{
    TIMED(ranks->transport->broadcast(bytes, count));
}

int ranks_exchange(struct ranks *ranks, const void *send, void *receive, size_t each,
                   struct error *error)
{
    TIMED(ranks->transport->exchange(send, receive, each));
}

int ranks_gather(struct ranks *ranks, const void *mine, void *all, size_t each, struct error *error)
{
    TIMED(ranks->transport->gather(mine, all, each));
}

/* The module lies where the program does. */
static int module_path(const char *name, char out[4096], struct error *error)
{
    ssize_t length = readlink("/proc/self/exe", out, 4000);
    char *slash = NULL;
    if (length > 0) {
        out[length] = '\0';
        slash = strrchr(out, '/');
    }
    if (!slash) return error_set(error, ERROR_FAILED, "cannot tell where this program lies");
    snprintf(slash + 1, 4096 - (size_t)(slash + 1 - out), "%.80s", name);
    return 0;
}

static int load(const struct transport **out, struct error *error)
{
    char path[4096], message[256];
    transport_open_fn *open_transport;
    struct launch launch;
    /* Both MPIs may be there: the one whose launcher started this is loaded. */
    if (launch_read(&launch, error) ||
        module_path(launch.module ? launch.module : MODULE, path, error) ||
        (access(path, R_OK) && module_path(MODULE, path, error)))
        return -1;
    if (access(path, R_OK))
        return error_set(
            error, ERROR_UNAVAILABLE,
            "this program was built without MPI (%s is not beside it): install an MPI "
            "compiler (Debian: apt install libopenmpi-dev openmpi-bin) and build again "
            "with: make build",
            MODULE);
    /* MPI loads parts of its own by name, which need the symbols of this one. */
    void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    *(void **)&open_transport = module ? dlsym(module, TRANSPORT_OPEN) : NULL;
    if (!open_transport)
        return error_set(error, ERROR_UNAVAILABLE, "%s cannot be loaded: %.300s", path, dlerror());
    *out = open_transport(TRANSPORT_VERSION, message, sizeof message);
    return *out ? 0 : error_set(error, ERROR_UNAVAILABLE, "%s: %s", path, message);
}

int ranks_join(struct ranks **out, struct error *error)
{
    struct ranks *ranks = calloc(1, sizeof *ranks);
    *out = NULL;
    if (!ranks) return error_set_memory(error, "the ranks");
    if (load(&ranks->transport, error)) {
        free(ranks);
        return -1;
    }
    ranks->leads = ranks->transport->rank == 0;
    *out = ranks;
    return 0;
}

uint32_t ranks_rank(const struct ranks *ranks)
{
    return ranks->transport->rank;
}

uint32_t ranks_size(const struct ranks *ranks)
{
    return ranks->transport->size;
}

const char *ranks_library(const struct ranks *ranks)
{
    return ranks->transport->library;
}

double ranks_seconds(const struct ranks *ranks)
{
    return ranks->seconds;
}

int ranks_order(struct ranks *ranks, struct order *order, struct error *error)
{
    return ranks_broadcast(ranks, order, sizeof *order, error);
}

int ranks_leave(struct ranks *ranks)
{
    struct order leave = {.kind = ORDER_LEAVE};
    struct error ignored;
    if (!ranks) return 0;
    if (ranks->led) ranks_order(ranks, &leave, &ignored);
    int status = ranks->lost ? -1 : 0;
    if (!status) ranks->transport->finish();
    free(ranks);
    return status;
}

int ranks_share_text(struct ranks *ranks, const char *text, size_t limit, char **out,
                     struct error *error)
{
    uint64_t length = ranks->leads ? strlen(text) : 0;
    *out = NULL;
    if (ranks_broadcast(ranks, &length, sizeof length, error)) return -1;
    if (length > limit)
        return error_set(error, ERROR_FAILED, "rank 0 sent %llu bytes where %zu are the most",
                         (unsigned long long)length, limit);
    char *copy = malloc((size_t)length + 1);
    if (!copy) return error_set_memory(error, "a message of rank 0");
    if (ranks->leads) memcpy(copy, text, (size_t)length);
    copy[length] = '\0';
    if (ranks_broadcast(ranks, copy, (size_t)length, error)) {
        free(copy);
        return -1;
    }
    *out = copy;
    return 0;
}

/* What a rank says of itself. */
struct word {
    uint32_t failed;
    char fact[HASH_HEX_SIZE];
    char message[512];
};

static int judge(const struct word *words, uint32_t size, const char *what, struct error *error)
{
    for (uint32_t r = 0; r < size; r++)
        if (words[r].failed)
            return error_set(error, ERROR_FAILED, "rank %u: %.400s", r, words[r].message);
    for (uint32_t r = 1; r < size; r++)
        if (memcmp(words[r].fact, words[0].fact, sizeof words[0].fact) != 0)
            return error_set(error, ERROR_INPUT,
                             "rank %u has another %s (%.12s) than rank 0 (%.12s): all ranks must "
                             "have the same",
                             r, what, words[r].fact, words[0].fact);
    return 0;
}

int ranks_agree(struct ranks *ranks, int status, const char *what, const char *fact,
                struct error *error)
{
    uint32_t size = ranks_size(ranks);
    struct word mine = {.failed = status != 0};
    struct word *words = calloc(size, sizeof *words);
    if (status)
        snprintf(mine.message, sizeof mine.message, "%.511s", error->message);
    else
        snprintf(mine.fact, sizeof mine.fact, "%.64s", fact);
    if (!words) return error_set_memory(error, "what the ranks say");
    if (ranks_gather(ranks, &mine, words, sizeof mine, error))
        status = -1;
    else if (!status) /* one's own failure is told as it is */
        status = judge(words, size, what, error);
    free(words);
    return status ? -1 : 0;
}
