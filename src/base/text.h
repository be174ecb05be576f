/* Text from others (names in files, headers, notes), shown to users. */
#ifndef NNSTUDIO_BASE_TEXT_H
#define NNSTUDIO_BASE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* The UTF-8 character at `text` and its bytes, 1 to 4; 0 bytes when those there are none. */
int text_character(const char *text, uint32_t *character);

/* Replaces by '?', in place, what could break a line, speak to the terminal or show text in another
 * order than it has: control characters (C0, DEL, C1), line and paragraph separators, marks of
 * writing direction, and bytes that are no UTF-8. The text never grows. */
void text_clean(char *text);

/* A cleaned copy, for a printf(): it stays until the eighth next call on this thread. NULL is
 * "". */
const char *text_shown(const char *text);
/* Whether a spreadsheet that opens a CSV file takes this cell for a formula and may run it: it
 * begins with =, +, -, @ and is no number. */
bool text_is_formula(const char *text);

#endif
