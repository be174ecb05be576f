#include "base/path.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *path_join(const char *a, const char *b)
{
    if (b[0] == '/' || !a[0]) return strdup(b);
    char *joined;
    const char *separator = a[strlen(a) - 1] == '/' ? "" : "/";
    return asprintf(&joined, "%s%s%s", a, separator, b) < 0 ? NULL : joined;
}

char *path_absolute(const char *path)
{
    if (path[0] == '/') return strdup(path);
    char *current = getcwd(NULL, 0);
    char *whole = current ? path_join(current, path) : NULL;
    free(current);
    return whole;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *path_extension(const char *path)
{
    const char *base = path_base(path);
    const char *dot = strrchr(base, '.');
    return dot && dot != base ? dot + 1 : "";
}

/* "con", "nul.pth": not a file's name where the model may go one day. */
static bool is_device_name(const char *name)
{
    static const char *const devices[] = {"con", "prn", "aux", "nul"};
    size_t length = strcspn(name, ".");
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        if (length == 3 && strncasecmp(name, devices[i], 3) == 0) return true;
    return length == 4 && name[3] >= '1' && name[3] <= '9' &&
           (strncasecmp(name, "com", 3) == 0 || strncasecmp(name, "lpt", 3) == 0);
}

bool path_is_plain_name(const char *name)
{
    size_t length = strlen(name);
    if (!length || length > 100 || strchr(".-", name[0]) || name[length - 1] == '.') return false;
    if (is_device_name(name)) return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c)) return false;
    return true;
}

int path_home(const char *override, char **out, struct error *error)
{
    const char *value;
    if (override && *override) {
        *out = strdup(override);
    } else if ((value = getenv("NNSTUDIO_HOME")) && *value) {
        *out = strdup(value);
    } else if ((value = getenv("XDG_DATA_HOME")) && *value) {
        *out = path_join(value, "nnstudio");
    } else if ((value = getenv("HOME")) && *value) {
        *out = path_join(value, ".local/share/nnstudio");
    } else {
        return error_set(error, ERROR_NOT_FOUND,
                         "no home folder is known: give --home DIR or set NNSTUDIO_HOME");
    }
    return *out ? 0 : error_set_memory(error, "a path");
}

int path_self(char **out, struct error *error)
{
    char link[4096];
    ssize_t length = readlink("/proc/self/exe", link, sizeof link - 1);
    if (length < 0) return error_set_errno(error, errno, "cannot find this program's own file");
    link[length] = '\0';
    *out = strdup(link);
    return *out ? 0 : error_set_memory(error, "a path");
}
