#include "data/picture.h"

#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

int picture_write_png(const char *path, const uint8_t *gray, uint32_t width, uint32_t height,
                      struct error *error)
{
    struct file_writer writer;
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_GRAY};
    if (file_create(path, &writer, error)) return -1;
    if (!png_image_write_to_stdio(&image, writer.stream, 0, gray, 0, NULL)) {
        file_abort(&writer);
        return error_set(error, ERROR_IO, "cannot write %s: %s", path, image.message);
    }
    return file_commit(&writer, error);
}

/* The mean of the outermost pixels: what the picture's background is. */
static uint32_t border_level(const uint8_t *gray, uint32_t width, uint32_t height)
{
    uint64_t sum = 0, count = 0;
    for (uint32_t y = 0; y < height; y++) {
        uint32_t step = y == 0 || y == height - 1 || width == 1 ? 1 : width - 1;
        for (uint32_t x = 0; x < width; x += step, count++) sum += gray[(size_t)y * width + x];
    }
    return (uint32_t)(sum / count);
}

/* Ink of every pixel: 0 at the background's level, 255 at the strongest ink. False when there is
 * none. */
static bool find_ink(const uint8_t *gray, size_t count, uint32_t background, uint8_t *ink)
{
    int32_t strongest = 0, sign = background > 127 ? -1 : 1;
    for (size_t i = 0; i < count; i++) {
        int32_t difference = sign * ((int32_t)gray[i] - (int32_t)background);
        if (difference > strongest) strongest = difference;
    }
    if (strongest < 24) return false;
    for (size_t i = 0; i < count; i++) {
        int32_t difference = sign * ((int32_t)gray[i] - (int32_t)background);
        if (difference < 0) difference = 0;
        ink[i] = (uint8_t)(difference * 255 / strongest);
    }
    return true;
}

struct box {
    uint32_t left, top, width, height;
};

static struct box ink_box(const uint8_t *ink, uint32_t width, uint32_t height)
{
    uint32_t left = width, right = 0, top = height, bottom = 0;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            if (ink[(size_t)y * width + x] < 51) continue;
            if (x < left) left = x;
            if (x > right) right = x;
            if (y < top) top = y;
            if (y > bottom) bottom = y;
        }
    }
    return (struct box){left, top, right - left + 1, bottom - top + 1};
}

/* The mean of the ink over a rectangle with fractional sides, in source pixels. */
static double mean_over(const uint8_t *ink, uint32_t width, double left, double top, double right,
                        double bottom)
{
    double sum = 0;
    for (uint32_t y = (uint32_t)top; y < bottom; y++) {
        double high = y + 1 < bottom ? y + 1 : bottom, low = y > top ? y : top;
        double row = 0;
        for (uint32_t x = (uint32_t)left; x < right; x++) {
            double to = x + 1 < right ? x + 1 : right, from = x > left ? x : left;
            row += (to - from) * ink[(size_t)y * width + x];
        }
        sum += (high - low) * row;
    }
    return sum / ((right - left) * (bottom - top));
}

/* Area-averages `box` into small[height, width], its strongest ink again at 255. */
static void shrink(const uint8_t *ink, uint32_t source_width, struct box box, uint32_t width,
                   uint32_t height, uint8_t *small)
{
    double step_x = (double)box.width / width, step_y = (double)box.height / height, strongest = 1;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t y = 0; y < height; y++) {
            for (uint32_t x = 0; x < width; x++) {
                double right = x + 1 < width ? (x + 1) * step_x : box.width;
                double bottom = y + 1 < height ? (y + 1) * step_y : box.height;
                double mean = mean_over(ink, source_width, box.left + x * step_x,
                                        box.top + y * step_y, box.left + right, box.top + bottom);
                if (pass == 0 && mean > strongest) strongest = mean;
                if (pass == 1)
                    small[(size_t)y * width + x] = (uint8_t)(mean * 255 / strongest + 0.5);
            }
        }
    }
}

/* Where to put something `size` long with its center of mass at `middle`: the mass comes into the
 * pixel right of the middle, 14 to 15 of 28, where it is in every picture of MNIST (measured). */
static uint32_t place(double middle, uint32_t size, uint32_t side)
{
    uint32_t half = side / 2;
    double offset = ceil(half - middle);
    if (offset < 0) offset = 0;
    if (offset > side - size) offset = side - size;
    return (uint32_t)offset;
}

/* `small` into the middle, by mass, of the zeroed out[rows, columns]. */
static void center(const uint8_t *small, uint32_t width, uint32_t height, uint32_t rows,
                   uint32_t columns, uint8_t *out)
{
    double mass = 0, mass_x = 0, mass_y = 0;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            double value = small[(size_t)y * width + x];
            mass += value;
            mass_x += value * (x + 0.5);
            mass_y += value * (y + 0.5);
        }
    }
    uint32_t left = place(mass_x / mass, width, columns), top = place(mass_y / mass, height, rows);
    for (uint32_t y = 0; y < height; y++)
        memcpy(out + (size_t)(top + y) * columns + left, small + (size_t)y * width, width);
}

static uint32_t at_least_one(double value)
{
    return value < 1.5 ? 1 : (uint32_t)(value + 0.5);
}

int picture_normalize(const uint8_t *gray, uint32_t width, uint32_t height, uint32_t rows,
                      uint32_t columns, uint8_t *out, struct error *error)
{
    size_t count = (size_t)width * height;
    if (count < 1 || count > PICTURE_MAX_PIXELS)
        return error_set(error, ERROR_INPUT,
                         "a picture of %u x %u pixels is out of range: use 1 to %llu pixels in all",
                         width, height, (unsigned long long)PICTURE_MAX_PIXELS);
    uint32_t background = border_level(gray, width, height);
    if (width == columns && height == rows) {
        for (size_t i = 0; i < count; i++)
            out[i] = background > 127 ? (uint8_t)(255 - gray[i]) : gray[i];
        return 0;
    }
    int status = -1;
    uint8_t *ink = calloc(1, count), *small = calloc(rows, columns);
    if (!ink || !small) {
        error_set_memory(error, "a picture");
        goto out;
    }
    if (!find_ink(gray, count, background, ink)) {
        error_set(error, ERROR_INPUT, "the picture is empty: draw something on it");
        goto out;
    }
    struct box box = ink_box(ink, width, height);
    double by_width = columns * (20.0 / 28) / box.width,
           by_height = rows * (20.0 / 28) / box.height;
    double scale = by_width < by_height ? by_width : by_height;
    uint32_t small_width = at_least_one(box.width * scale),
             small_height = at_least_one(box.height * scale);
    shrink(ink, width, box, small_width, small_height, small);
    memset(out, 0, (size_t)rows * columns);
    center(small, small_width, small_height, rows, columns, out);
    status = 0;
out:
    free(ink);
    free(small);
    return status;
}

void picture_resize(const uint8_t *gray, uint32_t width, uint32_t height, uint32_t rows,
                    uint32_t columns, uint8_t *out)
{
    double step_x = (double)width / columns, step_y = (double)height / rows;
    for (uint32_t y = 0; y < rows; y++)
        for (uint32_t x = 0; x < columns; x++) {
            double right = x + 1 < columns ? (x + 1) * step_x : width;
            double bottom = y + 1 < rows ? (y + 1) * step_y : height;
            out[(size_t)y * columns + x] =
                (uint8_t)(mean_over(gray, width, x * step_x, y * step_y, right, bottom) + 0.5);
        }
}

static void turn_over(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) pixels[i] = (uint8_t)(255 - pixels[i]);
}

static int make_gray(const struct picture *picture, uint32_t rows, uint32_t columns,
                     const struct input_form *form, uint8_t *out, bool *inverted,
                     struct error *error)
{
    const uint8_t *gray = picture->gray;
    uint32_t width = picture->width, height = picture->height;
    size_t count = (size_t)rows * columns;
    if (width < 1 || height < 1 || (uint64_t)width * height > PICTURE_MAX_PIXELS)
        return error_set(error, ERROR_INPUT,
                         "a picture of %u x %u pixels is out of range: use 1 to %llu pixels in all",
                         width, height, (unsigned long long)PICTURE_MAX_PIXELS);
    if (form->range <= 0)
        return error_set(error, ERROR_INPUT,
                         "the model was trained on columns of measurements, not on pictures: give "
                         "a CSV file");
    enum polarity wanted = form->known ? form->polarity : POLARITY_LIGHT;
    bool light_border = border_level(gray, width, height) > 127,
         same = width == columns && height == rows;
    *inverted = wanted != POLARITY_UNKNOWN && light_border != (wanted == POLARITY_DARK);
    if (!same && !form->resize && wanted != POLARITY_UNKNOWN) {
        if (picture_normalize(gray, width, height, rows, columns, out, error)) return -1;
        if (wanted == POLARITY_DARK) turn_over(out, count);
        return 0;
    }
    if (same)
        memcpy(out, gray, count);
    else
        picture_resize(gray, width, height, rows, columns, out);
    if (*inverted) turn_over(out, count);
    return 0;
}

int picture_make_input(const struct picture *picture, uint32_t rows, uint32_t columns,
                       uint32_t channels, const struct input_form *form, uint8_t *out,
                       bool *inverted, struct error *error)
{
    size_t map = (size_t)rows * columns, plane = (size_t)picture->width * picture->height;
    if (channels == 1) return make_gray(picture, rows, columns, form, out, inverted, error);
    *inverted = false;
    for (uint32_t c = 0; c < channels; c++) {
        const uint8_t *values = picture->colors ? picture->colors + c * plane : picture->gray;
        if (picture->width == columns && picture->height == rows)
            memcpy(out + c * map, values, map);
        else
            picture_resize(values, picture->width, picture->height, rows, columns, out + c * map);
    }
    return 0;
}

int picture_read_input(const char *path, uint32_t rows, uint32_t columns, uint32_t channels,
                       const struct input_form *form, uint8_t *out, bool *inverted,
                       struct error *error)
{
    struct picture picture;
    if (picture_read(path, &picture, error)) return -1;
    int status = picture_make_input(&picture, rows, columns, channels, form, out, inverted, error);
    if (status) error_prefix(error, "%s", path);
    picture_free(&picture);
    return status;
}
