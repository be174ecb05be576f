#include "http/framing.h"

#include <string.h>
#include <strings.h>

static bool is_control(unsigned char c)
{
    return (c < ' ' && c != '\t') || c == 0x7f;
}

/* Keeps the beginning of a head's line, to know the one that announces chunks. */
static void keep(struct framing *framing, char c)
{
    if (c == ' ' || c == '\t') return;
    if (framing->length < sizeof framing->line)
        framing->line[framing->length] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    if (framing->length <= sizeof framing->line) framing->length++;
}

static void end_line(struct framing *framing)
{
    static const char chunked[] = "transfer-encoding:chunked";
    if (framing->length == sizeof chunked - 1 &&
        memcmp(framing->line, chunked, sizeof chunked - 1) == 0)
        framing->chunked = true;
    if (!framing->inside && framing->begun)
        framing->part = framing->chunked ? FRAMING_SIZE : FRAMING_OVER;
    framing->begun |= framing->inside;
    framing->inside = false;
    framing->length = 0;
}

/* One byte of the head, whose lines end with "\n" or "\r\n". */
static void scan_head(struct framing *framing, char c)
{
    bool after_return = framing->last == '\r';
    framing->last = c;
    if (c == '\n') {
        end_line(framing);
        return;
    }
    if (after_return) framing->bad = true;
    if (c == '\r') return;
    if (is_control((unsigned char)c)) framing->bad = true;
    /* the line before would go on here, for some readers */
    if (!framing->inside && framing->begun && (c == ' ' || c == '\t')) framing->bad = true;
    framing->inside = true;
    keep(framing, c);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static void end_size(struct framing *framing)
{
    if (!framing->digits) framing->bad = true;
    framing->part = framing->left ? FRAMING_DATA : FRAMING_OVER;
    framing->left += 2; /* "\r\n" */
    framing->digits = 0;
}

static void scan_size(struct framing *framing, char *c)
{
    int digit = hex_digit(*c);
    if (digit >= 0 && framing->part == FRAMING_SIZE) {
        if (++framing->digits > 15) framing->bad = true;
        framing->left = framing->left << 4 | (unsigned int)digit;
    } else if (*c == '\n') {
        end_size(framing);
    } else if (*c != '\r') {
        if (framing->part == FRAMING_SIZE && *c != ';' && *c != ' ' && *c != '\t')
            framing->bad = true;
        framing->part = FRAMING_EXTENSION;
        *c = ' ';
    }
}

static size_t scan_data(struct framing *framing, size_t size)
{
    size_t taken = framing->left < size ? (size_t)framing->left : size;
    framing->left -= taken;
    if (!framing->left) framing->part = FRAMING_SIZE;
    return taken;
}

void framing_scan(struct framing *framing, char *bytes, size_t size)
{
    for (size_t i = 0; i < size && !framing->bad;) {
        switch (framing->part) {
        case FRAMING_HEAD:
            scan_head(framing, bytes[i++]);
            break;
        case FRAMING_SIZE:
        case FRAMING_EXTENSION:
            scan_size(framing, &bytes[i++]);
            break;
        case FRAMING_DATA:
            i += scan_data(framing, size - i);
            break;
        case FRAMING_OVER:
            return;
        }
    }
}

bool framing_name_ok(const char *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~0123456789";
    if (!*name) return false;
    for (; *name; name++) {
        char lower = (char)(*name | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !strchr(others, *name)) return false;
    }
    return true;
}

bool framing_length_ok(const char *value)
{
    size_t digits = strspn(value, "0123456789");
    return digits && digits <= 19 && !value[digits];
}

bool framing_encoding_ok(const char *value)
{
    return strcasecmp(value, "chunked") == 0;
}
