#include "modelfile/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/js.h"
#include "base/path.h"
#include "modelfile/assemble.h"
#include "modelfile/formats.h"

#define METADATA_KEY "__metadata__"
#define NETWORK_KEY  "nnstudio.network"
#define ASSUMED_KEY  "nnstudio.assumed" /* a list, one text a line */

static const struct {
    const char *name;
    enum stored_type type;
} dtypes[] = {
    {"F32", STORED_FLOAT32},
    {"F64", STORED_FLOAT64},
    {"F16", STORED_FLOAT16},
    {"BF16", STORED_BFLOAT16},
};

static int check_metadata(const json_t *metadata, struct error *error)
{
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata))
        return error_set(error, ERROR_INPUT, "\"" METADATA_KEY "\" must be an object of strings");
    json_object_foreach((json_t *)metadata, key, value)
        if (!json_is_string(value))
            return error_set(error, ERROR_INPUT, "the metadata \"%.80s\" must be a string", key);
    return 0;
}

/* The header's text, malloc'd, padded with spaces so that the data starts at a multiple of 8
 * bytes. */
static int make_header(const struct safetensors_entry *entries, size_t count,
                       const json_t *metadata, char **out, size_t *size, struct error *error)
{
    int status = -1;
    size_t offset = 0;
    char *text = NULL;
    json_t *header = json_object();
    if (metadata && json_object_size(metadata))
        json_object_set(header, METADATA_KEY, (json_t *)metadata);
    for (size_t i = 0; i < count; i++) {
        size_t values = 1;
        for (uint32_t d = 0; d < entries[i].rank; d++) values *= entries[i].shape[d];
        size_t end = offset + values * dtype_size(entries[i].dtype);
        json_t *tensor = json_pack("{s:s, s:o, s:[I,I]}", "dtype",
                                   entries[i].dtype == DTYPE_FLOAT64 ? "F64" : "F32", "shape",
                                   shape_to_json(entries[i].rank, entries[i].shape), "data_offsets",
                                   (json_int_t)offset, (json_int_t)end);
        /* two tensors of one name are the caller's mistake */
        CHECK(!json_object_get(header, entries[i].name));
        if (json_object_set_new(header, entries[i].name, tensor)) {
            error_set_memory(error, "the file's header");
            goto out;
        }
        offset = end;
    }
    text = js_dump(header);
    size_t length = text ? strlen(text) : 0, padded = (length + 7) & ~(size_t)7;
    char *longer = text ? realloc(text, padded + 1) : NULL;
    if (!longer) {
        error_set_memory(error, "the file's header");
        goto out;
    }
    memset(longer + length, ' ', padded - length);
    *out = longer;
    *size = padded;
    text = NULL;
    status = 0;
out:
    free(text);
    json_decref(header);
    return status;
}

int safetensors_write(const char *path, const struct safetensors_entry *entries, size_t count,
                      const json_t *metadata, struct error *error)
{
    char *header = NULL;
    size_t size;
    struct file_writer writer;
    if (check_metadata(metadata, error) ||
        make_header(entries, count, metadata, &header, &size, error))
        return -1;
    if (file_create(path, &writer, error)) {
        free(header);
        return -1;
    }
    uint64_t length = size;
    bool good = fwrite(&length, sizeof length, 1, writer.stream) == 1 &&
                fwrite(header, 1, size, writer.stream) == size;
    for (size_t i = 0; good && i < count; i++) {
        size_t values = 1;
        for (uint32_t d = 0; d < entries[i].rank; d++) values *= entries[i].shape[d];
        good = fwrite(entries[i].values, dtype_size(entries[i].dtype), values, writer.stream) ==
               values;
    }
    free(header);
    if (!good) {
        error_set_errno(error, errno, "cannot write %s", path);
        file_abort(&writer);
        return -1;
    }
    return file_commit(&writer, error);
}

int safetensors_write_state(const char *path, const struct state_dict *state,
                            const json_t *metadata, struct error *error)
{
    struct safetensors_entry *entries = calloc(state->count ? state->count : 1, sizeof *entries);
    if (!entries) return error_set_memory(error, "the tensors");
    for (size_t i = 0; i < state->count; i++) {
        const struct named_tensor *tensor = &state->tensors[i];
        entries[i] = (struct safetensors_entry){.name = tensor->name,
                                                .dtype = tensor->dtype,
                                                .rank = tensor->rank,
                                                .shape = tensor->shape,
                                                .values = tensor->values};
    }
    int status = safetensors_write(path, entries, state->count, metadata, error);
    free(entries);
    return status;
}

/* A tensor as the header describes it, checked but for its neighbors. */
struct span {
    const char *name; /* in the header's JSON */
    enum stored_type type;
    uint32_t rank;
    size_t shape[STATE_DICT_MAX_RANK];
    size_t begin, end; /* bytes within the data */
};

static int span_compare(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int read_size(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return -1;
    *out = (size_t)json_integer_value(value);
    return 0;
}

static int read_span(const char *name, const json_t *value, size_t data_size, struct span *span,
                     struct error *error)
{
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    const json_t *shape = json_object_get(value, "shape"),
                 *offsets = json_object_get(value, "data_offsets");
    if (!dtype || !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2)
        return error_set(error, ERROR_INPUT, "needs dtype, shape and data_offsets");
    size_t known = sizeof dtypes / sizeof *dtypes, kind = 0;
    while (kind < known && strcmp(dtypes[kind].name, dtype) != 0) kind++;
    if (kind == known)
        return error_set(error, ERROR_INPUT,
                         "its dtype \"%.20s\" is none the studio knows: save it as F32 or F64",
                         dtype);
    *span = (struct span){
        .name = name, .type = dtypes[kind].type, .rank = (uint32_t)json_array_size(shape)};
    if (json_array_size(shape) > STATE_DICT_MAX_RANK)
        return error_set(error, ERROR_INPUT, "it has more than %d dimensions", STATE_DICT_MAX_RANK);
    for (uint32_t d = 0; d < span->rank; d++)
        if (read_size(json_array_get(shape, d), &span->shape[d]))
            return error_set(error, ERROR_INPUT, "its shape holds something other than sizes");
    if (read_size(json_array_get(offsets, 0), &span->begin) ||
        read_size(json_array_get(offsets, 1), &span->end) || span->begin > span->end ||
        span->end > data_size)
        return error_set(
            error, ERROR_INPUT,
            "its data_offsets lie outside the file's %zu bytes of data: the file is cut "
            "short or damaged",
            data_size);
    size_t count;
    if (shape_count(span->rank, span->shape, STATE_DICT_MAX_VALUES, &count) ||
        count * stored_type_size(span->type) != span->end - span->begin)
        return error_set(error, ERROR_INPUT,
                         "its shape does not agree with its %zu bytes: the file is damaged",
                         span->end - span->begin);
    return 0;
}

/* All spans of the header, sorted by place, covering the data exactly; malloc'd. */
static int read_spans(const json_t *header, size_t data_size, struct span **out, size_t *count,
                      struct error *error)
{
    const char *name;
    json_t *value;
    size_t used = 0, place = 0;
    struct span *spans = calloc(json_object_size(header) + 1, sizeof *spans);
    if (!spans) return error_set_memory(error, "the list of tensors");
    json_object_foreach((json_t *)header, name, value) {
        if (strcmp(name, METADATA_KEY) == 0) continue;
        if (read_span(name, value, data_size, &spans[used], error)) {
            error_prefix(error, "the tensor \"%.80s\"", name);
            goto fail;
        }
        used++;
    }
    qsort(spans, used, sizeof *spans, span_compare);
    for (size_t i = 0; i < used; i++) {
        if (spans[i].begin != place) {
            error_set(
                error, ERROR_INPUT, "the data of \"%.80s\" %s: the file is damaged", spans[i].name,
                spans[i].begin < place ? "overlaps another tensor's" : "leaves a hole before it");
            goto fail;
        }
        place = spans[i].end;
    }
    if (place != data_size) {
        error_set(error, ERROR_INPUT,
                  "%zu bytes at the end belong to no tensor: the file is damaged",
                  data_size - place);
        goto fail;
    }
    *out = spans;
    *count = used;
    return 0;
fail:
    free(spans);
    return -1;
}

static int read_header(const char *data, size_t size, json_t **out, size_t *data_start,
                       struct error *error)
{
    uint64_t length;
    if (size < sizeof length)
        return error_set(error, ERROR_INPUT,
                         "the file is shorter than its header: it is cut short");
    memcpy(&length, data, sizeof length);
    if (length > SAFETENSORS_MAX_HEADER)
        return error_set(error, ERROR_INPUT, "the header claims %llu bytes: the most is %zu",
                         (unsigned long long)length, SAFETENSORS_MAX_HEADER);
    if (length > size - sizeof length)
        return error_set(
            error, ERROR_INPUT,
            "the header claims %llu bytes, the file has %zu: it is cut short or damaged",
            (unsigned long long)length, size);
    *data_start = sizeof length + (size_t)length;
    return js_parse_object(data + sizeof length, (size_t)length, "the header", out, error);
}

static int read_tensors(const char *data, size_t size, struct state_dict *state, json_t **metadata,
                        struct error *error)
{
    int status = -1;
    json_t *header = NULL, *words = NULL;
    struct span *spans = NULL;
    size_t start = 0, count = 0;
    if (read_header(data, size, &header, &start, error) ||
        check_metadata(json_object_get(header, METADATA_KEY), error) ||
        read_spans(header, size - start, &spans, &count, error))
        goto out;
    for (size_t i = 0; i < count; i++) {
        struct named_tensor *tensor;
        if (state_dict_add(state, spans[i].name, stored_type_dtype(spans[i].type), spans[i].rank,
                           spans[i].shape, &tensor, error))
            goto out;
        named_tensor_fill(tensor, 0, spans[i].type, data + start + spans[i].begin, 1,
                          tensor->count);
    }
    words = json_object_get(header, METADATA_KEY);
    *metadata = words ? json_incref(words) : json_object();
    status = 0;
out:
    free(spans);
    json_decref(header);
    return status;
}

int safetensors_read(const char *path, struct state_dict *state, json_t **metadata,
                     struct error *error)
{
    char *data;
    size_t size;
    *metadata = NULL;
    if (file_read(path, STATE_DICT_MAX_VALUES * sizeof(double) + SAFETENSORS_MAX_HEADER, &data,
                  &size, error))
        return -1;
    int status = read_tensors(data, size, state, metadata, error);
    if (status) {
        state_dict_clear(state);
        error_prefix(error, "%s", path);
    }
    free(data);
    return status;
}

/* --- shards ----------------------------------------------------------------------------------- */

/* "model-00001-of-00002.safetensors" is a part; its number and how many there are. */
static bool is_shard(const char *path, unsigned int *number, unsigned int *count)
{
    const char *base = path_base(path), *of = strstr(base, "-of-");
    return of && of - base > 6 && sscanf(of - 6, "-%5u-of-%5u", number, count) == 2 && *count > 1;
}

/* The file names in "weight_map", each once. */
static json_t *shard_names(const json_t *map)
{
    const char *tensor;
    json_t *file, *names = json_object();
    json_object_foreach((json_t *)(uintptr_t)map, tensor, file)
        if (json_is_string(file)) json_object_set_new(names, json_string_value(file), json_true());
    return names;
}

static int read_shard(const char *folder, const char *name, struct state_dict *state,
                      struct error *error)
{
    json_t *metadata = NULL;
    if (!path_is_plain_name(name) || strlen(path_extension(name)) == 0)
        return error_set(error, ERROR_INPUT,
                         "its index names the file \"%.80s\": shards lie in its own folder", name);
    char *path = path_join(folder, name);
    if (!path) return error_set_memory(error, "a path");
    int status = safetensors_read(path, state, &metadata, error);
    json_decref(metadata);
    free(path);
    return status;
}

/* An index, {"metadata":{…},"weight_map":{"fc1.weight":"model-00001-of-00002.safetensors",…}}: all
 * shards into one state * dict. */
static int read_index(const char *path, struct state_dict *state, struct error *error)
{
    json_t *index = NULL, *names = NULL, *value;
    const char *name;
    char *folder = NULL;
    int status = -1;
    if (js_read_object(path, SAFETENSORS_MAX_HEADER, &index, error)) return -1;
    const json_t *map = json_object_get(index, "weight_map");
    names = shard_names(map);
    folder = strndup(path, (size_t)(path_base(path) - path));
    if (!folder || !names) {
        error_set_memory(error, "the index");
        goto out;
    }
    if (!json_object_size(names)) {
        error_set(error, ERROR_INPUT, "it is not an index of safetensors files");
        goto out;
    }
    json_object_foreach(names, name, value)
        if (read_shard(*folder ? folder : ".", name, state, error)) goto out;
    json_object_foreach((json_t *)(uintptr_t)map, name, value) {
        if (state_dict_find(state, name)) continue;
        error_set(error, ERROR_INPUT,
                  "the index names the tensor \"%.80s\", which is in no file: the files do not "
                  "belong together",
                  name);
        goto out;
    }
    status = 0;
out:
    if (status) state_dict_clear(state);
    free(folder);
    json_decref(names);
    json_decref(index);
    return status;
}

/* The tensors of a file, or of all that an index names. */
static int read_any(const char *path, struct state_dict *state, json_t **metadata,
                    struct error *error)
{
    unsigned int number, count;
    size_t length = strlen(path);
    *metadata = NULL;
    if (is_shard(path, &number, &count))
        return error_set(error, ERROR_INPUT,
                         "%s is part %u of %u of a model: name its index, "
                         "model.safetensors.index.json",
                         path, number, count);
    if (length < 5 || strcmp(path + length - 5, ".json") != 0)
        return safetensors_read(path, state, metadata, error);
    if (read_index(path, state, error)) return error_prefix(error, "%s", path);
    *metadata = json_object();
    return 0;
}

/* The model's own notes out of the metadata, which are texts. */
static int parse_notes(const json_t *metadata, json_t **network, json_t **assumed,
                       struct error *error)
{
    const char *text = json_string_value(json_object_get(metadata, NETWORK_KEY)),
               *lines = json_string_value(json_object_get(metadata, ASSUMED_KEY));
    *assumed = lines ? note_lines(lines) : NULL;
    *network = NULL;
    return text ? js_parse_object(text, strlen(text), "the network in the metadata", network, error)
                : 0;
}

static int read_model(const char *path, const struct modelfile_options *options, struct model *out,
                      struct error *error)
{
    struct state_dict state = {0};
    json_t *metadata, *network, *assumed;
    if (read_any(path, &state, &metadata, error)) return -1;
    int status = parse_notes(metadata, &network, &assumed, error);
    const struct model_note note = {.network = network, .assumed = assumed};
    /* The library writes tensors sorted by size and name, so their order says nothing. */
    if (!status) status = model_from_state_dict(&state, &note, false, options, out, error);
    if (status) {
        error_prefix(error, "%s", path);
        json_decref(metadata);
    } else {
        json_object_del(metadata, NETWORK_KEY);
        json_object_del(metadata, ASSUMED_KEY);
        json_object_del(metadata, "format");
        out->metadata = metadata;
    }
    json_decref(network);
    json_decref(assumed);
    state_dict_clear(&state);
    return status;
}

static int make_metadata(const struct model *model, json_t **out, struct error *error)
{
    json_t *metadata = model->metadata ? json_copy(model->metadata) : json_object();
    json_t *network = network_to_json(&model->network);
    char *text = js_dump(network), *lines = note_text(model->assumed);
    /* "format" is what Hugging Face's own readers ask for. */
    int failed = !text || (json_array_size(model->assumed) && !lines) ||
                 json_object_set_new(metadata, "format", json_string("pt")) ||
                 json_object_set_new(metadata, NETWORK_KEY, json_string(text)) ||
                 (lines && json_object_set_new(metadata, ASSUMED_KEY, json_string(lines)));
    free(text);
    free(lines);
    json_decref(network);
    *out = metadata;
    return failed ? error_set_memory(error, "the metadata") : 0;
}

static int write_model(const char *path, const struct model *model, struct error *error)
{
    const struct parameters *parameters = model->parameters;
    struct safetensors_entry *entries = calloc(parameters->tensor_count + 1, sizeof *entries);
    json_t *metadata = NULL;
    if (!entries) return error_set_memory(error, "the list of tensors");
    for (size_t i = 0; i < parameters->tensor_count; i++) {
        const struct tensor *tensor = &parameters->tensors[i];
        entries[i] = (struct safetensors_entry){tensor->name, parameters->dtype, tensor->rank,
                                                tensor->shape, tensor->values};
    }
    int status = make_metadata(model, &metadata, error);
    if (!status)
        status = safetensors_write(path, entries, parameters->tensor_count, metadata, error);
    free(entries);
    json_decref(metadata);
    return status;
}

const struct modelfile_format modelfile_safetensors = {
    .id = "safetensors",
    .title = "safetensors",
    .extensions = "safetensors",
    .read = read_model,
    .write = write_model,
};
