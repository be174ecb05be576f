/* Preprocessing, one for all engines: a pixel p becomes p / 255 in the engine's dtype. */
#ifndef NNSTUDIO_DATA_PREPROCESS_H
#define NNSTUDIO_DATA_PREPROCESS_H

#include <stddef.h>
#include <stdint.h>

/* The value of every pixel: table[p] = p / 255, rounded once in its own type. */
const float *preprocess_table_f32(void);  /* 256 values */
const double *preprocess_table_f64(void); /* 256 values */

/* `count` pixels to `count` values. */
void preprocess_f32(const uint8_t *pixels, size_t count, float *out);
void preprocess_f64(const uint8_t *pixels, size_t count, double *out);

#endif
