/* A loss that is not plain cross-entropy (net/loss.h): for this folder only. */
#ifndef NNSTUDIO_ENGINE_NATIVE_LOSS_H
#define NNSTUDIO_ENGINE_NATIVE_LOSS_H

#include "net/loss.h"

/* One sample. `loss` is its plain cross-entropy, and becomes this loss; `delta` its probabilities,
 * which become the derivative by the logits, divided by `divisor`. Value c lies at c * stride, of
 * `size` bytes. */
void native_shape_loss(const struct loss_table *table, uint32_t label, const void *logits,
                       void *delta, size_t stride, size_t size, double divisor, double *loss);

#endif
