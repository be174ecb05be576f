/* Vectors of NATIVE_VECTOR_BYTES in the compiler's own notation, and the functions that the C
 * library lacks for them. Included by kernels.c only, once for each dtype and processor. */
#ifndef NNSTUDIO_ENGINE_NATIVE_VECTOR_H
#define NNSTUDIO_ENGINE_NATIVE_VECTOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if NATIVE_FLOAT64
typedef double real;
typedef int64_t lane;
#else
typedef float real;
typedef int32_t lane;
#endif

#define LANES  (NATIVE_VECTOR_BYTES / sizeof(real))
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef real vec __attribute__((vector_size(NATIVE_VECTOR_BYTES), may_alias));
typedef lane ivec __attribute__((vector_size(NATIVE_VECTOR_BYTES), may_alias));

INLINE vec load(const real *p)
{
    return *(const vec *)p;
}
INLINE void store(real *p, vec v)
{
    *(vec *)p = v;
}
INLINE vec splat(real x)
{
    return x - (vec){0};
}
INLINE vec select_where(ivec mask, vec yes, vec no)
{
    return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask));
}
INLINE vec absolute(vec v)
{
    return (vec)((ivec)v & ~(ivec)splat((real)-0.0));
}

/* Four vectors' lanes added up: the halves are folded onto each other down to 16 bytes, then
 * crosswise. */
#define SHUFFLE __builtin_shufflevector
typedef real narrow __attribute__((vector_size(16), may_alias));

#if NATIVE_FLOAT64

INLINE narrow fold(vec v)
{
#if NATIVE_VECTOR_BYTES == 64
    double __attribute__((vector_size(32)))
    w = SHUFFLE(v, v, 0, 1, 2, 3) + SHUFFLE(v, v, 4, 5, 6, 7);
    return SHUFFLE(w, w, 0, 1) + SHUFFLE(w, w, 2, 3);
#elif NATIVE_VECTOR_BYTES == 32
    return SHUFFLE(v, v, 0, 1) + SHUFFLE(v, v, 2, 3);
#else
    return v;
#endif
}

INLINE void store_sums(real *out, const real *bias, const vec v[4])
{
    narrow a = fold(v[0]), b = fold(v[1]), c = fold(v[2]), d = fold(v[3]);
    *(narrow *)out = *(const narrow *)bias + (SHUFFLE(a, b, 0, 2) + SHUFFLE(a, b, 1, 3));
    *(narrow *)(out + 2) = *(const narrow *)(bias + 2) +
                           (SHUFFLE(c, d, 0, 2) + SHUFFLE(c, d, 1, 3));
}

#else

INLINE narrow fold(vec v)
{
#if NATIVE_VECTOR_BYTES == 64
    float __attribute__((vector_size(32)))
    w = SHUFFLE(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + SHUFFLE(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    return SHUFFLE(w, w, 0, 1, 2, 3) + SHUFFLE(w, w, 4, 5, 6, 7);
#elif NATIVE_VECTOR_BYTES == 32
    return SHUFFLE(v, v, 0, 1, 2, 3) + SHUFFLE(v, v, 4, 5, 6, 7);
#else
    return v;
#endif
}

INLINE void store_sums(real *out, const real *bias, const vec v[4])
{
    narrow a = fold(v[0]), b = fold(v[1]), c = fold(v[2]), d = fold(v[3]);
    narrow ab = SHUFFLE(a, b, 0, 4, 1, 5) + SHUFFLE(a, b, 2, 6, 3, 7);
    narrow cd = SHUFFLE(c, d, 0, 4, 1, 5) + SHUFFLE(c, d, 2, 6, 3, 7);
    *(narrow *)out = *(const narrow *)bias +
                     (SHUFFLE(ab, cd, 0, 1, 4, 5) + SHUFFLE(ab, cd, 2, 3, 6, 7));
}

#endif

/* A function of the C library's, a lane at a time. */
#define LANEWISE(name, function)                                    \
    INLINE vec name(vec v)                                          \
    {                                                               \
        vec out;                                                    \
        for (size_t i = 0; i < LANES; i++) out[i] = function(v[i]); \
        return out;                                                 \
    }

#if NATIVE_FLOAT64

/* Exactness is what float64 is run for. */
LANEWISE(exponential, exp)
LANEWISE(hyperbolic_tangent, tanh)
LANEWISE(square_root, sqrt)

#else

/* exp by 2^n · e^r, |r| ≤ ln 2 / 2, ln 2 in two parts (Cody and Waite) and the Taylor polynomial of
 * degree 7, whose remainder is below a tenth of a unit in the last place. Clamped to the range of
 * normal numbers. */
INLINE vec exponential(vec x)
{
    const float magic = 12582912.0f; /* 1.5 · 2^23: adding it rounds to an integer */
    x = select_where(x < splat(-87.33f), splat(-87.33f), x);
    x = select_where(x > splat(88.72f), splat(88.72f), x);
    vec n = (x * splat(1.44269504f) + splat(magic)) - splat(magic);
    vec r = x - n * splat(0.693359375f);
    r = r - n * splat(-2.12194440e-4f);
    vec p = splat(1.0f / 5040);
    p = p * r + splat(1.0f / 720);
    p = p * r + splat(1.0f / 120);
    p = p * r + splat(1.0f / 24);
    p = p * r + splat(1.0f / 6);
    p = p * r + splat(0.5f);
    p = p * (r * r) + r + splat(1.0f);
    /* In two factors, for 2^128 is no float. */
    ivec whole = __builtin_convertvector(n, ivec), half = whole >> 1;
    vec first = (vec)((half + 127) << 23), second = (vec)((whole - half + 127) << 23);
    return p * first * second;
}

/* Near zero by an odd polynomial (Cephes, tanhf), elsewhere 1 − 2 / (e^2|x| + 1) with the sign of
 * x. */
INLINE vec hyperbolic_tangent(vec x)
{
    vec size = absolute(x), s = x * x;
    vec p = splat(-5.70498872745e-3f);
    p = p * s + splat(2.06390887954e-2f);
    p = p * s + splat(-5.37397155531e-2f);
    p = p * s + splat(1.33314422036e-1f);
    p = p * s + splat(-3.33332819422e-1f);
    vec small = p * s * x + x;
    vec large = splat(1.0f) - splat(2.0f) / (exponential(size + size) + splat(1.0f));
    large = (vec)((ivec)large | ((ivec)x & (ivec)splat(-0.0f)));
    return select_where(size < splat(0.625f), small, large);
}

INLINE vec square_root(vec v)
{
    vec out = v; /* every lane is replaced */
    for (size_t i = 0; i < LANES; i++) out[i] = sqrtf(v[i]);
    return out;
}

#endif

INLINE vec logistic(vec x)
{
    return splat(1) / (splat(1) + exponential(-x));
}

#endif
