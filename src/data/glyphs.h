/* Pen strokes of the synthetic digits. Private to the data room. */
#ifndef NNSTUDIO_DATA_GLYPHS_H
#define NNSTUDIO_DATA_GLYPHS_H

#include <stdint.h>

/* Marks between the points of a glyph. */
#define GLYPH_LIFT  120 /* the pen is lifted: a new stroke begins */
#define GLYPH_SHARP 121 /* the next point is a corner, not part of a smooth curve */
#define GLYPH_END   122

#define GLYPH_MAX_VALUES 48

/* One way to write a digit: x, y pairs in a box 100 high (y downwards), joined by smooth curves,
 * between marks. */
struct glyph {
    uint8_t digit;
    uint8_t weight; /* how often it is written so, among the ways of its digit */
    int8_t values[GLYPH_MAX_VALUES];
};

/* A way to write `digit` (0 … 9), chosen by `choice` in [0, 1) according to the weights. */
const struct glyph *glyph_choose(unsigned digit, float choice);

#endif
