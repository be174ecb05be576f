#include "data/choices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"

#define FILE_MAX ((size_t)4096)

/* malloc'd; NULL when memory is out. */
static char *file_beside(const char *path)
{
    char *out;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    size_t start = length;
    while (start > 0 && path[start - 1] != '/') start--;
    if (asprintf(&out, "%.*s.%.*s.json", (int)start, path, (int)(length - start), path + start) < 0)
        return NULL;
    return out;
}

static int take(const json_t *value, const char *file, struct dataset_choices *out,
                struct error *error)
{
    const char *column = "";
    if (js_get_string(value, "label_column", &column, error) ||
        js_get_real(value, "scale", 0, 1e6, &out->scale, error))
        return -1;
    size_t length = strlen(column);
    if (length >= sizeof out->label_column)
        return error_set(error, ERROR_INPUT,
                         "%s: the label column has %zu bytes, the most is %zu: remove the file",
                         file, length, sizeof out->label_column - 1);
    memcpy(out->label_column, column, length + 1);
    return 0;
}

int dataset_choices_read(const char *path, struct dataset_choices *out, struct error *error)
{
    json_t *value = NULL;
    *out = (struct dataset_choices){0};
    char *file = file_beside(path);
    if (!file) return error_set_memory(error, "a path");
    int status = 0;
    if (file_exists(file)) {
        status = js_read_object(file, FILE_MAX, &value, error);
        if (!status) status = take(value, file, out, error);
    }
    json_decref(value);
    free(file);
    return status;
}

int dataset_choices_write(const char *path, const struct dataset_choices *choices,
                          struct error *error)
{
    char *file = file_beside(path), *text = NULL;
    if (file && !choices->label_column[0] && choices->scale == 0) {
        int status = unlink(file) && errno != ENOENT
                         ? error_set_errno(error, errno, "cannot remove %s", file)
                         : 0;
        free(file);
        return status;
    }
    json_t *value = json_object();
    if (choices->label_column[0])
        json_object_set_new(value, "label_column", json_string(choices->label_column));
    if (choices->scale != 0) json_object_set_new(value, "scale", json_real(choices->scale));
    if (file && value) text = js_dump(value);
    int status = text ? file_write(file, text, strlen(text), error)
                      : error_set_memory(error, "the choices");
    json_decref(value);
    free(text);
    free(file);
    return status;
}

int dataset_choices_move(const char *from, const char *to, struct error *error)
{
    char *before = file_beside(from), *after = file_beside(to);
    int status = -1;
    if (!before || !after)
        error_set_memory(error, "a path");
    else if (file_exists(before) ? rename(before, after) : unlink(after) && errno != ENOENT)
        error_set_errno(error, errno, "cannot move %s", before);
    else
        status = 0;
    free(before);
    free(after);
    return status;
}
