/* Which table of kernels this processor gets. */
#include <stdlib.h>
#include <string.h>

#include "engine/native/kernels.h"

extern const struct native_kernels native_portable_f32, native_portable_f64;
#if defined(__x86_64__)
extern const struct native_kernels native_avx2_f32, native_avx2_f64, native_avx512_f32,
    native_avx512_f64;

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}
#endif

static int always(void)
{
    return 1;
}

/* The best first. */
static const struct {
    const char *id;
    int (*runs)(void);
    const struct native_kernels *tables[2]; /* by dtype */
} kinds[] = {
#if defined(__x86_64__)
    {"avx512", has_avx512, {&native_avx512_f32, &native_avx512_f64}},
    {"avx2", has_avx2, {&native_avx2_f32, &native_avx2_f64}},
#endif
    {"portable", always, {&native_portable_f32, &native_portable_f64}},
};

const struct native_kernels *native_kernels_choose(enum dtype dtype)
{
    const char *wanted = getenv("NNSTUDIO_NATIVE_CPU");
    const struct native_kernels *best = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!kinds[i].runs()) continue;
        if (wanted && strcmp(wanted, kinds[i].id) == 0) return kinds[i].tables[dtype];
        if (!best) best = kinds[i].tables[dtype];
    }
    return best;
}
