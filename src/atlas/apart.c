/* Experiments on a framework: in a process of its own, this program's command `atlas`, for two
 * frameworks clash in one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "atlas/atlas.h"
#include "base/buffer.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"

#define RUN_SECONDS 120
#define FILE_LIMIT  ((size_t)64 << 20)

int atlas_run_to_file(const struct atlas_row *const *rows, size_t count,
                      const struct engine_ops *ops, const char *path, struct error *error)
{
    struct buffer lines;
    int status = 0;
    buffer_init(&lines, FILE_LIMIT);
    for (size_t i = 0; i < count && !status; i++) {
        json_t *result = NULL;
        status = atlas_run(rows[i], ops, &result, error);
        char *line = status ? NULL : js_dump(result);
        if (line) buffer_printf(&lines, "%s\n", line);
        if (!status && !line) status = error_set_memory(error, "an experiment's result");
        free(line);
        json_decref(result);
    }
    if (!status)
        status = buffer_check(&lines, "the experiments' results", error) ||
                         file_write(path, lines.data ? lines.data : "", lines.length, error)
                     ? -1
                     : 0;
    buffer_free(&lines);
    return status;
}

static int read_results(const char *path, size_t count, json_t *results, struct error *error)
{
    char *data;
    size_t size;
    if (file_read(path, FILE_LIMIT, &data, &size, error)) return -1;
    int status = 0;
    for (char *line = data; *line && !status;) {
        size_t length = strcspn(line, "\n");
        json_t *result = NULL;
        status = js_parse_object(line, length, path, &result, error);
        if (!status) json_array_append_new(results, result);
        line += length + (line[length] == '\n');
    }
    free(data);
    if (!status && json_array_size(results) != count)
        status = error_set(error, ERROR_FAILED, "%zu results of %zu came back",
                           json_array_size(results), count);
    return status;
}

static int run_child(const struct atlas_row *const *rows, size_t count,
                     const struct engine_ops *ops, const char *folder, json_t *results,
                     struct error *error)
{
    char *path = NULL, *errors = NULL;
    struct buffer numbers;
    pid_t pid = 0;
    int status = -1;
    buffer_init(&numbers, 1024);
    for (size_t i = 0; i < count; i++)
        buffer_printf(&numbers, "%s%u", i ? "," : "", rows[i]->number);
    if (asprintf(&path, "%s/results", folder) < 0) path = NULL;
    if (asprintf(&errors, "%s/errors", folder) < 0) errors = NULL;
    if (!path || !errors || buffer_check(&numbers, "the list of rows", error)) {
        error_set_memory(error, "the experiments");
        goto out;
    }
    const char *const words[] = {"atlas", "--run", "--engine",   ops->id,
                                 "--out", path,    numbers.data, NULL};
    if (child_start_self(words, errors, &pid, error)) goto out;
    double until = clock_monotonic() + RUN_SECONDS;
    int end = child_reap(pid, RUN_SECONDS);
    if (WIFEXITED(end) && WEXITSTATUS(end) == 0) {
        status = read_results(path, count, results, error);
    } else {
        char said[sizeof error->message], how[128];
        child_describe_end(end, RUN_SECONDS, until, how, sizeof how);
        snprintf(said, sizeof said, "the process of the experiment %s", how);
        child_complaint(errors, said, sizeof said);
        error_set(error, ERROR_UNAVAILABLE, "%s", said);
    }
out:
    free(path);
    free(errors);
    buffer_free(&numbers);
    return status;
}

static int run_here(const struct atlas_row *const *rows, size_t count, const struct engine_ops *ops,
                    json_t *results, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        json_t *result;
        if (atlas_run(rows[i], ops, &result, error)) return -1;
        json_array_append_new(results, result);
    }
    return 0;
}

int atlas_run_apart(const struct atlas_row *const *rows, size_t count, const struct engine_ops *ops,
                    const char *scratch, json_t **out, struct error *error)
{
    struct file_scratch work;
    json_t *results = json_array();
    int status;
    if (ops == engine_default) {
        status = run_here(rows, count, ops, results, error);
    } else if (file_scratch_create_in(scratch, "atlas", &work, error)) {
        status = -1;
    } else {
        status = run_child(rows, count, ops, work.folder, results, error);
        file_scratch_remove(&work);
    }
    if (status)
        json_decref(results);
    else
        *out = results;
    return status;
}
