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

void preprocess_f32(const uint8_t *pixels, size_t count, float *out)
{
    const float *table = preprocess_table_f32();
    for (size_t i = 0; i < count; i++) out[i] = table[pixels[i]];
}

void preprocess_f64(const uint8_t *pixels, size_t count, double *out)
{
    const double *table = preprocess_table_f64();
    for (size_t i = 0; i < count; i++) out[i] = table[pixels[i]];
}
