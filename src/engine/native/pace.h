/* How many workers to use, by trying.
 *
 * Two workers that meet twice a step lose more than they win while another program wants a core:
 * the one that still runs waits for the one that does not. Results do not depend on the number of
 * workers, so training may change it at any step: it runs in segments of some milliseconds,
 * compares paces, and now and then tries half or twice as many. */
#ifndef NNSTUDIO_ENGINE_NATIVE_PACE_H
#define NNSTUDIO_ENGINE_NATIVE_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_LEVELS 9 /* up to 256 workers, halved again and again */

struct pace {
    uint32_t threads;
    uint32_t levels;             /* level i uses threads >> i workers */
    uint32_t level, trial;       /* the one in use; the one being tried */
    double seconds[PACE_LEVELS]; /* a sample, lately; 0: not known */
    double reference;            /* the usual pace at the last trial */
    uint32_t wait, interval;     /* segments until the next trial; between trials */
    bool trying, upwards;
    /* of segments not yet judged: each was too short to say anything */
    double pending_seconds;
    size_t pending_samples;
};

void pace_init(struct pace *pace, uint32_t threads);
/* Workers for the next segment. */
uint32_t pace_workers(struct pace *pace);
/* How many samples the next segment should have, if it is to take some milliseconds. */
size_t pace_samples(const struct pace *pace);
/* What the segment took. */
void pace_report(struct pace *pace, double seconds, size_t samples);

#endif
