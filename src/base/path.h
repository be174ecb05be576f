/* Paths and the studio's home. */
#ifndef NNSTUDIO_BASE_PATH_H
#define NNSTUDIO_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* "a/b", malloc'd; an absolute `b` is taken as it is. NULL when memory is out. */
char *path_join(const char *a, const char *b);
/* `path` seen from the root, by the current folder; nothing is looked up. malloc'd; NULL when
 * memory is out. */
char *path_absolute(const char *path);
/* The part after the last slash, within `path`. */
const char *path_base(const char *path);
/* The ending after the last dot of the last part, without the dot ("gz"); "" if there is none.
 * Within `path`. */
const char *path_extension(const char *path);
/* True for a single, plain file-name part: letters, digits, '.', '_', '-', at most 100; not
 * starting with '.' or '-' (an option to other programs), not ending with '.', and no device's name
 * ("con"). */
bool path_is_plain_name(const char *name);

/* The studio's home, malloc'd: `override` if not NULL, else $NNSTUDIO_HOME, else
 * $XDG_DATA_HOME/nnstudio, else $HOME/.local/share/nnstudio. Does not make it. */
int path_home(const char *override, char **out, struct error *error);
/* The path of this program's own file, malloc'd. */
int path_self(char **out, struct error *error);

#endif
