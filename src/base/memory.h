/* How much memory there is. */
#ifndef NNSTUDIO_BASE_MEMORY_H
#define NNSTUDIO_BASE_MEMORY_H

#include <stdint.h>

uint64_t memory_total(void);     /* bytes of the machine; 0 when unknown */
uint64_t memory_available(void); /* bytes that could be had now without swapping; 0 when unknown */
/* The most that a process of ours may ever have: the machine's memory with its swap space, less
 * where the control group or a resource limit (ulimit) says so. 0 when unknown. */
uint64_t memory_limit(void);

#endif
