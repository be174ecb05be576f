#include "base/random.h"

#include <errno.h>
#include <stdio.h>
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

void random_hex(char *out, size_t digits)
{
    unsigned char bytes[32];
    CHECK(digits % 2 == 0 && digits <= 2 * sizeof bytes);
    random_fill(bytes, digits / 2);
    for (size_t i = 0; i < digits / 2; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}
