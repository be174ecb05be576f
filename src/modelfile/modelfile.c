#include "modelfile/modelfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "modelfile/formats.h"

#define KNOWN_FORMATS ".pth, .h5, .keras, .safetensors or .onnx"

const struct modelfile_format *const modelfile_table[] = {
    &modelfile_pth, &modelfile_h5, &modelfile_keras, &modelfile_safetensors, &modelfile_onnx,
};
const size_t modelfile_table_count = sizeof modelfile_table / sizeof *modelfile_table;

const struct modelfile_format *modelfile_format_find(const char *id)
{
    for (size_t i = 0; i < modelfile_table_count; i++)
        if (strcmp(modelfile_table[i]->id, id) == 0) return modelfile_table[i];
    return NULL;
}

static const struct modelfile_format *format_by_name(const char *path)
{
    const char *extension = path_extension(path);
    size_t length = strlen(extension);
    for (size_t i = 0; length && i < modelfile_table_count; i++) {
        const char *word = modelfile_table[i]->extensions;
        while (*word) {
            size_t size = strcspn(word, " ");
            if (size == length && strncasecmp(word, extension, size) == 0)
                return modelfile_table[i];
            word += size + strspn(word + size, " ");
        }
    }
    return NULL;
}

#define TAR_MAGIC_AT 257

/* What the first bytes say. */
struct signature {
    const char *bytes;
    size_t length;
    const char *id; /* the format, or NULL: refused with `refusal` */
    const char *refusal;
};

static const struct signature signatures[] = {
    {"PK\x03\x04", 4, "pth", NULL},
    {"\x89HDF\r\n\x1a\n", 8, "h5", NULL},
    {"\x80\x02\x8a\x0al\xfc\x9c"
     "F\xf9 j\xa8P\x19.",
     15, "pth", NULL},
    {"\x80", 1, NULL,
     "is a bare pickle: save the weights in Python with torch.save(model.state_dict(), "
     "\"model.pth\")"},
    {"\x1f\x8b", 2, NULL, "is compressed with gzip: unpack it first"},
    {"\x93NUMPY", 6, NULL, "is a NumPy array, not a model: save the weights as .safetensors"},
    {"GGUF", 4, NULL, "is a GGUF file: the studio reads .safetensors and .onnx of such models"},
    {"version https://git-lfs", 23, NULL,
     "is only a pointer to a file in Git LFS: fetch it with git lfs pull"},
    {"\x7f"
     "ELF",
     4, NULL, "is a program, not a model"},
    {"<", 1, NULL, "is a web page or XML, not a model: download the file itself"},
};

/* A zip's first record tells Keras's archive and NumPy's from PyTorch's. */
static int sniff_zip(const char *path, const unsigned char *head, size_t size, const char **id,
                     struct error *error)
{
    const char *name = (const char *)head + 30;
    size_t length = size > 30 ? (size_t)head[26] | (size_t)head[27] << 8 : 0;
    if (length > size - 30) length = size - 30;
    if ((length == 13 && memcmp(name, "metadata.json", 13) == 0) ||
        (length == 11 && memcmp(name, "config.json", 11) == 0))
        *id = "keras";
    if (length > 4 && memcmp(name + length - 4, ".npy", 4) == 0)
        return error_set(error, ERROR_INPUT,
                         "%s is a NumPy archive (.npz) of arrays: save the weights as .safetensors "
                         "(safetensors.numpy.save_file)",
                         path);
    return 0;
}

static int sniff(const char *path, const unsigned char *head, size_t size, const char **id,
                 struct error *error)
{
    *id = NULL;
    if (!size) return error_set(error, ERROR_INPUT, "%s is empty: give a model file", path);
    if (size > 8 && !memcmp(head + 4, "TFL3", 4))
        return error_set(error, ERROR_INPUT,
                         "%s is a TensorFlow Lite model: convert the Keras model it was made of",
                         path);
    if (size > TAR_MAGIC_AT + 5 && !memcmp(head + TAR_MAGIC_AT, "ustar", 5))
        return error_set(error, ERROR_INPUT,
                         "%s is a tar archive: unpack it and give the model file in it (one that "
                         "PyTorch saved so before 0.1.10: load it there and save it again)",
                         path);
    if (head[0] == '{' && strstr(path, ".index.json")) {
        *id = "safetensors";
        return 0;
    }
    /* Eight bytes of a length below 2^32, then JSON. */
    if (size > 8 && head[8] == '{' && !memcmp(head + 4, "\0\0\0\0", 4)) {
        *id = "safetensors";
        return 0;
    }
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const struct signature *known = &signatures[i];
        if (size < known->length || memcmp(head, known->bytes, known->length) != 0) continue;
        if (!known->id) return error_set(error, ERROR_INPUT, "%s %s", path, known->refusal);
        *id = known->id;
        return i == 0 ? sniff_zip(path, head, size, id, error) : 0;
    }
    /* Protocol buffers have no signature; ONNX's first field is ir_version, a small number. */
    if (size > 2 && head[0] == 0x08 && head[1] > 0 && head[1] < 64) *id = "onnx";
    return 0;
}

int modelfile_format_for_reading(const char *path, const struct modelfile_format **out,
                                 struct error *error)
{
    unsigned char head[512];
    const char *id;
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return error_set(error, ERROR_INPUT,
                         "%s is a folder: name a model file (a SavedModel: save it with "
                         "model.save(\"model.keras\"))",
                         path);
    /* opening a pipe would wait for its other end */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return error_set(error, ERROR_INPUT, "%s is not a regular file: name a model file", path);
    FILE *file = fopen(path, "rbe");
    if (!file) {
        if (errno == ENOENT)
            return error_set(error, ERROR_NOT_FOUND,
                             "%s does not exist: name a " KNOWN_FORMATS " file", path);
        return error_set_errno(error, errno, "cannot read %s", path);
    }
    size_t size = fread(head, 1, sizeof head, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed) return error_set_errno(error, failed, "cannot read %s", path);
    if (sniff(path, head, size, &id, error)) return -1;
    if (!id && (strstr(path_base(path), ".data-000") || strcmp(path_extension(path), "index") == 0))
        return error_set(error, ERROR_INPUT,
                         "%s is a part of a TensorFlow checkpoint: load it in Python and save the "
                         "model with model.save(\"model.keras\")",
                         path);
    *out = id ? modelfile_format_find(id) : format_by_name(path);
    if (!*out)
        return error_set(error, ERROR_INPUT,
                         "%s is not a model file the studio knows: use " KNOWN_FORMATS, path);
    return 0;
}

int modelfile_format_for_writing(const char *path, const struct modelfile_format **out,
                                 struct error *error)
{
    *out = format_by_name(path);
    if (!*out)
        return error_set(error, ERROR_USAGE,
                         "the name %s does not say which format to write: end it in " KNOWN_FORMATS,
                         path);
    return 0;
}

int modelfile_read(const char *path, const struct modelfile_options *options, struct model **out,
                   struct error *error)
{
    const struct modelfile_format *format;
    if (modelfile_format_for_reading(path, &format, error)) return -1;
    struct model *model = calloc(1, sizeof *model);
    if (!model) return error_set_memory(error, "the model");
    snprintf(model->format, sizeof model->format, "%s", format->id);
    if (format->read(path, options, model, error)) {
        model_destroy(model);
        return -1;
    }
    *out = model;
    return 0;
}

int modelfile_write(const char *path, const struct model *model, struct error *error)
{
    const struct modelfile_format *format;
    if (modelfile_format_for_writing(path, &format, error)) return -1;
    return format->write(path, model, error);
}

void model_destroy(struct model *model)
{
    if (!model) return;
    parameters_destroy(model->parameters);
    json_decref(model->metadata);
    json_decref(model->assumed);
    free(model);
}
