/* What a command job left in its output: the run's folder, as the ranks' home had it, and the
 * model. It is made ready beside the home's runs and becomes one of them whole. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "registry/azure/job.h"
#include "run/job.h"

#define MOST_FILES 2000
#define JOB_LIMIT  ((size_t)1 << 20)

struct results {
    struct az_connection *connection;
    const struct registry_options *options;
    char place[200]; /* the output's path in the datastore, ended by '/' */
    json_t *files;   /* owned: [[path below `place`, bytes]] */
    char run[64];    /* "": none */
    char model[128]; /* its file's name; "": none */
    uint64_t total, done;
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* The name behind `folder`, when that is all there is: "model/" and "model/a.pth". */
static const char *only_file(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path_is_plain_name(path + length) ? path + length
                                                                                   : NULL;
}

/* Every part of it a plain name: nothing that a storage says leads out of a folder. */
static bool is_inside(const char *path)
{
    char part[256];
    for (const char *from = path; *from;) {
        size_t length = strcspn(from, "/");
        if (length >= sizeof part) return false;
        snprintf(part, sizeof part, "%.*s", (int)length, from);
        if (!path_is_plain_name(part)) return false;
        from += length + (from[length] == '/');
    }
    return *path != '\0';
}

/* A blob is of the run ("home/runs/RUN/…"), the model ("model/NAME"), or of no interest: the home's
 * database, locks. */
static int note_blob(void *context, const char *path, int64_t size, struct error *error)
{
    struct results *own = context;
    static const char runs[] = "home/runs/";
    size_t length = strlen(own->place);
    if (strncmp(path, own->place, length) != 0) return 0;
    path += length;
    const char *model = only_file(path, "model/");
    if (strncmp(path, runs, sizeof runs - 1) == 0) {
        char run[sizeof own->run];
        const char *rest = path + sizeof runs - 1;
        size_t name = strcspn(rest, "/");
        if (!rest[name] || name >= sizeof run || !is_inside(rest) ||
            strcmp(path_base(rest), "lock") == 0)
            return 0;
        snprintf(run, sizeof run, "%.*s", (int)name, rest);
        if (*own->run && strcmp(own->run, run) != 0)
            return error_set(error, ERROR_INPUT,
                             "the job left more than one run (%s, %s): take them from %s", own->run,
                             run, own->place);
        snprintf(own->run, sizeof own->run, "%s", run);
    } else if (model && strlen(model) < sizeof own->model) {
        snprintf(own->model, sizeof own->model, "%s", model);
    } else {
        return 0;
    }
    if (json_array_size(own->files) >= MOST_FILES)
        return error_set(error, ERROR_INPUT, "the job left more than %d files: take them from %s",
                         MOST_FILES, own->place);
    own->total += (uint64_t)(size > 0 ? size : 0);
    return json_array_append_new(own->files, json_pack("[s, I]", path, (json_int_t)size))
               ? error_set_memory(error, "a list of files")
               : 0;
}

/* Where a file lies below the new run's folder. */
static const char *place_of(const struct results *own, const char *path)
{
    const char *model = only_file(path, "model/");
    return model ? model : path + strlen("home/runs/") + strlen(own->run) + 1;
}

static int fetch(struct results *own, const char *folder, const json_t *file, struct error *error)
{
    char blob[1400],
        *path = path_join(folder, place_of(own, json_string_value(json_array_get(file, 0))));
    struct file_writer writer = {0};
    int status = -1;
    if (!path) return error_set_memory(error, "a path");
    char *slash = strrchr(path, '/');
    snprintf(blob, sizeof blob, "%s%s", own->place, json_string_value(json_array_get(file, 0)));
    *slash = '\0';
    status = file_make_directories(path, error);
    *slash = '/';
    if (!status)
        status = file_create(path, &writer, error) ||
                         blob_get(&own->connection->account, blob, writer.stream, error) ||
                         file_commit(&writer, error)
                     ? -1
                     : 0;
    file_abort(&writer);
    free(path);
    own->done += (uint64_t)json_integer_value(json_array_get(file, 1));
    if (!status && own->total) own->progress(own->context, own->done, own->total);
    return status;
}

/* The job of the run, whose paths are the other machine's: they become this home's. */
static int move_job(const struct results *own, const char *folder, struct error *error)
{
    json_t *value = NULL;
    char *path = path_join(folder, "job.json"), *text = NULL, run_dir[JOB_PATH_MAX];
    int status = -1;
    if (!path) return error_set_memory(error, "a path");
    if (js_read_object(path, JOB_LIMIT, &value, error)) goto out;
    if ((size_t)snprintf(run_dir, sizeof run_dir, "%s/runs/%s", own->options->home, own->run) >=
        sizeof run_dir) {
        error_set(error, ERROR_INPUT, "the path of the home folder is too long");
        goto out;
    }
    json_object_set_new(value, "home", json_string(own->options->home));
    json_object_set_new(value, "run_dir", json_string(run_dir));
    json_object_set_new(value, "out_dir", json_string(run_dir));
    json_object_set_new(value, "resume", json_string(""));
    json_object_del(value, "ranks");
    text = js_dump_as(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    status = text ? file_write(path, text, strlen(text), error)
                  : error_set_memory(error, "the job");
out:
    json_decref(value);
    free(text);
    free(path);
    return status;
}

/* All files into a folder beside the home's runs, which then gets its name among them. */
static int bring(struct results *own, const char *target, struct error *error)
{
    struct file_scratch scratch = {.lock = -1};
    size_t i;
    json_t *file;
    int status = file_scratch_create(target, &scratch, error);
    char *folder = status ? NULL : path_join(scratch.folder, own->run);
    if (!status && !folder) status = error_set_memory(error, "a path");
    if (!status) own->progress(own->context, 0, own->total);
    json_array_foreach(own->files, i, file)
        if (!status) status = fetch(own, folder, file, error);
    if (!status)
        status = move_job(own, folder, error) || file_scratch_deliver(&scratch, target, error) ? -1
                                                                                               : 0;
    free(folder);
    file_scratch_remove(&scratch);
    return status;
}

/* The database is opened first: one that is missing is not made beside folders of runs. */
static int take(struct results *own, const char *runs, char **run, char **model,
                struct error *error)
{
    struct store *store = NULL;
    char *target = path_join(runs, own->run);
    *run = strdup(own->run);
    *model = target && *own->model ? path_join(target, own->model) : NULL;
    int status = target && *run && (*model || !*own->model) ? 0 : error_set_memory(error, "a path");
    if (!status) status = store_open(own->options->home, &store, error);
    /* one that is there was brought before */
    if (!status && !file_exists(target)) status = bring(own, target, error);
    if (!status) status = store_take_run(store, own->run, *model, error);
    store_close(store);
    free(target);
    return status;
}

int az_job_results(struct az_connection *connection, const struct registry_options *options,
                   const char *job, const char *datastore,
                   void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                   char **run, char **model, struct error *error)
{
    struct results own = {.connection = connection,
                          .options = options,
                          .progress = progress,
                          .context = context,
                          .files = json_array()};
    char runs[JOB_PATH_MAX];
    *run = *model = NULL;
    snprintf(own.place, sizeof own.place, AZ_JOB_PLACE "/%.120s/", job);
    snprintf(runs, sizeof runs, "%s/runs", options->home);
    if (!own.files) return error_set_memory(error, "a list of files");
    int status = az_connection_datastore(connection, datastore, error) ||
                         az_connection_access(connection, error) ||
                         file_make_directories(runs, error) ||
                         blob_list(&connection->account, own.place, note_blob, &own, error) ||
                         (*own.run && take(&own, runs, run, model, error))
                     ? -1
                     : 0;
    blob_account_clear(&connection->account);
    json_decref(own.files);
    return status;
}
