#include "data/preprocess.h"

#include <pthread.h>

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

/* Dividing gives the table's values exactly, and 16 pixels at a time is about twice as fast as looking them up. clang 14
 * gives clones another name; the thread sanitizer cannot bear that one is chosen before it is set up itself. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define WIDEST_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST_VECTORS
#endif
#define BLOCK 16

WIDEST_VECTORS void preprocess_f32(const uint8_t *restrict pixels, size_t count, float *restrict out)
{
    size_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK)
        for (size_t k = 0; k < BLOCK; k++) out[i + k] = (float)pixels[i + k] / 255.0f;
    for (; i < count; i++) out[i] = (float)pixels[i] / 255.0f;
}

WIDEST_VECTORS void preprocess_f64(const uint8_t *restrict pixels, size_t count, double *restrict out)
{
    size_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK)
        for (size_t k = 0; k < BLOCK; k++) out[i + k] = (double)pixels[i + k] / 255.0;
    for (; i < count; i++) out[i] = (double)pixels[i] / 255.0;
}
