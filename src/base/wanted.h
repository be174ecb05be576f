/* Work that nobody waits for anymore ends early. Whoever starts work on a thread says where it can
 * be seen that it was given up; what takes long on that thread (a process that is waited for, an
 * evaluation, a download) looks there. */
#ifndef NNSTUDIO_BASE_WANTED_H
#define NNSTUDIO_BASE_WANTED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"

/* From now on this thread's work is wanted until *given_up, which any thread may set. NULL: for
 * ever, as at first. */
void wanted_until(const atomic_bool *given_up);
bool wanted(void);
/* 0, or -1 with ERROR_INTERRUPTED when this thread's work was given up. */
int wanted_check(struct error *error);

#endif
