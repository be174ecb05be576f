#include "engine/native/clip.h"

double native_sum_of_squares(const void *values, size_t count, size_t size)
{
    enum { LANES = 8 }; /* sums side by side: the processor adds them at once */
    double sums[LANES] = {0}, sum = 0;
    const float *narrow = values;
    const double *wide = values;
    for (size_t i = 0; i < count; i++) {
        double value = size == sizeof(float) ? (double)narrow[i] : wide[i];
        sums[i % LANES] += value * value;
    }
    for (size_t lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum;
}

static double clipped(double value, bool by_value, double bound, double factor)
{
    if (!by_value) return value * factor;
    return value > bound ? bound : value < -bound ? -bound : value;
}

void native_clip(const struct optimizer *optimizer, const void *values, size_t count, size_t size,
                 double factor, void *out)
{
    double bound;
    bool by_value = optimizer_clip(optimizer, &bound) == OPTIMIZER_CLIP_VALUES;
    if (size == sizeof(float))
        for (size_t i = 0; i < count; i++)
            ((float *)out)[i] = (float)clipped((double)((const float *)values)[i], by_value, bound,
                                               factor);
    else
        for (size_t i = 0; i < count; i++)
            ((double *)out)[i] = clipped(((const double *)values)[i], by_value, bound, factor);
}
