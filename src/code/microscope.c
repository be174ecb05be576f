#include "code/microscope.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "code/microscope_view.h"

#define TRACE_SECONDS 60

int code_microscope(const struct job *job, const char *const *engines, size_t engine_count,
                    uint32_t batch, const char *scratch, json_t **out, struct error *error)
{
    struct tracing tracing[MICROSCOPE_MAX_ENGINES] = {0};
    struct file_scratch work;
    int status = -1;
    double deadline = clock_monotonic() + TRACE_SECONDS;
    if (!engine_count || engine_count > MICROSCOPE_MAX_ENGINES)
        return error_set(error, ERROR_USAGE, "name 1 to %d engines", MICROSCOPE_MAX_ENGINES);
    if (file_scratch_create_in(scratch, "microscope", &work, error)) return -1;
    for (size_t i = 0; i < engine_count; i++) {
        struct job own = *job;
        snprintf(own.engine, sizeof own.engine, "%s", engines[i]);
        if (tracing_start(&tracing[i], &own, "--batch", batch, work.folder, engines[i], error))
            goto out;
    }
    for (size_t i = 0; i < engine_count; i++) tracing_finish(&tracing[i], deadline);
    status = microscope_view(tracing, engine_count, batch, out, error);
out:
    for (size_t i = 0; i < engine_count; i++) tracing_clear(&tracing[i]);
    file_scratch_remove(&work);
    return status;
}
