/* .keras: Keras 3's own archive, a zip of metadata.json, config.json (as in .h5, with modules'
 * names) and * model.weights.h5 (keras/src/saving/saving_lib.py). Modules named in it are never
 * looked up: a layer is known by its * class in keras_config.c's table, or refused. */
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/file.h"
#include "base/js.h"
#include "modelfile/formats.h"
#include "modelfile/h5.h"
#include "modelfile/h5_file.h"
#include "modelfile/keras_config.h"
#include "modelfile/zip_record.h"

#define CONFIG_MAX ((size_t)4 << 20)
/* What the weights may be, unpacked: within the memory that the confined child has. */
#define WEIGHTS_FREE  ((size_t)256 << 20)
#define WEIGHTS_RATIO 8
#define METADATA      "{\"keras_version\": \"3.0.0\", \"date_saved\": \"1980-01-01@00:00:00\"}"

/* --- reading ---------------------------------------------------------------------------------- */

/* A class of the user's own stands under a module of the user's own. */
static int check_modules(const json_t *value, int depth, struct error *error)
{
    const char *key, *module = json_string_value(json_object_get(value, "module"));
    json_t *member;
    size_t index;
    if (depth > 40) return error_set(error, ERROR_INPUT, "config.json is nested too deep");
    if (module && strcmp(module, "keras") != 0 && strncmp(module, "keras.", 6) != 0 &&
        strcmp(module, "builtins") != 0)
        return error_set(error, ERROR_INPUT,
                         "config.json names the module %.80s: refused, nothing was run: the studio "
                         "reads Keras's own layers",
                         module);
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
        if (check_modules(member, depth + 1, error)) return -1;
    json_array_foreach((json_t *)(uintptr_t)value, index, member)
        if (check_modules(member, depth + 1, error)) return -1;
    return 0;
}

static int read_records(zip_t *zip, size_t size, const struct modelfile_options *options,
                        struct model *out, struct error *error)
{
    char *text = NULL, *weights = NULL;
    size_t text_size, weights_size, most = WEIGHTS_FREE + WEIGHTS_RATIO * size;
    json_t *config = NULL;
    int status = -1;
    if (zip_record_read(zip, zip_name_locate(zip, "config.json", 0), "config.json", size,
                        CONFIG_MAX, &text, &text_size, error) ||
        js_parse_object(text, text_size, "config.json", &config, error) ||
        check_modules(config, 0, error) ||
        zip_record_read(zip, zip_name_locate(zip, "model.weights.h5", 0), "model.weights.h5", size,
                        most < H5_FILE_MAX ? most : H5_FILE_MAX, &weights, &weights_size, error))
        goto out;
    status = h5_read_image(weights, weights_size, config, options, out, error);
out:
    free(text);
    free(weights);
    json_decref(config);
    return status;
}

/* Runs in the confined child. */
static int read_image(const char *data, size_t size, const struct modelfile_options *options,
                      struct model *out, struct error *error)
{
    zip_error_t problem;
    int status = -1;
    zip_error_init(&problem);
    zip_source_t *source = zip_source_buffer_create(data, size, 0, &problem);
    zip_t *zip = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &problem) : NULL;
    if (zip) {
        status = read_records(zip, size, options, out, error);
        zip_discard(zip);
    } else {
        error_set(error, ERROR_INPUT,
                  "the zip archive is damaged or cut short (%s): copy or save it again",
                  zip_error_strerror(&problem));
        if (source) zip_source_free(source);
    }
    zip_error_fini(&problem);
    return status;
}

static int read_model(const char *path, const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    return h5_read_confined(path, read_image, options, out, error);
}

/* --- writing ---------------------------------------------------------------------------------- */

static int add_record(zip_t *zip, const char *name, const char *data, size_t size)
{
    zip_source_t *source = zip_source_buffer(zip, data, size, 0);
    zip_int64_t index = source ? zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
        if (source) zip_source_free(source);
        return -1;
    }
    return zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) ||
                   zip_file_set_dostime(zip, (zip_uint64_t)index, 0, 0x21, 0)
               ? -1
               : 0;
}

/* The archive's bytes, malloc'd; no clock is in them. */
static int make_archive(const char *config, const char *weights, size_t weights_size, char **out,
                        size_t *size)
{
    zip_error_t problem;
    zip_stat_t info;
    int status = -1;
    zip_error_init(&problem);
    zip_source_t *archive = zip_source_buffer_create(NULL, 0, 0, &problem);
    if (!archive) goto out;
    zip_source_keep(archive); /* still ours after the zip is closed */
    zip_t *zip = zip_open_from_source(archive, ZIP_CREATE | ZIP_TRUNCATE, &problem);
    if (!zip) {
        zip_source_free(archive); /* the reference that the zip would have taken */
    } else if (add_record(zip, "metadata.json", METADATA, strlen(METADATA)) ||
               add_record(zip, "config.json", config, strlen(config)) ||
               add_record(zip, "model.weights.h5", weights, weights_size) || zip_close(zip)) {
        zip_discard(zip);
    } else if (!zip_source_stat(archive, &info) && !zip_source_open(archive)) {
        *size = (size_t)info.size;
        *out = malloc(*size + 1);
        status = *out && zip_source_read(archive, *out, info.size) == (zip_int64_t)info.size ? 0
                                                                                             : -1;
        zip_source_close(archive);
    }
    zip_source_free(archive);
out:
    zip_error_fini(&problem);
    return status;
}

static int write_model(const char *path, const struct model *model, struct error *error)
{
    char *weights = NULL, *archive = NULL, *text = NULL;
    size_t weights_size, size;
    int status = -1;
    json_t *config = keras_chain_write(&model->network, dtype_name(model->parameters->dtype), true,
                                       error);
    if (!config || h5_make_weights(model, &weights, &weights_size, error)) goto out;
    text = js_dump(config);
    if (!text || make_archive(text, weights, weights_size, &archive, &size))
        error_set(error, ERROR_MEMORY, "cannot make the zip archive: is memory short?");
    else
        status = file_write(path, archive, size, error);
out:
    free(text);
    free(weights);
    free(archive);
    json_decref(config);
    return status;
}

const struct modelfile_format modelfile_keras = {
    .id = "keras",
    .title = "Keras model",
    .extensions = "keras",
    .read = read_model,
    .write = write_model,
    .carries = keras_carries,
};
