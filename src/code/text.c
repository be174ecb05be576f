#include "code/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

#define MAX_LINES   10000
#define USUAL_WIDTH 88

void code_text_free(struct code_text *text)
{
    for (size_t i = 0; i < text->count; i++) free(text->lines[i].text);
    free(text->lines);
    *text = (struct code_text){0};
}

static bool make_room(struct code_text *text)
{
    if (text->failed || text->count >= MAX_LINES) return false;
    if (text->count < text->capacity) return true;
    size_t capacity = text->capacity ? 2 * text->capacity : 64;
    struct code_line *grown = realloc(text->lines, capacity * sizeof *grown);
    if (!grown) return false;
    text->lines = grown;
    text->capacity = capacity;
    return true;
}

void code_line(struct code_text *text, const char *idea, const char *format, ...)
{
    char *line = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = make_room(text) ? vasprintf(&line, format, arguments) : -1;
    va_end(arguments);
    if (length < 0) {
        text->failed = true;
        return;
    }
    text->lines[text->count++] = (struct code_line){
        .text = line, .idea = idea, .layers = text->layers};
}

void code_indent(struct code_text *text, size_t first)
{
    for (size_t i = first; i < text->count && !text->failed; i++) {
        char *old = text->lines[i].text, *moved;
        if (!*old) continue;
        if (asprintf(&moved, "    %s", old) < 0) {
            text->failed = true;
            return;
        }
        free(old);
        text->lines[i].text = moved;
    }
}

void code_blank(struct code_text *text, size_t lines)
{
    size_t blank = 0;
    while (blank < text->count && !text->lines[text->count - 1 - blank].text[0]) blank++;
    if (blank == text->count) return;
    for (; blank < lines && !text->failed; blank++) code_line(text, NULL, "%s", "");
}

const char *code_real(double value)
{
    static _Thread_local char slots[4][40];
    static _Thread_local unsigned next;
    char *slot = slots[next++ % 4];
    js_shortest(value, slot);
    if (!strpbrk(slot, ".en")) {
        size_t used = strlen(slot);
        snprintf(slot + used, sizeof slots[0] - used, ".0");
    }
    return slot;
}

const char *code_keras_real(double value, bool exact)
{
    static _Thread_local char slots[8][48];
    static _Thread_local unsigned next;
    char *out = slots[next++ % 8];
    snprintf(out, sizeof slots[0], exact ? "np.float64(%s)" : "%s", code_real(value));
    return out;
}

const char *code_quoted(const char *text)
{
    static _Thread_local char slots[4][1100]; /* any file name, each byte of it escaped */
    static _Thread_local unsigned next;
    char *slot = slots[next++ % 4];
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c && used < sizeof slots[0] - 5;
         c++) {
        bool control = *c < 32 || *c == 127, marked = *c == '"' || *c == '\\';
        const char *form = control ? "\\x%02x" : marked ? "\\%c" : "%c";
        used += (size_t)snprintf(slot + used, sizeof slots[0] - used, form, *c);
    }
    slot[used] = '\0';
    return slot;
}

const char *code_pair(const uint32_t pair[2])
{
    static _Thread_local char slots[4][32];
    static _Thread_local unsigned next;
    char *slot = slots[next++ % 4];
    snprintf(slot, sizeof slots[0], pair[0] == pair[1] ? "%u" : "(%u, %u)", pair[0], pair[1]);
    return slot;
}

void code_call(struct code_text *text, const char *idea, const char *before, const char *name,
               const struct code_arguments *arguments)
{
    if (strlen(before) + strlen(name) + strlen(arguments->text) + 2 <= USUAL_WIDTH) {
        code_line(text, idea, "%s%s(%s)", before, name, arguments->text);
        return;
    }
    code_line(text, idea, "%s%s(", before, name);
    code_line(text, idea, "    %s", arguments->text);
    code_line(text, idea, ")");
}

void code_argument(struct code_arguments *arguments, const char *format, ...)
{
    size_t used = strlen(arguments->text), size = sizeof arguments->text;
    va_list given;
    if (used) used += (size_t)snprintf(arguments->text + used, size - used, ", ");
    va_start(given, format);
    int length = vsnprintf(arguments->text + used, size - used, format, given);
    va_end(given);
    CHECK(length >= 0 && (size_t)length < size - used); /* numbers and names of bounded length */
}
