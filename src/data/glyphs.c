#include "data/glyphs.h"

#include <stddef.h>

#define LIFT  GLYPH_LIFT
#define SHARP GLYPH_SHARP
#define END   GLYPH_END

/* clang-format off */
static const struct glyph glyphs[] = {
    /* closed oval; narrow oval; one that overlaps at the top */
    {0, 5, {45,0, 20,12, 8,40, 10,72, 28,97, 50,98, 70,80, 76,48, 68,15, 45,0, 34,4, END}},
    {0, 3, {60,8, 40,0, 18,20, 10,55, 20,90, 42,100, 62,80, 70,45, 60,12, 44,4, END}},
    {0, 2, {30,8, 52,0, 78,20, 80,60, 58,95, 28,96, 10,68, 12,30, 32,6, 58,2, END}},
    /* a stroke; with a flag; with flag and foot */
    {1, 7, {38,0, 35,50, 34,100, END}},
    {1, 2, {20,24, SHARP, 38,0, 37,50, 38,100, END}},
    {1, 1, {15,22, SHARP, 38,0, 38,50, 38,100, LIFT, 12,100, 64,99, END}},
    /* straight foot; looped foot; wide and flat */
    {2, 4, {12,22, 28,3, 55,2, 70,20, 62,45, 35,75, SHARP, 8,97, 40,95, 78,96, END}},
    {2, 4, {10,20, 30,2, 58,4, 68,25, 55,55, 28,88, 12,95, 10,82, 26,80, 45,92, 62,97, 84,88, END}},
    {2, 2, {14,12, 45,2, 68,18, 60,48, SHARP, 10,96, 30,90, 55,95, 76,94, END}},
    /* pointed waist; flat top; soft waist */
    {3, 5, {12,12, 35,0, 60,6, 64,26, 48,42, SHARP, 32,46, 52,50, 70,68, 62,90, 35,100, 8,88, END}},
    {3, 1, {SHARP, 12,4, SHARP, 62,4, SHARP, 34,42, 58,48, 72,68, 58,92, 32,100, 8,90, END}},
    {3, 4, {14,14, 38,0, 62,12, 58,34, 34,46, 50,50, 70,66, 64,90, 36,100, 10,86, END}},
    /* open, angular; closed triangle; open and round; nearly closed */
    {4, 4, {20,2, 12,34, SHARP, 12,55, 40,55, 74,50, LIFT, 62,5, 58,50, 54,100, END}},
    {4, 2, {SHARP, 56,0, SHARP, 6,64, 40,62, 82,60, LIFT, 58,0, 56,50, 55,100, END}},
    {4, 3, {14,8, 10,35, 22,54, 48,50, 62,30, LIFT, 66,2, 62,50, 56,100, END}},
    {4, 2, {46,6, 24,32, SHARP, 8,56, 40,58, 70,53, LIFT, 62,14, 58,55, 54,100, END}},
    /* in one go; with the bar added last; like an s */
    {5, 4, {70,2, SHARP, 22,4, SHARP, 17,42, 42,36, 66,50, 68,76, 46,97, 10,92, END}},
    {5, 4, {24,6, SHARP, 18,44, 45,38, 68,58, 64,85, 38,100, 8,90, LIFT, 24,6, 50,4, 82,0, END}},
    {5, 2, {70,4, 42,2, 22,12, 22,36, 48,46, 66,62, 60,88, 34,100, 8,88, END}},
    /* curved back; large loop; straight back */
    {6, 4, {56,0, 30,22, 12,55, 14,84, 36,100, 60,88, 64,66, 46,54, 26,62, 14,80, END}},
    {6, 3, {48,0, 22,35, 10,70, 28,98, 56,94, 66,72, 50,56, 24,62, 12,76, END}},
    {6, 3, {40,0, 18,40, 10,72, 20,96, 44,99, 58,84, 52,66, 32,64, 14,82, END}},
    /* plain; with a serif; crossed; curved */
    {7, 5, {SHARP, 8,10, SHARP, 70,6, 48,50, 32,100, END}},
    {7, 2, {SHARP, 8,24, SHARP, 12,8, SHARP, 68,5, 50,45, 36,100, END}},
    {7, 2, {SHARP, 8,10, SHARP, 70,6, 48,50, 32,100, LIFT, 24,52, 70,48, END}},
    {7, 2, {6,16, 30,7, SHARP, 70,5, 56,40, 44,70, 40,100, END}},
    /* in one go; two rings; slim */
    {8, 5, {62,14, 40,0, 16,14, 22,34, 42,48, 64,66, 62,90, 38,100, 14,88, 16,66,
            40,48, 60,32, 64,14, 52,4, END}},
    {8, 2, {40,48, 18,34, 20,10, 42,0, 62,12, 60,36, 40,48, LIFT,
            40,48, 12,66, 14,92, 40,100, 66,90, 66,64, 40,48, END}},
    {8, 3, {68,8, 46,2, 26,14, 30,36, 50,55, 58,80, 42,98, 20,90, 20,70, 44,48, 66,26, 70,10, END}},
    /* straight leg; curved leg; leaning */
    {9, 4, {64,14, 42,0, 16,12, 12,36, 30,50, 54,42, SHARP, 64,14, 62,55, 56,100, END}},
    {9, 3, {62,12, 40,0, 14,16, 16,42, 40,50, 60,34, 64,12, 64,50, 56,85, 30,100, 12,92, END}},
    {9, 3, {58,10, 34,2, 12,24, 22,46, 46,42, SHARP, 60,12, 54,50, 44,100, END}},
};
/* clang-format on */

const struct glyph *glyph_choose(unsigned digit, float choice)
{
    const size_t count = sizeof glyphs / sizeof glyphs[0];
    unsigned total = 0;
    for (size_t g = 0; g < count; g++)
        if (glyphs[g].digit == digit) total += glyphs[g].weight;
    float left = choice * (float)total;
    const struct glyph *found = NULL;
    for (size_t g = 0; g < count; g++) {
        if (glyphs[g].digit != digit) continue;
        found = &glyphs[g];
        left -= (float)found->weight;
        if (left < 0) break;
    }
    return found;
}
