/* Child processes: none outlives its use, none is waited for without an end. */
#ifndef NNSTUDIO_BASE_CHILD_H
#define NNSTUDIO_BASE_CHILD_H

#include <sys/types.h>

/* In a child: the kernel ends it (SIGKILL) when the thread that made it ends. `parent` is that
 * process, 0 when the caller cannot know it; a parent that is gone already ends the child here. */
void child_end_with_parent(pid_t parent);

/* In a child of fork(), which keeps every descriptor of its parent: closes all from 3 on but
 * `keep`, so that it holds no pipe, lock or connection of others open. */
void child_close_others(int keep);

/* Waits at most `seconds` for the child `pid` to end by itself, then kills it, and reaps it; with a
 * negative `pid` the child -pid, whose whole process group is killed. Returns its status as of
 * waitpid(), 0 when somebody else has reaped it. */
int child_reap(pid_t pid, double seconds);

#endif
