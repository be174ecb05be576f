#include "modelfile/h5_lzf.h"

#include <hdf5.h>
#include <string.h>

/* What three bytes can stand for: no more than this much per byte is believed. */
#define RATIO_MAX 88

/* A control byte below 32 announces that many plain bytes and one; any other a copy of what was
 * written before: its length less two in the upper three bits (7: and the next byte), its distance
 * less one in the lower five and the byte behind. */
bool lzf_unpack(const uint8_t *in, size_t size, uint8_t *out, size_t room, size_t *done)
{
    const uint8_t *end = in + size;
    size_t written = 0;
    while (in < end) {
        unsigned control = *in++;
        size_t length = control + 1, distance;
        if (control < 32) {
            if (length > (size_t)(end - in) || length > room - written) return false;
            memcpy(out + written, in, length);
            in += length;
            written += length;
            continue;
        }
        length = (control >> 5) + 2;
        if (length == 9 && in < end) length += *in++;
        if (in == end) return false;
        distance = ((size_t)(control & 31) << 8 | *in++) + 1;
        if (distance > written || length > room - written) return false;
        for (; length; length--, written++) out[written] = out[written - distance];
    }
    *done = written;
    return true;
}

/* h5py notes the size of a whole chunk as the filter's third number. */
static size_t read_chunk(unsigned flags, size_t count, const unsigned numbers[], size_t size,
                         size_t *room, void **data)
{
    size_t wanted = count > 2 ? numbers[2] : *room, done;
    if (!(flags & H5Z_FLAG_REVERSE) || !wanted || wanted / RATIO_MAX > size) return 0;
    uint8_t *out = H5allocate_memory(wanted, false);
    if (!out) return 0;
    if (!lzf_unpack(*data, size, out, wanted, &done)) {
        H5free_memory(out);
        return 0;
    }
    H5free_memory(*data);
    *data = out;
    *room = wanted;
    return done;
}

void h5_lzf_register(void)
{
    static const H5Z_class2_t filter = {
        .version = H5Z_CLASS_T_VERS,
        .id = H5_LZF_FILTER,
        .decoder_present = 1,
        .name = "lzf",
        .filter = read_chunk,
    };
    if (H5Zfilter_avail(H5_LZF_FILTER) <= 0) H5Zregister(&filter);
}
