#include "serving/meter.h"

#include "base/clock.h"

static const double second_bounds[METER_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                    0.05,   0.1,   0.25,   0.5,   1,    5};
static const double batch_bounds[METER_BUCKETS] = {1,  2,   4,   8,   16,   32,
                                                   64, 128, 256, 512, 1024, 2048};

static void count(uint64_t *buckets, const double *bounds, double value)
{
    int i = 0;
    while (i < METER_BUCKETS && value > bounds[i]) i++;
    buckets[i]++;
}

void meter_request(struct meter *meter, unsigned route, int status)
{
    meter->requests[route][status / 100 % 6]++;
}

void meter_scored(struct meter *meter, size_t samples, double seconds, size_t batch)
{
    meter->samples += samples;
    count(meter->seconds, second_bounds, seconds);
    count(meter->batches, batch_bounds, (double)batch);
    meter->seconds_sum += seconds;
    meter->batches_sum += (double)batch;
}

static void write_histogram(const char *name, const char *help, const uint64_t *buckets,
                            const double *bounds, double sum, struct buffer *out)
{
    uint64_t total = 0;
    buffer_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    for (int i = 0; i < METER_BUCKETS; i++) {
        total += buckets[i];
        buffer_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, bounds[i],
                      (unsigned long long)total);
    }
    total += buckets[METER_BUCKETS];
    buffer_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name,
                  (unsigned long long)total, name, sum, name, (unsigned long long)total);
}

static void write_value(const char *name, const char *type, const char *help, double value,
                        struct buffer *out)
{
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name,
                  value);
}

void meter_write(const struct meter *meter, const char *const *names, unsigned count_of_names,
                 size_t in_flight, struct buffer *out)
{
    buffer_append_text(out, "# HELP nnstudio_requests_total Answered requests.\n"
                            "# TYPE nnstudio_requests_total counter\n");
    for (unsigned r = 0; r < count_of_names; r++)
        for (int s = 1; s < 6; s++)
            if (meter->requests[r][s])
                buffer_printf(out, "nnstudio_requests_total{route=\"%s\",status=\"%dxx\"} %llu\n",
                              names[r], s, (unsigned long long)meter->requests[r][s]);
    write_value("nnstudio_samples_total", "counter", "Samples scored.", (double)meter->samples,
                out);
    write_value("nnstudio_requests_in_flight", "gauge", "Scoring requests not answered yet.",
                (double)in_flight, out);
    write_histogram("nnstudio_scoring_seconds", "From a scoring request to its answer.",
                    meter->seconds, second_bounds, meter->seconds_sum, out);
    write_histogram("nnstudio_batch_samples", "Samples computed together.", meter->batches,
                    batch_bounds, meter->batches_sum, out);
    write_value("process_cpu_seconds_total", "counter", "Processor time, user and system.",
                clock_cpu_seconds(), out);
    write_value("process_resident_memory_bytes", "gauge", "Resident memory.", (double)clock_rss(),
                out);
}
