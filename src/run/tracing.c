#include "run/tracing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "run/trace.h"

static int write_job(const struct job *job, const struct tracing *tracing, struct error *error)
{
    json_t *value = job_to_json(job);
    char *text = value ? js_dump(value) : NULL;
    json_decref(value);
    if (!text) return error_set_memory(error, "the job");
    int status = file_write(tracing->job_path, text, strlen(text), error);
    free(text);
    return status;
}

static int name_files(struct tracing *tracing, const char *folder, const char *name,
                      struct error *error)
{
    if (asprintf(&tracing->job_path, "%s/%s.json", folder, name) < 0) tracing->job_path = NULL;
    if (asprintf(&tracing->trace_path, "%s/%s.safetensors", folder, name) < 0)
        tracing->trace_path = NULL;
    if (asprintf(&tracing->error_path, "%s/%s.txt", folder, name) < 0) tracing->error_path = NULL;
    if (!tracing->job_path || !tracing->trace_path || !tracing->error_path)
        return error_set_memory(error, "a path");
    return 0;
}

/* A device that an engine which is there does not have was asked for wrongly. */
static bool has_device(struct tracing *tracing, const struct job *job)
{
    struct engine_probe found;
    struct error error;
    tracing->ops->probe(&found);
    if (!found.found ||
        !engine_check_device(tracing->ops, &found, job->device[0] ? job->device : "cpu", &error))
        return true;
    tracing->code = ERROR_INPUT;
    snprintf(tracing->error, sizeof tracing->error, "%s", error.message);
    return false;
}

int tracing_start(struct tracing *tracing, const struct job *job, const char *option,
                  uint64_t number, const char *folder, const char *name, struct error *error)
{
    char digits[24];
    if (engine_need(job->engine, &tracing->ops, error) ||
        name_files(tracing, folder, name, error) || write_job(job, tracing, error))
        return -1;
    if (!has_device(tracing, job)) return 0;
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    const char *const words[] = {"trace", tracing->job_path, tracing->trace_path, option, digits,
                                 NULL};
    tracing->started = clock_monotonic();
    if (child_start_self(words, tracing->error_path, &tracing->pid, error) == 0) return 0;
    return error_prefix(error, "the trace of %s", tracing->ops->title);
}

/* Waits for the process until `deadline` (clock_monotonic(), shared by all). */
static int wait_for_trace(struct tracing *tracing, double deadline)
{
    char end[128];
    int status = child_reap(tracing->pid, deadline - clock_monotonic());
    tracing->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    child_describe_end(status, deadline - tracing->started, deadline, end, sizeof end);
    snprintf(tracing->error, sizeof tracing->error, "the process of %s %s", tracing->ops->title,
             end);
    child_complaint(tracing->error_path, tracing->error, sizeof tracing->error);
    bool asked_wrong = WIFEXITED(status) && WEXITSTATUS(status) == TRACE_EXIT_INPUT;
    tracing->code = asked_wrong ? ERROR_INPUT : ERROR_UNAVAILABLE;
    return -1;
}

void tracing_finish(struct tracing *tracing, double deadline)
{
    struct error error;
    if (!tracing->pid) return;
    if (wait_for_trace(tracing, deadline)) return;
    if (safetensors_read(tracing->trace_path, &tracing->tensors, &tracing->metadata, &error)) {
        tracing->code = ERROR_UNAVAILABLE;
        snprintf(tracing->error, sizeof tracing->error, "%s", error.message);
    }
}

void tracing_clear(struct tracing *tracing)
{
    if (tracing->pid) child_reap(tracing->pid, 0);
    free(tracing->job_path);
    free(tracing->trace_path);
    free(tracing->error_path);
    state_dict_clear(&tracing->tensors);
    json_decref(tracing->metadata);
    *tracing = (struct tracing){0};
}
