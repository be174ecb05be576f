/* What a server has done, in Prometheus's text form
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). For one thread. */
#ifndef NNSTUDIO_SERVING_METER_H
#define NNSTUDIO_SERVING_METER_H

#include <stdint.h>

#include "base/buffer.h"

#define METER_ROUTES  8
#define METER_BUCKETS 12

struct meter {
    uint64_t requests[METER_ROUTES][6]; /* by the first digit of the status */
    uint64_t samples;
    /* of scored requests: seconds from their arrival to their answer, by bucket; the last: more */
    uint64_t seconds[METER_BUCKETS + 1], batches[METER_BUCKETS + 1];
    double seconds_sum, batches_sum;
};

/* An answered request; `route` is below METER_ROUTES. */
void meter_request(struct meter *meter, unsigned route, int status);
/* A scored one: its samples, how long it took, and how many samples were computed with it. */
void meter_scored(struct meter *meter, size_t samples, double seconds, size_t batch);
/* `names` are the routes', in their order. */
void meter_write(const struct meter *meter, const char *const *names, unsigned count,
                 size_t in_flight, struct buffer *out);

#endif
