/* BMP as Windows has it (BITMAPFILEHEADER and BITMAPINFOHEADER or longer): 1, 4 and 8 bits with a
 * palette, 24 and 32 bits, not compressed. Format:
 * https://learn.microsoft.com/windows/win32/gdi/bitmap-storage */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/picture_read.h"

#define FILE_HEADER 14
#define INFO_HEADER 40

static uint32_t get16(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8;
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) | get16(at + 2) << 16;
}

static int refuse(char why[128], const char *reason)
{
    snprintf(why, 128, "%s", reason);
    return -1;
}

struct bmp_layout {
    uint32_t bits, colors;
    size_t palette, stride, data;
    bool top_down;
};

static int read_layout(const uint8_t *file, size_t size, struct bmp_layout *layout,
                       struct pixels *out, char why[128])
{
    if (size < FILE_HEADER + INFO_HEADER) return refuse(why, "it is cut short");
    uint32_t header = get32(file + 14), compression = get32(file + 30);
    int32_t height = (int32_t)get32(file + 22);
    if (header < INFO_HEADER || header > 256) return refuse(why, "an OS/2 or unknown header");
    layout->bits = get16(file + 28);
    /* 3: color masks, which 32-bit files usually give as the same bytes as without */
    if (compression != 0 && !(compression == 3 && layout->bits == 32))
        return refuse(why, "it is compressed: save it without compression");
    if (!memchr("\x01\x04\x08\x18\x20", (int)layout->bits, 5))
        return refuse(why, "not of 1, 4, 8, 24 or 32 bits");
    if (height == INT32_MIN || (int32_t)get32(file + 18) < 1 || height == 0)
        return refuse(why, "without a size");
    layout->top_down = height < 0;
    out->width = get32(file + 18);
    out->height = (uint32_t)(height < 0 ? -height : height);
    layout->colors = layout->bits <= 8 ? get32(file + 46) : 0;
    if (layout->bits <= 8 && (!layout->colors || layout->colors > 1u << layout->bits))
        layout->colors = 1u << layout->bits;
    layout->palette = FILE_HEADER + header;
    layout->data = get32(file + 10);
    layout->stride = ((size_t)out->width * layout->bits + 31) / 32 * 4;
    if (layout->palette + 4 * (size_t)layout->colors > size) return refuse(why, "it is cut short");
    return 0;
}

static void read_row(const uint8_t *file, const struct bmp_layout *layout, const uint8_t *row,
                     uint32_t width, uint8_t *to)
{
    for (uint32_t x = 0; x < width; x++, to += 4) {
        const uint8_t *color;
        if (layout->bits > 8) {
            color = row + (size_t)x * layout->bits / 8;
        } else {
            uint32_t shift = 8 - layout->bits - x * layout->bits % 8;
            uint32_t index = row[(size_t)x * layout->bits / 8] >> shift &
                             ((1u << layout->bits) - 1);
            if (index >= layout->colors) index = 0;
            color = file + layout->palette + 4 * (size_t)index;
        }
        memcpy(to, ((uint8_t[]){color[2], color[1], color[0], 255}), 4);
    }
}

int picture_decode_bmp(const uint8_t *file, size_t size, bool only_size, struct pixels *out,
                       char why[128])
{
    struct bmp_layout layout = {0};
    if (read_layout(file, size, &layout, out, why)) return -1;
    if (only_size) return 0;
    if (layout.data > size || layout.stride * out->height > size - layout.data)
        return refuse(why, "it is cut short");
    if (pixels_allocate(out, why)) return -1;
    for (uint32_t y = 0; y < out->height; y++) {
        uint32_t from = layout.top_down ? y : out->height - 1 - y;
        read_row(file, &layout, file + layout.data + layout.stride * from, out->width,
                 out->rgba + (size_t)y * out->width * 4);
    }
    return 0;
}
