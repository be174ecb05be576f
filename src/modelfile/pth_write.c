/* Writing .pth the way PyTorch does: records stored, each starting at a multiple of 64 bytes, so
 * that torch.load(mmap=True) can use the tensors in place. The same model gives the same bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/js.h"
#include "modelfile/pth.h"

#define FOLDER        "archive/"
#define ALIGNMENT     64
#define LOCAL_HEADER  30     /* bytes of a zip entry's header before its name */
#define PADDING_FIELD 0x4246 /* "FB": the id PyTorch gives the extra field that pads */
#define DOS_DATE_1980 0x21

/* The pickle */

static void put_number(struct buffer *out, uint64_t number, size_t width)
{
    for (size_t i = 0; i < width; i++) buffer_append_char(out, (char)(number >> (8 * i)));
}

static void put_text(struct buffer *out, const char *text)
{
    buffer_append_char(out, 'X'); /* BINUNICODE */
    put_number(out, strlen(text), 4);
    buffer_append_text(out, text);
}

/* Counts and sizes: below 2^31 by the network's caps. */
static void put_integer(struct buffer *out, size_t number)
{
    CHECK(number <= INT32_MAX);
    size_t width = number < 256 ? 1 : number < 65536 ? 2 : 4;
    buffer_append_char(out, width == 1 ? 'K' : width == 2 ? 'M' : 'J');
    put_number(out, number, width);
}

/* A tuple. */
static void put_sizes(struct buffer *out, const size_t *sizes, uint32_t rank)
{
    if (rank > 3) buffer_append_char(out, '('); /* MARK */
    for (uint32_t d = 0; d < rank; d++) put_integer(out, sizes[d]);
    /* TUPLE1 to TUPLE3, or TUPLE with the mark; a scalar's is EMPTY_TUPLE */
    buffer_append_char(out, rank > 3 ? 't' : rank ? (char)(0x84 + rank) : ')');
}

#define ORDERED_DICT "ccollections\nOrderedDict\n)R"

/* torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()) */
static void put_tensor(struct buffer *out, const struct tensor *tensor, enum dtype dtype,
                       size_t key)
{
    char name[24];
    size_t strides[SHAPE_MAX_RANK], step = 1;
    for (uint32_t d = tensor->rank; d-- > 0; step *= tensor->shape[d]) strides[d] = step;
    snprintf(name, sizeof name, "%zu", key);
    put_text(out, tensor->name);
    buffer_append_text(out, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(out, "storage");
    buffer_append_text(out, dtype == DTYPE_FLOAT64 ? "ctorch\nDoubleStorage\n"
                                                   : "ctorch\nFloatStorage\n");
    put_text(out, name);
    put_text(out, "cpu");
    put_integer(out, tensor->count);
    buffer_append_text(out, "tQ"); /* TUPLE, BINPERSID */
    put_integer(out, 0);
    put_sizes(out, tensor->shape, tensor->rank);
    put_sizes(out, strides, tensor->rank);
    buffer_append_text(out, "\x89" ORDERED_DICT "tR"); /* NEWFALSE, …, TUPLE, REDUCE */
}

/* [stage: saving, save] */
static void put_state_dict(struct buffer *out, const struct parameters *parameters)
{
    buffer_append_text(out, "\x80\x02" ORDERED_DICT "("); /* PROTO 2, …, MARK */
    for (size_t i = 0; i < parameters->tensor_count; i++)
        put_tensor(out, &parameters->tensors[i], parameters->dtype, i);
    buffer_append_text(out, "u."); /* SETITEMS, STOP */
}
/* [end] */

/* The archive */

struct writer {
    zip_t *zip;
    /* where the next entry begins; as all are stored, this is known beforehand */
    zip_uint64_t place;
    struct error *error;
};

static int zip_failed(zip_error_t *problem, struct error *error)
{
    return error_set(error, ERROR_FAILED, "cannot make the zip archive: %s",
                     zip_error_strerror(problem));
}

/* Adds a record without copying its bytes, which must live until the archive is closed. */
static int add_record(struct writer *writer, const char *name, const void *data, size_t size)
{
    char full[100];
    static const zip_uint8_t zeros[ALIGNMENT];
    snprintf(full, sizeof full, FOLDER "%s", name);
    /* The padding is an extra field: 4 bytes of its own header, then zeros. */
    zip_uint64_t bare = writer->place + LOCAL_HEADER + strlen(full) + 4;
    zip_uint16_t padding = (zip_uint16_t)((ALIGNMENT - bare % ALIGNMENT) % ALIGNMENT);
    zip_source_t *source = zip_source_buffer(writer->zip, data, size, 0);
    zip_int64_t index = source ? zip_file_add(writer->zip, full, source, ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) {
        if (source) zip_source_free(source);
        return zip_failed(zip_get_error(writer->zip), writer->error);
    }
    if (zip_set_file_compression(writer->zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) ||
        zip_file_set_dostime(writer->zip, (zip_uint64_t)index, 0, DOS_DATE_1980, 0) ||
        zip_file_extra_field_set(writer->zip, (zip_uint64_t)index, PADDING_FIELD,
                                 ZIP_EXTRA_FIELD_NEW, zeros, padding, ZIP_FL_LOCAL))
        return zip_failed(zip_get_error(writer->zip), writer->error);
    writer->place = bare + padding + size;
    return 0;
}

/* PyTorch keeps a number of 40 digits to tell archives apart; here it comes from the weights. */
static void serialization_id(const struct parameters *parameters, char out[41])
{
    char hex[HASH_HEX_SIZE];
    hash_bytes(parameters->values, parameters->value_count * dtype_size(parameters->dtype), hex);
    for (int i = 0; i < 40; i++) out[i] = (char)('0' + hex[i] % 10);
    out[40] = '\0';
}

/* [stage: saving, save] */
static int add_records(struct writer *writer, const struct parameters *parameters,
                       const struct buffer *program, const char *note, const char *id)
{
    char name[32];
    if (add_record(writer, "data.pkl", program->data, program->length) ||
        add_record(writer, ".format_version", "1", 1) ||
        add_record(writer, ".storage_alignment", "64", 2) ||
        add_record(writer, "byteorder", "little", 6))
        return -1;
    for (size_t i = 0; i < parameters->tensor_count; i++) {
        const struct tensor *tensor = &parameters->tensors[i];
        snprintf(name, sizeof name, "data/%zu", i);
        if (add_record(writer, name, tensor->values, tensor->count * dtype_size(parameters->dtype)))
            return -1;
    }
    if (add_record(writer, PTH_NOTE_RECORD, note, strlen(note)) ||
        add_record(writer, "version", "3\n", 2))
        return -1;
    return add_record(writer, ".data/serialization_id", id, strlen(id));
}
/* [end] */

/* The finished archive's bytes to the file. */
static int save(zip_source_t *archive, const char *path, struct error *error)
{
    zip_stat_t info;
    char *data = NULL;
    int status = -1;
    if (zip_source_stat(archive, &info) || !(info.valid & ZIP_STAT_SIZE) ||
        zip_source_open(archive))
        return zip_failed(zip_source_error(archive), error);
    data = malloc(info.size);
    if (!data)
        error_set_memory(error, "the model file");
    else if (zip_source_read(archive, data, info.size) != (zip_int64_t)info.size)
        zip_failed(zip_source_error(archive), error);
    else
        status = file_write(path, data, info.size, error);
    zip_source_close(archive);
    free(data);
    return status;
}

static int write_archive(const char *path, const struct parameters *parameters,
                         const struct buffer *program, const char *note, struct error *error)
{
    char id[41];
    zip_error_t problem;
    struct writer writer = {.error = error};
    int status = -1;
    serialization_id(parameters, id);
    zip_error_init(&problem);
    zip_source_t *archive = zip_source_buffer_create(NULL, 0, 0, &problem);
    if (!archive) {
        zip_failed(&problem, error);
        goto out;
    }
    zip_source_keep(archive); /* still ours after the zip is closed */
    writer.zip = zip_open_from_source(archive, ZIP_CREATE | ZIP_TRUNCATE, &problem);
    if (!writer.zip) {
        zip_source_free(archive); /* the reference that the zip would have taken */
        zip_failed(&problem, error);
    } else if (add_records(&writer, parameters, program, note, id)) {
        zip_discard(writer.zip);
    } else if (zip_close(writer.zip)) {
        zip_failed(zip_get_error(writer.zip), error);
        zip_discard(writer.zip);
    } else {
        status = save(archive, path, error);
    }
    zip_source_free(archive);
out:
    zip_error_fini(&problem);
    return status;
}

/* [stage: saving, save] */
int pth_write_model(const char *path, const struct model *model, struct error *error)
{
    struct buffer program;
    buffer_init(&program, 1 << 20);
    put_state_dict(&program, model->parameters);
    json_t *note = json_pack("{s:o, s:O*, s:O*}", "network", network_to_json(&model->network),
                             "metadata", model->metadata, "assumed", model->assumed);
    char *text = note ? js_dump(note) : NULL;
    int status = -1;
    if (!text)
        error_set_memory(error, "the model's description");
    else if (!buffer_check(&program, "the pickle", error))
        status = write_archive(path, model->parameters, &program, text, error);
    free(text);
    json_decref(note);
    buffer_free(&program);
    return status;
}
/* [end] */
