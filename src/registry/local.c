/* The target "local": numbered folders in the home, HOME/registry/NAME/VERSION, each with the file
 * and model.json. A version appears whole (one rename of its folder) and is never changed. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/path.h"
#include "registry/local_state.h"
#include "registry/targets.h"

#define MODEL_LIMIT ((size_t)2 << 30)
#define MAX_VERSION 1000000

enum { STEP_READ, STEP_COPY, STEP_READ_BACK };
static const char *const step_titles[] = {"Read the file", "Copy it", "Read back what is there",
                                          NULL};

static int check(const struct registry_options *options, const struct registry_request *request,
                 struct error *error)
{
    char fallback[128];
    registry_default_name(request, fallback);
    if (!options->home || !*options->home)
        return error_set(error, ERROR_USAGE, "no home folder is known: give --home DIR");
    const char *name = request->name && *request->name ? request->name : fallback;
    if (!path_is_plain_name(name))
        return error_set(error, ERROR_USAGE,
                         "\"%.60s\" is not a valid model name: use letters, digits, - _ and .",
                         name);
    if (request->version && *request->version)
        return error_set(error, ERROR_USAGE,
                         "local versions are numbered by the studio: leave --version out");
    if (!path_is_plain_name(path_base(request->model_path)))
        return error_set(error, ERROR_USAGE,
                         "the file name \"%.80s\" is not valid: use letters, digits, - _ and .",
                         path_base(request->model_path));
    return 0;
}

static unsigned version_number(const char *text)
{
    if (!isdigit((unsigned char)*text) || strlen(text) > 7) return 0;
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    return *end || number > MAX_VERSION ? 0 : (unsigned)number;
}

/* The highest version in a model's folder; 0 when there is none. */
static unsigned highest_version(const char *folder)
{
    unsigned most = 0;
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        unsigned number = version_number(entry->d_name);
        if (number > most) most = number;
    }
    if (directory) closedir(directory);
    return most;
}

static int model_folder(const struct registry_options *options, const char *name, char out[4096],
                        struct error *error)
{
    if (!path_is_plain_name(name))
        return error_set(error, ERROR_USAGE, "\"%.60s\" is not a valid model name", name);
    if ((size_t)snprintf(out, 4096, "%s/registry/%s", options->home, name) >= 4096)
        return error_set(error, ERROR_INPUT, "the path of the home folder is too long");
    return 0;
}

static int read_version(const char *folder, const char *version, json_t **out, struct error *error)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s/model.json", folder, version);
    if (!version_number(version) || !file_exists(path))
        return error_set(error, ERROR_NOT_FOUND,
                         "there is no version %.40s in %s: see `nnstudio registry list`", version,
                         folder);
    return js_read_object(path, 1 << 20, out, error);
}

/* With what was changed since. */
static int load_version(const char *folder, const char *version, json_t **out, struct error *error)
{
    json_t *state;
    if (local_state_read(folder, &state, error)) return -1;
    int status = read_version(folder, version, out, error);
    if (!status) local_state_apply(state, version, *out);
    json_decref(state);
    return status;
}

/* The path of a version's file, checked against its hash. */
static int checked_file(const char *folder, const char *version, const json_t *model,
                        char out[4400], struct error *error)
{
    char hex[HASH_HEX_SIZE];
    const char *file = json_string_value(json_object_get(model, "file")),
               *wanted = json_string_value(json_object_get(model, "sha256"));
    if (!file || !wanted || !path_is_plain_name(file))
        return error_set(error, ERROR_INPUT, "%s/%s/model.json is damaged", folder, version);
    snprintf(out, 4400, "%s/%s/%s", folder, version, file);
    if (hash_file(out, hex, NULL, error)) return -1;
    if (strcmp(hex, wanted) == 0) return 0;
    return error_set(error, ERROR_INPUT,
                     "%s was changed after it was registered: its SHA-256 is %s, not %s", out, hex,
                     wanted);
}

/* Waits until this process alone writes into the model's folder, and removes what one that was
 * killed while writing left. Closing *lock lets go, also when the process dies. */
static int take_folder(const char *folder, int *lock, struct error *error)
{
    *lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0 || flock(*lock, LOCK_EX))
        return error_set_errno(error, errno, "cannot open %s", folder);
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        char path[4400];
        struct error ignored;
        if (strncmp(entry->d_name, ".part-", 6) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        file_remove_tree(path, &ignored);
    }
    if (directory) closedir(directory);
    return 0;
}

static int write_card(const char *folder, const struct registry_request *request, const char *name,
                      const char *sha256, struct error *error)
{
    char path[4400];
    struct buffer card;
    buffer_init(&card, REGISTRY_CARD_LIMIT);
    snprintf(path, sizeof path, "%s/" REGISTRY_CARD, folder);
    int status = registry_model_card(request, name, sha256, &card, error) ||
                         file_write(path, card.data, card.length, error)
                     ? -1
                     : 0;
    buffer_free(&card);
    return status;
}

/* Writes the version's folder under a temporary name, then gives it the first number that is free.
 */
static int write_version(const char *folder, const struct registry_request *request,
                         const char *name, const char *attempt, const char *data, size_t size,
                         char version[16], struct error *error)
{
    char part[4200], path[4400], id[256], sha256[HASH_HEX_SIZE];
    const char *file = path_base(request->model_path);
    int status = -1;
    json_t *state;
    if (local_state_read(folder, &state, error)) return -1;
    unsigned highest = highest_version(folder), last = local_state_last(state);
    json_decref(state);
    if (last > highest) highest = last; /* a deleted version's number is not given again */
    hash_bytes(data, size, sha256);
    snprintf(part, sizeof part, "%s/.part-XXXXXX", folder);
    if (!mkdtemp(part)) return error_set_errno(error, errno, "cannot write in %s", folder);
    snprintf(path, sizeof path, "%s/%s", part, file);
    if (file_write(path, data, size, error) || write_card(part, request, name, sha256, error))
        goto out;
    for (unsigned number = highest + 1; status && number < MAX_VERSION; number++) {
        char final[4200];
        snprintf(version, 16, "%u", number);
        snprintf(id, sizeof id, "%s:%u", name, number);
        json_t *model = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s?, s:O?}",
                                  "target", "local", "name", name, "version", version, "id", id,
                                  "file", file, "sha256", sha256, "attempt", attempt, "bytes",
                                  (json_int_t)size, "created_at", (json_int_t)clock_wall_ms(),
                                  "description", request->description, "tags", request->tags);
        char *text = js_dump_as(model, JSON_INDENT(2));
        json_decref(model);
        snprintf(path, sizeof path, "%s/model.json", part);
        int written = text ? file_write(path, text, strlen(text), error)
                           : error_set_memory(error, "model.json");
        free(text);
        if (written) goto out;
        snprintf(final, sizeof final, "%s/%u", folder, number);
        if (rename(part, final) == 0) {
            status = 0;
        } else if (errno != EEXIST && errno != ENOTEMPTY) {
            error_set_errno(error, errno, "cannot write %s", final);
            goto out;
        }
    }
out:
    if (status) {
        struct error ignored;
        file_remove_tree(part, &ignored);
    }
    return status;
}

/* The version that this attempt wrote before it was cut off; "" when there is none. */
static void find_attempt(const char *folder, const char *attempt, char version[16])
{
    for (unsigned number = highest_version(folder); number; number--) {
        char text[16];
        json_t *model;
        struct error ignored;
        snprintf(text, sizeof text, "%u", number);
        if (read_version(folder, text, &model, &ignored)) continue;
        const char *own = json_string_value(json_object_get(model, "attempt"));
        bool found = own && strcmp(own, attempt) == 0;
        json_decref(model);
        if (!found) continue;
        memcpy(version, text, sizeof text);
        return;
    }
}

/* What model.json does not say, and without what is nobody else's concern. */
static void add_place(json_t *model, const char *folder, const char *file)
{
    json_object_del(model, "attempt");
    json_object_set_new(model, "uri", json_string(file));
    json_object_set_new(model, "place", json_string(folder));
    json_object_set_new(model, "link", json_null());
}

static int publish(const struct registry_options *options, const struct registry_request *request,
                   const struct registry_watch *watch, json_t **out, struct error *error)
{
    char folder[4096], fallback[128], key[512], sha256[HASH_HEX_SIZE], version[16] = "", file[4400],
                                                                       attempt[64];
    struct progress progress = {0};
    char *data = NULL;
    size_t size;
    int status = -1, lock = -1;
    if (check(options, request, error)) return -1;
    registry_default_name(request, fallback);
    const char *name = request->name && *request->name ? request->name : fallback;
    if (model_folder(options, name, folder, error) ||
        file_read(request->model_path, MODEL_LIMIT, &data, &size, error))
        goto out;
    hash_bytes(data, size, sha256);
    snprintf(key, sizeof key, "local %s %s", name, sha256);
    if (progress_begin(&progress, watch, step_titles, request->journal, key, error)) goto out;
    progress_step(&progress, STEP_READ);
    progress_step(&progress, STEP_COPY);
    if (progress_attempt(&progress, attempt, error)) goto out;
    if (file_make_directories(folder, error) || take_folder(folder, &lock, error)) goto out;
    find_attempt(folder, attempt, version);
    if (!version[0] && write_version(folder, request, name, attempt, data, size, version, error))
        goto out;
    progress_step(&progress, STEP_READ_BACK);
    if (load_version(folder, version, out, error)) goto out;
    status = checked_file(folder, version, *out, file, error);
    if (status) {
        json_decref(*out);
        *out = NULL; /* the caller may let go of it, too */
        goto out;
    }
    add_place(*out, folder, file);
out:
    if (lock >= 0) close(lock);
    progress_end(&progress);
    free(data);
    return status;
}

static json_t *describe(const struct registry_options *options)
{
    return json_pack("{s:b, s:o, s:[], s:n}", "ready", 1, "place",
                     json_sprintf("%s/registry", options->home ? options->home : ""), "sign_in",
                     "problem");
}

/* Appends a model's versions, newest first, at most `most`. */
static int list_versions(const struct registry_options *options, const char *name, unsigned most,
                         json_t *rows, struct error *error)
{
    char folder[4096], version[16];
    if (model_folder(options, name, folder, error)) return -1;
    for (unsigned number = highest_version(folder); number && most; number--) {
        json_t *model;
        struct error ignored;
        snprintf(version, sizeof version, "%u", number);
        if (load_version(folder, version, &model, &ignored)) continue;
        json_object_del(model, "attempt");
        json_array_append_new(rows, model);
        most--;
    }
    return 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int list(const struct registry_options *options, const char *name, json_t **out,
                struct error *error)
{
    char registry[4096];
    struct dirent **entries = NULL;
    json_t *rows = json_array();
    int status = name ? list_versions(options, name, MAX_VERSION, rows, error) : 0;
    snprintf(registry, sizeof registry, "%s/registry", options->home);
    int count = name ? 0 : scandir(registry, &entries, NULL, compare_names);
    for (int i = 0; i < count; i++) {
        if (path_is_plain_name(entries[i]->d_name) && !status)
            status = list_versions(options, entries[i]->d_name, 1, rows, error);
        free(entries[i]);
    }
    free(entries);
    if (status) {
        json_decref(rows);
    } else {
        *out = rows;
    }
    return status;
}

/* The version of "@alias". */
static int find_alias(const json_t *state, const char *name, const char *alias, char chosen[16],
                      struct error *error)
{
    const char *version = json_string_value(
        json_object_get(json_object_get(state, "aliases"), alias));
    if (!version)
        return error_set(error, ERROR_NOT_FOUND,
                         "no version of %s has the alias \"%.60s\": see `nnstudio registry list "
                         "%s`",
                         name, alias, name);
    snprintf(chosen, 16, "%.15s", version);
    return 0;
}

/* The highest that is not archived. */
static int find_latest(const json_t *state, const char *name, const char *folder, char chosen[16],
                       struct error *error)
{
    char path[4200];
    for (unsigned number = highest_version(folder); number; number--) {
        snprintf(chosen, 16, "%u", number);
        snprintf(path, sizeof path, "%s/%s", folder, chosen);
        if (file_is_directory(path) && !local_state_archived(state, chosen)) return 0;
    }
    return error_set(error, ERROR_NOT_FOUND,
                     "every version of %s is archived: give --version, or restore one", name);
}

/* The version asked for, by its number or "@alias", or the latest. */
static int find(const struct registry_options *options, const char *name, const char *version,
                char folder[4096], char chosen[16], struct error *error)
{
    json_t *state;
    if (model_folder(options, name, folder, error)) return -1;
    if (!highest_version(folder))
        return error_set(error, ERROR_NOT_FOUND,
                         "no model %s is registered locally: see `nnstudio registry list`", name);
    if (local_state_read(folder, &state, error)) return -1;
    int status = 0;
    if (!version || !*version)
        status = find_latest(state, name, folder, chosen, error);
    else if (*version == '@')
        status = find_alias(state, name, version + 1, chosen, error);
    else
        snprintf(chosen, 16, "%.15s", version);
    json_decref(state);
    return status;
}

static int show(const struct registry_options *options, const char *name, const char *version,
                json_t **out, struct error *error)
{
    char folder[4096], chosen[16], file[4400];
    if (find(options, name, version, folder, chosen, error) ||
        load_version(folder, chosen, out, error))
        return -1;
    if (checked_file(folder, chosen, *out, file, error)) {
        json_decref(*out);
        *out = NULL; /* the caller may let go of it, too */
        return -1;
    }
    add_place(*out, folder, file);
    return 0;
}

static int pull(const struct registry_options *options, const char *name, const char *version,
                const char *directory, char **path, struct error *error)
{
    char folder[4096], chosen[16], file[4400];
    json_t *model;
    char *data = NULL;
    size_t size;
    if (find(options, name, version, folder, chosen, error) ||
        read_version(folder, chosen, &model, error))
        return -1;
    int status = checked_file(folder, chosen, model, file, error);
    json_decref(model);
    if (status || file_read(file, MODEL_LIMIT, &data, &size, error) ||
        file_make_directories(directory, error))
        return -1;
    *path = path_join(directory, path_base(file));
    status = *path ? file_write(*path, data, size, error) : error_set_memory(error, "a path");
    free(data);
    if (status) free(*path);
    return status;
}

/* Out of sight first, by its name; what a cut leaves, the next writer removes. */
static int remove_version(const char *folder, const char *version, struct error *error)
{
    char path[4200], part[4300];
    struct error ignored;
    snprintf(path, sizeof path, "%s/%s", folder, version);
    snprintf(part, sizeof part, "%s/.part-deleted-%s", folder, version);
    if (rename(path, part)) return error_set_errno(error, errno, "cannot remove %s", path);
    file_remove_tree(part, &ignored);
    return 0;
}

static int change(const struct registry_options *options, const struct registry_change *change,
                  struct error *error)
{
    char folder[4096];
    json_t *model = NULL, *state = NULL;
    int status = -1, lock = -1;
    if (model_folder(options, change->name, folder, error) ||
        read_version(folder, change->version, &model, error))
        return -1;
    if (take_folder(folder, &lock, error) || local_state_read(folder, &state, error)) goto out;
    unsigned highest = highest_version(folder);
    if (highest > local_state_last(state))
        json_object_set_new(state, "last", json_integer(highest));
    status = local_state_change(state, change, model, error) ||
                     local_state_write(folder, state, error) ||
                     (change->kind == REGISTRY_DELETE &&
                      remove_version(folder, change->version, error))
                 ? -1
                 : 0;
out:
    if (lock >= 0) close(lock);
    json_decref(state);
    json_decref(model);
    return status;
}

const struct registry_target registry_local = {
    .id = "local",
    .title = "This machine",
    .where = "on this machine",
    .describe = describe,
    .check = check,
    .publish = publish,
    .list = list,
    .show = show,
    .pull = pull,
    .changes = (1u << REGISTRY_CHANGES) - 1,
    .change = change,
};
