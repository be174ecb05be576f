#include "http/drawing.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/js.h"
#include "data/dataset.h"
#include "data/picture.h"

int drawing_read(const json_t *body, struct drawing *out, struct error *error)
{
    const char *text;
    unsigned char *bytes;
    size_t size;
    if (js_need_string(body, "pixels", &text, error) ||
        js_get_u32(body, "width", 1, UINT32_MAX, &out->width, error) ||
        js_get_u32(body, "height", 1, UINT32_MAX, &out->height, error) ||
        base64_decode(text, DRAWING_BYTES_MAX, &bytes, &size, error))
        return -1;
    int status = size == (size_t)out->width * out->height && size <= DRAWING_BYTES_MAX
                     ? 0
                     : error_set(error, ERROR_INPUT,
                                 "\"pixels\" must be width x height bytes in base64, at most %zu",
                                 DRAWING_BYTES_MAX);
    if (!status) memcpy(out->pixels, bytes, size);
    free(bytes);
    return status;
}

int drawing_to_input(const struct drawing *drawing, const struct network *network,
                     const struct input_form *form, uint8_t *out, struct error *error)
{
    /* only read */
    const struct picture picture = {.width = drawing->width,
                                    .height = drawing->height,
                                    .gray = (uint8_t *)(uintptr_t)drawing->pixels};
    bool inverted;
    if (network->channels != 1)
        return error_set(error, ERROR_INPUT,
                         "only networks for gray pictures take a drawing: choose a sample, or "
                         "another model");
    return picture_make_input(&picture, network->rows, network->columns, 1, form, out, &inverted,
                              error);
}

int drawing_predict(const struct drawing *drawing, struct predictor *predictor, uint8_t *picture,
                    json_t **out, struct error *error)
{
    double probabilities[DATASET_MAX_CLASSES];
    uint32_t best;
    if (predictor->classes > DATASET_MAX_CLASSES)
        return error_set(error, ERROR_INPUT,
                         "the model has %u classes: a drawing is shown to models of at most %d",
                         predictor->classes, DATASET_MAX_CLASSES);
    if (drawing_to_input(drawing, &predictor->model->network, &predictor->form, picture, error) ||
        predictor_predict(predictor, picture, probabilities, &best, error))
        return -1;
    json_t *list = json_array();
    for (uint32_t c = 0; c < predictor->classes; c++)
        json_array_append_new(list, js_real(probabilities[c]));
    *out = json_pack("{s:i, s:o, s:s}", "class", (int)best, "probabilities", list, "computed_by",
                     engine_default->id);
    return 0;
}
