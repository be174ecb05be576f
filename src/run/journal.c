#include "run/journal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

static int open_at(const char *run_dir, int flags)
{
    char *path = path_join(run_dir, "losses.f64");
    int fd = path ? open(path, flags | O_CLOEXEC, 0644) : -1;
    free(path);
    return fd;
}

int journal_open(const char *run_dir, uint64_t first_step)
{
    int fd = open_at(run_dir, O_WRONLY | O_CREAT);
    if (fd < 0 || !ftruncate(fd, (off_t)(first_step * sizeof(double)))) return fd;
    close(fd);
    return -1;
}

void journal_append(int fd, uint64_t first_step, const double *losses, size_t count)
{
    if (fd < 0 || !count) return;
    ssize_t ignored = pwrite(fd, losses, count * sizeof *losses, (off_t)(first_step * sizeof *losses));
    (void)ignored; /* a second copy: the first goes to the supervisor */
}

int journal_read(const char *run_dir, uint64_t from, uint64_t to, double **losses, size_t *count, struct error *error)
{
    struct stat info;
    int fd = open_at(run_dir, O_RDONLY);
    *losses = NULL;
    *count = 0;
    if (fd < 0) return 0;
    uint64_t end = fstat(fd, &info) ? 0 : (uint64_t)info.st_size / sizeof(double);
    if (end > to) end = to;
    if (end > from) *losses = malloc((size_t)(end - from) * sizeof **losses);
    if (*losses) {
        ssize_t got = pread(fd, *losses, (size_t)(end - from) * sizeof **losses, (off_t)(from * sizeof **losses));
        if (got > 0) *count = (size_t)got / sizeof **losses;
    }
    close(fd);
    return end > from && !*losses ? error_set_memory(error, "a run's losses") : 0;
}
