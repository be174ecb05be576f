#include "run/rate.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "run/journal.h"

static bool in_range(double rate)
{
    return rate > 0 && rate <= OPTIMIZER_MAX_LEARNING_RATE;
}

int rate_ask(const char *run_dir, double rate, struct error *error)
{
    char text[40], *path;
    if (!in_range(rate))
        return error_set(error, ERROR_INPUT,
                         "the learning rate %g is out of range: use more than 0 and at most %d",
                         rate, OPTIMIZER_MAX_LEARNING_RATE);
    path = path_join(run_dir, "rate.wanted");
    if (!path) return error_set_memory(error, "a path");
    int length = snprintf(text, sizeof text, "%.17g\n", rate);
    int status = file_write(path, text, (size_t)length, error);
    free(path);
    return status;
}

double rate_take(const char *run_dir)
{
    char *path = path_join(run_dir, "rate.wanted"), *text = NULL;
    size_t length;
    struct error ignored;
    double rate = 0;
    if (path && file_exists(path) && !file_read(path, 64, &text, &length, &ignored)) {
        char *end;
        rate = strtod(text, &end);
        unlink(path);
        if (end == text || !in_range(rate)) rate = 0;
    }
    free(text);
    free(path);
    return rate;
}

/* Steps that a start makes anew take their changes with them. */
static size_t without_redone(const struct fit_change *changes, size_t count, uint64_t start)
{
    while (count && changes[count - 1].step > start) count--;
    return count;
}

int rate_changes(const char *run_dir, uint64_t end, struct fit_change **changes, size_t *count,
                 struct error *error)
{
    json_t *events = journal_read_events(run_dir, NULL, end), *event;
    struct fit_change *list = calloc(json_array_size(events) + 1, sizeof *list);
    size_t index, used = 0;
    *changes = list;
    *count = 0;
    if (!events || !list) {
        json_decref(events);
        return error_set_memory(error, "the changes of the learning rate");
    }
    json_array_foreach(events, index, event) {
        uint64_t step = (uint64_t)json_integer_value(json_object_get(event, "global_step"));
        struct fit_change change = {step, json_number_value(json_object_get(event, "rate")),
                                    json_number_value(json_object_get(event, "planned"))};
        if (strcmp(js_text(event, "event"), "start") == 0) used = without_redone(list, used, step);
        if (strcmp(js_text(event, "event"), "rate") != 0 || !in_range(change.rate) ||
            !in_range(change.planned))
            continue;
        if (used && list[used - 1].step == step) used--; /* the later one holds */
        list[used++] = change;
    }
    json_decref(events);
    *count = used;
    return 0;
}

const struct fit_change *rate_change_at(const struct fit_change *changes, size_t count,
                                        uint64_t step)
{
    while (count && changes[count - 1].step > step) count--;
    return count ? &changes[count - 1] : NULL;
}
