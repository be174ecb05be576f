#include "store/owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_line(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file) return;
    if (fgets(out, (int)size, file)) out[strcspn(out, "\n")] = '\0';
    fclose(file);
}

/* Field 22 of /proc/PID/stat, in clock ticks since the boot; 0 when there is no such process or it
 * is a zombie. The second field is the program's name in brackets and may hold anything, so count
 * from the last bracket. */
static unsigned long long start_time(pid_t pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    read_line(path, line, sizeof line);
    const char *place = strrchr(line, ')');
    if (!place || place[1] != ' ' || place[2] == 'Z' || place[2] == 'X') return 0;
    place += 2;
    for (int field = 3; field < 22 && place; field++) {
        place = strchr(place, ' ');
        if (place) place++;
    }
    return place ? strtoull(place, NULL, 10) : 0;
}

void owner_self(char out[OWNER_SIZE])
{
    char boot[48];
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    snprintf(out, OWNER_SIZE, "%d %llu %s", (int)getpid(), start_time(getpid()), boot);
}

pid_t owner_pid(const char *owner)
{
    long pid = owner ? strtol(owner, NULL, 10) : 0;
    return pid > 1 && pid < 1L << 30 ? (pid_t)pid : 0;
}

bool owner_alive(const char *owner)
{
    char boot[48], *end;
    if (!owner || !owner_pid(owner)) return false;
    strtol(owner, &end, 10);
    unsigned long long started = strtoull(end, &end, 10);
    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    return *end == ' ' && strcmp(end + 1, boot) == 0 && started == start_time(owner_pid(owner));
}
