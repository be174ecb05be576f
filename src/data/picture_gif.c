/* GIF by giflib: the first frame, on its canvas. */
#include <gif_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/picture_read.h"

struct gif_source {
    const uint8_t *at, *end;
};

static int read_bytes(GifFileType *gif, GifByteType *out, int count)
{
    struct gif_source *source = gif->UserData;
    size_t left = (size_t)(source->end - source->at), wanted = (size_t)count;
    if (wanted > left) wanted = left;
    memcpy(out, source->at, wanted);
    source->at += wanted;
    return (int)wanted;
}

static int fail(const GifFileType *gif, int code, char why[128])
{
    const char *message = GifErrorString(gif ? gif->Error : code);
    snprintf(why, 128, "%.100s", message ? message : "damaged");
    return -1;
}

/* The color index that is transparent in this frame, or -1. Extensions come before their frame. */
static int skip_extensions(GifFileType *gif, GifRecordType *type, int *transparent)
{
    for (;;) {
        GifByteType *block;
        int code;
        if (DGifGetRecordType(gif, type) == GIF_ERROR) return -1;
        if (*type != EXTENSION_RECORD_TYPE) return 0;
        if (DGifGetExtension(gif, &code, &block) == GIF_ERROR) return -1;
        while (block) {
            if (code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4 && (block[1] & 1))
                *transparent = block[4];
            if (DGifGetExtensionNext(gif, &block) == GIF_ERROR) return -1;
        }
    }
}

static int read_frame(GifFileType *gif, int transparent, struct pixels *out, char why[128])
{
    const GifImageDesc *frame = &gif->Image;
    const ColorMapObject *colors = frame->ColorMap ? frame->ColorMap : gif->SColorMap;
    if (!colors || frame->Width < 1 || frame->Height < 1 ||
        frame->Left + frame->Width > (int)out->width ||
        frame->Top + frame->Height > (int)out->height) {
        snprintf(why, 128, "a frame without colors or outside of its canvas");
        return -1;
    }
    uint8_t *line = malloc((size_t)frame->Width);
    if (!line) {
        snprintf(why, 128, "out of memory");
        return -1;
    }
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    int status = 0;
    for (int pass = 0; pass < (frame->Interlace ? 4 : 1) && !status; pass++)
        for (int y = frame->Interlace ? first[pass] : 0; y < frame->Height && !status;
             y += frame->Interlace ? step[pass] : 1) {
            if (DGifGetLine(gif, line, frame->Width) == GIF_ERROR) {
                status = fail(gif, 0, why);
                break;
            }
            uint8_t *to = out->rgba +
                          4 * ((size_t)(frame->Top + y) * out->width + (size_t)frame->Left);
            for (int x = 0; x < frame->Width; x++, to += 4) {
                if (line[x] >= colors->ColorCount || line[x] == transparent) continue;
                const GifColorType *color = &colors->Colors[line[x]];
                memcpy(to, ((uint8_t[]){color->Red, color->Green, color->Blue, 255}), 4);
            }
        }
    free(line);
    return status;
}

int picture_decode_gif(const uint8_t *file, size_t size, bool only_size, struct pixels *out,
                       char why[128])
{
    struct gif_source source = {file, file + size};
    int code = 0, transparent = -1, status = -1;
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    GifFileType *gif = DGifOpen(&source, read_bytes, &code);
    if (!gif) return fail(NULL, code, why);
    out->width = (uint32_t)gif->SWidth;
    out->height = (uint32_t)gif->SHeight;
    if (only_size) {
        status = 0;
        goto out;
    }
    if (pixels_allocate(out, why)) goto out;
    if (skip_extensions(gif, &type, &transparent) || type != IMAGE_DESC_RECORD_TYPE ||
        DGifGetImageDesc(gif) == GIF_ERROR) {
        fail(gif, 0, why);
        goto out;
    }
    status = read_frame(gif, transparent, out, why);
out:
    DGifCloseFile(gif, &code);
    if (status) {
        free(out->rgba);
        out->rgba = NULL;
    }
    return status;
}
