#include "base/memory.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* "MemTotal:       16384000 kB" */
static uint64_t meminfo(const char *key)
{
    char line[128];
    unsigned long long kib = 0;
    size_t length = strlen(key);
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && sscanf(line + length, ": %llu", &kib) == 1) break;
    fclose(file);
    return (uint64_t)kib * 1024;
}

uint64_t memory_total(void)
{
    return meminfo("MemTotal");
}

uint64_t memory_available(void)
{
    return meminfo("MemAvailable");
}

/* As a container sees its own group; "max" is no limit. */
static uint64_t group_limit(void)
{
    static const char *const paths[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        unsigned long long bytes = 0;
        FILE *file = fopen(paths[i], "re");
        if (!file) continue;
        int got = fscanf(file, "%llu", &bytes);
        fclose(file);
        if (got == 1 && bytes) return bytes;
    }
    return UINT64_MAX;
}

uint64_t memory_limit(void)
{
    static const int resources[] = {RLIMIT_AS, RLIMIT_DATA};
    uint64_t total = memory_total(), least = total ? total + meminfo("SwapTotal") : UINT64_MAX,
             group = group_limit();
    if (group < least) least = group;
    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
        struct rlimit limit;
        if (!getrlimit((__rlimit_resource_t)resources[i], &limit) &&
            limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < least)
            least = limit.rlim_cur;
    }
    return least == UINT64_MAX ? 0 : least;
}
