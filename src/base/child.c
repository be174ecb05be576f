#include "base/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* What a kernel without close_range() (before 5.9) is asked to close one by one. */
#define DESCRIPTORS_MAX 65536

void child_end_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (parent && getppid() != parent) _exit(EXIT_FAILURE);
}

static void close_from_to(unsigned int first, unsigned int last)
{
    if (first > last) return;
#ifdef SYS_close_range
    if (!syscall(SYS_close_range, first, last, 0)) return;
#endif
    long most = sysconf(_SC_OPEN_MAX);
    if (most < 0 || most > DESCRIPTORS_MAX) most = DESCRIPTORS_MAX;
    for (unsigned int fd = first; fd <= last && fd < (unsigned int)most; fd++) close((int)fd);
}

void child_close_others(int keep)
{
    unsigned int kept = keep > STDERR_FILENO ? (unsigned int)keep : STDERR_FILENO;
    close_from_to(STDERR_FILENO + 1, kept - 1);
    close_from_to(kept + 1, ~0U);
}

int child_reap(pid_t pid, double seconds)
{
    pid_t child = pid < 0 ? -pid : pid;
    double end = clock_monotonic() + seconds;
    for (int status = 0;;) {
        pid_t done = waitpid(child, &status, WNOHANG);
        if (done == child) return status;
        if (done < 0 && errno != EINTR) return 0;
        if (clock_monotonic() < end) {
            poll(NULL, 0, 2);
            continue;
        }
        kill(pid, SIGKILL);
        while ((done = waitpid(child, &status, 0)) < 0 && errno == EINTR) continue;
        return done == child ? status : 0;
    }
}
