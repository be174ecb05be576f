/* Windows that slide over padded maps: what the frameworks' operators leave to their caller. */
#ifndef NNSTUDIO_ENGINE_WINDOW_H
#define NNSTUDIO_ENGINE_WINDOW_H

#include "net/layer.h"

/* True when both sides of rows, and both of columns, are padded alike. */
bool window_is_symmetric(const struct layer *layer);
/* For every place [rows, columns] of an average pooling's output: the window's size over how many
 * of its values are not padding. An average that counted the padding times this does not count
 * it. */
void window_corrections(const struct layer *layer, double *out);

#endif
