#include "registry/mlflow/track_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "registry/mlflow/server.h"

#define STATE_LIMIT ((size_t)1 << 20)

static int state_path(const char *home, const char *run, char out[4400])
{
    if (!path_is_plain_name(run)) return -1;
    return (size_t)snprintf(out, 4400, "%s/runs/%s/tracking.json", home, run) < 4400 ? 0 : -1;
}

json_t *registry_track_state(const char *home, const char *run)
{
    char path[4400];
    json_t *kept;
    struct error ignored;
    if (state_path(home, run, path) || !file_exists(path) ||
        js_read_object(path, STATE_LIMIT, &kept, &ignored))
        return NULL;
    return kept;
}

/* Held until the process ends: one at a time sends a run. */
static int take_lock(struct track_state *state, struct error *error)
{
    char path[4420];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(path, sizeof path, "%s/tracking.lock", state->folder);
    state->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (state->lock < 0) return error_set(error, ERROR_IO, "%s cannot be written", path);
    if (fcntl(state->lock, F_OFD_SETLK, &whole) == 0) return 0;
    return error_set(error, ERROR_CONFLICT,
                     "this run is being sent already: wait until that has ended");
}

/* The options that lead to the server again, none of them a secret. */
static json_t *options_json(const struct registry_options *options)
{
    static const enum registry_key kept[] = {REGISTRY_EXPERIMENT, REGISTRY_INSECURE_HTTP,
                                             REGISTRY_CA_FILE};
    json_t *out = json_object();
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const char *value = registry_given(options, kept[i]);
        if (value) json_object_set_new(out, registry_option_table[kept[i]].key, json_string(value));
    }
    return out;
}

int track_state_open(struct track_state *state, const struct registry_options *options,
                     const char *uri, const char *run, struct error *error)
{
    *state = (struct track_state){.lock = -1};
    if (state_path(options->home, run, state->path))
        return error_set(error, ERROR_USAGE,
                         "\"%.60s\" is not a run's id: see `nnstudio runs list`", run);
    snprintf(state->folder, sizeof state->folder, "%.*s",
             (int)(path_base(state->path) - state->path - 1), state->path);
    if (file_make_directories(state->folder, error) || take_lock(state, error)) return -1;
    state->kept = registry_track_state(options->home, run);
    if (!state->kept)
        state->kept = json_pack("{s:i, s:i, s:b, s:n}", "steps", 0, "all_steps", 0, "complete", 0,
                                "problem");
    if (!state->kept || json_object_set_new(state->kept, "uri", json_string(uri)))
        return error_set_memory(error, "the tracking");
    json_object_set_new(state->kept, "options", options_json(options));
    return 0;
}

int track_state_write(const struct track_state *state, struct error *error)
{
    char *text = js_dump_as(state->kept, JSON_INDENT(2));
    int status = text ? file_write(state->path, text, strlen(text), error)
                      : error_set_memory(error, "the tracking");
    free(text);
    return status;
}

void track_state_close(struct track_state *state)
{
    if (state->lock >= 0) close(state->lock);
    json_decref(state->kept);
    *state = (struct track_state){.lock = -1};
}

int registry_track_plan(const struct registry_options *options, const char *run,
                        struct error *error)
{
    struct track_state state;
    char uri[512];
    if (mlflow_server_uri(options, true, uri, error)) return -1;
    int status = track_state_open(&state, options, uri, run, error);
    if (!status) {
        json_object_set_new(state.kept, "complete", json_false()); /* one that goes on has more */
        status = track_state_write(&state, error);
    }
    track_state_close(&state);
    return status;
}

void registry_track_options(const json_t *state, struct registry_options *options)
{
    const json_t *kept = json_object_get(state, "options");
    for (unsigned key = 0; key < REGISTRY_KEYS; key++)
        if (!registry_given(options, key))
            options->values[key] = json_string_value(
                json_object_get(kept, registry_option_table[key].key));
    if (!registry_given(options, REGISTRY_TRACKING_URI))
        options->values[REGISTRY_TRACKING_URI] = json_string_value(json_object_get(state, "uri"));
}

json_t *track_state_told(const json_t *kept, const char *run, const char *state)
{
    return json_pack(
        "{s:s, s:s, s:O?, s:O?, s:I, s:I, s:b, s:O?, s:O?}", "run", run, "state", state, "uri",
        json_object_get(kept, "uri"), "link", json_object_get(kept, "link"), "steps",
        json_integer_value(json_object_get(kept, "steps")), "all_steps",
        json_integer_value(json_object_get(kept, "all_steps")), "complete",
        (int)json_is_true(json_object_get(kept, "complete")), "problem",
        json_object_get(kept, "problem"), "model_problem", json_object_get(kept, "model"));
}

/* Whether a process holds the lock; this one's own trackers count. */
static bool is_sending(const char *home, const char *run)
{
    char path[4420];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(path, sizeof path, "%s/runs/%s/tracking.lock", home, run);
    int file = open(path, O_RDWR | O_CLOEXEC);
    bool held = file >= 0 && fcntl(file, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    if (file >= 0) close(file);
    return held;
}

json_t *registry_track_told(const char *home, const char *run)
{
    json_t *kept = registry_track_state(home, run);
    const char *state = !kept                                             ? "off"
                        : is_sending(home, run)                           ? "sending"
                        : json_is_true(json_object_get(kept, "complete")) ? "sent"
                                                                          : "waiting";
    json_t *told = track_state_told(kept, run, state);
    json_decref(kept);
    return told;
}

json_t *registry_track_pending(const char *home)
{
    char folder[4200];
    json_t *list = json_array();
    snprintf(folder, sizeof folder, "%s/runs", home);
    DIR *directory = opendir(folder);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        json_t *kept = entry->d_name[0] == '.' ? NULL : registry_track_state(home, entry->d_name);
        if (kept && !json_is_true(json_object_get(kept, "complete")))
            json_array_append_new(list, json_string(entry->d_name));
        json_decref(kept);
    }
    if (directory) closedir(directory);
    return list;
}
