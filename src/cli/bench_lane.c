#include "cli/bench_lane.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

extern char **environ;

void bench_lane_word(struct bench_lane *lane, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    CHECK(lane->word_count + 1 < BENCH_MAX_WORDS);
    int length = vasprintf(&lane->words[lane->word_count], format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    lane->words[++lane->word_count] = NULL;
}

void bench_lane_clear(struct bench_lane *lane)
{
    for (size_t i = 0; i < lane->word_count; i++) free(lane->words[i]);
    lane->word_count = 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const double *values, size_t count)
{
    double sorted[BENCH_MAX_EPOCHS];
    if (!count || count > BENCH_MAX_EPOCHS) return NAN;
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, compare);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* The seconds of {"event":"epoch",…,"seconds":S}; negative for any other line. */
static double epoch_seconds(const char *line)
{
    json_t *value = json_loads(line, 0, NULL);
    const char *event = json_string_value(json_object_get(value, "event"));
    double seconds = event && strcmp(event, "epoch") == 0
                         ? json_number_value(json_object_get(value, "seconds"))
                         : -1;
    json_decref(value);
    return seconds;
}

static void give_up(struct bench_lane *lane, FILE *errors)
{
    char line[512];
    lane->missing = true;
    rewind(errors);
    while (fgets(line, sizeof line, errors)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line) snprintf(lane->complaint, sizeof lane->complaint, "%s", line);
    }
    if (!lane->complaint[0])
        snprintf(lane->complaint, sizeof lane->complaint, "%s could not be run", lane->words[0]);
}

static pid_t start(const struct bench_lane *lane, int out, int errors)
{
    pid_t pid = 0;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, errors, 2);
    if (posix_spawn(&pid, lane->words[0], &actions, NULL, lane->words, environ)) pid = 0;
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

void bench_lane_run(struct bench_lane *lane)
{
    int ends[2], status = 0;
    double epochs[BENCH_MAX_EPOCHS];
    size_t count = 0;
    FILE *errors = tmpfile();
    if (lane->missing || lane->runs == BENCH_MAX_RUNS || !errors || pipe2(ends, O_CLOEXEC)) {
        if (errors) fclose(errors);
        return;
    }
    double began = clock_monotonic();
    pid_t pid = start(lane, ends[1], fileno(errors));
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    char *line = NULL;
    size_t size = 0;
    while (out && getline(&line, &size, out) > 0) {
        double seconds = epoch_seconds(line);
        if (seconds >= 0 && count < BENCH_MAX_EPOCHS) epochs[count++] = seconds;
    }
    free(line);
    if (out) fclose(out);
    struct rusage usage = {0};
    if (pid) wait4(pid, &status, 0, &usage);
    double wall = clock_monotonic() - began;
    if (!pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || !count) {
        give_up(lane, errors);
    } else {
        /* the first epoch warms up: a frameworks' graph is traced in it */
        size_t first = count > 1;
        lane->epoch[lane->runs] = bench_median(epochs + first, count - first);
        lane->wall[lane->runs] = wall;
        lane->cpu[lane->runs] = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
        lane->peak[lane->runs++] = (double)usage.ru_maxrss * 1024;
    }
    fclose(errors);
}
