#include "data/picture_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/path.h"

#define FILE_MAX ((size_t)64 << 20)

static const struct picture_format {
    const char *title, *extensions;
    const char *magic;
    size_t magic_size;
    picture_decoder *decode;
} formats[] = {
    {"PNG", "png", "\x89PNG", 4, picture_decode_png},
    {"JPEG", "jpg jpeg jpe jfif", "\xff\xd8\xff", 3, picture_decode_jpeg},
    {"GIF", "gif", "GIF8", 4, picture_decode_gif},
    {"BMP", "bmp dib", "BM", 2, picture_decode_bmp},
};
#define FORMAT_COUNT (sizeof formats / sizeof formats[0])

void picture_free(struct picture *picture)
{
    free(picture->gray);
    free(picture->colors);
    *picture = (struct picture){0};
}

bool picture_has_extension(const char *path)
{
    const char *extension = path_extension(path);
    size_t length = strlen(extension);
    for (size_t i = 0; length && i < FORMAT_COUNT; i++)
        for (const char *at = formats[i].extensions; at; at = strchr(at, ' ')) {
            at += *at == ' ';
            if (strcspn(at, " ") == length && !strncasecmp(at, extension, length)) return true;
        }
    return false;
}

int pixels_allocate(struct pixels *pixels, char why[128])
{
    uint64_t count = (uint64_t)pixels->width * pixels->height;
    if (count < 1 || count > PICTURE_MAX_PIXELS) {
        snprintf(why, 128, "%u x %u pixels, the most is %llu in all", pixels->width, pixels->height,
                 (unsigned long long)PICTURE_MAX_PIXELS);
        return -1;
    }
    pixels->rgba = calloc(count, 4);
    if (pixels->rgba) return 0;
    snprintf(why, 128, "out of memory");
    return -1;
}

static uint32_t luma(const uint8_t *rgba)
{
    return (rgba[0] * 19595u + rgba[1] * 38470u + rgba[2] * 7471u + 32768u) >> 16;
}

/* Light ink needs a dark background and the other way round. */
static uint32_t choose_background(const uint8_t *rgba, size_t count)
{
    uint64_t weight = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        weight += rgba[4 * i + 3];
        sum += (uint64_t)rgba[4 * i + 3] * luma(rgba + 4 * i);
    }
    return sum > 127 * weight ? 0 : 255;
}

static uint8_t on_background(uint32_t value, uint32_t alpha, uint32_t background)
{
    return (uint8_t)((value * alpha + background * (255 - alpha) + 127) / 255);
}

static void make_gray(const uint8_t *rgba, size_t count, struct picture *out)
{
    uint32_t background = choose_background(rgba, count);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *pixel = rgba + 4 * i;
        out->color |= pixel[0] != pixel[1] || pixel[1] != pixel[2];
        out->gray[i] = on_background(luma(pixel), pixel[3], background);
    }
}

static void keep_colors(const uint8_t *rgba, size_t count, struct picture *out)
{
    uint32_t background = choose_background(rgba, count);
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < count; i++)
            out->colors[c * count + i] = on_background(rgba[4 * i + c], rgba[4 * i + 3],
                                                       background);
}

static int decode_bytes(const char *file, size_t size, const char *name, bool only_size,
                        struct pixels *pixels, struct error *error)
{
    char why[128] = "";
    const struct picture_format *format = NULL;
    *pixels = (struct pixels){0};
    for (size_t i = 0; i < FORMAT_COUNT && !format; i++)
        if (size >= formats[i].magic_size && !memcmp(file, formats[i].magic, formats[i].magic_size))
            format = &formats[i];
    if (!format)
        return error_set(error, ERROR_INPUT,
                         "%s is not a readable picture: give a PNG, JPEG, BMP or GIF", name);
    if (!format->decode((const uint8_t *)file, size, only_size, pixels, why)) return 0;
    return error_set(error, ERROR_INPUT, "%s is not a readable %s picture (%s): give another", name,
                     format->title, why);
}

static int decode(const char *path, bool only_size, struct pixels *pixels, struct error *error)
{
    char *file;
    size_t size;
    if (file_read(path, FILE_MAX, &file, &size, error)) return -1;
    int status = decode_bytes(file, size, path, only_size, pixels, error);
    free(file);
    return status;
}

int picture_size(const char *path, uint32_t *width, uint32_t *height, struct error *error)
{
    struct pixels pixels;
    if (decode(path, true, &pixels, error)) return -1;
    *width = pixels.width;
    *height = pixels.height;
    return 0;
}

static int take_pixels(struct pixels *pixels, struct picture *out, struct error *error)
{
    size_t count = (size_t)pixels->width * pixels->height;
    out->width = pixels->width;
    out->height = pixels->height;
    out->gray = malloc(count);
    if (out->gray) make_gray(pixels->rgba, count, out);
    if (out->color) out->colors = malloc(3 * count);
    if (out->colors) keep_colors(pixels->rgba, count, out);
    free(pixels->rgba);
    if (out->gray && (out->colors || !out->color)) return 0;
    picture_free(out);
    return error_set_memory(error, "a picture");
}

int picture_read(const char *path, struct picture *out, struct error *error)
{
    struct pixels pixels;
    *out = (struct picture){0};
    return decode(path, false, &pixels, error) ? -1 : take_pixels(&pixels, out, error);
}

int picture_read_bytes(const char *bytes, size_t size, const char *name, struct picture *out,
                       struct error *error)
{
    struct pixels pixels;
    *out = (struct picture){0};
    return decode_bytes(bytes, size, name, false, &pixels, error)
               ? -1
               : take_pixels(&pixels, out, error);
}
