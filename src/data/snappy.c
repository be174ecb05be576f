#include "data/snappy.h"

#include <string.h>

#include "data/thrift.h"

/* `bytes` bytes, the lowest first; false when there are fewer. */
static bool take(const uint8_t **at, const uint8_t *end, unsigned bytes, size_t *out)
{
    if ((size_t)(end - *at) < bytes) return false;
    *out = 0;
    for (unsigned i = 0; i < bytes; i++) *out |= (size_t)(*at)[i] << (8 * i);
    *at += bytes;
    return true;
}

/* Bytes that were written before, perhaps overlapping those that are written. */
static bool copy(uint8_t *out, size_t *done, size_t wanted, size_t offset, size_t length)
{
    if (!offset || offset > *done || length > wanted - *done) return false;
    for (size_t i = 0; i < length; i++, (*done)++) out[*done] = out[*done - offset];
    return true;
}

bool snappy_unpack(const uint8_t *in, size_t size, uint8_t *out, size_t wanted)
{
    struct thrift start = {in, in + size, false};
    if (thrift_varint(&start) != wanted || start.failed) return false;
    const uint8_t *at = start.at, *end = start.end;
    size_t done = 0;
    while (at < end) {
        unsigned tag = *at++, kind = tag & 3;
        size_t length = (tag >> 2) + 1, offset;
        if (kind == 0) {
            if (length > 60 && (!take(&at, end, (unsigned)length - 60, &length) || !++length))
                return false;
            if (length > (size_t)(end - at) || length > wanted - done) return false;
            memcpy(out + done, at, length);
            at += length;
            done += length;
            continue;
        }
        if (!take(&at, end, kind == 3 ? 4 : kind, &offset)) return false;
        if (kind == 1) {
            length = (tag >> 2 & 7) + 4;
            offset |= (size_t)(tag >> 5) << 8;
        }
        if (!copy(out, &done, wanted, offset, length)) return false;
    }
    return done == wanted;
}
