#include "net/layout.h"

#include <string.h>

static struct layout permuted(uint32_t rank, const size_t *sizes, const uint32_t *order)
{
    struct layout layout = {.rank = rank};
    memcpy(layout.sizes, sizes, rank * sizeof *sizes);
    memcpy(layout.order, order, rank * sizeof *order);
    return layout;
}

/* True when every value of its output stands where the value of its input stood: the layers that
 * mix values are known, and any other that keeps the shape keeps the places. */
static bool keeps_order(const struct layer *layer)
{
    return layer->type != LAYER_DENSE && layer->type != LAYER_CONV2D &&
           shape_equal(&layer->input, &layer->output);
}

/* The maps that what comes to layer `index` is, or counts: those of a flatten before it, or the
 * picture. NULL when it is no maps, or only one, whose order is the same in both. */
static const struct shape *maps_before(const struct network *network, uint32_t index)
{
    const struct shape *maps = index ? &network->layers[index - 1].output
                                     : &network->layers[0].input;
    for (uint32_t i = index; maps->rank != 3 && i-- > 0;) {
        const struct layer *layer = &network->layers[i];
        if (layer->type != LAYER_FLATTEN && !keeps_order(layer)) return NULL;
        maps = &layer->input;
    }
    return maps->rank == 3 && maps->sizes[0] > 1 ? maps : NULL;
}

struct layout layout_of_maps(const struct shape *maps)
{
    const uint32_t *sizes = maps->sizes;
    struct layout layout = permuted(3, (size_t[]){sizes[0], sizes[1], sizes[2]},
                                    (uint32_t[]){1, 2, 0});
    layout.keras = shape_maps(sizes[1], sizes[2], sizes[0]);
    return layout;
}

static struct layout dense_layout(const struct network *network, const struct tensor *tensor)
{
    const struct shape *maps = maps_before(network, tensor->layer);
    size_t outputs = tensor->shape[0], inputs = tensor->shape[1];
    struct layout layout;
    if (maps)
        layout = permuted(4, (size_t[]){outputs, maps->sizes[0], maps->sizes[1], maps->sizes[2]},
                          (uint32_t[]){2, 3, 1, 0});
    else
        layout = permuted(2, (size_t[]){outputs, inputs}, (uint32_t[]){1, 0});
    layout.keras = (struct shape){2, {(uint32_t)inputs, (uint32_t)outputs}};
    return layout;
}

static struct layout conv_layout(const struct layer *layer, const struct tensor *tensor)
{
    const size_t *s = tensor->shape;
    uint32_t channels = layer->input.sizes[0];
    struct layout layout;
    if (layer->groups == channels && channels > 1) {
        size_t each = s[0] / channels;
        layout = permuted(4, (size_t[]){channels, each, s[2], s[3]}, (uint32_t[]){2, 3, 0, 1});
        layout.keras = (struct shape){4,
                                      {(uint32_t)s[2], (uint32_t)s[3], channels, (uint32_t)each}};
        return layout;
    }
    layout = permuted(4, s, (uint32_t[]){2, 3, 1, 0});
    layout.keras = (struct shape){4,
                                  {(uint32_t)s[2], (uint32_t)s[3], (uint32_t)s[1], (uint32_t)s[0]}};
    return layout;
}

struct layout layout_plain(size_t count)
{
    struct layout layout = permuted(1, &count, (uint32_t[]){0});
    layout.keras = shape_units((uint32_t)count);
    return layout;
}

struct layout layout_of(const struct network *network, const struct tensor *tensor)
{
    const struct layer *layer = &network->layers[tensor->layer];
    if (layer->type == LAYER_DENSE && tensor->role == ROLE_WEIGHT)
        return dense_layout(network, tensor);
    if (layer->type == LAYER_CONV2D && tensor->role == ROLE_WEIGHT)
        return conv_layout(layer, tensor);
    if (tensor->rank == 3) return layout_of_maps(&layer->input);
    /* One value per value of a list that counts maps: a normalization behind a flatten. */
    const struct shape *maps = keeps_order(layer) ? maps_before(network, tensor->layer) : NULL;
    if (maps && layer->input.rank == 1) {
        struct layout layout = layout_of_maps(maps);
        layout.keras = shape_units((uint32_t)tensor->count);
        return layout;
    }
    return layout_plain(tensor->count);
}

struct layout layout_of_output(const struct network *network, uint32_t index)
{
    const struct shape *output = &network->layers[index].output;
    if (output->rank == 3) return layout_of_maps(output);
    const struct shape *maps = maps_before(network, index + 1);
    struct layout layout = maps ? layout_of_maps(maps) : layout_plain(shape_values(output));
    layout.keras = *output;
    return layout;
}

bool layout_is_plain(const struct layout *layout)
{
    return layout->rank == 1;
}

/* Walks Keras's order and copies each value from or to its place in the studio's. */
static void permute(const struct layout *layout, char *studio, char *keras, size_t size,
                    bool to_keras)
{
    size_t strides[LAYOUT_MAX_RANK], count = 1, index[LAYOUT_MAX_RANK] = {0};
    for (uint32_t a = layout->rank; a-- > 0;) {
        strides[a] = count;
        count *= layout->sizes[a];
    }
    for (size_t n = 0, place = 0; n < count; n++) {
        char *far = studio + place * size, *near = keras + n * size;
        memcpy(to_keras ? near : far, to_keras ? far : near, size);
        for (uint32_t a = layout->rank; a-- > 0;) {
            uint32_t axis = layout->order[a];
            place += strides[axis];
            if (++index[a] < layout->sizes[axis]) break;
            place -= strides[axis] * layout->sizes[axis];
            index[a] = 0;
        }
    }
}

void layout_to_keras(const struct layout *layout, const void *studio, void *keras, size_t size)
{
    permute(layout, (char *)(uintptr_t)studio, keras, size, true);
}

void layout_from_keras(const struct layout *layout, const void *keras, void *studio, size_t size)
{
    permute(layout, studio, (char *)(uintptr_t)keras, size, false);
}
