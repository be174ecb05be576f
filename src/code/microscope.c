#include "code/microscope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "code/microscope_view.h"
#include "engine/engine.h"
#include "run/trace.h"

#define TRACE_SECONDS 60

/* One engine's trace on its way: the process that makes it, then what it made. */
struct tracing {
    const struct engine_ops *ops;
    char *job_path, *trace_path, *error_path; /* owned */
    pid_t pid;                                /* 0: not running */
    struct microscope_trace result;
};

static int write_job(const struct job *job, const struct tracing *tracing, struct error *error)
{
    struct job own = *job;
    snprintf(own.engine, sizeof own.engine, "%s", tracing->ops->id);
    json_t *value = job_to_json(&own);
    char *text = value ? js_dump(value) : NULL;
    json_decref(value);
    if (!text) return error_set_memory(error, "the job");
    int status = file_write(tracing->job_path, text, strlen(text), error);
    free(text);
    return status;
}

static int start_tracing(struct tracing *tracing, uint32_t batch, struct error *error)
{
    char number[16];
    snprintf(number, sizeof number, "%u", batch);
    const char *const words[] = {"trace", tracing->job_path, tracing->trace_path, "--batch", number,
                                 NULL};
    if (child_start_self(words, tracing->error_path, &tracing->pid, error) == 0) return 0;
    return error_prefix(error, "the trace of %s", tracing->ops->title);
}

/* Waits for the process until `deadline` (clock_monotonic(), shared by all). */
static int wait_for_trace(struct tracing *tracing, double deadline)
{
    int status = child_reap(tracing->pid, deadline - clock_monotonic());
    tracing->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    bool asked_wrong = WIFEXITED(status) && WEXITSTATUS(status) == TRACE_EXIT_INPUT;
    tracing->result.code = asked_wrong ? ERROR_INPUT : ERROR_UNAVAILABLE;
    return -1;
}

static void finish_tracing(struct tracing *tracing, double deadline)
{
    struct error error;
    if (!tracing->pid) return;
    if (wait_for_trace(tracing, deadline)) {
        snprintf(tracing->result.error, sizeof tracing->result.error,
                 "the step could not be traced: see the run's log");
        child_complaint(tracing->error_path, tracing->result.error, sizeof tracing->result.error);
    } else if (safetensors_read(tracing->trace_path, &tracing->result.tensors,
                                &tracing->result.metadata, &error)) {
        tracing->result.code = ERROR_UNAVAILABLE;
        snprintf(tracing->result.error, sizeof tracing->result.error, "%s", error.message);
    }
}

static int prepare(struct tracing *tracing, const char *id, const char *folder, struct error *error)
{
    if (engine_need(id, &tracing->ops, error)) return -1;
    tracing->result.id = tracing->ops->id;
    tracing->result.title = tracing->ops->title;
    if (asprintf(&tracing->job_path, "%s/%s.json", folder, id) < 0) tracing->job_path = NULL;
    if (asprintf(&tracing->trace_path, "%s/%s.safetensors", folder, id) < 0)
        tracing->trace_path = NULL;
    if (asprintf(&tracing->error_path, "%s/%s.txt", folder, id) < 0) tracing->error_path = NULL;
    if (!tracing->job_path || !tracing->trace_path || !tracing->error_path)
        return error_set_memory(error, "a path");
    return 0;
}

static void clear(struct tracing *tracing)
{
    if (tracing->pid) child_reap(tracing->pid, 0);
    free(tracing->job_path);
    free(tracing->trace_path);
    free(tracing->error_path);
    state_dict_clear(&tracing->result.tensors);
    json_decref(tracing->result.metadata);
}

int code_microscope(const struct job *job, const char *const *engines, size_t engine_count,
                    uint32_t batch, const char *scratch, json_t **out, struct error *error)
{
    struct tracing tracing[MICROSCOPE_MAX_ENGINES] = {0};
    struct microscope_trace results[MICROSCOPE_MAX_ENGINES];
    struct file_scratch work;
    int status = -1;
    double deadline = clock_monotonic() + TRACE_SECONDS;
    if (!engine_count || engine_count > MICROSCOPE_MAX_ENGINES)
        return error_set(error, ERROR_USAGE, "name 1 to %d engines", MICROSCOPE_MAX_ENGINES);
    if (file_scratch_create_in(scratch, "microscope", &work, error)) return -1;
    for (size_t i = 0; i < engine_count; i++) {
        if (prepare(&tracing[i], engines[i], work.folder, error) ||
            write_job(job, &tracing[i], error) || start_tracing(&tracing[i], batch, error))
            goto out;
    }
    for (size_t i = 0; i < engine_count; i++) finish_tracing(&tracing[i], deadline);
    for (size_t i = 0; i < engine_count; i++) results[i] = tracing[i].result;
    status = microscope_view(results, engine_count, batch, out, error);
out:
    for (size_t i = 0; i < engine_count; i++) clear(&tracing[i]);
    file_scratch_remove(&work);
    return status;
}
