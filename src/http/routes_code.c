/* Code Diff and the step microscope: the training as code, a run as a bundle, one step under the
 * glass. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "code/bundle.h"
#include "code/code.h"
#include "code/microscope.h"
#include "engine/engine.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "run/settings.h"

#define PROGRAM_LIMIT ((size_t)4 << 20)

/* The voice that a parameter names; NULL when it is absent. */
static const struct code_voice *find_voice(const char *id)
{
    if (!id) return NULL;
    for (size_t i = 0; i < code_voice_count; i++)
        if (strcmp(code_voices[i]->id, id) == 0) return code_voices[i];
    CHECK(false && "a voice of the parameter's choices");
    return NULL;
}

/* What a voice is set beside unless another is named: the first of another engine in its
 * language. */
static const struct code_voice *counterpart(const struct code_voice *voice)
{
    for (size_t i = 0; i < code_voice_count; i++)
        if (code_voices[i]->engine != voice->engine &&
            strcmp(code_voices[i]->language, voice->language) == 0)
            return code_voices[i];
    return voice;
}

/* --- settings in the query --- */

static int read_job(const struct studio *studio, const struct call *call, struct job *job,
                    struct error *error)
{
    job_init(job);
    if (settings_take_texts(call_settings(call), job, error) || settings_check(job, false, error) ||
        library_resolve_job(studio->home, job, error))
        return -1;
    return job_check(job, error);
}

/* --- two voices: on a thread, for a user's own data set is opened to learn its shape --- */

struct comparing {
    struct job job;
    const struct code_voice *left, *right;
};

static int compare(const struct studio *studio, struct store *store, void *context, json_t **out,
                   struct error *error)
{
    (void)studio;
    (void)store;
    const struct comparing *comparing = context;
    struct code_subject subject;
    if (code_subject_of(&comparing->job, &subject, error)) return -1;
    return code_compare(comparing->left, comparing->right, &subject, out, error);
}

static void get_code(struct studio *studio, struct call *call)
{
    struct error error;
    struct comparing *comparing = calloc(1, sizeof *comparing);
    if (comparing && read_job(studio, call, &comparing->job, &error)) {
        free(comparing);
        call_fail(call, &error);
        return;
    }
    if (comparing) {
        const struct code_voice *left = find_voice(call_text(call, "left")),
                                *right = find_voice(call_text(call, "right"));
        if (!left) left = right ? counterpart(right) : code_voices[0];
        comparing->left = left;
        comparing->right = right ? right : counterpart(left);
    }
    call_compute(studio, call, compare, comparing);
}

/* --- a program, likewise --- */

struct programming {
    struct call *call;
    struct job job;
    const struct code_voice *voice;
    bool notebook, made;
    struct buffer text;
    struct error error;
};

static void write_program(struct store *store, void *context)
{
    (void)store;
    struct programming *programming = context;
    const struct code_voice *voice = programming->voice;
    struct error *error = &programming->error;
    struct code_subject subject;
    if (code_subject_of(&programming->job, &subject, error)) return;
    programming->made = programming->notebook
                            ? !code_notebook(voice, &subject, &programming->text, error)
                            : !code_program(voice, &subject, &programming->text, error);
}

static void send_program(void *context)
{
    struct programming *programming = context;
    const struct code_voice *voice = programming->voice;
    char header[128];
    if (programming->made) {
        snprintf(header, sizeof header, "attachment; filename=\"%s\"",
                 programming->notebook ? voice->notebook : voice->file);
        request_add_header(call_request(programming->call), "Content-Disposition", header);
        call_reply_bytes(programming->call, 200, "text/plain; charset=utf-8",
                         programming->text.data, programming->text.length);
    } else {
        call_fail(programming->call, &programming->error);
    }
    buffer_free(&programming->text);
    free(programming);
}

static int read_programming(const struct studio *studio, struct call *call,
                            struct programming *programming, struct error *error)
{
    programming->call = call;
    programming->voice = find_voice(call_text(call, "voice"));
    if (!programming->voice) programming->voice = code_voices[0];
    programming->notebook = strcmp(call_text(call, "format"), "notebook") == 0;
    buffer_init(&programming->text, PROGRAM_LIMIT);
    error_set(&programming->error, ERROR_UNAVAILABLE, "the studio is ending: start it again");
    if (programming->notebook && strcmp(programming->voice->language, "python") != 0)
        return error_set(error, ERROR_INPUT,
                         "a notebook holds Python: ask for a voice in Python, not for %s",
                         programming->voice->id);
    return read_job(studio, call, &programming->job, error);
}

static void get_program(struct studio *studio, struct call *call)
{
    struct error error;
    struct programming *programming = calloc(1, sizeof *programming);
    if (!programming)
        error_set_memory(&error, "the program");
    else if (!read_programming(studio, call, programming, &error) &&
             !offload_run(studio->offload, call, write_program, send_program, programming, &error))
        return;
    free(programming);
    call_fail(call, &error);
}

static void get_requirements(struct studio *studio, struct call *call)
{
    (void)studio;
    const char *text = code_requirements();
    request_add_header(call_request(call), "Content-Disposition",
                       "attachment; filename=\"requirements.txt\"");
    call_reply_bytes(call, 200, "text/plain; charset=utf-8", text, strlen(text));
}

/* --- the bundle: made on a thread, sent from the disk --- */

struct bundling {
    struct call *call;
    char run[64];
    char *folder, *path; /* owned: HOME/scratch and the file in it */
    bool made;
    struct error error;
};

static void make_bundle(struct store *store, void *context)
{
    struct bundling *bundling = context;
    if (!file_make_directories(bundling->folder, &bundling->error))
        bundling->made = !code_bundle_run(store, bundling->run, bundling->path, &bundling->error);
}

static void free_bundling(struct bundling *bundling)
{
    free(bundling->folder);
    free(bundling->path);
    free(bundling);
}

static void send_bundle(void *context)
{
    struct bundling *bundling = context;
    char header[128];
    if (bundling->made) {
        snprintf(header, sizeof header, "attachment; filename=\"%s.zip\"", bundling->run);
        request_add_header(call_request(bundling->call), "Content-Disposition", header);
        /* Once it is open, its name may go. */
        if (request_reply_file(call_request(bundling->call), bundling->path, "application/zip",
                               &bundling->error))
            call_fail(bundling->call, &bundling->error);
        unlink(bundling->path);
    } else {
        call_fail(bundling->call, &bundling->error);
    }
    free_bundling(bundling);
}

static struct bundling *create_bundling(const struct studio *studio, struct call *call)
{
    static unsigned number; /* of the loop alone */
    struct bundling *bundling = calloc(1, sizeof *bundling);
    if (!bundling) return NULL;
    bundling->call = call;
    snprintf(bundling->run, sizeof bundling->run, "%s", call_path(call, "id"));
    bundling->folder = path_join(studio->home, "scratch");
    if (asprintf(&bundling->path, "%s/scratch/bundle-%ld-%u.zip", studio->home, (long)getpid(),
                 number++) < 0)
        bundling->path = NULL;
    error_set(&bundling->error, ERROR_UNAVAILABLE, "the studio is ending: start it again");
    if (bundling->folder && bundling->path) return bundling;
    free_bundling(bundling);
    return NULL;
}

static void get_bundle(struct studio *studio, struct call *call)
{
    struct error error;
    struct bundling *bundling = create_bundling(studio, call);
    if (!bundling) {
        error_set_memory(&error, "the bundle");
    } else {
        if (!offload_run(studio->offload, call, make_bundle, send_bundle, bundling, &error)) return;
        free_bundling(bundling);
    }
    call_fail(call, &error);
}

/* --- the step microscope --- */

struct microscope_question {
    struct job job;
    char names[MICROSCOPE_MAX_ENGINES][32];
    size_t count;
    uint32_t batch;
};

static void read_engines(const json_t *list, struct microscope_question *looking)
{
    const json_t *name;
    size_t i;
    json_array_foreach(list, i, name) {
        CHECK(i < MICROSCOPE_MAX_ENGINES); /* each engine once */
        snprintf(looking->names[i], sizeof looking->names[i], "%s", json_string_value(name));
        looking->count = i + 1;
    }
}

/* The step starts from the weights of `run` when one is named, else from those that the seed
 * gives. */
static int read_looking(const struct studio *studio, const json_t *body,
                        struct microscope_question *looking, struct error *error)
{
    const char *run = NULL;
    if (js_get_string(body, "run", &run, error) ||
        js_get_u32(body, "batch", 0, UINT32_MAX, &looking->batch, error))
        return -1;
    read_engines(json_object_get(body, "engines"), looking);
    const json_t *given = json_object_get(body, "settings");
    json_t *settings = given ? json_copy((json_t *)(uintptr_t)given) : json_object();
    if (run && settings) json_object_set_new(settings, "from", json_string(run));
    int status = make_job(studio, studio->store, settings, engine_default->id, NULL, &looking->job,
                          error);
    json_decref(settings);
    return status;
}

static int look(const struct studio *studio, struct store *store, void *context, json_t **out,
                struct error *error)
{
    (void)store;
    const struct microscope_question *looking = context;
    const char *names[MICROSCOPE_MAX_ENGINES];
    for (size_t i = 0; i < looking->count; i++) names[i] = looking->names[i];
    char *scratch = path_join(studio->home, "scratch");
    if (!scratch) return error_set_memory(error, "a path");
    int status = code_microscope(&looking->job, names, looking->count, looking->batch, scratch, out,
                                 error);
    free(scratch);
    return status;
}

static void post_microscope(struct studio *studio, struct call *call)
{
    struct error error;
    struct microscope_question *looking = calloc(1, sizeof *looking);
    if (looking && read_looking(studio, call_body(call), looking, &error)) {
        free(looking);
        call_fail(call, &error);
    } else {
        call_compute(studio, call, look, looking);
    }
}

/* --- the table --- */

static const struct parameter code_parameters[] = {
    {"left", PARAMETER_FILTER, 0, 0, 0, "@VoiceId",
     "the left voice; the first framework's Python when absent"},
    {"right", PARAMETER_FILTER, 0, 0, 0, "@VoiceId",
     "the right voice; the second framework's Python when absent"},
    {0},
};
static const struct parameter program_parameters[] = {
    {"voice", PARAMETER_FILTER, 0, 0, 0, "@VoiceId", "which program"},
    {"format", PARAMETER_CHOICE, 0, 0, 0, "file notebook",
     "a program's file, or a Jupyter notebook"},
    {0},
};

static const struct route routes[] = {
    {"GET", "/api/code", get_code, "Two voices side by side, by stage", code_parameters, NULL,
     "CodeDiff", 200, ROUTE_SETTINGS},
    {"GET", "/api/code/program", get_program, "A program to take away", program_parameters, NULL,
     "text/plain", 200, ROUTE_RAW | ROUTE_SETTINGS},
    {"GET", "/api/code/requirements", get_requirements, "What pip needs for the programs", NULL,
     NULL, "text/plain", 200, ROUTE_RAW},
    {"GET", "/api/runs/{id}/bundle", get_bundle, "Everything of a run as a .zip", NULL, NULL,
     "application/zip", 200, ROUTE_RAW},
    {"POST", "/api/microscope", post_microscope,
     "One real step in several engines, every tensor compared", NULL, "Look", "Microscope", 200,
     ROUTE_CHANGES},
};
const struct route_group routes_code = ROUTE_GROUP("code", routes);
