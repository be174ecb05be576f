/* What killed processes left in the home. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "store/store.h"

typedef void tidy_fn(const char *folder, const char *name);

static void each_entry(const char *folder, tidy_fn *fn)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (entry->d_name[0] != '.') fn(folder, entry->d_name);
    if (entries) closedir(entries);
}

static void tidy_folder(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    if (path && file_is_directory(path)) file_remove_all_unfinished(path);
    free(path);
}

/* "bundle-PID-NUMBER.zip" and "export-PID-NUMBER" are sent and removed at once, "upload-PID-NUMBER"
 * is kept or thrown away, unless their process was killed. */
static void tidy_scratch(const char *folder, const char *name)
{
    int pid;
    unsigned number;
    struct error ignored;
    if (sscanf(name, "bundle-%d-%u", &pid, &number) != 2 &&
        sscanf(name, "export-%d-%u", &pid, &number) != 2 &&
        sscanf(name, "upload-%d-%u", &pid, &number) != 2)
        return;
    if (pid <= 0 || pid == getpid() || !kill(pid, 0) || errno != ESRCH) return;
    char *path = path_join(folder, name);
    if (path) file_remove_tree(path, &ignored);
    free(path);
}

void store_tidy(const char *home)
{
    static const struct {
        const char *name;
        tidy_fn *fn;
    } folders[] = {{"runs", tidy_folder},
                   {"registry", tidy_folder},
                   {"datasets", tidy_folder},
                   {"scratch", tidy_scratch}};
    file_remove_all_unfinished(home);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        char *path = path_join(home, folders[i].name);
        if (path) file_remove_all_unfinished(path);
        if (path) each_entry(path, folders[i].fn);
        free(path);
    }
}
