#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/path.h"
#include "base/wanted.h"

#define WORDS_MAX 15

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

int child_start_self(const char *const *words, const char *error_path, pid_t *pid,
                     struct error *error)
{
    char *self = NULL, *arguments[WORDS_MAX + 2];
    posix_spawn_file_actions_t actions;
    size_t count = 1;
    if (path_self(&self, error)) return -1;
    arguments[0] = self;
    for (; words[count - 1]; count++) {
        CHECK(count <= WORDS_MAX);
        arguments[count] = (char *)(uintptr_t)words[count - 1];
    }
    arguments[count] = NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error_path,
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    char **environment = environment_for_child(NULL);
    int status = environment ? posix_spawn(pid, self, &actions, NULL, arguments, environment)
                             : ENOMEM;
    free(environment);
    posix_spawn_file_actions_destroy(&actions);
    free(self);
    if (!status) return 0;
    *pid = 0;
    return error_set_errno(error, status, "cannot start \"%s\"", words[0]);
}

void child_complaint(const char *error_path, char *out, size_t size)
{
    static const char ours[] = "nnstudio: ";
    char *text;
    size_t length;
    struct error ignored;
    if (file_read(error_path, 1 << 20, &text, &length, &ignored)) return;
    while (length && text[length - 1] == '\n') text[--length] = '\0';
    char *line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    if (strncmp(line, ours, strlen(ours)) == 0) line += strlen(ours);
    if (*line) snprintf(out, size, "%s", line);
    free(text);
}

int child_reap(pid_t pid, double seconds)
{
    pid_t child = pid < 0 ? -pid : pid;
    double end = clock_monotonic() + seconds;
    for (int status = 0;;) {
        pid_t done = waitpid(child, &status, WNOHANG);
        if (done == child) return status;
        if (done < 0 && errno != EINTR) return 0;
        if (wanted() && clock_monotonic() < end) {
            poll(NULL, 0, 2);
            continue;
        }
        kill(pid, SIGKILL);
        while ((done = waitpid(child, &status, 0)) < 0 && errno == EINTR) continue;
        return done == child ? status : 0;
    }
}

void child_describe_end(int status, double seconds, double end, char *out, size_t size)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && clock_monotonic() >= end)
        snprintf(out, size,
                 "did not finish within %.0f seconds: try again when the machine is "
                 "less busy",
                 seconds);
    else if (WIFSIGNALED(status))
        snprintf(out, size, "was killed by signal %d: try again", WTERMSIG(status));
    else
        snprintf(out, size, "ended with status %d and said nothing", WEXITSTATUS(status));
}
