#include "http/library.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"

#define PLACES 8
/* What may stay open though nobody uses it. */
#define IDLE_BYTES_MAX ((size_t)256 << 20)

struct library_place {
    struct dataset *dataset;
    char *name;                 /* owned: what it was asked for as */
    struct dataset_options how; /* likewise; its texts are owned, and may be NULL */
    int borrowed;
    uint64_t used; /* when, as a count of borrowings */
};

struct library {
    const char *home;
    pthread_mutex_t mutex; /* also held while a set is read: two requests must not read it twice */
    struct library_place places[PLACES];
    uint64_t clock;
};

int library_create(const char *home, struct library **out, struct error *error)
{
    struct library *library = calloc(1, sizeof *library);
    if (!library) return error_set_memory(error, "the library");
    library->home = home;
    pthread_mutex_init(&library->mutex, NULL);
    *out = library;
    return 0;
}

static size_t bytes_of(const struct dataset *dataset)
{
    return (dataset->train.count + dataset->test.count) * (dataset_inputs(dataset) + 1);
}

static void give_up(struct library_place *place)
{
    dataset_close(place->dataset);
    free(place->name);
    free((char *)(uintptr_t)place->how.data_dir);
    free((char *)(uintptr_t)place->how.label_column);
    *place = (struct library_place){0};
}

void library_destroy(struct library *library)
{
    if (!library) return;
    for (int i = 0; i < PLACES; i++)
        if (library->places[i].dataset) give_up(&library->places[i]);
    pthread_mutex_destroy(&library->mutex);
    free(library);
}

/* Closes the longest unused until what is idle fits, and one place is free. NULL when all are
 * borrowed. */
static struct library_place *make_room(struct library *library, size_t coming)
{
    for (;;) {
        struct library_place *oldest = NULL, *empty = NULL;
        size_t idle = coming;
        for (int i = 0; i < PLACES; i++) {
            struct library_place *place = &library->places[i];
            if (!place->dataset) empty = place;
            if (!place->dataset || place->borrowed) continue;
            idle += bytes_of(place->dataset);
            if (!oldest || place->used < oldest->used) oldest = place;
        }
        if (empty && (idle <= IDLE_BYTES_MAX || !oldest)) return empty;
        if (!oldest) return NULL;
        give_up(oldest);
    }
}

int library_resolve(const char *home, const char *name, char **out, struct error *error)
{
    *out = NULL;
    if (dataset_find(name)) {
        *out = strdup(name);
        return *out ? 0 : error_set_memory(error, "a name");
    }
    if (path_is_plain_name(name)) {
        char *path;
        if (asprintf(&path, "%s/data/%s", home, name) < 0) return error_set_memory(error, "a path");
        if (file_exists(path)) {
            *out = path;
            return 0;
        }
        free(path);
    }
    return error_set(
        error, ERROR_NOT_FOUND,
        "there is no data set \"%.60s\": put yours into %s/data and name it as it is named there",
        name, home);
}

int library_resolve_job(const char *home, struct job *job, struct error *error)
{
    char *path;
    if (library_resolve(home, job->dataset, &path, error)) return -1;
    int length = snprintf(job->dataset, sizeof job->dataset, "%s", path);
    free(path);
    return (size_t)length < sizeof job->dataset
               ? 0
               : error_set(error, ERROR_INPUT, "the data set's path is too long");
}

/* A text that may be NULL. False when memory is out. */
static bool copy_text(const char *text, const char **out)
{
    *out = text ? strdup(text) : NULL;
    return !text || *out;
}

static int open_into(struct library *library, const char *name, const struct dataset_options *how,
                     struct library_place **out, struct error *error)
{
    struct dataset *dataset;
    if (dataset_open(name, how, &dataset, error)) return -1;
    struct library_place *place = make_room(library, bytes_of(dataset));
    if (!place) {
        dataset_close(dataset);
        return error_set(error, ERROR_UNAVAILABLE,
                         "too many data sets are in use: try again in a moment");
    }
    *place = (struct library_place){.dataset = dataset, .name = strdup(name), .how = *how};
    bool copied = copy_text(how->data_dir, &place->how.data_dir);
    copied = copy_text(how->label_column, &place->how.label_column) && copied;
    if (!place->name || !copied) {
        give_up(place);
        return error_set_memory(error, "a name");
    }
    *out = place;
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_for(const struct library_place *place, const char *name,
                   const struct dataset_options *how)
{
    const struct dataset_options *own = &place->how;
    return place->dataset && strcmp(place->name, name) == 0 &&
           same_text(own->data_dir, how->data_dir) &&
           same_text(own->label_column, how->label_column) && own->scale == how->scale &&
           own->mean == how->mean && own->std == how->std && own->invert == how->invert;
}

int library_borrow(struct library *library, const char *name, const struct dataset_options *options,
                   const struct dataset **out, struct error *error)
{
    int status = 0;
    struct dataset_options how = {.data_dir = options->data_dir,
                                  .home = library->home,
                                  .label_column = options->label_column,
                                  .scale = options->scale,
                                  .mean = options->mean,
                                  .std = options->std,
                                  .invert = options->invert};
    struct library_place *found = NULL;
    pthread_mutex_lock(&library->mutex);
    for (int i = 0; i < PLACES && !found; i++)
        if (is_for(&library->places[i], name, &how)) found = &library->places[i];
    if (!found) status = open_into(library, name, &how, &found, error);
    if (!status) {
        found->borrowed++;
        found->used = ++library->clock;
        *out = found->dataset;
    }
    pthread_mutex_unlock(&library->mutex);
    return status;
}

void library_give_back(struct library *library, const struct dataset *dataset)
{
    if (!dataset) return;
    pthread_mutex_lock(&library->mutex);
    for (int i = 0; i < PLACES; i++)
        if (library->places[i].dataset == dataset) library->places[i].borrowed--;
    pthread_mutex_unlock(&library->mutex);
}

void library_forget(struct library *library, const char *name)
{
    pthread_mutex_lock(&library->mutex);
    for (int i = 0; i < PLACES; i++) {
        struct library_place *place = &library->places[i];
        if (!place->dataset || strcmp(place->name, name) != 0) continue;
        if (place->borrowed)
            place->name[0] = '\0'; /* nobody asks for that; closed when room is needed */
        else
            give_up(place);
    }
    pthread_mutex_unlock(&library->mutex);
}
