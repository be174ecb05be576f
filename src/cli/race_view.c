/* What the user sees of a race: bars while it runs, a table at its end. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/draw.h"
#include "cli/race.h"

#define FRAME_SECONDS 0.08
#define BAR_MIN       6
#define BAR_MAX       32
#define LEFT_COLUMNS  12 /* the engine's name */

/* Lines drawn in the last frame, and when: there is one terminal. */
static struct {
    int lines;
    double time;
} frame;

static const char *short_time(double seconds, char out[32])
{
    if (!(seconds >= 0) || seconds > 1e7)
        snprintf(out, 32, "-:--");
    else
        snprintf(out, 32, "%d:%02d", (int)seconds / 60, (int)seconds % 60);
    return out;
}

/* 103421 as "103k". */
/* Four places, as losses are given; one that ran away in three digits, or "nan". */
static const char *loss_text(double loss, char out[32])
{
    snprintf(out, 32, loss < 1e5 ? "%.4f" : "%.3g", loss);
    return out;
}

static const char *short_number(double value, char out[32])
{
    if (value >= 1e6)
        snprintf(out, 32, "%.2fM", value / 1e6);
    else if (value >= 1e3)
        snprintf(out, 32, "%.0fk", value / 1e3);
    else
        snprintf(out, 32, "%.0f", value);
    return out;
}

/* The mean of the last steps: a single batch's loss jumps too much to be read. */
static double recent_loss(const struct lane *lane)
{
    size_t count = lane->loss_count < 200 ? lane->loss_count : 200;
    double sum = 0;
    for (size_t i = lane->loss_count - count; i < lane->loss_count; i++) sum += lane->losses[i];
    return count ? sum / (double)count : NAN;
}

/* How a line is divided: a bar, and right of it a text that says less where there is little room.
 */
struct view_layout {
    int bar, text; /* columns */
    bool wide;
};

static struct view_layout divide(const struct lane *lane, int width)
{
    char epochs[16];
    int digits = snprintf(epochs, sizeof epochs, "%u", lane->job.epochs);
    struct view_layout layout = {.wide = width >= 100};
    /* "epoch 1/5  loss 0.2897  test 92.49%  1.23M/s  0:00 left" without the digits of the epochs */
    int text = (layout.wide ? 62 : 53) + 2 * digits, room = width - 1 - LEFT_COLUMNS - 2;
    layout.bar = room - text < BAR_MIN ? BAR_MIN : room - text > BAR_MAX ? BAR_MAX : room - text;
    layout.text = room > layout.bar ? room - layout.bar : 0;
    return layout;
}

/* The text right of the bar. */
static void describe(const struct lane *lane, double share, bool wide, char *out, size_t size)
{
    char rate[32], left[32], loss[32];
    const char *unit = wide ? " samples/s" : "/s";
    double elapsed = clock_monotonic() - lane->begun,
           done = (double)(lane->step - lane->first_step);
    double total = (double)lane->steps_per_epoch * lane->job.epochs - (double)lane->first_step;
    double per_step = (double)lane->samples /
                      (double)(lane->steps_per_epoch ? lane->steps_per_epoch : 1);
    if (lane->state == LANE_FAILED) {
        snprintf(out, size, "%s", text_shown(lane->message));
    } else if (!lane->steps_per_epoch) {
        snprintf(out, size, "loading");
    } else if (lane->state != LANE_RUNNING) {
        snprintf(out, size, "epoch %u/%u  loss %s  test %.2f%%  %s%s  %s", lane->epoch,
                 lane->job.epochs, loss_text(lane->loss, loss), 100 * lane->val_accuracy,
                 short_number(lane->rate, rate), unit,
                 lane->state == LANE_FINISHED ? "done" : "stopped");
    } else {
        uint32_t epoch = lane->epoch + (share < 1);
        int used = snprintf(out, size, "epoch %u/%u  loss %s", epoch, lane->job.epochs,
                            loss_text(recent_loss(lane), loss));
        if (lane->epochs_timed)
            used += snprintf(out + used, size - (size_t)used, "  test %.2f%%",
                             100 * lane->val_accuracy);
        if (elapsed > 0 && done > 0)
            snprintf(out + used, size - (size_t)used, "  %s%s  %s left",
                     short_number(done * per_step / elapsed, rate), unit,
                     short_time((total - done) * elapsed / done, left));
    }
}

static void draw_lane(const struct lane *lane, int width)
{
    double total = (double)lane->steps_per_epoch * lane->job.epochs;
    double share = total > 0 ? (double)lane->step / total : 0;
    char text[sizeof lane->message];
    struct view_layout layout = divide(lane, width);
    describe(lane, share, layout.wide, text, sizeof text);
    fprintf(stderr, "\r\033[K%-*s", LEFT_COLUMNS, lane->ops->id);
    draw_bar(lane->ops->look.light.line, share, layout.bar);
    fprintf(stderr, "  %.*s\n", layout.text, text);
}

static void draw(const struct race *race)
{
    int width = draw_width(STDERR_FILENO);
    if (frame.lines) fprintf(stderr, "\033[%dA", frame.lines);
    frame.lines = 0;
    for (size_t i = 0; i < race->count; i++) {
        if (race->lanes[i].state == LANE_WAITING) continue;
        draw_lane(&race->lanes[i], width);
        frame.lines++;
    }
    fflush(stderr);
    frame.time = clock_monotonic();
}

static void print_epoch(const struct lane *lane)
{
    char rate[32], loss[32], test[32], watched[32], validation[96] = "";
    if (lane->validated)
        snprintf(validation, sizeof validation, "  validation loss %s  validation accuracy %.2f%%",
                 loss_text(lane->validation_loss, watched), 100 * lane->validation_accuracy);
    log_line("%s: epoch %u/%u  loss %s%s  test loss %s  test accuracy %.2f%%  %s samples/s",
             lane->ops->id, lane->epoch, lane->job.epochs, loss_text(lane->loss, loss), validation,
             loss_text(lane->val_loss, test), 100 * lane->val_accuracy,
             short_number(lane->rate, rate));
}

void race_view_event(const struct race *race, const struct lane *lane, const char *kind)
{
    if (isatty(STDERR_FILENO)) {
        if (strcmp(kind, "step") != 0 || clock_monotonic() - frame.time > FRAME_SECONDS) draw(race);
    } else if (strcmp(kind, "epoch") == 0) {
        print_epoch(lane);
    }
}

void race_view_end(const struct race *race)
{
    if (isatty(STDERR_FILENO) && frame.lines) draw(race);
    race_print_table(race);
}

/* 80 columns. */
static void print_row(const struct lane *lane)
{
    char rate[32] = "-", loss[32] = "-", accuracy[32] = "-", seconds[32] = "-";
    if (lane->measured) {
        loss_text(lane->loss, loss);
        snprintf(accuracy, sizeof accuracy, "%.2f%%", 100 * lane->val_accuracy);
    }
    if (lane->epochs_timed) {
        snprintf(seconds, sizeof seconds, "%.3f", lane_seconds_per_epoch(lane));
        short_number((double)lane->samples / lane_seconds_per_epoch(lane), rate);
    }
    printf("%-10s  %-10s %8s %9s %8s %10s %7.2f %6.0f MB\n", lane->ops->id,
           text_shown(lane->version), loss, accuracy, seconds, rate, lane->cpu_seconds,
           lane->peak_rss / 1e6);
}

static bool has_ended(const struct lane *lane)
{
    return lane->state == LANE_FINISHED || lane->state == LANE_STOPPED;
}

static void print_files(const struct race *race)
{
    const char *between = "files: ";
    for (size_t i = 0; i < race->count; i++) {
        if (!has_ended(&race->lanes[i]) || !race->lanes[i].model[0]) continue;
        printf("%s%s", between, text_shown(race->lanes[i].model));
        between = ", ";
    }
    if (between[0] == ',') putchar('\n');
}

/* Returns whether the heading is still to come. */
static bool print_difference(const struct lane *a, const struct lane *b, bool heading)
{
    double whole = lane_difference(a, b, UINT64_MAX),
           first = lane_difference(a, b, a->steps_per_epoch);
    bool both = a->job.epochs > 1 && !isnan(first);
    char pair[64];
    if (isnan(whole)) return heading;
    if (heading)
        printf("\n%-42s %10s%s\n", "largest difference of a step's loss", "whole run",
               both ? "  first epoch" : "");
    snprintf(pair, sizeof pair, "%s / %s", a->ops->id, b->ops->id);
    printf("%-42s %10.1e", pair, whole);
    if (both) printf("  %11.1e", first);
    putchar('\n');
    return false;
}

static void print_fastest(const struct race *race)
{
    const struct lane *fastest = race_fastest(race);
    if (!fastest) return;
    printf("\nfastest: %s", fastest->ops->title);
    for (size_t i = 0; i < race->count; i++) {
        double ratio = lane_seconds_per_epoch(&race->lanes[i]) / lane_seconds_per_epoch(fastest);
        if (&race->lanes[i] != fastest && ratio > 0)
            printf(", %.1f times as fast as %s", ratio, race->lanes[i].ops->title);
    }
    putchar('\n');
}

void race_print_table(const struct race *race)
{
    bool any = false, heading = true;
    for (size_t i = 0; i < race->count; i++) {
        if (!has_ended(&race->lanes[i])) continue;
        if (!any)
            printf("%-10s  %-10s %8s %9s %8s %10s %7s %9s\n", "engine", "version", "loss",
                   "test acc", "s/epoch", "samples/s", "CPU s", "peak mem");
        any = true;
        print_row(&race->lanes[i]);
    }
    if (!any) return;
    print_files(race);
    if (race->count < 2) return;
    for (size_t i = 0; i < race->count; i++)
        for (size_t j = i + 1; j < race->count; j++)
            heading = print_difference(&race->lanes[i], &race->lanes[j], heading);
    print_fastest(race);
}
