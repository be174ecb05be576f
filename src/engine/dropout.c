#include "engine/dropout.h"

uint32_t dropout_threshold(double rate)
{
    return (uint32_t)(rate * 4294967296.0);
}

uint64_t dropout_stream(uint64_t step, uint32_t layer)
{
    return step * 64 + layer;
}

static void philox(uint64_t seed, uint64_t low, uint64_t high, uint32_t out[4])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)low, c1 = (uint32_t)(low >> 32);
    uint32_t c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53 * c0, b = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ key0;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ key1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void dropout_mask(uint64_t seed, uint64_t stream, double rate, uint64_t first, size_t count,
                  uint8_t *kept)
{
    uint32_t threshold = dropout_threshold(rate), words[4];
    for (size_t i = 0; i < count; i++) {
        uint64_t element = first + i;
        if (i == 0 || element % 4 == 0) philox(seed, element / 4, stream, words);
        kept[i] = words[element % 4] >= threshold;
    }
}
