/* Random numbers that are the same on every machine: xoshiro256** seeded through splitmix64
 * (Blackman and Vigna, https://prng.di.unimi.it). Not for secrets. */
#ifndef NNSTUDIO_BASE_RNG_H
#define NNSTUDIO_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

/* Separate, reproducible streams of one seed: `stream` names the purpose (see the constants),
 * `index` the instance. */
enum rng_stream {
    RNG_WEIGHTS = 1,
    RNG_ORDER = 2,
    RNG_DIGITS = 3,
    RNG_SAMPLES = 4,
    RNG_TEST = 5,
    RNG_DROPOUT = 6,
    RNG_VALIDATION = 7
};
void rng_seed(struct rng *rng, uint64_t seed, enum rng_stream stream, uint64_t index);

uint64_t rng_next(struct rng *rng);  /* 64 random bits */
double rng_uniform(struct rng *rng); /* [0, 1), 53 bits */
double rng_range(struct rng *rng, double low, double high);
double rng_normal(struct rng *rng);                  /* mean 0, standard deviation 1 */
uint64_t rng_below(struct rng *rng, uint64_t bound); /* 0 … bound-1 without bias; bound > 0 */
/* A random permutation of 0 … count-1 (Fisher and Yates). */
void rng_permutation(struct rng *rng, uint32_t *out, size_t count);

#endif
