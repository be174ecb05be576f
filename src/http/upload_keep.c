/* Keeping files that came from the page. All of it runs on threads. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "data/choices.h"
#include "http/upload_impl.h"

int upload_move(const char *from, const char *to, struct error *error)
{
    if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE)) return 0;
    if (errno == EINVAL && !file_exists(to) && !rename(from, to)) return 0;
    if (errno == EEXIST || file_exists(to))
        return error_set(error, ERROR_CONFLICT, "\"%s\" is there already: choose another name",
                         path_base(to));
    return error_set_errno(error, errno, "cannot keep %s", to);
}

/* HOME/FOLDER/NAME; the folder is made. */
static char *place_for(const char *home, const char *folder, const char *name, struct error *error)
{
    char *above = path_join(home, folder), *path = above ? path_join(above, name) : NULL;
    if (!path) error_set_memory(error, "a path");
    if (path && file_make_directories(above, error)) {
        free(path);
        path = NULL;
    }
    free(above);
    return path;
}

/* A single file keeps the ending that tells what it is. */
static void with_ending(const char *name, const char *file, char out[128])
{
    const char *ending = path_extension(file);
    bool has = !*ending || upload_ends_in(name, ending);
    snprintf(out, 128, "%s%s%s", name, has ? "" : ".", has ? "" : ending);
}

static int keep_data(const struct upload_subject *subject, const char *home, const char *name,
                     const struct upload_answers *answers, char kept[128], struct error *error)
{
    struct dataset_choices choices = {.scale = answers->scale};
    snprintf(choices.label_column, sizeof choices.label_column, "%s", answers->label_column);
    if (file_is_directory(subject->path))
        snprintf(kept, 128, "%s", name);
    else
        with_ending(name, subject->path, kept);
    if (dataset_find(kept))
        return error_set(error, ERROR_CONFLICT,
                         "\"%s\" is the name of a known data set: choose another", kept);
    char *path = place_for(home, "data", kept, error);
    if (!path) return -1;
    int status = file_exists(path) ? error_set(error, ERROR_CONFLICT,
                                               "\"%s\" is there already: choose another name", kept)
                                   : 0;
    if (!status) status = upload_move(subject->path, path, error);
    if (!status && dataset_choices_write(path, &choices, error)) {
        rename(path, subject->path); /* back to where it is thrown away from */
        status = -1;
    }
    free(path);
    return status;
}

/* As it came; what its user said of it is written into a new file, which says it from now on. */
static int keep_model(const struct upload *upload, const struct upload_subject *subject,
                      const char *home, const char *name, bool said, char kept[128],
                      struct error *error)
{
    bool folder = !said && upload->count > 1;
    if (!model_activation_known(subject->model))
        return error_set(error, ERROR_INPUT,
                         "the file does not say its activations: choose them under “Activation”");
    const char *ending = modelfile_format_find(subject->model->format)->extensions;
    char file[128];
    snprintf(file, sizeof file, "x.%.*s", (int)strcspn(ending, " "), ending);
    with_ending(name, said ? file : subject->path, kept);
    if (folder) snprintf(kept, 128, "%s", name);
    char *path = place_for(home, "models", kept, error);
    if (!path) return -1;
    int status = file_exists(path) ? error_set(error, ERROR_CONFLICT,
                                               "\"%s\" is there already: choose another name", kept)
                 : said            ? modelfile_write(path, subject->model, error)
                        : upload_move(folder ? upload->files : subject->path, path, error);
    free(path);
    return status;
}

int upload_keep(struct upload *upload, const char *home, const char *name,
                const struct upload_answers *answers, json_t **out, struct error *error)
{
    struct upload_subject subject;
    char kept[128] = "";
    const char *asks;
    bool model = upload->kind == UPLOAD_MODEL;
    bool said = answers->activation[0] || answers->order[0] || answers->key[0];
    int status = -1;
    if (!path_is_plain_name(name))
        return error_set(error, ERROR_INPUT,
                         "\"%.60s\" is not a valid name: use 1 to 100 letters, digits, '.', '_' "
                         "and '-', with no dot or '-' in front and no dot at the end",
                         name);
    if (subject_open(upload, answers, &subject, error))
        upload_reword(upload, error, &asks);
    else
        status = model ? keep_model(upload, &subject, home, name, said, kept, error)
                       : keep_data(&subject, home, name, answers, kept, error);
    if (!status) {
        *out = json_pack("{s:s, s:s}", "kind", model ? "model" : "data", "name", kept);
        if (!*out) status = error_set_memory(error, "the answer");
    }
    subject_close(&subject);
    return status;
}
