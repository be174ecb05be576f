#include "base/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/error.h"

void random_fill(void *out, size_t count)
{
    ssize_t got;
    do {
        got = getrandom(out, count, 0);
    } while (got < 0 && errno == EINTR);
    CHECK(got == (ssize_t)count); /* up to 256 bytes come whole */
}
