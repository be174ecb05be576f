/* Single pictures: read, PNG written, and any picture brought into the form a data set's pictures
 * have. */
#ifndef NNSTUDIO_DATA_PICTURE_H
#define NNSTUDIO_DATA_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "data/preprocess.h"

#define PICTURE_MAX_PIXELS ((uint64_t)4096 * 4096)

struct picture {
    uint32_t width, height;
    bool color;      /* the file holds colors */
    uint8_t *gray;   /* [height, width], owned */
    uint8_t *colors; /* [3, height, width]: red, green, blue; owned; NULL unless `color` */
};

/* Reads a PNG, JPEG, BMP or GIF (told apart by their first bytes; of an animation the first frame)
 * as gray (ITU-R 601 luma) and, where it has any, in its colors; 16-bit samples v · 257 become v;
 * gamma is left as it is. Where it is transparent it gets the background, black or white, that its
 * ink stands out from. At most 4096 x 4096 pixels. */
int picture_read(const char *path, struct picture *out, struct error *error);
/* The same of a file's bytes; `name` stands for it in messages. */
int picture_read_bytes(const char *bytes, size_t size, const char *name, struct picture *out,
                       struct error *error);
/* Its size alone, from the first bytes. */
int picture_size(const char *path, uint32_t *width, uint32_t *height, struct error *error);
/* True when the name ends as those of pictures do that picture_read() takes. */
bool picture_has_extension(const char *path);
void picture_free(struct picture *picture);

/* The whole picture [height, width] as out[rows, columns]: each pixel is the mean of the area it
 * covers. */
void picture_resize(const uint8_t *gray, uint32_t width, uint32_t height, uint32_t rows,
                    uint32_t columns, uint8_t *out);

/* Writes gray pixels [height, width] as a PNG. */
int picture_write_png(const char *path, const uint8_t *gray, uint32_t width, uint32_t height,
                      struct error *error);

/* Makes a network's input, out[rows, columns], from gray pixels [height, width]. A picture with a
 * light border is inverted, for ink is 255. One of rows x columns pixels is otherwise taken as it
 * is. Any other is treated as MNIST's were: the ink's bounding box is scaled to 20/28 of the side,
 * keeping its shape, and its center of mass is put in the middle. A picture without ink is an
 * error. */
int picture_normalize(const uint8_t *gray, uint32_t width, uint32_t height, uint32_t rows,
                      uint32_t columns, uint8_t *out, struct error *error);

/* A network's input out[channels, rows, columns] as the model's form says. Of one channel: known
 * polarity: a picture of the other one is inverted (*inverted); of another size: resized whole, or
 * normalized as above; not known: as MNIST, light on dark. Of three: it is resized whole and never
 * inverted; a gray picture has three equal channels. */
int picture_make_input(const struct picture *picture, uint32_t rows, uint32_t columns,
                       uint32_t channels, const struct input_form *form, uint8_t *out,
                       bool *inverted, struct error *error);
/* From a file. */
int picture_read_input(const char *path, uint32_t rows, uint32_t columns, uint32_t channels,
                       const struct input_form *form, uint8_t *out, bool *inverted,
                       struct error *error);

#endif
