#include "run/journal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"

#define EPOCHS_MAX ((size_t)64 << 20)

static int open_at(const char *run_dir, const char *name, int flags)
{
    char *path = path_join(run_dir, name);
    int fd = path ? open(path, flags | O_CLOEXEC, 0644) : -1;
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

static int open_losses(const char *run_dir, uint64_t first_step)
{
    int fd = open_at(run_dir, "losses.f64", O_WRONLY | O_CREAT);
    if (fd < 0 || !ftruncate(fd, (off_t)(first_step * sizeof(double)))) return fd;
    close(fd);
    return -1;
}

static int open_epochs(const char *run_dir, uint64_t first_step)
{
    json_t *kept = journal_read_epochs(run_dir, first_step), *event;
    size_t index;
    int fd = kept ? open_at(run_dir, "epochs.jsonl", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND) : -1;
    json_array_foreach(kept, index, event) write_line(fd, event);
    json_decref(kept);
    return fd;
}

void journal_open(struct journal *journal, const char *run_dir, uint64_t first_step)
{
    *journal = (struct journal){open_losses(run_dir, first_step), open_epochs(run_dir, first_step)};
}

void journal_close(struct journal *journal)
{
    if (journal->losses >= 0) close(journal->losses);
    if (journal->epochs >= 0) close(journal->epochs);
    *journal = (struct journal){-1, -1};
}

void journal_add_losses(const struct journal *journal, uint64_t first_step, const double *losses,
                        size_t count)
{
    if (journal->losses < 0 || !count) return;
    ssize_t ignored = pwrite(journal->losses, losses, count * sizeof *losses,
                             (off_t)(first_step * sizeof *losses));
    (void)ignored;
}

void journal_add_epoch(const struct journal *journal, const json_t *event)
{
    write_line(journal->epochs, event);
}

int journal_read_losses(const char *run_dir, uint64_t from, uint64_t to, double **losses,
                        size_t *count, struct error *error)
{
    struct stat info;
    int fd = open_at(run_dir, "losses.f64", O_RDONLY);
    *losses = NULL;
    *count = 0;
    if (fd < 0) return 0;
    uint64_t end = fstat(fd, &info) ? 0 : (uint64_t)info.st_size / sizeof(double);
    if (end > to) end = to;
    if (end > from) *losses = malloc((size_t)(end - from) * sizeof **losses);
    if (*losses) {
        ssize_t got = pread(fd, *losses, (size_t)(end - from) * sizeof **losses,
                            (off_t)(from * sizeof **losses));
        if (got > 0) *count = (size_t)got / sizeof **losses;
    }
    close(fd);
    return end > from && !*losses ? error_set_memory(error, "a run's losses") : 0;
}

/* A line that was cut short, by a full disk or a kill, is none. */
json_t *journal_read_epochs(const char *run_dir, uint64_t step)
{
    char *path = path_join(run_dir, "epochs.jsonl"), *text = NULL;
    size_t length, used = 0;
    struct error ignored;
    json_t *list = path ? json_array() : NULL, *event;
    if (list && file_exists(path) && !file_read(path, EPOCHS_MAX, &text, &length, &ignored)) {
        for (const char *end; (end = memchr(text + used, '\n', length - used));
             used = (size_t)(end - text) + 1) {
            if (js_parse_object(text + used, (size_t)(end - text) - used, "an epoch", &event,
                                &ignored))
                continue;
            if (json_integer_value(json_object_get(event, "global_step")) <= (json_int_t)step)
                json_array_append(list, event);
            json_decref(event);
        }
    }
    free(text);
    free(path);
    return list;
}
