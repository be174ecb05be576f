#include "engine/native/pace.h"

#define SEGMENT 0.008 /* seconds */
#define FIRST_SAMPLES 1024
#define SHORTEST 8 /* segments between two trials */
#define LONGEST 256
#define BETTER 0.95 /* a trial must win by so much */
#define DISTURBED 1.5

void pace_init(struct pace *pace, uint32_t threads)
{
    *pace = (struct pace){.threads = threads, .wait = SHORTEST, .interval = SHORTEST};
    for (uint32_t workers = threads; workers > 0 && pace->levels < PACE_LEVELS; workers /= 2) pace->levels++;
}

/* The level beside the one in use, on the two sides in turn. */
static uint32_t neighbour(struct pace *pace)
{
    pace->upwards = pace->level == 0 ? true : pace->level + 1 == pace->levels ? false : !pace->upwards;
    return pace->upwards ? pace->level + 1 : pace->level - 1;
}

uint32_t pace_workers(struct pace *pace)
{
    pace->trying = pace->wait == 0 && pace->levels > 1;
    if (pace->trying) pace->trial = neighbour(pace);
    return pace->threads >> (pace->trying ? pace->trial : pace->level);
}

size_t pace_samples(const struct pace *pace)
{
    double seconds = pace->seconds[pace->level];
    return seconds > 0 ? (size_t)(SEGMENT / seconds) + 1 : FIRST_SAMPLES;
}

void pace_report(struct pace *pace, double seconds, size_t samples)
{
    double now = seconds / (double)samples, *usual = &pace->seconds[pace->level];
    if (pace->trying) {
        bool won = now < *usual * BETTER;
        if (won) pace->level = pace->trial;
        if (won) pace->seconds[pace->level] = now;
        pace->interval = won ? SHORTEST : pace->interval * 2 < LONGEST ? pace->interval * 2 : LONGEST;
        pace->wait = pace->interval;
        return;
    }
    if (pace->wait > 0) pace->wait--;
    if (*usual > 0 && now > *usual * DISTURBED && pace->wait > SHORTEST) pace->wait = SHORTEST;
    *usual = *usual > 0 ? 0.75 * *usual + 0.25 * now : now;
}
