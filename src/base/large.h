/* Memory for what is large and read in random order. */
#ifndef NNSTUDIO_BASE_LARGE_H
#define NNSTUDIO_BASE_LARGE_H

#include <stddef.h>

/* `bytes` aligned to 64, not zeroed, in large pages where the system has them: a random access then
 * costs one miss less. NULL when there is no room; freed with free(). */
void *large_alloc(size_t bytes);

#endif
