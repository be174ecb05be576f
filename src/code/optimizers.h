/* The optimizer in the two Python programs: the framework's own where it means the same, else a
 * class of a few lines made of the formula that the engines compute (net/optimizer.h). For this
 * room only. */
#ifndef NNSTUDIO_CODE_OPTIMIZERS_H
#define NNSTUDIO_CODE_OPTIMIZERS_H

#include "code/code.h"

/* The class, where one is needed, and nothing else; before the model is compiled. */
void torch_write_optimizer_class(const struct job *job, struct code_text *out);
void keras_write_optimizer_class(const struct code_subject *subject, struct code_text *out);
/* "torch.optim.Adam(model.parameters(), lr=0.001)"; "keras.optimizers.Adam(learning_rate=0.001)".
 */
struct code_arguments torch_optimizer_call(const struct job *job);
struct code_arguments keras_optimizer_call(const struct code_subject *subject);
/* What bounds the gradients, between the backward pass and the update. */
void torch_write_clip(const struct job *job, struct code_text *out);
/* Whether the Keras program has a class of its own for the optimizer, which no other program knows.
 */
bool keras_has_class(const struct code_subject *subject);
/* Whether the Keras program adds PyTorch's weight decay by the layers' regularizers: its optimizer
 * is then Keras's own. */
bool keras_decays_by_layers(const struct code_subject *subject);

#endif
