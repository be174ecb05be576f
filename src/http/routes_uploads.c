/* Files from the page: sent in pieces, looked at, kept or thrown away. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "http/kept.h"
#include "http/library.h"
#include "http/offload.h"
#include "http/routes.h"
#include "http/upload.h"

static void post_upload(struct studio *studio, struct call *call)
{
    struct error error;
    struct upload *upload;
    const json_t *files = json_object_get(call_body(call), "files");
    if (upload_begin(studio->uploads, files, &upload, &error))
        call_fail(call, &error);
    else
        call_reply(call, 201, upload_json(upload));
}

static void get_upload(struct studio *studio, struct call *call)
{
    struct error error;
    const struct upload *upload = upload_find(studio->uploads, call_path(call, "upload"), &error);
    if (upload)
        call_reply(call, 200, upload_json(upload));
    else
        call_fail(call, &error);
}

static void put_piece(struct studio *studio, struct call *call)
{
    struct error error;
    size_t size;
    const char *bytes = request_body(call_request(call), &size);
    struct upload *upload = upload_find(studio->uploads, call_path(call, "upload"), &error);
    if (!upload || upload_take(upload, call_path(call, "file"),
                               (uint64_t)call_integer(call, "offset"), bytes, size, &error))
        call_fail(call, &error);
    else
        call_reply(call, 200, upload_json(upload));
}

static void delete_upload(struct studio *studio, struct call *call)
{
    struct error error;
    struct upload *upload = upload_find(studio->uploads, call_path(call, "upload"), &error);
    if (!upload) {
        call_fail(call, &error);
        return;
    }
    json_t *gone = upload_json(upload);
    upload_discard(studio->uploads, upload);
    call_reply(call, 200, gone);
}

/* --- looking and keeping, on a thread --- */

struct looking {
    struct studio *studio;
    struct call *call;
    struct upload *upload;
    struct upload_answers answers;
    bool keep;
    char name[128];
    json_t *value;
    struct error error;
};

/* A text of the body into a place of that size; the schema has its greatest length in characters,
 * which may be of several bytes. */
static int take_text(const json_t *body, const char *key, char *out, size_t size,
                     struct error *error)
{
    const char *text = "";
    if (js_get_string(body, key, &text, error)) return -1;
    if (strlen(text) >= size)
        return error_set(error, ERROR_INPUT, "\"%s\" has %zu bytes: the most is %zu", key,
                         strlen(text), size - 1);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int take_answers(const json_t *body, struct looking *looking, struct error *error)
{
    struct upload_answers *answers = &looking->answers;
    if (take_text(body, "label_column", answers->label_column, sizeof answers->label_column,
                  error) ||
        take_text(body, "activation", answers->activation, sizeof answers->activation, error) ||
        take_text(body, "order", answers->order, sizeof answers->order, error) ||
        take_text(body, "key", answers->key, sizeof answers->key, error) ||
        take_text(body, "name", looking->name, sizeof looking->name, error))
        return -1;
    return js_get_real(body, "scale", 0, 1e6, &answers->scale, error);
}

static void look_work(struct store *store, void *context)
{
    struct looking *looking = context;
    (void)store;
    int status = looking->keep ? upload_keep(looking->upload, looking->studio->home, looking->name,
                                             &looking->answers, &looking->value, &looking->error)
                               : upload_look(looking->upload, &looking->answers, &looking->value,
                                             &looking->error);
    if (status) looking->value = NULL;
}

/* Its owner may have removed data of that name by hand: what was read of it is not this. */
static void forget_old(const struct looking *looking)
{
    struct error ignored;
    char *path;
    const char *name = json_string_value(json_object_get(looking->value, "name"));
    if (library_resolve(looking->studio->home, name, &path, &ignored)) return;
    library_forget(looking->studio->library, path);
    free(path);
}

static void look_done(void *context)
{
    struct looking *looking = context;
    struct uploads *uploads = looking->studio->uploads;
    bool kept = looking->keep && looking->value;
    if (kept) {
        atomic_store(&looking->upload->stop, true); /* nothing is left to look at */
        if (looking->upload->kind == UPLOAD_DATA) forget_old(looking);
    }
    upload_free_again(uploads, looking->upload);
    if (looking->value)
        call_reply(looking->call, call_route(looking->call)->status, looking->value);
    else
        call_fail(looking->call, &looking->error);
    free(looking);
}

static struct upload *find_ready(struct studio *studio, struct call *call, struct error *error)
{
    struct upload *upload = upload_find(studio->uploads, call_path(call, "upload"), error);
    if (!upload) return NULL;
    if (upload_complete(upload) && !upload->busy) return upload;
    error_set(error, ERROR_CONFLICT,
              upload->busy ? "the files are being looked at: wait for the answer"
                           : "the files have not come whole yet: send the rest first");
    return NULL;
}

static void look(struct studio *studio, struct call *call, bool keep)
{
    struct error error;
    struct looking *looking = calloc(1, sizeof *looking);
    struct upload *upload = find_ready(studio, call, &error);
    if (!looking) error_set_memory(&error, "an upload");
    if (looking && upload && !take_answers(call_body(call), looking, &error)) {
        looking->studio = studio;
        looking->call = call;
        looking->upload = upload;
        looking->keep = keep;
        error_set(&looking->error, ERROR_UNAVAILABLE, "the studio is ending: start it again");
        upload->busy = true;
        if (!offload_run(studio->offload, call, look_work, look_done, looking, &error)) return;
        upload->busy = false;
    }
    free(looking);
    call_fail(call, &error);
}

static void post_look(struct studio *studio, struct call *call)
{
    look(studio, call, false);
}

static void post_keep(struct studio *studio, struct call *call)
{
    look(studio, call, true);
}

/* --- models that were kept --- */

static int compute_models(const struct studio *studio, struct store *store, void *context,
                          json_t **out, struct error *error)
{
    (void)store;
    (void)context;
    *out = kept_models_json(studio->home);
    return *out ? 0 : error_set_memory(error, "the models");
}

static void get_models(struct studio *studio, struct call *call)
{
    call_compute(studio, call, compute_models, calloc(1, 1));
}

static void reply_kept(struct call *call, int failed, const struct error *error)
{
    if (failed)
        call_fail(call, error);
    else
        call_reply(call, 200,
                   json_pack("{s:s, s:s}", "kind", "model", "name", call_path(call, "model")));
}

static void delete_model(struct studio *studio, struct call *call)
{
    struct error error;
    reply_kept(call, kept_delete(studio->home, KEPT_MODEL, call_path(call, "model"), &error),
               &error);
}

static void post_restore_model(struct studio *studio, struct call *call)
{
    struct error error;
    reply_kept(call, kept_restore(studio->home, KEPT_MODEL, call_path(call, "model"), &error),
               &error);
}

static const struct parameter piece_parameters[] = {
    {"offset", PARAMETER_INTEGER, 0, (int64_t)UPLOAD_BYTES_MAX, 0, NULL,
     "bytes of the file that have come before"},
    {0},
};

static const struct route routes[] = {
    {"POST", "/api/uploads", post_upload, "Say which files are to come; they are checked by name",
     NULL, "NewUpload", "Upload", 201, ROUTE_CHANGES},
    {"GET", "/api/uploads/{upload}", get_upload, "How far an upload is", NULL, NULL, "Upload", 200,
     0},
    {"PUT", "/api/uploads/{upload}/files/{file}", put_piece, "The next piece of a file",
     piece_parameters, NULL, "Upload", 200, ROUTE_BYTES},
    {"POST", "/api/uploads/{upload}/look", post_look,
     "What is in the files, and what they leave open; nothing is kept", NULL, "UploadAnswers",
     "UploadLook", 200, ROUTE_CHANGES},
    {"POST", "/api/uploads/{upload}/keep", post_keep,
     "Keep the files in the studio's home, under a free name", NULL, "KeepUpload", "KeptUpload",
     200, ROUTE_CHANGES},
    {"DELETE", "/api/uploads/{upload}", delete_upload, "Throw an upload away", NULL, NULL, "Upload",
     200, 0},
    {"GET", "/api/models", get_models, "Model files that were kept", NULL, NULL, "KeptModels", 200,
     0},
    {"DELETE", "/api/models/{model}", delete_model,
     "Delete a model file that was kept; can be undone for a day", NULL, NULL, "KeptUpload", 200,
     0},
    {"POST", "/api/models/{model}/restore", post_restore_model, "Undo a deletion", NULL, "Nothing",
     "KeptUpload", 200, ROUTE_CHANGES},
};
const struct route_group routes_uploads = ROUTE_GROUP("uploads", routes);
