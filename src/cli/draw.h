/* Pictures in a terminal. */
#ifndef NNSTUDIO_CLI_DRAW_H
#define NNSTUDIO_CLI_DRAW_H

#include <stdbool.h>

#include "data/dataset.h"

/* True when the locale's characters are UTF-8, so that blocks can be drawn. */
bool draw_takes_utf8(void);
/* Columns of the terminal behind `fd`; 80 when it is none. */
int draw_width(int fd);
/* A progress bar on standard error, `width` characters, `share` (0 … 1) of it full; `color` is
 * "#0f9d8f" or so, or NULL for the terminal's own. */
void draw_bar(const char *color, double share, int width);
/* How many samples of a data set fit side by side on standard output, at least 1. */
size_t draw_across(const struct dataset *dataset);
/* Prints samples of `split` on standard output, several side by side, with their classes: two
 * pixels a character as half blocks in gray, or letters when the output takes no color. */
void draw_samples(const struct dataset *dataset, const struct split *split, const uint32_t *samples,
                  size_t count);

#endif
