/* Picture decoders. For picture_read.c and its formats only. */
#ifndef NNSTUDIO_DATA_PICTURE_READ_H
#define NNSTUDIO_DATA_PICTURE_READ_H

#include "data/picture.h"

/* A decoded picture before it is made gray. */
struct pixels {
    uint32_t width, height;
    uint8_t *rgba; /* [height, width, 4], owned by the caller of the decoder */
};

/* A decoder takes the whole file; with `only_size` it fills width and height alone. On failure
 * `rgba` is NULL and *why says what is wrong, in a few words. */
typedef int picture_decoder(const uint8_t *file, size_t size, bool only_size, struct pixels *out,
                            char why[128]);
picture_decoder picture_decode_png, picture_decode_jpeg, picture_decode_gif, picture_decode_bmp;

/* Zeroed room for width x height RGBA pixels; -1 with a reason for sizes that are not taken. */
int pixels_allocate(struct pixels *pixels, char why[128]);

#endif
