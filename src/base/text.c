#include "base/text.h"

#include <pthread.h>
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

/* A thread's copies; they go with it. */
struct text_copies {
    char *copies[COPIES];
    unsigned next;
};

static pthread_key_t shown_key;
static pthread_once_t shown_once = PTHREAD_ONCE_INIT;
static bool shown_kept;

static void forget_shown(void *context)
{
    struct text_copies *shown = context;
    for (int i = 0; i < COPIES; i++) free(shown->copies[i]);
    free(shown);
}

static void make_key(void)
{
    shown_kept = pthread_key_create(&shown_key, forget_shown) == 0;
}

static struct text_copies *shown_here(void)
{
    pthread_once(&shown_once, make_key);
    if (!shown_kept) return NULL;
    struct text_copies *shown = pthread_getspecific(shown_key);
    if (shown) return shown;
    shown = calloc(1, sizeof *shown);
    if (!shown || !pthread_setspecific(shown_key, shown)) return shown;
    free(shown);
    return NULL;
}

const char *text_shown(const char *text)
{
    struct text_copies *shown = shown_here();
    char *copy = shown ? strdup(text ? text : "") : NULL;
    if (!copy) return "?";
    text_clean(copy);
    char **place = &shown->copies[shown->next++ % COPIES];
    free(*place);
    return *place = copy;
}

bool text_is_formula(const char *text)
{
    char *end;
    if (!*text || !strchr("=+-@", *text)) return false;
    strtod(text, &end);
    return end == text || *end;
}
