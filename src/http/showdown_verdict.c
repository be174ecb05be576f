/* A showdown in words: what was measured, and on what machine. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/showdown_impl.h"

static void machine_words(char *out, size_t size)
{
    char line[512] = "";
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    FILE *file = fopen("/proc/cpuinfo", "re");
    const char *name = "";
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "model name", 10) != 0 || !strchr(line, ':')) continue;
        line[strcspn(line, "\n")] = '\0';
        name = strchr(line, ':') + 1;
        name += strspn(name, " ");
        break;
    }
    if (file) fclose(file);
    snprintf(out, size, "%s%s%ld core%s", name, *name ? ", " : "", cores, cores == 1 ? "" : "s");
}

static int faster_first(const void *a, const void *b)
{
    const struct showdown_entry *const *one = a, *const *two = b;
    return ((*one)->speed < (*two)->speed) - ((*one)->speed > (*two)->speed);
}

/* "PyTorch", "PyTorch and TensorFlow", … of the ones with figures, the fastest first. */
static size_t rank(const struct showdown *showdown,
                   const struct showdown_entry *ranked[SHOWDOWN_RUNS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < showdown->count; i++)
        if (isfinite(showdown->lanes[i].speed)) ranked[count++] = &showdown->lanes[i];
    qsort(ranked, count, sizeof ranked[0], faster_first);
    return count;
}

/* 238 thousand, 1.29 million: as one would say it. */
static void write_count(double value, struct buffer *out)
{
    if (value >= 1e6)
        buffer_printf(out, "%.2f million", value / 1e6);
    else if (value >= 1e4)
        buffer_printf(out, "%.0f thousand", value / 1e3);
    else
        buffer_printf(out, "%.0f", value);
}

/* 2.4 × 10⁻⁵ */
static void write_scientific(double value, struct buffer *out)
{
    static const char *const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char text[32];
    if (value == 0) {
        buffer_append_text(out, "0");
        return;
    }
    snprintf(text, sizeof text, "%.1e", value);
    char *exponent = strchr(text, 'e');
    *exponent++ = '\0';
    buffer_printf(out, "%s × 10%s", text, *exponent == '-' ? "⁻" : "");
    for (exponent += 1 + strspn(exponent + 1, "0"); *exponent; exponent++)
        buffer_append_text(out, raised[*exponent - '0']);
}

static void write_speeds(const struct showdown_entry *const *ranked, size_t count,
                         struct buffer *out)
{
    buffer_printf(out, "%s trained fastest, ", ranked[0]->title);
    write_count(ranked[0]->speed, out);
    buffer_append_text(out, " samples per second");
    for (size_t i = 1; i < count; i++)
        buffer_printf(out, "%s %.2f times as fast as %s",
                      i == 1           ? ":"
                      : i + 1 == count ? " and"
                                       : ",",
                      ranked[0]->speed / ranked[i]->speed, ranked[i]->title);
    buffer_append_text(out, ". ");
}

static void write_accuracy(const struct showdown_entry *const *ranked, size_t count,
                           struct buffer *out)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(ranked[i]->accuracy)) return;
        low = fmin(low, ranked[i]->accuracy);
        high = fmax(high, ranked[i]->accuracy);
    }
    if (high - low < 5e-5)
        buffer_printf(out, "All reached %.2f %% test accuracy", 100 * high);
    else
        buffer_printf(out, "Test accuracy lies between %.2f %% and %.2f %%", 100 * low, 100 * high);
}

/* Who did fewer epochs than asked, and what was compared then. */
static void write_shorter(const struct showdown *showdown, struct buffer *out)
{
    for (size_t i = 0; i < showdown->count; i++) {
        const struct showdown_entry *lane = &showdown->lanes[i];
        size_t done = json_array_size(lane->epochs);
        if (done >= showdown->asked) continue;
        buffer_printf(out, "%s did %zu of %u epochs", lane->title, done, showdown->asked);
        if (lane->handed_to) buffer_printf(out, ", then the run went on in %s", lane->handed_to);
        buffer_append_text(out, ". ");
    }
    if (showdown->common < showdown->asked)
        buffer_printf(out, "Compared after epoch %u, the last that all of them did. ",
                      showdown->common);
}

void showdown_write_verdict(const struct showdown *showdown, struct buffer *out)
{
    char machine[600];
    const struct showdown_entry *ranked[SHOWDOWN_RUNS_MAX];
    size_t count = rank(showdown, ranked);
    if (count < 2 || !showdown->common) return;
    machine_words(machine, sizeof machine);
    buffer_printf(out, "On this machine (%s) ", machine);
    write_speeds(ranked, count, out);
    write_accuracy(ranked, count, out);
    if (isfinite(showdown->max_difference)) {
        buffer_append_text(out, "; the loss curves differ by at most ");
        write_scientific(showdown->max_difference, out);
        buffer_append_text(out, " at any step");
    }
    buffer_append_text(out, ". ");
    write_shorter(showdown, out);
    buffer_append_text(out, strcmp(showdown->mode, "sequence") == 0
                                ? "They trained one after another, each with the machine to itself."
                                : "They trained at once and shared the processor: train them in "
                                  "turn to compare speeds.");
}
