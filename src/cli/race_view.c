/* What a person sees of a race: bars while it runs, a table at its end. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/draw.h"
#include "cli/race.h"

#define FRAME_SECONDS 0.08
#define BAR_MAX 32

/* Lines drawn in the last frame, and when: there is one terminal. */
static struct {
    int lines;
    double time;
} frame;

static const char *short_time(double seconds, char out[32])
{
    if (!(seconds >= 0) || seconds > 1e7) snprintf(out, 32, "-:--");
    else snprintf(out, 32, "%d:%02d", (int)seconds / 60, (int)seconds % 60);
    return out;
}

/* 103421 as "103k". */
static const char *short_number(double value, char out[32])
{
    if (value >= 1e6) snprintf(out, 32, "%.2fM", value / 1e6);
    else if (value >= 1e3) snprintf(out, 32, "%.0fk", value / 1e3);
    else snprintf(out, 32, "%.0f", value);
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

/* The text right of the bar. */
static void describe(const struct lane *lane, double share, char *out, size_t size)
{
    char rate[32], left[32];
    double elapsed = clock_monotonic() - lane->begun, done = (double)(lane->step - lane->first_step);
    double total = (double)lane->steps_per_epoch * lane->job.epochs - (double)lane->first_step;
    double per_step = (double)lane->samples / (double)(lane->steps_per_epoch ? lane->steps_per_epoch : 1);
    if (lane->state == LANE_FAILED) {
        snprintf(out, size, "%s", lane->message);
    } else if (!lane->steps_per_epoch) {
        snprintf(out, size, "loading");
    } else if (lane->state != LANE_RUNNING) {
        snprintf(out, size, "epoch %u/%u  loss %.4f  test %.2f%%  %s samples/s  %s", lane->epoch, lane->job.epochs, lane->loss,
                 100 * lane->val_accuracy, short_number(lane->rate, rate), lane->state == LANE_FINISHED ? "done" : "stopped");
    } else {
        uint32_t epoch = lane->epoch + (share < 1);
        int used = snprintf(out, size, "epoch %u/%u  loss %.4f", epoch, lane->job.epochs, recent_loss(lane));
        if (lane->epochs_timed) used += snprintf(out + used, size - (size_t)used, "  test %.2f%%", 100 * lane->val_accuracy);
        if (elapsed > 0 && done > 0)
            snprintf(out + used, size - (size_t)used, "  %s samples/s  %s left",
                     short_number(done * per_step / elapsed, rate), short_time((total - done) * elapsed / done, left));
    }
}

static void draw_lane(const struct lane *lane, int width)
{
    double total = (double)lane->steps_per_epoch * lane->job.epochs;
    double share = total > 0 ? (double)lane->step / total : 0;
    char text[sizeof lane->message];
    describe(lane, share, text, sizeof text);
    int bar = width - 82 < 10 ? 10 : width - 82;
    if (bar > BAR_MAX) bar = BAR_MAX;
    int room = width - bar - 15;
    fprintf(stderr, "\r\033[K%-11s ", lane->ops->id);
    draw_bar(lane->ops->colour, share, bar);
    fprintf(stderr, "  %.*s\n", room > 0 ? room : 0, text);
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
    char rate[32];
    log_line("%s: epoch %u/%u  loss %.4f  test loss %.4f  test accuracy %.2f%%  %s samples/s", lane->ops->id, lane->epoch,
             lane->job.epochs, lane->loss, lane->val_loss, 100 * lane->val_accuracy, short_number(lane->rate, rate));
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

static void print_row(const struct lane *lane)
{
    char rate[32], loss[32] = "-", accuracy[32] = "-", seconds[32] = "-";
    if (lane->epochs_timed) {
        snprintf(loss, sizeof loss, "%.4f", lane->loss);
        snprintf(accuracy, sizeof accuracy, "%.2f%%", 100 * lane->val_accuracy);
        snprintf(seconds, sizeof seconds, "%.3f", lane_seconds_per_epoch(lane));
    }
    printf("%-11s %-9s %8s %9s %8s %10s %7.2f %6.0f MB  %s\n", lane->ops->id, lane->version, loss, accuracy, seconds,
           lane->epochs_timed ? short_number((double)lane->samples / lane_seconds_per_epoch(lane), rate) : "-",
           lane->cpu_seconds, lane->peak_rss / 1e6, lane->model);
}

static void print_difference(const struct lane *a, const struct lane *b)
{
    double whole = lane_difference(a, b, UINT64_MAX), first = lane_difference(a, b, a->steps_per_epoch);
    if (isnan(whole)) return;
    printf("largest difference of a step's loss, %s and %s: %.2g", a->ops->id, b->ops->id, whole);
    if (!isnan(first) && a->epoch > 1) printf(" (first epoch: %.2g)", first);
    putchar('\n');
}

void race_print_table(const struct race *race)
{
    bool any = false;
    for (size_t i = 0; i < race->count; i++) {
        const struct lane *lane = &race->lanes[i];
        if (lane->state != LANE_FINISHED && lane->state != LANE_STOPPED) continue;
        if (!any)
            printf("%-11s %-9s %8s %9s %8s %10s %7s %9s  %s\n", "engine", "version", "loss", "test acc", "s/epoch", "samples/s",
                   "CPU s", "peak mem", "file");
        any = true;
        print_row(lane);
    }
    if (!any || race->count < 2) return;
    putchar('\n');
    for (size_t i = 0; i < race->count; i++)
        for (size_t j = i + 1; j < race->count; j++) print_difference(&race->lanes[i], &race->lanes[j]);
    const struct lane *fastest = race_fastest(race);
    if (!fastest) return;
    printf("fastest: %s", fastest->ops->title);
    for (size_t i = 0; i < race->count; i++) {
        double ratio = lane_seconds_per_epoch(&race->lanes[i]) / lane_seconds_per_epoch(fastest);
        if (&race->lanes[i] != fastest && ratio > 0) printf(", %.1f times as fast as %s", ratio, race->lanes[i].ops->title);
    }
    putchar('\n');
}
