#include "base/large.h"

#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

void *large_alloc(size_t bytes)
{
    const size_t page = (size_t)1 << 21;
    size_t unit = bytes < page ? 64 : page, whole = (bytes + unit - 1) / unit * unit;
    if (whole < bytes) return NULL; /* more than there are addresses */
    void *memory = aligned_alloc(unit, whole);
#ifdef MADV_HUGEPAGE
    /* Only a wish. What is left after whole pages stays in small ones: a large page takes all of
     * its memory from the first byte on. */
    if (memory && unit == page) madvise(memory, bytes / page * page, MADV_HUGEPAGE);
#endif
    return memory;
}
