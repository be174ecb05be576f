/* Gradients kept in bounds before an optimizer's step (net/optimizer.h): for this folder only. */
#ifndef NNSTUDIO_ENGINE_NATIVE_CLIP_H
#define NNSTUDIO_ENGINE_NATIVE_CLIP_H

#include "net/optimizer.h"

/* `size`: bytes per number, as the kernels say. */
double native_sum_of_squares(const void *values, size_t count, size_t size);
/* out = values, clipped; `factor` is that of their norm, where it is a norm that is bounded. `out`
 * may be `values`. */
void native_clip(const struct optimizer *optimizer, const void *values, size_t count, size_t size,
                 double factor, void *out);

#endif
