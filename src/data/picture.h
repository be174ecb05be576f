/* Single pictures: PNG in and out, and any picture brought into the form a data set's pictures
 * have. */
#ifndef NNSTUDIO_DATA_PICTURE_H
#define NNSTUDIO_DATA_PICTURE_H

#include <stdint.h>

#include "base/error.h"

struct picture {
    uint32_t width, height;
    uint8_t *grey; /* [height, width], owned */
};

/* Reads a PNG of any color type as grey (ITU-R 601 luma). Where it is transparent it gets the
 * background, black or
 * white, that its ink stands out from. At most 4096 x 4096 pixels. */
int picture_read_png(const char *path, struct picture *out, struct error *error);
void picture_free(struct picture *picture);

/* Writes grey pixels [height, width] as a PNG. */
int picture_write_png(const char *path, const uint8_t *grey, uint32_t width, uint32_t height,
                      struct error *error);

/* Makes a network's input, out[rows, columns], from grey pixels [height, width]. A picture with a
 * light border is
 * inverted, for ink is 255. One of rows x columns pixels is otherwise taken as it is. Any other is
 * treated as MNIST's
 * were: the ink's bounding box is scaled to 20/28 of the side, keeping its shape, and its centre
 * of mass is put in the
 * middle. A picture without ink is an error. */
int picture_normalise(const uint8_t *grey, uint32_t width, uint32_t height, uint32_t rows,
                      uint32_t columns, uint8_t *out, struct error *error);

/* Both in one: the input made from a PNG. */
int picture_read_input(const char *path, uint32_t rows, uint32_t columns, uint8_t *out,
                       struct error *error);

#endif
