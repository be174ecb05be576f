/* A drawing that came in a request, and what a model sees in it. */
#ifndef NNSTUDIO_HTTP_DRAWING_H
#define NNSTUDIO_HTTP_DRAWING_H

#include <jansson.h>

#include "base/error.h"
#include "net/network.h"
#include "train/predictor.h"

#define DRAWING_BYTES_MAX ((size_t)1 << 20)
struct drawing {
    uint32_t width, height;
    uint8_t pixels[DRAWING_BYTES_MAX]; /* 0 background … 255 ink, row-major */
};

/* From the members "pixels" (base64), "width" and "height". */
int drawing_read(const json_t *body, struct drawing *out, struct error *error);

/* The network's input, out[network_inputs()], as the form says. A drawing is gray: refused for a
 * network of color pictures. */
int drawing_to_input(const struct drawing *drawing, const struct network *network,
                     const struct input_form *form, uint8_t *out, struct error *error);

/* {"class","probabilities","computed_by"} of a model, a new reference; the input that it was given
 * in picture[predictor->inputs]. */
int drawing_predict(const struct drawing *drawing, struct predictor *predictor, uint8_t *picture,
                    json_t **out, struct error *error);

#endif
