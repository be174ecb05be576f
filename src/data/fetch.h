/* Fetching the known data sets from their public mirrors. */
#ifndef NNSTUDIO_DATA_FETCH_H
#define NNSTUDIO_DATA_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define FETCH_MAX_FILES   4
#define FETCH_MAX_MIRRORS 3

struct fetch_file {
    const char *name;
    uint64_t size;      /* bytes */
    const char *sha256; /* hex */
};

struct fetch_set {
    const char *name;
    /* URLs to put the file's name behind; NULL ends the list */
    const char *mirrors[FETCH_MAX_MIRRORS];
    struct fetch_file files[FETCH_MAX_FILES];
};

/* The set of that name, or NULL when it is not one that is fetched. */
const struct fetch_set *fetch_find(const char *name);
uint64_t fetch_total(const struct fetch_set *set); /* bytes of all files */

/* Called often on the fetching thread; `done` of `total` bytes of the whole set, `file` is the one
 * under way. Return false to stop: what has come is kept and the next fetch goes on from there. */
typedef bool (*fetch_progress)(void *context, const char *file, uint64_t done, uint64_t total);

/* Fetches what is missing or damaged of a set into home/data/NAME. Every file is checked against
 * its SHA-256 before it gets its name. A broken transfer is resumed; when a mirror fails the next
 * is tried. $NNSTUDIO_MIRROR, if set, replaces the mirrors: files are then
 * $NNSTUDIO_MIRROR/NAME/FILE. `progress` may be NULL. ERROR_INTERRUPTED when stopped. */
int data_fetch(const char *name, const char *home, fetch_progress progress, void *context,
               struct error *error);
/* The same for any set, into `folder`. */
int fetch_into(const struct fetch_set *set, const char *folder, fetch_progress progress,
               void *context, struct error *error);

#endif
