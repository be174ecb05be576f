#include "run/journal.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/path.h"

#define EVENTS_MAX ((size_t)64 << 20)

static int open_at(const char *run_dir, const char *name, int flags)
{
    char *path = path_join(run_dir, name);
    int fd = path ? open(path, flags | O_CLOEXEC, 0600) : -1;
    free(path);
    return fd;
}

/* A second copy, the first goes to the supervisor: what cannot be written is done without. */
static void write_line(int fd, const json_t *event)
{
    char *text = fd >= 0 ? js_dump(event) : NULL;
    if (!text) return;
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL, so that the line is written at once */
    ssize_t ignored = write(fd, text, length + 1);
    (void)ignored;
    free(text);
}

/* --- losses --- */

static uint64_t losses_in(int fd)
{
    struct stat info;
    return fd < 0 || fstat(fd, &info) ? 0 : (uint64_t)info.st_size / sizeof(double);
}

/* A stretch from a file of losses whose first one lies at `offset`; how many were read. */
static size_t read_some(int fd, off_t offset, uint64_t count, double *out)
{
    size_t done = 0, size = (size_t)count * sizeof *out;
    for (ssize_t got; done < size; done += (size_t)got) {
        got = pread(fd, (char *)out + done, size - done, offset + (off_t)done);
        if (got <= 0) break;
    }
    return done / sizeof *out;
}

/* The old steps beyond those of losses.f64: from step `first`, `count` of them. */
struct tail {
    int fd;
    uint64_t first, count;
};

static struct tail open_tail(const char *run_dir)
{
    struct tail tail = {.fd = open_at(run_dir, "losses.tail", O_RDONLY)};
    uint64_t entries = losses_in(tail.fd);
    if (entries > 1 && pread(tail.fd, &tail.first, sizeof tail.first, 0) == sizeof tail.first)
        tail.count = entries - 1;
    return tail;
}

int journal_read_losses(const char *run_dir, uint64_t from, uint64_t to, struct journal_losses *out,
                        struct error *error)
{
    *out = (struct journal_losses){0};
    int fd = open_at(run_dir, "losses.f64", O_RDONLY), status = 0;
    struct tail tail = open_tail(run_dir);
    uint64_t made = out->made = losses_in(fd), end = made;
    if (tail.first <= made && tail.first + tail.count > made) end = tail.first + tail.count;
    if (end > to) end = to;
    if (end > from) {
        out->losses = malloc((size_t)(end - from) * sizeof *out->losses);
        if (!out->losses) status = error_set_memory(error, "a run's losses");
    }
    if (out->losses) {
        uint64_t middle = made < from ? from : made < end ? made : end;
        out->count = read_some(fd, (off_t)(from * sizeof(double)), middle - from, out->losses);
        if (out->count == middle - from)
            out->count += read_some(tail.fd, (off_t)((middle - tail.first + 1) * sizeof(double)),
                                    end - middle, out->losses + out->count);
    }
    if (fd >= 0) close(fd);
    if (tail.fd >= 0) close(tail.fd);
    return status;
}

/* Puts aside what is there of `first_step` and after it. */
static int keep_tail(const char *run_dir, uint64_t first_step)
{
    struct journal_losses rest;
    struct error ignored;
    char *path = path_join(run_dir, "losses.tail"), *text = NULL;
    int status = path ? journal_read_losses(run_dir, first_step, UINT64_MAX, &rest, &ignored) : -1;
    if (status) goto out;
    if (!rest.count) {
        unlink(path);
    } else {
        size_t size = rest.count * sizeof *rest.losses;
        text = malloc(sizeof first_step + size);
        status = -1;
        if (text) {
            memcpy(text, &first_step, sizeof first_step);
            memcpy(text + sizeof first_step, rest.losses, size);
            status = file_write(path, text, sizeof first_step + size, &ignored);
        }
    }
    free(rest.losses);
out:
    free(text);
    free(path);
    return status;
}

/* Steps before `first_step` that are not there: those of the run it begins with, else unknown. */
static void fill_up(int fd, const char *source, uint64_t first_step)
{
    struct journal_losses before = {0};
    struct error ignored;
    uint64_t have = losses_in(fd);
    if (have >= first_step) return;
    if (source) journal_read_losses(source, have, first_step, &before, &ignored);
    ssize_t done = before.count ? pwrite(fd, before.losses, before.count * sizeof(double),
                                         (off_t)(have * sizeof(double)))
                                : 0;
    have += done > 0 ? (uint64_t)done / sizeof(double) : 0;
    free(before.losses);
    for (const double unknown = (double)NAN; have < first_step; have++)
        if (pwrite(fd, &unknown, sizeof unknown, (off_t)(have * sizeof unknown)) < 0) return;
}

static int open_losses(const char *run_dir, const char *source, uint64_t first_step)
{
    if (keep_tail(run_dir, first_step)) return -1;
    int fd = open_at(run_dir, "losses.f64", O_RDWR | O_CREAT);
    if (fd < 0) return fd;
    if (losses_in(fd) > first_step && ftruncate(fd, (off_t)(first_step * sizeof(double)))) {
        close(fd);
        return -1;
    }
    fill_up(fd, source, first_step);
    return fd;
}

void journal_add_losses(const struct journal *journal, uint64_t first_step, const double *losses,
                        size_t count)
{
    if (journal->losses < 0 || !count) return;
    fill_up(journal->losses, NULL, first_step); /* what a full disk did not take is unknown */
    ssize_t ignored = pwrite(journal->losses, losses, count * sizeof *losses,
                             (off_t)(first_step * sizeof *losses));
    (void)ignored;
}

/* --- events --- */

/* A line that was cut short, by a full disk or a kill, is none. */
json_t *journal_read_events(const char *run_dir, const char *kind, uint64_t step)
{
    char *path = path_join(run_dir, "epochs.jsonl"), *text = NULL;
    size_t length, used = 0;
    struct error ignored;
    json_t *list = path ? json_array() : NULL, *event;
    if (list && file_exists(path) && !file_read(path, EVENTS_MAX, &text, &length, &ignored)) {
        for (const char *end; (end = memchr(text + used, '\n', length - used));
             used = (size_t)(end - text) + 1) {
            if (js_parse_object(text + used, (size_t)(end - text) - used, "an event", &event,
                                &ignored))
                continue;
            if ((!kind || strcmp(js_text(event, "event"), kind) == 0) &&
                json_integer_value(json_object_get(event, "global_step")) <= (json_int_t)step)
                json_array_append(list, event);
            json_decref(event);
        }
    }
    free(text);
    free(path);
    return list;
}

static int open_events(const char *run_dir, const char *source, uint64_t first_step)
{
    char last = '\n';
    int fd = open_at(run_dir, "epochs.jsonl", O_RDWR | O_CREAT | O_APPEND);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    /* a line that was cut short must not take the next one with it */
    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n') {
        ssize_t ignored = write(fd, "\n", 1);
        (void)ignored;
    }
    if (end == 0 && source) {
        static const char *const kinds[] = {"start", "epoch", "rate"};
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            json_t *before = journal_read_events(source, kinds[i], first_step), *event;
            size_t index;
            json_array_foreach(before, index, event) write_line(fd, event);
            json_decref(before);
        }
    }
    return fd;
}

void journal_add_event(const struct journal *journal, const json_t *event)
{
    json_t *line = journal->events >= 0 ? json_copy((json_t *)(uintptr_t)event) : NULL;
    if (!line) return;
    json_object_set_new(line, "at", json_integer(clock_wall_ms()));
    write_line(journal->events, line);
    json_decref(line);
}

void journal_open(struct journal *journal, const char *run_dir, const char *source,
                  uint64_t first_step)
{
    if (source && strcmp(source, run_dir) == 0) source = NULL;
    *journal = (struct journal){open_losses(run_dir, source, first_step),
                                open_events(run_dir, source, first_step)};
}

void journal_close(struct journal *journal)
{
    if (journal->losses >= 0) close(journal->losses);
    if (journal->events >= 0) close(journal->events);
    *journal = (struct journal){-1, -1};
}
