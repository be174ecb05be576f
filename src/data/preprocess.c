#include "data/preprocess.h"

#include <pthread.h>
#include <string.h>

static float table_f32[256];
static double table_f64[256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    for (int p = 0; p < 256; p++) {
        table_f32[p] = (float)p / 255.0f;
        table_f64[p] = (double)p / 255.0;
    }
}

const float *preprocess_table_f32(void)
{
    pthread_once(&tables_once, fill_tables);
    return table_f32;
}

const double *preprocess_table_f64(void)
{
    pthread_once(&tables_once, fill_tables);
    return table_f64;
}

void preprocess_fill_f64(const struct preprocess *preprocess, double out[256])
{
    memcpy(out, preprocess && preprocess->custom ? preprocess->values : preprocess_table_f64(),
           256 * sizeof *out);
}

void preprocess_fill_f32(const struct preprocess *preprocess, float out[256])
{
    if (!preprocess || !preprocess->custom) {
        memcpy(out, preprocess_table_f32(), 256 * sizeof *out);
        return;
    }
    for (int p = 0; p < 256; p++) out[p] = (float)preprocess->values[p];
}

/* Two products and a sum are quicker than a division. 1/255 is split in two: HIGH, of so few bits
 * that a pixel times it is exact, and the rest; their sum is rounded once, and is the table's value
 * for all 256 pixels (a test looks at each), with or without fused multiply-adds. */
#define HIGH_F32 0x1.01p-8f
#define LOW_F32  0x1.010102p-24f
#define HIGH_F64 0x1.01010101p-8
#define LOW_F64  0x1.010101010101p-48

/* clang 14 gives clones another name; the thread sanitizer cannot bear that one is chosen before it
 * is set up itself. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__)
#define WIDEST_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST_VECTORS
#endif

/* A whole block at a time: that is what the compiler makes vectors of. */
#define BLOCK 16
#define CONVERT(type, high, low)                                                     \
    size_t i = 0;                                                                    \
    for (; i + BLOCK <= count; i += BLOCK)                                           \
        for (size_t k = 0; k < BLOCK; k++)                                           \
            out[i + k] = (type)pixels[i + k] * (high) + (type)pixels[i + k] * (low); \
    for (; i < count; i++) out[i] = (type)pixels[i] * (high) + (type)pixels[i] * (low)

WIDEST_VECTORS void preprocess_f32(const uint8_t *restrict pixels, size_t count,
                                   float *restrict out)
{
    CONVERT(float, HIGH_F32, LOW_F32);
}

WIDEST_VECTORS void preprocess_f64(const uint8_t *restrict pixels, size_t count,
                                   double *restrict out)
{
    CONVERT(double, HIGH_F64, LOW_F64);
}
