#include "base/rng.h"

#include <math.h>

#include "base/error.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void rng_seed(struct rng *rng, uint64_t seed, enum rng_stream stream, uint64_t index)
{
    uint64_t state = seed;
    uint64_t mixed = splitmix(&state) ^ ((uint64_t)stream * 0xd1342543de82ef95u);
    mixed = splitmix(&mixed) ^ index;
    for (int i = 0; i < 4; i++) rng->state[i] = splitmix(&mixed);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double rng_uniform(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1.0p-53;
}

double rng_range(struct rng *rng, double low, double high)
{
    return low + (high - low) * rng_uniform(rng);
}

double rng_normal(struct rng *rng)
{
    /* Box and Muller; 1 - u keeps the logarithm's argument above zero. */
    double radius = sqrt(-2.0 * log(1.0 - rng_uniform(rng)));
    return radius * cos(2.0 * M_PI * rng_uniform(rng));
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    CHECK(bound > 0);
    uint64_t threshold = -bound % bound;
    for (;;) {
        uint64_t value = rng_next(rng);
        if (value >= threshold) return value % bound;
    }
}

void rng_permutation(struct rng *rng, uint32_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)rng_below(rng, i);
        uint32_t kept = out[i - 1];
        out[i - 1] = out[j];
        out[j] = kept;
    }
}
