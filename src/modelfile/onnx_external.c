#include "modelfile/onnx_external.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the model says of a tensor's place. */
struct external_place {
    const char *location;
    uint64_t offset, length;
    bool has_length;
};

static int read_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno || *end || end == text || *text == '-' || *out > INT64_MAX ? -1 : 0;
}

static int read_place(const Onnx__TensorProto *tensor, struct external_place *out,
                      struct error *error)
{
    const char *name = tensor->name ? tensor->name : "";
    *out = (struct external_place){0};
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const char *key = tensor->external_data[i]->key, *value = tensor->external_data[i]->value;
        int status = !key || !value ? -1 : 0;
        if (!status && strcmp(key, "location") == 0)
            out->location = value;
        else if (!status && strcmp(key, "offset") == 0)
            status = read_number(value, &out->offset);
        else if (!status && strcmp(key, "length") == 0)
            status = read_number(value, &out->length), out->has_length = true;
        else if (!status && strcmp(key, "checksum") != 0)
            status = -1;
        if (status)
            return error_set(error, ERROR_INPUT,
                             "the tensor %.80s has the unusable external data \"%.40s\": refused",
                             name, key ? key : "");
    }
    if (out->location && *out->location && !strchr(out->location, '/') &&
        !strchr(out->location, '\\') && strcmp(out->location, "..") != 0 &&
        strcmp(out->location, ".") != 0)
        return 0;
    return error_set(error, ERROR_INPUT,
                     "the tensor %.80s lies in \"%.80s\", outside the model's folder: refused: put "
                     "its file beside the model and save it with a plain name",
                     name, out->location ? out->location : "");
}

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* The real path of the data file, malloc'd; it must lie where the model really lies. */
static int find_file(const char *model_path, const char *location, char **out, struct error *error)
{
    char *beside = NULL, *model = realpath(model_path, NULL), *data = NULL;
    size_t folder = strrchr(model_path, '/') ? folder_length(model_path) + 1 : 0;
    int status = -1;
    if (!model || asprintf(&beside, "%.*s%s", (int)folder, model_path, location) < 0) {
        beside = NULL;
        error_set_memory(error, "a path");
        goto out;
    }
    data = realpath(beside, NULL);
    if (!data) {
        error_set(error, ERROR_INPUT,
                  "its weights lie in the file \"%.80s\", which is not beside it: put both in one "
                  "folder, or save the model in one file",
                  location);
        goto out;
    }
    size_t length = folder_length(model);
    if (folder_length(data) != length || memcmp(data, model, length) != 0) {
        error_set(error, ERROR_INPUT,
                  "its weights' file \"%.80s\" is a link to another folder: refused: put the file "
                  "itself beside the model",
                  location);
        goto out;
    }
    *out = data;
    data = NULL;
    status = 0;
out:
    free(beside);
    free(model);
    free(data);
    return status;
}

static int check_file(int file, const struct external_place *place, size_t size,
                      struct error *error)
{
    struct stat info;
    if (fstat(file, &info) || !S_ISREG(info.st_mode))
        return error_set(error, ERROR_INPUT, "its weights' file \"%.80s\" is not a regular file",
                         place->location);
    if (info.st_nlink > 1)
        return error_set(error, ERROR_INPUT,
                         "its weights' file \"%.80s\" is a hard link that has another name too: "
                         "refused: copy it",
                         place->location);
    if ((place->has_length && place->length != size) || place->offset > (uint64_t)info.st_size ||
        size > (uint64_t)info.st_size - place->offset)
        return error_set(error, ERROR_INPUT,
                         "its weights' file \"%.80s\" has %lld bytes, a tensor needs %zu from "
                         "byte %llu: the two files do not belong together, or one is cut short",
                         place->location, (long long)info.st_size, size,
                         (unsigned long long)place->offset);
    return 0;
}

static int read_bytes(int file, const struct external_place *place, char *out, size_t size,
                      struct error *error)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(file, out + done, size - done, (off_t)(place->offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return error_set_errno(error, got ? errno : EIO, "cannot read %s", place->location);
        done += (size_t)got;
    }
    return 0;
}

int onnx_external_read(const char *model_path, const Onnx__TensorProto *tensor, size_t size,
                       void **out, struct error *error)
{
    struct external_place place;
    char *path = NULL;
    int file = -1, status = -1;
    *out = NULL;
    if (read_place(tensor, &place, error) || find_file(model_path, place.location, &path, error))
        return -1;
    file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        error_set_errno(error, errno, "cannot read %s", place.location);
        goto out;
    }
    if (check_file(file, &place, size, error)) goto out;
    *out = malloc(size + 1);
    if (!*out)
        error_set_memory(error, "the weights");
    else
        status = read_bytes(file, &place, *out, size, error);
out:
    if (status) {
        free(*out);
        *out = NULL;
    }
    if (file >= 0) close(file);
    free(path);
    return status;
}
