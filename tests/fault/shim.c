/* Preloaded into the studio by tests: makes one call fail, or kills the process at it.
 *
 * NNSTUDIO_FAULT="CALL:N:ACTION[:PART]" with CALL one of the names below; N the number of the call
 * that is hit, counted from 1 in each process, "3+" for the third and all after it; ACTION an
 * errno's number, or "kill"; PART: only calls whose path contains it are counted (rename: the new
 * path). NNSTUDIO_FAULT_PROGRAM: only in a process whose first argument is that ("worker").
 * NNSTUDIO_FAULT_COUNT: a file to which each process appends how often it made the call. */
#undef _FILE_OFFSET_BITS /* open and open64 are two functions here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

#define EXPORT __attribute__((visibility("default")))

static char call_name[32], part[256];
static unsigned long first;
static bool all_after, kills;
static int number;
static bool active;
static atomic_ulong count;

/* Whether the process is the one that is meant: by its first argument. */
static bool is_meant(int argc, char **argv)
{
    const char *program = getenv("NNSTUDIO_FAULT_PROGRAM");
    return !program || (argc > 1 && strcmp(argv[1], program) == 0);
}

/* glibc hands a constructor the program's arguments. */
__attribute__((constructor)) static void set_up(int argc, char **argv)
{
    char action[16] = "", plus[2] = "";
    const char *text = getenv("NNSTUDIO_FAULT");
    if (!text || !is_meant(argc, argv)) return;
    if (sscanf(text, "%31[^:]:%lu%1[+]:%15[^:]:%255[^\n]", call_name, &first, plus, action, part) <
        4) {
        plus[0] = '\0';
        if (sscanf(text, "%31[^:]:%lu:%15[^:]:%255[^\n]", call_name, &first, action, part) < 3)
            return;
    }
    all_after = plus[0] == '+';
    kills = strcmp(action, "kill") == 0;
    number = atoi(action);
    active = true;
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("NNSTUDIO_FAULT_COUNT");
    char line[64];
    if (!path || !active) return;
    active = false;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    int length = snprintf(line, sizeof line, "%lu\n", atomic_load(&count));
    if (fd >= 0) syscall(SYS_write, fd, line, (size_t)length);
}

/* Is this the call that fails? Then errno is set. */
static bool fails(const char *name, const char *path)
{
    if (!active || strcmp(name, call_name) != 0) return false;
    if (part[0] && (!path || !strstr(path, part))) return false;
    unsigned long mine = atomic_fetch_add(&count, 1) + 1;
    if (!first || mine < first || (mine > first && !all_after)) return false;
    if (kills) kill(getpid(), SIGKILL);
    errno = number;
    return true;
}

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

EXPORT void *malloc(size_t size)
{
    return fails("malloc", NULL) ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t members, size_t size)
{
    return fails("malloc", NULL) ? NULL : __libc_calloc(members, size);
}

EXPORT void *realloc(void *old, size_t size)
{
    return fails("malloc", NULL) ? NULL : __libc_realloc(old, size);
}

EXPORT int rename(const char *from, const char *to)
{
    return fails("rename", to) ? -1 : REAL(rename)(from, to);
}

EXPORT int fsync(int fd)
{
    return fails("fsync", NULL) ? -1 : REAL(fsync)(fd);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t size)
{
    return fails("write", NULL) ? -1 : REAL(write)(fd, bytes, size);
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t place)
{
    return fails("write", NULL) ? -1 : REAL(pwrite64)(fd, bytes, size, place);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t size, off_t place)
{
    return fails("write", NULL) ? -1 : REAL(pwrite)(fd, bytes, size, place);
}

EXPORT size_t fwrite(const void *bytes, size_t size, size_t members, FILE *stream)
{
    return fails("fwrite", NULL) ? 0 : REAL(fwrite)(bytes, size, members, stream);
}

EXPORT int mkostemp(char *pattern, int flags)
{
    return fails("open", pattern) ? -1 : REAL(mkostemp)(pattern, flags);
}

EXPORT int mkostemp64(char *pattern, int flags)
{
    return fails("open", pattern) ? -1 : REAL(mkostemp64)(pattern, flags);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
    return fails("open", path) ? NULL : REAL(fopen64)(path, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails("open", path) ? -1 : REAL(open)(path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails("open", path) ? -1 : REAL(open64)(path, flags, mode);
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
    return fails("open", path) ? NULL : REAL(fopen)(path, mode);
}

EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return fails("accept", NULL) ? -1 : REAL(accept4)(fd, address, length, flags);
}

EXPORT int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    return fails("accept", NULL) ? -1 : REAL(accept)(fd, address, length);
}

EXPORT pid_t fork(void)
{
    return fails("fork", NULL) ? -1 : REAL(fork)();
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    return fails("fork", path) ? number
                               : REAL(posix_spawn)(pid, path, actions, attributes, argv, envp);
}
