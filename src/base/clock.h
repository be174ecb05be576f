/* Time and what this process has used. */
#ifndef NNSTUDIO_BASE_CLOCK_H
#define NNSTUDIO_BASE_CLOCK_H

#include <stdint.h>

double clock_monotonic(void);   /* seconds from some fixed point; never goes back */
int64_t clock_wall_ms(void);    /* milliseconds since 1970-01-01 UTC */
double clock_cpu_seconds(void); /* user and system seconds of this process, all threads */
uint64_t clock_peak_rss(void);  /* bytes: the most memory this process has had resident */
uint64_t clock_rss(void);       /* bytes resident now; 0 when unknown */
/* "2026-01-31T12:34:56.789Z" into `out`. */
void clock_format_utc(int64_t wall_ms, char out[32]);

#endif
