#include "engine/native/pace.h"

#define SEGMENT 0.008 /* seconds */
/* Shorter ones are judged together: at the end of a call a few samples are left, and waking a
 * worker for them costs more than they do. */
#define ENOUGH        (SEGMENT / 2)
#define FIRST_SAMPLES 1024
#define FIRST_TRIAL   4  /* segments */
#define OFTEN         8  /* segments between trials while the two are close */
#define RARELY        64 /* and, by and by, while they are not */
#define CLOSE         1.3
#define BETTER        0.95 /* a trial must win by so much */
#define DISTURBED     1.5  /* the usual pace has changed by so much since the last trial */

void pace_init(struct pace *pace, uint32_t threads)
{
    *pace = (struct pace){.threads = threads, .wait = FIRST_TRIAL, .interval = FIRST_TRIAL};
    for (uint32_t workers = threads; workers > 0 && pace->levels < PACE_LEVELS; workers /= 2)
        pace->levels++;
}

/* The level beside the one in use, on the two sides in turn. */
static uint32_t neighbor(struct pace *pace)
{
    pace->upwards = pace->level == 0                  ? true
                    : pace->level + 1 == pace->levels ? false
                                                      : !pace->upwards;
    return pace->upwards ? pace->level + 1 : pace->level - 1;
}

uint32_t pace_workers(struct pace *pace)
{
    if (!pace->pending_samples) {
        pace->trying = pace->wait == 0 && pace->levels > 1;
        if (pace->trying) pace->trial = neighbor(pace);
    }
    return pace->threads >> (pace->trying ? pace->trial : pace->level);
}

size_t pace_samples(const struct pace *pace)
{
    double seconds = pace->seconds[pace->level];
    return seconds > 0 ? (size_t)(SEGMENT / seconds) + 1 : FIRST_SAMPLES;
}

/* Single segments say little on a busy machine: averages of what was seen lately are compared. */
static void average(double *seconds, double now, double weight)
{
    *seconds = *seconds > 0 ? (1 - weight) * *seconds + weight * now : now;
}

void pace_report(struct pace *pace, double seconds, size_t samples)
{
    pace->pending_seconds += seconds;
    pace->pending_samples += samples;
    if (pace->pending_seconds < ENOUGH) return;
    double now = pace->pending_seconds / (double)pace->pending_samples,
           *usual = &pace->seconds[pace->level];
    pace->pending_seconds = 0;
    pace->pending_samples = 0;
    if (!pace->trying) {
        average(usual, now, 0.25);
        if (pace->wait > 0) pace->wait--;
        if (*usual > pace->reference * DISTURBED && pace->wait > OFTEN)
            pace->wait = pace->interval = OFTEN;
        return;
    }
    double *other = &pace->seconds[pace->trial];
    average(other, now, 0.5);
    pace->interval = *other < *usual * CLOSE       ? OFTEN
                     : pace->interval * 2 < RARELY ? pace->interval * 2
                                                   : RARELY;
    pace->wait = pace->interval;
    if (*other < *usual * BETTER) pace->level = pace->trial;
    pace->reference = pace->seconds[pace->level];
}
