#include "cli/draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"

bool draw_takes_utf8(void)
{
    const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

int draw_width(int fd)
{
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

/* A terminal's 24-bit color. */
static void set_color(const char *color)
{
    unsigned long value = strtoul(color + 1, NULL, 16);
    fprintf(stderr, "\033[38;2;%lu;%lu;%lum", value >> 16 & 255, value >> 8 & 255, value & 255);
}

void draw_bar(const char *color, double share, int width)
{
    bool colored = log_has_color(), utf8 = draw_takes_utf8();
    int full = share < 0 ? 0 : share > 1 ? width : (int)(share * width);
    if (colored && color) set_color(color);
    for (int i = 0; i < full; i++) fputs(utf8 ? "█" : "#", stderr);
    if (colored) fputs("\033[0m\033[2m", stderr);
    for (int i = full; i < width; i++) fputs(utf8 ? "░" : ".", stderr);
    if (colored) fputs("\033[0m", stderr);
}

/* How two pixels, one above the other, become one character. */
typedef void cell_fn(uint8_t above, uint8_t below);

static void gray_cell(uint8_t above, uint8_t below)
{
    printf("\033[38;2;%d;%d;%dm\033[48;2;%d;%d;%dm▀", above, above, above, below, below, below);
}

static void block_cell(uint8_t above, uint8_t below)
{
    static const char *const blocks[] = {" ", "▀", "▄", "█"};
    fputs(blocks[(above >= 96) + 2 * (below >= 96)], stdout);
}

static void letter_cell(uint8_t above, uint8_t below)
{
    static const char ramp[] = " .:-=+*#%@";
    putchar(ramp[(above + below) * 9 / 510]);
}

static cell_fn *choose_cell(void)
{
    const char *none = getenv("NO_COLOR");
    if (!draw_takes_utf8()) return letter_cell;
    return isatty(STDOUT_FILENO) && !(none && *none) ? gray_cell : block_cell;
}

/* How light a place of a picture is, of a color picture the mean of its colors. */
static unsigned char light_at(const struct dataset *dataset, const uint8_t light[256],
                              const uint8_t *pixels, uint32_t row, uint32_t column)
{
    size_t map = (size_t)dataset->rows * dataset->columns;
    unsigned sum = 0;
    CHECK(dataset->channels);
    if (row >= dataset->rows) return 0;
    for (uint32_t c = 0; c < dataset->channels; c++)
        sum += light[pixels[c * map + (size_t)row * dataset->columns + column]];
    return (unsigned char)(sum / dataset->channels);
}

static void draw_row(const struct dataset *dataset, const struct split *split,
                     const uint32_t *samples, size_t count, cell_fn *cell)
{
    uint8_t light[256];
    dataset_brightness(dataset, light);
    size_t size = dataset_inputs(dataset);
    for (size_t i = 0; i < count; i++)
        printf("%-*.*s  ", (int)dataset->columns, (int)dataset->columns,
               dataset->class_names[split->labels[samples[i]]]);
    putchar('\n');
    for (uint32_t row = 0; row < dataset->rows; row += 2) {
        for (size_t i = 0; i < count; i++) {
            const uint8_t *pixels = split->pixels + samples[i] * size;
            for (uint32_t c = 0; c < dataset->columns; c++)
                cell(light_at(dataset, light, pixels, row, c),
                     light_at(dataset, light, pixels, row + 1, c));
            fputs(cell == gray_cell ? "\033[0m  " : "  ", stdout);
        }
        putchar('\n');
    }
}

size_t draw_across(const struct dataset *dataset)
{
    size_t across = (size_t)draw_width(STDOUT_FILENO) / (dataset->columns + 2);
    return across ? across : 1;
}

void draw_samples(const struct dataset *dataset, const struct split *split, const uint32_t *samples,
                  size_t count)
{
    size_t across = draw_across(dataset);
    cell_fn *cell = choose_cell();
    for (size_t i = 0; i < count; i += across)
        draw_row(dataset, split, samples + i, count - i < across ? count - i : across, cell);
}
