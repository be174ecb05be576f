#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COPIES 8

int text_character(const char *bytes, uint32_t *character)
{
    const unsigned char *text = (const unsigned char *)bytes;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    int length = text[0] < 0x80           ? 1
                 : (text[0] >> 5) == 0x06 ? 2
                 : (text[0] >> 4) == 0x0e ? 3
                 : (text[0] >> 3) == 0x1e ? 4
                                          : 0;
    if (length == 0) return 0;
    *character = length == 1 ? text[0] : text[0] & (0xffU >> (length + 1));
    for (int i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        *character = *character << 6 | (text[i] & 0x3fU);
    }
    bool surrogate = *character >= 0xd800 && *character < 0xe000;
    return *character < least[length] || *character > 0x10ffff || surrogate ? 0 : length;
}

static bool is_unsafe(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0x061c, 0x061c}, {0x200e, 0x200f},
        {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

void text_clean(char *text)
{
    char *out = text;
    for (const char *in = text; *in;) {
        uint32_t c = 0;
        int length = text_character(in, &c);
        if (!length || is_unsafe(c)) {
            *out++ = '?';
            in += length ? length : 1;
        } else {
            for (int i = 0; i < length; i++) *out++ = *in++;
        }
    }
    *out = '\0';
}

const char *text_shown(const char *text)
{
    static _Thread_local char *copies[COPIES];
    static _Thread_local unsigned next;
    char *copy = strdup(text ? text : "");
    if (!copy) return "?";
    text_clean(copy);
    free(copies[next % COPIES]);
    return copies[next++ % COPIES] = copy;
}
