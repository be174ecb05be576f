/* PNG by libpng. Its simplified interface would take 16-bit samples for linear light and bend them;
 * here every sample keeps its value, 16 bits v · 257 becoming v. */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/picture_read.h"

struct png_source {
    const uint8_t *at, *end;
    char *why;
};

static void read_bytes(png_structp png, png_bytep out, size_t count)
{
    struct png_source *source = png_get_io_ptr(png);
    if (count > (size_t)(source->end - source->at)) png_error(png, "the file is cut short");
    memcpy(out, source->at, count);
    source->at += count;
}

static void fail(png_structp png, png_const_charp message)
{
    struct png_source *source = png_get_error_ptr(png);
    snprintf(source->why, 128, "%s", message);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void ask_for_rgba(png_structp png, png_infop info)
{
    png_set_scale_16(png);
    png_set_expand(png);
    png_set_gray_to_rgb(png);
    png_set_add_alpha(png, 255, PNG_FILLER_AFTER);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

int picture_decode_png(const uint8_t *file, size_t size, bool only_size, struct pixels *out,
                       char why[128])
{
    struct png_source source = {file, file + size, why};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, fail, ignore_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    uint8_t **volatile rows = NULL;
    volatile int status = -1;
    if (!info) {
        snprintf(why, 128, "out of memory");
        png_destroy_read_struct(&png, NULL, NULL);
        return -1;
    }
    if (setjmp(png_jmpbuf(png))) goto out;
    png_set_read_fn(png, &source, read_bytes);
    png_set_user_limits(png, 65536, 65536);
    png_read_info(png, info);
    out->width = png_get_image_width(png, info);
    out->height = png_get_image_height(png, info);
    if (!only_size) {
        if (pixels_allocate(out, why)) goto out;
        ask_for_rgba(png, info);
        rows = malloc(out->height * sizeof *rows);
        if (!rows || png_get_rowbytes(png, info) != (size_t)out->width * 4)
            png_error(png, "of an unknown form");
        for (uint32_t y = 0; y < out->height; y++) rows[y] = out->rgba + (size_t)y * out->width * 4;
        png_read_image(png, rows);
        png_read_end(png, NULL);
    }
    status = 0;
out:
    png_destroy_read_struct(&png, &info, NULL);
    free(rows);
    if (status) {
        free(out->rgba);
        out->rgba = NULL;
    }
    return status;
}
