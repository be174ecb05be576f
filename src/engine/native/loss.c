#include "engine/native/loss.h"

static double get(const void *values, size_t index, size_t size)
{
    return size == sizeof(float) ? (double)((const float *)values)[index]
                                 : ((const double *)values)[index];
}

void native_shape_loss(const struct loss_table *table, uint32_t label, const void *logits,
                       void *delta, size_t stride, size_t size, double divisor, double *loss)
{
    const double *target = table->target + (size_t)label * table->classes;
    double label_logit = get(logits, label * stride, size), sum = 0;
    for (uint32_t c = 0; c < table->classes; c++) {
        size_t at = c * stride;
        double slope = (table->total[label] * get(delta, at, size) - target[c]) / divisor;
        /* −log p of another class is that of the label's and what their logits differ by */
        sum += target[c] * (*loss + (label_logit - get(logits, at, size)));
        if (size == sizeof(float))
            ((float *)delta)[at] = (float)slope;
        else
            ((double *)delta)[at] = slope;
    }
    *loss = sum;
}
