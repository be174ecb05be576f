/* Which table of kernels this processor gets. */
#include <stdlib.h>
#include <string.h>

#include "engine/native/kernels.h"
#include "engine/native/plan.h"

extern const struct native_kernels native_portable_f32, native_portable_f64;
extern const struct plan_kernels native_plan_table_portable_f32, native_plan_table_portable_f64;
#if defined(__x86_64__)
extern const struct native_kernels native_avx2_f32, native_avx2_f64, native_avx512_f32,
    native_avx512_f64;
extern const struct plan_kernels native_plan_table_avx2_f32, native_plan_table_avx2_f64,
    native_plan_table_avx512_f32, native_plan_table_avx512_f64;

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

/* The best first; tables by dtype. */
static const struct kind {
    const char *id;
    int (*runs)(void);
    const struct native_kernels *dense[2];
    const struct plan_kernels *plans[2];
} kinds[] = {
#if defined(__x86_64__)
    {"avx512",
     has_avx512,
     {&native_avx512_f32, &native_avx512_f64},
     {&native_plan_table_avx512_f32, &native_plan_table_avx512_f64}},
    {"avx2",
     has_avx2,
     {&native_avx2_f32, &native_avx2_f64},
     {&native_plan_table_avx2_f32, &native_plan_table_avx2_f64}},
#endif
    {"portable",
     always,
     {&native_portable_f32, &native_portable_f64},
     {&native_plan_table_portable_f32, &native_plan_table_portable_f64}},
};

static const struct kind *choose(void)
{
    const char *wanted = getenv("NNSTUDIO_NATIVE_CPU");
    const struct kind *best = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!kinds[i].runs()) continue;
        if (wanted && strcmp(wanted, kinds[i].id) == 0) return &kinds[i];
        if (!best) best = &kinds[i];
    }
    return best;
}

const struct native_kernels *native_kernels_choose(enum dtype dtype)
{
    return choose()->dense[dtype];
}

const struct plan_kernels *native_plan_kernels_choose(enum dtype dtype)
{
    return choose()->plans[dtype];
}
