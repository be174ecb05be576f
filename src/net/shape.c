#include "net/shape.h"

#include <stdio.h>
#include <string.h>

struct shape shape_units(uint32_t units)
{
    return (struct shape){1, {units}};
}

struct shape shape_maps(uint32_t channels, uint32_t rows, uint32_t columns)
{
    return (struct shape){3, {channels, rows, columns}};
}

size_t shape_values(const struct shape *shape)
{
    size_t count = 1;
    for (uint32_t d = 0; d < shape->rank; d++) count *= shape->sizes[d];
    return count;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    return a->rank == b->rank && memcmp(a->sizes, b->sizes, a->rank * sizeof *a->sizes) == 0;
}

const char *shape_words(const struct shape *shape, char out[48])
{
    const uint32_t *s = shape->sizes;
    if (shape->rank == 3 && s[0] == 1)
        snprintf(out, 48, "%u×%u", s[1], s[2]);
    else if (shape->rank == 3)
        snprintf(out, 48, "%u×%u×%u", s[1], s[2], s[0]);
    else
        snprintf(out, 48, "%u", shape->rank ? s[0] : 1);
    return out;
}
