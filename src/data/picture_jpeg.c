/* JPEG by libjpeg. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "data/picture_read.h"

/* Of a progressive picture: programs write about ten, and each may cost a look at every pixel. */
#define SCANS_MAX 100

struct failure {
    struct jpeg_error_mgr base;
    jmp_buf back;
    char *why;
};

static void fail(j_common_ptr info)
{
    struct failure *failure = (struct failure *)info->err;
    char message[JMSG_LENGTH_MAX];
    info->err->format_message(info, message);
    snprintf(failure->why, 128, "%.120s", message);
    longjmp(failure->back, 1);
}

/* A warning is damage: the library would go on and fill in gray. */
static void warn(j_common_ptr info, int level)
{
    if (level < 0) fail(info);
}

static void count_scans(j_common_ptr info)
{
    struct failure *failure = (struct failure *)info->err;
    if (((j_decompress_ptr)info)->input_scan_number <= SCANS_MAX) return;
    snprintf(failure->why, 128, "more than %d scans", SCANS_MAX);
    longjmp(failure->back, 1);
}

static void say_nothing(j_common_ptr info)
{
    (void)info;
}

/* Rows as they come, gray or RGB, to RGBA. */
static void read_rows(struct jpeg_decompress_struct *info, struct pixels *out)
{
    size_t width = out->width, channels = (size_t)info->output_components;
    /* freed with the decoder */
    JSAMPARRAY row = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE,
                                             (JDIMENSION)(width * channels), 1);
    while (info->output_scanline < info->output_height) {
        uint8_t *to = out->rgba + (size_t)info->output_scanline * width * 4;
        jpeg_read_scanlines(info, row, 1);
        for (size_t x = 0; x < width; x++) {
            const JSAMPLE *from = row[0] + x * channels;
            for (size_t c = 0; c < 3; c++) to[4 * x + c] = from[channels == 3 ? c : 0];
            to[4 * x + 3] = 255;
        }
    }
}

int picture_decode_jpeg(const uint8_t *file, size_t size, bool only_size, struct pixels *out,
                        char why[128])
{
    struct jpeg_decompress_struct info = {0};
    struct failure failure = {.why = why};
    struct jpeg_progress_mgr progress = {.progress_monitor = count_scans};
    volatile int status = -1;
    info.err = jpeg_std_error(&failure.base);
    failure.base.error_exit = fail;
    failure.base.emit_message = warn;
    failure.base.output_message = say_nothing;
    if (setjmp(failure.back)) goto out;
    jpeg_create_decompress(&info);
    info.progress = &progress;
    info.mem->max_memory_to_use = 256 << 20;
    jpeg_mem_src(&info, file, size);
    jpeg_read_header(&info, TRUE);
    out->width = info.image_width;
    out->height = info.image_height;
    if (!only_size) {
        if (info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK) {
            snprintf(why, 128, "it is in CMYK, for print: save it in RGB");
            goto out;
        }
        info.out_color_space = info.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
        info.dct_method = JDCT_ISLOW;
        if (pixels_allocate(out, why)) goto out;
        jpeg_start_decompress(&info);
        read_rows(&info, out);
        jpeg_finish_decompress(&info);
    }
    status = 0;
out:
    jpeg_destroy_decompress(&info);
    if (status) {
        free(out->rgba);
        out->rgba = NULL;
    }
    return status;
}
