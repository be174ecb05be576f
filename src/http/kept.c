/* Models that were kept: HOME/models/NAME. A deleted one lies in HOME/trash, under its moment and
 * its name, as long as it can be restored. */
#include "http/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/js.h"
#include "base/log.h"
#include "base/path.h"
#include "http/upload_impl.h"

/* The model within a folder of several files; the path itself otherwise. Takes `path`. */
static char *model_within(char *path)
{
    const struct modelfile_format *format;
    struct error ignored;
    char *found = NULL;
    DIR *directory = opendir(path);
    if (!directory) return path;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        bool index = upload_ends_in(entry->d_name, ".index.json");
        if (entry->d_name[0] == '.' ||
            (!index && (found || modelfile_format_for_writing(entry->d_name, &format, &ignored))))
            continue;
        free(found);
        found = path_join(path, entry->d_name);
        if (index) break;
    }
    closedir(directory);
    free(path);
    return found;
}

int kept_model_find(const char *home, const char *name, char **path, struct error *error)
{
    *path = NULL;
    if (path_is_plain_name(name)) {
        if (asprintf(path, "%s/models/%s", home, name) < 0) {
            *path = NULL;
            return error_set_memory(error, "a path");
        }
        if (!file_exists(*path)) {
            free(*path);
            *path = NULL;
        } else {
            *path = model_within(*path);
        }
    }
    return *path ? 0
                 : error_set(error, ERROR_NOT_FOUND,
                             "there is no run and no kept model \"%.60s\": see the Runs tab", name);
}

/* --- deleted ones --- */

#define TRASHED "models-%" PRId64 "-%n" /* and the name; clock_wall_ms() */

/* The name it had, or NULL; *moment is when it was deleted. */
static const char *trashed_name(const char *entry, int64_t *moment)
{
    int length = 0;
    return sscanf(entry, TRASHED, moment, &length) == 1 && length &&
                   path_is_plain_name(entry + length)
               ? entry + length
               : NULL;
}

typedef void visit_fn(void *context, const char *folder, const char *entry, const char *name,
                      int64_t moment);

static void each_trashed(const char *home, visit_fn *visit, void *context)
{
    char *folder = path_join(home, "trash");
    DIR *directory = folder ? opendir(folder) : NULL;
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        int64_t moment;
        const char *name = trashed_name(entry->d_name, &moment);
        if (name) visit(context, folder, entry->d_name, name, moment);
    }
    if (directory) closedir(directory);
    free(folder);
}

static char *kept_path(const char *home, const char *name, struct error *error)
{
    char *path;
    if (asprintf(&path, "%s/models/%s", home, name) >= 0) return path;
    error_set_memory(error, "a path");
    return NULL;
}

int kept_model_delete(const char *home, const char *name, struct error *error)
{
    int status = -1;
    char *path = NULL, *folder = NULL, *to = NULL;
    if (!path_is_plain_name(name))
        return error_set(error, ERROR_NOT_FOUND, "there is no kept model \"%.60s\"", name);
    if (!(path = kept_path(home, name, error))) return -1;
    if (!(folder = path_join(home, "trash")) ||
        asprintf(&to, "%s/models-%" PRId64 "-%s", folder, clock_wall_ms(), name) < 0) {
        to = NULL;
        error_set_memory(error, "a path");
    } else if (!file_exists(path)) {
        error_set(error, ERROR_NOT_FOUND, "there is no kept model \"%.60s\"", name);
    } else if (!file_make_directories(folder, error)) {
        status = rename(path, to) ? error_set_errno(error, errno, "cannot delete \"%s\"", name) : 0;
    }
    free(path);
    free(folder);
    free(to);
    return status;
}

struct newest {
    const char *name;
    char *path; /* owned */
    int64_t moment;
};

static void look_for(void *context, const char *folder, const char *entry, const char *name,
                     int64_t moment)
{
    struct newest *newest = context;
    if (strcmp(name, newest->name) != 0 || (newest->path && moment < newest->moment)) return;
    free(newest->path);
    newest->path = path_join(folder, entry);
    newest->moment = moment;
}

int kept_model_restore(const char *home, const char *name, struct error *error)
{
    struct newest newest = {.name = name};
    each_trashed(home, look_for, &newest);
    if (!newest.path)
        return error_set(error, ERROR_NOT_FOUND,
                         "there is no deleted model \"%.60s\": one is kept for 24 hours", name);
    char *path = kept_path(home, name, error);
    int status = path ? upload_move(newest.path, path, error) : -1;
    free(newest.path);
    free(path);
    return status;
}

struct purge {
    int64_t before_ms;
};

static void purge_one(void *context, const char *folder, const char *entry, const char *name,
                      int64_t moment)
{
    const struct purge *purge = context;
    struct error error;
    (void)name;
    char *path = moment < purge->before_ms ? path_join(folder, entry) : NULL;
    if (path && file_remove_tree(path, &error)) log_error(&error);
    free(path);
}

void kept_purge(const char *home, int64_t before_ms)
{
    struct purge purge = {before_ms};
    each_trashed(home, purge_one, &purge);
}

/* --- lists --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

#define LISTED_MAX 1000

struct names {
    size_t count;
    char *items[LISTED_MAX]; /* owned */
};

static void add_name(struct names *names, const char *name)
{
    char *copy = names->count < LISTED_MAX ? strdup(name) : NULL;
    if (copy) names->items[names->count++] = copy;
}

static void add_trashed(void *context, const char *folder, const char *entry, const char *name,
                        int64_t moment)
{
    (void)folder;
    (void)entry;
    (void)moment;
    add_name(context, name);
}

/* In the order of the names, each once; empties `names`. */
static json_t *names_json(struct names *names)
{
    json_t *list = json_array();
    if (names->count) qsort(names->items, names->count, sizeof names->items[0], by_name);
    for (size_t i = 0; i < names->count; i++)
        if (!i || strcmp(names->items[i - 1], names->items[i]) != 0)
            json_array_append_new(list, json_pack("{s:s}", "name", names->items[i]));
    for (size_t i = 0; i < names->count; i++) free(names->items[i]);
    names->count = 0;
    return list;
}

json_t *kept_models_json(const char *home)
{
    struct names *names = calloc(1, sizeof *names);
    char *folder = path_join(home, "models");
    DIR *directory = folder && names ? opendir(folder) : NULL;
    json_t *value = NULL;
    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        if (path_is_plain_name(entry->d_name)) add_name(names, entry->d_name);
    if (directory) closedir(directory);
    if (names) {
        json_t *models = names_json(names);
        each_trashed(home, add_trashed, names);
        value = json_pack("{s:o, s:o}", "models", models, "deleted", names_json(names));
    }
    free(folder);
    free(names);
    return value;
}
