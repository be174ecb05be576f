#include "engine/locate.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/path.h"

/* How far above the running binary a project's .venv is looked for: BUILD/src/nnstudio and
 * BUILD/tests/unit/test_x both reach the folder that holds BUILD. */
#define LEVELS_ABOVE_BINARY 4

/* A place being tried: what is looked for, and where the answer goes. */
struct locate_search {
    const char *package_library; /* "torch/lib/libtorch_cpu.so" */
    char *out;
    size_t size;
};

/* Cuts the last part off a path in place; false when none is left. */
static bool path_cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || slash == path) return false;
    *slash = '\0';
    return true;
}

/* Takes FOLDER/FILE as the answer when it is there. */
static bool try_file(const struct locate_search *search, const char *folder, const char *file)
{
    int length = snprintf(search->out, search->size, "%s/%s", folder, file);
    if (length >= 0 && (size_t)length < search->size && file_exists(search->out)) return true;
    search->out[0] = '\0';
    return false;
}

/* PREFIX/LIB/python3*, the newest Python first: a prefix seldom has more than one. */
static bool try_python_folders(const struct locate_search *search, const char *prefix,
                               const char *lib)
{
    static const char *const packages[] = {"site-packages", "dist-packages"};
    char folder[PATH_MAX], site[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s/%s", prefix, lib) >= (int)sizeof folder) return false;
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, versionsort);
    bool found = false;
    for (int i = count - 1; i >= 0; i--) {
        const char *name = entries[i]->d_name;
        for (size_t k = 0; !found && strncmp(name, "python3", 7) == 0 && k < 2; k++)
            if (snprintf(site, sizeof site, "%s/%s/%s", folder, name, packages[k]) <
                (int)sizeof site)
                found = try_file(search, site, search->package_library);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return found;
}

/* A Python prefix: a virtual environment, a Conda environment, /usr. */
static bool try_prefix(const struct locate_search *search, const char *prefix)
{
    return prefix && prefix[0] &&
           (try_python_folders(search, prefix, "lib") ||
            try_python_folders(search, prefix, "lib64"));
}

/* The variable's value: the library, the folder it lies in, or the folder of all packages. */
static bool try_named(const struct locate_search *search, const char *place)
{
    if (!file_is_directory(place)) {
        int length = snprintf(search->out, search->size, "%s", place);
        if (length >= 0 && (size_t)length < search->size && file_exists(search->out)) return true;
        search->out[0] = '\0';
        return false;
    }
    return try_file(search, place, path_base(search->package_library)) ||
           try_file(search, place, search->package_library);
}

static bool try_project(const struct locate_search *search)
{
    struct error ignored;
    char *folder = NULL, venv[PATH_MAX];
    bool found = false;
    if (path_self(&folder, &ignored)) return try_prefix(search, ".venv");
    for (int level = 0; !found && level < LEVELS_ABOVE_BINARY && path_cut_last(folder); level++)
        if (snprintf(venv, sizeof venv, "%s/.venv", folder) < (int)sizeof venv)
            found = try_prefix(search, venv);
    free(folder);
    return found || try_prefix(search, ".venv");
}

/* The prefix of the first python3 on PATH, as it is named there (a virtual environment) and as it
 * really lies. */
static bool try_python_on_path(const struct locate_search *search)
{
    const char *path = getenv("PATH");
    char program[PATH_MAX], real[PATH_MAX];
    while (path && *path) {
        size_t length = strcspn(path, ":");
        if (length > 0 &&
            snprintf(program, sizeof program, "%.*s/python3", (int)length, path) <
                (int)sizeof program &&
            file_exists(program)) {
            bool resolved = realpath(program, real) != NULL;
            bool named = path_cut_last(program);
            named = named && path_cut_last(program); /* bin, and the prefix */
            if (named && try_prefix(search, program)) return true;
            /* Debian keeps what pip installs for everybody in /usr/local. */
            if (named && strcmp(program, "/usr") == 0 && try_prefix(search, "/usr/local"))
                return true;
            return resolved && path_cut_last(real) && path_cut_last(real) &&
                   try_prefix(search, real);
        }
        path += length;
        if (*path == ':') path++;
    }
    return false;
}

/* Where `pip install --user` puts things: also among python3's site-packages. */
static bool try_user_site(const struct locate_search *search)
{
    const char *home = getenv("HOME");
    char prefix[PATH_MAX];
    return home && home[0] &&
           snprintf(prefix, sizeof prefix, "%s/.local", home) < (int)sizeof prefix &&
           try_prefix(search, prefix);
}

int engine_locate(const char *package_library, const char *variable, char *out, size_t size)
{
    CHECK(size > 0);
    out[0] = '\0';
    struct locate_search search = {.package_library = package_library, .out = out, .size = size};
    const char *named = getenv(variable);
    /* The user's own choice is final: another library in its place would only puzzle. */
    if (named && named[0]) return try_named(&search, named) ? 0 : -1;
    bool found = try_project(&search) || try_prefix(&search, getenv("VIRTUAL_ENV")) ||
                 try_prefix(&search, getenv("CONDA_PREFIX")) || try_user_site(&search) ||
                 try_python_on_path(&search);
    return found ? 0 : -1;
}

/* "NAME-VERSION.dist-info" of one of the names: VERSION into `out`. */
static bool read_dist_info(const char *entry, const char *const *names, char *out, size_t size)
{
    static const char ending[] = ".dist-info";
    size_t length = strlen(entry);
    if (length <= sizeof ending - 1 || strcmp(entry + length - (sizeof ending - 1), ending) != 0)
        return false;
    length -= sizeof ending - 1;
    for (; *names; names++) {
        size_t name_length = strlen(*names);
        if (length > name_length + 1 && strncmp(entry, *names, name_length) == 0 &&
            entry[name_length] == '-') {
            snprintf(out, size, "%.*s", (int)(length - name_length - 1), entry + name_length + 1);
            return true;
        }
    }
    return false;
}

void engine_package_version(const char *library, const char *package, char *out, size_t size)
{
    CHECK(size > 0);
    const char *own[] = {package, NULL};
    static const char *const tensorflow[] = {
        "tensorflow",       "tensorflow_cpu",  "intel_tensorflow",
        "tensorflow_intel", "tensorflow_rocm", "tensorflow_gpu",
        "tf_nightly",       "tf_nightly_cpu",  NULL};
    const char *const *names = strcmp(package, "tensorflow") == 0 ? tensorflow : own;
    char folder[PATH_MAX];
    out[0] = '\0';
    if (snprintf(folder, sizeof folder, "%s", library) >= (int)sizeof folder) return;
    /* site-packages is at most three folders above the library's own. */
    bool found = false;
    for (int level = 0; !found && level < 4 && path_cut_last(folder); level++) {
        DIR *listing = opendir(folder);
        if (!listing) continue;
        for (struct dirent *entry; !found && (entry = readdir(listing));)
            found = read_dist_info(entry->d_name, names, out, size);
        closedir(listing);
    }
}

bool engine_version_is_older(const char *version, int major, int minor)
{
    int its_major, its_minor;
    return sscanf(version, "%d.%d", &its_major, &its_minor) == 2 &&
           (its_major < major || (its_major == major && its_minor < minor));
}
