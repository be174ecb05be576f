/* Which process looks after a run: a word that a later process, with the same process id perhaps,
 * cannot be taken for. */
#ifndef NNSTUDIO_STORE_OWNER_H
#define NNSTUDIO_STORE_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

#define OWNER_SIZE 96

/* "PID STARTTIME BOOTID" of this process. */
void owner_self(char out[OWNER_SIZE]);
/* True when that very process still runs. */
bool owner_alive(const char *owner);
pid_t owner_pid(const char *owner); /* 0 when it has no sensible one */

#endif
