/* Child processes: none outlives its use, none is waited for without an end. */
#ifndef NNSTUDIO_BASE_CHILD_H
#define NNSTUDIO_BASE_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* Starts this program again with `words` (ended by NULL) behind its own name, without standard
 * input and output; what it says goes to `error_path`. Reap it with child_reap(). */
int child_start_self(const char *const *words, const char *error_path, pid_t *pid,
                     struct error *error);
/* The last line that it said there, without our name in front; `out` stays as it is if there is
 * none. */
void child_complaint(const char *error_path, char *out, size_t size);

/* In a child: the kernel ends it (SIGKILL) when the thread that made it ends. `parent` is that
 * process, 0 when the caller cannot know it; a parent that is gone already ends the child here. */
void child_end_with_parent(pid_t parent);

/* In a child of fork(), which keeps every descriptor of its parent: closes all from 3 on but
 * `keep`, so that it holds no pipe, lock or connection of others open. */
void child_close_others(int keep);

/* Waits at most `seconds` for the child `pid` to end by itself, and no longer than this thread's
 * work is wanted (base/wanted.h), then kills it, and reaps it; with a negative `pid` the child
 * -pid, whose whole process group is killed. Returns its status as of waitpid(), 0 when another
 * thread has reaped it. */
int child_reap(pid_t pid, double seconds);

/* How one ended that said nothing, for a message: "did not finish within 60 seconds: …",
 * "was killed by signal 11: …". `seconds` are those of its
 * child_reap(), `end` their end (clock_monotonic()). */
void child_describe_end(int status, double seconds, double end, char *out, size_t size);

#endif
