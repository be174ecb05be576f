#include "engine/window.h"

bool window_is_symmetric(const struct layer *layer)
{
    return layer->padding[PAD_TOP] == layer->padding[PAD_BOTTOM] &&
           layer->padding[PAD_LEFT] == layer->padding[PAD_RIGHT];
}

/* How many values of window number `window` along dimension `d` (0 rows, 1 columns) are not
 * padding. */
static uint32_t inside(const struct layer *layer, int d, uint32_t window)
{
    int64_t begin = (int64_t)window * layer->stride[d] - layer->padding[2 * d];
    int64_t end = begin + layer->kernel[d], extent = layer->input.sizes[1 + d];
    if (begin < 0) begin = 0;
    if (end > extent) end = extent;
    return (uint32_t)(end - begin);
}

void window_corrections(const struct layer *layer, double *out)
{
    double size = (double)layer->kernel[0] * layer->kernel[1];
    for (uint32_t r = 0; r < layer->output.sizes[1]; r++)
        for (uint32_t c = 0; c < layer->output.sizes[2]; c++)
            *out++ = size / ((double)inside(layer, 0, r) * inside(layer, 1, c));
}
