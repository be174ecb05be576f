/* The layers of a network in the two Python programs: one table row per layer type and language.
 * For this room only. */
#ifndef NNSTUDIO_CODE_LAYERS_H
#define NNSTUDIO_CODE_LAYERS_H

#include "code/code.h"

/* The body of the module's __init__ and of its forward(), in the class that the caller opens. */
void torch_write_layers(const struct network *network, bool keras_init, struct code_text *out);
void torch_write_forward(const struct network *network, struct code_text *out);

/* What of Keras has no argument or no rule for the layer is refused by the layer's number. */
int keras_check_layers(const struct network *network, struct error *error);
/* What must be defined before the model: initial values, weight decay, functions. */
void keras_write_definitions(const struct code_subject *subject, struct code_text *out);
/* The items of the Sequential's list, its input apart. */
void keras_write_layers(const struct code_subject *subject, struct code_text *out);
/* Below the model: what its layers would compute with a number rounded to float32. */
void keras_write_exact(const struct network *network, const struct job *job, struct code_text *out);

/* masks.c: dropout by given masks. The module that stands in for PyTorch's, and where it is put in;
 * the function of Keras's program with its calls. Nothing for networks without dropout. */
void torch_write_masked(const struct network *network, struct code_text *out);
void torch_write_masks(const struct network *network, struct code_text *out);
void keras_write_masks(const struct network *network, struct code_text *out);

/* What a window's padding is, for the languages that have no four numbers for it. */
enum padding_form {
    PADDING_NONE,
    PADDING_EVEN,  /* top = bottom and left = right */
    PADDING_UNEVEN /* four numbers */
};
enum padding_form padding_form(const struct layer *layer);
bool pair_is_one(const uint32_t pair[2]); /* a stride, a dilation of 1 both ways */

#endif
