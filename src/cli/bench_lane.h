/* One measured program: started several times, its wall clock, processor time and memory taken from
 * the operating system, its seconds per epoch from the JSON lines it prints. */
#ifndef NNSTUDIO_CLI_BENCH_LANE_H
#define NNSTUDIO_CLI_BENCH_LANE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define BENCH_MAX_RUNS   20
#define BENCH_MAX_EPOCHS 64
#define BENCH_MAX_WORDS  40

struct bench_lane {
    const char *id;               /* "native" */
    const char *title;            /* "Native engine" */
    char *words[BENCH_MAX_WORDS]; /* the command, owned, NULL-ended */
    size_t word_count;
    bool missing; /* it could not be run */
    char complaint[512];
    size_t runs;
    /* seconds per epoch of each run: the median of its epochs but the first */
    double epoch[BENCH_MAX_RUNS];
    double wall[BENCH_MAX_RUNS], cpu[BENCH_MAX_RUNS]; /* seconds, whole process */
    double peak[BENCH_MAX_RUNS];                      /* bytes, the largest single process */
};

void bench_lane_word(struct bench_lane *lane, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One run more. A lane that fails is marked missing with its last words; that is no error of the
 * bench. */
void bench_lane_run(struct bench_lane *lane);
void bench_lane_clear(struct bench_lane *lane);
double bench_median(const double *values, size_t count); /* NAN when there are none */

#endif
