/* What was kept: models in HOME/models/NAME, data sets in HOME/data/NAME. A deleted one lies in
 * HOME/trash, under its kind, its moment and its name, as long as it can be restored; what was said
 * of data lies beside it there, too. */
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
#include "data/choices.h"
#include "http/upload_impl.h"

static const struct kind {
    const char *folder, *noun;
} kinds[KEPT_KIND_COUNT] = {
    [KEPT_MODEL] = {"models", "model"},
    [KEPT_DATA] = {"data", "data set"},
};

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

#define TRASHED "%s-%" PRId64 "-%s" /* folder, clock_wall_ms(), name */

/* The name it had, or NULL when it is of another kind; *moment is when it was deleted. */
static const char *trashed_name(enum kept_kind kind, const char *entry, int64_t *moment)
{
    int length = 0;
    const size_t folder = strlen(kinds[kind].folder);
    return strncmp(entry, kinds[kind].folder, folder) == 0 &&
                   sscanf(entry + folder, "-%" SCNd64 "-%n", moment, &length) == 1 && length &&
                   path_is_plain_name(entry + folder + length)
               ? entry + folder + length
               : NULL;
}

typedef void visit_fn(void *context, const char *folder, const char *entry, const char *name,
                      int64_t moment);

static void each_trashed(const char *home, enum kept_kind kind, visit_fn *visit, void *context)
{
    char *folder = path_join(home, "trash");
    DIR *directory = folder ? opendir(folder) : NULL;
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        int64_t moment;
        const char *name = trashed_name(kind, entry->d_name, &moment);
        if (name) visit(context, folder, entry->d_name, name, moment);
    }
    if (directory) closedir(directory);
    free(folder);
}

static char *kept_path(const char *home, enum kept_kind kind, const char *name, struct error *error)
{
    char *path;
    if (asprintf(&path, "%s/%s/%s", home, kinds[kind].folder, name) >= 0) return path;
    error_set_memory(error, "a path");
    return NULL;
}

/* With what was said of it: first the data, whose name decides whether the place is free. */
static int move(enum kept_kind kind, const char *from, const char *to, struct error *error)
{
    struct error ignored;
    if (upload_move(from, to, error)) return -1;
    if (kind != KEPT_DATA || !dataset_choices_move(from, to, error)) return 0;
    upload_move(to, from, &ignored);
    return -1;
}

int kept_delete(const char *home, enum kept_kind kind, const char *name, struct error *error)
{
    int status = -1;
    char *path = NULL, *folder = NULL, *to = NULL;
    if (path_is_plain_name(name)) {
        if (!(path = kept_path(home, kind, name, error))) return -1;
    }
    if (!path || !file_exists(path)) {
        error_set(error, ERROR_NOT_FOUND, "there is no kept %s \"%.60s\"", kinds[kind].noun, name);
    } else if (!(folder = path_join(home, "trash")) ||
               asprintf(&to, "%s/" TRASHED, folder, kinds[kind].folder, clock_wall_ms(), name) <
                   0) {
        to = NULL;
        error_set_memory(error, "a path");
    } else if (!file_make_directories(folder, error)) {
        status = move(kind, path, to, error);
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

int kept_restore(const char *home, enum kept_kind kind, const char *name, struct error *error)
{
    struct newest newest = {.name = name};
    each_trashed(home, kind, look_for, &newest);
    if (!newest.path)
        return error_set(error, ERROR_NOT_FOUND,
                         "there is no deleted %s \"%.60s\": one is kept for 24 hours",
                         kinds[kind].noun, name);
    char *path = kept_path(home, kind, name, error);
    int status = path ? move(kind, newest.path, path, error) : -1;
    free(newest.path);
    free(path);
    return status;
}

static void purge_one(void *context, const char *folder, const char *entry, const char *name,
                      int64_t moment)
{
    const int64_t *before_ms = context;
    const struct dataset_choices nothing = {0};
    struct error error;
    (void)name;
    char *path = moment < *before_ms ? path_join(folder, entry) : NULL;
    if (path && (file_remove_tree(path, &error) || dataset_choices_write(path, &nothing, &error)))
        log_error(&error);
    free(path);
}

void kept_purge(const char *home, int64_t before_ms)
{
    for (int kind = 0; kind < KEPT_KIND_COUNT; kind++)
        each_trashed(home, (enum kept_kind)kind, purge_one, &before_ms);
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

json_t *kept_deleted_json(const char *home, enum kept_kind kind)
{
    struct names *names = calloc(1, sizeof *names);
    if (!names) return NULL;
    each_trashed(home, kind, add_trashed, names);
    json_t *list = names_json(names);
    free(names);
    return list;
}

json_t *kept_models_json(const char *home)
{
    struct names *names = calloc(1, sizeof *names);
    char *folder = path_join(home, "models");
    DIR *directory = folder && names ? opendir(folder) : NULL;
    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        if (path_is_plain_name(entry->d_name)) add_name(names, entry->d_name);
    if (directory) closedir(directory);
    json_t *value = names ? json_pack("{s:o, s:o}", "models", names_json(names), "deleted",
                                      kept_deleted_json(home, KEPT_MODEL))
                          : NULL;
    free(folder);
    free(names);
    return value;
}
